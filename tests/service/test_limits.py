"""Limits, budgets and the kill switch through services that run, and shared with whatever else decides under one $GAIT_HOME."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tests.mcp.wrapped import Wrapped, call
from tests.service.running import gait, records, verify, wait_for

POLICY = """\
default_verdict: block
rules:
  - name: read
    effect: allow
    match: {tool_names: [read_file, read]}
    rate_limit: {requests: 100, window: day, scope: tool}
  - name: pay
    effect: allow
    match: {tool_names: [pay]}
    budget: {argument: amount, limit: 100, window: day, scope: identity}
  - name: any
    effect: allow
    match: {tool_names: [other]}
"""
READ = {"call": {"name": "read_file", "arguments": {"path": "/work/a"}}}
OTHER = {"call": {"name": "other", "arguments": {}}}


def pay(amount):
    return {"call": {"name": "pay", "arguments": {"amount": amount}}}


def ask(server, requests):
    """The answers to requests, one after the other, on one connection."""
    with server.client() as client:
        return [client.post(request).value for request in requests]


def at_once(server, count, requests):
    """The answers that `count` clients get at the same time."""
    answers: list[dict] = []
    threads = [threading.Thread(target=lambda: answers.extend(ask(server, requests))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def allowed(answers):
    return sum(answer["verdict"] == "allow" for answer in answers)


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--durability", "power")], ids=["one process", "two workers", "power"])
def test_a_rate_limit_is_exact_and_survives_a_restart(serve, options):
    server = serve(*options, policy=POLICY)
    answers = at_once(server, 6, [READ] * 30)
    assert (len(answers), allowed(answers)) == (180, 100)
    refused = next(answer for answer in answers if answer["verdict"] == "block")
    assert refused["reason_codes"] == ["matched_rule_read", "rate_limit_exceeded"] and refused["violations"] == ["rate_limit_exceeded"]
    server.kill() if not options else server.stop()
    assert allowed(ask(serve(*options, policy=POLICY), [READ] * 3)) == 0


def test_a_budget_is_exact(serve):
    server = serve(policy=POLICY)
    assert allowed(at_once(server, 4, [pay(2.5)] * 15)) == 40
    for amount, code in ((0.000001, "budget_exceeded"), (-5, "budget_amount_invalid"), ("5", "budget_amount_invalid"), (1e300, "budget_exceeded")):
        answer = ask(server, [pay(amount)])[0]
        assert answer["verdict"] == "block" and code in answer["reason_codes"] and answer["violations"] == [code]
    assert allowed(ask(server, [pay(0)])) == 1
    assert ask(server, [{"call": {"name": "pay", "arguments": {}}}])[0]["violations"] == ["budget_amount_missing"]
    server.stop()
    assert verify(server.journal)["ok"]


def hook(tmp_path, tool="read"):
    event = {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {}, "cwd": "/work", "session_id": "s", "tool_use_id": "t"}
    done = gait("hook", "claude-code", "--policy", tmp_path / "policy.yaml", stdin=json.dumps(event).encode())
    return done.returncode == 0 and b"deny" not in done.stdout


def one_shot(tmp_path, request=READ):
    return gait("mcp", "proxy", "--policy", tmp_path / "policy.yaml", "--call", "-", stdin=json.dumps(request["call"]).encode()).returncode


def test_services_gateways_hooks_and_one_shot_commands_share_their_counts(serve, tmp_path):
    server = serve(policy=POLICY)
    assert allowed(ask(server, [READ] * 99)) == 99
    assert one_shot(tmp_path) == 0
    assert one_shot(tmp_path) == 3 and allowed(ask(server, [READ])) == 0
    assert hook(tmp_path)  # another tool has a count of its own, in this scope
    wrapped = Wrapped(tmp_path, policy=POLICY)
    wrapped.send(call(1))
    assert wrapped.read()["result"]["isError"] is True
    wrapped.close()


def test_the_kill_switch_is_obeyed_by_all_that_run_within_a_second(serve, tmp_path, patience):
    server = serve("--workers", "2", policy=POLICY)
    wrapped = Wrapped(tmp_path, policy=POLICY)
    answers: list[tuple[float, dict]] = []
    stopping = threading.Event()

    def work():
        with server.client() as client:
            while not stopping.is_set():
                started = time.monotonic()
                answers.append((started, client.post(OTHER).value))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answers) > 20)
    done = gait("stop", "--scope", "all", "--reason", "drill", "--journal", server.journal, "--json")
    in_force = time.monotonic()
    assert done.returncode == 0, done.stderr
    wrapped.send(call(1))
    assert "stopped_all" in json.dumps(wrapped.read())
    assert one_shot(tmp_path, OTHER) == 3 and not hook(tmp_path, "other")
    assert gait("resume", "--scope", "all", "--reason", "over", "--journal", server.journal).returncode == 0
    resumed = time.monotonic()
    assert one_shot(tmp_path, OTHER) == 0 and hook(tmp_path, "other")
    wrapped.send(call(2))
    assert "stopped" not in json.dumps(wrapped.read())
    wait_for(lambda: any(started > resumed and answer["verdict"] == "allow" for started, answer in answers))
    stopping.set()
    for thread in threads:
        thread.join()
    during = [answer for started, answer in answers if in_force < started < resumed - 1]
    before = [answer for started, answer in answers if started < in_force - 20]
    assert len([answer for answer in during if answer["verdict"] == "block"]) == len(during)
    assert any(answer["verdict"] == "block" and answer["reason_codes"] == ["stopped", "stopped_all"] for _, answer in answers)
    assert allowed(before) == len(before)
    wrapped.close()
    server.stop()
    assert verify(server.journal)["ok"]
    assert [record["event"] for record in records(server.journal, "oneshot") if "event" in record] == ["stop", "resume"]


def test_a_state_deleted_or_put_back_while_a_service_runs(serve, own_home):
    server = serve(policy=POLICY)
    state = own_home / "gait" / "stops" / "state.json"
    for words in (("stop", "--scope", "all"), ("resume", "--scope", "all"), ("stop", "--scope", "tool", "other")):
        assert gait(*words, "--reason", "r").returncode == 0
        answer = ask(server, [OTHER])[0]
        if words[0] == "resume":
            old = state.read_bytes()
        assert answer["verdict"] == ("allow" if words[0] == "resume" else "block")
    state.unlink()
    assert ask(server, [OTHER])[0]["reason_codes"] == ["stop_state_invalid", "stopped"]
    state.write_bytes(old)
    assert ask(server, [READ])[0]["reason_codes"] == ["stop_state_invalid", "stopped"]
    assert gait("resume", "--reset", "--reason", "r").returncode == 0
    assert ask(server, [OTHER])[0]["verdict"] == "allow"


def test_a_store_that_fails_while_a_service_runs_blocks_and_recovers(serve, own_home):
    server = serve(policy=POLICY)
    folder = own_home / "gait" / "counters"
    assert allowed(ask(server, [READ])) == 1
    folder.rename(folder.with_name("away"))
    folder.write_text("")
    answer = ask(server, [READ])[0]
    assert answer["reason_codes"] == ["matched_rule_read", "rate_limit_unavailable"] and answer["unavailable"] == "not_a_folder"
    assert allowed(ask(server, [OTHER])) == 1  # what needs no count goes on
    folder.unlink()
    folder.with_name("away").rename(folder)
    assert allowed(ask(server, [READ])) == 1
    server.stop()
    assert "unavailable" in records(server.journal)[2]
