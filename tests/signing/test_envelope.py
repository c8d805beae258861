"""Signatures: what is signed, what is refused and by which error code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from pathlib import Path

import pytest

from gait.errors import GaitError, InvalidInput, VerificationFailed
from gait.formats import jcs
from gait.signing import ed25519, envelope, keys
from gait.signing.envelope import APPROVAL_TOKEN, TRACE
from gait.signing.keys import Keyring

SECRET = bytes(range(7, 39))
OLD = keys.make(bytes(range(60, 92)))
KEY = keys.make(SECRET)
RING = Keyring("trace", KEY, (OLD,))
RECORD = {
    "schema_id": "gait.gate.trace",
    "schema_version": "1.0.0",
    "created_at": "2026-02-05T00:00:00Z",
    "trace_id": "26ec0001dccce5cef1e4cf00",
    "tool_name": "tool.exec – ünï \U0001f600",
    "intent_digest": "61f9319ed83cce5e62fc14fe1daa21c36238dd3079d88699c4032ca530519a89",
    "verdict": "block",
    "violations": ["v_one", "v_two"],
    "latency_ms": 0.146789,
    "sequence": 12,
    "context": {"identity": "alice", "simulated": False, "nothing": None},
}


def signed(**changes: object) -> dict:
    """The signed record with fields of its signature changed; None drops one."""
    document = envelope.sign(RECORD, KEY, TRACE)
    signature = {**document["signature"], **changes}
    return {**document, "signature": {name: value for name, value in signature.items() if value is not None}}


def code(document: object, ring: Keyring = RING, purpose: str = TRACE) -> str:
    with pytest.raises(VerificationFailed) as caught:
        envelope.verify(document, ring, purpose)
    error = caught.value
    assert error.exit_code == 2 and str(error) and error.hint and error.to_value()["ok"] is False
    assert SECRET.hex() not in repr(error) and base64.b64encode(SECRET).decode() not in str(error)
    return error.error_code


def test_the_signature_is_the_contracts():
    signature = envelope.sign(RECORD, KEY, TRACE)["signature"]
    digest = hashlib.sha256(jcs.dumps(RECORD)).hexdigest()
    mac = hmac.new(SECRET, b"gait.trace.v1\0" + digest.encode("ascii"), hashlib.sha256).digest()
    assert signature == {
        "alg": "hmac-sha256",
        "key_id": KEY.key_id,
        "sig": base64.b64encode(mac).decode("ascii"),
        "signed_digest": digest,
    }


def test_signing_leaves_the_document_and_the_order_alone():
    before = json.dumps(RECORD)
    document = envelope.sign(RECORD, KEY, TRACE)
    assert json.dumps(RECORD) == before
    assert list(document) == [*RECORD, "signature"]


def test_verify_returns_the_document_itself():
    document = envelope.sign(RECORD, KEY, TRACE)
    before = json.dumps(document)
    assert envelope.verify(document, RING, TRACE) is document
    assert json.dumps(document) == before


def test_a_retired_key_still_verifies_and_key_order_does_not_matter():
    document = envelope.sign(RECORD, OLD, TRACE)
    assert envelope.verify(dict(reversed(list(document.items()))), RING, TRACE)


def test_fields_of_later_versions_are_covered():
    later = envelope.sign({**RECORD, "added_in_2031": {"deep": [1]}}, KEY, TRACE)
    assert envelope.verify(json.loads(json.dumps(later)), RING, TRACE)
    later["added_in_2031"]["deep"][0] = 2
    assert code(later) == "digest_mismatch"


def test_a_signed_document_is_not_signed_again():
    with pytest.raises(InvalidInput) as caught:
        envelope.sign(envelope.sign(RECORD, KEY, TRACE), KEY, TRACE)
    assert caught.value.error_code == "already_signed"


def test_what_has_no_canonical_form_is_not_signed():
    for value in (2**53, float("nan"), {1, 2}, "\ud800"):
        with pytest.raises(InvalidInput):
            envelope.sign({"x": value}, KEY, TRACE)


@pytest.mark.parametrize("document", [{}, {"verdict": "allow"}, None, [], "text", 3])
def test_signature_missing(document):
    assert code(document) == "signature_missing"


@pytest.mark.parametrize(
    "signature",
    [None, "text", [], {}, {"alg": "hmac-sha256"}, {"alg": "hmac-sha256", "key_id": "x", "sig": "", "signed_digest": None}],
)
def test_signature_malformed_as_a_whole(signature):
    assert code({**RECORD, "signature": signature}) == "signature_malformed"


SIG = envelope.sign(RECORD, KEY, TRACE)["signature"]["sig"]


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": "x"},
        {"alg": 1},
        {"key_id": True},
        {"key_id": None},
        {"sig": None},
        {"sig": ["x"]},
        {"sig": SIG + "\n"},
        {"sig": SIG.rstrip("=")},
        {"sig": SIG + "===="},
        {"sig": " " + SIG},
        {"sig": SIG.replace("=", "-")},
        {"sig": SIG[:-2] + chr(ord(SIG[-2]) + 1) + "="},
        {"sig": "é"},
        {"sig": "\ud800"},
        {"sig": ""},
        {"sig": base64.b64encode(bytes(31)).decode()},
        {"sig": base64.b64encode(bytes(64)).decode()},
        {"signed_digest": ""},
        {"signed_digest": "0" * 63},
        {"signed_digest": "A" * 64},
        {"signed_digest": "0" * 64 + "\n"},
        {"signed_digest": "é" * 64},
    ],
)
def test_signature_malformed(changes):
    assert code(signed(**changes)) == "signature_malformed"


@pytest.mark.parametrize("alg", ["ed25519", "none", "", "HMAC-SHA256", "hmac-sha512", "hmac-sha256 "])
def test_the_algorithm_is_pinned(alg):
    assert code(signed(alg=alg)) == "algorithm_not_supported"


def test_a_published_ed25519_trace_is_told_apart():
    document = signed(alg="ed25519", key_id="f2" * 32, sig=base64.b64encode(bytes(range(64))).decode())
    with pytest.raises(VerificationFailed, match="hmac-sha256 is the only algorithm of this key; got 'ed25519'"):
        envelope.verify(document, RING, TRACE)


@pytest.mark.parametrize("key_id", ["", "0" * 16, KEY.key_id.upper(), KEY.key_id[:15], "\ud800"])
def test_key_unknown(key_id):
    assert code(signed(key_id=key_id)) == "key_unknown"


def test_digest_mismatch():
    assert code({**signed(), "verdict": "allow"}) == "digest_mismatch"
    assert code(signed(signed_digest="0" * 64)) == "digest_mismatch"


def test_a_digest_that_was_made_to_fit_does_not_help():
    changed = {**RECORD, "verdict": "allow"}
    forged = {**changed, "signature": {**signed()["signature"], "signed_digest": jcs.digest(changed)}}
    assert code(forged) == "signature_mismatch"


def test_the_other_key_of_the_ring_does_not_verify():
    assert code(signed(key_id=OLD.key_id)) == "signature_mismatch"


def test_a_signature_for_one_purpose_is_none_for_another():
    ring = Keyring("approval", KEY)
    assert code(envelope.sign(RECORD, KEY, TRACE), ring, APPROVAL_TOKEN) == "signature_mismatch"
    assert envelope.verify(envelope.sign(RECORD, KEY, APPROVAL_TOKEN), ring, APPROVAL_TOKEN)


def test_a_ring_of_the_other_family_is_refused():
    for ring, purpose in ((RING, APPROVAL_TOKEN), (Keyring("approval", KEY), TRACE)):
        with pytest.raises(InvalidInput) as caught:
            envelope.verify(envelope.sign(RECORD, KEY, purpose), ring, purpose)
        assert caught.value.error_code == "key_purpose_mismatch"


def test_an_unknown_purpose_is_refused():
    for act in (lambda: envelope.sign(RECORD, KEY, "gait.other.v1"), lambda: envelope.verify(signed(), RING, "trace")):
        with pytest.raises(InvalidInput, match="expected one of the purposes gait.trace.v1"):
            act()


def test_every_purpose_belongs_to_a_family_of_keys():
    assert set(envelope.FAMILY_OF.values()) == set(keys.FAMILIES)
    assert len(set(envelope.PURPOSES)) == len(envelope.PURPOSES) and all(purpose.startswith("gait.") for purpose in envelope.PURPOSES)
    assert envelope.FAMILY_OF[APPROVAL_TOKEN] == "approval" and envelope.FAMILY_OF[TRACE] == "trace"
    packages = {purpose for purpose, family in envelope.FAMILY_OF.items() if family == "package"}
    assert packages == {envelope.REGISTRY_PACK, envelope.SKILL_MANIFEST}


@pytest.mark.parametrize("value", [2**53, -(2**60), float("inf"), "\ud800", {1: 2}, object()])
def test_a_document_without_a_canonical_form_fails_to_verify(value):
    assert code({**signed(), "added": value}) == "document_malformed"


def test_nesting_beyond_the_stack_fails_to_verify():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert code({**signed(), "added": deep}) == "document_malformed"
    while deep:
        deep = deep.pop()


def leaves(value: object, path: tuple = ()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for step, item in items:
        yield from leaves(item, (*path, step))


def replaced(value: object, path: tuple, new: object) -> object:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def test_no_flipped_byte_of_any_value_verifies():
    document = envelope.sign(RECORD, KEY, TRACE)
    tried = 0
    for path, value in leaves(document):
        raw = json.dumps(value, ensure_ascii=False).encode("utf-8")
        for position in range(len(raw)):
            for bit in range(8):
                flipped = bytearray(raw)
                flipped[position] ^= 1 << bit
                try:
                    changed = json.loads(flipped.decode("utf-8"))
                except (ValueError, UnicodeDecodeError):
                    continue
                assert changed != value or type(changed) is not type(value)
                tried += 1
                with pytest.raises(VerificationFailed):
                    envelope.verify(replaced(document, path, changed), RING, TRACE)
    assert tried > 1500


def test_no_removed_added_or_renamed_field_verifies():
    document = envelope.sign(RECORD, KEY, TRACE)
    for name in document:
        rest = {key: value for key, value in document.items() if key != name}
        for changed in (rest, {**rest, name + "_": document[name]}, {**document, name + "_": 1}):
            with pytest.raises(VerificationFailed):
                envelope.verify(changed, RING, TRACE)


def test_no_random_signature_object_ever_raises_anything_else():
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    parts = [None, True, 0, 1.5, "", "x", SIG, KEY.key_id, "hmac-sha256", [], {}, "\x00", "0" * 64, "\udfff", 10**400]
    for _ in range(3000):
        names = rng.sample(["alg", "key_id", "sig", "signed_digest", "extra"], rng.randrange(6))
        document = {**RECORD, "signature": {**signed()["signature"], **{name: rng.choice(parts) for name in names}}}
        try:
            assert envelope.verify(document, RING, TRACE)["signature"] == signed()["signature"]
        except GaitError as error:
            assert isinstance(error, VerificationFailed)


def test_signing_a_small_record_is_quick():
    best = min(_seconds(lambda: envelope.sign(RECORD, KEY, TRACE)) for _ in range(7))
    assert best < 400e-6  # measured: about 20 microseconds; the limit only catches another order of magnitude


def _seconds(act) -> float:
    start = time.perf_counter()
    for _ in range(50):
        act()
    return (time.perf_counter() - start) / 50


# --- public keys ---------------------------------------------------------------------------------

PUBLISHED = Path(__file__).resolve().parents[2] / "fixtures" / "traces" / "published"
PUBLIC = ed25519.read((PUBLISHED / "public.key").read_bytes())
PUBLISHED_TRACE = json.loads((PUBLISHED / "trace_v1.json").read_text("utf-8"))


def test_a_public_key_verifies_what_the_published_implementation_signed():
    assert envelope.verify(PUBLISHED_TRACE, PUBLIC, TRACE) is PUBLISHED_TRACE
    assert code({**PUBLISHED_TRACE, "verdict": "allow"}, PUBLIC) == "digest_mismatch"
    changed = {**PUBLISHED_TRACE, "verdict": "allow"}
    del changed["signature"]
    forged = {**changed, "signature": {**PUBLISHED_TRACE["signature"], "signed_digest": jcs.digest(changed)}}
    assert code(forged, PUBLIC) == "signature_mismatch"


def test_an_algorithm_belongs_to_its_key():
    assert code(signed(), PUBLIC) == "algorithm_not_supported"
    assert code(PUBLISHED_TRACE) == "algorithm_not_supported"
    assert code(signed(key_id=PUBLIC.key_id), PUBLIC) == "algorithm_not_supported"
    other = PUBLISHED_TRACE["signature"]
    renamed = {**PUBLISHED_TRACE, "signature": {**other, "alg": "hmac-sha256", "key_id": KEY.key_id}}
    assert code(renamed) == "signature_malformed"  # 64 bytes are no HMAC
    assert code({**PUBLISHED_TRACE, "signature": {**signed()["signature"], "alg": "ed25519", "key_id": PUBLIC.key_id}}, PUBLIC) == "signature_malformed"


def test_the_public_key_is_no_hmac_key():
    """The classic confusion: a MAC under the public bytes, which everybody has."""
    record = {name: value for name, value in PUBLISHED_TRACE.items() if name != "signature"}
    forged = envelope.sign(record, keys.make(PUBLIC.raw), TRACE)
    assert envelope.verify(forged, Keyring("trace", keys.make(PUBLIC.raw)), TRACE)  # the control
    assert code(forged, PUBLIC) == "algorithm_not_supported"
    signature = {**forged["signature"], "alg": "ed25519", "key_id": PUBLIC.key_id}
    assert code({**record, "signature": signature}, PUBLIC) == "signature_malformed"


@pytest.mark.parametrize("purpose", sorted(set(envelope.PURPOSES) - set(envelope.PUBLIC)))
def test_a_public_key_verifies_only_what_the_published_implementation_signs(purpose):
    with pytest.raises(InvalidInput) as caught:
        envelope.verify(PUBLISHED_TRACE, PUBLIC, purpose)
    assert caught.value.error_code == "key_purpose_mismatch"


def test_one_kind_of_document_is_not_taken_for_another():
    """Its signature names no purpose: the schema_id that it covers does."""
    assert code(PUBLISHED_TRACE, PUBLIC, envelope.RUNPACK) == "document_malformed"


def test_another_public_key():
    rfc = json.loads((PUBLISHED.parents[1] / "signing" / "ed25519_rfc8032.json").read_text("ascii"))
    other = ed25519.make(bytes.fromhex(rfc[0]["public_key"]))
    assert code(PUBLISHED_TRACE, other) == "key_unknown"
    renamed = {**PUBLISHED_TRACE, "signature": {**PUBLISHED_TRACE["signature"], "key_id": other.key_id}}
    assert code(renamed, other) == "signature_mismatch"


def listed(*signers: object) -> dict:
    signatures = [envelope.sign(RECORD, key, TRACE)["signature"] for key in signers]
    return {**RECORD, "signatures": signatures}


def test_verify_all():
    stranger = keys.make(bytes(range(90, 122)))
    bad = {**envelope.sign(RECORD, KEY, TRACE)["signature"], "sig": base64.b64encode(bytes(32)).decode()}

    def codes(document: dict) -> list[str]:
        return [error.error_code for error in envelope.verify_all(document, RING, TRACE)]

    assert codes(listed(KEY)) == codes(listed(KEY, OLD)) == codes(listed(stranger, KEY)) == []
    assert codes(listed(stranger)) == ["key_unknown"]
    assert codes({**listed(KEY), "signatures": [*listed(KEY)["signatures"], bad]}) == ["signature_mismatch"]
    assert codes({**listed(KEY), "verdict": "allow"}) == ["digest_mismatch"]
    for nothing in ({**RECORD}, {**RECORD, "signatures": []}, {**RECORD, "signatures": {}}, {**RECORD, "signatures": "x"}):
        assert codes(nothing) == ["signature_missing"]
    for odd in (None, 1, "x", [], {}):
        assert codes({**RECORD, "signatures": [odd]}) == ["signature_malformed"]


def test_signatures_without_number_are_not_tried(monkeypatch):
    """Each would cost a digest of the whole document, and a manifest of 1 MiB has room for thousands."""
    tried: list[object] = []
    document = listed(*[KEY] * (envelope.MAX_SIGNATURES + 1))
    monkeypatch.setattr(envelope, "verify", lambda *words: tried.append(words))
    assert [error.error_code for error in envelope.verify_all(document, RING, TRACE)] == ["too_many_signatures"] and not tried
    assert envelope.verify_all({**document, "signatures": document["signatures"][1:]}, RING, TRACE) == [] and len(tried) == envelope.MAX_SIGNATURES
