"""can_execute: a tool that it hides is blocked for every intent, and enough are hidden for that to mean something."""

from __future__ import annotations

import os
import random

import pytest

from gait.gate import intent, policy
from gait.gate.evaluate import evaluate
from gait.gate.matching import CompiledPolicy, compile_policy
from gait.gate.reach import can_execute

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "7"))
TOOLS = ("read", "Write", "git__Push", " drop ", "ÄB", "İx")
LISTS = {
    "tool_names": ("read", "WRITE", "git__push", "drop", "äb", "ix"),
    "risk_classes": intent.RISK_CLASSES,
    "target_kinds": ("path", "host", "url"),
    "identities": ("alice", "bob"),
    "workspace_prefixes": ("/ws", "/"),
    "endpoint_classes": ("fs.read", "fs.write", "net.http"),
    "target_values": ("/ws/a", "h.example"),
    "provenance_sources": ("user", "external"),
    "skill_trust": ("claimed", "verified"),
    "data_classes": ("pii",),
    "destination_operations": ("read", "write"),
}
TARGETS = (
    {"kind": "path", "value": "/ws/a", "operation": "read"},
    {"kind": "path", "value": "/etc/passwd", "operation": "write", "sensitivity": "pii"},
    {"kind": "host", "value": "h.example"},
    {"kind": "url", "value": "https://h.example/x", "operation": "delete"},
)
SKILL = {"skill_name": "s", "source": "git", "publisher": "acme"}


def compiled(*rules: dict, default: str = "block") -> CompiledPolicy:
    named = [{"name": f"r{index}", "priority": index, **rule} for index, rule in enumerate(rules)]
    return compile_policy(policy.read({"default_verdict": default, "rules": named}))


ONLY = {"tool_names": ["t"]}
ALL_RISKS = list(intent.RISK_CLASSES)


@pytest.mark.parametrize(
    ("rules", "default", "expected"),
    [
        ([], "block", False),
        ([], "dry_run", True),
        ([{"effect": "allow", "match": ONLY}], "block", True),
        ([{"effect": "allow", "match": {"tool_names": ["other"]}}], "block", False),
        ([{"effect": "dry_run", "match": ONLY}], "block", True),
        ([{"effect": "require_approval", "match": {**ONLY, "identities": ["x"]}}], "block", True),
        ([{"effect": "block", "match": ONLY}], "allow", False),
        ([{"effect": "block", "match": {**ONLY, "risk_classes": ["low"]}}], "allow", True),
        ([{"effect": "block", "match": {**ONLY, "risk_classes": ALL_RISKS}}], "allow", False),
        ([{"effect": "block"}, {"effect": "allow", "match": ONLY}], "allow", False),
        ([{"effect": "allow", "match": ONLY, "priority": -1}, {"effect": "block"}], "block", True),
        ([{"effect": "allow", "match": ONLY, "priority": 9}, {"effect": "block"}], "allow", False),
        # A block of more than the allow asks for comes first, so the allow never answers.
        ([{"effect": "block", "match": {"target_kinds": ["path", "url"]}}, {"effect": "allow", "match": {**ONLY, "target_kinds": ["path"], "identities": ["x"]}}], "block", False),
        ([{"effect": "block", "match": {"target_kinds": ["path"]}}, {"effect": "allow", "match": {**ONLY, "target_kinds": ["path", "url"]}}], "block", True),
        ([{"effect": "block", "match": {"target_kinds": ["path"]}}, {"effect": "allow", "match": {**ONLY, "destination_kinds": ["path"]}}], "block", True),
        # What is a block today only for want of a counter or a broker is possible.
        ([{"effect": "allow", "match": ONLY, "rate_limit": {"requests": 1}}], "block", True),
        ([{"effect": "allow", "match": ONLY, "require_broker_credential": True}], "block", True),
        ([{"effect": "allow", "match": ONLY, "endpoint": {"path_allowlist": ["/x"]}}], "block", True),
    ],
)
def test_table(rules: list[dict], default: str, expected: bool):
    assert can_execute(compiled(*rules, default=default), "t") is expected


def test_names_are_taken_as_an_intent_takes_them():
    rules = compiled({"effect": "allow", "match": {"tool_names": ["Git__Push"]}})
    assert can_execute(rules, "  gIT__pUSH\t") and not can_execute(rules, "git_push")


def any_rule(source: random.Random, index: int) -> dict:
    lists = source.sample(list(LISTS), source.randrange(4))
    match = {name: source.sample(LISTS[name], source.randrange(1, len(LISTS[name]) + 1)) for name in lists}
    rule = {"name": f"r{index}", "priority": source.randrange(4), "effect": source.choice(("allow", "block", "block", "dry_run", "require_approval"))}
    if source.random() < 0.1:
        rule["endpoint"] = {"path_denylist": ["/etc/**"]}
    return {**rule, "match": match}


def any_policy(source: random.Random) -> dict:
    rules = [any_rule(source, index) for index in range(source.randrange(7))]
    document = {"default_verdict": source.choice(("block", "block", "allow", "require_approval")), "rules": rules}
    return {**document, "fail_closed": {"enabled": True}} if source.random() < 0.2 else document


def any_intent(source: random.Random, tool: str) -> intent.IntentRequest:
    context = {"identity": source.choice(("alice", "bob", "eve")), "workspace": source.choice(("/ws", "/other")), "risk_class": source.choice(intent.RISK_CLASSES)}
    document = {"tool_name": tool, "targets": source.sample(TARGETS, source.randrange(3)), "context": context}
    if source.random() < 0.5:
        document["arg_provenance"] = [{"arg_path": "x", "source": source.choice(("user", "external"))}]
    return intent.read({**document, "skill_provenance": SKILL} if source.random() < 0.3 else document)


def test_a_hidden_tool_is_never_answered_anything_but_block():
    source = random.Random(SEED)
    hidden = shadowed = 0
    for _ in range(ROUNDS // 3):
        document = any_policy(source)
        rules, tool = compile_policy(policy.read(document)), source.choice(TOOLS)
        if can_execute(rules, tool):
            continue
        hidden += 1
        shadowed += any(rule.rule.effect != "block" for rule in rules.candidates(intent.read({"tool_name": tool, "context": {"identity": "a", "workspace": "/", "risk_class": "low"}}).tool_name))
        for _ in range(30):
            one = any_intent(source, tool)
            assert evaluate(rules, one).verdict == "block", (SEED, document, one)
    assert ROUNDS / 20 < hidden < ROUNDS / 4 and shadowed > ROUNDS / 100, (SEED, hidden, shadowed)


def test_most_tools_that_are_always_blocked_are_hidden():
    """Of policies with rules by tool name alone, exactly those tools are hidden that are always blocked."""
    source = random.Random(SEED)
    for _ in range(ROUNDS // 10):
        rules = [{**any_rule(source, index), "match": {"tool_names": source.sample(LISTS["tool_names"], 2)}} for index in range(4)]
        chosen = compile_policy(policy.read({"default_verdict": source.choice(("block", "allow")), "rules": rules}))
        tool = source.choice(TOOLS)
        always = evaluate(chosen, any_intent(source, tool)._replace(targets=())).verdict == "block"
        assert can_execute(chosen, tool) is not always, (SEED, rules, tool)
