"""Decisions inside another program's process, one after the other: limits and stops hold there too."""

from __future__ import annotations

import json
import shutil

import pytest

from gait.cli import main
from gait.hosts import decision
from gait.hosts.options import checked, read

POLICY = """\
default_verdict: block
rules:
  - {name: r, effect: allow, match: {tool_names: [r]}, rate_limit: {requests: 2, window: day}}
  - {name: o, effect: allow, match: {tool_names: [o]}}
"""


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    options = checked(read(["claude-code", "--policy", str(tmp_path / "policy.yaml")]))

    def asked(tool):
        event = {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {}, "cwd": "/w", "session_id": "s", "tool_use_id": "t"}
        value = decision.decide(options, json.dumps(event).encode(), event).value
        return value["verdict"], value["reason_codes"]

    return asked


def test_a_rate_limit(ask):
    assert [ask("r")[0] for _ in range(3)] == ["allow", "allow", "block"]
    assert "rate_limit_exceeded" in ask("r")[1]


def test_a_stop_is_obeyed_at_once_and_remembered(ask, own_home, capsys):
    assert ask("o")[0] == "allow"
    assert main(["stop", "--scope", "tool", "o", "--reason", "r"]) == 0
    assert ask("o") == ("block", ["stopped", "stopped_tool"])
    shutil.rmtree(own_home / "gait" / "stops")
    (own_home / "gait" / "stops.used").unlink()
    assert ask("o") == ("block", ["stop_state_invalid", "stopped"])
    assert main(["resume", "--reset", "--reason", "r"]) == 0
    assert ask("o")[0] == "allow"
