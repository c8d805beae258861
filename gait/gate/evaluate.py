"""The one decision: evaluate(policy, intent, facts) -> Decision.

Pure and total.  In this order: what fail_closed demands, the first rule that matches, what
that rule's dataflow and endpoint add, and what an allow or an approval still needs.  Each
step can only make the answer more restrictive, but for facts that prove an approval; any
internal error is a block.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import constraints
from .decision import Decision, stricter
from .facts import NOTHING, Facts, Needs, proofs
from .intent import IntentRequest, approval_digest, risk_class_of
from .matching import CompiledPolicy, CompiledRule
from .policy import FailClosed, Rule

# verdict, reason codes, violations, and whether dataflow or endpoint asks for an approval.
_Reached = tuple[str, "set[str]", "set[str]", bool]


def evaluate(compiled: CompiledPolicy, intent: IntentRequest, facts: Facts = NOTHING) -> Decision:
    """The decision for one intent under one policy.  Never raises: an internal error blocks.

    Its `needs` says which facts could change it.
    """
    try:
        return _decide(compiled, intent, facts)
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


def barred(compiled: CompiledPolicy, intent: IntentRequest, reason: str, *more: str) -> Decision:
    """The block for an intent that may not run whatever the rules say, such as a tool that is stopped, or not the pinned one."""
    return _decision(compiled, intent, "block", (reason, *more), (reason,))


def _decide(compiled: CompiledPolicy, intent: IntentRequest, facts: Facts) -> Decision:
    policy = compiled.policy
    if policy.fail_closed.enabled and intent.context.risk_class in policy.fail_closed.risk_classes:
        failures = _fail_closed(policy.fail_closed, intent)
        if failures:
            return _decision(compiled, intent, "block", [code for code, _ in failures], [word for _, word in failures])
    matched = first_match(compiled, intent)
    if matched is None:
        verdict = policy.default_verdict
        return _demands(compiled, intent, facts, None, (verdict, {"default_" + verdict}, set(), False))
    return _demands(compiled, intent, facts, matched.rule, _constrained(matched, intent))


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


def _constrained(rule: CompiledRule, intent: IntentRequest) -> _Reached:
    """The rule's effect, made stricter by its dataflow and endpoint, with all reasons and violations."""
    findings: list[constraints.Finding] = []
    if rule.rule.dataflow:
        findings += constraints.dataflow_findings(rule.rule.dataflow, intent)
    if rule.endpoint:
        findings += constraints.endpoint_findings(rule.endpoint, intent)
    verdict, reasons, violations, is_exact = rule.rule.effect, set(rule.reason_codes), set(rule.rule.violations), False
    for finding in findings:
        verdict = stricter(verdict, finding.action)
        is_exact = is_exact or finding.action == "require_approval"
        reasons.add(finding.reason_code)
        violations.add(finding.violation)
    return verdict, reasons, violations, is_exact


def _demands(compiled: CompiledPolicy, intent: IntentRequest, facts: Facts, rule: Rule | None, reached: _Reached) -> Decision:
    """What was reached, with what an allow or an approval still needs: what the facts do not prove is missing."""
    verdict, reasons, violations, is_exact = reached
    required = rule.min_approvals if rule else 0
    name, needed = rule.name if rule else "", _needs(rule, verdict, is_exact)
    evidence: dict[str, object] = {}
    if needed:
        required = needed.approvals or required
        verdict = "allow"
        for proof in proofs(needed, facts):
            verdict = stricter(verdict, proof.verdict)
            reasons.update(proof.reason_codes)
            violations.update(proof.violations)
            evidence.update(proof.evidence)
        if verdict == "require_approval" and intent.context.request_id:
            evidence["approval_digest"] = approval_digest(intent)  # what a token names, so that the caller's next try has it too
    decision = _decision(compiled, intent, verdict, reasons, violations, name, required)
    return decision._replace(needs=needed, evidence=evidence) if needed else decision


def _needs(rule: Rule | None, verdict: str, is_exact: bool) -> Needs | None:
    """What a call still needs that a rule (None: the default verdict) leaves at allow or require_approval; None: nothing."""
    if verdict == "allow":
        if rule is None or not (rule.rate_limit or rule.budget or rule.require_broker_credential):
            return None
        approvals = 0
    elif verdict == "require_approval":
        if rule is None:
            return Needs(1, False, is_exact, None, None, False, "", ())
        approvals = max(1, rule.min_approvals)
    else:
        return None
    return Needs(
        approvals,
        rule.require_distinct_approvers,
        is_exact,
        rule.rate_limit,
        rule.budget,
        rule.require_broker_credential,
        rule.broker_reference,
        rule.broker_scopes,
    )


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
