"""Whole decisions by many processes at once: what a rule allows so often is allowed exactly so often, and recorded.  And those that take time."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gait.gate import matching, policy
from gait.gate.credential import Issued
from gait.signing.keys import Keyring, make
from gait.store import stops
from gait.store.allowances import Allowances
from gait.store.broker import Broker

from tests.gate.test_stops import intent_of, stop

ROOT = Path(__file__).resolve().parents[2]
CALL = '{"name": "pay", "arguments": {"amount": 1}}'
# Decides one call after the other as every command and service does; says each allow once its record is signed.
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from gait import judge
from gait.gate import policy
from gait.gate.matching import compile_policy
from gait.signing.keys import Keyring, make
from gait.store.allowances import Allowances
key = make(bytes(range(32)))
compiled = compile_policy(policy.read({"default_verdict": "block", "rules": [{"name": "pay", "effect": "allow", sys.argv[3]: eval(sys.argv[4])}]}))
outside = Allowances(sys.argv[2], lambda: Keyring("trace", key))
call = judge.read(sys.argv[5].encode(), "call", "mcp")
print("ready", flush=True)
sys.stdin.read(1)
reasons = set()
for _ in range(int(sys.argv[6])):
    judged = judge.judge(compiled, call, judge.signer(key), outside)
    if judged.decision.verdict == "allow":
        print("allow", flush=True)
    reasons.update(judged.decision.reason_codes)
print(*sorted(reasons), flush=True)
"""
LIMITS = {
    "rate_limit": lambda most: {"requests": most, "window": "day", "scope": "tool"},
    "budget": lambda most: {"argument": "amount", "limit": most, "window": "day", "scope": "tool"},
}


def start(home, count, kind, most, requests):
    words = [sys.executable, "-I", "-c", CHILD, str(ROOT), str(home), kind, repr(LIMITS[kind](most)), CALL, str(requests)]
    children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("x")
        child.stdin.close()
    return children


def race(home, count, kind, most, requests):
    """How many were allowed, and every reason that was given."""
    children = start(home, count, kind, most, requests)
    said = [child.stdout.read().split() for child in children]
    assert [child.wait() for child in children] == [0] * count
    return sum(words.count("allow") for words in said), {word for words in said for word in words} - {"allow"}


@pytest.fixture(autouse=True)
def before_midnight(monkeypatch):
    """The window must not end in the middle."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")


@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_four_processes(tmp_path, kind):
    allowed, reasons = race(tmp_path, 4, kind, 100, 60)
    assert allowed == 100
    assert reasons == {"matched_rule_pay", "rate_limit_exceeded" if kind == "rate_limit" else "budget_exceeded"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(LIMITS))
def test_eight_processes_with_2000_requests_each_against_a_limit_of_1000(tmp_path, kind):
    assert race(tmp_path, 8, kind, 1000, 2000)[0] == 1000


@pytest.mark.parametrize("rounds", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_kill_9_in_the_middle_never_lets_one_more_through(tmp_path, rounds):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng, most, allowed, killed = random.Random(seed), 500 * rounds, 0, 0
    for _ in range(rounds):
        children = start(tmp_path, 3, "rate_limit", most, 100_000)
        time.sleep(rng.uniform(0.0, 0.15))
        for child in children:
            child.send_signal(signal.SIGKILL)
        killed += len(children)
        for child in children:
            allowed += child.stdout.read().split().count("allow")
            child.wait()
    assert allowed <= most
    rest, _ = race(tmp_path, 2, "rate_limit", most, most)
    assert most - killed <= allowed + rest <= most  # who is killed loses at most the one that it had counted and not yet told


def test_who_starts_afterwards_misses_the_folder_of_stops_too(tmp_path):
    home, ring = str(tmp_path / "home"), Keyring("trace", make(bytes(range(32))))
    compiled = matching.compile_policy(policy.read({"default_verdict": "allow"}))
    stops.stop(home, ring, stop("tool", "bank.pay"))
    shutil.rmtree(stops.path(home).rpartition("/")[0])
    assert Allowances(home, lambda: ring).decide(compiled, intent_of(), ()).reason_codes == ("stop_state_invalid", "stopped")
    assert Allowances(str(tmp_path / "other"), lambda: ring).decide(compiled, intent_of(), ()).verdict == "allow"  # the control


@pytest.mark.parametrize(("tool", "verdict"), [("bank.pay", "block"), ("other", "allow")])  # the second is the control
def test_a_stop_that_comes_while_the_broker_is_asked_holds(tmp_path, monkeypatch, tool, verdict):
    home, ring = str(tmp_path / "home"), Keyring("trace", make(bytes(range(32))))
    rule = {"name": "pay", "effect": "allow", "match": {"tool_names": ["bank.pay"]}, "require_broker_credential": True, "broker_reference": "bank"}
    compiled = matching.compile_policy(policy.read({"default_verdict": "block", "rules": [rule]}))

    def slow(broker, request):
        stops.stop(home, ring, stop("tool", tool))
        return Issued("vault:bank")

    monkeypatch.setattr(Broker, "issue", slow)
    decision = Allowances(home, lambda: ring, broker=Broker("stub")).decide(compiled, intent_of(), ())
    assert decision.verdict == verdict and ("stopped_tool" in decision.reason_codes) == (verdict == "block")
