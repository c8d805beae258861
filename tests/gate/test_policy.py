"""Policy: reading, normal form, digest.  What is refused is in fixtures/gate/adversarial.jsonl too."""

from __future__ import annotations

import json
import os
import random
from time import perf_counter

import pytest

from gait.errors import InvalidInput
from gait.gate import policy

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "4"))
RULE = {"name": "r", "effect": "allow"}
FULL = {
    "schema_id": "gait.gate.policy",
    "schema_version": "1.0.0",
    "default_verdict": " Block ",
    "fail_closed": {"enabled": True, "required_fields": ["targets"]},
    "rules": [
        {
            "name": " z ",
            "priority": 2,
            "effect": "REQUIRE_APPROVAL",
            "match": {
                "tool_names": [" B ", "a", "b"],
                "risk_classes": ["HIGH"],
                "target_kinds": ["path"],
                "target_values": ["/X"],
                "endpoint_classes": ["fs.read"],
                "skill_publishers": ["Acme"],
                "skill_sources": ["GIT"],
                "data_classes": ["PII"],
                "destination_kinds": ["host"],
                "destination_values": ["H"],
                "destination_operations": ["POST"],
                "provenance_sources": ["external"],
                "identities": ["Alice"],
                "workspace_prefixes": ["/WS"],
                "skill_trust": ["claimed"],
            },
            "endpoint": {
                "path_allowlist": ["/tmp/**"],
                "path_denylist": ["/ETC/**"],
                "domain_allowlist": ["*.Example.com"],
                "domain_denylist": ["EVIL.example"],
                "egress_classes": ["net.http"],
                "action": "require_approval",
                "destructive_action": "block",
                "reason_code": " x ",
                "violation": "y",
            },
            "dataflow": {"destination_kinds": ["url"], "destination_values": ["u"], "destination_operations": ["PUT"], "action": "block"},
            "reason_codes": ["b", " a ", "b", ""],
            "violations": ["v"],
            "min_approvals": 2,
            "require_broker_credential": True,
            "broker_reference": "ref",
            "broker_scopes": ["Write"],
            "rate_limit": {"requests": 3, "window": "day", "scope": "session"},
            "budget": {"argument": "usd", "limit": 5, "window": "hour", "scope": "tool"},
        },
        {"name": "a", "priority": 2, "effect": "block", "match": {}},
        {"name": "b", "priority": -1, "effect": "dry_run"},
    ],
}


def test_the_normal_form():
    found = policy.read(FULL)
    assert found.default_verdict == "block"
    assert found.fail_closed == policy.FailClosed(True, ("critical", "high"), ("targets",))
    assert [rule.name for rule in found.rules] == ["b", "a", "z"]
    rule = found.rules[2]
    assert rule.effect == "require_approval" and rule.reason_codes == ("a", "b") and rule.require_distinct_approvers
    assert rule.match.tool_names == ("a", "b") and rule.match.skill_publishers == ("acme",) and rule.match.data_classes == ("pii",)
    assert rule.match.identities == ("Alice",) and rule.match.destination_operations == ("post",)
    assert rule.endpoint.path_denylist == ("/ETC/**",) and rule.endpoint.domain_allowlist == ("*.example.com",)
    assert (rule.endpoint.reason_code, rule.endpoint.violation) == ("x", "y")
    assert rule.dataflow.tainted_sources == ("external", "tool_output") and rule.dataflow.reason_code == "dataflow_tainted_destination"
    assert rule.rate_limit == policy.RateLimit(3, "day", "session") and rule.budget == policy.Budget("usd", 5, "hour", "tool")
    assert found.rules[0].endpoint is None and found.rules[0].dataflow is None and found.rules[0].rate_limit is None


def test_reading_it_again_changes_nothing():
    found = policy.read(FULL)
    again = policy.loads(json.dumps(found.to_value()))
    assert again == found and again.digest == found.digest
    assert policy.read({}).to_value() == {"schema_id": policy.SCHEMA_ID, "schema_version": "1.0.0", "default_verdict": "require_approval", "rules": []}
    closed = policy.read({"fail_closed": {"risk_classes": ["low"]}})
    assert policy.read(closed.to_value()) == closed


def test_the_order_of_the_document_does_not_matter():
    source = random.Random(SEED)
    rules = [{**RULE, "name": f"r{index}", "priority": index % 3} for index in range(9)]
    digests = {policy.read({"rules": source.sample(rules, 9)}).digest for _ in range(20)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "s"},
        {"priority": 1},
        {"effect": "block"},
        {"match": {"tool_names": ["x"]}},
        {"match": {"skill_trust": ["verified"]}},
        {"endpoint": {"enabled": True}},
        {"endpoint": {"destructive_action": "block"}},
        {"dataflow": {"enabled": True}},
        {"reason_codes": ["x"]},
        {"violations": ["x"]},
        {"min_approvals": 1},
        {"require_distinct_approvers": True},
        {"require_broker_credential": True},
        {"broker_reference": "x"},
        {"broker_scopes": ["x"]},
        {"rate_limit": {"requests": 1}},
        {"budget": {"argument": "x", "limit": 1}},
    ],
)
def test_the_digest_covers_every_member(change: dict):
    assert policy.read({"rules": [{**RULE, **change}]}).digest != policy.read({"rules": [RULE]}).digest


def test_what_is_empty_is_absent():
    empty = {"endpoint": {"path_allowlist": []}, "dataflow": {}, "rate_limit": {"requests": 0}, "budget": None, "match": None, "min_approvals": 0}
    assert policy.read({"rules": [{**RULE, **empty}]}).digest == policy.read({"rules": [RULE]}).digest
    assert policy.read({"rules": None, "fail_closed": None, "default_verdict": ""}) == policy.read({})


def test_errors_name_line_and_column():
    text = "default_verdict: block\nrules:\n  - name: r\n    efect: block\n    effect: allow\n"
    with pytest.raises(InvalidInput) as caught:
        policy.loads(text, "policy.yaml")
    assert str(caught.value) == "policy.yaml:4:5: rules[0].efect: unknown key 'efect' (did you mean 'effect'?)"
    assert caught.value.error_code == "invalid_policy" and "known keys" in caught.value.hint
    with pytest.raises(InvalidInput) as caught:
        policy.loads(b'{"rules": [{"name": "r", "effect": "allow",\n "match": {"risk_classes": ["low", "hihg"]}}]}', "p.json")
    assert str(caught.value).startswith("p.json:2:36: rules[0].match.risk_classes[1]: must be one of")
    with pytest.raises(InvalidInput, match="path_denylist: expected a closed set"):
        policy.loads("rules:\n- {name: r, effect: block, endpoint: {path_denylist: ['/[a']}}\n")


def test_yaml_and_json_are_one_policy():
    text = "default_verdict: block\nrules:\n- name: r\n  effect: allow\n  match: {tool_names: [x]}\n"
    assert policy.loads(text) == policy.read({"default_verdict": "block", "rules": [{**RULE, "match": {"tool_names": ["x"]}}]})


def test_a_policy_over_4_mib_is_refused():
    with pytest.raises(InvalidInput, match="at most 4194304 bytes"):
        policy.loads(b"# " + b"x" * policy.MAX_BYTES)


def test_many_rules_are_read_in_time():
    rules = [{**RULE, "name": f"r{index}", "endpoint": {"path_denylist": ["/A[b-c]/**"], "domain_allowlist": ["*.example.com"]}} for index in range(3_000)]
    started = perf_counter()
    policy.read({"rules": rules})
    assert perf_counter() - started < 3


VALUES = (None, True, 0, -1, 2**60, 1.5, "", "x", "allow", "block", [], {}, [""], ["x"], [1], ["low"], ["/[a"], {"enabled": True}, {"x": 1}, ["é", "É"])


def changed(source: random.Random, value: object) -> object:
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(list(value))
        if source.randrange(8) == 0:
            return {**value, source.choice(("x", key.upper(), key + " ")): source.choice(VALUES)}
        if source.randrange(8) == 0:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: changed(source, value[key])}
    if isinstance(value, list) and value and source.random() < 0.9:
        at = source.randrange(len(value))
        return [*value[:at], changed(source, value[at]), *value[at + 1 :]]
    return source.choice(VALUES)


def test_any_document_gives_a_policy_or_invalid_input():
    source = random.Random(SEED)
    read = 0
    for _ in range(ROUNDS):
        value = changed(source, FULL)
        try:
            found = policy.read(value)
        except InvalidInput as error:
            assert str(error), (SEED, value)
            continue
        read += 1
        assert policy.read(json.loads(json.dumps(found.to_value()))) == found, (SEED, value)
    assert ROUNDS / 20 < read < ROUNDS, (SEED, read)
