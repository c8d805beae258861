"""One tool call in, one signed decision out: the path that every command and service shares.

Invariant: a decision leaves this module only inside a signed record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from time import perf_counter

from . import adapters
from .errors import InvalidInput
from .formats import strict_json
from .formats.documents import TYPE_CHECKING, NamedTuple
from .gate import intent as intents
from .gate import trace
from .gate.decision import Decision
from .gate.evaluate import barred, evaluate, invalid_intent
from .gate.intent import IntentRequest, SkillProvenance
from .gate.matching import CompiledPolicy
from .signing import envelope
from .signing.keys import Key
from .system import clock

MAX_BYTES = 16 * 1024 * 1024
DEFAULTS = {"identity": "mcp-proxy", "workspace": ".", "risk_class": "high"}
# What a client may always say of its context; identity, workspace and risk_class decide, so the operator must name them.
CLIENT_FIELDS = frozenset(("session_id", "request_id"))


if TYPE_CHECKING:
    from typing import Protocol

    class Outside(Protocol):
        """What knows more than policy and intent: approvals, counters, brokers, stops.  Safe to call from any thread."""

        def decide(self, compiled: CompiledPolicy, intent: IntentRequest, tokens: tuple[object, ...]) -> Decision:
            """The decision with all that is known; what an allow uses up is used up, durably, when this returns.

            Raises nothing that is a GaitError: what cannot be found out is missing.
            """

        def skill(self) -> tuple[SkillProvenance | None, str]:
            """The verified package that the calls come from, if one was named; and the reason to block them when it is not one."""


Record = dict[str, object]
Sign = Callable[[Record], Record]


class Call(NamedTuple):
    """One call as it came (`raw`) and parsed.  `adapter` names its framework; empty text means an IntentRequest document.

    `defaults` is the context that the call does not give itself; `trusted` names the fields that it may give, None all.
    `upstream` names the server that Gait itself will send an allowed call to; its record is completed by an outcome.
    `barred` is the reason for which the call is blocked whatever the policy says.
    `capture` (trace.CAPTURES) is what the record keeps of the intent.
    `tokens`: approval token documents that came with the call, not believed yet.
    """

    raw: bytes
    value: object
    source: str
    adapter: str = ""
    defaults: Mapping[str, object] = DEFAULTS
    run_id: str = ""
    trusted: frozenset[str] | None = None
    upstream: str = ""
    barred: str = ""
    capture: str = "off"
    tokens: tuple[object, ...] = ()


class Judged(NamedTuple):
    """A decision with its signed record; `intent` is None when the call has no normal form."""

    decision: Decision
    record: Record
    intent: IntentRequest | None

    def to_value(self, trace_path: str | None, warnings: tuple[str, ...] = ()) -> dict[str, object]:
        """The answer that every command and endpoint gives."""
        intent, decision = self.intent, self.decision
        value: dict[str, object] = {"ok": True, "verdict": decision.verdict}
        if intent:
            value["tool_name"] = intent.tool_name
        value.update(
            reason_codes=list(decision.reason_codes),
            violations=list(decision.violations),
            matched_rule=decision.matched_rule,
            required_approvals=decision.required_approvals,
            policy_digest=decision.policy_digest,
            intent_digest=decision.intent_digest,
        )
        if intent:
            value["args_digest"] = intent.args_digest
        key_id = self.record["signature"]["key_id"]  # type: ignore[index]
        if decision.evidence:
            value.update(decision.evidence)
        value.update(trace_id=self.record["trace_id"], trace_path=trace_path, key_id=key_id)
        found = (*warnings, *(intent.warnings if intent else ()))
        return {**value, "warnings": list(found)} if found else value


def read(raw: bytes, source: str, adapter: str = "", defaults: Mapping[str, object] = DEFAULTS, run_id: str = "") -> Call:
    """The call in a JSON text of at most 16 MiB, whose own context is trusted.  ParseError: it is none."""
    return Call(raw, strict_json.loads(raw, source, MAX_BYTES), source, adapter, defaults, run_id)


def document(call: Call) -> object:
    """The IntentRequest document of a call, not yet normalised.  InvalidInput: not the adapter's shape."""
    if not call.adapter:
        return call.value
    try:
        return adapters.to_document(call.adapter, call.value, call.defaults, call.trusted)
    except InvalidInput as error:
        error.where = error.where or call.source
        raise


def judge(compiled: CompiledPolicy, call: Call, sign: Sign, outside: Outside | None = None) -> Judged:
    """Decide a call and have the record signed: by `signer`, or by a journal, which also keeps it.

    Without `outside` nothing but the policy and the call is known.  What an allow uses up stays used when signing fails.
    InvalidInput: the call has no normal form and is an IntentRequest, or fail_closed does not claim its risk class;
    nothing is recorded.
    """
    started = perf_counter()
    value = document(call)
    created_at = clock.now_text()
    skill, problem = outside.skill() if outside else (None, "")
    try:
        intent = intents.read(value, skill)
    except InvalidInput as error:
        # An IntentRequest is its integrator's own document: one without a normal form is a mistake, not an attempt.
        blocked = invalid_intent(compiled, value, hashlib.sha256(call.raw).hexdigest()) if call.adapter else None
        if blocked is None:
            error.where = error.where or call.source
            raise
        return Judged(blocked, sign(trace.build_invalid(blocked, created_at, call.run_id, call.upstream)), None)
    decision = _decision(compiled, call._replace(barred=call.barred or problem) if problem else call, intent, outside)
    latency_ms = 0.0 if clock.is_fixed() else round((perf_counter() - started) * 1000, 3)
    record = trace.build(decision, intent, created_at, latency_ms, call.run_id, call.upstream)
    kept = trace.captured(intent, call.capture) if call.capture != "off" else None
    if kept:
        record["intent"] = kept
    return Judged(decision, sign(record), intent)


def _decision(compiled: CompiledPolicy, call: Call, intent: IntentRequest, outside: Outside | None) -> Decision:
    if call.barred:
        return barred(compiled, intent, call.barred)
    return outside.decide(compiled, intent, call.tokens) if outside else evaluate(compiled, intent)


def signer(key: Key) -> Sign:
    """A Sign that only signs."""
    return lambda record: envelope.sign(record, key, envelope.TRACE)
