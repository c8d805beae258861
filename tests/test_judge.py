"""judge: bytes of a call in, a decision inside a signed record out."""

from __future__ import annotations

import hashlib
import json

import pytest

from gait.errors import InvalidInput, ParseError, VerificationFailed
from gait.gate import matching, policy
from gait.gate.evaluate import evaluate
from gait.gate.facts import Facts, Proof
from gait.gate.trace import CAPTURES
from gait.judge import DEFAULTS, MAX_BYTES, Call, document, judge, read, signer
from gait.signing import envelope
from gait.signing.keys import Keyring, make

KEY = make(bytes(range(32)))
RING = Keyring("trace", KEY)
INTENT = {"tool_name": "Read", "args": {"path": "/a"}, "context": {"identity": "alice", "workspace": "/repo", "risk_class": "low"}}


def compiled(**document):
    return matching.compile_policy(policy.read(document))


ALLOW = compiled(default_verdict="allow")
FAIL_CLOSED = compiled(default_verdict="allow", fail_closed={"enabled": True, "risk_classes": ["low"]})


def call(value, **more):
    return read(json.dumps(value).encode(), "call.json", **more)


def refuse_to_sign(record):
    raise AssertionError("nothing was decided")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")


def test_a_decision_is_inside_its_signed_record():
    judged = judge(ALLOW, call(INTENT, run_id="run-1"), signer(KEY))
    record = envelope.verify(judged.record, RING, envelope.TRACE)
    assert (judged.decision.verdict, record["verdict"], record["correlation_id"]) == ("allow", "allow", "run-1")
    assert record["created_at"] == "2026-02-05T00:00:00Z" and "latency_ms" not in record
    assert judged.intent.args_digest == record["args_digest"]
    with pytest.raises(VerificationFailed):
        envelope.verify({**judged.record, "verdict": "block"}, RING, envelope.TRACE)


def test_latency_is_measured_unless_time_stands_still(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    latency = judge(ALLOW, call(INTENT), signer(KEY)).record["latency_ms"]
    assert isinstance(latency, float) and 0 < latency < 10_000


def test_a_barred_call_is_blocked_whatever_the_policy():
    barred = call(INTENT)._replace(barred="tool_not_in_lock")
    decision = judge(ALLOW, barred, signer(KEY)).decision
    assert (decision.verdict, decision.reason_codes, decision.violations) == ("block", ("tool_not_in_lock",), ("tool_not_in_lock",))
    assert decision.intent_digest == judge(ALLOW, call(INTENT), signer(KEY)).decision.intent_digest


def test_the_record_names_the_upstream_that_gait_calls():
    assert "upstream" not in judge(ALLOW, call(INTENT), signer(KEY)).record
    assert judge(ALLOW, call(INTENT)._replace(upstream="files"), signer(KEY)).record["upstream"] == "files"
    blocked = read(b'{"name": "x", "context": {"risk_class": "low", "identity": ""}}', "", "mcp")._replace(upstream="files")
    assert judge(FAIL_CLOSED, blocked, signer(KEY)).record["upstream"] == "files"


def test_what_a_record_keeps_of_its_intent():
    auth = {**INTENT["context"], "auth_context": {"token": "secret"}}
    asked = {**INTENT, "targets": [{"kind": "path", "value": "/a", "operation": "read"}], "context": auth}
    kept = {capture: judge(ALLOW, call(asked)._replace(capture=capture), signer(KEY)).record for capture in CAPTURES}
    assert "intent" not in kept["off"]
    assert "args" not in kept["reference"]["intent"] and "auth_context" not in kept["reference"]["intent"]["context"]
    assert kept["raw"]["intent"]["args"] == {"path": "/a"}
    again = {**kept["raw"]["intent"], "tool_name": "Read"}
    assert judge(ALLOW, call(again), signer(KEY)).decision == judge(ALLOW, call(asked), signer(KEY)).decision


@pytest.mark.parametrize("capture", ["reference", "raw"])
def test_an_intent_that_no_record_could_hold_is_not_kept(capture):
    targets = [{"kind": "path", "value": f"/{index}" + "a" * 4000, "operation": "read"} for index in range(100)]
    record = judge(ALLOW, call({**INTENT, "targets": targets})._replace(capture=capture), signer(KEY)).record
    assert record["verdict"] == "allow" and "intent" not in record


def test_the_answer():
    judged = judge(ALLOW, call({**INTENT, "more": 1}), signer(KEY))
    value = judged.to_value("/t.json", ("dev key",))
    assert value["trace_path"] == "/t.json" and value["key_id"] == KEY.key_id
    assert value["warnings"] == ["dev key", "unknown field 'more' ignored"]
    assert "warnings" not in judge(ALLOW, call(INTENT), signer(KEY)).to_value("/t.json")


def test_an_invalid_call():
    raw = json.dumps({"name": "x", "arguments": {" ": 1}}).encode()
    bad = read(raw, "call.json", "mcp", {**DEFAULTS, "risk_class": INTENT["context"]["risk_class"]}, "run-1")
    with pytest.raises(InvalidInput) as caught:
        judge(ALLOW, bad, refuse_to_sign)
    assert str(caught.value).startswith("call.json: args. : ")
    judged = judge(FAIL_CLOSED, bad, signer(KEY))
    assert (judged.decision.verdict, judged.intent) == ("block", None)
    assert judged.decision.intent_digest == judged.record["intent_digest"] == hashlib.sha256(bad.raw).hexdigest()
    assert envelope.verify(judged.record, RING, envelope.TRACE)["intent_digest_basis"] == "raw"
    value = judged.to_value("/t.json")
    assert not {"tool_name", "args_digest", "warnings"} & set(value) and value["verdict"] == "block"


def test_an_invalid_intent_is_invalid_input_whatever_the_policy():
    for compiled in (ALLOW, FAIL_CLOSED):
        with pytest.raises(InvalidInput) as caught:
            judge(compiled, call({**INTENT, "tool_name": ""}), refuse_to_sign)
        assert str(caught.value).startswith("call.json: tool_name: ")


@pytest.mark.parametrize("data", [b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 1000])
def test_bytes_that_are_no_json_are_never_a_call(data):
    with pytest.raises(ParseError, match="call.json"):
        read(data, "call.json")


def test_a_call_that_is_no_call_of_its_adapter():
    for policies in (ALLOW, FAIL_CLOSED):
        with pytest.raises(InvalidInput, match="^call.json: adapter openai: "):
            judge(policies, call({"name": "a"}, adapter="openai"), refuse_to_sign)
    with pytest.raises(InvalidInput, match="^call.json: adapter: must be one of"):
        document(call({"name": "a"}, adapter="nix"))


def test_what_an_adapter_makes():
    made = document(call({"name": "read", "arguments": {"path": "/a"}}, adapter="mcp"))
    assert made["context"] == DEFAULTS and made["targets"]
    given = {"identity": "i", "workspace": "w", "risk_class": "low"}
    assert document(call({"name": "read"}, adapter="mcp", defaults=given))["context"] == given
    assert document(call([1])) == [1]  # an IntentRequest is read as it is


def test_size():
    assert MAX_BYTES == 16 * 1024 * 1024
    with pytest.raises(ParseError, match="16777216 bytes"):
        read(b" " * (MAX_BYTES + 1), "call.json")
    assert isinstance(read(b"1", "call.json"), Call)


def test_what_is_known_outside_decides_and_sees_the_tokens_that_came():
    class Outside:
        def decide(self, compiled, intent, tokens):
            proof = Proof("allow", ("approval_granted",), evidence={"approval_token_ref": tokens[0]["token_id"]})
            return evaluate(compiled, intent, Facts(approval=proof))

        def skill(self):
            return None, ""

    asked = call(INTENT)._replace(tokens=({"token_id": "t1"},))
    approval = compiled(default_verdict="require_approval")
    judged = judge(approval, asked, signer(KEY), Outside())
    assert (judged.decision.verdict, judged.record["approval_token_ref"], judged.to_value(None)["approval_token_ref"]) == ("allow", "t1", "t1")
    assert judge(approval, asked, signer(KEY)).decision.verdict == "require_approval"
    assert judge(approval, asked._replace(barred="pinned"), signer(KEY), Outside()).decision.verdict == "block"
