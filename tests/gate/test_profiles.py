"""What the profile oss-prod asks of options and policies."""

from __future__ import annotations

import pytest

from gait.errors import UnsafeOperation
from gait.gate import policy as policies
from gait.gate import profiles
from gait.gate.profiles import Setup

GOOD = Setup("oss-prod", "prod", True, "command")


def rule(**members):
    return {"name": "r", "effect": "allow", "match": {"tool_names": ["x"]}, **members}


@pytest.mark.parametrize("broker", ["env", "command"])
def test_what_is_enough(broker):
    profiles.check_setup(GOOD._replace(broker=broker))
    low = rule(match={"risk_classes": ["low", "medium"]})
    block = rule(effect="block", match={})
    with_broker = rule(require_broker_credential=True, effect="require_approval")
    for rules in ([], [low], [block], [with_broker], [rule(effect="dry_run")]):
        profiles.check_policy("oss-prod", policies.read({"default_verdict": "block", "rules": rules}))


@pytest.mark.parametrize(
    "change, word",
    [
        ({"key_mode": "dev"}, "--key-mode prod"),
        ({"has_approval_key": False}, "--approval-key"),
        ({"broker": "off"}, "--credential-broker"),
        ({"broker": "stub"}, "--credential-broker"),
        ({"simulates": True}, "no --simulate"),
    ],
)
def test_options_that_are_not_enough(change, word):
    with pytest.raises(UnsafeOperation) as caught:
        profiles.check_setup(GOOD._replace(**change))
    assert word in caught.value.message and ";" not in caught.value.message and caught.value.error_code == "profile_not_met"
    profiles.check_setup(GOOD._replace(profile="standard", **change))


@pytest.mark.parametrize(
    "policy, words",
    [
        ({"default_verdict": "allow"}, ["default_verdict"]),
        ({"rules": [rule()]}, ["'r'"]),
        ({"rules": [rule(effect="require_approval", match={"risk_classes": ["low", "high"]})]}, ["'r'"]),
        ({"rules": [rule(match={"risk_classes": ["critical"]})]}, ["'r'"]),
        ({"default_verdict": "allow", "rules": [rule(), rule(name="s")]}, ["default_verdict", "'r'", "'s'"]),
    ],
)
def test_policies_that_are_not_enough_are_told_all_at_once(policy, words):
    found = policies.read(policy)
    profiles.check_policy("standard", found)
    with pytest.raises(UnsafeOperation) as caught:
        profiles.check_policy("oss-prod", found)
    assert caught.value.message.count(";") == len(words) - 1 and all(word in caught.value.message for word in words)


def test_everything_is_missing_at_once():
    assert len(profiles.setup_findings(Setup(simulates=True))) == 4
