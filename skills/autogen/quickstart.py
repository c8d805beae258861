#!/usr/bin/env python3
"""One write through the gate, by an AutoGen workbench: `quickstart.py --scenario allow|block|require_approval`.

With autogen-core installed it is a real workbench; without, the same call in AutoGen's shape."""

from __future__ import annotations

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The FunctionCall as AutoGen has it."""
    return {"id": "call_1", "name": scenario.TOOL, "arguments": json.dumps(arguments)}


def workbench(gate: scenario.Gate, write: scenario.Write, arguments: dict[str, object]) -> str:
    """What an agent's model is told after it asked for the call."""
    import asyncio

    from autogen_core.tools import FunctionTool

    from gait.hosts.autogen import GatedWorkbench

    bench = GatedWorkbench([FunctionTool(write, "write a file", name=scenario.TOOL)], gate)
    return asyncio.run(bench.call_tool(scenario.TOOL, arguments, call_id="call_1")).to_text()


if __name__ == "__main__":
    host = scenario.version_of("autogen-core")
    sys.exit(scenario.play("autogen", workbench if host else scenario.plain("autogen", payload), sys.argv[1:], host=host))
