"""evaluate: the order of its steps, and what holds for every policy and every intent."""

from __future__ import annotations

import json
import os
import random

import pytest

from gait.gate import intent, policy
from gait.gate.decision import VERDICTS, Decision
from gait.gate.evaluate import evaluate, invalid_intent
from gait.gate.matching import CompiledPolicy, compile_policy

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "7"))
CONTEXT = {"identity": "alice", "workspace": "/ws", "risk_class": "low"}
TAINTED = [{"arg_path": "x", "source": "external"}]
HOST = {"kind": "host", "value": "h.example"}


def compiled(*rules: dict, **members: object) -> CompiledPolicy:
    return compile_policy(policy.read({**members, "rules": [{"name": f"r{index}", **rule} for index, rule in enumerate(rules)]}))


def request(**members: object) -> intent.IntentRequest:
    return intent.read({"tool_name": "tool", "context": CONTEXT, **members})


def decide(*rules: dict, members: dict | None = None, **of_request: object) -> Decision:
    return evaluate(compiled(*rules, **(members or {})), request(**of_request))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_default(verdict: str):
    found = decide(members={"default_verdict": verdict})
    assert found.verdict == verdict and f"default_{verdict}" in found.reason_codes and found.matched_rule == ""
    assert found.required_approvals == (1 if verdict == "require_approval" else 0)


@pytest.mark.parametrize("effect", VERDICTS)
def test_a_rule(effect: str):
    found = decide({"effect": effect, "reason_codes": ["z", "a"], "violations": ["w", "v"]})
    assert found.verdict == effect and found.matched_rule == "r0"
    assert {"a", "z"} <= set(found.reason_codes) and list(found.reason_codes) == sorted(found.reason_codes)
    assert {"v", "w"} <= set(found.violations) and list(found.violations) == sorted(found.violations)


def test_approvals():
    assert decide({"effect": "require_approval"}).required_approvals == 1
    found = decide({"effect": "require_approval", "min_approvals": 3})
    assert found.required_approvals == 3
    assert "approval_token_missing" in found.reason_codes and found.violations == ("approval_not_granted",)
    assert decide({"effect": "allow", "min_approvals": 2, "endpoint": {"destructive_action": "require_approval", "action": "require_approval"}}, targets=[{**HOST, "destructive": True}]).required_approvals == 2


def test_digests_and_names():
    rules, one = compiled({"effect": "allow"}), request()
    assert evaluate(rules, one) == Decision("allow", ("matched_rule_r0",), (), "r0", rules.policy.digest, one.intent_digest, 0)


def test_all_findings_are_named():
    rule = {"effect": "allow", "dataflow": {"enabled": True, "reason_code": "d", "violation": "dv"}, "endpoint": {"domain_denylist": ["h.example"], "reason_code": "e", "violation": "ev"}}
    found = decide(rule, targets=[HOST], arg_provenance=TAINTED)
    assert found.verdict == "block" and found.reason_codes == ("d", "e", "endpoint_domain_denied", "matched_rule_r0")
    assert found.violations == ("dv", "endpoint_domain_denied", "ev")


def test_an_allow_that_needs_what_is_not_there_is_a_block():
    assert decide({"effect": "allow", "require_broker_credential": True}).violations == ("broker_credential_missing",)
    for need in ({"rate_limit": {"requests": 1}}, {"budget": {"argument": "a", "limit": 1}}):
        found = decide({"effect": "allow", **need})
        assert (found.verdict, found.violations) == ("block", ("rate_limit_unavailable",))
        assert decide({"effect": "dry_run", **need}).verdict == "dry_run"


def test_a_failure_inside_is_a_block():
    rules = compiled({"effect": "allow", "endpoint": {"path_allowlist": ["/**"]}}, {"effect": "allow", "match": {"tool_names": ["tool"]}})
    one = request(targets=[{"kind": "path", "value": "/x"}])
    broken = [
        rules._replace(by_tool=None, merged=None),
        rules._replace(any_tool=[None], by_tool={}, merged={}),
        rules._replace(merged={"tool": [rules.rules[0]._replace(endpoint=object())]}),
        rules._replace(merged={"tool": [rules.rules[0]._replace(endpoint=rules.rules[0].endpoint._replace(path_allowed=(lambda path: 1 / 0,)))]}),
        rules._replace(policy=rules.policy._replace(fail_closed=None)),
    ]
    assert evaluate(rules, one).verdict == "allow"
    for one_broken in broken:
        expected = Decision("block", ("evaluation_failed",), ("evaluation_failed",), "", rules.policy.digest, one.intent_digest)
        assert evaluate(one_broken, one) == expected
        assert evaluate(one_broken, one).exit_code == 3


def test_an_unknown_effect_can_never_be_taken_for_an_allow():
    rules = compiled({"effect": "allow"})
    rule = rules.rules[0]
    odd = rules._replace(any_tool=[rule._replace(rule=rule.rule._replace(effect="maybe"))])
    with pytest.raises(KeyError):
        assert evaluate(odd, request()).exit_code != 0


def test_recursion_inside_is_a_block():
    def endless(path: str) -> bool:
        return endless(path)

    rules = compiled({"effect": "allow", "endpoint": {"path_denylist": ["/x"]}})
    rule = rules.rules[0]
    odd = rules._replace(any_tool=[rule._replace(endpoint=rule.endpoint._replace(path_denied=(endless,)))])
    assert evaluate(odd, request(targets=[{"kind": "path", "value": "/x"}])).reason_codes == ("evaluation_failed",)


@pytest.mark.parametrize(
    ("document", "blocked"),
    [
        ({"context": {"risk_class": " HIGH "}}, True),
        ({"context": {"risk_class": "critical"}}, True),
        ({"context": {"risk_class": "low"}}, False),
        ({"context": {"risk_class": "urgent"}}, False),
        ({"context": {}}, False),
        ([], False),
        (None, False),
    ],
)
def test_an_intent_without_normal_form(document: object, blocked: bool):
    closed = compiled(fail_closed={"enabled": True})
    found = invalid_intent(closed, document, "f" * 64)
    expected = Decision("block", ("fail_closed_intent_invalid",), ("intent_not_evaluable",), "", closed.policy.digest, "f" * 64)
    assert found == (expected if blocked else None)
    assert invalid_intent(compiled(fail_closed={"risk_classes": ["high"]}), document, "") is None


def test_fail_closed():
    closed = {"fail_closed": {"enabled": True, "risk_classes": ["low"], "required_fields": ["targets", "arg_provenance", "endpoint_class"]}}
    found = decide({"effect": "allow"}, members=closed)
    assert found.reason_codes == ("fail_closed_missing_arg_provenance", "fail_closed_missing_targets") and found.matched_rule == ""
    found = decide({"effect": "allow"}, members=closed, targets=[{"kind": "bucket", "value": "b"}], arg_provenance=TAINTED)
    assert found.reason_codes == ("fail_closed_endpoint_class_unknown", "fail_closed_missing_endpoint_class")
    assert found.violations == ("endpoint_class_unknown", "missing_endpoint_class") and found.verdict == "block"
    assert decide({"effect": "allow"}, members=closed, targets=[HOST], arg_provenance=TAINTED).verdict == "allow"
    assert decide({"effect": "allow"}, members={"fail_closed": {"enabled": True}}).verdict == "allow"


# What holds for every policy and intent.

TARGETS = (
    {"kind": "path", "value": "/ws/a", "operation": "read"},
    {"kind": "path", "value": "../etc/shadow", "operation": "rm"},
    {"kind": "path", "value": "~/x"},
    {"kind": "url", "value": "https://evil.example/x", "operation": "post"},
    {"kind": "url", "value": "file:///etc/passwd"},
    {"kind": "url", "value": "http:oops"},
    {"kind": "host", "value": "0x7f.1"},
    {"kind": "bucket", "value": "b", "sensitivity": "pii"},
    {"kind": "other", "value": "ls", "operation": "exec"},
)
ENDPOINTS = (
    {"path_allowlist": ["/ws/**"]},
    {"path_denylist": ["**/shadow", "../**"]},
    {"path_denylist": ["/etc/**"], "action": "require_approval"},
    {"domain_allowlist": ["*.example"]},
    {"domain_denylist": ["127.*", "evil.example"], "action": "require_approval"},
    {"egress_classes": ["net.dns"]},
    {"destructive_action": "require_approval", "action": "require_approval"},
    {"destructive_action": "block"},
)
DATAFLOWS = ({"enabled": True}, {"enabled": True, "action": "block"}, {"tainted_sources": ["user"]}, {"destination_kinds": ["path"], "action": "block"})
CLOSED = ({"enabled": True}, {"enabled": True, "risk_classes": ["low", "medium"], "required_fields": ["targets"]}, {"enabled": True, "required_fields": ["arg_provenance", "endpoint_class"]})
MATCHES = ({}, {"tool_names": ["a"]}, {"tool_names": ["a", "b"]}, {"risk_classes": ["high", "low"]}, {"target_kinds": ["path", "url"]}, {"data_classes": ["pii"]}, {"provenance_sources": ["external"]}, {"workspace_prefixes": ["/ws"]})


def any_rule(source: random.Random, name: str) -> dict:
    """Brokers and counters are left out: their absence blocks an allow, which an approval only postpones."""
    rule = {"name": name, "effect": source.choice(VERDICTS), "priority": source.randrange(-1, 2), "match": source.choice(MATCHES)}
    if source.random() < 0.4:
        rule["endpoint"] = source.choice(ENDPOINTS)
    if source.random() < 0.3:
        rule["dataflow"] = source.choice(DATAFLOWS)
    return rule


def any_policy(source: random.Random) -> dict:
    document = {"default_verdict": source.choice(VERDICTS), "rules": [any_rule(source, f"r{index}") for index in range(source.randrange(5))]}
    return {**document, "fail_closed": source.choice(CLOSED)} if source.random() < 0.2 else document


def any_request(source: random.Random) -> intent.IntentRequest:
    provenance = [{"arg_path": "x", "source": source.choice(intent.PROVENANCE_SOURCES)} for _ in range(source.randrange(3))]
    context = {"identity": "alice", "workspace": source.choice(("/ws", ".", "C:\\ws", "/")), "risk_class": source.choice(intent.RISK_CLASSES)}
    targets = source.sample(TARGETS, source.randrange(4))
    return intent.read({"tool_name": source.choice("abc"), "targets": targets, "arg_provenance": provenance, "context": context})


def evaluated(document: dict, one: intent.IntentRequest) -> Decision:
    return evaluate(compile_policy(policy.read(document)), one)


@pytest.mark.slow
def test_evaluate_never_fails_inside():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        document, one = any_policy(source), any_request(source)
        found = evaluated(document, one)
        assert found.verdict in VERDICTS and found.reason_codes and "evaluation_failed" not in found.reason_codes, (SEED, document, one)
        assert (found.required_approvals > 0) or found.verdict != "require_approval", (SEED, document)
        assert found == evaluated(document, one)


@pytest.mark.slow
def test_what_is_added_never_lowers_a_verdict():
    source = random.Random(SEED)
    raised = 0
    for _ in range(ROUNDS):
        document, one = any_policy(source), any_request(source)
        before = evaluated(document, one)
        changed = json.loads(json.dumps(document))
        pick = source.randrange(3)
        for rule in changed["rules"]:
            if pick == 0 and "endpoint" not in rule:
                rule["endpoint"] = source.choice(ENDPOINTS)
            if pick == 1 and "dataflow" not in rule:
                rule["dataflow"] = source.choice(DATAFLOWS)
        if pick == 2 and "fail_closed" not in changed:
            changed["fail_closed"] = source.choice(CLOSED)
        after = evaluated(changed, one)
        assert VERDICTS.index(after.verdict) >= VERDICTS.index(before.verdict), (SEED, document, changed, one)
        raised += after.verdict != before.verdict
    assert raised > ROUNDS / 50, (SEED, raised)


def test_one_more_pattern_never_lowers_a_verdict():
    """More denied, or less allowed."""
    source = random.Random(SEED)
    lists = {"path_denylist": "/ws/**", "domain_denylist": "*.example"}
    for _ in range(ROUNDS // 3):
        one, rule = any_request(source), {"name": "r", "effect": source.choice(VERDICTS)}
        endpoint = {**source.choice(ENDPOINTS)}
        before = evaluated({"rules": [{**rule, "endpoint": endpoint}]}, one)
        name = source.choice(list(lists))
        wider = {**endpoint, name: [*endpoint.get(name, []), lists[name]]}
        after = evaluated({"rules": [{**rule, "endpoint": wider}]}, one)
        assert VERDICTS.index(after.verdict) >= VERDICTS.index(before.verdict), (SEED, endpoint, one)


def test_the_order_of_the_document_does_not_matter():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 5):
        document, one = any_policy(source), any_request(source)
        shuffled = {**document, "rules": source.sample(document["rules"], len(document["rules"]))}
        assert evaluated(shuffled, one) == evaluated(document, one), (SEED, document)
