"""TraceRecord (`gait.gate.trace` 1.0.0): the evidence of one decision, ready to be signed."""

from __future__ import annotations

import hashlib

from .. import __version__
from ..formats import jcs
from .decision import Decision
from .intent import IntentRequest
from .reference import reference

SCHEMA_ID = "gait.gate.trace"
SCHEMA_VERSION = "1.0.0"
CAPTURES = ("off", "reference", "raw")
MAX_CAPTURED_BYTES = 256 * 1024  # a journal takes records of 1 MiB


def trace_id(decision: Decision) -> str:
    """The decision's name: 24 hex digits, equal for equal policy, intent and verdict."""
    text = f"{decision.policy_digest}:{decision.intent_digest}:{decision.verdict}"
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:24]


def build(
    decision: Decision,
    intent: IntentRequest,
    created_at: str,
    latency_ms: float = 0.0,
    correlation_id: str = "",
    upstream: str = "",
) -> dict[str, object]:
    """The unsigned record of a decision about an intent; `latency_ms` 0 leaves the field out.

    `upstream` names the server that Gait sends an allowed call to: an outcome record follows.
    """
    record = _head(decision, created_at, correlation_id, upstream)
    record["tool_name"], record["args_digest"] = intent.tool_name, intent.args_digest
    record.update(_answer(decision, latency_ms))
    if intent.skill_provenance:
        record["skill_provenance"] = intent.skill_provenance.to_value()
    context = intent.context
    record["context"] = shown = {"identity": context.identity, "workspace": context.workspace, "risk_class": context.risk_class}
    if context.session_id:
        shown["session_id"] = context.session_id
    if context.request_id:
        shown["request_id"] = context.request_id
    return record


def captured(intent: IntentRequest, capture: str) -> dict[str, object] | None:
    """What a record keeps of its intent, so that the same call can be evaluated again (CAPTURES); None for nothing.

    `reference` keeps what gate/reference.py lets, `raw` all.  An intent that would not fit into a record is not kept.
    """
    value: dict[str, object] = {"targets": [target.to_value() for target in intent.targets], "context": intent.context.to_value()}
    if intent.arg_provenance:
        value["arg_provenance"] = [entry.to_value() for entry in intent.arg_provenance]
    kept: dict[str, object] | None = {**value, "args": intent.args} if capture == "raw" else reference(value)
    # A command's digest is no longer than three times the target that it stands in for.
    is_small = capture == "reference" and intent.size_bytes * 3 <= MAX_CAPTURED_BYTES
    return kept if kept is None or is_small or len(jcs.dumps(kept)) <= MAX_CAPTURED_BYTES else None


def build_invalid(decision: Decision, created_at: str, correlation_id: str = "", upstream: str = "") -> dict[str, object]:
    """The unsigned record of a block for an intent without a normal form; its intent digest is of the raw bytes."""
    record = _head(decision, created_at, correlation_id, upstream)
    return {**record, **_answer(decision, 0.0), "intent_digest_basis": "raw"}


def _head(decision: Decision, created_at: str, correlation_id: str, upstream: str) -> dict[str, object]:
    record: dict[str, object] = {
        "schema_id": SCHEMA_ID,
        "schema_version": SCHEMA_VERSION,
        "created_at": created_at,
        "producer_version": __version__,
        "trace_id": trace_id(decision),
    }
    if correlation_id:
        record["correlation_id"] = correlation_id
    if upstream:
        record["upstream"] = upstream
    return record


def _answer(decision: Decision, latency_ms: float) -> dict[str, object]:
    answer: dict[str, object] = {
        "intent_digest": decision.intent_digest,
        "policy_digest": decision.policy_digest,
        "verdict": decision.verdict,
        "reason_codes": list(decision.reason_codes),
    }
    if decision.violations:
        answer["violations"] = list(decision.violations)
    if decision.matched_rule:
        answer["matched_rule"] = decision.matched_rule
    if latency_ms:
        answer["latency_ms"] = latency_ms
    if decision.evidence:
        answer.update(decision.evidence)
    return answer
