"""Key rings on disk.  A key file is a regular file of this user or root with mode 0600.

A symlink to one is followed (secret mounts are made of them): what counts is the opened file itself.
"""

from __future__ import annotations

import os

from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..errors import GaitError, InvalidInput, MissingDependency
from ..formats import strict_json, timestamps
from ..signing import keys
from ..signing.keys import Keyring
from ..system import clock, files
from ..system.files import Finding

if TYPE_CHECKING:
    from ..signing.ed25519 import PublicKey
    from ..signing.envelope import Verifier

DEV_WARNING = "dev key: traces prove integrity on this host only; use --key-mode prod for provisioned keys"
MODES = ("dev", "prod")
_MAX_BYTES = 256 * 1024
_MAX_PUBLIC_BYTES = 4096
_SECRET_BYTES = 32


class SigningKeys(NamedTuple):
    """The ring to sign with, and what to tell the operator about it."""

    ring: Keyring
    warnings: tuple[str, ...]


def home() -> str:
    """The absolute path of $GAIT_HOME, or of ~/.gait.  It need not exist."""
    given = os.environ.get("GAIT_HOME")
    if given:
        return os.path.abspath(given)
    if given is not None:
        raise InvalidInput("expected a folder, got an empty text", where="GAIT_HOME", hint="unset it or name a folder")
    user = os.path.expanduser("~")
    if not os.path.isabs(user) or os.environ.get("HOME") == "":
        raise InvalidInput("expected a home folder, got none", where="HOME", hint="set GAIT_HOME to a private folder")
    return os.path.join(user, ".gait")


def dev_path() -> str:
    """Where the dev trace ring is."""
    return os.path.join(home(), "keys", "trace.json")


def dev_keyring() -> tuple[Keyring, bool]:
    """The dev trace ring, and whether this call made it.  Processes that race end with the same key."""
    path = dev_path()
    files.private_directory(os.path.dirname(path))
    if os.path.lexists(path):
        return load(path, "trace"), False
    with files.lock(path + ".lock"):
        if os.path.lexists(path):
            return load(path, "trace"), False
        return _make(path, "trace"), True


def signing_keyring(mode: str, private_key: str | None = None, private_key_env: str | None = None) -> SigningKeys:
    """The trace ring of a key mode: `dev` makes its own, `prod` wants a provisioned path or variable.  Never both."""
    if mode not in MODES:
        raise InvalidInput(f"expected one of {', '.join(MODES)}, got {mode[:40]!r}", where="--key-mode")
    if mode == "dev":
        return _dev_signing_keys(private_key, private_key_env)
    if private_key is not None and private_key_env is None:
        return SigningKeys(load(private_key, "trace"), ())
    if private_key_env is not None and private_key is None:
        return SigningKeys(load_env(private_key_env, "trace"), ())
    got = "neither" if private_key is None else "both"
    message = f"prod mode needs --private-key FILE or --private-key-env NAME, exactly one of the two; got {got}"
    raise InvalidInput(message, hint="make a key: gait keys init --path FILE", code="key_required")


def _dev_signing_keys(private_key: str | None, private_key_env: str | None) -> SigningKeys:
    if private_key is not None or private_key_env is not None:
        message = "dev mode signs with its own key and takes no --private-key or --private-key-env"
        raise InvalidInput(message, hint="add --key-mode prod", code="key_mode_mismatch")
    return SigningKeys(dev_keyring()[0], (DEV_WARNING,))


def load(path: str, purpose: str | None) -> Keyring:
    """The ring in a private file: a key ring document, or one line of base64 (then `purpose` is needed).

    MissingDependency: no such file.  StorageError: others may read it.  InvalidInput: no ring, or of the
    other purpose (None: any).
    """
    try:
        data = files.read_private(path, _MAX_BYTES)
    except GaitError as error:
        raise _not_read(error, path) from None
    return _read(data, path, purpose)


def load_env(variable: str, purpose: str | None) -> Keyring:
    """The ring in an environment variable, in either form that `load` takes."""
    text = os.environ.get(variable, "")
    if not text:
        message = "expected a key in this environment variable, got none"
        hint = "give the name of a variable that holds a key"
        raise MissingDependency(message, where=_shown(variable), hint=hint, code="key_missing")
    return _read(text.encode("utf-8", "surrogateescape"), f"${variable}", purpose)


def load_public(path: str) -> PublicKey:
    """The Ed25519 public key in a file: one line of base64, or PEM.  It is no secret; others may read it."""
    from ..signing import ed25519

    try:
        return ed25519.read(files.read_bounded(path, _MAX_PUBLIC_BYTES, "a public key"))
    except GaitError as error:
        if error.error_code == "file_not_found":
            raise _not_read(error, path) from None
        error.where = error.where or path
        raise


def package_keys(public_key: str | None, private_key: str | None) -> Verifier:
    """What verifies packages: a public key or a ring for purpose package, exactly one of the two."""
    if private_key is not None and public_key is None:
        return load(private_key, "package")
    if public_key is not None and private_key is None:
        return load_public(public_key)
    got = "neither" if public_key is None else "both"
    raise InvalidInput(f"expected a public key or a ring of purpose package, got {got}", hint="name the key of the publisher", code="key_required")


def init(path: str, purpose: str) -> Keyring:
    """Make a ring with one new key.  InvalidInput: something has the name already."""
    path = os.path.abspath(path)
    _refuse_taken(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        files.private_directory(folder)
    with files.lock(path + ".lock"):
        _refuse_taken(path)
        return _make(path, purpose)


def rotate(path: str, purpose: str | None = None) -> Keyring:
    """Make a new key active and retire the one that was; traces of retired keys still verify."""
    load(path, purpose)  # first, so that no lock file is made beside a ring that is not there
    path = os.path.realpath(path)  # the file behind a symlink is renewed, not the link replaced
    with files.lock(path + ".lock"):
        ring = keys.rotated(load(path, purpose), _new_key())
        _save(path, ring)
        return ring


def check(path: str, purpose: str | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with a key file: owner, permissions, folder, document, ids, purpose."""
    try:
        found = files.findings(path)
        data = files.read_bounded(path, _MAX_BYTES, "a key file")
    except GaitError as error:
        raise _not_read(error, path) from None
    try:
        _read(data, path, purpose)
    except GaitError as error:
        found.append(Finding(error.error_code, error.message, error.hint))
    return tuple(found)


def _refuse_taken(path: str) -> None:
    if os.path.lexists(path):
        hint = "keep its keys with `gait keys rotate`, or choose another path"
        raise InvalidInput("expected a free name, got one in use", where=path, hint=hint, code="keyring_exists")


def _read(data: bytes, where: str, purpose: str | None) -> Keyring:
    try:
        ring = _read_any(data, where, purpose)
        return ring if purpose is None else keys.require_purpose(ring, purpose)
    except InvalidInput as error:
        error.where = error.where or where
        raise


def _read_any(data: bytes, where: str, purpose: str | None) -> Keyring:
    text = data.strip()
    if text.startswith(b"{"):
        return keys.read(strict_json.loads(text, where, _MAX_BYTES))
    key = keys.read_secret(text.decode("ascii", "replace"))
    if purpose is None:
        raise InvalidInput("a bare secret does not say what it is for", hint="add --purpose trace", code="purpose_required")
    return Keyring(purpose, key)


def _not_read(error: GaitError, path: str) -> GaitError:
    """The error to raise for a key file that was not read: a missing key is a missing dependency."""
    if error.error_code == "file_not_found":
        hint = "give the path of a key file, or make one with `gait keys init`"
        return MissingDependency("expected a key file, got no such file", where=_shown(path), hint=hint, code="key_missing")
    error.where = _shown(error.where)
    return error


def _shown(name: str) -> str:
    """A path or variable name for messages, unless someone gave the key itself in its place."""
    return "<not shown: it may be a key>" if keys.looks_secret(name) else name


def _make(path: str, purpose: str) -> Keyring:
    ring = Keyring(purpose, _new_key())
    _save(path, ring)
    return ring


def _new_key() -> keys.Key:
    return keys.make(os.urandom(_SECRET_BYTES), timestamps.dumps(int(clock.now())))


def _save(path: str, ring: Keyring) -> None:
    from json import dumps

    files.write_atomic(path, (dumps(ring.to_value(), indent=2) + "\n").encode("ascii"), sync=True)
