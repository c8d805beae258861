"""OpenClaw: the before_tool_call event of a plugin, with the hook's `ctx` beside it where the plugin sends it."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, context_of, object_arguments

SHAPE = '{"toolName", "params": {…}, "toolCallId"?, "runId"?, "cwd"?, "ctx"?: {"sessionId"?, "sessionKey"?}, "context"?: {…}}'


def read(call: object) -> ToolCall:
    """The call of one event.  cwd, the session and toolCallId become workspace, session_id and request_id."""
    fields = Fields(call)
    absent(fields, "name", "tool", "tool_name", "args", "arguments", "input")
    if not fields.has("params"):
        raise refuse(fields.at("params"), "an object", None)
    name, ctx = fields.required("toolName"), fields.fields("ctx")
    if ctx.text("toolName", name) != name:
        raise refuse(ctx.at("toolName"), f"the event's toolName, {name[:80]!r}", ctx.raw("toolName"))
    context = context_of(fields, workspace="cwd", session_id="sessionId", request_id="toolCallId")
    session = ctx.text("sessionId") or ctx.text("sessionKey")
    if session:
        context.setdefault("session_id", session)
    return ToolCall(name, object_arguments(fields, "params"), fields.text("toolCallId"), context=context)
