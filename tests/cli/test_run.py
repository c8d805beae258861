"""`gait run`: record, inspect, diff, replay, reduce, prove."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from gait.store.journal.append import Journal

from tests.runpack import sample, test_journal
from tests.runpack.sample import FIXTURES, RING, fixtures

KEY = ("--key-mode", "prod", "--private-key-env", "TEST_KEY")
INTENT = {
    "tool_name": "tool.read",
    "args": {"path": "/srv/a", "token": "secret-1"},
    "targets": [{"kind": "path", "value": "/srv/a", "operation": "read"}],
    "context": {"identity": "alice", "workspace": "/srv", "risk_class": "low"},
}
STEP = {"intent": INTENT, "decision": {"verdict": "allow", "reason_codes": ["x"]}, "result": {"status": "ok", "result": {"lines": 3}}}
RUN = {"schema_id": "gait.runpack.record", "schema_version": "1.0.0", "run_id": "run_a", "created_at": "2026-02-05T00:00:00Z", "steps": [STEP]}


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("TEST_KEY", sample.SECRET_TEXT)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def journal():
    """A journal of four calls in two sessions, with outcomes."""
    with Journal.open("journal", "one", RING) as chain:
        for number in range(1, 5):
            record = test_journal.decided(number, session="s1" if number < 4 else "s2", tool=number % 3)
            record = chain.append({name: item for name, item in record.items() if name not in ("chain", "sequence", "prev_digest")})
            if record["verdict"] == "allow":
                chain.event("outcome", test_journal.outcome(0, record)["details"])
    return "journal"


def write(name: str, value: object) -> str:
    with open(name, "w", encoding="utf-8") as file:
        file.write(value if isinstance(value, str) else json.dumps(value))
    return name


def pack(name: str, steps: object = 3, **options: object) -> str:
    with open(name, "wb") as file:
        file.write(sample.made(steps, **options).getvalue())
    return name


# --- record


def test_record(cli, home):
    ran = cli("run", "record", "--input", write("run.json", RUN))
    path = home / "runs" / "runpack_run_a.zip"
    assert ran.code == 0 and ran.out.splitlines()[-1].startswith("GAIT run_id=run_a manifest=sha256:") and path.is_file()
    assert ran.out.splitlines()[-1].endswith(' verify="gait verify run_a"')
    assert cli("verify", "run_a").code == 0
    assert b"secret" not in path.read_bytes()


def test_the_same_run_twice_is_the_same_file(cli):
    write("run.json", RUN)
    first, second = (cli("run", "record", "--input", "run.json", "--json").value for _ in range(2))
    assert first == second and set(first) >= {"ok", "run_id", "bundle", "manifest_digest", "ticket_footer"}
    other = {**RUN, "steps": [STEP, STEP]}
    assert cli("run", "record", "--input", write("other.json", other), "--json").value["error_code"] == "file_exists"


def test_from_standard_input_and_from_lines(cli):
    head = {name: item for name, item in RUN.items() if name != "steps"}
    write("run.jsonl", "\n".join(map(json.dumps, [head, STEP])) + "\n")
    one = cli("run", "record", "--input", "-", "--out", "one.zip", stdin=RUN)
    two = cli("run", "record", "--input", "run.jsonl", "--out", "two.zip")
    with open("one.zip", "rb") as left, open("two.zip", "rb") as right:
        assert one.code == two.code == 0 and left.read() == right.read()


def test_a_framework_call_decided_by_a_policy(cli, policy):
    step = {"adapter": "mcp", "call": {"name": "write_file", "arguments": {"path": "/srv/a"}}, "context": {"identity": "bob", "workspace": "/srv", "risk_class": "low"}}
    path = policy(fixtures.POLICY.decode())
    cli("run", "record", "--input", "-", "--policy", path, "--out", "x.zip", stdin={**RUN, "steps": [step]})
    shown = cli("run", "inspect", "x.zip", "--json").value["shown"][0]
    assert shown["decision"]["verdict"] == "require_approval" and shown["status"] == "not_executed" and shown["evaluable"]


def test_signed(cli):
    assert cli("run", "record", "--input", write("run.json", RUN), "--sign", "--out", "x.zip", "--json", *KEY).value["key_id"] == RING.active.key_id
    assert cli("verify", "x.zip", "--require-signature", *KEY).code == 0


def test_raw_capture_warns(cli):
    ran = cli("run", "record", "--input", write("run.json", RUN), "--capture", "raw", "--out", "x.zip")
    assert "warning" in ran.out and "WARNING_raw_capture.txt" in fixtures.entries(open("x.zip", "rb").read())["manifest.json"].decode()
    shown = cli("run", "inspect", "x.zip", "--json").value["shown"][0]
    assert shown["args"]["token"] == "secret-1" and shown["result"] == {"lines": 3}


def test_a_journal(cli, journal):
    ran = cli("run", "record", "--journal", journal, "--session-id", "s1", "--out", "x.zip", "--json", *KEY)
    assert ran.code == 0 and ran.value["steps"] == 3
    value = cli("run", "inspect", "x.zip", "--json").value
    assert value["verdicts"] == {"allow": 1, "block": 1, "require_approval": 1} and value["statuses"] == {"not_executed": 2, "ok": 1} and value["evaluable_steps"] == 3
    assert cli("run", "record", "--journal", journal, "--since", "2999-01-01T00:00:00Z", *KEY, "--json").value["error_code"] == "nothing_selected"
    assert cli("run", "record", "--journal", journal, "--since", "noon", *KEY).code == 6


def test_a_damaged_journal_is_refused(cli, journal, home):
    path = os.path.join(journal, "one", "00000001.jsonl")
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data.replace(b"tool.read", b"tool.rear", 1))
    ran = cli("run", "record", "--journal", journal, "--json", *KEY)
    assert ran.code == 2 and ran.value["error_code"] == "digest_mismatch" and os.listdir(home / "runs") == []


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--input", "run.json", "--journal", "journal"],
        ["--input", "run.json", "--session-id", "s"],
        ["--journal", "journal", "--policy", "p"],
        ["--input", "run.json", "--redact", "key=a"],
        ["--input", "run.json", "--redact-salt-out", "salt"],
        ["--input", "run.json", "--redact", "name=a", "--redact-salt-out", "salt"],
        ["--input", "run.json", "--redact", "key=a", "--redact-salt-out", "x.zip", "--out", "x.zip"],
        ["--input", "run.json", "--out", "run.json"],
        ["--input", "run.json", "--run-id", "../x"],
        ["--input", "missing.json"],
        ["--input", "run.json", "--capture", "all"],
    ],
)
def test_record_usage(cli, options, home):
    write("run.json", RUN)
    ran = cli("run", "record", *options, "--json")
    assert ran.code == 6 and not os.path.exists("salt") and not list((home / "runs").glob("*.zip"))


def test_an_error_names_the_step(cli):
    ran = cli("run", "record", "--input", write("run.json", {**RUN, "steps": [STEP, {**STEP, "decison": {}}]}), "--json")
    assert ran.code == 6 and "steps[1].decison" in ran.value["error"] and "did you mean 'decision'" in ran.value["error"]


# --- redact and prove


def test_redact_and_prove(cli):
    write("run.json", RUN)
    words = ("run", "record", "--input", "run.json", "--capture", "raw", "--redact", "key=token")
    ran = cli(*words, "--redact-salt-out", "salt", "--out", "x.zip", "--json")
    assert ran.value["redactions"] == 1 and os.stat("salt").st_mode & 0o777 == 0o600
    with open("x.zip", "rb") as file:
        data = file.read()
    assert b"secret-1" not in data and cli("verify", "x.zip").code == 0
    assert cli(*words, "--redact-salt", "salt", "--out", "y.zip").code == 0 and open("y.zip", "rb").read() == data
    about = ("run", "prove", "x.zip", "--intent-id", "intent_1", "--path", "args.token", "--value", "-")
    proved = cli(*about, "--redact-salt", "salt", "--json", stdin='"secret-1"').value
    assert proved["ok"] and cli(*about, "--value-salt", proved["value_salt"], stdin='"secret-1"').code == 0
    assert cli(*about, "--redact-salt", "salt", stdin='"secret-2"').code == 2
    assert cli(*about, "--value-salt", "00" * 32, stdin='"secret-1"').code == 2
    assert cli(*about[:-4], "--path", "args.path", "--value", "-", "--redact-salt", "salt", stdin='"/srv/a"').code == 6
    assert cli("run", "prove", "x.zip", "--intent-id", "intent_9", *about[5:], "--redact-salt", "salt", stdin='"x"').code == 6
    assert cli(*about, "--value-salt", "xyz", stdin='"x"').code == 6
    assert cli(*words, "--redact-salt-out", "salt", "--out", "z.zip").code == 1  # nothing is overwritten


def test_a_salt_that_is_none(cli):
    write("run.json", RUN)
    write("salt", "hello")
    os.chmod("salt", 0o600)
    assert cli("run", "record", "--input", "run.json", "--redact", "key=token", "--redact-salt", "salt", "--json").value["error_code"] == "salt_invalid"


# --- inspect


def test_inspect(cli):
    ran = cli("run", "inspect", FIXTURES / "good.zip", *KEY)
    assert ran.code == 0 and "     1  allow             ok              tool.read  matched_rule_reads" in ran.out
    assert "3, 3 can be evaluated again" in ran.out and "signature_status  verified" in ran.out
    short = cli("run", "inspect", FIXTURES / "good.zip", "--steps", "1", *KEY).out
    assert short.splitlines()[-1] == "... 2 more (--steps 0 shows all)"
    assert cli("run", "inspect", FIXTURES / "good.zip", "--steps", "-1").code == 6


@pytest.mark.parametrize("verb", ["inspect", "replay"])
def test_what_does_not_verify_is_not_shown(cli, verb):
    ran = cli("run", verb, FIXTURES / "tampered" / "verdict_changed.zip", "--json")
    assert ran.code == 2 and ran.value["error_code"] == "decision_mismatch" and "shown" not in ran.value


# --- diff


def test_equal_runs(cli):
    pack("a.zip"), pack("b.zip", run_id="run_b")
    ran = cli("run", "diff", "a.zip", "b.zip")
    assert (ran.code, ran.out) == (0, "equal: 3 steps\n")


def test_different_runs(cli):
    steps = sample.recorded(4)
    steps[1] = fixtures.step(9, "tool.write", "write", "/srv/other")
    pack("a.zip"), pack("b.zip", steps)
    ran = cli("run", "diff", "a.zip", "b.zip")
    assert ran.code == 2 and ran.out.splitlines()[0] == "~      2      2  tool.write" and ran.out.splitlines()[-1] == "different: 1 added, 0 removed, 1 changed (3 and 4 steps)"
    value = cli("run", "diff", "a.zip", "b.zip", "--json").value
    assert [change["kind"] for change in value["changes"]] == ["changed", "added"] and "args_digest" in value["changes"][0]["fields"]


def test_metadata_shows_no_values(cli):
    pack("a.zip", 1, raw=True, run_id="run_left")
    pack("b.zip", [fixtures.step(9, "tool.write", "write", "/srv/other")], run_id="run_right", receipts=(fixtures.RECEIPT,))
    for options in ([], ["--json"]):
        out = cli("run", "diff", "a.zip", "b.zip", "--privacy", "metadata", *options).out
        assert not any(word in out for word in ("tool.", "srv", "allow", "run_left", "matched_rule_", "ref_1")) and "args_digest" in out
    value = cli("run", "diff", "a.zip", "b.zip", "--privacy", "metadata", "--json").value
    assert value["run_fields"] == ["capture_mode", "refs"] and value["changes"][0]["fields"][0] == "tool_name"


def test_diff_refuses_what_does_not_verify(cli):
    assert cli("run", "diff", FIXTURES / "good.zip", FIXTURES / "tampered" / "flip_run.zip", "--json").value["error_code"] == "entry_crc_mismatch"


# --- replay


def test_replay(cli):
    ran = cli("run", "replay", FIXTURES / "good.zip")
    assert ran.code == 0 and "3 steps: 1 replayed, 2 not executed, 0 missing" in ran.out
    steps = [sample.recorded(1)[0]._replace(status="not_recorded", result=None, result_digest="a" * 64)]
    ran = cli("run", "replay", pack("x.zip", steps), "--json")
    assert ran.code == 2 and ran.value["missing"][0]["number"] == 1


@pytest.mark.parametrize("missing", ["--unsafe-real-tools", "--allow-tools", "--policy"])
def test_real_tools_are_refused_without_each_flag(cli, missing, policy):
    words = {"--unsafe-real-tools": [], "--allow-tools": ["tool.read"], "--policy": [policy(fixtures.POLICY.decode())]}
    options = [word for name, rest in words.items() if name != missing for word in (name, *rest)]
    ran = cli("run", "replay", pack("x.zip", 3, raw=True), "--real-tools", "--tool", "tool.read=touch ran", *options, "--json")
    assert ran.code == 8 and ran.value["error_code"] == "real_tools_refused" and not os.path.exists("ran")


def real(policy, tool: str, command: str) -> list[object]:
    return ["--real-tools", "--unsafe-real-tools", "--allow-tools", tool, "--tool", f"{tool}={command}", "--policy", policy(fixtures.POLICY.decode())]


def tool(code: str) -> str:
    write("tool.py", code)
    return f"{sys.executable} -I tool.py"


def test_a_real_tool_runs_on_an_allow_and_its_result_is_compared(cli, policy, traces):
    pack("x.zip", 3, raw=True)
    same = tool("import json, sys; json.load(sys.stdin); print(json.dumps({'lines': 0, 'text': 'hello'}))")
    ran = cli("run", "replay", "x.zip", *real(policy, "tool.read", same), "--json", *KEY)
    assert ran.code == 0 and [(item["verdict"], item["status"], item["same"]) for item in ran.value["real"]] == [("allow", "ok", True)] and len(traces()) == 1
    ran = cli("run", "replay", "x.zip", *real(policy, "tool.read", tool("print('other')")), *KEY)
    assert ran.code == 2 and "ANOTHER RESULT" in ran.out


def test_a_real_tool_does_not_run_without_an_allow(cli, policy):
    ran = cli("run", "replay", pack("x.zip", 3, raw=True), *real(policy, "tool.write", tool("open('ran', 'w')")), "--json", *KEY)
    assert ran.code == 0 and ran.value["real"][0]["status"] == "not_executed" and not os.path.exists("ran")


def test_a_real_tool_that_is_stopped_does_not_run(cli, policy):
    command = tool("open('ran', 'w')")
    pack("x.zip", 1, raw=True)
    assert cli("stop", "--scope", "tool", "tool.read", "--reason", "drill", *KEY).code == 0
    ran = cli("run", "replay", "x.zip", *real(policy, "tool.read", command), "--json", *KEY)
    assert (ran.value["real"][0]["verdict"], ran.value["real"][0]["status"], os.path.exists("ran")) == ("block", "not_executed", False)
    assert cli("resume", "--scope", "tool", "tool.read", "--reason", "over", *KEY).code == 0
    cli("run", "replay", "x.zip", *real(policy, "tool.read", command), *KEY)
    assert os.path.exists("ran")  # the control


def test_a_real_tool_needs_the_arguments(cli, policy):
    ran = cli("run", "replay", pack("x.zip", 3), *real(policy, "tool.read", tool("open('ran', 'w')")), "--json", *KEY)
    assert ran.code == 2 and ran.value["real"][0]["status"] == "args_not_captured" and not os.path.exists("ran")


def test_a_real_tool_that_fails_hangs_or_is_missing(cli, policy):
    pack("x.zip", 1, raw=True)
    assert cli("run", "replay", "x.zip", *real(policy, "tool.read", tool("raise SystemExit(1)")), "--json", *KEY).value["real"][0]["status"] == "error"
    hanging = tool("import time; time.sleep(60)")
    assert cli("run", "replay", "x.zip", *real(policy, "tool.read", hanging), "--timeout", "0.3", "--json", *KEY).value["real"][0]["status"] == "timeout"
    assert cli("run", "replay", "x.zip", *real(policy, "tool.read", "/nowhere/tool"), *KEY).code == 7


def test_real_tool_usage(cli, policy):
    pack("x.zip", 1, raw=True)
    assert cli("run", "replay", "x.zip", "--allow-tools", "tool.read").code == 6
    options = real(policy, "tool.read", "true")
    assert cli("run", "replay", "x.zip", *options, "--timeout", "0").code == 6
    assert cli("run", "replay", "x.zip", *options, "--tool", "tool.other=true", *KEY).code == 6
    assert cli("run", "replay", "x.zip", *options, "--tool", "tool.read='", *KEY).code == 6
    assert cli("run", "replay", "x.zip", *options[:4], *options[6:], *KEY).code == 6


# --- reduce


def test_reduce(cli):
    steps = [fixtures.step(number, "tool.read", "read", f"/srv/{number}") for number in range(300)]
    steps[40], steps[222] = fixtures.step(1, "tool.write", "write", "/x"), fixtures.step(2, "tool.delete", "delete", "/x")
    pack("x.zip", steps, run_id="run_long")
    ran = cli("run", "reduce", "--from", "x.zip", "--predicate", "tool=tool.write>tool.delete", "--out", "y.zip", "--json")
    assert ran.code == 0 and ran.value["kept"] == [41, 223] and 0 < ran.value["evaluations"] < 300 and ran.value["minimal"]
    value = cli("run", "inspect", "y.zip", "--json").value
    assert value["tools"] == {"tool.delete": 1, "tool.write": 1} and value["timeline"][0]["event"] == "reduced_from" and value["run_id"] != "run_long"
    assert cli("verify", "y.zip").code == 0


def test_reduce_by_a_command(cli):
    pack("x.zip", 12)
    write("check.py", "import sys, zipfile\nlines = zipfile.ZipFile(sys.argv[1]).read('intents.jsonl').splitlines()\nsys.exit(not sum(b'tool.delete' in line for line in lines) > 1)\n")
    ran = cli("run", "reduce", "--from", "x.zip", "--run-id", "run_small", "--json", "--predicate-command", sys.executable, "-I", "check.py")
    assert ran.code == 0 and json.loads(ran.out)["steps"] == 2 and json.loads(ran.out)["run_id"] == "run_small"


def test_reduce_usage(cli):
    pack("x.zip")
    assert cli("run", "reduce", "--from", "x.zip").code == 6
    assert cli("run", "reduce", "--from", "x.zip", "--predicate", "x=y").code == 6
    assert cli("run", "reduce", "--from", "x.zip", "--predicate", "tool=nothing", "--json").value["error_code"] == "predicate_not_shown"
    assert cli("run", "reduce", "--from", "x.zip", "--predicate", "tool=a", "--max-evaluations", "0").code == 6
    assert cli("run", "reduce", "--from", "x.zip", "--predicate-command", "/nowhere/command").code == 7


def test_a_bare_checkout_records_and_verifies(process, tmp_path):
    write("run.json", RUN)
    assert process("run", "record", "--input", "run.json", cwd=tmp_path).code == 0
    assert process("verify", "run_a", cwd=tmp_path).code == 0
