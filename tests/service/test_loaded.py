"""The self-test refuses to arm an engine that does not refuse; engines that are broken on purpose stand in for a bad installation."""

from __future__ import annotations

import pytest

from gait.errors import GaitError, VerificationFailed
from gait.gate.decision import Decision
from gait.service import loaded
from gait.signing import envelope
from gait.signing.keys import Keyring, make

POLICY = "default_verdict: block\n"
RING = Keyring("trace", make(bytes(range(32))))
OTHER = make(bytes(range(1, 33)))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def allow(compiled, intent) -> Decision:
    return Decision("allow", (), (), "probe", compiled.policy.digest, intent.intent_digest)


def failed(compiled, intent) -> Decision:
    return Decision("block", ("evaluation_failed",), (), "", compiled.policy.digest, intent.intent_digest)


def test_a_sound_engine_passes(file):
    loaded.self_test(loaded.load(file).compiled, RING)


def test_an_engine_that_allows_the_probe_does_not(file, monkeypatch):
    compiled = loaded.load(file).compiled
    monkeypatch.setattr(loaded, "evaluate", allow)
    with pytest.raises(VerificationFailed, match="must be refused was not"):
        loaded.self_test(compiled, RING)


def test_a_reader_that_takes_anything_does_not(file, monkeypatch):
    compiled = loaded.load(file).compiled
    monkeypatch.setattr(loaded, "judge", lambda *_: None)
    with pytest.raises(VerificationFailed, match="malformed call was not refused"):
        loaded.self_test(compiled, RING)


def test_a_signature_that_does_not_verify_does_not(file, monkeypatch):
    compiled = loaded.load(file).compiled
    forged = envelope.sign({"verdict": "block"}, OTHER, envelope.TRACE)
    monkeypatch.setattr(loaded.envelope, "sign", lambda *_: forged)
    with pytest.raises(VerificationFailed):
        loaded.self_test(compiled, RING)


def test_a_policy_that_cannot_be_evaluated_is_not_loaded(file, monkeypatch):
    monkeypatch.setattr(loaded, "evaluate", failed)
    with pytest.raises(VerificationFailed) as error:
        loaded.load(file)
    assert error.value.error_code == "self_test_failed"


def test_fingerprint(file, tmp_path):
    assert loaded.fingerprint(file) == loaded.load(file).fingerprint
    assert loaded.fingerprint(str(tmp_path / "none")) == "file_not_found"
    with pytest.raises(GaitError):
        loaded.load(str(tmp_path / "none"))
