"""What an attacker would write: every case of fixtures/gate/adversarial.jsonl is decided as it says.

A case has a policy (an object, or text) and an intent, its raw text, or only targets; `expect` is
a verdict with some of its reason codes, or a part of the error's message.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from gait.errors import InvalidInput
from gait.formats import strict_json
from gait.gate import intent, policy
from gait.gate.decision import Decision
from gait.gate.evaluate import evaluate, invalid_intent
from gait.gate.matching import compile_policy

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "fixtures/gate/adversarial.jsonl").read_text(encoding="utf-8").splitlines()
]


def document(case: dict) -> object:
    """The case's intent, not yet normalised."""
    if "intent_text" in case:
        return strict_json.loads(case["intent_text"].encode("utf-8"), "intent")
    if "intent" in case:
        return case["intent"]
    context = {"identity": "agent", "workspace": case.get("workspace", "/ws"), "risk_class": "low"}
    return {"tool_name": "tool", "args": {}, "targets": case["targets"], "context": context}


def decide(case: dict) -> Decision:
    """The case's decision, or InvalidInput."""
    text = case["policy"] if isinstance(case["policy"], str) else json.dumps(case["policy"])
    compiled = compile_policy(policy.loads(text.encode("utf-8")))
    value = document(case)
    try:
        return evaluate(compiled, intent.read(value))
    except InvalidInput:
        blocked = invalid_intent(compiled, value, hashlib.sha256(b"").hexdigest())
        if blocked is None:
            raise
        return blocked


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: dict):
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(InvalidInput) as caught:
            decide(case)
        assert caught.value.exit_code == 6
        assert expect["error"] in str(caught.value), str(caught.value)
        return
    decision = decide(case)
    assert decision.verdict == expect["verdict"], (case["why"], decision)
    assert set(expect.get("reason_codes", ())) <= set(decision.reason_codes), (case["why"], decision)


def test_the_cases_are_told_apart():
    assert len(CASES) >= 140
    assert Counter(case["name"] for case in CASES).most_common(1)[0][1] == 1
    assert all(case["why"] and set(case["expect"]) <= {"verdict", "reason_codes", "error"} for case in CASES)
