"""`gait policy test`: one call or a table of cases, compared to what its author expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

QUICKSTART = Path(__file__).resolve().parents[2] / "fixtures" / "quickstart"
POLICY = QUICKSTART / "policy.yaml"
INTENT = {"tool_name": "x", "context": {"identity": "a", "workspace": "/", "risk_class": "low"}}
READ = {"name": "read_file", "arguments": {"path": "/work/a"}}


def test_cases(cli, home):
    ran = cli("policy", "test", "--policy", POLICY, "--cases", QUICKSTART / "cases.jsonl")
    assert (ran.code, ran.out) == (0, "2 passed, 0 failed\n") and not home.exists()
    value = cli("policy", "test", "--policy", POLICY, "--cases", QUICKSTART / "cases.jsonl", "--json").value
    assert (value["ok"], value["cases"], value["failed"]) == (True, 2, 0) and value["results"][0]["differences"] == []


def expecting(**expect):
    return {"name": "case", "call": READ, "expect": expect}


@pytest.mark.parametrize(
    "expect,differences",
    [
        ({"verdict": "allow"}, []),
        ({"verdict": "ALLOW", "matched_rule": "read-workspace", "reason_codes": ["matched_rule_read_workspace"], "violations": []}, []),
        ({"verdict": "block"}, ["verdict: expected block, got allow"]),
        ({"verdict": "allow", "matched_rule": ""}, ["matched_rule: expected '', got 'read-workspace'"]),
        ({"verdict": "allow", "reason_codes": ["a", "b"]}, [f"reason_codes: expected {code}, got matched_rule_read_workspace" for code in "ab"]),
        ({"verdict": "dry_run", "violations": ["v"]}, ["verdict: expected dry_run, got allow", "violations: expected v, got none"]),
    ],
)
def test_what_a_case_expects(cli, expect, differences):
    ran = cli("policy", "test", "--policy", POLICY, "--cases", "-", "--json", stdin=expecting(**expect))
    assert ran.code == (5 if differences else 0) and ran.value["results"][0]["differences"] == differences
    text = cli("policy", "test", "--policy", POLICY, "--cases", "-", stdin=expecting(**expect)).out
    assert text.splitlines()[:-1] == (["failed  case", *(f"        {line}" for line in differences)] if differences else [])


def test_adapters_intents_and_names(cli):
    lines = [
        {"call": {"functionCall": {"name": "read_file", "args": {"path": "/work/a"}}}, "adapter": "gemini", "expect": {"verdict": "allow"}},
        {"intent": INTENT, "expect": {"verdict": "allow"}},
    ]
    text = "\n\n".join(map(json.dumps, lines)) + "\n"
    ran = cli("policy", "test", "--policy", POLICY, "--cases", "-", "--json", stdin=text)
    assert ran.code == 5 and [result["name"] for result in ran.value["results"]] == ["standard input:1", "standard input:3"]


MALFORMED = [
    ("", "standard input: expected a case a line, got none"),
    ("\n\n", "standard input: expected a case a line, got none"),
    ("{", "standard input:1:1:2: expected JSON"),
    ("[]", "standard input:1: document: must be an object"),
    ('{"call": {"name": "a"}}', "standard input:1: expect.verdict: "),
    ('{"call": {"name": "a"}, "expect": {"verdict": "alow"}}', "(did you mean 'allow'?)"),
    ('{"call": {"name": "a"}, "expect": {}}', "expect.verdict: must be text that is not empty"),
    ('{"call": {"name": "a"}, "expect": []}', "expect: must be an object"),
    ('{"expect": {"verdict": "allow"}}', "standard input:1: expected one of intent and call"),
    ('{"call": {}, "intent": {}, "expect": {"verdict": "allow"}}', "expected one of intent and call"),
    ('{"call": {}, "expect": {"verdict": "allow"}}', "standard input:1: adapter mcp: name: "),
    ('{"call": {"name": "a"}, "adapter": "mpc", "expect": {"verdict": "allow"}}', "(did you mean 'mcp'?)"),
    ('{"intent": {}, "expect": {"verdict": "allow"}}', "standard input:1: tool_name: "),
    ('{"call": {"name": "a"}, "expect": {"verdict": "allow", "reason": "x"}}', "expect.reason: unknown key 'reason'"),
    ('{"call": {"name": "a"}, "expect": {"verdict": "allow"}, "expected": 1}', "expected: unknown key 'expected'"),
    ('{"call": {"name": "a"}, "expect": {"verdict": "allow", "reason_codes": "x"}}', "expect.reason_codes: must be a list"),
    ('{"name": 1, "call": {"name": "a"}, "expect": {"verdict": "allow"}}', "standard input:1: name: must be text"),
]


@pytest.mark.parametrize("text,error", MALFORMED)
def test_malformed_cases(cli, text, error):
    ran = cli("policy", "test", "--policy", POLICY, "--cases", "-", "--json", stdin=text)
    assert ran.code == 6 and error in ran.value["error"] and ran.value["error"].startswith("standard input") and ran.value["hint"]
    good = json.dumps(expecting(verdict="allow"))
    if text.strip():
        ran = cli("policy", "test", "--policy", POLICY, "--cases", "-", "--json", stdin=f"{good}\n{text}\n")
        assert ran.code == 6 and ran.value["error"].startswith("standard input:2")


def test_one_call(cli):
    argv = ("policy", "test", "--policy", POLICY, "--call", QUICKSTART / "call_block.json")
    assert cli(*argv, "--expect", "block").out == "1 passed, 0 failed\n"
    assert cli(*argv, "--expect", "block", "--expect-reason", "endpoint_path_denied", "--expect-reason", "endpoint_path_not_allowlisted").code == 0
    ran = cli(*argv, "--expect", "block", "--expect-reason", "nix")
    assert ran.code == 5 and "reason_codes: expected nix, got endpoint_constraint_violation, " in ran.out
    assert cli("policy", "test", "--policy", POLICY, "--intent", "-", "--expect", "block", stdin=INTENT).code == 0


def test_what_would_not_be_looked_at_is_refused(cli):
    cases = ("policy", "test", "--policy", POLICY, "--cases", QUICKSTART / "cases.jsonl")
    call = QUICKSTART / "call_block.json"
    for more in (("--expect", "allow"), ("--call", call), ("--intent", call), ("--expect-reason", "nix")):
        ran = cli(*cases, *more, "--json")
        assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage") and more[0] in ran.value["error"]
    assert cli("policy", "test", "--policy", POLICY, "--call", call, "--expect-reason", "x").code == 6
    assert cli("policy", "test", "--policy", POLICY, "--cases", "").code == 6


def test_real_processes(process):
    argv = ("policy", "test", "--policy", POLICY, "--call", QUICKSTART / "call_block.json", "--expect")
    assert [process(*argv, verdict).code for verdict in ("block", "allow")] == [0, 5]
