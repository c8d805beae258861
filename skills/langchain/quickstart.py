#!/usr/bin/env python3
"""One write through the gate, by a LangChain agent: `quickstart.py --scenario allow|block|require_approval`.

With langchain installed it is a real agent with a scripted model; without, the same call in LangChain's shape."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The tool call as LangChain has it."""
    return {"name": scenario.TOOL, "args": arguments, "id": "call_1", "type": "tool_call"}


def agent(gate: scenario.Gate, write: scenario.Write, arguments: dict[str, object]) -> str:
    """What the agent's model is told after it asked for the call."""
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import StructuredTool

    from gait.hosts.langchain import GaitMiddleware

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: object, **options: object) -> object:
            return self

    script = iter([AIMessage("", tool_calls=[payload(arguments)]), AIMessage("done")])
    tool = StructuredTool.from_function(write, name=scenario.TOOL)
    made = create_agent(Scripted(messages=script), [tool], middleware=[GaitMiddleware(gate)])
    return str(made.invoke({"messages": [("user", "write it")]})["messages"][-2].content)


if __name__ == "__main__":
    host = scenario.version_of("langchain")
    sys.exit(scenario.play("langchain", agent if host else scenario.plain("langchain", payload), sys.argv[1:], host=host))
