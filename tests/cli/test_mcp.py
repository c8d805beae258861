"""`gait mcp proxy` and `bridge`: every adapter's call through real policies, and what stands in for a missing context."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gait.adapters import ADAPTERS

QUICKSTART = Path(__file__).resolve().parents[2] / "fixtures" / "quickstart"
POLICY = QUICKSTART / "policy.yaml"
ALLOW, BLOCK, APPROVE = {"path": "/work/a"}, {"path": "/work/../etc/shadow"}, {"path": "/work/a", "content": "x"}


def calls(name: str, arguments: dict) -> dict[str, object]:
    """The same call in every framework's shape."""
    text = json.dumps(arguments)
    chat = {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}
    hook = {"hook_event_name": "PreToolUse", "tool_name": name, "tool_input": arguments}
    return {
        "mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}},
        "openai": {"role": "assistant", "tool_calls": [chat]},
        "openai_agents": {"type": "function_call", "call_id": "1", "name": name, "arguments": text},
        "anthropic": {"type": "tool_use", "id": "1", "name": name, "input": arguments},
        "langchain": {"name": name, "args": arguments, "id": "1", "type": "tool_call"},
        "autogen": {"id": "1", "name": name, "arguments": text},
        "autogpt": {"use_tool": {"name": name, "arguments": arguments}},
        "claude_code": hook,
        "openclaw": {"toolName": name, "params": arguments},
        "gastown": hook,
        "gemini": {"functionCall": {"name": name, "args": arguments}},
    }


@pytest.mark.parametrize("verb", ["proxy", "bridge"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter(cli, traces, verb, adapter):
    for tool, arguments, verdict, code in (
        ("read_file", ALLOW, "allow", 0),
        ("read_file", BLOCK, "block", 3),
        ("write_file", APPROVE, "require_approval", 4),
        ("unheard_of", {}, "block", 3),
    ):
        call = calls(tool, arguments)[adapter]
        ran = cli("mcp", verb, "--policy", POLICY, "--call", "-", "--adapter", adapter, "--json", stdin=call)
        value = ran.value
        assert (ran.code, value["verdict"], value["tool_name"]) == (code, verdict, tool)
        record = json.loads(Path(value["trace_path"]).read_text("utf-8"))
        assert record["verdict"] == verdict and record["context"]["identity"] == "mcp-proxy"
        assert cli("trace", "verify", value["trace_path"]).code == 0
    assert len(traces()) == 4


@pytest.mark.parametrize("verdict,code", [("allow", 0), ("dry_run", 9), ("require_approval", 4), ("block", 3)])
def test_verdicts_of_real_processes(process, policy, verdict, code):
    path = policy(f"default_verdict: {verdict}\n")
    answers = [process("mcp", verb, "--policy", path, "--call", "-", "--json", stdin={"name": "a"}) for verb in ("proxy", "bridge")]
    assert [ran.code for ran in answers] == [code, code]
    first, second = (ran.value for ran in answers)
    assert first.pop("trace_path") != second.pop("trace_path") and first == second and first["verdict"] == verdict


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_another_frameworks_shape_names_the_expected_one(cli, home, adapter):
    ran = cli("mcp", "proxy", "--policy", POLICY, "--call", "-", "--adapter", adapter, "--json", stdin={"calls": []})
    assert ran.code == 6 and ran.value["error_code"] == "invalid_call"
    assert ran.value["error"].startswith("standard input: adapter ") and "; expected {" in ran.value["error"] and not home.exists()


def test_an_unknown_adapter(cli, home):
    ran = cli("mcp", "proxy", "--policy", POLICY, "--call", "-", "--adapter", "opnai", "--json", stdin={"name": "a"})
    assert (ran.code, ran.value["error_code"]) == (6, "unknown_adapter") and not home.exists()
    assert "must be one of mcp, openai" in ran.value["error"] and "(did you mean 'openai'?)" in ran.value["error"]


def test_adapter_names_with_hyphens(cli):
    call = calls("read_file", ALLOW)["claude_code"]
    assert cli("mcp", "proxy", "--policy", POLICY, "--call", "-", "--adapter", "claude-code", stdin=call).code == 0


def test_what_the_call_does_not_say(cli, policy):
    path = policy("default_verdict: block\nrules: [{name: r, effect: allow, match: {identities: [bob], workspace_prefixes: [/w], risk_classes: [low]}}]\n")
    argv = ("mcp", "proxy", "--policy", path, "--call", "-")
    options = ("--identity", "bob", "--workspace", "/w", "--risk-class", "LOW")
    assert cli(*argv, stdin={"name": "a"}).code == 3
    assert cli(*argv, *options, stdin={"name": "a"}).code == 0
    assert cli(*argv, *options, stdin={"name": "a", "context": {"identity": "eve"}}).code == 3
    ran = cli(*argv, "--risk-class", "hihg", "--json", stdin={"name": "a"})
    assert ran.code == 6 and "context.risk_class: must be one of low, medium, high, critical; got 'hihg'" in ran.value["error"]


def test_the_answer_carries_what_decided(cli):
    ran = cli("mcp", "proxy", "--policy", POLICY, "--call", QUICKSTART / "call_block.json", "--json", "--explain")
    assert list(ran.value) == [
        *("ok", "verdict", "tool_name", "reason_codes", "violations", "matched_rule", "required_approvals", "policy_digest"),
        *("intent_digest", "args_digest", "trace_id", "trace_path", "key_id", "warnings", "tried"),
    ]
    assert ran.value["tried"][-1]["matched"] is True and ran.value["warnings"][0].startswith("dev key: ")
    text = cli("mcp", "proxy", "--policy", POLICY, "--call", QUICKSTART / "call_block.json", "--explain").out
    assert "\nmatched  read-workspace (priority 10, allow)\n         endpoint_path_denied: asks for block\n" in text
