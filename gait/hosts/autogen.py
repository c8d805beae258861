"""AutoGen: `AssistantAgent(…, workbench=GatedWorkbench(tools, gate))`, with a list of tools or another workbench (MCP's, too)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .guard import Gate, Ruling

FRAMEWORK = "autogen"


class Veto:
    """What GatedWorkbench adds to Workbench: calls that the gate allows go to the workbench inside, as everything else does.

    It has no `call_tool_stream`, so that AgentChat uses `call_tool`.
    """

    def __init__(self, tools: Any, gate: Gate) -> None:
        self._gate = gate
        self._inside = _workbench(tools)

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, cancellation_token: Any = None, call_id: str | None = None
    ) -> Any:
        """The tool's result, or one with is_error that says why there is none."""

        async def run(judged: dict[str, Any]) -> Any:
            return await self._inside.call_tool(name, judged, cancellation_token, call_id)

        def refuse(ruling: Ruling) -> Any:
            from autogen_core.tools import TextResultContent, ToolResult  # type: ignore[import-not-found]

            return ToolResult(name=name, result=[TextResultContent(content=ruling.reason)], is_error=True)

        return await self._gate.acall(FRAMEWORK, _payload(name, arguments, call_id), run, refuse)

    async def list_tools(self) -> Any:
        """The tools of the workbench inside."""
        return await self._inside.list_tools()

    async def start(self) -> None:
        """Start the workbench inside."""
        await self._inside.start()

    async def stop(self) -> None:
        """Stop the workbench inside."""
        await self._inside.stop()

    async def reset(self) -> None:
        """Reset the workbench inside."""
        await self._inside.reset()

    async def save_state(self) -> Any:
        """The state of the workbench inside."""
        return await self._inside.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Give the workbench inside its state."""
        await self._inside.load_state(state)


def __getattr__(name: str) -> Any:
    """GatedWorkbench, made when it is first asked for: its base class is AutoGen's."""
    if name != "GatedWorkbench":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from autogen_core.tools import Workbench

    made = globals()[name] = type(name, (Veto, Workbench), {"__doc__": "Asks a Gate before each tool call.", "__module__": __name__})
    return made


def _workbench(tools: Any) -> Any:
    from autogen_core.tools import StaticWorkbench, Workbench

    return tools if isinstance(tools, Workbench) else StaticWorkbench(list(tools))


def _payload(name: str, arguments: object, call_id: str | None) -> object:
    """The FunctionCall that the model made, as far as it got here; the host has read its arguments."""
    try:
        text: str | None = json.dumps(dict(arguments) if isinstance(arguments, Mapping) else arguments)
    except (TypeError, ValueError, RecursionError):
        text = None  # which is refused as any other that is not the text of an object
    return {"id": call_id or "call", "name": name, "arguments": text}
