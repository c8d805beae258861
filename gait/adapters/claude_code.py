"""Claude Code and Codex: the PreToolUse event that their hooks get."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, constant, context_of, object_arguments

SHAPE = '{"hook_event_name": "PreToolUse", "tool_name", "tool_input": {…}, "cwd"?, "session_id"?, "tool_use_id"?}'


def read(call: object, event: str = "PreToolUse") -> ToolCall:
    """The call of one event of this name.  cwd, session_id and tool_use_id become workspace, session_id and request_id."""
    fields = Fields(call)
    constant(fields, "hook_event_name", event)
    absent(fields, "name", "tool", "toolName", "arguments", "args", "input")
    if not fields.has("tool_input"):
        raise refuse(fields.at("tool_input"), "an object", None)
    return ToolCall(
        name=fields.required("tool_name"),
        arguments=object_arguments(fields, "tool_input"),
        call_id=fields.text("tool_use_id"),
        context=context_of(fields, workspace="cwd", session_id="session_id", request_id="tool_use_id"),
    )
