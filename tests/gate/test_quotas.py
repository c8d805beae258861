"""Windows, keys and amounts: what a call would use up."""

from __future__ import annotations

import os
import random
import struct
from decimal import ROUND_CEILING, Decimal, localcontext

import pytest

from gait.errors import InvalidInput
from gait.gate import intent as intents
from gait.gate import policy as policies
from gait.gate import quotas
from gait.gate.evaluate import evaluate
from gait.gate.matching import compile_policy
from gait.gate.quotas import UNITS, Quota, amount_of


ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))


def rule_of(name="pay", **members):
    return policies.read({"rules": [{"name": name, "effect": "allow", **members}]})


def rate_limit(policy, intent):
    return of_kind(policy, intent, "rate_limit_exceeded")[0]


def budget(policy, intent):
    return of_kind(policy, intent, "budget_exceeded")


def of_kind(policy, intent, code):
    needs = evaluate(compile_policy(policy), intent).needs
    found, problem = quotas.wanted(needs, policy.rules[0].name, intent) if needs else ([], "")
    return next((quota for quota in found if quota.code == code), None), problem


def intent_of(args=None, tool="bank.pay", **context):
    value = {"tool_name": tool, "args": args or {}, "targets": [], "context": {"identity": "ann", "workspace": "/w", "risk_class": "low", **context}}
    return intents.read({"schema_id": intents.SCHEMA_ID, "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", "producer_version": "t", **value})


@pytest.mark.parametrize(
    "window, now, start, end",
    [
        ("minute", 0.0, 0, 60),
        ("minute", 59.999999, 0, 60),
        ("minute", 60.0, 60, 120),
        ("hour", 1_796_000_399.9, 1_795_996_800, 1_796_000_400),
        ("hour", 1_796_000_400.0, 1_796_000_400, 1_796_004_000),
        ("day", 1_795_996_801.0, 1_795_996_800, 1_796_083_200),
        ("day", -1.0, -86400, 0),
    ],
)
def test_windows_are_fixed_and_begin_at_whole_minutes_hours_and_days(window, now, start, end):
    quota = rate_limit(rule_of(rate_limit={"requests": 3, "window": window}), intent_of())
    assert (quota.start(now), quota.end(now)) == (start, end)


def test_a_quota_without_a_window_has_one_for_ever():
    quota = Quota("token", 1, expires_at=77.0)
    assert (quota.start(0.0), quota.start(1e12), quota.end(5.0)) == (0, 0, 77.0)
    assert quota.allows(0) and not quota.allows(1)


SCOPES = {
    # scope: which of (same call, other session, other identity, other tool) share the count of ann's call
    "tool": (True, True, True, False),
    "identity": (True, True, False, True),
    "tool_identity": (True, True, False, False),
    "session": (True, False, False, True),
}


@pytest.mark.parametrize("scope", sorted(SCOPES))
@pytest.mark.parametrize("kind", ["rate_limit", "budget"])
def test_scopes(kind, scope):
    if kind == "rate_limit":
        rule = rule_of(rate_limit={"requests": 2, "window": "day", "scope": scope})
        key = lambda one: rate_limit(rule, one).key  # noqa: E731
    else:
        rule = rule_of(budget={"argument": "n", "limit": 2, "window": "day", "scope": scope})
        key = lambda one: budget(rule, one)[0].key  # noqa: E731
    args = {"n": 1}
    own = key(intent_of(args, session_id="s1"))
    others = (
        intent_of(args, session_id="s1"),
        intent_of(args, session_id="s2"),
        intent_of(args, session_id="s1", identity="bob"),
        intent_of(args, tool="bank.save", session_id="s1"),
    )
    assert tuple(key(other) == own for other in others) == SCOPES[scope]


def test_calls_without_a_session_share_one():
    rule = rule_of(rate_limit={"requests": 2, "scope": "session"})
    assert rate_limit(rule, intent_of({"a": 1})).key == rate_limit(rule, intent_of({"a": 2})).key


def test_names_that_could_run_into_each_other_do_not():
    rule = rule_of(rate_limit={"requests": 2, "scope": "tool_identity"})
    assert rate_limit(rule, intent_of(tool="a", identity="b.c")).key != rate_limit(rule, intent_of(tool="a.b", identity="c")).key


def test_the_same_name_counts_apart_as_rate_limit_and_as_budget_and_for_each_rule_and_window():
    keys = {
        rate_limit(rule_of(rate_limit={"requests": 2}), intent_of()).key,
        rate_limit(rule_of(rate_limit={"requests": 2, "window": "hour"}), intent_of()).key,
        rate_limit(rule_of("other", rate_limit={"requests": 2}), intent_of()).key,
        budget(rule_of(budget={"argument": "n", "limit": 2}), intent_of({"n": 1}))[0].key,
    }
    assert len(keys) == 4


def test_a_rule_without_limits_has_no_quotas():
    rule = rule_of()
    assert rate_limit(rule, intent_of()) is None
    assert budget(rule, intent_of()) == (None, "")


@pytest.mark.parametrize(
    "value, millionths",
    [
        (0, 0),
        (7, 7 * UNITS),
        (0.1, 100_000),
        (0.3, 300_000),
        (12.5, 12_500_000),
        (-0.0, 0),
        (1e-6, 1),
        (1e-7, 1),  # rounded up: what is written down as nothing must not be free
        (0.0000015, 2),
        (5e-324, 1),
        (1e21, 10**27),
        (1.5e300, 15 * 10**305),
        (123456.7890125, 123_456_789_013),
        (2**53 - 1, (2**53 - 1) * UNITS),
    ],
)
def test_amounts(value, millionths):
    assert amount_of({"amount": value}, "amount") == (millionths, "")
    assert amount_of({"pay": {"amount": value}}, "pay.amount") == (millionths, "")


@pytest.mark.parametrize(
    "args, problem",
    [
        ({}, "budget_amount_missing"),
        ({"Amount": 1}, "budget_amount_missing"),
        ({"pay": {"amount": 1}}, "budget_amount_missing"),
        ([], "budget_amount_missing"),
        ({"amount": None}, "budget_amount_invalid"),
        ({"amount": -1}, "budget_amount_invalid"),
        ({"amount": -0.5}, "budget_amount_invalid"),
        ({"amount": True}, "budget_amount_invalid"),
        ({"amount": "5"}, "budget_amount_invalid"),
        ({"amount": [5]}, "budget_amount_invalid"),
        ({"amount": {"$int": "99999999999999999999"}}, "budget_amount_invalid"),
        ({"amount": float("nan")}, "budget_amount_invalid"),
        ({"amount": float("inf")}, "budget_amount_invalid"),
        ({"amount": float("-inf")}, "budget_amount_invalid"),
    ],
)
def test_what_is_no_amount_says_why(args, problem):
    assert amount_of(args, "amount") == (0, problem)


def test_a_dotted_argument_is_never_a_member_with_a_dot_in_its_name():
    """A second, harmless amount beside the one that the tool reads must not be the one that counts."""
    assert amount_of({"pay.amount": 0, "pay": {"amount": 5}}, "pay.amount") == (5 * UNITS, "")
    assert amount_of({"pay.amount": 0}, "pay.amount")[1] == "budget_amount_missing"


def test_a_budget_allows_up_to_its_limit_and_no_millionth_more():
    rule = rule_of(budget={"argument": "n", "limit": 10, "window": "day"})
    quota, _ = budget(rule, intent_of({"n": 0.1}))
    assert quota.limit == 10 * UNITS and quota.amount == UNITS // 10
    assert quota.allows(99 * quota.amount) and not quota.allows(99 * quota.amount + 1)


def test_windows_cover_the_policys():
    assert tuple(quotas.WINDOW_SECONDS) == policies.WINDOWS


def test_the_proof_names_each_limit_that_does_not_fit_and_when_it_will():
    found = [Quota("a", 3, window_seconds=60), Quota("b", 10, amount=4, window_seconds=3600, code="budget_exceeded")]

    def told(used, quotas_=found, problem=""):
        return quotas.proof(quotas_, problem, lambda quota: dict(zip("ab", used))[quota.key], 3599.5)

    assert told((2, 6)) == ("allow", (), (), {})
    for used, codes, resets_at in (
        ((3, 6), ("rate_limit_exceeded",), "1970-01-01T01:00:00Z"),
        ((2, 7), ("budget_exceeded",), "1970-01-01T01:00:00Z"),
        ((3, 7), ("budget_exceeded", "rate_limit_exceeded"), "1970-01-01T01:00:00Z"),
    ):
        assert told(used) == ("block", codes, codes, {"resets_at": resets_at})
    assert told((3, 0), [found[0]])[3] == {"resets_at": "1970-01-01T01:00:00Z"}
    missing = ("budget_amount_missing",)
    assert told((2, 0), [found[0]], *missing) == ("block", missing, missing, {})
    both = ("budget_amount_missing", "rate_limit_exceeded")
    assert told((3, 0), [found[0]], *missing) == ("block", both, both, {})  # waiting alone would not help
    too_much = [found[1]._replace(amount=11)]
    assert quotas.proof(too_much, "", lambda quota: 0, 0.0) == ("block", ("budget_exceeded",), ("budget_exceeded",), {})


@pytest.mark.parametrize("limit", [0, -1, 9_000_000_000_001, 2**53 - 1, None])
def test_a_budget_that_could_not_be_counted_is_no_policy(limit):
    with pytest.raises(InvalidInput, match=r"budget.limit: must be"):
        rule_of(budget={"argument": "n", "limit": limit})
    assert rule_of(budget={"argument": "n", "limit": 9_000_000_000_000}).rules[0].budget.limit * UNITS < 2**63


def test_every_double_counts_as_what_is_written():
    """Held to decimal arithmetic on the text that JSON has for it."""
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        number = abs(rng.choice((rng.random(), rng.uniform(0, 1e6), round(rng.uniform(0, 1e4), rng.randint(0, 8)), struct.unpack("d", bytes(rng.randrange(256) for _ in range(8)))[0])))
        if number != number or number == float("inf"):
            continue
        with localcontext() as context:
            context.prec = 400
            exact = int(Decimal(repr(number)).scaleb(6).to_integral_value(ROUND_CEILING))
        assert amount_of({"n": number}, "n") == (exact, ""), repr(number)
