"""The logs of commands, end to end: off by default, no argument in them, and no exit code or answer changed by them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gait.cli import COMMANDS
from gait.cli.usage import command_of, record
from gait.store import usage

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    "words, command",
    [
        (["mcp", "serve", "--policy", SECRET], "mcp serve"),
        (["--json", "mcp", "serve"], "mcp serve"),
        (["mcp", "--json", "proxy"], "mcp proxy"),
        (["hook", "gastown"], "hook gastown"),
        (["openclaw", "install", "--target-dir", SECRET], "openclaw install"),
        (["gate", SECRET], "gate"),
        (["verify", SECRET], "verify"),
        (["--version"], "version"),
        ([SECRET], "unknown"),
        ([], "unknown"),
        (["--json"], "unknown"),
    ],
)
def test_the_words_are_gaits_own(words, command):
    assert command_of(words) == command


def test_every_noun_is_named():
    assert [command_of([name]) for name in COMMANDS] == list(COMMANDS)


def test_nothing_is_raised(monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(usage, "append", broken)
    record(["version"], 0, 0.1)


@pytest.fixture
def scene(tmp_path):
    """A policy and commands with their exit codes and a secret in their arguments."""
    (tmp_path / "policy.yaml").write_text("default_verdict: block\n")
    call = {"name": "read_file", "arguments": {"path": f"/{SECRET}"}}
    (tmp_path / f"{SECRET}.json").write_text(json.dumps(call))
    event = {"hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {"file_path": SECRET}, "cwd": "/w", "session_id": "s"}
    proxy = ["mcp", "proxy", "--policy", "policy.yaml", "--call", f"{SECRET}.json", "--json", "--trace-out", "t.json"]
    return tmp_path, {
        "version": (["version"], "", 0),
        "mcp proxy": (proxy, "", 3),
        "unknown": ([SECRET], "", 6),
        "hook claude-code": (["hook", "claude-code", "--policy", "policy.yaml"], json.dumps(event), 0),
        "hook codex": (["hook", "codex", "--policy", SECRET], "{}", 2),
    }


def run(folder, words, given, **env):
    command = [sys.executable, "-I", str(ROOT / "gait.py"), *words]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1770249600", **env}
    done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_logs_change_no_answer_and_hold_no_argument(scene, tmp_path):
    """Each command without a log, with both, and with two that cannot be written: one answer."""
    folder, commands = scene
    logs = {name: str(tmp_path / f"{name}.jsonl") for name in usage.LOGS}
    broken = {"GAIT_ADOPTION_LOG": "/dev/full" if os.path.exists("/dev/full") else str(tmp_path), "GAIT_OPERATIONAL_LOG": str(tmp_path)}
    for words, given, code in commands.values():
        plain = run(folder, words, given)
        assert plain[0] == code, plain
        assert run(folder, words, given, **logs) == run(folder, words, given, **broken) == plain
    for path in logs.values():
        text = Path(path).read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        assert [(line["command"], line["exit_code"]) for line in lines] == [(name, code) for name, (_, _, code) in commands.items()]
        assert SECRET not in text and str(tmp_path) not in text and "policy.yaml" not in text


def test_the_two_logs_share_a_correlation_id_and_processes_do_not(tmp_path):
    logs = {name: str(tmp_path / f"{name}.jsonl") for name in usage.LOGS}
    for _ in range(2):
        run(tmp_path, ["version"], "", **logs)
    first, second = ([json.loads(line)["correlation_id"] for line in Path(path).read_text().splitlines()] for path in logs.values())
    assert first == second and len(set(first)) == 2


def test_nothing_of_it_is_imported_when_no_log_is_asked_for(tmp_path):
    code = "import sys; sys.argv[1:] = ['version']; from gait.__main__ import run; run(); print('gait.store' in sys.modules, 'gait.cli.usage' in sys.modules)"
    for env, expected in (({}, "False False"), ({"GAIT_ADOPTION_LOG": str(tmp_path / "log")}, "True True")):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == expected, done.stderr


# --- gait doctor ---------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    ran = [("openclaw install", 0), ("openclaw install", 8), ("hook gastown", 0), ("mcp serve", 0), ("beads \x1b[31m", 0)]
    with open(path, "w") as file:
        for number, (command, code) in enumerate(ran):
            event = usage.Event(command, code, 1000, str(number))
            file.write(json.dumps(event.to_value("gait.operational_event", "2026-02-05T00:00:00Z")) + "\n")
    return path


def test_adoption(cli, log):
    value = cli("doctor", "adoption", "--from", log, "--json").value
    assert value["A1"] == {"runs": 2, "succeeded": 1, "days": 1, "seconds": 2.0}
    assert (value["A2"]["runs"], value["A3"]["seconds"], value["events"], value["unreadable_lines"]) == (1, 1.0, 5, 0)
    assert value["commands"]["openclaw install"] == value["A1"]


def test_adoption_as_text_is_safe_for_a_terminal(cli, log):
    done = cli("doctor", "adoption", "--from", log)
    assert done.code == 0 and done.out.startswith("A1") and "\x1b" not in done.out


@pytest.mark.parametrize("options", [["adoption"], ["--from", "x"], ["adoption", "--from", "nowhere"], ["adoptions"]])
def test_adoption_without_a_log(options, cli):
    assert cli("doctor", *options).code == 6


def test_another_file_is_no_log(cli, tmp_path):
    (tmp_path / "other").write_text("one\ntwo\n")
    done = cli("doctor", "adoption", "--from", tmp_path / "other", "--json")
    assert (done.code, done.value["error_code"]) == (6, "log_invalid")


def test_unreadable_lines_are_counted(cli, log):
    with open(log, "a") as file:
        file.write("half a li\n")
    assert cli("doctor", "adoption", "--from", log, "--json").value["unreadable_lines"] == 1
    assert "unreadable" in cli("doctor", "adoption", "--from", log).out


@pytest.mark.parametrize("path, status", [("relative", "warn"), (None, "ok")])
def test_the_doctor_names_the_logs(path, status, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("GAIT_ADOPTION_LOG", path or str(tmp_path / "log"))
    found = [check for check in cli("doctor", "--json").value["checks"] if check["name"] == "usage_log"]
    assert [check["status"] for check in found] == [status]
