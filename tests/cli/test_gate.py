"""`gait gate eval`: every verdict's exit code, what bad input gets, and that no failure lets an allow out."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "fixtures" / "quickstart"
ALLOW_ALL = "default_verdict: allow\n"
INTENT = {
    **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "tool_name": "Read", "args": {"path": "/work/a"}},
    "targets": [{"kind": "path", "value": "/work/a", "operation": "read"}],
    "context": {"identity": "alice", "workspace": "/work", "risk_class": "low"},
}
EXIT_CODES = {"allow": 0, "block": 3, "require_approval": 4, "dry_run": 9}
BAD = [json.loads(line) for line in (ROOT / "fixtures" / "cli" / "bad_inputs.jsonl").read_text("utf-8").splitlines()]


def everything_under(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*"))


# --- verdicts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", EXIT_CODES)
@pytest.mark.parametrize("by", ["default", "rule"])
def test_the_exit_code_is_the_verdict(process, policy, traces, verdict, by):
    text = f"default_verdict: {verdict}\n" if by == "default" else f"default_verdict: block\nrules: [{{name: r, effect: {verdict}}}]\n"
    ran = process("gate", "eval", "--policy", policy(text), "--intent", "-", "--json", stdin=INTENT)
    value, (trace,) = ran.value, traces()
    assert (ran.code, value["verdict"], value["ok"]) == (EXIT_CODES[verdict], verdict, True)
    assert value["matched_rule"] == ("r" if by == "rule" else "") and value["required_approvals"] == (verdict == "require_approval")
    record = json.loads(trace.read_text("utf-8"))
    assert value["trace_path"] == str(trace) and trace.stat().st_mode & 0o777 == 0o600
    assert {name: record[name] for name in ("verdict", "trace_id", "policy_digest", "intent_digest", "args_digest", "tool_name")} == {
        name: value[name] for name in ("verdict", "trace_id", "policy_digest", "intent_digest", "args_digest", "tool_name")
    }


@pytest.mark.parametrize("verdict", EXIT_CODES)
def test_human_output(cli, policy, home, verdict):
    ran = cli("gate", "eval", "--policy", policy(f"default_verdict: {verdict}\n"), "--intent", "-", stdin=INTENT)
    assert ran.code == EXIT_CODES[verdict] and ran.err == "" and "\x1b" not in ran.out
    rows = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert list(rows)[:3] == ["verdict", "tool", "reasons"] and rows["verdict"] == verdict and rows["tool"] == "read"
    assert rows["trace"].startswith(str(home)) and ("next" in rows) == (verdict != "allow") and len(rows) <= 7
    assert len({len(line) - len(line.split(None, 1)[1]) for line in ran.out.splitlines()}) == 1, ran.out  # one column


def test_approvals_are_counted_in_words(cli, policy):
    text = "rules: [{name: two, effect: require_approval, min_approvals: 2}]\n"
    ran = cli("gate", "eval", "--policy", policy(text), "--intent", "-", stdin=INTENT)
    assert ran.code == 4 and "the call waits for 2 approvals; until then it must not run" in ran.out


@pytest.mark.parametrize("demand", ["require_broker_credential: true", "budget: {argument: n, limit: 5}"])
def test_an_allow_that_needs_what_is_not_there_is_a_block(cli, policy, demand):
    ran = cli("gate", "eval", "--policy", policy(f"rules: [{{name: r, effect: allow, {demand}}}]\n"), "--intent", "-", "--json", stdin=INTENT)
    assert (ran.code, ran.value["verdict"]) == (3, "block")


def test_unknown_fields_of_an_intent_are_warned_about(cli, policy):
    ran = cli("gate", "eval", "--policy", policy(ALLOW_ALL), "--intent", "-", stdin={**INTENT, "aproved": "\x1b[2J"})
    assert ran.code == 0 and "unknown field 'aproved' ignored" in ran.out


def test_policy_on_standard_input(cli, tmp_path):
    intent = tmp_path / "intent.json"
    intent.write_text(json.dumps(INTENT))
    assert cli("gate", "eval", "--intent", intent, "--policy", "-", stdin=ALLOW_ALL).code == 0
    ran = cli("gate", "eval", "--intent", "-", "--policy", "-", "--json", stdin=ALLOW_ALL)
    assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage") and "only one of the inputs" in ran.value["error"]


# --- a call without a normal form ---------------------------------------------------------------

FAIL_CLOSED = "default_verdict: allow\nfail_closed: {enabled: true}\n"


def invalid(risk_class):
    """A tool call of the right shape, with an argument that has no name."""
    return {"name": "x", "arguments": {" ": 1}, "context": {"risk_class": risk_class}}


@pytest.mark.parametrize("risk_class", ["high", " CRITICAL "])
def test_fail_closed_blocks_an_invalid_call_and_leaves_a_trace(cli, policy, risk_class):
    data = json.dumps(invalid(risk_class)).encode()
    ran = cli("mcp", "proxy", "--policy", policy(FAIL_CLOSED), "--call", "-", "--json", "--explain", "--run-id", "run-1", stdin=data)
    value = ran.value
    assert (ran.code, value["verdict"], value["reason_codes"]) == (3, "block", ["fail_closed_intent_invalid"])
    assert value["violations"] == ["intent_not_evaluable"] and value["intent_digest"] == hashlib.sha256(data).hexdigest()
    assert value["tried"] == [] and "tool_name" not in value and "args_digest" not in value
    record = json.loads(Path(value["trace_path"]).read_text())
    assert record["intent_digest_basis"] == "raw" and record["correlation_id"] == "run-1"
    assert cli("trace", "verify", value["trace_path"]).code == 0
    shown = cli("trace", "show", value["trace_path"]).out
    assert shown.splitlines()[0].split() == ["signature", "verified"] and "fail_closed_intent_invalid" in shown


def test_fail_closed_human_output_of_an_invalid_call(cli, policy):
    ran = cli("mcp", "proxy", "--policy", policy(FAIL_CLOSED), "--call", "-", "--explain", stdin=invalid("high"))
    assert ran.code == 3 and ran.out.splitlines()[0].split() == ["verdict", "block"] and "tool" not in ran.out.split()


@pytest.mark.parametrize("risk_class", ["low", "urgent", "", None, 7])
def test_other_risk_classes_of_an_invalid_call_are_invalid_input(cli, policy, home, risk_class):
    ran = cli("mcp", "proxy", "--policy", policy(FAIL_CLOSED), "--call", "-", stdin=invalid(risk_class))
    assert ran.code == 6 and ran.out == "" and not home.exists()


def test_an_invalid_call_with_exports(cli, policy, tmp_path):
    log, otel = tmp_path / "siem.jsonl", tmp_path / "otel.jsonl"
    options = ("--export-log-out", log, "--export-otel-out", otel)
    assert cli("mcp", "proxy", "--policy", policy(FAIL_CLOSED), "--call", "-", *options, stdin=invalid("high")).code == 3
    assert json.loads(log.read_text())["verdict"] == "block" and "a call without a normal form" in otel.read_text()


@pytest.mark.parametrize("risk_class", ["high", "critical"])
def test_an_invalid_intent_is_invalid_input_whatever_the_policy(cli, policy, home, risk_class):
    ran = cli("gate", "eval", "--policy", policy(FAIL_CLOSED), "--intent", "-", stdin={"tool_name": "", "context": {"risk_class": risk_class}})
    assert ran.code == 6 and ran.out == "" and not home.exists()


# --- bad input ----------------------------------------------------------------------------------


def refused(ran, code, where, error):
    value = ran.value
    assert ran.code == 6 and value["ok"] is False and value["error_category"] == "invalid_input" and value["retryable"] is False
    assert value["error_code"] == code and value["hint"]
    assert value["error"].startswith(where) and error in value["error"], value["error"]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case['to']}: {case['name']}")
def test_bad_input_is_refused_and_nothing_written(cli, case, tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad, policy = tmp_path / "bad", QUICKSTART / "policy.yaml"
    bad.write_bytes(base64.b64decode(case["base64"]) if "base64" in case else case["text"].encode("utf-8"))
    argv = {
        "intent": ("gate", "eval", "--policy", policy, "--intent", bad),
        "call": ("mcp", "proxy", "--policy", policy, "--call", bad),
        "policy": ("mcp", "proxy", "--policy", bad, "--call", QUICKSTART / "call_allow.json"),
    }[case["to"]]
    outputs = ("--trace-out", "trace.json", "--export-log-out", "siem", "--export-otel-out", "otel")
    refused(cli(*argv, "--json", *outputs), case["code"], str(bad), case["error"])
    assert everything_under(tmp_path) == [bad] and not home.exists()
    if case["to"] == "policy":
        refused(cli("policy", "validate", bad, "--json"), case["code"], str(bad), case["error"])
    else:
        plain = cli(*argv)
        assert plain.code == 6 and plain.out == "" and plain.err.startswith(f"error: {bad}") and not home.exists()


HUGE = {
    "call over 16 MiB": (b'{"name": "a", "arguments": {"a": "' + b"x" * (16 << 20) + b'"}}', "16777216 bytes"),
    "100,000 lists deep": (b"[" * 100_000 + b"]" * 100_000, "nesting of at most 64"),
    "100,000 objects deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nesting of at most 64"),
    "100,000 open brackets": (b"[" * 100_000, "nesting of at most 64"),
    "an integer of 4,301 digits": (b'{"name": "a", "arguments": {"n": ' + b"9" * 4301 + b"}}", "4300 digits"),
    "an exponent of 10,000 digits": (b'{"name": "a", "arguments": {"n": 1e' + b"9" * 10_000 + b"}}", "double's range"),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_calls(cli, name, home):
    data, error = HUGE[name]
    for verb in (("mcp", "proxy", "--call"), ("gate", "eval", "--intent")):
        ran = cli(*verb[:2], "--policy", QUICKSTART / "policy.yaml", verb[2], "-", "--json", stdin=data)
        assert ran.value["error_code"] in ("parse_error", "invalid_input", "invalid_call")
        refused(ran, ran.value["error_code"], "standard input", error)
    assert not home.exists()


def test_huge_policies(cli, tmp_path, home):
    path = tmp_path / "policy.yaml"
    for data, error in ((b"# " + b"x" * (4 << 20), "4194304 bytes"), (b"rules: " + b"[" * 100_000, "nesting"), (b"{a: " * 100_000, "nesting")):
        path.write_bytes(data)
        for given, stdin in ((path, ""), ("-", data)):
            ran = cli("gate", "eval", "--policy", given, "--intent", QUICKSTART / "call_allow.json", "--json", stdin=stdin)
            refused(ran, ran.value["error_code"], "standard input" if given == "-" else str(path), error)
    assert not home.exists()


def test_a_key_of_ten_megabytes_is_only_large(cli, policy, traces):
    data = b'{"name": "a", "arguments": {"' + b"k" * 10_000_000 + b'": 1}}'
    ran = cli("mcp", "proxy", "--policy", policy(ALLOW_ALL), "--call", "-", stdin=data)
    assert ran.code in (0, 6) and len(ran.out + ran.err) < 2000 and (ran.code == 0) == bool(traces())


def test_an_integer_of_4300_digits_is_kept_apart_from_its_neighbour(cli, policy):
    path, digests = policy(ALLOW_ALL), set()
    for last in b"89":
        data = b'{"name": "a", "arguments": {"n": ' + b"9" * 4299 + bytes([last]) + b"}}"
        ran = cli("mcp", "proxy", "--policy", path, "--call", "-", "--json", stdin=data)
        assert ran.code == 0
        digests.add(ran.value["args_digest"])
    assert len(digests) == 2


def test_a_tool_name_of_ten_megabytes(cli, policy):
    data = b'{"name": "' + b"\\u202e" * 1_700_000 + b'a"}'
    ran = cli("mcp", "proxy", "--policy", policy("rules: [{name: r, effect: allow, match: {tool_names: [b]}}]"), "--call", "-", "--explain", stdin=data)
    assert ran.code == 4 and len(ran.out) < 5000 and "\u202e" not in ran.out
    trace = next(line.split(None, 1)[1] for line in ran.out.splitlines() if line.startswith("trace"))
    assert cli("trace", "verify", trace).code == 0


@pytest.mark.parametrize("option", ["--policy", "--intent"])
def test_what_is_not_a_regular_file(cli, tmp_path, home, option):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("x")
    places = {".": "a folder", "fifo": "a pipe", "/dev/null": "a device", "missing": "no such file", "file/below": "cannot open", "x" * 300: "cannot open"}
    for name, error in places.items():
        path = Path(name) if name.startswith("/") else tmp_path / name
        inputs = {"--policy": QUICKSTART / "policy.yaml", "--intent": QUICKSTART / "call_allow.json", option: path}
        ran = cli("gate", "eval", *(word for pair in inputs.items() for word in pair), "--json")
        assert ran.code in (1, 6) and ran.value["ok"] is False and error in ran.value["error"] and ran.value["hint"], name
        assert (ran.code == 6) == (error != "cannot open")
    for name in ("", "a\0b"):
        inputs = {"--policy": QUICKSTART / "policy.yaml", "--intent": QUICKSTART / "call_allow.json", option: name}
        assert cli("gate", "eval", *(word for pair in inputs.items() for word in pair)).code in (1, 6)
    assert not home.exists()


def test_run_ids_and_clocks_that_cannot_be_signed(cli, process, policy, traces, monkeypatch):
    argv = ("gate", "eval", "--policy", policy(ALLOW_ALL), "--intent", "-", "--json")
    ran = process(*argv, "--run-id", b"\xff\xfe".decode("utf-8", "surrogateescape"), stdin=INTENT)
    assert ran.code == 6 and ran.value["ok"] is False
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    ran = cli(*argv, stdin=INTENT)
    refused(ran, "invalid_input", "SOURCE_DATE_EPOCH", "expected whole seconds")
    assert traces() == []


# --- an allow whose trace cannot be written is an error -------------------------------------------


def gate_allow(process, path, *options, **more):
    plain = process("gate", "eval", "--policy", path, "--intent", "-", *options, stdin=INTENT, **more)
    as_json = process("gate", "eval", "--policy", path, "--intent", "-", "--json", *options, stdin=INTENT, **more)
    for ran in (plain, as_json):
        assert ran.code == 1 and "allow" not in ran.out.split("error")[0] and '"verdict"' not in ran.out
    assert plain.out == "" and plain.err.startswith("error: ") and "\nhint: " in plain.err
    assert as_json.value["ok"] is False and as_json.value["error_code"] and as_json.value["hint"]
    return as_json.value


@pytest.mark.parametrize("option", ["--trace-out", "--export-log-out", "--export-otel-out"])
@pytest.mark.parametrize("place", ["/dev/full", "missing/folder/out", "file/below"])
def test_no_allow_when_an_output_cannot_be_written(process, policy, tmp_path, option, place):
    (tmp_path / "file").write_text("x")
    out = place if place.startswith("/") else str(tmp_path / place)
    value = gate_allow(process, policy(ALLOW_ALL), option, out)
    assert value["error"].startswith(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "policy.yaml"]


def test_no_allow_when_home_is_a_file(process, policy, own_home):
    (own_home / "gait").write_text("a file where a folder belongs")
    gate_allow(process, policy(ALLOW_ALL))


def test_no_allow_when_the_trace_folder_is_a_file(process, policy, home):
    home.mkdir(mode=0o700)
    (home / "traces").write_text("")
    assert gate_allow(process, policy(ALLOW_ALL))["error_code"] == "not_a_folder"


def test_no_allow_when_the_trace_folder_is_not_private(process, policy, home):
    (home / "traces").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "traces").chmod(0o777)
    assert gate_allow(process, policy(ALLOW_ALL))["error_code"] == "permissions_too_open"


@pytest.mark.parametrize("limit", [0, 100, 600])
def test_no_allow_when_the_disk_is_full(process, policy, traces, tmp_path, limit):
    assert process("keys", "init").code == 0
    options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))}
    gate_allow(process, policy(ALLOW_ALL), **options)
    gate_allow(process, policy(ALLOW_ALL), "--trace-out", tmp_path / "trace.json", **options)
    assert traces() == [] and [path.name for path in tmp_path.iterdir()] == ["policy.yaml"]


def test_no_allow_when_the_export_is_cut_short(process, policy, tmp_path):
    assert process("keys", "init").code == 0
    log = tmp_path / "siem.jsonl"
    log.write_text("x" * 4000 + "\n")
    options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4100, 4100))}
    gate_allow(process, policy(ALLOW_ALL), "--export-log-out", log, **options)
    assert log.read_text() == "x" * 4000 + "\n"  # no half line


def test_no_allow_without_a_key(process, policy, traces):
    path = policy(ALLOW_ALL)
    for options, code in ((("--key-mode", "prod"), 6), (("--key-mode", "prod", "--private-key", "/nonexistent"), 7), (("--key-mode", "prod", "--private-key-env", "NIX"), 7)):
        ran = process("gate", "eval", "--policy", path, "--intent", "-", *options, "--json", stdin=INTENT)
        assert (ran.code, ran.value["ok"]) == (code, False) and traces() == []


@pytest.mark.parametrize("verdict", ["allow", "block"])
def test_output_that_nobody_takes(process, policy, verdict):
    with open("/dev/full", "w") as full:
        ran = process("gate", "eval", "--policy", policy(f"default_verdict: {verdict}\n"), "--intent", "-", stdin=INTENT, stdout=full)
    assert ran.code == (1 if verdict == "allow" else 3) and "No space left on device" in ran.err
