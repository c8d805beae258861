#!/usr/bin/env python3
"""One write through the gate, as AutoGPT (classic) asks: `quickstart.py --scenario allow|block|require_approval`.

The host is the few lines of forge's Agent.execute that ask a permission manager; AutoGPT itself is in no registry."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "quickstarts"))

import scenario  # noqa: E402


from gait.hosts.autogpt import GaitPermissionManager  # noqa: E402


def execute(gate: scenario.Gate, write: scenario.Write, arguments: dict[str, object]) -> str:
    """What the agent's model is told after it proposed the command."""
    answer = GaitPermissionManager(gate).check_command(scenario.TOOL, arguments)
    if not answer:
        return f"Permission denied for command '{scenario.TOOL}': {answer.feedback}"
    return write(**arguments)


if __name__ == "__main__":
    sys.exit(scenario.play("autogpt", execute, sys.argv[1:]))
