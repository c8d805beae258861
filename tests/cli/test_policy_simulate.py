"""`gait policy simulate`: recorded calls of journals, runs, traces and folders under another policy."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from gait import adapters
from gait.cli import progress
from gait.gate import trace
from gait.gate.evaluate import evaluate
from gait.runpack.record import intent_value
from gait.store import keys
from gait.store.journal.append import Journal
from gait.store.traces import dumps
from gait.signing import envelope
from tests.regress import runs

CONTEXT = {"identity": "agent", "workspace": "/work", "risk_class": "high"}
NAMES = ("read_file", "write_file", "delete_file")


def record(number=0, captured=True):
    compiled = runs.compiled()
    call = {"name": NAMES[number % 3], "arguments": {"path": f"/work/{number}"}}
    intent = adapters.to_intent("mcp", call, CONTEXT)
    found = trace.build(evaluate(compiled, intent), intent, "2026-02-05T00:00:00Z")
    return {**found, "intent": intent_value(intent)} if captured else found


@pytest.fixture
def policies(tmp_path):
    for name, text in {"old": runs.POLICY, "new": runs.NOW_ALLOWED, "block": "default_verdict: block\n"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return lambda name: tmp_path / f"{name}.yaml"


@pytest.fixture
def journal(tmp_path):
    root = tmp_path / "journal"
    with Journal.open(str(root), "worker", keys.signing_keyring("dev", None, None)[0]) as out:
        out.event("armed", {})
        for number in range(30):
            out.append(record(number, captured=number < 27))
    return root


def test_a_journal(cli, journal, policies):
    ran = cli("policy", "simulate", "--policy", policies("new"), "--from", journal, "--json")
    value = ran.value
    assert (ran.code, value["ok"], value["calls"], value["evaluated"], value["changed"]) == (0, True, 30, 27, 9)
    assert value["not_evaluated"] == {"not_captured": 3} and value["transitions"] == {"require_approval-to-allow": 9}
    group = value["groups"][0]
    assert (group["rule_before"], group["rule_after"], group["count"]) == ("write-workspace", "write-workspace", 9)
    assert [example["place"] for example in group["examples"]] == ["worker#3", "worker#6", "worker#9"]
    text = cli("policy", "simulate", "--policy", policies("new"), "--from", journal).out
    assert text.startswith("require_approval -> allow  9 calls  rule write-workspace -> write-workspace\n  worker#3  write_file  ")
    assert text.endswith("3 calls cannot be evaluated again: not_captured\nchanged verdict: 9 of 27 calls\n")


@pytest.mark.parametrize(
    "new,words,code",
    [
        ("old", ["any"], 0),
        ("new", [], 0),
        ("new", ["block-to-allow", "allow-to-block"], 0),
        ("new", ["require_approval-to-allow"], 5),
        ("new", ["looser"], 5),
        ("new", ["stricter"], 0),
        ("block", ["allow-to-block"], 5),
        ("block", ["looser"], 0),
        ("old", ["not-evaluated"], 5),
    ],
)
def test_fail_on(cli, journal, policies, new, words, code):
    options = [part for word in words for part in ("--fail-on", word)]
    ran = cli("policy", "simulate", "--policy", policies(new), "--from", journal, *options, "--json")
    assert (ran.code, ran.value["ok"]) == (code, not code) and ("failed_on" in ran.value) == bool(code)


def test_baseline_is_another_policy(cli, journal, policies):
    ran = cli("policy", "simulate", "--policy", policies("new"), "--baseline", policies("block"), "--from", journal, "--json")
    assert ran.value["transitions"] == {"block-to-allow": 18} and ran.value["baseline_digest"] != ran.value["policy_digest"]


def test_runs_traces_and_folders(cli, journal, policies, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.zip").write_bytes(runs.packed())
    signed = envelope.sign(record(1), keys.signing_keyring("dev", None, None)[0].active, envelope.TRACE)
    (folder / "trace_1.json").write_bytes(dumps(signed))
    (folder / "other.json").write_text("{}")
    os.rename(journal, folder / "journal")
    argv = ("policy", "simulate", "--policy", policies("new"), "--json", "--from")
    assert cli(*argv, folder / "deep" / "a.zip").value["groups"][0]["examples"][0]["place"] == "run_1#2"
    assert cli(*argv, folder / "trace_1.json").value["groups"][0]["examples"][0]["place"] == "trace_1.json"
    value = cli(*argv, folder).value
    assert (value["calls"], value["changed"]) == (30 + 3 + 1, 9 + 1 + 1)
    assert cli(*argv, folder / "deep", folder / "trace_1.json", "--from", folder / "journal").value["calls"] == 34


def test_nothing_of_a_damaged_source_counts(cli, journal, policies, tmp_path):
    argv = ("policy", "simulate", "--policy", policies("new"), "--json", "--from")
    (tmp_path / "bad.zip").write_bytes(runs.packed().replace(b"read_file", b"reed_file"))
    assert cli(*argv, tmp_path / "bad.zip").code == 2
    segment = journal / "worker" / "00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"verdict":"block"', b'"verdict":"allow"', 1))
    assert (cli(*argv, journal).code, cli(*argv, journal).value["error_code"]) == (2, "digest_mismatch")
    (tmp_path / "trace_1.json").write_text(json.dumps(record()))
    assert cli(*argv, tmp_path / "trace_1.json").code == 2


def test_nothing_to_compare_is_no_pass(cli, policies, tmp_path):
    (tmp_path / "run.zip").write_bytes(runs.packed(text=None))
    ran = cli("policy", "simulate", "--policy", policies("new"), "--from", tmp_path / "run.zip", "--fail-on", "any", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "nothing_evaluated") and "3 no_decision" in ran.value["error"]
    assert cli("policy", "simulate", "--policy", policies("new"), "--baseline", policies("old"), "--from", tmp_path / "run.zip").code == 0
    (tmp_path / "empty").mkdir()
    assert cli("policy", "simulate", "--policy", policies("new"), "--from", tmp_path / "empty").code == 6
    assert cli("policy", "simulate", "--policy", policies("new"), "--from", tmp_path / "nothing").code == 6
    ran = cli("policy", "simulate", "--policy", policies("new"), "--from", tmp_path, "--fail-on", "allow-to-blok", "--json")
    assert ran.code == 6 and "did you mean 'allow-to-block'?" in ran.value["error"]


def test_what_was_blocked_by_no_policy_is_left_out(cli, policies, tmp_path):
    with Journal.open(str(tmp_path / "j"), "w", keys.signing_keyring("dev", None, None)[0]) as out:
        out.append({**record(2), "matched_rule": "", "reason_codes": ["tool_definition_changed"]})
        out.append(record(0))
    value = cli("policy", "simulate", "--policy", policies("new"), "--from", tmp_path / "j", "--json").value
    assert value["not_evaluated"] == {"not_by_policy": 1} and value["evaluated"] == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [False, True])
def test_the_bar_is_for_people(monkeypatch, terminal):
    shown = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.delenv("TERM", raising=False)
    ticks = iter(range(10_000))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(ticks)))
    with progress.Progress("calls", 1000) as bar:
        for _ in bar.count(range(1000)):
            bar.done(1)
    assert ("[" in shown.getvalue()) == terminal
    if terminal:
        assert "calls, " in shown.getvalue() and shown.getvalue().endswith("\r\x1b[K")
