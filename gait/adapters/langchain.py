"""LangChain: an AgentAction or a ToolCall."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, constant, object_arguments

SHAPE = '{"tool", "tool_input": {…} or text} or {"name", "args": {…}, "id", "type": "tool_call"}'


def read(call: object) -> ToolCall:
    """The call in either form.  A bare text input becomes the argument `input`."""
    fields = Fields(call)
    if fields.has("tool") or fields.has("tool_input"):
        absent(fields, "name", "args", "arguments")
        return ToolCall(fields.required("tool"), _input(fields), fields.text("tool_call_id"))
    if fields.has("type"):
        constant(fields, "type", "tool_call")
    absent(fields, "arguments", "input")
    if not fields.has("args"):
        raise refuse(fields.at("args"), "an object", None)
    return ToolCall(fields.required("name"), object_arguments(fields, "args"), fields.text("id"))


def _input(fields: Fields) -> dict[str, object]:
    value = fields.raw("tool_input")
    if type(value) is str:
        return {"input": value}
    if type(value) is not dict:
        raise refuse(fields.at("tool_input"), "an object or text", value)
    return value
