"""OpenAI: a Chat Completions tool call, an assistant message with one, or a Responses item."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, constant, json_arguments, the_one

SHAPE = (
    '{"id", "type": "function", "function": {"name", "arguments": "<JSON object>"}}, '
    'an assistant message {"role": "assistant", "tool_calls": [<one such call>]}, '
    'or {"type": "function_call", "call_id", "name", "arguments": "<JSON object>"} '
    '(also "custom" and "custom_tool_call", whose input is text)'
)


def read(call: object) -> ToolCall:
    """The call in any of the forms.  A custom tool's text becomes the argument `input`."""
    fields = Fields(call)
    if fields.has("tool_calls"):
        if fields.has("role"):
            constant(fields, "role", "assistant")
        absent(fields, "function_call", "function", "name", "arguments")
        return _chat_call(the_one(fields, "tool_calls"))
    if fields.first("function", "custom"):
        return _chat_call(fields)
    return _response_item(fields)


def _chat_call(fields: Fields) -> ToolCall:
    kind = fields.raw("type")
    if kind not in ("function", "custom"):
        raise refuse(fields.at("type"), "'function' or 'custom'", kind)
    absent(fields, "custom" if kind == "function" else "function", "name", "arguments", "input")
    if not fields.has(kind):
        raise refuse(fields.at(kind), "an object", None)
    inner = fields.fields(kind)
    return _call(inner, fields.required("id"), kind == "custom")


def _response_item(fields: Fields) -> ToolCall:
    kind = fields.raw("type")
    if kind not in ("function_call", "custom_tool_call"):
        raise refuse(fields.at("type"), "'function', 'custom', 'function_call' or 'custom_tool_call'", kind)
    return _call(fields, fields.required("call_id"), kind == "custom_tool_call")


def _call(fields: Fields, call_id: str, is_custom: bool) -> ToolCall:
    name = fields.required("name")
    if not is_custom:
        absent(fields, "input", "args")
        return ToolCall(name, json_arguments(fields, "arguments"), call_id)
    absent(fields, "arguments", "args")
    text = fields.raw("input")
    if type(text) is not str:
        raise refuse(fields.at("input"), "text", text)
    return ToolCall(name, {"input": text}, call_id)
