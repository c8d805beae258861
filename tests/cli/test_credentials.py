"""Credentials through every way to a decision, and that no secret is in anything that these leave behind."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.mcp.wrapped import Wrapped, call
from tests.service.running import Server

# Put together here, so that this file is not what a scan finds.
SECRET = "-".join(("canary", "e0b7", "4d1f", "93c2"))
POLICY = """\
default_verdict: block
rules:
  - name: pay
    effect: allow
    match: {tool_names: [pay]}
    require_broker_credential: true
    broker_reference: egress
    broker_scopes: [pay]
    rate_limit: {requests: 5, window: day, scope: tool}
  - name: plain
    effect: allow
    match: {tool_names: [plain]}
    require_broker_credential: true
    broker_reference: egress
"""
PAY = {"name": "pay", "arguments": {"to": "acme"}}
PRESENT = ["broker_credential_present", "matched_rule_pay"]
MISSING = ["broker_credential_required", "matched_rule_pay"]
GOOD = "print(json.dumps({'credential_ref': 'vault:lease/7', 'expires_at': '2030-01-01T00:00:00Z'}))"
LEAKS = {
    "beside": "print(json.dumps({'credential_ref': 'vault:a', 'secret': SECRET}))",
    "as the reference": "print(json.dumps({'credential_ref': SECRET}))",
    "bare": "print(SECRET)",
    "on standard error": "sys.exit(SECRET)",
    "in a traceback": "raise ValueError(SECRET)",
    "flood": "print(SECRET * 10000)",
}


@pytest.fixture(autouse=True)
def no_secret_left(tmp_path, own_home, monkeypatch):
    """Every broker test runs in an environment that holds the secret, and everything it wrote is looked through after it."""
    monkeypatch.setenv("GAIT_CREDENTIAL_EGRESS", SECRET)
    yield
    assert found_in(tmp_path, own_home) == []


def found_in(*folders: Path) -> list[str]:
    """The files that hold the secret, as it is or in base64 or hex, inside ZIP archives too; the broker's own program is none of ours."""
    import base64

    needles = [SECRET.encode(), SECRET.encode().hex().encode(), base64.b64encode(SECRET.encode())[:-4], SECRET.encode("utf-16-le")]
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.name == "broker" or not path.is_file():
                continue
            parts = [path.read_bytes(), str(path).encode()]
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as pack:
                    parts += [pack.read(name) for name in pack.namelist()]
            if any(needle in part for needle in needles for part in parts):
                found.append(str(path))
    return found


def test_the_scan_finds_what_it_should(tmp_path):
    inside = tmp_path / "deep"
    inside.mkdir()
    with zipfile.ZipFile(inside / "pack.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("a", "x" * 100 + SECRET)
    (inside / "hex").write_text(SECRET.encode().hex())
    assert sorted(Path(path).name for path in found_in(tmp_path)) == ["hex", "pack.zip"]
    for path in inside.iterdir():
        path.unlink()


@pytest.fixture
def broker(tmp_path):
    def write(body):
        path = tmp_path / "broker"
        path.write_text(f"#!{sys.executable} -I\nimport json, sys\nSECRET = {SECRET!r}\nopen({str(tmp_path / 'asked')!r}, 'a').write('x')\n{body}\n")
        path.chmod(0o755)
        return ("--credential-broker", "command", "--credential-command", path)

    return write


@pytest.fixture
def ask(cli, policy, tmp_path):
    path = policy(POLICY)

    def asked(*words, call=PAY):
        ran = cli("mcp", "proxy", "--policy", path, "--call", "-", "--json", "--journal", tmp_path / "journal", *words, stdin=call)
        assert SECRET not in ran.out + ran.err
        record = json.loads(Path(ran.value["trace_path"]).read_text())
        assert record["reason_codes"] == ran.value["reason_codes"]
        return ran.code, ran.value["reason_codes"], record

    return asked


@pytest.mark.parametrize(
    "words, reference",
    [(("stub",), "stub:"), (("env",), "env:GAIT_CREDENTIAL_EGRESS"), (("env", "--credential-env-prefix", "GAIT_CREDENTIAL_"), "env:GAIT_CREDENTIAL_EGRESS")],
)
def test_brokers_without_a_command(cli, ask, words, reference):
    code, reasons, record = ask("--credential-broker", *words)
    assert (code, reasons) == (0, PRESENT)
    evidence = record["broker_credential"]
    assert evidence["schema_id"] == "gait.gate.broker_credential_record" and evidence["credential_ref"].startswith(reference)
    assert (evidence["broker"], evidence["reference"], evidence["scopes"]) == (words[0], "egress", ["pay"])


def test_a_command(cli, ask, broker, tmp_path):
    code, reasons, record = ask(*broker(GOOD))
    assert (code, reasons) == (0, PRESENT)
    assert record["broker_credential"]["credential_ref"] == "vault:lease/7" and record["broker_credential"]["expires_at"] == "2030-01-01T00:00:00Z"
    assert record["broker_credential"]["intent_digest"] == record["intent_digest"]
    assert cli("journal", "verify", tmp_path / "journal").code == 0


@pytest.mark.parametrize(
    "words, error",
    [
        ((), None),
        (("--credential-broker", "off"), None),
        (("--credential-broker", "env", "--credential-env-prefix", "NONE_"), "broker_env_missing"),
    ],
)
def test_no_credential(ask, words, error):
    code, reasons, record = ask(*words)
    assert (code, reasons, record["violations"]) == (3, MISSING, ["broker_credential_missing"])
    assert record.get("broker_error") == error and "broker_credential" not in record


@pytest.mark.parametrize("kind", sorted(LEAKS))
def test_a_command_that_tells_the_secret(ask, broker, tmp_path, kind):
    code, reasons, record = ask(*broker(LEAKS[kind]), "--export-log-out", tmp_path / "siem", "--export-otel-out", tmp_path / "otel")
    assert (code, reasons) == (3, MISSING)
    assert record["broker_error"] in ("broker_answer_invalid", "command_failed", "command_answer_too_large")


def test_a_broker_is_asked_only_for_what_is_allowed_otherwise(ask, broker, tmp_path, cli):
    words = broker(GOOD)
    for _ in range(5):
        assert ask(*words)[0] == 0
    assert ask(*words)[1] == ["matched_rule_pay", "rate_limit_exceeded"]
    assert ask(*words, call={"name": "none", "arguments": {}})[0] == 3
    assert cli("stop", "--scope", "tool", "plain", "--reason", "r").code == 0
    assert ask(*words, call={"name": "plain", "arguments": {}})[1] == ["stopped", "stopped_tool"]
    assert len((tmp_path / "asked").read_text()) == 5


def test_a_refusal_by_the_broker_uses_up_nothing(ask, broker):
    for _ in range(7):
        assert ask(*broker("sys.exit(1)"))[0] == 3
    assert [ask(*broker(GOOD))[0] for _ in range(6)] == [0] * 5 + [3]


@pytest.mark.parametrize(
    "words",
    [
        ("--credential-broker", "command"),
        ("--credential-command", "/bin/true"),
        ("--credential-broker", "env", "--credential-command", "/bin/true"),
        ("--credential-broker", "stub", "--credential-env-prefix", "X_"),
        ("--credential-broker", "command", "--credential-command", "relative"),
        ("--credential-broker", "vault"),
    ],
)
def test_options_that_cannot_be_meant(cli, policy, home, words):
    for verb in (("mcp", "proxy", "--call", "-"), ("mcp", "serve"), ("mcp", "wrap")):
        ran = cli(*verb, "--policy", policy(POLICY), *words, *(("--", "true") if verb[1] == "wrap" else ()), stdin=PAY)
        assert ran.code == 6 and "--credential" in ran.err
    assert cli("hook", "claude-code", "--check", "--policy", policy(POLICY), *words).code == 2


def test_a_hook(process, policy, broker, home):
    event = {"hook_event_name": "PreToolUse", "tool_name": "pay", "tool_input": {}, "cwd": "/w", "session_id": "s", "tool_use_id": "t"}
    ran = process("hook", "claude-code", "--policy", policy(POLICY), *broker(GOOD), stdin=event)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    ran = process("hook", "claude-code", "--policy", policy(POLICY), *broker(LEAKS["in a traceback"]), stdin=event)
    assert "broker_credential_required" in ran.out
    assert "vault:lease/7" in (home / "journal" / "oneshot" / "00000001.jsonl").read_text()


def test_a_service_and_its_artifacts(tmp_path, broker):
    (tmp_path / "packs").mkdir(mode=0o700)
    options = ("--trace-dir", tmp_path / "traces", "--runpack-dir", tmp_path / "packs", "--export-log-out", tmp_path / "siem")
    for body, verdict in ((GOOD, "allow"), (LEAKS["beside"], "block")):
        server = Server(tmp_path, *options, "--access-log", tmp_path / "access", *broker(body), policy=POLICY)
        with server.client() as client:
            answer = client.post({"call": {"name": "plain", "arguments": {}}, "emit_runpack": True}).value
            metrics = client.get("/metrics").body
        assert answer["verdict"] == verdict and SECRET.encode() not in metrics
        assert server.stop() == 0
    assert len(list((tmp_path / "packs").glob("*.zip"))) == 2


def test_a_wrapped_server(tmp_path, broker):
    wrapped = Wrapped(tmp_path, policy=POLICY.replace("[plain]", "[read_file]"), options=broker(GOOD))
    wrapped.send(call(1))
    wrapped.read()
    assert wrapped.close() == 0
    assert [record["broker_credential"]["credential_ref"] for record in wrapped.allowed()] == ["vault:lease/7"]


def test_packs_made_of_such_decisions(cli, ask, broker, tmp_path):
    ask(*broker(GOOD))
    ask(*broker(LEAKS["bare"]))
    assert cli("run", "record", "--journal", tmp_path / "journal", "--out", tmp_path / "run.zip").code == 0
    assert cli("report", tmp_path / "journal", "--out", tmp_path / "report.html").code == 0
    assert os.path.getsize(tmp_path / "report.html") > 1000
