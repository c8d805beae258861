"""Matching: each list, the order of rules, and the index against trying every rule."""

from __future__ import annotations

import os
import random
from time import perf_counter

import pytest

from gait.gate import intent, policy
from gait.gate.evaluate import first_match
from gait.gate.matching import CompiledRule, compile_policy

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "9"))
DOCUMENT = {
    "tool_name": "tool",
    "targets": [{"kind": "path", "value": "/ws/a", "operation": "read", "sensitivity": "PII"}, {"kind": "host", "value": "h.example"}],
    "arg_provenance": [{"arg_path": "x", "source": "external"}],
    "skill_provenance": {"skill_name": "s", "source": "git", "publisher": "ACME"},
    "context": {"identity": "alice", "workspace": "/ws/", "risk_class": "low"},
}
REQUEST = intent.read(DOCUMENT)
BARE = intent.read({"tool_name": "tool", "context": {"identity": "bob", "workspace": "ws", "risk_class": "high"}})


def matches(match: dict, request: intent.IntentRequest) -> bool:
    compiled = compile_policy(policy.read({"rules": [{"name": "r", "effect": "allow", "match": match}]}))
    return first_match(compiled, request) is not None


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"tool_names": ["x", "TOOL"]}, True),
        ({"tool_names": ["too", "tool2"]}, False),
        ({"risk_classes": ["low"]}, True),
        ({"risk_classes": ["high"]}, False),
        ({"identities": ["alice"]}, True),
        ({"identities": ["Alice", "ali"]}, False),
        ({"target_kinds": ["table", "host"]}, True),
        ({"target_kinds": ["table"]}, False),
        ({"target_values": ["/ws/./a"]}, True),
        ({"target_values": ["a"]}, True),
        ({"target_values": ["H.Example."]}, True),
        ({"target_values": ["/ws"]}, False),
        ({"endpoint_classes": ["net.http"]}, True),
        ({"endpoint_classes": ["fs.write"]}, False),
        ({"data_classes": ["pii"]}, True),
        ({"data_classes": ["phi"]}, False),
        ({"destination_kinds": ["path"]}, True),
        ({"destination_kinds": ["url"]}, False),
        ({"destination_values": ["h.example"]}, True),
        ({"destination_values": ["example"]}, False),
        ({"destination_operations": ["READ"]}, True),
        ({"destination_operations": ["write"]}, False),
        ({"provenance_sources": ["external"]}, True),
        ({"provenance_sources": ["user"]}, False),
        ({"skill_publishers": ["Acme"]}, True),
        ({"skill_publishers": ["ac"]}, False),
        ({"skill_sources": ["GIT"]}, True),
        ({"skill_sources": ["registry"]}, False),
        ({"skill_trust": ["claimed"]}, True),
        ({"skill_trust": ["verified"]}, False),
        ({"workspace_prefixes": ["/ws/"]}, True),
        ({"workspace_prefixes": ["\\w"]}, True),
        ({"workspace_prefixes": ["ws", "/ws/a"]}, False),
        ({"risk_classes": ["low"], "identities": ["bob"]}, False),
        ({"destination_kinds": ["host"], "destination_operations": ["read"]}, True),
    ],
)
def test_each_list(match: dict, hit: bool):
    assert matches(match, REQUEST) is hit


@pytest.mark.parametrize("name", [name for name in policy.Match._fields if name not in ("tool_names", "risk_classes", "identities", "workspace_prefixes")])
def test_a_call_that_has_nothing_is_in_no_list(name: str):
    words = {"endpoint_classes": "other", "provenance_sources": "user", "skill_trust": "claimed", "target_kinds": "path", "destination_kinds": "path"}
    assert not matches({name: [words.get(name, "x")]}, BARE)


def test_a_rule_without_match_matches_everything():
    assert matches({}, REQUEST) and matches({}, BARE)


def test_workspace_forms():
    for workspace, prefix, hit in (("/ws/../etc", "/ws", False), ("/", "/", True), ("/ws", "/ws/", False), ("/ws//", "/ws/", True), ("C:\\w", "C:/w", True), (".", ".", True)):
        context = {"identity": "a", "workspace": workspace, "risk_class": "low"}
        assert matches({"workspace_prefixes": [prefix]}, intent.read({"tool_name": "t", "context": context})) is hit, workspace


def test_reason_codes_are_made_of_the_name():
    rules = [{"name": "Règle ΑΣ one-two", "effect": "allow"}, {"name": "z", "effect": "allow", "reason_codes": ["own"]}]
    compiled = compile_policy(policy.read({"rules": rules}))
    assert [rule.reason_codes for rule in compiled.rules] == [("matched_rule_règle_ασ_one_two",), ("own",)]


MATCHES = (
    {},
    {"tool_names": ["a"]},
    {"tool_names": ["a", "b"]},
    {"tool_names": ["c"], "risk_classes": ["low"]},
    {"risk_classes": ["high"]},
    {"target_kinds": ["path"]},
    {"identities": ["alice"], "tool_names": ["b"]},
)


def linear(rules: tuple[CompiledRule, ...], request: intent.IntentRequest) -> CompiledRule | None:
    """Every rule in order, without the index."""
    for rule in rules:
        names = rule.rule.match.tool_names
        if (not names or request.tool_name in names) and all(check.holds(request, check.wanted) for check in rule.checks):
            return rule
    return None


def test_the_index_equals_trying_every_rule():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 5):
        rules = [{"name": f"r{source.randrange(9)}", "priority": source.randrange(-2, 3), "effect": "allow", "match": source.choice(MATCHES)} for _ in range(source.randrange(8))]
        compiled = compile_policy(policy.read({"rules": rules}))
        for tool in ("a", "b", "c", "d", "a"):
            context = {"identity": source.choice(("alice", "bob")), "workspace": "/ws", "risk_class": source.choice(("low", "high"))}
            targets = [{"kind": "path", "value": "/x"}] if source.random() < 0.5 else []
            request = intent.read({"tool_name": tool, "targets": targets, "context": context})
            assert first_match(compiled, request) is linear(compiled.rules, request), (SEED, rules, tool)


def test_only_tools_that_rules_name_are_remembered():
    compiled = compile_policy(policy.read({"rules": [{"name": "r", "effect": "allow", "match": {"tool_names": ["a"]}}]}))
    for tool in ("a", "b", "c" * 1000):
        compiled.candidates(tool)
    assert list(compiled.merged) == ["a"]


def test_ten_thousand_rules_are_compiled_in_time():
    rules = [{"name": f"r{index}", "effect": "allow", "match": {"tool_names": [f"t{index}"], "target_values": ["/x"]}} for index in range(10_000)]
    document = policy.read({"rules": rules})
    started = perf_counter()
    compile_policy(document)
    assert perf_counter() - started < 3
