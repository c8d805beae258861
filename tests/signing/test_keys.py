"""Key ids, key rings and their document: strict when read, silent about secrets."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle

import pytest

from gait.errors import InvalidInput
from gait.signing import keys
from gait.signing.keys import Key, Keyring

SECRETS = [bytes(range(start, start + 32)) for start in (1, 40, 80)]
CREATED = "2026-02-05T00:00:00Z"
A, B, C = (keys.make(secret, CREATED) for secret in SECRETS)
RING = Keyring("trace", A, (B, C))


def document() -> dict:
    return copy.deepcopy(RING.to_value())


def spellings(secret: bytes) -> list[str]:
    """Every form in which a secret might slip into a text."""
    texts = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], base64.urlsafe_b64encode(secret).decode()]
    return texts + [text[:20] for text in texts]


def assert_silent(text: str) -> None:
    for secret in SECRETS:
        assert not [form for form in spellings(secret) if form in text], text


def test_the_key_id_is_the_contracts():
    secret = SECRETS[0]
    assert keys.key_id(secret) == hmac.new(secret, b"gait.key-id.v1", hashlib.sha256).hexdigest()[:16]
    assert keys.make(secret) == Key(keys.key_id(secret), secret, "")


@pytest.mark.parametrize("length", [32, 33, 64, 1024])
def test_secrets_of_these_lengths_are_taken(length):
    assert keys.make(bytes(i % 251 for i in range(length))).key_id


@pytest.mark.parametrize("secret", [b"", b"a", bytes(range(31)), bytes(i % 7 for i in range(1025)), b"a" * 32, bytes(64)])
def test_weak_secrets_are_refused(secret):
    with pytest.raises(InvalidInput) as caught:
        keys.make(secret)
    assert caught.value.error_code == "weak_key"
    assert "32 to 1024 random bytes" in str(caught.value) and caught.value.hint


def test_find_looks_at_active_and_retired():
    assert [RING.find(key.key_id) for key in (A, B, C)] == [A, B, C]
    assert RING.find("0" * 16) is None and RING.find("") is None


def test_the_document_is_read_back():
    assert keys.read(json.loads(json.dumps(document()))) == RING


def test_a_key_without_a_time_is_read_back():
    ring = Keyring("approval", keys.make(SECRETS[0]))
    assert "created_at" not in ring.to_value()["keys"][0]
    assert keys.read(ring.to_value()) == ring


def test_the_active_key_may_stand_anywhere():
    value = document()
    value["keys"].reverse()
    assert keys.read(value) == Keyring("trace", A, (C, B))


def broken(change) -> dict:
    value = document()
    change(value)
    return value


REFUSED = {
    "schema_id": lambda v: v.update(schema_id="gait.gate.trace"),
    "schema_version": lambda v: v.update(schema_version="2.0.0"),
    "schema_version number": lambda v: v.update(schema_version=1),
    "no schema_id": lambda v: v.pop("schema_id"),
    "purpose": lambda v: v.update(purpose="journal"),
    "purpose type": lambda v: v.update(purpose=["trace"]),
    "purpose case": lambda v: v.update(purpose="Trace"),
    "no purpose": lambda v: v.pop("purpose"),
    "active": lambda v: v.update(active="0" * 16),
    "active null": lambda v: v.update(active=None),
    "active is a secret": lambda v: v.update(active=v["keys"][0]["secret"]),
    "purpose is a secret": lambda v: v.update(purpose=v["keys"][0]["secret"]),
    "schema_id is a secret": lambda v: v.update(schema_id=v["keys"][0]["secret"]),
    "created_at is a secret": lambda v: v["keys"][0].update(created_at=v["keys"][0]["secret"]),
    "key name is a secret": lambda v: v.update({v["keys"][0]["secret"]: 1}),
    "keys is a secret": lambda v: v.update(keys=v["keys"][0]["secret"]),
    "key is a secret": lambda v: v.update(keys=[v["keys"][0]["secret"]]),
    "key_id is a secret": lambda v: v["keys"][1].update(key_id=v["keys"][0]["secret"]),
    "unknown key": lambda v: v.update(comment="x"),
    "unknown key in a key": lambda v: v["keys"][1].update(expires_at=CREATED),
    "no keys": lambda v: v.update(keys=[]),
    "keys missing": lambda v: v.pop("keys"),
    "keys as object": lambda v: v.update(keys={}),
    "keys null": lambda v: v.update(keys=None),
    "key not an object": lambda v: v["keys"].append(1),
    "too many": lambda v: v.update(keys=v["keys"] * 40),
    "twice": lambda v: v["keys"].append(v["keys"][1]),
    "other id": lambda v: v["keys"][1].update(key_id="0" * 16),
    "swapped ids": lambda v: v["keys"][1].update(key_id=v["keys"][2]["key_id"]),
    "upper-case id": lambda v: v["keys"][0].update(key_id=v["keys"][0]["key_id"].upper()),
    "surrogate id": lambda v: v["keys"][0].update(key_id="\ud800"),
    "id number": lambda v: v["keys"][0].update(key_id=1),
    "no secret": lambda v: v["keys"][0].pop("secret"),
    "secret null": lambda v: v["keys"][0].update(secret=None),
    "secret short": lambda v: v["keys"][0].update(secret=base64.b64encode(bytes(range(31))).decode()),
    "secret constant": lambda v: v["keys"][0].update(secret=base64.b64encode(b"x" * 32).decode()),
    "secret not padded": lambda v: v["keys"][0].update(secret=v["keys"][0]["secret"].rstrip("=")),
    "secret with newline": lambda v: v["keys"][0].update(secret=v["keys"][0]["secret"] + "\n"),
    "secret with junk": lambda v: v["keys"][0].update(secret="*" + v["keys"][0]["secret"]),
    "secret beyond ascii": lambda v: v["keys"][0].update(secret="é" + v["keys"][0]["secret"]),
    "secret not canonical": lambda v: v["keys"][0].update(secret=v["keys"][0]["secret"][:-2] + "B="),
    "time": lambda v: v["keys"][0].update(created_at="yesterday"),
    "time number": lambda v: v["keys"][0].update(created_at=1),
    "time null": lambda v: v["keys"][0].update(created_at=None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_document_is_refused_with_the_place_and_without_the_secret(case):
    with pytest.raises(InvalidInput) as caught:
        keys.read(broken(REFUSED[case]))
    error = caught.value
    assert error.error_code == "keyring_invalid" and "must be" in str(error) and "; got " in str(error) and error.hint
    assert_silent(str(error) + repr(error) + json.dumps(error.to_value()))


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(InvalidInput, match="key ring: must be an object"):
        keys.read(value)


def test_an_unknown_plain_name_is_shown():
    with pytest.raises(InvalidInput, match=r"keys\[1\]: .*unknown key: expires_at"):
        keys.read(broken(REFUSED["unknown key in a key"]))


def test_rotation_retires_the_active_key():
    new = keys.make(bytes(range(100, 132)), CREATED)
    assert keys.rotated(RING, new) == Keyring("trace", new, (A, B, C))


def test_rotation_refuses_a_key_of_the_ring():
    with pytest.raises(InvalidInput, match="expected a new key"):
        keys.rotated(RING, C)


def test_a_ring_never_grows_past_what_can_be_read_again():
    ring = Keyring("trace", A)
    for number in range(keys.MAX_KEYS - 1):
        ring = keys.rotated(ring, keys.make(bytes([number]) + bytes(range(100, 131))))
    assert keys.read(ring.to_value()) == ring
    with pytest.raises(InvalidInput, match="at most 100 keys"):
        keys.rotated(ring, B)


def test_rings_are_kept_apart_by_purpose():
    assert keys.require_purpose(RING, "trace") is RING
    with pytest.raises(InvalidInput, match="for purpose approval, got one for trace") as caught:
        keys.require_purpose(RING, "approval")
    assert caught.value.error_code == "key_purpose_mismatch"


def test_a_bare_secret():
    assert keys.read_secret(base64.b64encode(SECRETS[0]).decode()) == keys.make(SECRETS[0])


@pytest.mark.parametrize("change", ["{}x", " {}", "{}=", "-{}", "é{}", "{}\n{}"])
def test_another_spelling_of_a_bare_secret_is_refused(change):
    text = base64.b64encode(SECRETS[0]).decode()
    with pytest.raises(InvalidInput) as caught:
        keys.read_secret(change.format(text, text))
    assert caught.value.error_code == "key_malformed"
    assert_silent(str(caught.value))


def test_looks_secret():
    assert keys.looks_secret(base64.b64encode(SECRETS[0]).decode())
    assert not any(keys.looks_secret(text) for text in ("", "GAIT_KEY", "/etc/gait/trace.json", "keys/trace", "é" * 44))


def test_no_repr_shows_a_secret():
    shown = [repr(A), str(A), f"{A}", f"{RING!r}", "%s" % (RING,), repr([A]), repr({"k": RING}), repr(RING._asdict())]
    assert_silent(" ".join(shown))
    assert A.key_id in repr(RING)


def test_rings_survive_a_copy():
    assert pickle.loads(pickle.dumps(RING)) == RING
