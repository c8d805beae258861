"""Model Context Protocol: a JSON-RPC tools/call request, or Gait's flat form of it."""

from __future__ import annotations

from ..formats.fields import Fields, refuse
from .call import ToolCall, absent, constant, context_of, object_arguments

SHAPE = (
    '{"name", "args" or "arguments": {…}, "targets"?, "arg_provenance"?, "skill_provenance"?, "context"?} '
    'or {"jsonrpc": "2.0", "id", "method": "tools/call", "params": {"name", "arguments"?: {…}}}'
)


def read(call: object) -> ToolCall:
    """The call in either form."""
    fields = Fields(call)
    if fields.first("jsonrpc", "method", "params"):
        return _request(fields)
    absent(fields, "tool", "tool_name", "toolName")
    return ToolCall(
        name=fields.required("name"),
        arguments=object_arguments(fields, "args", "arguments"),
        targets=tuple(fields.items("targets")),
        arg_provenance=fields.raw("arg_provenance"),
        skill_provenance=fields.raw("skill_provenance"),
        context=context_of(fields),
    )


def _request(fields: Fields) -> ToolCall:
    constant(fields, "jsonrpc", "2.0")
    constant(fields, "method", "tools/call")
    absent(fields, "name", "args", "arguments", "tool")
    call_id = fields.raw("id")
    if type(call_id) not in (str, int):
        raise refuse(fields.at("id"), "text or a number", call_id)
    params = fields.fields("params")
    absent(params, "args", "tool", "input")
    return ToolCall(params.required("name"), object_arguments(params, "arguments"), str(call_id), context=context_of(fields))
