"""The one decision: evaluate(policy, intent) -> Decision.

Pure and total.  In this order: what fail_closed demands, the first rule that matches, what
that rule's dataflow and endpoint add, and what an allow or an approval still needs.  Each
step can only make the answer more restrictive, and any internal error is a block.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import constraints
from .decision import Decision, stricter
from .intent import IntentRequest, risk_class_of
from .matching import CompiledPolicy, CompiledRule
from .policy import FailClosed


def evaluate(compiled: CompiledPolicy, intent: IntentRequest) -> Decision:
    """The decision for one intent under one policy.  Never raises: an internal error blocks."""
    try:
        return _decide(compiled, intent)
    except Exception:  # total by design: an answer that could not be made is a block
        reasons, violations = ("evaluation_failed",), ("evaluation_failed",)
        return Decision("block", reasons, violations, "", compiled.policy.digest, intent.intent_digest)


def invalid_intent(compiled: CompiledPolicy, document: object, raw_digest: str) -> Decision | None:
    """The block for an intent without a normal form, where fail_closed holds its risk class; else None.

    `raw_digest`, the SHA-256 of the bytes that came, stands for the intent digest.
    """
    fail_closed = compiled.policy.fail_closed
    if not fail_closed.enabled or risk_class_of(document) not in fail_closed.risk_classes:
        return None
    reasons, violations = ("fail_closed_intent_invalid",), ("intent_not_evaluable",)
    return Decision("block", reasons, violations, "", compiled.policy.digest, raw_digest)


def barred(compiled: CompiledPolicy, intent: IntentRequest, reason: str) -> Decision:
    """The block for an intent that may not run whatever the rules say, such as a tool whose definition is not the pinned one."""
    return _decision(compiled, intent, "block", (reason,), (reason,))


def _decide(compiled: CompiledPolicy, intent: IntentRequest) -> Decision:
    policy = compiled.policy
    if policy.fail_closed.enabled and intent.context.risk_class in policy.fail_closed.risk_classes:
        failures = _fail_closed(policy.fail_closed, intent)
        if failures:
            return _decision(compiled, intent, "block", [code for code, _ in failures], [word for _, word in failures])
    rule = first_match(compiled, intent)
    if rule is None:
        verdict = policy.default_verdict
        return _demands(compiled, intent, None, verdict, {"default_" + verdict}, set())
    verdict, reasons, violations = _constrained(rule, intent)
    return _demands(compiled, intent, rule, verdict, reasons, violations)


def _fail_closed(fail_closed: FailClosed, intent: IntentRequest) -> list[tuple[str, str]]:
    required = fail_closed.required_fields
    unclassed = any(target.endpoint_class in ("", "other") for target in intent.targets)
    failures = []
    if "targets" in required and not intent.targets:
        failures.append(("fail_closed_missing_targets", "missing_targets"))
    if "arg_provenance" in required and not intent.arg_provenance:
        failures.append(("fail_closed_missing_arg_provenance", "missing_arg_provenance"))
    if "endpoint_class" in required and unclassed:
        failures.append(("fail_closed_missing_endpoint_class", "missing_endpoint_class"))
    if unclassed:
        failures.append(("fail_closed_endpoint_class_unknown", "endpoint_class_unknown"))
    return failures


def first_match(compiled: CompiledPolicy, intent: IntentRequest) -> CompiledRule | None:
    """The first rule, in (priority, name) order, of which every given match list holds."""
    for rule in compiled.candidates(intent.tool_name):
        for _, holds, wanted in rule.checks:
            if not holds(intent, wanted):
                break
        else:
            return rule
    return None


def _constrained(rule: CompiledRule, intent: IntentRequest) -> tuple[str, set[str], set[str]]:
    """The rule's effect, made stricter by its dataflow and endpoint, with all reasons and violations."""
    findings: list[constraints.Finding] = []
    if rule.rule.dataflow:
        findings += constraints.dataflow_findings(rule.rule.dataflow, intent)
    if rule.endpoint:
        findings += constraints.endpoint_findings(rule.endpoint, intent)
    verdict, reasons, violations = rule.rule.effect, set(rule.reason_codes), set(rule.rule.violations)
    for finding in findings:
        verdict = stricter(verdict, finding.action)
        reasons.add(finding.reason_code)
        violations.add(finding.violation)
    return verdict, reasons, violations


def _demands(
    compiled: CompiledPolicy,
    intent: IntentRequest,
    rule: CompiledRule | None,
    verdict: str,
    reasons: set[str],
    violations: set[str],
) -> Decision:
    """What an allow or an approval still needs: here there are no tokens, brokers or counters, so each is missing."""
    required = rule.rule.min_approvals if rule else 0
    if verdict == "require_approval":
        required = max(1, required)
        reasons.add("approval_token_missing")
        violations.add("approval_not_granted")
    elif verdict == "allow" and rule:
        if rule.rule.require_broker_credential:
            verdict = "block"
            reasons.add("broker_credential_required")
            violations.add("broker_credential_missing")
        if rule.rule.rate_limit or rule.rule.budget:
            verdict = "block"
            reasons.add("rate_limit_unavailable")
            violations.add("rate_limit_unavailable")
    return _decision(compiled, intent, verdict, reasons, violations, rule.rule.name if rule else "", required)


def _decision(
    compiled: CompiledPolicy,
    intent: IntentRequest,
    verdict: str,
    reasons: Iterable[str],
    violations: Iterable[str],
    matched_rule: str = "",
    required_approvals: int = 0,
) -> Decision:
    return Decision(
        verdict,
        tuple(sorted(reasons)),
        tuple(sorted(violations)),
        matched_rule,
        compiled.policy.digest,
        intent.intent_digest,
        required_approvals,
    )
