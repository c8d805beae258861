"""`gait stop` and `gait resume`, and that every way to a decision obeys them at once."""

from __future__ import annotations

import json

import pytest

from gait.store import stops

CALL = {"name": "read_file", "arguments": {"path": "/work/a"}}
POLICY = "default_verdict: block\nrules:\n  - {name: all, effect: allow, match: {tool_names: [read_file, run]}}\n"


@pytest.fixture
def ask(cli, policy, tmp_path):
    """The answer of one-shot processes about a call."""
    path = policy(POLICY)

    def asked(*more):
        return cli("mcp", "proxy", "--policy", path, "--call", "-", "--json", *more, stdin=CALL)

    return asked


def journal(cli, path):
    found = [json.loads(line) for line in cli("journal", "export", path).out.splitlines()]
    return [(record["event"], record["details"]) for record in found if "event" in record]


def test_stop_and_resume_are_recorded_and_obeyed(cli, ask, home):
    assert ask().code == 0
    ran = cli("stop", "--scope", "tool", "Read_File", "--reason", "INC-41", "--json")
    assert (ran.code, ran.value["stops"][0]["value"], ran.value["stops"][0]["reason"]) == (0, "read_file", "INC-41")
    blocked = ask("--journal", home / "journal")
    assert (blocked.code, blocked.value["reason_codes"], blocked.value["violations"]) == (3, ["stopped", "stopped_tool"], ["stopped"])
    assert cli("stop", "--list").out.startswith("tool read_file  since ")
    resumed = cli("resume", "--scope", "tool", "read_file", "--reason", "closed", "--json")
    assert (resumed.code, resumed.value["stops"]) == (0, [])
    assert ask().code == 0
    assert cli("stop", "--list", "--json").value["stops"] == []
    events = journal(cli, home / "journal")
    assert [(name, details["scope"], details["value"], details["reason"]) for name, details in events] == [
        ("stop", "tool", "read_file", "INC-41"),
        ("resume", "tool", "read_file", "closed"),
    ]
    assert events[0][1]["sequence"] < events[1][1]["sequence"] == resumed.value["sequence"]
    assert cli("journal", "verify", home / "journal").code == 0


@pytest.mark.parametrize("scope, value", [("all", ()), ("identity", ("mcp-proxy",))])
def test_other_scopes(cli, ask, scope, value):
    assert cli("stop", "--scope", scope, *value, "--reason", "r").code == 0
    assert ask().value["reason_codes"] == ["stopped", f"stopped_{scope}"]
    assert cli("resume", "--scope", scope, *value, "--reason", "r").out == "resumed; still stopped:\nnothing is stopped\n"
    assert ask().code == 0


def test_a_state_that_was_deleted_stops_all_until_a_reset(cli, ask, home):
    cli("stop", "--scope", "tool", "other", "--reason", "r")
    assert ask().code == 0
    (home / "stops" / "state.json").unlink()
    assert ask().value["reason_codes"] == ["stop_state_invalid", "stopped"]
    assert cli("stop", "--list").code == cli("stop", "--scope", "all", "--reason", "r").code == 2
    ran = cli("resume", "--scope", "tool", "other", "--reason", "r")
    assert ran.code == 2 and "gait resume --reset" in ran.err
    assert cli("resume", "--reset", "--reason", "the disk was restored").code == 0
    assert ask().code == 0
    assert journal(cli, home / "journal")[-1][1]["scope"] == "reset"


def test_a_journal_that_cannot_be_written_stops_all_the_same_and_resumes_nothing(cli, ask, tmp_path):
    (tmp_path / "file").write_text("")
    ran = cli("stop", "--scope", "all", "--reason", "r", "--journal", tmp_path / "file")
    assert ran.code == 1 and "the stop is in force, but could not be recorded" in ran.err
    assert ask().code == 3
    assert cli("resume", "--scope", "all", "--reason", "r", "--journal", tmp_path / "file").code == 1
    assert ask().code == 3
    assert cli("resume", "--scope", "all", "--reason", "r").code == 0
    assert ask().code == 0


def test_a_stop_by_another_key_stops_everything(cli, ask, tmp_path):
    key = tmp_path / "ring.json"
    assert cli("keys", "init", "--path", key).code == 0
    words = ("--reason", "r", "--key-mode", "prod", "--private-key", key)
    assert cli("stop", "--scope", "tool", "other", *words).code == 0
    assert ask().value["reason_codes"] == ["stop_state_invalid", "stopped"]
    assert ask("--key-mode", "prod", "--private-key", key).code == 0


@pytest.mark.parametrize(
    "words, expected",
    [
        (("stop",), "scope: must be one of"),
        (("stop", "--reason", "r"), "scope: must be one of"),
        (("stop", "--scope", "tool", "--reason", "r"), "value: must be the tool to stop"),
        (("stop", "--scope", "all", "x", "--reason", "r"), "value: must be empty for the scope all"),
        (("stop", "--scope", "tool", "x"), "reason: must be text that is not empty"),
        (("stop", "--scope", "everything", "--reason", "r"), "invalid choice"),
        (("stop", "--scope", "tool", "x", "--reason", "r" * 501), "at most 500 characters"),
        (("resume", "--reason", "r"), "give --scope with what to resume, or --reset alone"),
        (("resume", "--reset", "--scope", "all", "--reason", "r"), "or --reset alone"),
        (("resume", "--reset", "x", "--reason", "r"), "or --reset alone"),
        (("resume", "--scope", "all"), "--reason: expected 1 to 500 characters"),
        (("resume", "--scope", "all", "--reason", "r"), "expected something that is stopped (nothing)"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(cli, home, words, expected):
    ran = cli(*words)
    assert ran.code == 6 and expected in ran.err
    assert not (home / "stops").exists()


def test_what_is_shown_cannot_move_the_cursor(cli):
    cli("stop", "--scope", "tool", "x\x1b[2J", "--reason", "a\x1b[2Jb")
    assert "\x1b" not in cli("stop", "--list").out


def test_the_state_is_where_the_evaluators_look(cli, home):
    cli("stop", "--scope", "all", "--reason", "r")
    assert json.loads((home / "stops" / "state.json").read_text())["schema_id"] == "gait.stops"
    assert stops.path(str(home)) == str(home / "stops" / "state.json")
