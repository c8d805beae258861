#!/usr/bin/env python3
"""One write through the gate, as the OpenClaw plugin asks: `quickstart.py --scenario allow|block|require_approval`.

The host gets the answer of `gait hook openclaw`, and runs the tool when that is no block, as the plugin does."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The before_tool_call event."""
    return {"toolName": scenario.TOOL, "params": arguments, "toolCallId": "call_1"}


if __name__ == "__main__":
    sys.exit(scenario.play("openclaw", scenario.hooked("openclaw", payload), sys.argv[1:]))
