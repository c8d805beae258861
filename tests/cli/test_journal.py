"""`gait journal`: what it prints, what it exits with, and that nothing an agent wrote steers the terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gait.cli import Parser, journal
from gait.errors import InvalidInput, VerificationFailed
from gait.signing.keys import base64_dumps
from gait.store.journal.append import Journal
from gait.store.journal.retention import Limits

from tests.store.journal import damage, sample

KEY = ("--key-mode", "prod", "--private-key-env", "TEST_KEY")
GAIT = [sys.executable, "-I", str(sample.ROOT / "gait.py")]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", base64_dumps(sample.SECRET))


@pytest.fixture
def golden(tmp_path):
    import shutil

    return Path(shutil.copytree(sample.GOLDEN, tmp_path / "golden"))


@pytest.fixture
def gait(capfdbinary):
    """Run one command line in this process: (exit code, standard output, standard error)."""

    def run(*argv: object) -> tuple[int, str, str]:
        parser = Parser(prog="gait journal")
        journal.add_arguments(parser)
        code = journal.run(parser.parse_args([*map(str, argv), *KEY]))
        sys.stdout.flush()
        out, errors = capfdbinary.readouterr()
        return code, out.decode(), errors.decode()

    return run


def test_verify(gait, golden):
    code, out, _ = gait("verify", golden)
    assert code == 0 and out.splitlines()[-1] == "ok: 34 records verified in 4 chains"
    assert "  proven up to sequence 17 by head of 2026-02-05T00:00:00Z (stopped)" in out
    assert "gap: worker-2 after sequence 6: not_stopped: armed and not stopped: it is running now, or was killed" in out


def test_verify_as_json(gait, golden):
    code, out, _ = gait("verify", golden, "--json")
    value = json.loads(out)
    assert code == 0 and value["ok"] and value["findings"] == [] and value["findings_total"] == 0
    assert [chain["chain"] for chain in value["chains"]] == ["oneshot", "pruned", "worker-1", "worker-2"]
    assert value["chains"][3]["unproven"] == 3 and value["chains"][3]["gaps"][0]["code"] == "not_stopped"


def test_verify_with_findings(gait, golden):
    damage.apply(golden, [["drop", "worker-1/00000002.jsonl", 3], ["insert", "worker-2/00000001.jsonl", 6, "half\n"]])
    code, out, _ = gait("verify", golden)
    assert code == 2 and out.splitlines()[-1] == "NOT VERIFIED: 2 findings; 33 records verified"
    assert "finding: worker-1 segment 2 sequence 9: records_missing: 1 records before record 10 are not there" in out
    code, out, _ = gait("verify", golden, "--json")
    value = json.loads(out)
    assert code == 2 and not value["ok"] and value["error_code"] == "records_missing"
    assert [finding["code"] for finding in value["findings"]] == ["records_missing", "line_not_json"]


def test_verify_with_heads(gait, golden, tmp_path, monkeypatch):
    head = tmp_path / "head.json"
    head.write_bytes((golden / "worker-1" / "head.json").read_bytes())
    assert gait("verify", golden, "--head", head)[0] == 0
    damage.apply(golden, [["remove", "worker-1"]])
    code, out, _ = gait("verify", golden, "--head", head)
    assert code == 2 and "chain_missing" in out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(head.read_bytes())))
    assert gait("verify", golden, "--head", "-")[0] == 2
    with pytest.raises(InvalidInput):
        gait("verify", golden, "--head", "-", "--head", "-")
    head.write_text('{"schema_id": "x"}')
    with pytest.raises(VerificationFailed):
        gait("verify", golden, "--head", head)


def test_more_findings_than_are_kept(gait, golden):
    lines = damage.read(golden, "worker-2/00000001.jsonl")
    damage.write_lines(golden, "worker-2/00000001.jsonl", lines + [lines[1], lines[3]] * 700)
    code, out, _ = gait("verify", golden)
    assert code == 2 and "finding: and 400 more" in out and "1400 findings" in out


def test_dev_key_and_its_warning(golden, own_home):
    done = subprocess.run([*GAIT, "journal", "verify", golden], capture_output=True, text=True, timeout=30)
    assert done.returncode == 7 and "there is no dev key" in done.stderr
    subprocess.run([*GAIT, "keys", "init"], check=True, capture_output=True, timeout=30)
    done = subprocess.run([*GAIT, "journal", "verify", golden, "--json"], capture_output=True, text=True, timeout=30)
    value = json.loads(done.stdout)
    assert done.returncode == 2 and "dev key" in value["warnings"][0] and value["chains"][0]["records"] == 0


@pytest.mark.parametrize("verb", ["verify", "tail", "export", "stats"])
def test_no_journal(gait, tmp_path, verb):
    for path in (tmp_path / "none", tmp_path / "x\x1b[2J"):
        with pytest.raises(InvalidInput) as caught:
            gait(verb, path)
        assert caught.value.exit_code == 6


@pytest.mark.parametrize("argv", [[], ["burn"], ["verify"], ["tail", "x", "-n", "0"], ["tail", "x", "-n", "y"], ["stats", "{}", "--top", "0"]])
def test_usage_errors(gait, golden, argv):
    with pytest.raises(InvalidInput):
        gait(*[str(golden) if arg == "{}" else arg for arg in argv])


def test_export(gait, golden, tmp_path):
    code, out, errors = gait("export", golden)
    lines = out.encode().splitlines()
    kept = [line for path in sorted(golden.glob("*/*.jsonl")) for line in path.read_bytes().splitlines()]
    assert code == 0 and lines == kept and not errors
    trace = tmp_path / "trace.json"
    trace.write_bytes(lines[0])
    done = subprocess.run([*GAIT, "trace", "verify", trace, *KEY], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "verified" in done.stdout
    damage.apply(golden, [["edit", "worker-1/00000001.jsonl", 2, '"allow"', '"block"']])
    code, out, errors = gait("export", golden)
    assert code == 2 and len(out.splitlines()) == 33
    assert errors.startswith("finding: worker-1 segment 1 sequence 2: digest_mismatch")


def test_stats(gait, golden):
    code, out, errors = gait("stats", golden, "--top", "2")
    assert code == 0 and not errors
    assert out.startswith("decisions  24\n\nverdicts\n") and "in 2 more" in out and "latency in ms  p50 0." in out
    assert "   <= 0.25  " not in out and "<= 0.25  ##" in out
    code, out, _ = gait("stats", golden, "--json")
    value = json.loads(out)
    assert value["ok"] and value["decisions"] == 24 and value["events"]["stopped"] == 2
    damage.apply(golden, [["drop", "oneshot/00000001.jsonl", 2]])
    code, out, errors = gait("stats", golden, "--json")
    assert code == 2 and json.loads(out)["findings_total"] == 1 and "records_missing" in errors


def test_stats_without_decisions(gait, tmp_path):
    Journal.open(str(tmp_path / "j"), "w", sample.RING).abandon()
    assert gait("stats", tmp_path / "j")[1] == "decisions  0\n"


def test_tail(gait, golden):
    code, out, _ = gait("tail", golden, "--chain", "worker-1", "-n", "3")
    assert code == 0 and out.splitlines() == [
        "00:00:00  require_approval  tool.write1  writes  matched_rule_writes  0.5 ms  worker-1#15",
        "00:00:00  dry_run           tool.write2  writes  matched_rule_writes  0.625 ms  worker-1#16",
        "00:00:00  -- stopped --    worker-1#17",
    ]
    code, out, _ = gait("tail", golden, "-n", "1000", "--json")
    assert len(out.splitlines()) == 34 and all(json.loads(line)["signature"] for line in out.splitlines())
    assert "new_policy_digest=" in gait("tail", golden, "--chain", "worker-1", "-n", "8")[1]


def test_tail_of_what_does_not_verify(gait, golden):
    damage.apply(golden, [["edit", "worker-1/00000003.jsonl", 2, "require_approval", "allow"]])
    code, out, _ = gait("tail", golden, "--chain", "worker-1", "-n", "3")
    assert code == 2 and "NOT VERIFIED  digest_mismatch  worker-1" in out and "allow" not in out
    code, out, _ = gait("tail", golden, "--chain", "worker-1", "-n", "3", "--json")
    assert json.loads(out.splitlines()[0]) == {"ok": False, "chain": "worker-1", "error_code": "digest_mismatch"}


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\r\nallow  " + "x" * 500


@pytest.fixture
def hostile(tmp_path):
    root = str(tmp_path / "hostile")
    with Journal.open(root, "w", sample.RING) as made:
        context = {"identity": HOSTILE, "workspace": HOSTILE, "risk_class": "high"}
        made.append(sample.record(tool_name=HOSTILE, matched_rule=HOSTILE, reason_codes=[HOSTILE], context=context))
        made.append(sample.record(1, verdict=HOSTILE, reason_codes=HOSTILE))
        made.event("refused_input", {"reason": HOSTILE, HOSTILE: [1]})
    return root


@pytest.mark.parametrize("verb", ["verify", "tail", "stats"])
@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_what_an_agent_wrote_cannot_steer_the_terminal(gait, hostile, verb, json_too):
    code, out, errors = gait(verb, hostile, *json_too)
    assert code == 0 and all(char.isprintable() or char == "\n" for char in out + errors)
    assert not any(line.startswith("allow") for line in out.splitlines())


def on_terminal(*argv: object) -> tuple[int, str]:
    """A command with a terminal as its standard output."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([*GAIT, "journal", *map(str, argv), *KEY], stdout=follower, env={**os.environ, "TERM": "xterm"})
    os.close(follower)
    data = b""
    try:
        while True:
            chunk = os.read(leader, 65536)
            if not chunk:
                break
            data += chunk
    except OSError:
        pass
    os.close(leader)
    return process.wait(timeout=30), data.decode()


def test_colours_are_for_terminals_only(gait, golden, hostile):
    code, out = on_terminal("tail", golden, "--chain", "worker-1", "-n", "4")
    assert code == 0 and "\x1b[31mblock           \x1b[0m" in out and "\x1b[33mrequire_approval\x1b[0m" in out
    assert "\x1b" not in gait("tail", golden)[1]
    assert "\x1b[32mok\x1b[0m: 34 records" in on_terminal("verify", golden)[1]
    out = on_terminal("export", hostile)[1].replace("\r\n", "\n")
    assert all(char.isprintable() or char == "\n" for char in out) and json.loads(out.splitlines()[0])["tool_name"] == HOSTILE
    code, out = on_terminal("tail", hostile)
    assert code == 0 and "owned\x07" not in out and "\x1b[2J" not in out


def read_lines(stream, count: int) -> list[str]:
    return [stream.readline().decode() for _ in range(count)]


def test_tail_follows_across_segments_and_chains(tmp_path):
    root = str(tmp_path / "j")
    writer = Journal.open(root, "w", sample.RING, limits=Limits(segment_bytes=2500))
    writer.append(sample.record(0))
    process = subprocess.Popen([*GAIT, "journal", "tail", "-f", root, *KEY], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert "w#1" in read_lines(process.stdout, 1)[0]
        for number in range(12):
            writer.append(sample.record(number))
        assert [line.split("#")[1].strip() for line in read_lines(process.stdout, 12)] == [str(n) for n in range(2, 14)]
        with Journal.open(root, "other", sample.RING) as other:
            other.event("armed", {"heartbeat_seconds": 60})
        assert "-- armed --  heartbeat_seconds=60  other#1" in read_lines(process.stdout, 2)[0]
        writer.close()
        assert "stopped" in read_lines(process.stdout, 1)[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130 and process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_closed_standard_output(golden):
    for verb in ("tail", "export", "verify", "stats"):
        command = " ".join(["exec", *GAIT, "journal", verb, str(golden), *KEY, ">&-"])
        assert subprocess.run(["sh", "-c", command], timeout=30, capture_output=True).returncode in (0, 1)


def test_a_reader_that_leaves(tmp_path):
    root = str(tmp_path / "j")
    with Journal.open(root, "w", sample.RING) as writer:
        for number in range(500):
            writer.append(sample.record(number))
    command = " ".join([*GAIT, "journal", "export", root, *KEY]) + " | head -1 >/dev/null; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], timeout=30, capture_output=True)
    assert done.returncode in (0, 1) and b"Traceback" not in done.stderr


@pytest.mark.parametrize("verb", journal._VERBS)
def test_help_has_an_example_for_every_verb(verb):
    done = subprocess.run([*GAIT, "journal", verb, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and f"Example: gait journal {verb}" in done.stdout and journal.SUMMARY
