"""--profile and --simulate on the command line, in the service and in hooks."""

from __future__ import annotations

import json

import pytest

from tests.service.running import Server, gait

CALL = {"name": "read_file", "arguments": {"path": "/work/a"}}
PROD = "default_verdict: block\nrules:\n  - {name: r, effect: allow, match: {tool_names: [read_file]}, require_broker_credential: true, broker_reference: x}\n"
LAX = PROD.replace("require_broker_credential: true, broker_reference: x", "priority: 1")


@pytest.fixture
def prod(cli, tmp_path, monkeypatch):
    """Options that oss-prod accepts."""
    for purpose in ("trace", "approval"):
        assert cli("keys", "init", "--purpose", purpose, "--path", tmp_path / f"{purpose}.json").code == 0
    monkeypatch.setenv("GAIT_CREDENTIAL_X", "secret")
    return {
        "--profile": "oss-prod",
        "--key-mode": "prod",
        "--private-key": tmp_path / "trace.json",
        "--approval-key": tmp_path / "approval.json",
        "--credential-broker": "env",
    }


def words(options, *without):
    return [word for name, text in options.items() if name not in without for word in (name, text)]


def proxy(cli, path, *more):
    return cli("mcp", "proxy", "--policy", path, "--call", "-", "--json", *more, stdin=CALL)


def test_oss_prod(cli, policy, prod):
    path = policy(PROD)
    assert proxy(cli, path, *words(prod)).code == 0
    for without in ("--approval-key", "--credential-broker"):
        ran = proxy(cli, path, *words(prod, without))
        assert (ran.code, ran.value["error_code"]) == (8, "profile_not_met") and without in ran.value["error"]
    ran = proxy(cli, path, *words(prod, "--key-mode", "--private-key"))
    assert ran.code == 8 and "--key-mode prod" in ran.value["error"]
    ran = proxy(cli, path, *words(prod), "--simulate")
    assert ran.code == 8 and "no --simulate" in ran.value["error"]
    ran = proxy(cli, policy(LAX), *words(prod))
    assert ran.code == 8 and "rule 'r'" in ran.value["error"]


def test_nothing_is_recorded_for_a_refusal(cli, policy, prod, traces):
    proxy(cli, policy(LAX), *words(prod))
    assert traces() == []


def test_a_service_refuses_to_start_and_refuses_a_laxer_policy_later(tmp_path, prod):
    (tmp_path / "policy.yaml").write_text(LAX)
    done = gait("mcp", "serve", "--policy", tmp_path / "policy.yaml", *words(prod))
    assert done.returncode == 8 and b"rule 'r'" in done.stderr
    done = gait("mcp", "wrap", "--policy", tmp_path / "policy.yaml", *words(prod), "--", "true")
    assert done.returncode == 8 and b"rule 'r'" in done.stderr
    done = gait("mcp", "serve", "--policy", tmp_path / "policy.yaml", "--profile", "oss-prod")
    assert done.returncode == 8 and b"--key-mode prod" in done.stderr
    (tmp_path / "policy.yaml").write_text(PROD)
    server = Server(tmp_path, "--watch", *words(prod))
    try:
        with server.client() as client:
            assert client.post({"call": CALL}).value["verdict"] == "allow"
            server.policy.write_text(LAX)
            import tests.service.running as running

            running.wait_for(lambda: "refused" in client.get("/readyz").value["policy"])
            assert "broker_credential_present" in client.post({"call": CALL}).value["reason_codes"]
    finally:
        server.stop()


def test_hooks(cli, process, policy, prod):
    event = {"hook_event_name": "PreToolUse", "tool_name": "read_file", "tool_input": {"path": "/a"}, "cwd": "/w", "session_id": "s", "tool_use_id": "t"}
    hook = ("hook", "claude-code", "--policy")
    assert process(*hook, policy(PROD), *words(prod), stdin=event).out == ""
    for refused in (
        process(*hook, policy(LAX), *words(prod), stdin=event),
        process(*hook, policy(PROD), *words(prod, "--approval-key"), stdin=event),
        process(*hook, policy(PROD), *words({**prod, "--profile": "prod"}), stdin=event),
        process(*hook, policy(PROD), *words(prod), "--simulate", stdin=event),
        process(*hook, policy(PROD), *words(prod, "--approval-key"), "--check"),
    ):
        assert refused.code == 2 and refused.err


# --- simulate --------------------------------------------------------------------------------------

RULES = """\
default_verdict: block
rules:
  - {name: a, effect: allow, match: {tool_names: [a]}}
  - {name: q, effect: require_approval, match: {tool_names: [q]}}
  - {name: d, effect: dry_run, match: {tool_names: [d]}}
  - {name: l, effect: allow, match: {tool_names: [l]}, rate_limit: {requests: 1, window: day}}
"""


@pytest.mark.parametrize("tool, verdict", [("a", "allow"), ("q", "require_approval"), ("d", "dry_run"), ("x", "block"), ("l", "allow")])
def test_simulate_allows_and_says_what_it_would_have_been(cli, policy, tmp_path, tool, verdict):
    call = {"name": tool, "arguments": {}}
    ran = cli("mcp", "proxy", "--policy", policy(RULES), "--call", "-", "--simulate", "--json", "--journal", tmp_path / "journal", stdin=call)
    value = ran.value
    assert (ran.code, value["verdict"], value["simulated_verdict"], value["would_have_blocked"]) == (0, "allow", verdict, verdict != "allow")
    assert {"simulate_mode_non_enforcing", f"simulated_{verdict}"} <= set(value["reason_codes"])
    told = cli("trace", "verify", value["trace_path"], "--json").value
    assert (told["verdict"], told["simulated_verdict"]) == ("allow", verdict)
    assert f"simulated  {verdict}" in cli("trace", "verify", value["trace_path"]).out
    assert verdict in cli("trace", "show", value["trace_path"]).out
    record = json.loads(open(value["trace_path"]).read())
    del record["simulated_verdict"]
    (tmp_path / "edited").write_text(json.dumps(record))
    assert cli("trace", "verify", tmp_path / "edited").code == 2  # it cannot pass for a real allow


def test_simulate_looks_at_the_counts_and_uses_nothing_up(cli, policy):
    ask = ("mcp", "proxy", "--policy", policy(RULES), "--call", "-", "--json")
    call = {"name": "l", "arguments": {}}
    for _ in range(3):
        assert cli(*ask, "--simulate", stdin=call).value["simulated_verdict"] == "allow"
    assert cli(*ask, stdin=call).code == 0
    value = cli(*ask, "--simulate", stdin=call).value
    assert value["simulated_verdict"] == "block" and "rate_limit_exceeded" in value["reason_codes"]


def test_simulate_says_so_to_people(cli, policy):
    ran = cli("mcp", "proxy", "--policy", policy(RULES), "--call", "-", "--simulate", stdin={"name": "x", "arguments": {}})
    assert "simulated  the verdict would have been block" in ran.out


def test_a_stop_holds_all_the_same(cli, policy):
    assert cli("stop", "--scope", "all", "--reason", "r").code == 0
    ran = cli("mcp", "proxy", "--policy", policy(RULES), "--call", "-", "--simulate", "--json", stdin={"name": "a", "arguments": {}})
    assert (ran.code, ran.value["reason_codes"]) == (3, ["stopped", "stopped_all"])


def test_intents_too(cli, policy):
    intent = {"tool_name": "x", "args": {}, "targets": [], "context": {"identity": "i", "workspace": "/", "risk_class": "low"}}
    head = {"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", "producer_version": "t"}
    ran = cli("gate", "eval", "--policy", policy(RULES), "--intent", "-", "--simulate", "--json", stdin={**head, **intent})
    assert (ran.code, ran.value["simulated_verdict"]) == (0, "block")


@pytest.mark.parametrize("verb", ["serve", "wrap"])
def test_what_enforces_refuses_simulate(cli, policy, verb):
    ran = cli("mcp", verb, "--policy", policy(RULES), "--simulate", *(("--", "true") if verb == "wrap" else ()))
    assert ran.code == 6 and "--simulate" in ran.err


def test_a_recorded_simulation_counts_as_what_it_would_have_been(cli, policy, tmp_path):
    path = policy(RULES)
    cli("mcp", "proxy", "--policy", path, "--call", "-", "--simulate", "--journal", tmp_path / "journal", stdin={"name": "x", "arguments": {}})
    ran = cli("policy", "simulate", "--policy", path, "--from", tmp_path / "journal", "--json")
    assert (ran.value["changed"], ran.value["same_verdict_other_reason"], ran.value["evaluated"]) == (0, 0, 1)


def test_recorded_limits_and_credentials_are_no_change(cli, policy, tmp_path, monkeypatch):
    """What was found out beside the policy is in the records, and stays so when they are evaluated again."""
    monkeypatch.setenv("GAIT_CREDENTIAL_X", "v")
    path = policy(RULES + "  - {name: c, effect: allow, match: {tool_names: [c]}, require_broker_credential: true, broker_reference: x}\n")
    ask = ("mcp", "proxy", "--policy", path, "--call", "-", "--journal", tmp_path / "journal")
    codes = [cli(*ask, stdin={"name": "l", "arguments": {}}).code for _ in range(2)]
    codes += [cli(*ask, *more, stdin={"name": "c", "arguments": {}}).code for more in (("--credential-broker", "env"), ())]
    codes.append(cli(*ask, stdin={"name": "q", "arguments": {}}).code)
    assert codes == [0, 3, 0, 3, 4]
    ran = cli("policy", "simulate", "--policy", path, "--from", tmp_path / "journal", "--json")
    assert (ran.value["changed"], ran.value["same_verdict_other_reason"], ran.value["evaluated"]) == (0, 0, 5)
