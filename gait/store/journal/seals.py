"""Signing and verifying one line of a journal, each in one pass over its bytes.

The line is the canonical JSON of the signed record, exactly `jcs.dumps(envelope.sign(record, key, purpose))`.
Because the signature covers the canonical bytes without the `signature` member, a reader need not serialise
again: it cuts the one text that the member must be out of the line and hashes what is left.  Whatever this short way
does not accept is judged by the long one (strict_json, jcs, envelope.verify), so the answer is always the latter's.
"""

from __future__ import annotations

import hashlib
import json
from binascii import b2a_base64
from hmac import compare_digest

from ...errors import GaitError, InvalidInput, VerificationFailed
from ...formats import jcs, strict_json
from ...formats.documents import NamedTuple
from ...signing import envelope
from ...signing.keys import Key, Keyring, require_purpose
from . import records
from .records import Tail

_ADDED = frozenset((*records.LINKS, "signature"))
_NO_SIGNATURE = b',"signature":null'
_MIDDLE = b'","signed_digest":"'
_BLOCK = 64  # of SHA-256, in bytes
_sha256 = hashlib.sha256
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # no text before or after: a line's bytes are all accounted for by its digest


class Sealed(NamedTuple):
    """A signed record, its line without the newline, and the line's digest."""

    record: dict[str, object]
    line: bytes
    digest: str


class Signer:
    """One key, with what every signature by it has in common."""

    __slots__ = ("key", "start", "length", "_pads")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.start = b',"signature":{"alg":"%b","key_id":"%b","sig":"' % (envelope.ALGORITHM.encode(), key.key_id.encode())
        self.length = len(self.start) + 44 + len(_MIDDLE) + 64 + 2  # base64 of 32 bytes, hex of 32 bytes, `"}`
        self._pads = {purpose: _pads(key.secret, purpose) for purpose in records.PURPOSE_OF.values()}

    def mac(self, purpose: str, signed_digest: bytes) -> bytes:
        """HMAC-SHA256(key, purpose || 0x00 || signed_digest); RFC 2104, with the padded key hashed once."""
        inner, outer = self._pads[purpose]
        inner, outer = inner.copy(), outer.copy()
        inner.update(signed_digest)
        outer.update(inner.digest())
        return outer.digest()

    def member(self, purpose: str, payload: bytes) -> bytes:
        """The text of the `signature` member, with the comma before it, of a record without one."""
        digest = _sha256(payload).hexdigest().encode()
        return self.start + b2a_base64(self.mac(purpose, digest), newline=False) + _MIDDLE + digest + b'"}'


def _pads(secret: bytes, purpose: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    if len(secret) > _BLOCK:
        secret = _sha256(secret).digest()
    secret = secret.ljust(_BLOCK, b"\0")
    inner = _sha256(bytes(byte ^ 0x36 for byte in secret) + purpose.encode() + b"\0")
    return inner, _sha256(bytes(byte ^ 0x5C for byte in secret))


def seal(record: dict[str, object], chain: str, tail: Tail, signer: Signer) -> Sealed:
    """The record that follows `tail`, linked and signed.

    InvalidInput: it is of no kind that a journal holds, is signed or linked already, or is over the size of a line.
    """
    purpose = _purpose(record)
    if not _ADDED.isdisjoint(record):
        raise InvalidInput("expected a record without a signature and links, got one that has them", code="already_signed")
    links = {"chain": chain, "prev_digest": tail.digest, "sequence": tail.sequence + 1}
    linked: dict[str, object] = {**record, **links, "signature": None}
    text = jcs.dumps_readable(linked)
    before, after = _halves(linked, text or jcs.dumps(linked))
    member = signer.member(purpose, before + after)
    line = before + member + after
    if text is None or len(line) > records.MAX_LINE_BYTES or line.count(b"{") + line.count(b"[") > records.MAX_DEPTH:
        _check_readable(line)
    digest, sig = member[-66:-2].decode(), member[len(signer.start) : -66 - len(_MIDDLE)].decode()
    linked["signature"] = {"alg": envelope.ALGORITHM, "key_id": signer.key.key_id, "sig": sig, "signed_digest": digest}
    return Sealed(linked, line, _sha256(line).hexdigest())


def _purpose(record: dict[str, object]) -> str:
    schema = record.get("schema_id")
    purpose = records.PURPOSE_OF.get(schema) if type(schema) is str else None
    if purpose is None:
        raise InvalidInput(f"expected a record of {' or '.join(records.PURPOSE_OF)}, got {str(schema)[:80]!r}")
    return purpose


def _halves(linked: dict[str, object], text: bytes) -> tuple[bytes, bytes]:
    """The canonical text of a record without its `signature` member, which is null, cut where that sorts."""
    before, _, rest = text.partition(_NO_SIGNATURE)
    if _NO_SIGNATURE not in rest:  # what looks like it inside a text has its quotes escaped, so this is the one at the top
        return before, rest
    before = jcs.dumps({name: value for name, value in linked.items() if name < "signature"})[:-1]
    after = {name: value for name, value in linked.items() if name > "signature"}
    return before, b"," + jcs.dumps(after)[1:] if after else b"}"


def _check_readable(line: bytes) -> None:
    """What a reader would refuse must not be written."""
    if len(line) > records.MAX_LINE_BYTES:
        message = f"expected a record of at most {records.MAX_LINE_BYTES} bytes, got {len(line)}"
        raise InvalidInput(message, hint="send a smaller call", code="record_too_large")
    jcs.dumps(strict_json.loads(line, "record"))


class Opener:
    """Verifies lines with the keys of one ring."""

    __slots__ = ("_ring", "_signers")

    def __init__(self, ring: Keyring) -> None:
        self._ring = require_purpose(ring, "trace")
        self._signers = [Signer(key) for key in (ring.active, *ring.retired)]

    def open(self, line: bytes) -> dict[str, object]:
        """The record of a line (without its newline).

        VerificationFailed: line_not_json, line_not_canonical, record_malformed (no kind that a journal holds), and the codes of envelope.verify.
        """
        record = self._open_fast(line)
        return open_slowly(line, self._ring) if record is None else record

    def _open_fast(self, line: bytes) -> dict[str, object] | None:
        """The record, or None when the long way has to look.

        A comma, an unescaped quote, `signature` and another quote are a key of an object wherever they occur in JSON; so if what
        is left without them is what was signed, and the whole has `signature` at its top, it is these bytes that put it there.
        """
        for index, signer in enumerate(self._signers):
            start = line.rfind(signer.start)
            if start >= 0:
                break
        else:
            return None
        end = start + signer.length
        record = _parse(line)
        schema = record.get("schema_id")
        purpose = records.PURPOSE_OF.get(schema) if type(schema) is str else None
        if purpose is None or not compare_digest(line[start:end], signer.member(purpose, line[:start] + line[end:])):
            return None
        if index:
            self._signers.insert(0, self._signers.pop(index))
        return record if _in_place(list(record)) else None


def _parse(line: bytes) -> dict[str, object]:
    """The object of a line, empty for anything that the long way must judge."""
    if line.count(b"{") + line.count(b"[") > records.MAX_DEPTH:
        return {}
    try:
        value, _ = _scan(line.decode("utf-8"), 0)
    except (ValueError, StopIteration):
        return {}
    return value if type(value) is dict else {}


def _in_place(names: list[str]) -> bool:
    """True when `signature` is where it sorts among the other names, which are sorted (they were signed)."""
    if "signature" not in names:
        return False
    index = names.index("signature")
    return names[index - 1] < "signature" and all(name > "signature" for name in names[index + 1 : index + 2])


def open_slowly(line: bytes, ring: Keyring) -> dict[str, object]:
    """What `Opener.open` returns and raises, by the general means only."""
    try:
        record = strict_json.loads_object(line, "line", records.MAX_LINE_BYTES)
    except GaitError as error:
        raise _failed("line_not_json", error.message) from error
    if not _is_canonical(record, line):
        raise _failed("line_not_canonical", "expected canonical JSON (RFC 8785), got another spelling")
    try:
        purpose = _purpose(record)
    except InvalidInput as error:
        raise _failed("record_malformed", error.message) from error
    return envelope.verify(record, ring, purpose)


def _is_canonical(record: dict[str, object], line: bytes) -> bool:
    try:
        return jcs.dumps(record) == line
    except InvalidInput:
        return False


def _failed(code: str, message: str) -> VerificationFailed:
    return VerificationFailed(message, hint="do not trust this record", code=code)
