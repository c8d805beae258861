"""`gait incident pack`: a run with what else was decided around its time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from .conftest import Ran
from .test_guard import entry, journal  # noqa: F401

Cli = Callable[..., Ran]


def incident(cli: Cli, window: str, *words: object) -> Ran:
    return cli("incident", "pack", "--from", "run_j", "--window", window, *words, "--json")


def test_what_else_was_decided(cli: Cli, journal: Path, tmp_path: Path):  # noqa: F811
    out = tmp_path / "i.zip"
    value = incident(cli, "90s", "--journal", journal, "--out", out).value
    assert value["kind"] == "incident" and value["template"] == "incident_response" and value["traces"] == 2
    assert value["around"] == {"allow": 1} and value["window"] == {"from": "2026-05-28T20:25:10Z", "to": "2026-05-28T20:29:10Z"}
    assert json.loads(entry(out, "around.jsonl"))["created_at"] == "2026-05-28T20:28:40Z"
    assert cli("guard", "verify", out).code == 0
    assert incident(cli, "10s", "--journal", journal, "--out", out).value["around"] == {}


def test_traces_of_a_folder(cli: Cli, tmp_path: Path):
    assert cli("demo").code == cli("demo").code == 0
    ran = cli("incident", "pack", "--from", "run_demo", "--window", "1h", "--out", tmp_path / "i.zip")
    assert ran.code == 0 and "around  1 allow, 1 block, 1 require_approval" in ran.out
    assert cli("guard", "verify", tmp_path / "i.zip").code == 0


def test_a_run_whose_time_nobody_knows(cli: Cli, tmp_path: Path):
    assert cli("demo").code == 0
    ran = cli("incident", "pack", "--from", "run_demo", "--window", "1h", "--traces", tmp_path / "none", "--json")
    assert ran.code == 6 and ran.value["error_code"] == "run_without_times"


@pytest.mark.parametrize("window", ["", "0h", "1", "h", "-1h", "1w", "1.5h", "99999999s9", "4000d", "٣h"])
def test_windows_that_are_none(cli: Cli, window: str):
    assert incident(cli, window).code == 6
