"""Gas Town: its workers' hook events, which are those of the agent that runs: Claude Code and Codex, or Copilot."""

from __future__ import annotations

from ..formats.fields import Fields
from . import claude_code
from .call import ToolCall, absent, context_of, json_arguments

SHAPE = f'{claude_code.SHAPE} or {{"toolName", "toolArgs": "<JSON object>", "cwd"?, "timestamp"?}}'


def read(call: object) -> ToolCall:
    """The call of one event."""
    fields = Fields(call)
    if fields.has("hook_event_name") or not fields.has("toolName"):
        return claude_code.read(call)
    absent(fields, "tool_name", "tool_input", "name", "args", "arguments", "params")
    context = context_of(fields, workspace="cwd", session_id="sessionId", request_id="toolCallId")
    return ToolCall(fields.required("toolName"), json_arguments(fields, "toolArgs"), context=context)
