"""scripts/conformance.py without npm: what it says when there is none, and how it compares."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "conformance.py"
_SPEC = importlib.util.spec_from_file_location("scripts_conformance", SCRIPT)
assert _SPEC and _SPEC.loader
runner = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = runner
_SPEC.loader.exec_module(runner)

SUITE = runner.SUITES[0]


def result(way: str, problem: str = "", **statuses: str):
    checks = {(name, name, name, 0): (status, f"why {name}") for name, status in statuses.items()}
    return runner.Result(SUITE._replace(least=2), way, checks, 1.0, problem)


@pytest.fixture
def broken_npm(tmp_path: Path) -> Path:
    """A folder with an npm that reaches nobody, and a Node that is new enough."""
    for name, script in (("npm", "echo npm error code ENOTFOUND; exit 1"), ("node", "echo v22.0.0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_without_npm_it_is_skipped_and_says_so_in_one_line(broken_npm, tmp_path):
    environment = {**os.environ, "PATH": f"{broken_npm}:/usr/bin:/bin", "GAIT_CONFORMANCE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--junit", str(tmp_path / "report.xml")], env=environment, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 77
    assert done.stdout.count("\n") == 1 and "conformance: skipped: npm does not bring" in done.stdout and "ENOTFOUND" in done.stdout
    cases = list(xml.parse(tmp_path / "report.xml").iter("testcase"))
    assert len(cases) == 9 and all(case.find("skipped") is not None for case in cases)
    assert list((tmp_path / "cache").iterdir()) == []


def test_lost_and_gained_checks_are_told_and_a_loss_fails(tmp_path, capsys):
    direct = result("direct", a="SUCCESS", b="SUCCESS", c="SKIPPED")
    through = result("http", a="SUCCESS", b="WARNING", c="SUCCESS")
    assert runner.report([direct, through], tmp_path / "report.xml") == 1
    said = capsys.readouterr().out
    assert "lost    2026-07-28 http: b / b (b): WARNING why b" in said and "gained  2026-07-28 http: c / c (c)" in said
    failed = [case.get("name") for case in xml.parse(tmp_path / "report.xml").iter("testcase") if case.find("failure") is not None]
    assert failed == ["2026-07-28-http"]


def test_nothing_lost_is_a_success(capsys):
    assert runner.report([result("direct", a="SUCCESS", b="SUCCESS"), result("http", a="SUCCESS", b="SUCCESS")], None) == 0


@pytest.mark.parametrize(
    "direct", [result("direct", a="SUCCESS"), result("direct", a="SUCCESS", b="SUCCESS", c="FAILURE"), result("direct", "it broke", a="SUCCESS", b="SUCCESS")]
)
def test_direct_run_fails_below_its_least_or_with_a_failure(direct, capsys):
    assert runner.report([direct], None) == 1
    assert "FAILED 2026-07-28-direct" in capsys.readouterr().out


def test_no_run_at_all_is_no_success(capsys):
    assert runner.report([], None) == 1


def test_checks_of_the_same_id_are_told_apart(tmp_path):
    folder = tmp_path / "server-tools-list-2026-01-02T03-04-05-678Z"
    folder.mkdir()
    same = {"id": "x", "name": "n"}
    (folder / "checks.json").write_text(json.dumps([{**same, "status": "SUCCESS"}, {**same, "status": "FAILURE", "errorMessage": "no"}]))
    assert runner.read_checks(tmp_path) == {("tools-list", "x", "n", 0): ("SUCCESS", ""), ("tools-list", "x", "n", 1): ("FAILURE", "no")}


def test_server_that_ends_at_once_is_told_with_its_words(tmp_path):
    with pytest.raises(runner.Broken, match="gate ended with exit code 3: sorry"):
        with runner.server([sys.executable, "-c", "print('sorry'); raise SystemExit(3)"], tmp_path / "gate.txt", "never"):
            pass
