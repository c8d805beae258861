"""What is kept of an intent by reference: no secrets of commands and URLs, and the same answers."""

from __future__ import annotations

import json
import os
import random

import pytest

from gait.gate import intent, matching, policy
from gait.gate.evaluate import evaluate
from gait.gate.reference import reference

CONTEXT = {"identity": "a", "workspace": "/work", "risk_class": "high", "auth_context": {"token": "SECRET"}}
POLICY = {
    "default_verdict": "allow",
    "rules": [
        {
            **{"name": "all", "priority": 1, "effect": "allow"},
            "endpoint": {
                **{"path_allowlist": ["/work/**"], "path_denylist": ["**/.env"], "domain_allowlist": ["*.good.example", "good.example"]},
                **{"destructive_action": "require_approval"},
            },
        }
    ],
}
COMPILED = matching.compile_policy(policy.read(POLICY))


def document(*targets) -> dict:
    return {"tool_name": "t", "args": {"a": "SECRET"}, "targets": list(targets), "context": CONTEXT}


def kept(*targets):
    return reference(intent.read(document(*targets)).to_value())


def test_a_command_leaves_its_digest():
    found = kept({"kind": "other", "value": "curl -H 'Authorization: SECRET' x", "operation": "exec"})
    assert "SECRET" not in json.dumps(found) and found["targets"][0]["value"].startswith("sha256:")
    assert found["targets"][0]["endpoint_class"] == "proc.exec" and reference(found) == found


def test_a_url_leaves_its_place():
    found = kept({"kind": "url", "value": "https://me:SECRET@good.example:8443/a/b?token=SECRET#SECRET"})
    assert found["targets"][0]["value"] == "https://good.example:8443/a/b"
    assert kept({"kind": "url", "value": "https://good.example/a"})["targets"][0]["value"] == "https://good.example/a"


@pytest.mark.parametrize("url", ["https://good.example?@evil.example/", "https://evil.example\\@good.example/?a", "good.example/a?b=SECRET", "mailto:a@b"])
def test_a_url_that_would_become_another_is_not_kept(url):
    assert kept({"kind": "url", "value": url}) is None


ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))


def test_the_rules_answer_the_same_to_what_is_kept():
    chance = random.Random(7)
    pieces = ["https://", "http:/", "good.example", "evil.example", "@", "?", "#", "/", "\\", ":", "a", "%40", "file://", "..", "127.0.0.1", "user", "[::1]"]
    compared = 0
    for _ in range(ROUNDS):
        url = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 8)))
        kind = chance.choice(["url", "url", "other", "path", "host"])
        asked = intent.read(document({"kind": kind, "value": url, "operation": chance.choice(["read", "exec", "write"])}))
        found = reference(asked.to_value())
        if found is not None:
            compared += 1
            again = evaluate(COMPILED, intent.read(found))
            before = evaluate(COMPILED, asked)
            assert again[:4] == before[:4], (kind, url)
    assert compared > ROUNDS // 3
