"""Signatures inside JSON documents: purpose-bound HMAC, and the published implementation's Ed25519, which is verified only.

sig = HMAC-SHA256(key, purpose || 0x00 || signed_digest), where signed_digest is the digest (RFC 8785,
SHA-256) of the document without `signature`: fields that this version does not know are covered too.
An Ed25519 signature is of the 32 bytes of signed_digest; what binds it to a purpose is the schema_id among them.
The algorithm belongs to the key, never to the document.
"""

from __future__ import annotations

import hmac

from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats import jcs
from ..formats.documents import TYPE_CHECKING
from ..formats.patterns import lazy
from ..formats.strict_json import type_name
from .keys import Key, Keyring, base64_dumps, base64_loads, require_purpose

if TYPE_CHECKING:
    from typing import Union

    from .ed25519 import PublicKey

    Verifier = Union[Keyring, PublicKey]

ALGORITHM = "hmac-sha256"
TRACE = "gait.trace.v1"
APPROVAL_TOKEN = "gait.approval_token.v1"
APPROVAL_GRANT = "gait.approval_grant.v1"
JOURNAL = "gait.journal.v1"
JOURNAL_HEAD = "gait.journal_head.v1"
RUNPACK = "gait.runpack.v1"
GUARD_PACK = "gait.guard_pack.v1"
STOPS = "gait.stops.v1"
REGISTRY_PACK = "gait.registry_pack.v1"
SKILL_MANIFEST = "gait.skill_manifest.v1"
# The family of key that may sign each kind of document.
FAMILY_OF = {
    **{TRACE: "trace", JOURNAL: "trace", JOURNAL_HEAD: "trace", RUNPACK: "trace", GUARD_PACK: "trace", STOPS: "trace"},
    **{REGISTRY_PACK: "package", SKILL_MANIFEST: "package"},
    **{APPROVAL_TOKEN: "approval", APPROVAL_GRANT: "approval"},
}
PURPOSES = tuple(FAMILY_OF)
# What a public key may verify, and the schema_id that the document must have: its signature names no purpose.
PUBLIC = {
    TRACE: ("gait.gate.trace",),
    RUNPACK: ("gait.runpack.manifest",),
    REGISTRY_PACK: ("gait.registry.pack",),
    SKILL_MANIFEST: ("gait.skill.manifest", "gait.openclaw.skill_manifest"),
}

_NAMES = {"alg", "key_id", "sig", "signed_digest"}
_DIGEST = lazy("[0-9a-f]{64}")
_SIG_BYTES = 32
_ED25519 = "ed25519"  # and its signatures' size, without importing the curve into every process
_ED25519_BYTES = 64
MAX_SIGNATURES = 16  # of one document: each has the whole document digested anew


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


def verify(document: dict[str, object], keys: Verifier, purpose: str) -> dict[str, object]:
    """The document itself, unmodified.  VerificationFailed with an error code of its own for each reason.

    signature_missing, signature_malformed, algorithm_not_supported, key_unknown, digest_mismatch,
    signature_mismatch, document_malformed.  InvalidInput: the keys are not for this purpose.
    """
    family = _family(purpose)
    if not isinstance(keys, Keyring):
        return _verify_public(document, keys, purpose)
    require_purpose(keys, family)
    signature = _signature(document, ALGORITHM)
    sig = _sig_bytes(signature, _SIG_BYTES)
    key = keys.find(signature["key_id"])
    if key is None:
        raise _unknown_key(signature["key_id"], f"must be a key of this ring (active {keys.active.key_id})")
    _check_digest(document, signature)
    if not hmac.compare_digest(_mac(key, purpose, signature["signed_digest"]), sig):
        message = f"expected a signature by key {key.key_id} for {purpose}, got one that is not"
        raise _failed("signature_mismatch", message)
    return document


def verify_all(document: dict[str, object], keys: Verifier, purpose: str) -> list[VerificationFailed]:
    """What is wrong with each of a document's `signatures`; each is of the document without them.

    Empty: one of them at least verifies.  One of another's key is no problem beside one that verifies.
    """
    unsigned = {name: item for name, item in document.items() if name != "signatures"}
    signatures = document.get("signatures")
    problems = []
    count = 0
    if type(signatures) is list and len(signatures) > MAX_SIGNATURES:
        return [_failed("too_many_signatures", f"expected at most {MAX_SIGNATURES} signatures, got {len(signatures)}")]
    for signature in signatures if type(signatures) is list else ():
        count += 1
        try:
            verify({**unsigned, "signature": signature}, keys, purpose)
        except VerificationFailed as error:
            problems.append(error)
    if not count:
        return [_failed("signature_missing", "expected a signed document, got an unsigned one", "have it signed")]
    if len(problems) < count:
        problems = [error for error in problems if error.error_code not in ("key_unknown", "algorithm_not_supported")]
    return problems


def _verify_public(document: dict[str, object], key: PublicKey, purpose: str) -> dict[str, object]:
    from . import ed25519

    if purpose not in PUBLIC:
        raise InvalidInput(f"no public key verifies {purpose}", hint="name the key ring that signed it", code="key_purpose_mismatch")
    signature = _signature(document, _ED25519)
    sig = _sig_bytes(signature, _ED25519_BYTES)
    if signature["key_id"] != key.key_id:
        raise _unknown_key(signature["key_id"], f"must be this public key's, {key.key_id}")
    if document.get("schema_id") not in PUBLIC[purpose]:
        message = f"schema_id: must be {' or '.join(PUBLIC[purpose])}; got {str(document.get('schema_id'))[:80]!r}"
        raise _failed("document_malformed", message)
    _check_digest(document, signature)
    if not ed25519.is_signed(key, bytes.fromhex(signature["signed_digest"]), sig):
        raise _failed("signature_mismatch", f"expected a signature by key {key.key_id}, got one that is not")
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


def _check_digest(document: dict[str, object], signature: dict[str, str]) -> None:
    if not hmac.compare_digest(_digest(document), signature["signed_digest"]):
        message = "expected a document that gives signed_digest, got one that was changed after signing"
        raise _failed("digest_mismatch", message)


def _signature(document: dict[str, object], algorithm: str) -> dict[str, str]:
    """The signature object with its four texts, before anything in it is believed."""
    if type(document) is not dict or "signature" not in document:
        got = "none" if type(document) is dict else type_name(document)
        raise _failed("signature_missing", f"expected a document with a signature, got {got}", "sign it first")
    found = document["signature"]
    if type(found) is not dict or set(found) != _NAMES or not all(type(text) is str for text in found.values()):
        raise _failed("signature_malformed", f"signature: must be an object of the texts {', '.join(sorted(_NAMES))}")
    if found["alg"] != algorithm:  # pinned: a document must not choose how it is checked
        message = f"signature.alg: {algorithm} is the only algorithm of this key; got {found['alg'][:40]!r}"
        hint = "verify it with the signer's public key: --public-key FILE" if found["alg"] == _ED25519 else "verify it with the key that signed it"
        raise _failed("algorithm_not_supported", message, hint)
    if not _DIGEST.fullmatch(found["signed_digest"]):
        raise _failed("signature_malformed", "signature.signed_digest: must be 64 lowercase hex digits")
    return found


def _sig_bytes(signature: dict[str, str], size: int) -> bytes:
    try:
        sig = base64_loads(signature["sig"])
    except ValueError:
        raise _failed("signature_malformed", "signature.sig: must be canonical base64") from None
    if len(sig) != size:
        raise _failed("signature_malformed", f"signature.sig: must be {size} bytes; got {len(sig)}")
    return sig


def _unknown_key(key_id: str, expected: str) -> VerificationFailed:
    message = f"signature.key_id: {expected}; got {key_id[:40]!r}"
    return _failed("key_unknown", message, "verify with the key that signed it, retired ones included")


def _failed(code: str, message: str, hint: str = "do not trust this document") -> VerificationFailed:
    return VerificationFailed(message, hint=hint, code=code)
