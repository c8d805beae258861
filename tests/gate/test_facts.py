"""What a decision needs beside its policy, and what proofs of it can change: never a block that a rule made."""

from __future__ import annotations

import pytest

from gait.gate import policy
from gait.gate.evaluate import evaluate
from gait.gate.facts import NOTHING, Facts, Needs, Proof
from gait.gate.intent import read
from gait.gate.matching import compile_policy

CONTEXT = {"identity": "alice", "workspace": "/repo", "risk_class": "low"}
URL = {"kind": "url", "value": "https://api.example/x", "operation": "post"}
GRANTED = Proof("allow", ("approval_granted",), evidence={"approval_token_ref": "t1"})
WITHIN = Proof("allow", (), evidence={"left": 3})
ISSUED = Proof("allow", ("broker_credential_present",))
EVERYTHING = Facts(GRANTED, WITHIN, ISSUED)


def decide(rule, facts=NOTHING, **intent):
    document = {"rules": [{"name": "r", **rule}]} if rule else {}
    one = read({"tool_name": "pay", "targets": [URL], "context": CONTEXT, **intent})
    return evaluate(compile_policy(policy.read(document)), one, facts)


@pytest.mark.parametrize(
    "rule, needs",
    [
        ({"effect": "allow"}, None),
        ({"effect": "allow", "min_approvals": 2}, None),
        ({"effect": "block", "rate_limit": {"requests": 1}}, None),
        ({"effect": "dry_run", "require_broker_credential": True}, None),
        (None, Needs(1, False, False, None, None, False, "", ())),
        ({"effect": "require_approval", "min_approvals": 2}, Needs(2, True, False, None, None, False, "", ())),
        ({"effect": "allow", "rate_limit": {"requests": 3}}, Needs(0, False, False, policy.RateLimit(3, "minute", "tool_identity"), None, False, "", ())),
        ({"effect": "allow", "require_broker_credential": True, "broker_reference": "b", "broker_scopes": ["S"]}, Needs(0, False, False, None, None, True, "b", ("s",))),
        ({"effect": "allow", "endpoint": {"domain_denylist": ["api.example"], "action": "require_approval"}}, Needs(1, False, True, None, None, False, "", ())),
    ],
)  # fmt: skip
def test_what_a_rule_needs(rule, needs):
    decision = decide(rule)
    assert decision.needs == needs and (decision.verdict == "allow") == (needs is None and rule["effect"] == "allow")


def test_all_that_is_needed_and_proven_allows_and_is_on_record():
    rule = {"effect": "require_approval", "rate_limit": {"requests": 3}, "require_broker_credential": True}
    decision = decide(rule, EVERYTHING)
    assert (decision.verdict, decision.violations, decision.required_approvals) == ("allow", (), 1)
    assert decision.reason_codes == ("approval_granted", "broker_credential_present", "matched_rule_r")
    assert decision.evidence == {"approval_token_ref": "t1", "left": 3}


@pytest.mark.parametrize(
    "facts, verdict, reasons",
    [
        (NOTHING, "require_approval", ("approval_token_missing", "matched_rule_r")),
        (EVERYTHING._replace(approval=NOTHING.approval), "require_approval", ("approval_token_missing", "matched_rule_r")),
        (EVERYTHING._replace(limits=NOTHING.limits), "block", ("approval_granted", "broker_credential_present", "matched_rule_r", "rate_limit_unavailable")),
        (EVERYTHING._replace(credential=NOTHING.credential), "block", ("approval_granted", "broker_credential_required", "matched_rule_r")),
    ],
)  # fmt: skip
def test_one_proof_that_is_missing(facts, verdict, reasons):
    decision = decide({"effect": "require_approval", "rate_limit": {"requests": 3}, "require_broker_credential": True}, facts)
    assert (decision.verdict, decision.reason_codes) == (verdict, reasons)


@pytest.mark.parametrize(
    "rule",
    [
        {"effect": "block"},
        {"effect": "dry_run"},
        {"effect": "require_approval", "endpoint": {"domain_denylist": ["api.example"]}},
        {"effect": "require_approval", "dataflow": {"enabled": True, "action": "block"}},
        {"effect": "allow", "rate_limit": {"requests": 1}, "endpoint": {"egress_classes": ["net.dns"]}},
    ],
)
def test_facts_loosen_no_block(rule):
    taint = [{"arg_path": "a", "source": "external"}]
    assert decide(rule, EVERYTHING, arg_provenance=taint) == decide(rule, arg_provenance=taint)
    assert decide(rule, EVERYTHING, arg_provenance=taint).verdict != "allow"
