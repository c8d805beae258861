#!/usr/bin/env python3
"""One write through the gate, as Claude Code's hook asks: `quickstart.py --scenario allow|block|require_approval`.

The host gets the answer of `gait hook claude-code`, and runs the tool when that is silence, as Claude Code does."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The PreToolUse event."""
    call = {"tool_name": scenario.TOOL, "tool_input": arguments, "tool_use_id": "toolu_1"}
    return {"hook_event_name": "PreToolUse", "session_id": "quickstart", "cwd": os.getcwd(), **call}


if __name__ == "__main__":
    sys.exit(scenario.play("claude_code", scenario.hooked("claude-code", payload), sys.argv[1:]))
