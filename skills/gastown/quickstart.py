#!/usr/bin/env python3
"""One write through the gate, by a worker of Gas Town: `quickstart.py --scenario allow|block|require_approval`.

The event is the one that the worker's Claude Code sends, under the worker's own environment (GT_ROLE, GT_RIG, GT_ROOT, BD_ACTOR); the
worker gets the answer of `gait hook gastown`, and runs the tool when that is silence, since it asks nobody else."""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "quickstarts"))

import scenario  # noqa: E402

ROLE = "rig/polecats/toast"
WORKER = {"GT_ROLE": ROLE, "BD_ACTOR": ROLE, "GT_RIG": "rig", "GT_ROOT": os.getcwd()}


def payload(arguments: dict[str, object]) -> dict[str, object]:
    """The PreToolUse event of a pane, where nobody is asked for permission."""
    call = {"tool_name": scenario.TOOL, "tool_input": arguments, "tool_use_id": "toolu_1", "permission_mode": "bypassPermissions"}
    return {"hook_event_name": "PreToolUse", "session_id": "quickstart", "cwd": os.getcwd(), **call}


if __name__ == "__main__":
    for name, text in WORKER.items():
        os.environ.setdefault(name, text)
    through = scenario.hooked("gastown", payload)
    sys.exit(scenario.play("gastown", through, sys.argv[1:], policies=HERE, identity=os.environ["BD_ACTOR"]))
