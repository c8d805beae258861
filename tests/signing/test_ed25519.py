"""Ed25519 against RFC 8032 and a table of attacks, with the answers of OpenSSL and libsodium beside ours."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from gait.errors import InvalidInput
from gait.signing import ed25519
from gait.signing.ed25519 import PublicKey

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "signing"
RFC = json.loads((FIXTURES / "ed25519_rfc8032.json").read_text("ascii"))
CASES = json.loads((FIXTURES / "ed25519_cases.json").read_text("ascii"))
ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "60"))
KEY = bytes.fromhex(RFC[1]["public_key"])
PEM = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n"


def parts(case: dict) -> tuple[bytes, bytes, bytes]:
    return bytes.fromhex(case["public_key"]), bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])


@lru_cache(maxsize=None)
def is_good(key: bytes, message: bytes, signature: bytes) -> bool:
    """As every caller does it: no signature is looked at under a key that is refused."""
    try:
        return ed25519.is_signed(ed25519.make(key), message, signature)
    except InvalidInput as error:
        assert error.error_code in ("public_key_malformed", "weak_key")
        return False


@pytest.mark.parametrize("case", RFC, ids=lambda case: case["name"])
def test_the_vectors_of_rfc_8032(case):
    key, message, signature = parts(case)
    assert is_good(key, message, signature)
    assert not is_good(key, message + b"\0", signature)


def test_the_table_of_attacks():
    wrong = [case["name"] for case in CASES if is_good(*parts(case)) != case["valid"]]
    assert wrong == [] and len(CASES) >= 280 and sum(case["valid"] for case in CASES) == 26


def test_nothing_is_accepted_that_another_verifier_refuses():
    accepted = [case for case in CASES if is_good(*parts(case))]
    assert accepted and all(case["openssl"] and case["libsodium"] for case in accepted)


def test_the_attacks_of_the_table_work_on_others():
    """The control: OpenSSL accepts one signature for many messages under such keys, and libsodium those of mixed order."""
    fooled = [case["name"] for case in CASES if not case["valid"] and (case["openssl"] or case["libsodium"])]
    assert sum("small order" in name for name in fooled) >= 16 and sum("mixed order" in name for name in fooled) >= 16


def test_it_is_the_check_of_the_key_that_stops_them():
    for case in CASES:
        key, message, signature = parts(case)
        if "mixed order" in case["name"] and case["name"].endswith(", holds"):
            assert ed25519.is_signed(PublicKey("", key), message, signature) and not is_good(key, message, signature)


def test_random_damage_never_verifies():
    seed = int(os.environ.get("GAIT_FUZZ_SEED", random.randrange(2**32)))
    print("seed", seed)
    chance = random.Random(seed)
    good = [case for case in RFC + CASES if case.get("valid", True)]
    for _ in range(ROUNDS):
        found = [bytearray(part) for part in parts(chance.choice(good))]
        part = chance.choice([part for part in found if part])
        part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        assert not is_good(*map(bytes, found)), (seed, [part.hex() for part in found])


SPKI = bytes.fromhex("302a300506032b6570032100") + KEY


@pytest.mark.parametrize(
    "data",
    [
        base64.b64encode(KEY), base64.b64encode(KEY) + b"\r\n", b"\n " + base64.b64encode(KEY),
        PEM % base64.b64encode(SPKI), (PEM % base64.b64encode(SPKI)).replace(b"\n", b"\r\n"),
    ],
)  # fmt: skip
def test_reads_keys(data):
    key = ed25519.read(data)
    assert key.raw == KEY and key.key_id == hashlib.sha256(KEY).hexdigest()


SECRET = bytes(range(1, 33))
REFUSED = {
    "empty": b"",
    "not base64": b"what?",
    "not ASCII": b"\xff\xfe",
    "trailing bits": base64.b64encode(KEY)[:-2] + b"x=",
    "no padding": base64.b64encode(KEY)[:-1],
    "short": base64.b64encode(KEY[:31]),
    "long": base64.b64encode(KEY + b"\0"),
    "private key of the published form": base64.b64encode(SECRET + KEY),
    "PEM private key": b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----" % base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + SECRET),
    "PEM of RSA": PEM % base64.b64encode(b"\x30\x0d\x06\x09" + KEY),
    "PEM of X25519": PEM % base64.b64encode(bytes.fromhex("302a300506032b656e032100") + KEY),
    "PEM cut": PEM[:-10] % base64.b64encode(SPKI),
    "two PEM keys": (PEM % base64.b64encode(SPKI)) * 2,
    "PEM without a key": PEM % b"",
    "zero": base64.b64encode(bytes(32)),
    "the neutral point": base64.b64encode(b"\1" + bytes(31)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_is_no_key(name):
    with pytest.raises(InvalidInput) as caught:
        ed25519.read(REFUSED[name])
    error = caught.value
    assert error.error_code in ("public_key_malformed", "weak_key") and error.hint
    assert base64.b64encode(SECRET).decode()[:20] not in f"{error} {error.hint}"
    assert ("private" in error.hint) is (name == "private key of the published form")


def test_keys_that_forge_are_called_weak():
    weak = {case["public_key"] for case in CASES if case["name"].startswith(("key 1", "key of mixed order"))}
    for key in weak:
        with pytest.raises(InvalidInput) as caught:
            ed25519.make(bytes.fromhex(key))
        assert caught.value.error_code == "weak_key"
    assert len(weak) == 8


def test_no_process_loads_the_curve_without_need():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import gait.judge; assert 'gait.signing.ed25519' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(ROOT)], check=True, timeout=60)
