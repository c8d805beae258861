"""OpenAI Agents SDK: `Agent(tools=gate_tools([…], gate))`."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ..errors import InvalidInput
from .guard import Gate

FRAMEWORK = "openai_agents"


def gate_tools(tools: Iterable[Any], gate: Gate) -> list[Any]:
    """Copies of function tools (agents as tools too) and custom tools that run when the gate allows; the model gets the reason otherwise.

    InvalidInput: another kind of tool.  Some run at the provider, where nothing here could stop them, others have callbacks of
    their own to guard: give the agent such a tool beside these, knowingly, or a function tool in its place.
    """
    return [_gated(tool, gate) for tool in tools]


def _gated(tool: Any, gate: Gate) -> Any:
    is_custom = _is_custom(tool)
    gated = copy.copy(tool)  # not dataclasses.replace: the SDK keeps its private fields and subclasses this way
    invoke: Any = gated.on_invoke_tool

    async def on_invoke_tool(context: Any, text: str) -> Any:
        call = {"call_id": context.tool_call_id, "name": getattr(tool, "qualified_name", tool.name)}
        if is_custom:
            payload = {**call, "type": "custom_tool_call", "input": text}
        else:
            payload = {**call, "type": "function_call", "arguments": text}
        return await gate.acall(FRAMEWORK, payload, lambda _: invoke(context, text), lambda ruling: ruling.reason)

    gated.on_invoke_tool = on_invoke_tool
    return gated


def _is_custom(tool: Any) -> bool:
    """Whether the tool takes bare text.  InvalidInput: it is neither a FunctionTool nor a CustomTool."""
    import agents  # type: ignore[import-not-found]

    if isinstance(tool, agents.FunctionTool):
        return False
    if isinstance(tool, getattr(agents, "CustomTool", ())):
        return True
    message = f"gate_tools: expected function or custom tools, got {type(tool).__name__}"
    raise InvalidInput(message, hint="Gait is not asked before such a tool runs", code="tool_not_gated")
