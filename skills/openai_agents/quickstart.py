#!/usr/bin/env python3
"""One write through the gate, by an agent of the OpenAI Agents SDK: `quickstart.py --scenario allow|block|require_approval`.

With openai-agents installed it is a real agent with a scripted model; without, the same call in the SDK's shape."""

from __future__ import annotations

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The tool call as the Responses API has it."""
    return {"type": "function_call", "call_id": "call_1", "name": scenario.TOOL, "arguments": json.dumps(arguments)}


def agent(gate: scenario.Gate, write: scenario.Write, arguments: dict[str, object]) -> str:
    """What the agent's model is told after it asked for the call."""
    from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    from gait.hosts.openai_agents import gate_tools

    done = ResponseOutputText(type="output_text", text="done", annotations=[])
    script = [
        ResponseFunctionToolCall(**payload(arguments)),
        ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[done]),
    ]

    class Scripted(Model):
        async def get_response(self, *_: object, **__: object) -> ModelResponse:
            return ModelResponse(output=[script.pop(0)], usage=Usage(), response_id=None)

        def stream_response(self, *_: object, **__: object) -> object:
            raise NotImplementedError

    tools = gate_tools([function_tool(write, name_override=scenario.TOOL)], gate)
    result = Runner.run_sync(Agent(name="writer", model=Scripted(), tools=tools), "write it", run_config=RunConfig(tracing_disabled=True))
    return next(str(item.output) for item in result.new_items if item.type == "tool_call_output_item")


if __name__ == "__main__":
    host = scenario.version_of("openai-agents")
    sys.exit(scenario.play("openai_agents", agent if host else scenario.plain("openai_agents", payload), sys.argv[1:], host=host))
