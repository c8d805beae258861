"""Gemini: a functionCall part."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, object_arguments

SHAPE = '{"functionCall": {"name", "args"?: {…}, "id"?}}'


def read(call: object) -> ToolCall:
    """The call of one part; a part without args is a call without arguments."""
    fields = Fields(call)
    absent(fields, "function_call", "name", "args", "arguments")
    if not fields.has("functionCall"):
        raise refuse(fields.at("functionCall"), "an object", None)
    inner = fields.fields("functionCall")
    absent(inner, "arguments", "input")
    return ToolCall(inner.required("name"), object_arguments(inner, "args"), inner.text("id"))
