"""What each host is told for each verdict: only `allow` lets the tool run, and no refusal is without a reason."""

from __future__ import annotations

import json

import pytest

from gait.hosts.hook import HOSTS, answer, reason

CLAUDE = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {}}
COPILOT = {"toolName": "bash", "toolArgs": "{}"}
EVENTS = {
    **{"claude-code": [CLAUDE], "codex": [CLAUDE], "gemini": [{**CLAUDE, "hook_event_name": "BeforeTool"}], "copilot": [COPILOT, CLAUDE]},
    **{"openclaw": [{"toolName": "exec", "params": {}}], "gastown": [CLAUDE, COPILOT]},
}
CASES = [(host, event) for host, events in EVENTS.items() for event in events]


def decision(verdict: str, **more: object) -> dict:
    return {"verdict": verdict, "reason_codes": ["matched_rule_x"], "violations": [], "matched_rule": "x", "trace_id": "ab", **more}


def word(host: str, text: str) -> tuple[str, str]:
    """(decision, reason) of an answer, in the host's own words."""
    value = json.loads(text)
    if host == "openclaw":
        return "deny" if value["block"] else "", value.get("blockReason", "")
    if host == "gemini":
        return value["decision"], value["reason"]
    inner = value.get("hookSpecificOutput", value)
    assert inner is value or inner["hookEventName"] == "PreToolUse"
    return inner["permissionDecision"], inner["permissionDecisionReason"]


def test_every_host_has_a_case():
    assert set(EVENTS) == set(HOSTS)


@pytest.mark.parametrize("host,event", CASES)
@pytest.mark.parametrize("verdict", ["block", "dry_run", "require_approval", "", "ALLOW", "allowed", None, 0, ["allow"]])
def test_everything_but_allow_is_refused_with_a_reason(host, event, verdict):
    said, why = word(host, answer(HOSTS[host], event, decision(verdict, required_approvals=1), approve=True))
    assert said == ("ask" if (host, verdict) == ("claude-code", "require_approval") else "deny")
    assert why.strip() and "matched_rule_x" in why and "trace ab" in why


@pytest.mark.parametrize("host,event", CASES)
def test_allow_says_nothing(host, event):
    text = answer(HOSTS[host], event, decision("allow"))
    assert text == ("" if host != "openclaw" else '{"block": false}')


@pytest.mark.parametrize("host,event", CASES)
def test_only_claude_code_takes_an_approval(host, event):
    text = answer(HOSTS[host], event, decision("allow"), approve=True)
    if host == "claude-code":
        assert word(host, text)[0] == "allow"
    else:
        assert text == answer(HOSTS[host], event, decision("allow"))


def test_a_copilot_event_gets_the_flat_answer():
    assert "permissionDecision" in json.loads(answer(HOSTS["gastown"], COPILOT, decision("block")))
    for event in (CLAUDE, {**COPILOT, "hook_event_name": "PreToolUse"}, {"toolName": None}, [], None):
        assert "hookSpecificOutput" in json.loads(answer(HOSTS["gastown"], event, decision("block")))


def test_a_reason_is_short_and_says_what_to_do():
    assert "approvals needed: 2" in reason(decision("require_approval", required_approvals=2))
    assert '"deny"' in answer(HOSTS["claude-code"], {}, decision("require_approval", required_approvals=2))
    assert "simulates" in reason(decision("dry_run")) and "tell the operator" in reason(decision("block"))
    assert len(reason(decision("block", violations=["x" * 90] * 500))) < 1200
    assert reason({"verdict": "block"}).strip()
    assert answer(HOSTS["codex"], CLAUDE, decision("block", matched_rule="\x1b[2J\u202e")).isascii()
