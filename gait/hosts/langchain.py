"""LangChain and LangGraph: `create_agent(model, tools, middleware=[…, GaitMiddleware(gate)])`.

Put it last in the list, which is next to the tool: what another middleware changes after it would not have been judged.  A
ToolNode takes the two methods: `ToolNode(tools, wrap_tool_call=veto.wrap_tool_call, awrap_tool_call=veto.awrap_tool_call)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .guard import Gate, Ruling

FRAMEWORK = "langchain"


class Veto:
    """What GaitMiddleware adds to AgentMiddleware."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """The tool's answer, or a ToolMessage with status `error` that says why there is none."""
        return self._gate.call(FRAMEWORK, _payload(request), lambda args: handler(_judged(request, args)), _refusal(request))

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """The same, for ainvoke and astream."""
        return await self._gate.acall(FRAMEWORK, _payload(request), lambda args: handler(_judged(request, args)), _refusal(request))


def __getattr__(name: str) -> Any:
    """GaitMiddleware, made when it is first asked for: its base class is LangChain's."""
    if name != "GaitMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from langchain.agents.middleware import AgentMiddleware  # type: ignore[import-not-found]

    made = globals()[name] = type(name, (Veto, AgentMiddleware), {"__doc__": "Asks a Gate before each tool call.", "__module__": __name__})
    return made


def _payload(request: Any) -> object:
    """The call, and nothing that does not name the tool which would run: an outer middleware may have changed one of the two."""
    call, tool = request.tool_call, request.tool
    if tool is not None and tool.name != call["name"]:
        return None
    return dict(call)


def _judged(request: Any, arguments: dict[str, Any]) -> Any:
    return request.override(tool_call={**request.tool_call, "args": arguments})


def _refusal(request: Any) -> Callable[[Ruling], Any]:
    def refuse(ruling: Ruling) -> Any:
        from langchain_core.messages import ToolMessage  # type: ignore[import-not-found]

        call = request.tool_call
        return ToolMessage(content=ruling.reason, tool_call_id=call["id"] or "", name=call["name"], status="error")

    return refuse
