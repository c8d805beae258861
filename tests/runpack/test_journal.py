"""A run from a journal's records."""

from __future__ import annotations

import io

import pytest

from gait.formats import jcs
from gait.gate import intent as intents
from gait.gate import trace
from gait.gate.evaluate import evaluate, invalid_intent
from gait.gate.matching import compile_policy
from gait.gate.policy import loads
from gait.runpack.journal import Collector, Selection
from gait.runpack.model import NO_RESULT_DIGEST

from tests.runpack import sample
from tests.runpack.sample import fixtures

POLICY = compile_policy(loads(fixtures.POLICY, "policy"))


def decided(sequence: int, *, session: str = "s1", second: int = 0, chain: str = "one", capture: str = "reference", tool: int = 0, upstream: str = "files") -> dict[str, object]:
    name, operation = sample.CALLS[tool]
    context = {"identity": "alice", "workspace": "/srv", "risk_class": "low", "session_id": session}
    target = {"kind": "path", "value": f"/srv/{sequence}", "operation": operation}
    intent = intents.read({"tool_name": name, "args": {"path": f"/srv/{sequence}"}, "targets": [target], "context": context})
    record = trace.build(evaluate(POLICY, intent), intent, fixtures.TIME % second, upstream=upstream)
    kept = trace.captured(intent, capture) if capture != "off" else None
    return {**record, **({"intent": kept} if kept else {}), "chain": chain, "sequence": sequence, "prev_digest": "0" * 64}


def outcome(sequence: int, call: dict[str, object], status: str = "ok") -> dict[str, object]:
    details = {"upstream": "files", "call_sequence": call["sequence"], "trace_id": call["trace_id"], "status": status, "result_digest": "c" * 64, "result_bytes": 7}
    return {"schema_id": "gait.journal.event", "event": "outcome", "details": details, "chain": call["chain"], "sequence": sequence, "created_at": fixtures.TIME % 0}


def collected(records: list[dict[str, object]], selection: Selection = Selection()) -> Collector:
    collector = Collector(selection, io.BytesIO())
    for record in records:
        collector.see(record, jcs.dumps(record))
    return collector


def test_decisions_and_outcomes():
    first, second = decided(1), decided(2, tool=2)
    steps = list(collected([first, second, outcome(3, first, "error")]).steps())
    assert [(step.tool_name, step.status) for step in steps] == [("tool.read", "error"), ("tool.delete", "not_executed")]
    assert steps[0].result_digest == "c" * 64 and steps[1].result_digest == NO_RESULT_DIGEST
    assert steps[0].outcome == {"upstream": "files", "result_bytes": 7, "sequence": 3} and steps[0].source == {"chain": "one", "sequence": 1}
    assert steps[0].decision["trace_id"] == first["trace_id"]


def test_what_is_recorded_verifies_and_can_be_evaluated_again():
    for capture in ("reference", "raw"):
        data = sample.made(list(collected([decided(number, capture=capture, tool=number % 3) for number in range(1, 7)]).steps()), raw=True)
        assert sample.findings(data) == []
        assert all(evaluate(POLICY, intents.read(step.intent.request())).verdict == step.verdict for step in sample.steps(data))


def test_old_records_without_an_intent():
    collector = collected([decided(1, capture="off")])
    data = sample.made(list(collector.steps()))
    assert collector.without_intent == 1 and sample.findings(data) == [] and sample.steps(data)[0].intent.request() is None


def test_calls_without_a_normal_form():
    blocked = invalid_intent(compile_policy(loads(b"fail_closed: {enabled: true}", "p")), {"context": {"risk_class": "high"}}, "e" * 64)
    record = {**trace.build_invalid(blocked, fixtures.TIME % 0), "chain": "one", "sequence": 1, "prev_digest": "0" * 64}
    data = sample.made(list(collected([record]).steps()))
    step = sample.steps(data)[0]
    assert sample.findings(data) == [] and step.intent.tool_name == "(invalid)" and step.verdict == "block"
    assert step.intent.value["intent_digest_basis"] == "raw"


@pytest.mark.parametrize(
    "selection, expected",
    [
        (Selection(), [1, 2, 3, 4]),
        (Selection(session_id="s2"), [3]),
        (Selection(chain="two"), [4]),
        (Selection(since=1770249602.0), [3, 4]),
        (Selection(session_id="s2", chain="two"), []),
    ],
)
def test_selection(selection, expected):
    records = [decided(1), decided(2, second=1), decided(3, second=2, session="s2"), decided(4, second=3, chain="two")]
    assert [step.source["sequence"] for step in collected(records, selection).steps()] == expected


def test_chains_are_merged_by_time():
    records = [decided(1, second=5), decided(2, second=7), decided(1, second=6, chain="two"), decided(2, second=7, chain="two")]
    steps = collected(records).steps()
    assert [(step.source["chain"], step.source["sequence"]) for step in steps] == [("one", 1), ("two", 1), ("one", 2), ("two", 2)]


def test_an_outcome_belongs_to_its_own_chain_and_to_one_call():
    one, two = decided(1), decided(1, chain="two")
    blocked = decided(2, tool=2)
    odd = {**outcome(9, one), "details": {"call_sequence": "x"}}
    steps = list(collected([one, blocked, outcome(3, blocked), odd, two, outcome(2, two, "timeout"), outcome(3, two, "ok")]).steps())
    assert [step.status for step in steps] == ["not_recorded", "not_executed", "timeout"]
