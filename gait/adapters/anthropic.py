"""Anthropic Messages: a tool_use block."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, constant, object_arguments

SHAPE = '{"type": "tool_use", "id", "name", "input": {…}}'


def read(call: object) -> ToolCall:
    """The call of one block."""
    fields = Fields(call)
    constant(fields, "type", "tool_use")
    absent(fields, "args", "arguments")
    if not fields.has("input"):
        raise refuse(fields.at("input"), "an object", None)
    return ToolCall(fields.required("name"), object_arguments(fields, "input"), fields.required("id"))
