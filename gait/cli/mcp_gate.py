"""The gate that `gait mcp wrap` and the MCP gateway decide by: the service's engine and journal, for one upstream."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ..errors import GaitError
from ..judge import CLIENT_FIELDS, Call
from ..mcp.effects import Outcome, Ruling, ToolCall
from ..service.engine import Engine
from ..store.journal import outcomes
from ..system import clock

UNNAMED = "upstream"  # what records call a server that has no name


class EngineGate:
    """Safe to call from any thread.  `defaults`: identity, workspace and risk_class of every call."""

    def __init__(self, engine: Engine, server: str, defaults: Mapping[str, str]) -> None:
        self._engine = engine
        self._upstream = server or UNNAMED
        self._defaults = defaults

    def decide(self, call: ToolCall) -> Ruling:
        """The decision, with its record in the journal.  GaitError: there is none, and nothing may be forwarded."""
        defaults = {**self._defaults, "session_id": call.session_id} if call.session_id else self._defaults
        asked = Call(
            call.raw, call.value, "frame", "mcp", defaults, trusted=CLIENT_FIELDS, upstream=self._upstream, barred=call.barred,
            capture=self._engine.capture,
        )  # fmt: skip
        try:
            judged = self._engine.decide(asked).judged
        except GaitError as error:
            self._engine.metrics.failed(error.error_code)
            raise
        decision, record = judged.decision, judged.record
        return Ruling(
            decision.verdict,
            decision.reason_codes,
            decision.violations,
            decision.matched_rule,
            str(record["trace_id"]),
            decision.intent_digest,
            decision.policy_digest,
            str(record["chain"]),
            int(record["sequence"]),  # type: ignore[call-overload]
            decision.required_approvals,
            judged.intent.tool_name if judged.intent else "",
            time.monotonic(),
        )

    def refused(self, data: bytes, error: GaitError) -> None:
        """Record input that got no decision.  A failing journal is on record with the ledger, and raises nothing here."""
        self._engine.metrics.failed(error.error_code)
        try:
            self._engine.refuse(data, error)
        except GaitError as failure:
            self._engine.metrics.failed(failure.error_code)

    def outcome(self, outcome: Outcome) -> None:
        """Complete the record of a forwarded call.  Without a journal it stays incomplete, and verification lists it."""
        ruling = outcome.ruling
        duration_ms = 0.0 if clock.is_fixed() else round((time.monotonic() - ruling.decided_at) * 1000, 3)
        details = outcomes.details(
            self._upstream, ruling.sequence, ruling.trace_id, outcome.status, outcome.result_digest, outcome.size_bytes, duration_ms
        )
        try:
            self._engine.ledger.event("outcome", details)
        except GaitError as failure:
            self._engine.metrics.failed(failure.error_code)
