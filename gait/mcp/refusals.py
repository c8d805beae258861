"""What the client gets in place of an answer: a result that a model can read, or a JSON-RPC error."""

from __future__ import annotations

from ..errors import GaitError
from ..gate.decision import approval_command
from .effects import Effect, Refused, Ruling, ToClient
from .messages import BUSY, HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, Frame, FrameRefused, dumps

META_KEY = "dev.gait/decision"
_STATUSES = {INVALID_PARAMS: 200, BUSY: 503, INTERNAL_ERROR: 500}


def of_ruling(frame: Frame, ruling: Ruling) -> bytes:
    """The result of a call that was decided, and not allowed."""
    decision: dict[str, object] = {
        "verdict": ruling.verdict,
        "reason_codes": list(ruling.reason_codes),
        "violations": list(ruling.violations),
        "matched_rule": ruling.matched_rule,
        "trace_id": ruling.trace_id,
        "intent_digest": ruling.intent_digest,
        "policy_digest": ruling.policy_digest,
    }
    if ruling.verdict == "require_approval":
        decision["required_approvals"] = ruling.required_approvals
    return _result(frame, _text(ruling), {META_KEY: decision})


def not_recorded(frame: Frame, error: GaitError) -> bytes:
    """The result of a call whose decision could not be recorded."""
    text = f"Gait could not record a decision about {frame.name}, so it was not run. Try again later, or tell the operator."
    return _result(frame, text, {META_KEY: {"verdict": "block", "reason_codes": [error.error_code]}})


def of_error(data: bytes, error: FrameRefused) -> list[Effect]:
    """The record of a refused frame, and its JSON-RPC error; only an HTTP status for a notification, which may have no answer."""
    status = 400 if error.rpc_code not in _STATUSES else _STATUSES[error.rpc_code]
    answer = b"" if error.is_silent else rpc_error(error.id, error.rpc_code, _advice(error))
    return [Refused(data, error), ToClient(answer, status)]


def rpc_error(id_: str | int | None, code: int, message: str) -> bytes:
    """A JSON-RPC error response."""
    return dumps({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}})


def _advice(error: GaitError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _result(frame: Frame, text: str, meta: dict[str, object]) -> bytes:
    result: dict[str, object] = {"content": [{"type": "text", "text": text}], "isError": True, "_meta": meta}
    if frame.version:  # the stateless era: a result says that nothing more is asked of the client
        result["resultType"] = "complete"
    return dumps({"jsonrpc": "2.0", "id": frame.id, "result": result})


def _text(ruling: Ruling) -> str:
    """The refusal in words: what happened, why, and what to do."""
    tool, reasons = ruling.tool_name, ", ".join(dict.fromkeys((*ruling.reason_codes, *ruling.violations))) or "no reason given"
    trace = f"(trace {ruling.trace_id})"
    if ruling.verdict == "dry_run":
        return f"Gait did not run {tool}: the policy only simulates this call. By its rules it would have been: {reasons}. Nothing was changed. {trace}"
    if ruling.verdict == "require_approval":
        command = approval_command(ruling.intent_digest, ruling.policy_digest, tool)
        people = "an approval" if ruling.required_approvals < 2 else f"{ruling.required_approvals} approvals"
        return f"Gait did not run {tool}: it needs {people} ({reasons}). Ask a person to run `{command}`, then make the same call again. {trace}"
    return f"Gait blocked {tool}: {reasons}. Nothing was run. Change the call so that the policy allows it, or ask the operator. {trace}"
