"""AutoGen: a FunctionCall."""

from __future__ import annotations

from ..formats.fields import Fields
from .call import ToolCall, absent, json_arguments

SHAPE = '{"id", "name", "arguments": "<JSON object>"}'


def read(call: object) -> ToolCall:
    """The call of one FunctionCall."""
    fields = Fields(call)
    absent(fields, "args", "input", "tool")
    return ToolCall(fields.required("name"), json_arguments(fields, "arguments"), fields.required("id"))
