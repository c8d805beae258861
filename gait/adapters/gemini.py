"""Gemini: a functionCall part, or the BeforeTool event that the hooks of Gemini CLI get."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from . import claude_code
from .call import ToolCall, absent, object_arguments

SHAPE = '{"functionCall": {"name", "args"?: {…}, "id"?}} or ' + claude_code.SHAPE.replace("PreToolUse", "BeforeTool")


def read(call: object) -> ToolCall:
    """The call of one part, or of one event; a part without args is a call without arguments."""
    fields = Fields(call)
    if fields.has("hook_event_name"):
        absent(fields, "functionCall", "function_call")
        return claude_code.read(call, "BeforeTool")
    absent(fields, "function_call", "name", "args", "arguments")
    if not fields.has("functionCall"):
        raise refuse(fields.at("functionCall"), "an object", None)
    inner = fields.fields("functionCall")
    absent(inner, "arguments", "input")
    return ToolCall(inner.required("name"), object_arguments(inner, "args"), inner.text("id"))
