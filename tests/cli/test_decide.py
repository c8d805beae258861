"""What a decision leaves behind: outputs that must not be each other, exports, appends at once, the same bytes again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "fixtures" / "quickstart"
CALL = {"name": "read_file", "arguments": {"path": "/work/a"}}
KEY = base64.b64encode(bytes(range(32))).decode()
PROD = ("--key-mode", "prod", "--private-key-env", "THE_KEY")


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(QUICKSTART / "policy.yaml", "policy.yaml")
    Path("call.json").write_text(json.dumps(CALL))
    return ("mcp", "proxy", "--policy", "policy.yaml", "--call", "call.json")


@pytest.mark.parametrize(
    "options",
    [
        ("--trace-out", "policy.yaml"),
        ("--trace-out", "./call.json"),
        ("--trace-out", "link"),
        ("--export-log-out", "policy.yaml"),
        ("--export-otel-out", "call.json"),
        ("--trace-out", "out", "--export-log-out", "out"),
        ("--export-otel-out", "folder/../out", "--trace-out", "out"),
        ("--trace-out", "key", "--key-mode", "prod", "--private-key", "key"),
        ("--trace-out", "-"),
        ("--export-log-out", "-"),
        ("--trace-out", ""),
        ("--export-log-out", ""),
        ("--export-otel-out", ""),
        ("--journal", "j", "--trace-out", "j/trace.json"),
        ("--journal", "j", "--export-log-out", "j"),
        ("--journal", "folder/../j", "--export-otel-out", "j/deep/otel"),
    ],
)
def test_an_output_that_would_spoil_something_is_refused(cli, inputs, home, options):
    os.symlink("policy.yaml", "link")
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    ran = cli(*inputs, *options, "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage") and ran.value["error"].startswith(("--trace-out: ", "--export-"))
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before and not home.exists()


@pytest.mark.parametrize("folder", ["", "-"])
def test_a_journal_is_a_folder(cli, inputs, home, folder):
    ran = cli(*inputs, "--journal", folder, "--json")
    assert ran.code == 6 and ran.value["error"].startswith("--journal: must be a folder; got ") and not home.exists()


def test_a_journal_that_holds_the_decision(cli, inputs):
    ran = cli(*inputs, "--journal", "j", "--trace-out", "trace.json", "--json")
    assert (ran.code, ran.value["chain"], ran.value["sequence"]) == (0, "oneshot", 1)
    record = json.loads(Path("trace.json").read_text())
    assert record["sequence"] == 1 and cli("trace", "verify", "trace.json").code == 0
    assert "journal  oneshot #2\n" in cli(*inputs, "--journal", "j").out


@pytest.mark.parametrize("place", ["/dev/full", "policy.yaml", "policy.yaml/below", "missing/deep"])
def test_no_allow_when_the_journal_cannot_be_written(cli, inputs, place, traces):
    ran = cli(*inputs, "--journal", place, "--json")
    assert ran.value.get("verdict") is None if ran.code else Path(place).is_dir()
    assert ran.code == 0 or ran.code in (1, 6) and traces() == []
    assert (ran.code == 0) == (place == "missing/deep")  # folders are made


def test_the_exports_may_share_a_file(cli, inputs):
    assert cli(*inputs, "--export-log-out", "log", "--export-otel-out", "log", "--trace-out", "trace").code == 0
    first, second = map(json.loads, Path("log").read_text().splitlines())
    assert first["event"] == "gait.decision" and "resourceLogs" in second


def test_the_trace_goes_where_the_operator_says(cli, inputs, traces):
    for _ in range(2):  # replaced, not numbered
        ran = cli(*inputs, "--trace-out", "trace.json", "--json")
        assert ran.value["trace_path"] == "trace.json" and Path("trace.json").stat().st_mode & 0o777 == 0o600
    assert traces() == [] and sorted(os.listdir()) == ["call.json", "policy.yaml", "trace.json"]


def test_repeated_decisions_are_numbered(cli, inputs, traces):
    paths = [cli(*inputs, "--json").value["trace_path"] for _ in range(3)]
    assert [path[-7:] for path in paths] == [paths[0][-7:], "_2.json", "_3.json"] and len(traces()) == 3


def test_prod_keys_give_no_warning(cli, inputs, monkeypatch, home):
    monkeypatch.setenv("THE_KEY", KEY)
    ran = cli(*inputs, *PROD, "--json")
    assert ran.code == 0 and "warnings" not in ran.value and not (home / "keys").exists()


def test_a_dev_key_is_made_for_a_decision_only(cli, inputs, home):
    Path("bad.json").write_text("{")
    assert cli(*inputs[:-1], "bad.json").code == 6 and not home.exists()
    assert cli(*inputs).code == 0 and (home / "keys" / "trace.json").exists()


def test_exports_are_appended(cli, inputs):
    for _ in range(2):
        assert cli(*inputs, "--export-log-out", "log", "--export-otel-out", "otel", "--run-id", "run-1").code == 0
    for name in ("log", "otel"):
        lines = Path(name).read_text("ascii").splitlines()
        assert len(lines) == 2 and Path(name).stat().st_mode & 0o777 == 0o600
        assert all(json.loads(line) and "run-1" in line for line in lines)


APPEND = """
import sys
sys.path.insert(0, sys.argv[1])
from gait.cli import main
name = sys.argv[2]
import io, json
for number in range(50):
    call = json.dumps({"name": f"read_{name}_{number}\\n\\r\\u2028", "arguments": {"path": "/work/" + "x" * 3000}})
    sys.stdin = io.TextIOWrapper(io.BytesIO(call.encode()))
    sys.stdout = io.StringIO()
    argv = ["mcp", "proxy", "--policy", "policy.yaml", "--call", "-", "--trace-out", f"trace-{name}"]
    if main([*argv, "--export-log-out", "log", "--export-otel-out", "otel"]):
        sys.exit(1)
"""


@pytest.mark.slow
def test_eight_writers_at_once_tear_no_line(inputs):
    children = [subprocess.Popen([sys.executable, "-I", "-c", APPEND, str(ROOT), str(number)]) for number in range(8)]
    assert [child.wait(timeout=120) for child in children] == [0] * 8
    logs = [json.loads(line) for line in Path("log").read_bytes().split(b"\n")[:-1]]
    otel = [json.loads(line) for line in Path("otel").read_bytes().split(b"\n")[:-1]]
    assert len(logs) == len(otel) == len({line["tool_name"] for line in logs}) == 400
    assert all(len(line["resourceLogs"]) == 1 for line in otel)


def others() -> list[str]:
    """The oldest and the newest Python on this host: on PATH, or beside the one that runs this (as pyenv has them)."""
    found = []
    for version in ("3.9", "3.13"):
        beside = Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python")
        paths = [*map(str, beside), shutil.which(f"python{version}") or ""]
        found += [path for path in paths if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0][:1]
    return found


def test_the_same_run_gives_the_same_bytes(inputs, tmp_path):
    call = {"name": "Read\u2028\U0001f600", "arguments": {"path": "/work/ü", "n": [1.5, 1e21, 2**53 - 1]}, "context": {"session_id": "s"}}
    Path("call.json").write_text(json.dumps(call))
    runs = set()
    for python in [sys.executable, sys.executable, *others()]:
        folder = tmp_path / f"run{len(os.listdir())}"
        folder.mkdir()
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1770249600", "THE_KEY": KEY, "GAIT_HOME": str(folder / "home")}
        outputs = ("--export-log-out", folder / "log", "--export-otel-out", folder / "otel", "--run-id", "r", "--explain")
        command = [python, "-I", str(ROOT / "gait.py"), *inputs, *map(str, outputs), *PROD]
        shown = []
        for more in ([], ["--json"]):
            done = subprocess.run([*command, *more], env=environment, capture_output=True, timeout=60)
            assert done.returncode in (0, 3) and done.stderr == b""
            shown.append(done.stdout.replace(str(folder).encode(), b""))
        written = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
        assert len(written) == 4 and b"latency" not in b"".join(written)  # two traces, two exports
        runs.add((*shown, *written))
    assert len(runs) == 1
