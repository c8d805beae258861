"""Signing keys and the key ring document (`gait.signing.keyring` 1.0.0).

Invariant: no secret reaches a repr or a message; errors name the place and never quote a value.
"""

from __future__ import annotations

import binascii
import hmac

from ..formats.documents import NamedTuple
from ..errors import InvalidInput
from ..formats import timestamps
from ..formats.fields import show
from ..formats.patterns import lazy
from ..formats.strict_json import type_name

SCHEMA_ID = "gait.signing.keyring"
SCHEMA_VERSION = "1.0.0"
# What a ring may sign.  Each kind of document belongs to one family (envelope.FAMILY_OF).
FAMILIES = ("trace", "approval", "package")
MIN_SECRET_BYTES = 32
MAX_SECRET_BYTES = 1024
MAX_KEYS = 100

_ID_TEXT = b"gait.key-id.v1"
_RING_NAMES = ("schema_id", "schema_version", "purpose", "active", "keys")
_KEY_NAMES = ("key_id", "secret", "created_at")
_SHOWN_NAME = lazy("[a-z_]{1,32}")
_Path = tuple["str | int", ...]


class Key(NamedTuple):
    """One secret and the id derived from it.  `created_at` is RFC 3339 UTC, empty when not known."""

    key_id: str
    secret: bytes
    created_at: str = ""

    def __repr__(self) -> str:
        return f"Key(key_id={self.key_id!r}, created_at={self.created_at!r})"


class Keyring(NamedTuple):
    """The key that signs and the keys that still verify, all for one family of documents."""

    purpose: str
    active: Key
    retired: tuple[Key, ...] = ()

    def find(self, wanted: str) -> Key | None:
        """The key with this id, None when the ring has none."""
        if wanted == self.active.key_id:
            return self.active
        return next((key for key in self.retired if key.key_id == wanted), None)

    def to_value(self) -> dict[str, object]:
        """The key ring document.  It holds the secrets: write it to a private file and nowhere else."""
        return {
            "schema_id": SCHEMA_ID,
            "schema_version": SCHEMA_VERSION,
            "purpose": self.purpose,
            "active": self.active.key_id,
            "keys": [_key_to_value(key) for key in (self.active, *self.retired)],
        }


def _key_to_value(key: Key) -> dict[str, object]:
    value: dict[str, object] = {"key_id": key.key_id, "secret": base64_dumps(key.secret)}
    if key.created_at:
        value["created_at"] = key.created_at
    return value


def key_id(secret: bytes) -> str:
    """The first 16 hex digits of HMAC-SHA256(secret, "gait.key-id.v1"); it gives nothing of the secret away."""
    return hmac.digest(secret, _ID_TEXT, "sha256").hex()[:16]


def make(secret: bytes, created_at: str = "") -> Key:
    """The key of a secret.  InvalidInput: under 32 bytes, over 1024, or one byte repeated."""
    problem = _weakness(secret)
    if problem:
        raise InvalidInput(f"expected a secret of {_STRONG}, got {problem}", hint=_NEW_KEY, code="weak_key")
    return Key(key_id(secret), secret, created_at)


_STRONG = f"{MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes"
_NEW_KEY = "make a key with `gait keys init`, or `head -c 32 /dev/urandom | base64`"


def _weakness(secret: bytes) -> str:
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        return f"{len(secret)} bytes"
    return "one byte repeated" if secret.count(secret[0]) == len(secret) else ""


def rotated(ring: Keyring, key: Key) -> Keyring:
    """The ring with `key` active and its former active key retired."""
    if ring.find(key.key_id) is not None:
        raise InvalidInput("expected a new key, got one that is in the ring", code="keyring_invalid")
    if len(ring.retired) + 2 > MAX_KEYS:
        message = f"expected a ring of at most {MAX_KEYS} keys, got one more"
        raise InvalidInput(message, hint="start a new ring with `gait keys init`", code="keyring_invalid")
    return Keyring(ring.purpose, key, (ring.active, *ring.retired))


def require_purpose(ring: Keyring, purpose: str) -> Keyring:
    """The ring itself.  InvalidInput: it was made for the other family."""
    if ring.purpose == purpose:
        return ring
    message = f"expected a key ring for purpose {purpose}, got one for {ring.purpose}"
    hint = f"name the {purpose} ring, or make one: gait keys init --purpose {purpose} --path FILE"
    raise InvalidInput(message, hint=hint, code="key_purpose_mismatch")


def base64_dumps(data: bytes) -> str:
    """Standard base64 (RFC 4648 section 4) on one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def base64_loads(text: str) -> bytes:
    """The bytes of canonical base64.  ValueError on any other spelling: binascii alone skips what it does not know."""
    data = binascii.a2b_base64(text)
    if base64_dumps(data) != text:
        raise ValueError("base64 that is not canonical")
    return data


def read_secret(text: str) -> Key:
    """The key of one bare base64 text.  InvalidInput never quotes it."""
    try:
        return make(base64_loads(text))
    except ValueError:
        message = f"expected a key ring document or one line of base64, got {len(text)} characters of something else"
        raise InvalidInput(message, hint=_NEW_KEY, code="key_malformed") from None


def looks_secret(text: str) -> bool:
    """True when a text given as a name might be a key by mistake, and so must not be repeated."""
    try:
        return len(base64_loads(text)) >= MIN_SECRET_BYTES
    except ValueError:
        return False


def read(value: object) -> Keyring:
    """The ring of a parsed key ring document.  InvalidInput on anything that is not exactly one."""
    ring = _object(value, (), _RING_NAMES)
    _constant(ring, "schema_id", SCHEMA_ID)
    _constant(ring, "schema_version", SCHEMA_VERSION)
    purpose = _text(ring, "purpose", ())
    if purpose not in FAMILIES:
        raise _refuse(("purpose",), f"one of {', '.join(FAMILIES)}", "another word")
    return _assemble(purpose, _text(ring, "active", ()), _read_keys(ring.get("keys")))


def _assemble(purpose: str, active: str, keys: list[Key]) -> Keyring:
    found = [key for key in keys if key.key_id == active]
    if not found:
        raise _refuse(("active",), "the key_id of one of the keys", "another id")
    return Keyring(purpose, found[0], tuple(key for key in keys if key.key_id != active))


def _read_keys(value: object) -> list[Key]:
    if type(value) is not list or not 1 <= len(value) <= MAX_KEYS:
        raise _refuse(("keys",), f"a list of 1 to {MAX_KEYS} keys", _got(value))
    keys: list[Key] = []
    for index, item in enumerate(value):
        key = _read_key(item, ("keys", index))
        if any(key.key_id == other.key_id for other in keys):
            raise _refuse(("keys", index, "key_id"), "an id of its own", f"a second {key.key_id}")
        keys.append(key)
    return keys


def _read_key(value: object, path: _Path) -> Key:
    item = _object(value, path, _KEY_NAMES)
    secret = _read_secret(item, path)
    key = Key(key_id(secret), secret, _read_time(item, path))
    if _text(item, "key_id", path) != key.key_id:
        raise _refuse((*path, "key_id"), f"{key.key_id}, which follows from the secret", "another id")
    return key


def _read_secret(item: dict[str, object], path: _Path) -> bytes:
    try:
        secret = base64_loads(_text(item, "secret", path))
    except ValueError:
        raise _refuse((*path, "secret"), "canonical base64", "something else") from None
    problem = _weakness(secret)
    if problem:
        raise _refuse((*path, "secret"), _STRONG, problem)
    return secret


def _read_time(item: dict[str, object], path: _Path) -> str:
    if "created_at" not in item:
        return ""
    text = _text(item, "created_at", path)
    try:
        timestamps.loads(text)
    except InvalidInput:
        raise _refuse((*path, "created_at"), "an RFC 3339 time", "other text") from None
    return text


def _object(value: object, path: _Path, names: tuple[str, ...]) -> dict[str, object]:
    if type(value) is not dict:
        raise _refuse(path, "an object", type_name(value))
    for name in value:
        if name not in names:
            shown = name if _SHOWN_NAME.fullmatch(name) else "one that is not shown here"
            raise _refuse(path, f"an object with only the keys {', '.join(names)}", f"an unknown key: {shown}")
    return value


def _text(value: dict[str, object], name: str, path: _Path) -> str:
    found = value.get(name)
    if type(found) is not str:
        raise _refuse((*path, name), "text", "nothing" if name not in value else type_name(found))
    return found


def _constant(value: dict[str, object], name: str, expected: str) -> None:
    if value.get(name) != expected:
        raise _refuse((name,), expected, _got(value.get(name)))


def _got(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{len(value)} keys" if type(value) is list else "another " + type_name(value).split(" ")[-1]


def _refuse(path: _Path, expected: str, got: str) -> InvalidInput:
    place = show(path) or "key ring"
    hint = "restore the file, or make a new ring with `gait keys init`"
    return InvalidInput(f"{place}: must be {expected}; got {got}", hint=hint, code="keyring_invalid", path=path)
