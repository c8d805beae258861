"""The same 300 calls and more through `gait mcp proxy` and through the service: the same verdict, reasons, digests, codes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Iterator

import pytest

from gait.adapters import ADAPTERS
from gait.cli import main
from tests.service.running import ROOT, gait, verify

FIXTURES = ROOT / "fixtures"
COMPARED = (
    *("ok", "verdict", "tool_name", "reason_codes", "violations", "matched_rule", "required_approvals", "policy_digest"),
    *("intent_digest", "args_digest", "trace_id", "key_id"),
)
ERRORS = ("ok", "error_code", "error_category", "retryable")
TRUSTED = "identity,workspace,risk_class,auth_context,credential_scopes,environment_fingerprint"
POLICY = """\
default_verdict: require_approval
fail_closed: {enabled: true, risk_classes: [critical], required_fields: [targets, endpoint_class]}
rules:
  - {name: deny-secrets, priority: 1, effect: block, match: {target_kinds: [path], target_values: ["/etc/shadow"]}, reason_codes: [secret]}
  - name: read-work
    priority: 10
    effect: allow
    match: {endpoint_classes: [fs.read]}
    endpoint: {path_allowlist: ["/work/**", "/workspace/**", "a.txt"], path_denylist: ["**/.env"]}
  - {name: hosts, priority: 20, effect: allow, match: {endpoint_classes: [net.http]}, endpoint: {domain_allowlist: ["*.example.com"]}}
  - {name: rehearse, priority: 30, effect: dry_run, match: {endpoint_classes: [fs.write]}}
  - {name: shells, priority: 40, effect: block, match: {endpoint_classes: [proc.exec]}}
  - {name: tainted, priority: 50, effect: allow, match: {provenance_sources: [external]}, dataflow: {enabled: true}}
"""


def lines(path: Path) -> Iterator[dict]:
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


def calls() -> list[tuple[str, object]]:
    """(adapter, call): every shape of every adapter, valid and not; real tools' calls; the vectors' intents as flat calls."""
    found = [(case["adapter"], case["call"]) for case in lines(FIXTURES / "adapters" / "shapes.jsonl")]
    found += [("mcp", {"name": case["tool"], "arguments": case["args"]}) for case in lines(FIXTURES / "adapters" / "real_tools.jsonl") if case.get("args")]
    for case in lines(FIXTURES / "gate" / "vectors_200.jsonl"):
        intent = case["intent"]
        if type(intent) is dict:
            names = {"tool_name": "name", "args": "args", "targets": "targets", "arg_provenance": "arg_provenance", "context": "context"}
            found.append(("mcp", {new: intent[old] for old, new in names.items() if old in intent}))
    return found


CALLS = calls()


def test_there_are_enough_calls_of_every_adapter():
    assert len(CALLS) >= 300
    assert {adapter.replace("-", "_") for adapter, _ in CALLS} >= set(ADAPTERS)


def options(adapter: str, call: Path, policy: Path) -> list[str]:
    return ["mcp", "proxy", "--policy", str(policy), "--call", str(call), "--adapter", adapter, "--run-id", "r1", "--json"]


@pytest.mark.slow
def test_proxy_and_service_agree(serve, tmp_path, capsys):
    server = serve("--trust-context", TRUSTED, policy=POLICY)
    file = tmp_path / "call.json"
    seen: Counter = Counter()
    with server.client() as client:
        for number, (adapter, call) in enumerate(CALLS):
            file.write_text(json.dumps(call), "utf-8")
            argv = options(adapter, file, server.policy)
            if number % (len(CALLS) // 20) == 0:
                done = gait(*argv)
                code, one = done.returncode, json.loads(done.stdout)
            else:
                code, one = main(argv), json.loads(capsys.readouterr().out)
            answer = client.post({"adapter": adapter, "call": call, "run_id": "r1"})
            agree(code, one, answer, f"{adapter}: {json.dumps(call)[:300]}")
            seen[one.get("verdict", one.get("error_code"))] += 1
    assert {"allow", "block", "require_approval", "dry_run", "invalid_call", "unknown_adapter"} <= set(seen), seen
    assert server.stop() == 0
    assert verify(server.journal)["ok"]


def agree(code: int, one: dict, answer, told: str) -> None:
    many = answer.value
    if not one["ok"]:
        assert (answer.status, code) == (400, 6), told
        assert [many[name] for name in ERRORS] == [one[name] for name in ERRORS], told
        return
    assert (answer.status, many["exit_code"]) == (200, code), told
    # Of a call without a normal form, the digest is that of the bytes, and those differ: the service got more than the call.
    names = COMPARED if "fail_closed_intent_invalid" not in one["reason_codes"] else [name for name in COMPARED if name not in ("intent_digest", "trace_id")]
    assert {name: many.get(name) for name in names} == {name: one.get(name) for name in names}, told
    assert many.get("warnings", []) == [text for text in one.get("warnings", []) if not text.startswith("dev key")], told
