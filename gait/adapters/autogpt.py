"""AutoGPT (classic): the function call of a proposal, bare or under `use_tool`, or the older `command`."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, object_arguments

SHAPE = '{"name", "arguments": {…}}, {"use_tool": {"name", "arguments": {…}}} or {"command": {"name", "args": {…}}}'


def read(call: object) -> ToolCall:
    """The call in any of the forms."""
    fields = Fields(call)
    if fields.has("command"):
        absent(fields, "use_tool", "name", "arguments", "args")
        return _call(fields.fields("command"), "args", "arguments")
    if fields.has("use_tool"):
        absent(fields, "name", "arguments", "args")
        fields = fields.fields("use_tool")
    return _call(fields, "arguments", "args")


def _call(fields: Fields, expected: str, other: str) -> ToolCall:
    absent(fields, other, "tool", "input")
    if not fields.has(expected):
        raise refuse(fields.at(expected), "an object", None)
    return ToolCall(fields.required("name"), object_arguments(fields, expected))
