"""explain: every kind of check that a call can miss, what a rule adds, and decisions that come before the rules."""

from __future__ import annotations

import pytest

from gait.formats.fields import Fields
from gait.gate import explain as explain_module
from gait.gate import intent, matching, policy
from gait.gate.evaluate import evaluate
from gait.gate.explain import explain

CONTEXT = {"identity": "alice", "workspace": "/repo", "risk_class": "low"}
TARGET = {"kind": "path", "value": "/repo/a", "operation": "read", "sensitivity": "pii"}
SKILL = {"skill_name": "s", "source": "git", "publisher": "acme"}


def steps(rules, **document):
    compiled = matching.compile_policy(policy.read({"rules": rules} if isinstance(rules, list) else rules))
    found = intent.read({"tool_name": "tool.read", "context": CONTEXT, **document})
    return explain(compiled, found), evaluate(compiled, found)


def rule(name, effect="allow", **more):
    return {"name": name, "effect": effect, **more}


# (match list, what it wants, what the call has)
MISSED = [
    ("tool_names", ["other"], "['tool.read']"),
    ("risk_classes", ["high", "critical"], "['low']"),
    ("identities", ["bob"], "['alice']"),
    ("workspace_prefixes", ["/srv"], "['/repo']"),
    ("target_kinds", ["host"], "['path']"),
    ("target_values", ["/repo/b"], "['/repo/a']"),
    ("endpoint_classes", ["net.http"], "['fs.read']"),
    ("data_classes", ["secret"], "['pii']"),
    ("destination_kinds", ["url"], "['path']"),
    ("destination_values", ["evil.example"], "['/repo/a']"),
    ("destination_operations", ["write"], "['read']"),
    ("provenance_sources", ["external"], "['user']"),
    ("skill_publishers", ["evil"], "['acme']"),
    ("skill_sources", ["registry"], "['git']"),
    ("skill_trust", ["verified"], "['claimed']"),
]


@pytest.mark.parametrize("name,wanted,got", MISSED, ids=lambda part: part if isinstance(part, str) and "'" not in part else "")
def test_what_did_not_hold(name, wanted, got):
    document = {"targets": [TARGET], "skill_provenance": SKILL, "arg_provenance": [{"arg_path": "a", "source": "user"}]}
    (step,), decision = steps([rule("r", match={name: wanted})], **document)
    shown = "[" + ", ".join(map(repr, sorted(wanted))) + "]"
    assert step == ("r", 0, "allow", False, (f"{name}: {got}; wanted one of {shown}",))
    assert decision.matched_rule == "" and step.to_value()["because"] == list(step.because)


@pytest.mark.parametrize("name,wanted,got", MISSED[4:], ids=lambda part: part if isinstance(part, str) and "'" not in part else "")
def test_a_call_that_has_none(name, wanted, got):
    (step,), _ = steps([rule("r", match={name: wanted})])
    assert step.because[0].startswith(f"{name}: the call has none; wanted one of [")


def test_every_match_list_is_covered():
    assert {name for name, _, _ in MISSED} == set(policy.Match._fields)
    assert set(explain_module._GOT) == {name for name, _ in matching._HOLDS} == set(policy.Match._fields) - {"tool_names"}
    assert Fields({}).fields("match").unknown() == []


def test_every_check_that_failed_is_named_and_only_those():
    (step,), _ = steps([rule("r", match={"risk_classes": ["low"], "identities": ["bob"], "target_kinds": ["host"]})])
    assert [reason.partition(":")[0] for reason in step.because] == ["identities", "target_kinds"]


def test_order_and_end():
    rules = [rule("z", priority=1, match={"identities": ["bob"]}), rule("b", "block", priority=2), rule("c", priority=3)]
    found, decision = steps(rules)
    assert [(step.rule, step.matched) for step in found] == [("z", False), ("b", True)] and decision.matched_rule == "b"


def test_rules_for_other_tools_are_shown_too():
    found, _ = steps([rule("a", match={"tool_names": ["x"]}), rule("b", match={"tool_names": ["TOOL.read"]})])
    assert [step.matched for step in found] == [False, True]


def test_long_lists_and_texts_are_cut():
    names = [f"tool{number}" for number in range(9)]
    (step,), _ = steps([rule("r", match={"tool_names": names})], tool_name="x" * 100_000)
    assert step.because == ("tool_names: [" + repr("x" * 80) + "]; wanted one of ['tool0', 'tool1', 'tool2', 'tool3', 'tool4', …]",)


def test_what_an_endpoint_adds():
    endpoint = {"path_allowlist": ["/srv/**"], "path_denylist": ["/repo/**"], "action": "require_approval", "destructive_action": "block", "reason_code": "mine"}
    target = {"kind": "path", "value": "/repo/a", "operation": "delete"}
    (step,), decision = steps([rule("r", endpoint=endpoint)], targets=[target])
    assert step.because == (
        "endpoint_path_denied: asks for require_approval",
        "endpoint_path_not_allowlisted: asks for require_approval",
        "endpoint_destructive_operation: asks for block",
        "mine: asks for require_approval",
    )
    assert decision.verdict == "block" and {reason.partition(":")[0] for reason in step.because} < set(decision.reason_codes)
    (step,), _ = steps([rule("r", endpoint={"path_allowlist": ["/repo/**"]})], targets=[target])
    assert step.matched and step.because == ()


def test_what_a_dataflow_adds():
    document = {"targets": [{"kind": "host", "value": "a.example"}], "arg_provenance": [{"arg_path": "a", "source": "external"}]}
    (step,), decision = steps([rule("r", dataflow={"enabled": True, "action": "block"})], **document)
    assert step.because == ("dataflow_tainted_destination: asks for block",) and decision.verdict == "block"
    both = rule("r", dataflow={"enabled": True}, endpoint={"domain_denylist": ["*.example"]})
    (step,), _ = steps([both], **document)
    assert [reason.partition(":")[0] for reason in step.because] == ["dataflow_tainted_destination", "endpoint_domain_denied", "endpoint_constraint_violation"]


def test_no_rule_is_tried_when_fail_closed_decides():
    document = {"rules": [rule("r", reason_codes=["fail_closed_mine"])], "fail_closed": {"enabled": True, "risk_classes": ["low"], "required_fields": ["targets"]}}
    found, decision = steps(document)
    assert found == [] and decision.reason_codes == ("fail_closed_missing_targets",)
    found, decision = steps(document, targets=[TARGET])
    assert [step.matched for step in found] == [True] and decision.matched_rule == "r"


def test_the_default():
    found, decision = steps([])
    assert found == [] and decision.reason_codes == ("approval_token_missing", "default_require_approval")


def test_an_evaluation_that_failed_has_no_steps(monkeypatch):
    compiled = matching.compile_policy(policy.read({"rules": [rule("r")]}))
    found = intent.read({"tool_name": "a", "context": CONTEXT})
    broken = compiled._replace(any_tool=None, by_tool=None)
    assert evaluate(broken, found).reason_codes == ("evaluation_failed",) and explain(broken, found) == []
