"""`gait approve` and `gait approvals`: what a person sees, what is refused, and every entry point as a process of its own."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mcp.wrapped import Wrapped, call
from tests.service.running import Server

from gait.store import keys
from gait.store.approvals import Approvals

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
INTENT = {"tool_name": "pay", "args": {"amount": 5}, "context": {"identity": "alice", "workspace": "/w", "risk_class": "high"}}
RULES = "default_verdict: block\nrules: [{name: pay, effect: require_approval, match: {tool_names: [pay]}}]\n"
BY = ("--approver", "bob", "--reason-code", "ticket-7")


@pytest.fixture
def ring(cli, tmp_path):
    """An approver's key ring."""
    path = tmp_path / "approval.json"
    assert cli("keys", "init", "--purpose", "approval", "--path", path).code == 0
    return path


@pytest.fixture
def asked(cli, policy, tmp_path):
    """The trace of a call that waits for an approval."""
    path = tmp_path / "asked.json"
    assert cli("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--trace-out", path, stdin=INTENT).code == 4
    return path


def store():
    return Approvals(os.path.join(keys.home(), "approvals"))


def evaluate(cli, tmp_path, ring, *words, intent=INTENT):
    return cli("gate", "eval", "--policy", tmp_path / "policy.yaml", "--intent", "-", "--json", "--approval-key", ring, *words, stdin=intent)


# --- approving -----------------------------------------------------------------------------------


def test_a_trace_is_approved_and_its_call_passes_once(cli, asked, ring, tmp_path):
    ran = cli("approve", "--trace", asked, *BY, "--ttl", "2h", "--approval-key", ring, "--yes", "--json")
    made, trace = ran.value, json.loads(asked.read_text())
    assert ran.code == 0 and (made["intent_digest"], made["policy_digest"]) == (trace["intent_digest"], trace["policy_digest"])
    assert (made["scope"], made["max_uses"], made["approver_identity"], made["kind"]) == (["tool:pay"], 1, "bob", "token")
    assert os.stat(made["path"]).st_mode & 0o777 == 0o600 and "signature" not in made
    assert [evaluate(cli, tmp_path, ring).code for _ in range(2)] == [0, 4]


def test_a_token_in_a_file_of_its_own(cli, asked, ring, tmp_path):
    token = tmp_path / "token.json"
    assert cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--yes", "--out", token).code == 0
    assert list(store().all()) == []
    assert evaluate(cli, tmp_path, ring).code == 4
    assert evaluate(cli, tmp_path, ring, "--approval-token", token).code == 0
    assert evaluate(cli, tmp_path, ring, "--approval-token", token).value["reason_codes"] == ["approval_token_used", "matched_rule_pay"]


def test_digests_stand_in_for_a_trace(cli, asked, ring, tmp_path, monkeypatch):
    trace = json.loads(asked.read_text())
    monkeypatch.setenv("RING", ring.read_text())
    words = ("--intent-digest", trace["intent_digest"], "--policy-digest", trace["policy_digest"], "--scope", "tool:pay")
    assert cli("approve", *words, *BY, "--approval-key-env", "RING").code == 0
    assert cli("gate", "eval", "--policy", tmp_path / "policy.yaml", "--intent", "-", "--approval-key-env", "bob=RING", stdin=INTENT).code == 0


def test_a_trace_of_a_call_with_a_request_id_approves_its_next_try(cli, policy, ring, tmp_path):
    first, second = ({**INTENT, "context": {**INTENT["context"], "request_id": name}} for name in ("toolu_1", "toolu_2"))
    path = tmp_path / "asked.json"
    ran = cli("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--trace-out", path, "--json", stdin=first)
    assert ran.value["approval_digest"] == json.loads(path.read_text())["approval_digest"] != ran.value["intent_digest"]
    assert cli("approve", "--trace", path, *BY, "--approval-key", ring, "--yes").code == 0
    assert evaluate(cli, tmp_path, ring, intent={**second, "args": {"amount": 6}}).code == 4
    assert [evaluate(cli, tmp_path, ring, intent=intent).code for intent in (second, first)] == [0, 4]


def test_one_exact_try_may_be_bound(cli, policy, ring, tmp_path):
    first, second = ({**INTENT, "context": {**INTENT["context"], "request_id": name}} for name in ("toolu_1", "toolu_2"))
    value = cli("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--json", stdin=first).value
    words = ("--intent-digest", value["intent_digest"], "--policy-digest", value["policy_digest"], "--scope", "pay")
    assert cli("approve", *words, *BY, "--approval-key", ring).code == 0
    assert [evaluate(cli, tmp_path, ring, intent=intent).code for intent in (second, first)] == [4, 0]


def test_a_decision_in_a_journal_is_approved_by_its_id(cli, policy, ring, tmp_path):
    words = ("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--journal", tmp_path / "journal", "--json")
    first = {**INTENT, "context": {**INTENT["context"], "request_id": "toolu_1"}}
    value = cli(*words, stdin=first).value
    approve_ = ("approve", "--journal", tmp_path / "journal", *BY, "--approval-key", ring, "--yes", "--json")
    assert cli(*approve_, "--trace-id", "0" * 24).value["error_code"] == "decision_not_found"
    assert cli("approve", *DIGESTS, "--journal", tmp_path, *BY, "--approval-key", ring, "--json").value["error_code"] == "invalid_usage"
    assert cli("approve", "--trace-id", value["trace_id"], *BY, "--approval-key", ring, "--json").value["error_code"] == "invalid_usage"
    made = cli(*approve_, "--trace-id", value["trace_id"]).value
    assert (made["intent_digest"], made["scope"]) == (value["approval_digest"], ["tool:pay"])
    assert cli(*words, "--approval-key", ring, stdin=INTENT).code == 0
    segment = tmp_path / "journal/oneshot/00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"pay"', b'"pax"', 1))
    assert cli(*approve_, "--trace-id", value["trace_id"]).code == 2


def test_what_a_journal_holds_of_the_call_is_shown(cli, policy, ring, tmp_path):
    targets = [{"kind": "path", "value": f"/srv/\x1b[31m{number}", "operation": "write"} for number in range(22)]
    words = ("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--journal", tmp_path / "journal", "--capture", "raw", "--json")
    value = cli(*words, stdin={**INTENT, "targets": targets}).value
    parent, child = pty.openpty()
    words = [*LAUNCHER, "approve", "--journal", str(tmp_path / "journal"), "--trace-id", value["trace_id"], *BY, "--approval-key", str(ring)]
    process = subprocess.Popen(words, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(child)
    os.write(parent, b"no\n")
    shown = process.communicate(timeout=60)[1].decode()
    os.close(parent)
    assert process.returncode == 8 and '{"amount": 5}' in shown and "and 2 more" in shown
    assert "path /srv/\\x1b[31m0" in shown and "\x1b" not in shown  # what an agent wrote cannot move the cursor


@pytest.mark.parametrize("said, code", [("yes\n", 0), ("y\n", 0), ("\n", 8), ("no\n", 8), ("", 8)])
def test_a_person_sees_the_call_and_says_so(asked, ring, said, code):
    parent, child = pty.openpty()
    words = [*LAUNCHER, "approve", "--trace", str(asked), *BY, "--approval-key", str(ring)]
    process = subprocess.Popen(words, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(child)
    os.write(parent, said.encode() or b"\x04")
    out, err = process.communicate(timeout=60)
    os.close(parent)
    shown = err.decode()
    assert process.returncode == code, shown
    assert "pay" in shown and json.loads(asked.read_text())["args_digest"] in shown and "alice" in shown
    assert bool(list(store().all())) == (code == 0) and (b"approved" in out) == (code == 0)


def test_without_a_terminal_nothing_is_approved(cli, asked, ring):
    assert cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--json").value["error_code"] == "confirmation_required"
    grant = ("--grant", "--tool", "pay", "--identity", "alice", *BY, "--approval-key", ring)
    assert cli("approve", *grant, "--json").value["error_code"] == "confirmation_required"
    assert list(store().all()) == []


DIGESTS = ("--intent-digest", "a" * 64, "--policy-digest", "b" * 64, "--scope", "tool:pay")
GRANT = ("--grant", "--tool", "pay", "--identity", "alice")
USAGE = {
    "no key": ((*DIGESTS, *BY), "key_required"),
    "two keys": ((*DIGESTS, *BY, "--approval-key", "RING", "--approval-key-env", "X"), "key_required"),
    "no scope": ((*DIGESTS[:4], *BY, "--approval-key", "RING"), "invalid_usage"),
    "no policy": (("--intent-digest", "a" * 64, "--scope", "pay", *BY, "--approval-key", "RING"), "invalid_usage"),
    "a digest that is none": (("--intent-digest", "A" * 64, *DIGESTS[2:], *BY, "--approval-key", "RING"), "invalid_input"),
    "a time that is none": ((*DIGESTS, *BY, "--approval-key", "RING", "--ttl", "soon"), "invalid_usage"),
    "no time at all": ((*DIGESTS, *BY, "--approval-key", "RING", "--ttl", "0m"), "invalid_usage"),
    "too long": ((*DIGESTS, *BY, "--approval-key", "RING", "--ttl", "31d"), "invalid_input"),
    "a beginning that is none": ((*DIGESTS, *BY, "--approval-key", "RING", "--not-before", "today"), "invalid_input"),
    "no uses": ((*DIGESTS, *BY, "--approval-key", "RING", "--max-uses", "0"), "invalid_input"),
    "too many uses": ((*DIGESTS, *BY, "--approval-key", "RING", "--max-uses", str(2**60)), "invalid_input"),
    "an approver without a name": ((*DIGESTS, "--approver", " ", "--reason-code", "x", "--approval-key", "RING"), "invalid_input"),
    "a name that is a book": ((*DIGESTS, "--approver", "x" * 300, "--reason-code", "x", "--approval-key", "RING"), "invalid_input"),
    "a tool for a token": ((*DIGESTS, *BY, "--approval-key", "RING", "--tool", "pay"), "invalid_usage"),
    "a scope for a grant": ((*GRANT, "--scope", "pay", *BY, "--approval-key", "RING", "--yes"), "invalid_usage"),
    "a grant without a tool": (("--grant", "--identity", "alice", *BY, "--approval-key", "RING", "--yes"), "invalid_usage"),
    "a grant for oneself": ((*GRANT[:3], "--identity", "BOB", *BY, "--approval-key", "RING", "--yes"), "approval_self_approved"),
    "a test that is none": ((*GRANT, "--arg-constraint", "amount", *BY, "--approval-key", "RING", "--yes"), "invalid_usage"),
    "a limit that is none": ((*GRANT, "--arg-constraint", "amount<=many", *BY, "--approval-key", "RING", "--yes"), "invalid_input"),
    "a pattern that is none": ((*GRANT, "--arg-constraint", "path~", *BY, "--approval-key", "RING", "--yes"), "invalid_input"),
    "a grant for a year": ((*GRANT, "--ttl", "91d", *BY, "--approval-key", "RING", "--yes"), "invalid_input"),
    "too many tests": ((*GRANT, *(["--arg-constraint", "a=1"] * 33), *BY, "--approval-key", "RING", "--yes"), "invalid_input"),
}


@pytest.mark.parametrize("case", USAGE)
def test_what_cannot_be_approved(cli, ring, case):
    words, code = USAGE[case]
    ran = cli("approve", *(str(ring) if word == "RING" else word for word in words), "--json")
    assert ran.code in (6, 8) and ran.value["error_code"] == code, ran
    assert list(store().all()) == []


def test_a_trace_that_is_none_or_needs_nothing(cli, asked, policy, ring, tmp_path):
    words = (*BY, "--approval-key", ring, "--yes", "--json")
    record = json.loads(asked.read_text())
    asked.write_text(json.dumps({**record, "policy_digest": "0" * 64}))
    assert cli("approve", "--trace", asked, *words).value["error_code"] == "digest_mismatch"
    allowed = tmp_path / "allowed.json"
    cli("gate", "eval", "--policy", policy("default_verdict: allow\n"), "--intent", "-", "--trace-out", allowed, stdin=INTENT)
    assert cli("approve", "--trace", allowed, *words).value["error_code"] == "approval_not_required"
    blocked = tmp_path / "blocked.json"
    cli("gate", "eval", "--policy", policy("default_verdict: block\n"), "--intent", "-", "--trace-out", blocked, stdin=INTENT)
    assert cli("approve", "--trace", blocked, *words).value["error_code"] == "approval_not_required"


def test_who_asked_cannot_approve(cli, asked, ring):
    ran = cli("approve", "--trace", asked, "--approver", "Alice ", "--reason-code", "x", "--approval-key", ring, "--yes", "--json")
    assert (ran.code, ran.value["error_code"]) == (8, "approval_self_approved")


def test_a_trace_ring_mints_nothing(cli, asked):
    ran = cli("approve", "--trace", asked, *BY, "--approval-key", keys.dev_path(), "--yes", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "key_purpose_mismatch")
    assert list(store().all()) == []


def test_tokens_without_a_key_are_a_mistake(cli, policy, tmp_path):
    (tmp_path / "token.json").write_text("{}")
    words = ("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--json")
    assert cli(*words, "--approval-token", tmp_path / "token.json", stdin=INTENT).value["error_code"] == "approval_key_missing"
    assert cli(*words, "--approval-token", tmp_path / "none.json", "--approval-key", tmp_path / "none", stdin=INTENT).code in (6, 7)


def test_seventeen_tokens_are_too_many(cli, policy, ring, tmp_path):
    token = tmp_path / "token.json"
    token.write_text("{}")
    ran = evaluate(cli, tmp_path, ring, *(["--approval-token", token] * 17)) if policy(RULES) else None
    assert ran.value["error_code"] == "too_many_approvals"


# --- the approvals that there are ----------------------------------------------------------------


def test_list_show_revoke(cli, asked, ring, tmp_path):
    assert cli("approvals", "list").out == "no approvals\n"
    made = cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--max-uses", "2", "--yes", "--json").value
    grant = cli("approve", *GRANT, "--arg-constraint", "amount<=4", *BY, "--approval-key", ring, "--yes", "--json").value
    evaluate(cli, tmp_path, ring)
    token_row, grant_row = cli("approvals", "list", "--json").value["approvals"]
    assert (token_row["id"], token_row["state"], token_row["used"], token_row["max_uses"], token_row["for"]) == (made["token_id"], "open", 1, 2, "tool:pay")
    assert (grant_row["id"], grant_row["kind"], grant_row["used"]) == (grant["grant_id"], "grant", 0)
    shown = cli("approvals", "show", grant["grant_id"])
    assert "state" in shown.out and "alice" in shown.out and cli("approvals", "show", made["token_id"], "--json").value["document"]["max_uses"] == 2
    assert cli("approvals", "revoke", made["token_id"], "--by", "carol", "--reason-code", "mistake").out == f"revoked {made['token_id']}\n"
    assert evaluate(cli, tmp_path, ring).value["reason_codes"] == ["approval_token_revoked", "matched_rule_pay"]
    assert cli("approvals", "list", "--json").value["approvals"][0]["state"] == "revoked"


def test_states(cli, asked, ring, tmp_path, monkeypatch):
    used = cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--yes", "--json").value
    evaluate(cli, tmp_path, ring)
    assert cli("approvals", "list", "--json").value["approvals"][0]["state"] == "used"
    Path(used["path"]).write_text("{")
    assert cli("approvals", "list", "--json").value["approvals"][0]["state"] == "unreadable"
    assert "approval_token_invalid" in evaluate(cli, tmp_path, ring).value["reason_codes"]
    Path(used["path"]).write_text(json.dumps({"expires_at": "2020-01-01T00:00:00Z"}))
    assert cli("approvals", "list", "--json").value["approvals"][0]["state"] == "expired"
    cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--yes")  # what is over goes
    assert [row["state"] for row in cli("approvals", "list", "--json").value["approvals"]] == ["open"]


@pytest.mark.parametrize("id_", ["../../etc/passwd", "F" * 24, "a" * 23])
def test_an_id_is_no_path(cli, id_):
    assert cli("approvals", "revoke", id_, "--by", "x", "--reason-code", "y", "--json").value["error_code"] == "invalid_usage"
    assert cli("approvals", "show", id_, "--json").value["error_code"] == "approval_not_found"


def test_a_call_with_too_many_approvals_is_blocked(cli, asked, ring, tmp_path):
    made = cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--yes", "--json").value
    for number in range(64):
        Path(made["path"]).with_name(f"{number:024x}.json").write_text("{}")
    assert evaluate(cli, tmp_path, ring).value["reason_codes"] == ["approval_store_unavailable", "matched_rule_pay"]


# --- each entry point as a process ---------------------------------------------------------------


def test_gate_eval_as_a_process(process, cli, asked, ring, tmp_path):
    cli("approve", "--trace", asked, *BY, "--approval-key", ring, "--yes")
    words = ("gate", "eval", "--policy", tmp_path / "policy.yaml", "--intent", "-", "--approval-key", ring)
    assert [process(*words, stdin=INTENT).code for _ in range(2)] == [0, 4]


def test_mcp_proxy_as_a_process(process, cli, policy, ring, tmp_path):
    words = ("mcp", "proxy", "--policy", policy(RULES), "--call", "-", "--approval-key", ring, "--json")
    asked = {"name": "pay", "arguments": {"amount": 5}}
    value = process(*words, stdin=asked).value
    digests = ("--intent-digest", value["intent_digest"], "--policy-digest", value["policy_digest"], "--scope", "tool:pay")
    cli("approve", *digests, *BY, "--approval-key", ring, "--out", tmp_path / "token.json")
    assert process(*words, "--approval-token", tmp_path / "token.json", stdin=asked).code == 0


def test_a_hook_as_a_process(process, cli, policy, ring):
    event = {"hook_event_name": "PreToolUse", "tool_name": "pay", "tool_input": {"amount": 5}, "session_id": "s", "tool_use_id": "toolu_1"}
    words = ("hook", "claude-code", "--policy", policy(RULES), "--approval-key", ring)
    said = json.loads(process(*words, stdin=event).out)["hookSpecificOutput"]
    assert said["permissionDecision"] == "deny"  # the host's own prompt is no signature
    command = said["permissionDecisionReason"].partition("`")[2].partition("`")[0].split()
    assert command[:2] == ["gait", "approve"] and cli(*command[1:], *BY, "--approval-key", ring).code == 0
    assert process(*words, stdin={**event, "tool_use_id": "toolu_2", "tool_input": {"amount": 6}}).out
    assert process(*words, stdin={**event, "tool_use_id": "toolu_3"}).out == ""
    assert "approval_token_used" in process(*words, stdin={**event, "tool_use_id": "toolu_4"}).out


def test_an_approval_key_of_a_hook_that_cannot_be_used_is_found_by_check(process, policy, tmp_path):
    ran = process("hook", "codex", "--policy", policy(RULES), "--approval-key", tmp_path / "none.json", "--check")
    assert ran.code == 2 and "key" in ran.err


def approve(cli, value, ring, *words):
    digests = ("--intent-digest", value["intent_digest"], "--policy-digest", value["policy_digest"], "--scope", "tool:pay")
    assert cli("approve", *digests, *BY, "--approval-key", ring, *words).code == 0


@pytest.mark.slow
def test_the_service_as_a_process(cli, ring, tmp_path):
    server = Server(tmp_path, "--approval-key", f"bob={ring}", policy=RULES)
    call_ = {"call": {"name": "pay", "arguments": {"amount": 5}}}
    try:
        with server.client() as client:
            for shape in ("header", "body", "store"):
                value = client.post(call_).value
                approve(cli, value, ring, *([] if shape == "store" else ["--out", tmp_path / "token.json"]))
                token = json.loads((tmp_path / "token.json").read_text()) if shape != "store" else None
                header = {"Gait_Approval_Token": base64.b64encode(json.dumps(token).encode()).decode()} if shape == "header" else {}
                body = {**call_, "approval_tokens": [token]} if shape == "body" else call_
                answers = [client.post(body, **header).value for _ in range(2)]
                assert [answer["verdict"] for answer in answers] == ["allow", "require_approval"], (shape, answers)
                assert answers[0]["approval_audit"]["approvers"] == ["bob"]
            assert client.post(call_, Gait_Approval_Token="%%%").value["error_code"] == "approval_token_malformed"
            assert client.post({**call_, "approval_tokens": [{}] * 17}).value["error_code"] == "too_many_approvals"
            stream = client.post({**call_, "approval_tokens": [{}]}, "/v1/evaluate/stream").lines
            assert stream[0]["reason_codes"] == ["approval_token_invalid", "approval_token_used", "matched_rule_pay"]
    finally:
        server.stop()


@pytest.mark.slow
def test_wrap_as_a_process(cli, ring, tmp_path):
    session = Wrapped(tmp_path, options=("--approval-key", ring), policy=RULES)
    try:
        session.hello()
        refused = session.ask(call(1, "pay", amount=5))["result"]
        approve(cli, refused["_meta"]["dev.gait/decision"], ring)
        assert session.ask(call(2, "pay", amount=6))["result"]["isError"] is True
        session.ask(call(3, "pay", amount=5))
        again = session.ask(call(4, "pay", amount=5))["result"]["_meta"]["dev.gait/decision"]
        assert again["reason_codes"] == ["approval_token_used", "matched_rule_pay"]
        session.close()
        assert [frame["id"] for frame in session.frames()] == [3]
    finally:
        session.kill()


@pytest.mark.slow
def test_the_gateway_as_a_process(cli, ring, tmp_path):
    log = tmp_path / "upstream.log"
    command = f"{sys.executable} -I {ROOT / 'tests/mcp/stdio_server.py'} {log}"
    server = Server(tmp_path, "--approval-key", ring, "--upstream-command", command, policy=RULES)
    headers = {"Accept": "application/json, text/event-stream"}

    def ask(client, id_, method="tools/call", **params):
        answer = client.post({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}, "/mcp", **headers)
        session = answer.headers.get("mcp-session-id")
        if session:
            headers["Mcp_Session_Id"] = session
        text = answer.body.decode()
        data = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        return json.loads(data[-1] if data else text)

    try:
        with server.client() as client:
            ask(client, 0, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"})
            refused = ask(client, 1, name="pay", arguments={"amount": 5})["result"]["_meta"]["dev.gait/decision"]
            approve(cli, refused, ring)
            ask(client, 2, name="pay", arguments={"amount": 5})
            again = ask(client, 3, name="pay", arguments={"amount": 5})["result"]["_meta"]["dev.gait/decision"]
            assert again["reason_codes"] == ["approval_token_used", "matched_rule_pay"]
        frames = [json.loads(line) for line in log.read_text().splitlines()]
        assert [frame["params"]["name"] for frame in frames if frame.get("method") == "tools/call"] == ["pay"]
    finally:
        server.stop()
