"""`gait config`, and that whoever can write to the working directory cannot make the gate laxer with it."""

from __future__ import annotations

import json

import pytest

from tests.service.running import Server

CALL = {"name": "read_file", "arguments": {"path": "/work/a"}}
STRICT = "default_verdict: block\n"
LAX = "default_verdict: allow\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A workspace with two policies, in which commands run; `write` sets its config."""
    (tmp_path / "strict.yaml").write_text(STRICT)
    (tmp_path / "lax.yaml").write_text(LAX)
    (tmp_path / ".gait").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / ".gait" / "config.yaml").write_text(text)

    return write


def proxy(cli, *words):
    return cli("mcp", "proxy", "--call", "-", "--json", *words, stdin=CALL)


def test_a_trusted_config_gives_defaults_and_flags_win(cli, project, tmp_path):
    project("policy: lax.yaml\nidentity: agent-7\nrisk_class: low\njournal: .gait/journal\n")
    assert cli("config", "trust").out.startswith(f"trusted {tmp_path}/.gait/config.yaml\npolicy")
    ran = proxy(cli)
    assert ran.code == 0 and "warnings" in ran.value
    record = json.loads(open(ran.value["trace_path"]).read())
    assert record["context"] == {"identity": "agent-7", "workspace": ".", "risk_class": "low"}
    assert (tmp_path / ".gait" / "journal" / "oneshot").is_dir()
    assert proxy(cli, "--policy", "strict.yaml").code == 3
    intent = {"tool_name": "x", "args": {}, "targets": [], "context": {"identity": "i", "workspace": "/", "risk_class": "low"}}
    head = {"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", "producer_version": "t"}
    assert cli("gate", "eval", "--intent", "-", stdin={**head, **intent}).code == 0


def test_what_a_config_names_in_the_project_is_pinned_with_it(cli, project, tmp_path_factory, tmp_path):
    """A policy in the workspace is no more the agent's than the config is."""
    project("policy: strict.yaml\n")
    value = cli("config", "trust", "--json").value
    assert value["pinned"] == [{"option": "policy", "path": str(tmp_path / "strict.yaml")}]
    assert proxy(cli).code == 3
    (tmp_path / "strict.yaml").write_text(LAX)
    ran = proxy(cli)
    assert (ran.code, ran.value["error_code"]) == (8, "config_untrusted") and "that it names" in ran.value["error"]
    assert proxy(cli, "--policy", "strict.yaml").code == 8
    assert cli("config", "trust").code == 0 and proxy(cli).code == 0  # the control: with the operator's word it counts
    elsewhere = tmp_path_factory.mktemp("etc") / "policy.yaml"
    elsewhere.write_text(STRICT)
    project(f"policy: {elsewhere}\njournal: .gait/journal\n")
    assert cli("config", "trust", "--json").value["pinned"] == [] and proxy(cli).code == 3
    project(f"policy: {elsewhere}\napproval_key: [bob=a.json]\ncredential_broker: command\ncredential_command: ./ask\n")
    assert [file["option"] for file in cli("config", "trust", "--json").value["pinned"]] == ["credential_command", "approval_key"]


def test_show_names_the_source_of_each_value(cli, project, tmp_path):
    project("policy: lax.yaml\nidentity: agent-7\napproval_key: [a.json]\nprofile: oss-prod\n")
    cli("config", "trust")
    values = cli("config", "show", "--identity", "other", "--profile", "standard", "--json").value["values"]
    path = str(tmp_path / ".gait" / "config.yaml")
    assert values["policy"] == {"value": str(tmp_path / "lax.yaml"), "source": path}
    assert values["identity"] == {"value": "other", "source": "flag"}
    assert values["profile"] == {"value": "standard", "source": "flag"}  # the default's word, but a flag
    assert values["key_mode"] == {"value": "dev", "source": "default"}
    assert values["approval_key"] == {"value": [str(tmp_path / "a.json")], "source": path}
    assert f"policy                 {tmp_path}/lax.yaml  ({path})\n" in cli("config", "show").out


def test_the_policy_is_still_required(cli, project):
    project("identity: agent-7\n")
    assert proxy(cli).code == 6
    cli("config", "trust")
    ran = proxy(cli)
    assert ran.code == 6 and "--policy" in ran.value["error"]


# --- the attack ------------------------------------------------------------------------------------

WEAKER = "policy: lax.yaml\nprofile: standard\nkey_mode: dev\ncredential_broker: stub\n"


def test_a_planted_config_has_no_effect(cli, project):
    project(WEAKER)
    ran = proxy(cli, "--policy", "strict.yaml")
    assert ran.code == 3 and "is not trusted and has no effect" in ran.value["warnings"][0]
    assert proxy(cli).code == 6
    assert "is not trusted" in cli("config", "show").out
    # the control: with the operator's word it would have one
    assert cli("config", "trust").code == 0
    assert proxy(cli).code == 0


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_a_trusted_config_that_an_agent_changes_lets_nothing_through(cli, project, tmp_path, how, traces):
    project("policy: strict.yaml\n")
    cli("config", "trust")
    assert proxy(cli).code == 3
    before = traces()
    project(WEAKER) if how == "edited" else (tmp_path / ".gait" / "config.yaml").unlink()
    for words in ((), ("--policy", "lax.yaml")):
        ran = proxy(cli, *words)
        assert (ran.code, ran.value["error_code"]) == (8, "config_untrusted")
    assert traces() == before
    assert cli("config", "show").code == 8
    assert cli("config", "trust", "--remove").out == "no longer trusted\n"
    assert proxy(cli, "--policy", "strict.yaml").code == 3
    assert cli("config", "trust", "--remove").out == "was not trusted\n"


def test_services_and_hooks_do_not_look_at_it(cli, project, process, tmp_path):
    """Not even at a trusted one: what they obey is on their own command line."""
    project(WEAKER)
    cli("config", "trust")
    for verb in ("serve", "wrap"):
        ran = cli("mcp", verb, *(("--", "true") if verb == "wrap" else ()))
        assert ran.code == 6 and "--policy" in ran.err
    event = {"hook_event_name": "PreToolUse", "tool_name": "read", "tool_input": {}, "cwd": str(tmp_path), "session_id": "s", "tool_use_id": "t"}
    ran = process("hook", "claude-code", stdin=event)
    assert ran.code == 2 and "policy" in ran.err
    ran = process("hook", "claude-code", "--policy", tmp_path / "strict.yaml", stdin=event)
    assert "deny" in ran.out
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "policy.yaml").write_text(STRICT)
    server = Server(tmp_path / "run")
    with server.client() as client:
        assert client.post({"call": CALL}).value["verdict"] == "block"
    server.stop()
