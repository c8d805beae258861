"""`gait demo`: what a stranger sees first, and that none of it is pretended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

from gait.cli import demo, demo_shop
from gait.errors import GaitError

from .conftest import LAUNCHER, Ran

Cli = Callable[..., Ran]
# A change of the demo's calls or policy, of a runpack's form, or of Gait's version changes this digest.
DIGEST = "53dc3ed9408932b52e984173353ad8638ef77fc7d1c5957825a9c13ce5096ce3"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty folder for temporary ones."""
    (tmp_path / "work").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_the_screen(cli: Cli, alone: Path):
    ran = cli("demo")
    assert ran.code == 0 and ran.err == "" and "\x1b" not in ran.out
    lines = ran.out.splitlines()
    verdicts = [line.split()[0] for line in lines if re.match("   (allow|block|require_approval) ", line)]
    assert verdicts == ["allow", "block", "require_approval"]
    assert "   not executed      customers.db has the same SHA-256 as before" in lines
    assert f'GAIT run_id=run_demo manifest=sha256:{DIGEST} verify="gait verify run_demo"' in lines
    assert len(lines) <= 26 and max(len(line) for line in lines if not line.startswith(("GAIT ", "runpack", "policy"))) <= 80
    assert list((alone / "work").iterdir()) == list((alone / "tmp").iterdir()) == []


def test_the_next_commands_work(cli: Cli, alone: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["gait"])
    value = cli("demo", "--json").value
    assert value["verify"] == "ok" and value["manifest_digest"] == DIGEST
    for command in value["next"]:
        words = command.split()
        assert words[0] == "gait"
        assert cli(*words[1:]).code == 0
    assert cli("verify", "run_demo", "--require-signature").code == 0
    policy = alone / "work" / "policy.yaml"
    policy.write_text(policy.read_text().replace("effect: require_approval", "effect: allow"))
    ran = cli("regress", "run")
    assert ran.code == 5 and "refund_customer" in ran.out


def test_json_says_what_was_executed(cli: Cli, home: Path):
    value = cli("demo", "--json").value
    assert [call["executed"] for call in value["calls"]] == [True, False, False]
    assert [call["effect"] for call in value["calls"]] == [{"created": ["sandbox/report.md"]}, {}, {}]
    for call in value["calls"]:
        assert cli("trace", "verify", call["trace_path"]).code == 0
    assert Path(value["bundle"]) == home / "runs" / "runpack_run_demo.zip"


def test_again_and_again_it_is_the_same_run(cli: Cli, home: Path):
    first = cli("demo", "--json").value
    data = Path(first["bundle"]).read_bytes()
    second = cli("demo", "--json").value
    assert second["manifest_digest"] == first["manifest_digest"] and Path(second["bundle"]).read_bytes() == data
    assert [path.name for path in (home / "runs").iterdir()] == ["runpack_run_demo.zip"]


def test_another_run_of_that_name_is_not_replaced(cli: Cli, home: Path, tmp_path: Path):
    given = tmp_path / "run.json"
    given.write_text(json.dumps({"schema_id": "gait.runpack.record", "schema_version": "1.0.0", "run_id": "run_demo", "steps": []}))
    assert cli("run", "record", "--input", given).code == 0
    pack = home / "runs" / "runpack_run_demo.zip"
    before = pack.read_bytes()
    ran = cli("demo", "--json")
    assert ran.code == 1 and ran.value["error_code"] == "file_exists" and "move it away" in ran.value["hint"]
    assert pack.read_bytes() == before
    pack.write_bytes(b"no pack")
    assert cli("demo", "--json").value["error_code"] == "file_exists"


def test_the_engine_is_real(cli: Cli, policy: Callable[[str], Path]):
    assert [call["effect"] for call in cli("demo", "--policy", policy("default_verdict: allow\n"), "--json").value["calls"]] == [
        {"created": ["sandbox/report.md"]},
        {"deleted": ["customers.db"]},
        {"changed": ["ledger.csv"]},
    ]
    assert "sandbox/report.md is not there" in cli("demo", "--policy", policy("default_verdict: dry_run\n")).out
    assert cli("demo", "--policy", policy("efect: block\n")).code == 6


def test_an_effect_that_was_not_allowed_is_an_error():
    judged = type("Judged", (), {"decision": type("Decision", (), {"verdict": "block"})})
    with pytest.raises(GaitError, match="was not allowed and had an effect"):
        demo._effect_line(demo_shop.STEPS[1], judged, {"deleted": ["customers.db"]}, True)


def test_a_tool_stays_in_the_shop(tmp_path: Path):
    shop = demo_shop.Shop(str(tmp_path))
    with pytest.raises(GaitError, match="in the shop's folder"):
        shop.run(demo_shop.Step("delete_file", {"path": "/sandbox/../../other"}, "", ""))


def test_only_a_policy_of_this_digest_is_the_demos(cli: Cli):
    digest = cli("demo", "--json").value["calls"][0]["policy_digest"]
    assert b"refunds-need-a-person" in (demo.own_policy(digest) or b"")
    assert demo.own_policy("0" * 64) is None


def test_progress_is_printed_as_it_goes_and_it_is_quick(own_home: Path, patience: int):
    started = time.monotonic()
    done = subprocess.Popen([*LAUNCHER, "demo"], stdout=subprocess.PIPE, text=True)
    first = done.stdout.readline()  # type: ignore[union-attr]
    rest, _ = done.communicate(timeout=60)
    assert first.startswith("A toy agent") and done.returncode == 0
    assert time.monotonic() - started < 2 * patience
    assert f"  python3 -I {LAUNCHER[-1]} verify run_demo" in rest


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("plain", [False, True])
def test_colour_on_a_terminal_only_and_not_with_no_color(plain: bool):
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", **({"NO_COLOR": "1"} if plain else {})}
    done = subprocess.run([*LAUNCHER, "demo"], stdout=theirs, env=environment, timeout=60)
    os.close(theirs)
    out = os.read(ours, 65536)
    os.close(ours)
    assert done.returncode == 0 and (b"\x1b[31mblock" in out) is not plain and (b"\x1b" in out) is not plain


def test_how_it_was_called_is_how_to_go_on(monkeypatch: pytest.MonkeyPatch):
    for name, expected in (("gait.py", "python3 gait.py"), ("/x/gait/__main__.py", "python3 -m gait"), ("/usr/bin/gait", "gait")):
        monkeypatch.setattr(sys, "argv", [name])
        assert demo._program() == expected
