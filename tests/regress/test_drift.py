"""Decision drift: exactly the calls whose answer changed, and nothing that could hide one."""

from __future__ import annotations

import pytest

from gait.gate import simulate
from gait.regress.drift import Drifts, accept, call_of
from tests.regress import runs


def drifts(pack, text, accepted=()):
    found = Drifts(runs.compiled(text), accepted)
    verdicts = [found.see(step) for step in pack.steps()]
    return found, verdicts


@pytest.mark.parametrize("raw", [False, True])
def test_the_same_policy_answers_the_same(raw):
    found, verdicts = drifts(runs.pack(raw=raw), runs.POLICY)
    assert (found.total, found.evaluated, found.problems, verdicts) == (0, 3, {}, ["allow", "require_approval", "block"])


def test_one_word_names_the_call():
    found, verdicts = drifts(runs.pack(), runs.NOW_ALLOWED)
    assert found.total == 1 and verdicts[1] == "allow"
    assert found.items[0].line().startswith("step 2 write_file: verdict require_approval -> allow; reason_codes ")
    assert found.items[0].to_value()["intent_id"] == "intent_2"


CHANGES = [
    ("default_verdict: block", "default_verdict: dry_run", 3, ["verdict", "reason_codes"]),
    ("name: read-workspace", "name: read_workspace", 1, ["matched_rule"]),
    ("priority: 10\n", "priority: 10\n    reason_codes: [reads]\n", 1, ["reason_codes"]),
    ('path_allowlist: ["/work/**"]\n      path_denylist: ["**/.env"', 'path_allowlist: ["/x/**"]\n      path_denylist: ["**/.env"', 1, None),
]


@pytest.mark.parametrize("old,new,step,changed", CHANGES)
def test_verdict_rule_and_reasons_count(old, new, step, changed):
    assert old in runs.POLICY
    found, _ = drifts(runs.pack(), runs.POLICY.replace(old, new, 1))
    assert [item.step for item in found.items] == [step] and (changed is None or found.items[0].changed() == changed)


def test_a_change_that_decides_nothing_is_none():
    found, _ = drifts(runs.pack(), runs.POLICY + "  - {name: other, effect: block, match: {tool_names: [nothing]}}\n")
    assert found.total == 0 and found.policy_digest not in found.recorded_digests


def test_accepting_moves_what_is_expected():
    pack = runs.pack()
    found, _ = drifts(pack, runs.NOW_ALLOWED)
    records = tuple(accept(found.items, "me", "2026-02-05T00:00:00Z", "why"))
    again, _ = drifts(pack, runs.NOW_ALLOWED, records)
    assert (again.total, again.accepted) == (0, 1)
    for text in (runs.POLICY, runs.POLICY.replace("require_approval", "block")):  # going back is a drift too
        other, _ = drifts(pack, text, records)
        assert other.total == 1 and other.items[0].expected.verdict == "allow"
    back = (*records, *accept(drifts(pack, runs.POLICY, records)[0].items, "me", "2026-02-06T00:00:00Z", "no"))
    assert drifts(pack, runs.POLICY, back)[0].total == 0 and drifts(pack, runs.NOW_ALLOWED, back)[0].total == 1


def test_accepting_one_call_is_not_accepting_another():
    pack = runs.pack([runs.call("write_file"), runs.call("write_file")])
    found, _ = drifts(pack, runs.NOW_ALLOWED)
    records = tuple(accept(found.items[:1], "me", "now", "why"))
    left, _ = drifts(pack, runs.NOW_ALLOWED, records)
    assert [item.intent_id for item in left.items] == ["intent_2"]
    both = tuple(accept(found.items, "me", "now", "why"))
    assert len(both) == 1 and both[0].calls == ("intent_1", "intent_2")


def step_with(**changes):
    step = next(runs.pack().steps())
    intent = step.intent._replace(**{name: item for name, item in changes.items() if name in step.intent._fields})
    result = step.result and step.result._replace(decision=changes.get("decision", step.decision))
    return step._replace(intent=intent, result=result)


def test_what_cannot_be_evaluated_again():
    step = next(runs.pack().steps())
    barred = step.decision._replace(verdict="block", matched_rule="", reason_codes=("tool_definition_changed",))
    cases = {
        simulate.NOT_CAPTURED: step_with(intent=None),
        simulate.REDACTED: step_with(redactions=("intent.targets[0].value",)),
        simulate.NOT_READABLE: step_with(intent={**step.intent.intent, "context": {}}),
        simulate.NOT_BY_POLICY: step_with(decision=barred),
        simulate.NO_DECISION: step_with(decision=None),
    }
    for problem, changed in cases.items():
        found = Drifts(runs.compiled())
        found.see(changed)
        assert (found.problems, found.evaluated, found.total) == ({problem: 1}, 0, 0)
    assert call_of(step_with(redactions=("args.path",))).intent  # redacted arguments are left out, and none is needed


def test_without_recorded_decisions_nothing_is_evaluated():
    found, verdicts = drifts(runs.pack(text=None), runs.POLICY)
    assert found.problems == {simulate.NO_DECISION: 3} and verdicts == ["", "", ""]
