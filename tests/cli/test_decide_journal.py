"""`--journal` on `gate eval` and `mcp proxy`: one chain for many processes, and no allow that is not in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gait.formats import jcs

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "fixtures" / "quickstart"
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
INTENT = {
    **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z"},
    **{"producer_version": "test", "tool_name": "tool.read", "args": {"path": "/tmp/a"}},
    "targets": [{"kind": "path", "value": "/tmp/a", "operation": "read"}],
    "context": {"identity": "alice", "workspace": "/repo", "risk_class": "low"},
}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """The words of a proxy command; the journal's chain is journal/oneshot."""
    monkeypatch.chdir(tmp_path)
    for name in ("policy.yaml", "call_allow.json", "call_block.json"):
        Path(name).write_bytes((QUICKSTART / name).read_bytes())
    return ("mcp", "proxy", "--policy", "policy.yaml", "--call", "call_allow.json")


def lines(folder: str = "journal") -> list[bytes]:
    return Path(folder, "oneshot", "00000001.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("verb", ["proxy", "bridge"])
def test_the_trace_is_a_view_of_the_journals_record(cli, inputs, verb):
    first = cli("mcp", verb, *inputs[2:], "--journal", "journal", "--trace-out", "one.json", "--json").value
    second = cli(*inputs[:-1], "call_block.json", "--journal", "journal", "--trace-out", "two.json", "--json").value
    assert [(value["chain"], value["sequence"]) for value in (first, second)] == [("oneshot", 1), ("oneshot", 2)]
    for name, line in zip(("one.json", "two.json"), lines()):
        record = json.loads(Path(name).read_text())
        assert record == json.loads(line) and jcs.dumps(record) == line and len(record["prev_digest"]) == 64
        assert cli("trace", "verify", name).code == 0
    assert cli("journal", "verify", "journal").code == 0


def test_gate_eval_appends_too_and_says_where(cli, inputs):
    Path("intent.json").write_text(json.dumps(INTENT))
    Path("allow.yaml").write_text("default_verdict: allow\n")
    ran = cli("gate", "eval", "--policy", "allow.yaml", "--intent", "intent.json", "--journal", "journal")
    assert ran.code == 0 and "\njournal  oneshot #1\n" in ran.out and len(lines()) == 1


def test_a_call_without_a_normal_form_is_recorded_as_well(cli, inputs):
    Path("closed.yaml").write_text("default_verdict: allow\nfail_closed: {enabled: true, risk_classes: [high]}\n")
    Path("bad.json").write_text('{"name": "x", "arguments": {" ": 1}}')
    ran = cli("mcp", "proxy", "--policy", "closed.yaml", "--call", "bad.json", "--journal", "journal", "--json")
    assert (ran.code, ran.value["sequence"]) == (3, 1) and b"intent_digest_basis" in lines()[0]


def test_without_the_option_nothing_of_a_journal_is_loaded_or_said(cli, inputs):
    value = cli(*inputs, "--json").value
    assert "chain" not in value and "sequence" not in value and "oneshot" not in cli(*inputs).out
    probe = "import sys; sys.path.append(sys.argv.pop(1)); from gait.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-I", "-c", probe, str(ROOT), *inputs], capture_output=True, text=True, timeout=60)
    assert "gait.store.traces" in done.stderr and "gait.store.journal" not in done.stderr


def refused(cli, inputs, code, *options):
    """A failure with this exit code, no verdict and no trace."""
    ran = cli(*inputs, "--journal", "journal", "--trace-out", "no.json", "--json", *options)
    assert ran.code == code and ran.value["ok"] is False and "verdict" not in ran.value and not Path("no.json").exists()
    return ran.value["error_code"]


def test_a_tampered_tail_gives_no_allow(cli, inputs):
    for _ in range(3):
        cli(*inputs, "--journal", "journal")
    path = Path("journal", "oneshot", "00000001.jsonl")
    whole = path.read_bytes()
    changed = whole[:-400] + whole[-400:].replace(b'"allow"', b'"block"')
    assert changed != whole
    path.write_bytes(changed)
    assert refused(cli, inputs, 2)
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))  # the last record cut off
    assert refused(cli, inputs, 2)
    path.write_bytes(whole)
    assert cli(*inputs, "--journal", "journal", "--json").value["sequence"] == 4


def test_another_key_gives_no_allow(cli, inputs, home):
    cli(*inputs, "--journal", "journal")
    (home / "keys" / "trace.json").unlink()
    assert refused(cli, inputs, 2) and len(lines()) == 1


def test_an_unusable_journal_gives_no_allow(cli, inputs):
    Path("journal").write_text("a file")
    assert refused(cli, inputs, 1)
    Path("journal").unlink()
    Path("journal", "oneshot").mkdir(parents=True)
    os.chmod(Path("journal", "oneshot"), 0o777)
    assert refused(cli, inputs, 1) == "permissions_too_open"
    os.chmod(Path("journal", "oneshot"), 0o700)
    Path("journal", "oneshot", "00000001.jsonl").symlink_to("/dev/full")
    assert refused(cli, inputs, 1)


def test_a_full_disk_gives_no_allow(inputs):
    """RLIMIT_FSIZE stands in for it.  -B: Python 3.9 would leave half-written bytecode in the project (it takes a short write for a whole one)."""
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    run = limit + "sys.path.append(sys.argv.pop(1)); from gait.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-I", "-B", "-c", run, str(ROOT), *inputs, "--journal", "journal", "--trace-out", "no.json", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1 and json.loads(done.stdout)["ok"] is False and not Path("no.json").exists()


def test_a_trace_that_cannot_be_written_is_no_allow_though_the_journal_has_the_record(cli, inputs):
    ran = cli(*inputs, "--journal", "journal", "--trace-out", "missing/no.json", "--json")
    assert ran.code == 1 and ran.value["ok"] is False and len(lines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--journal", ""),
        ("--journal", "-"),
        ("--journal", "journal", "--trace-out", "journal/oneshot/head.json"),
        ("--journal", "journal/", "--export-log-out", "journal/x"),
        ("--journal", "journal", "--export-otel-out", "link/x"),
        ("--journal", "journal", "--trace-out", "journal"),
    ],
)
def test_outputs_stay_out_of_the_journal(cli, inputs, options):
    os.mkdir("journal", 0o700)
    os.symlink("journal", "link")
    ran = cli(*inputs, *options, "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage") and os.listdir("journal") == []


def test_a_neighbour_of_the_journal_is_not_in_it(cli, inputs):
    assert cli(*inputs, "--journal", "journal", "--trace-out", "journal.json", "--export-log-out", "journal-log").code == 0


@pytest.mark.slow
def test_eight_processes_at_once_leave_one_chain(cli, inputs, patience):
    cli(*inputs)  # makes the dev key
    loop = 'for i in 1 2 3 4 5; do "$@" || exit 1; done'
    command = ["sh", "-c", loop, "sh", *LAUNCHER, *inputs, "--journal", "journal", "--json"]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = [json.loads(line) for child in children for line in child.communicate(timeout=60 * patience)[0].splitlines()]
    assert [child.returncode for child in children] == [0] * 8
    assert sorted(value["sequence"] for value in said) == list(range(1, 41))
    report = cli("journal", "verify", "journal", "--json").value
    assert report["ok"] and report["chains"][0]["records"] == report["chains"][0]["proven_sequence"] == 40
    for value in said:
        assert json.loads(Path(value["trace_path"]).read_text()) == json.loads(lines()[value["sequence"] - 1])
