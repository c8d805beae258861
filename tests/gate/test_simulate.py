"""Recorded calls under another policy: what is counted as a change, and that nothing grows with their number."""

from __future__ import annotations

import pytest

from gait.gate import policy, simulate
from gait.gate.decision import VERDICTS
from gait.gate.matching import compile_policy
from gait.gate.simulate import Answer, Simulation

CONTEXT = {"identity": "a", "workspace": "/w", "risk_class": "low"}
TARGET = {"kind": "path", "value": "/w/a", "operation": "read", "endpoint_class": "fs.read"}


def compiled(verdict, extra=""):
    return compile_policy(policy.loads(f"default_verdict: {verdict}\n{extra}"))


def record(verdict="allow", **more):
    head = {"tool_name": "read", "intent_digest": "0" * 64, "reason_codes": ["default_" + verdict], "verdict": verdict}
    return {**head, "intent": {"targets": [TARGET], "context": CONTEXT}, **more}


def simulated(records, after, baseline=None):
    found = Simulation(compiled(after), baseline)
    for number, item in enumerate(records):
        found.add(simulate.of_record(item, f"c#{number}"))
    return found


def test_against_what_was_recorded():
    found = simulated([record(), record(), record("block")], "block")
    assert (found.calls, found.evaluated, found.changed, found.transitions) == (3, 3, 2, {("allow", "block"): 2})
    group = found.to_value()["groups"][0]
    assert (group["count"], group["verdict_before"], group["verdict_after"]) == (2, "allow", "block")
    assert [example["place"] for example in group["examples"]] == ["c#0", "c#1"]


def test_against_another_policy():
    found = simulated([record("dry_run")], "block", compiled("allow"))  # what was recorded does not count
    assert found.transitions == {("allow", "block"): 1}
    undecided = Simulation(compiled("block"), compiled("allow"))
    undecided.add(simulate.of_document("x", "read", {"targets": [TARGET], "context": CONTEXT}, None))
    assert undecided.changed == 1


def test_same_verdict_for_another_reason():
    found = simulated([record(reason_codes=["other"], matched_rule="r")], "allow")
    assert (found.changed, found.same_verdict) == (0, 1)


@pytest.mark.parametrize(
    "more,problem",
    [
        ({"intent": None}, "not_captured"),
        ({"intent": "x"}, "not_captured"),
        ({"intent_digest_basis": "raw", "reason_codes": ["fail_closed_intent_invalid"]}, "not_captured"),
        ({"intent": {"targets": [TARGET]}}, "intent_invalid"),
        ({"intent": {"targets": [{**TARGET, "kind": "pth"}], "context": CONTEXT}}, "intent_invalid"),
        ({"intent": {"context": CONTEXT, "args": []}}, "intent_invalid"),
        ({"reason_codes": ["tool_definition_changed"]}, "not_by_policy"),
        ({"reason_codes": "x"}, "not_by_policy"),
        ({"verdict": "maybe"}, "no_decision"),
    ],
)
def test_what_is_not_evaluated(more, problem):
    found = simulated([{**record(), **more}], "block")
    assert (found.problems, found.evaluated, found.changed) == ({problem: 1}, 0, 0)


@pytest.mark.parametrize("old", VERDICTS)
@pytest.mark.parametrize("new", VERDICTS)
def test_words_for_changes(old, new):
    holding = {word for word in simulate.CHANGES if simulate.is_change(word, old, new)}
    expected = set() if old == new else {f"{old}-to-{new}", "any", "looser" if VERDICTS.index(new) < VERDICTS.index(old) else "stricter"}
    assert holding == expected


def test_failing_counts_what_is_named():
    found = simulated([record(), record("block")], "dry_run")
    assert found.failing(["allow-to-block"]) == {} and found.failing(["allow-to-dry_run", "looser", "any"]) == {"allow-to-dry_run": 1, "looser": 1, "any": 2}


def test_memory_is_bounded():
    found = simulated([record(matched_rule=f"rule{number}" + "x" * 1000, tool_name="t" * 1000) for number in range(1500)], "block")
    assert len(found.counts) == simulate.MAX_GROUPS and found.ungrouped == 500 and found.changed == 1500
    assert all(len(group) == 1 and len(group[0].tool_name) <= 200 for group in found.groups.values())
    many = simulated([record()] * 10, "block")
    assert [len(group) for group in many.groups.values()] == [simulate.MAX_EXAMPLES]


def test_answers_have_digests():
    answer = Answer("allow", "r", ("a", "b"))
    assert answer.digest == Answer("allow", "r", ("a", "b")).digest != Answer("allow", "r", ("a",)).digest
