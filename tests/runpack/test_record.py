"""What `gait run record --input` reads."""

from __future__ import annotations

import json

import pytest

from gait import adapters
from gait.errors import InvalidInput
from gait.gate.matching import compile_policy
from gait.gate.policy import loads
from gait.judge import DEFAULTS
from gait.runpack import record
from gait.runpack.model import NO_RESULT_DIGEST

from tests.runpack import sample
from tests.runpack.sample import fixtures, jcs

INTENT = {
    "tool_name": "tool.read",
    "args": {"path": "/srv/a"},
    "targets": [{"kind": "path", "value": "/srv/a", "operation": "read"}],
    "context": {"identity": "alice", "workspace": "/srv", "risk_class": "low"},
}
GIVEN = record.Given(lambda adapter, call, context: adapters.to_document(adapter, call, {**DEFAULTS, **context}))
DECIDING = GIVEN._replace(policy=compile_policy(loads(fixtures.POLICY, "policy")))


def read(step: dict[str, object], given: record.Given = GIVEN):
    head, steps = record.read({"schema_id": "gait.runpack.record", "steps": [step]}, given)
    return next(steps)


def test_an_intent():
    step = read({"intent": INTENT, "created_at": "2026-02-05T00:00:00Z", "intent_id": "first"})
    assert (step.tool_name, step.status, step.result_digest, step.decision) == ("tool.read", "not_recorded", NO_RESULT_DIGEST, None)
    assert step.intent["targets"][0]["endpoint_class"] == "fs.read" and step.intent_id == "first"


def test_a_call_of_a_framework():
    call = {"name": "read_file", "arguments": {"path": "/srv/a"}}
    step = read({"adapter": "mcp", "call": call, "context": {"identity": "bob"}})
    assert step.tool_name == "read_file" and step.intent["context"]["identity"] == "bob"


def test_a_policy_decides_where_no_decision_is_given():
    step = read({"intent": INTENT}, DECIDING)
    assert step.decision["verdict"] == "allow" and step.decision["matched_rule"] == "reads" and len(step.decision["trace_id"]) == 24


def test_a_given_decision_goes_before_the_policy():
    step = read({"intent": INTENT, "decision": {"verdict": "block", "reason_codes": ["x"]}}, DECIDING)
    assert step.decision["verdict"] == "block" and step.status == "not_executed"


def test_results():
    step = read({"intent": INTENT, "result": {"status": "ok", "result": {"a": 1}}})
    assert (step.status, step.result_digest) == ("ok", jcs.digest({"a": 1}))
    assert read({"intent": INTENT, "result": {"status": "error", "result_digest": "a" * 64}}).result_digest == "a" * 64


@pytest.mark.parametrize(
    "step, place",
    [
        ({}, "steps[0]"),
        ({"intent": INTENT, "call": {}}, "steps[0]"),
        ({"call": {}}, "steps[0]"),
        ({"intent": INTENT, "adapter": "mcp"}, "steps[0]"),
        ({"intent": {**INTENT, "tool_name": ""}}, "tool_name"),
        ({"intent": INTENT, "decison": {}}, "decison"),
        ({"intent": INTENT, "decision": {"verdict": "maybe"}}, "steps[0].decision.verdict"),
        ({"intent": INTENT, "decision": {"verdict": "allow", "intent_digest": "a" * 64}}, "steps[0].decision.intent_digest"),
        ({"intent": INTENT, "decision": {"verdict": "allow", "policy_digest": "a" * 64, "trace_id": "b" * 24}}, "steps[0].decision.trace_id"),
        ({"intent": INTENT, "decision": {"verdict": "allow", "reason": "x"}}, "steps[0].decision.reason"),
        ({"intent": INTENT, "result": {"status": "fine"}}, "steps[0].result.status"),
        ({"intent": INTENT, "result": {"result": 1, "result_digest": "a" * 64}}, "steps[0].result.result_digest"),
        ({"intent": INTENT, "result": {"result_digest": "x"}}, "steps[0].result.result_digest"),
        ({"intent": INTENT, "created_at": "today"}, "steps[0].created_at"),
        ({"intent": INTENT, "intent_id": "x" * 200}, "steps[0].intent_id"),
    ],
)
def test_errors_name_the_place(step, place):
    with pytest.raises(InvalidInput) as caught:
        read(step)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    "head", [{"schema_id": "other"}, {"schema_version": "2.0.0"}, {"run_id": "../x"}, {"created_at": "x"}, {"env": {"x": 1}}, {"timeline": [{}]}, {"refs": [{}]}, {"x": 1}]
)
def test_heads_are_strict(head):
    with pytest.raises(InvalidInput):
        record.read({"schema_id": "gait.runpack.record", "steps": [], **head}, GIVEN)


def test_lines():
    lines = [json.dumps({"schema_id": "gait.runpack.record", "run_id": "run_a"}), json.dumps({"intent": INTENT}), json.dumps({"intent": INTENT})]
    head, steps = record.read_lines([line.encode() for line in lines], GIVEN)
    assert head.run_id == "run_a" and len(list(steps)) == 2
    with pytest.raises(InvalidInput, match="<jsonl>:2"):
        list(record.read_lines([lines[0].encode(), b"x"], GIVEN)[1])
    with pytest.raises(InvalidInput):
        record.read_lines([], GIVEN)


V1 = {
    "run": {"run_id": "run_v1", "created_at": "2026-02-12T00:00:00Z", "env": {"os": "linux", "arch": "amd64", "runtime": "go"}, "timeline": [{"event": "start", "ts": "2026-02-12T00:00:00Z"}]},
    "intents": [{"intent_id": "intent_1", "tool_name": "tool.write", "args": {"a": 1}}, {"intent_id": "intent_2", "tool_name": "tool.read", "args_digest": "a" * 64}],
    "results": [{"intent_id": "intent_2", "status": "ok", "result_digest": "b" * 64}],
    "refs": {"receipts": [fixtures.RECEIPT]},
    "capture_mode": "reference",
}  # fmt: skip


def test_the_input_of_gait_v1():
    head, steps = record.read(V1, GIVEN)
    data = sample.made(list(steps), **head._asdict())
    assert sample.findings(data, run_id="run_v1") == []
    first, second = sample.steps(data)
    assert first.intent.args_digest == jcs.digest({"a": 1}) and first.result.status == "not_recorded"
    assert (second.result.status, second.result.result_digest) == ("ok", "b" * 64)


@pytest.mark.parametrize(
    "changes",
    [
        {"results": [{"intent_id": "intent_9", "status": "ok"}]},
        {"results": [{"intent_id": "intent_2", "status": "ok"}] * 2},
        {"results": [{"intent_id": "intent_2", "status": "ok", "result": {}, "result_digest": "b" * 64}]},
        {"intents": [{"intent_id": "intent_2", "tool_name": "x", "args": {}, "args_digest": "b" * 64}]},
        {"run": {}},
    ],
)
def test_the_input_of_gait_v1_is_checked(changes):
    with pytest.raises(InvalidInput):
        list(record.read({**V1, **changes}, GIVEN)[1])
