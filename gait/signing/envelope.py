"""Purpose-bound HMAC signatures inside JSON documents.

sig = HMAC-SHA256(key, purpose || 0x00 || signed_digest), where signed_digest is the digest (RFC 8785,
SHA-256) of the document without `signature`: fields that this version does not know are covered too.
"""

from __future__ import annotations

import hmac
import re

from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats import jcs
from ..formats.strict_json import type_name
from .keys import Key, Keyring, base64_dumps, base64_loads, require_purpose

ALGORITHM = "hmac-sha256"
TRACE = "gait.trace.v1"
APPROVAL_TOKEN = "gait.approval_token.v1"
JOURNAL = "gait.journal.v1"
JOURNAL_HEAD = "gait.journal_head.v1"
RUNPACK = "gait.runpack.v1"
GUARD_PACK = "gait.guard_pack.v1"
STOPS = "gait.stops.v1"
# The family of key that may sign each kind of document.
FAMILY_OF = {TRACE: "trace", JOURNAL: "trace", JOURNAL_HEAD: "trace", RUNPACK: "trace", GUARD_PACK: "trace", STOPS: "trace", APPROVAL_TOKEN: "approval"}
PURPOSES = tuple(FAMILY_OF)

_NAMES = {"alg", "key_id", "sig", "signed_digest"}
_DIGEST = re.compile("[0-9a-f]{64}")
_SIG_BYTES = 32


def sign(document: dict[str, object], key: Key, purpose: str) -> dict[str, object]:
    """A copy of the document with `signature` as its last field.

    InvalidInput: it has a signature already, holds a value that JCS refuses, or the purpose is unknown.
    """
    _family(purpose)
    if "signature" in document:
        raise InvalidInput("expected a document without a signature, got a signed one", code="already_signed")
    signed_digest = jcs.digest(document)
    signature = {
        "alg": ALGORITHM,
        "key_id": key.key_id,
        "sig": base64_dumps(_mac(key, purpose, signed_digest)),
        "signed_digest": signed_digest,
    }
    return {**document, "signature": signature}


def verify(document: dict[str, object], keyring: Keyring, purpose: str) -> dict[str, object]:
    """The document itself, unmodified.  VerificationFailed with an error code of its own for each reason.

    signature_missing, signature_malformed, algorithm_not_supported, key_unknown, digest_mismatch,
    signature_mismatch, document_malformed.  InvalidInput: the ring is of the other family.
    """
    require_purpose(keyring, _family(purpose))
    signature = _signature(document)
    sig = _sig_bytes(signature)
    key = keyring.find(signature["key_id"])
    if key is None:
        raise _unknown_key(signature["key_id"], keyring)
    if not hmac.compare_digest(_digest(document), signature["signed_digest"]):
        message = "expected a document that gives signed_digest, got one that was changed after signing"
        raise _failed("digest_mismatch", message)
    if not hmac.compare_digest(_mac(key, purpose, signature["signed_digest"]), sig):
        message = f"expected a signature by key {key.key_id} for {purpose}, got one that is not"
        raise _failed("signature_mismatch", message)
    return document


def _family(purpose: str) -> str:
    family = FAMILY_OF.get(purpose)
    if family is None:
        raise InvalidInput(f"expected one of the purposes {', '.join(PURPOSES)}, got {purpose[:80]!r}")
    return family


def _mac(key: Key, purpose: str, signed_digest: str) -> bytes:
    return hmac.digest(key.secret, f"{purpose}\0{signed_digest}".encode("ascii"), "sha256")


def _digest(document: dict[str, object]) -> str:
    try:
        return jcs.digest({name: value for name, value in document.items() if name != "signature"})
    except GaitError as error:
        raise _failed("document_malformed", f"expected a document with a canonical form: {error.message}") from error


def _signature(document: dict[str, object]) -> dict[str, str]:
    """The signature object with its four texts, before anything in it is believed."""
    if type(document) is not dict or "signature" not in document:
        got = "none" if type(document) is dict else type_name(document)
        raise _failed("signature_missing", f"expected a document with a signature, got {got}", "sign it first")
    found = document["signature"]
    if type(found) is not dict or set(found) != _NAMES or not all(type(text) is str for text in found.values()):
        raise _failed("signature_malformed", f"signature: must be an object of the texts {', '.join(sorted(_NAMES))}")
    if found["alg"] != ALGORITHM:  # pinned: a document must not choose how it is checked
        message = f"signature.alg: {ALGORITHM} is the only algorithm of this key ring; got {found['alg'][:40]!r}"
        raise _failed("algorithm_not_supported", message)
    if not _DIGEST.fullmatch(found["signed_digest"]):
        raise _failed("signature_malformed", "signature.signed_digest: must be 64 lowercase hex digits")
    return found


def _sig_bytes(signature: dict[str, str]) -> bytes:
    try:
        sig = base64_loads(signature["sig"])
    except ValueError:
        raise _failed("signature_malformed", "signature.sig: must be canonical base64") from None
    if len(sig) != _SIG_BYTES:
        raise _failed("signature_malformed", f"signature.sig: must be {_SIG_BYTES} bytes; got {len(sig)}")
    return sig


def _unknown_key(key_id: str, keyring: Keyring) -> VerificationFailed:
    message = f"signature.key_id: must be a key of this ring (active {keyring.active.key_id}); got {key_id[:40]!r}"
    return _failed("key_unknown", message, "verify with the ring that signed, retired keys included")


def _failed(code: str, message: str, hint: str = "do not trust this document") -> VerificationFailed:
    return VerificationFailed(message, hint=hint, code=code)
