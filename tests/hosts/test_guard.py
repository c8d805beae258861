"""The gate in front of functions: what runs, how often, with what, and what is said otherwise."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shlex
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gait.cli import main
from gait.errors import InvalidInput
from gait.gate import intent as intents
from gait.hosts import guard
from gait.hosts.guard import Gate, Refused
from tests.registry import sample

POLICY = """\
default_verdict: block
rules:
  - {name: good, effect: allow, match: {tool_names: [good]}}
  - {name: ask, effect: require_approval, match: {tool_names: [ask]}}
  - {name: dry, effect: dry_run, match: {tool_names: [dry]}}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def gate(policy):
    return Gate(str(policy))


@pytest.fixture
def lines(own_home):
    """The records of the journal so far."""
    path = own_home / "gait/journal/oneshot/00000001.jsonl"
    return lambda: [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ran(gate: Gate, name: str, asynchronous: bool, value: object = "x") -> "tuple[list[object], str]":
    """What a guarded function was called with, and the reason when it was not."""
    calls: list[object] = []

    async def later(value):
        calls.append(value)

    function = gate.guard(later if asynchronous else lambda value: calls.append(value), name=name)
    try:
        asyncio.run(function(value)) if asynchronous else function(value)
    except Refused as refused:
        return calls, str(refused)
    return calls, ""


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@BOTH
@pytest.mark.parametrize(
    "name,reason",
    [
        ("other", "Gait blocked this call; because of default_block"),
        ("ask", "a person must approve this call first (approvals needed: 1)"),
        ("dry", "the policy only simulates it (dry run)"),
    ],
)
def test_only_allow_runs(gate, lines, name, reason, asynchronous):
    calls, said = ran(gate, name, asynchronous)
    assert calls == [] and reason in said and ("gait approve --intent-digest" if name == "ask" else "tell the operator") in said
    assert [record["verdict"] for record in lines()] == [{"other": "block", "ask": "require_approval", "dry": "dry_run"}[name]]


@BOTH
def test_an_allowed_call_runs_once_and_has_its_outcome(gate, lines, own_home, asynchronous):
    assert ran(gate, "good", asynchronous) == (["x"], "")
    decision, outcome = lines()
    assert decision["verdict"] == "allow" and decision["upstream"] == "python"
    assert outcome["event"] == "outcome" and outcome["details"]["status"] == "ok"
    assert outcome["details"]["call_sequence"] == decision["sequence"] and outcome["details"]["trace_id"] == decision["trace_id"]


@BOTH
def test_an_error_of_the_tool_reaches_its_caller_and_the_journal(gate, lines, asynchronous):
    async def later() -> None:
        raise OSError("of the tool")

    def now() -> None:
        raise OSError("of the tool")

    function = gate.guard(later if asynchronous else now, name="good")
    with pytest.raises(OSError, match="of the tool"):
        asyncio.run(function()) if asynchronous else function()
    assert lines()[1]["details"]["status"] == "error"


HOSTILE = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "tuple": (1,),
    "number_key": {1: "a"},
    "two_keys_of_one_text": {1: "a", "1": "b"},
    "object": object(),
    "path": Path("/etc"),
    "bytes": b"a",
    "set": {1},
    "surrogate": "\ud800",
    "deep": functools.reduce(lambda inner, _: [inner], range(100), []),
    "deeper": functools.reduce(lambda inner, _: [inner], range(100_000), []),
    "int_key": {"$int": "1"},
    "long_number": 10**5000,
}


@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_json_is_refused(gate, lines, name, asynchronous):
    calls, said = ran(gate, "good", asynchronous, HOSTILE[name])
    assert calls == [] and "could not be judged" in said
    assert [record["event"] for record in lines()] == ["refused_input"]


def test_a_circle_is_refused(gate):
    circle: list[object] = []
    circle.append(circle)
    assert ran(gate, "good", False, circle)[0] == []


def test_numbers_that_digests_cannot_hold_reach_the_tool_as_they_are(gate):
    assert ran(gate, "good", False, 2**60)[0] == [2**60]


def broken_policy(policy, _):
    policy.write_text("\x00 not: [a policy")


def missing_policy(policy, _):
    policy.unlink()


def broken_journal(_, home):
    (home / "gait").mkdir(exist_ok=True)
    (home / "gait/journal").write_text("in the way")


def broken_key(_, home):
    key = home / "gait/keys/trace.json"
    key.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    key.write_text("{}")


def full_disk(_, home):
    segment = home / "gait/journal/oneshot/00000001.jsonl"
    segment.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    segment.unlink(missing_ok=True)
    segment.symlink_to("/dev/full")


@BOTH
@pytest.mark.parametrize("harm", [broken_policy, missing_policy, broken_journal, broken_key, full_disk], ids=lambda harm: harm.__name__)
def test_no_decision_no_call(gate, policy, own_home, harm, asynchronous):
    harm(policy, own_home)
    calls, said = ran(gate, "good", asynchronous)
    assert calls == [] and "Gait refused this call, because it could not be judged" in said


@BOTH
def test_an_error_of_gait_itself_is_a_refusal(gate, monkeypatch, asynchronous):
    monkeypatch.setattr("gait.hosts.decision.decide", lambda *_: 1 / 0)
    assert ran(gate, "good", asynchronous) == ([], ran(gate, "good", asynchronous)[1])
    assert "ZeroDivisionError" in ran(gate, "good", asynchronous)[1]


@pytest.mark.parametrize("value", [{"verdict": "allow"}, {"verdict": "ALLOW", "ok": True}, {"verdict": "allow", "ok": 1}, {"ok": True}])
def test_what_is_no_allow(value):
    ruling = guard.Ruling("python", value, "", {})
    assert not ruling.allowed and not ruling


def test_a_policy_is_read_anew_when_it_changed(gate, policy):
    assert ran(gate, "good", False)[0] == ["x"]
    policy.write_text("default_verdict: block\n")
    assert ran(gate, "good", False)[0] == []
    policy.write_text(POLICY)
    assert ran(gate, "good", False)[0] == ["x"]


def test_the_folder_that_the_program_goes_to_changes_nothing(policy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gate = Gate("policy.yaml", journal="records")
    monkeypatch.chdir("/")
    assert ran(gate, "good", False)[0] == ["x"]
    assert (tmp_path / "records/oneshot").is_dir()


def test_an_approved_call_runs_once(policy, lines, own_home, capsys):
    """By the command that the refusal names."""
    key = str(own_home / "approval.json")
    assert main(["keys", "init", "--path", key, "--purpose", "approval"]) == 0
    gate = Gate(str(policy), approval_key=key)
    calls, said = ran(gate, "ask", False)
    words = shlex.split(said.partition("`gait ")[2].partition("`")[0])
    assert calls == [] and main([*words, "--approver", "bob", "--reason-code", "ticket-7", "--approval-key", key, "--yes"]) == 0
    assert ran(gate, "ask", False, "y")[0] == [] and ran(gate, "ask", True)[0] == ["x"] and ran(gate, "ask", False)[0] == []
    assert [record["verdict"] for record in lines() if "verdict" in record] == ["require_approval"] * 2 + ["allow", "require_approval"]


def test_options_that_there_are_not(policy):
    for name in ("homes", "home", "on_allow", "deadline"):
        with pytest.raises(InvalidInput, match=f"got '{name}'"):
            Gate(str(policy), **{name: "x"})


# --- what is judged is what runs ---------------------------------------------------------------------


@BOTH
def test_arguments_changed_after_they_were_judged_do_not_run(gate, monkeypatch, asynchronous):
    """The caller keeps the list and changes it as soon as the decision is made."""
    mine: list[object] = ["/tmp/a"]
    real = guard.decision.decide

    def decide(*args):
        found = real(*args)
        mine[0] = "/etc/shadow"
        return found

    monkeypatch.setattr("gait.hosts.decision.decide", decide)
    calls, _ = ran(gate, "good", asynchronous, mine)
    assert calls == [["/tmp/a"]] and mine == ["/etc/shadow"]


def test_arguments_changed_all_the_time_by_another_thread(gate, lines, policy):
    """Whatever was judged is what ran: the intent's digest is that of the list that the tool got."""
    shared = {"path": ["a"] * 200}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            shared["path"][:] = ["b"] * 200
            shared["path"][:] = ["a"] * 200

    got: list[object] = []
    other = threading.Thread(target=change)
    other.start()
    try:
        tool = gate.guard(lambda value: got.append(value), name="good")
        for _ in range(30):
            try:
                tool(shared)
            except Refused:
                pass  # it changed while it was copied, and that was seen
    finally:
        done.set()
        other.join()
    judged = [record["args_digest"] for record in lines() if record.get("verdict")]
    assert judged == [digest_of({"value": value}) for value in got]


def digest_of(args: dict[str, object]) -> str:
    context = {"identity": "a", "workspace": "/", "risk_class": "low"}
    return intents.read({"tool_name": "good", "args": args, "targets": [], "context": context}).args_digest


# --- functions ---------------------------------------------------------------------------------------


def test_defaults_positions_and_rests_are_judged_and_kept(gate, monkeypatch):
    seen: list[object] = []
    real = guard.decision.decide
    monkeypatch.setattr("gait.hosts.decision.decide", lambda options, raw, value, upstream: seen.append(value["arguments"]) or real(options, raw, value, upstream))

    @gate.guard(name="good")
    def good(path, /, mode="w", *rest, key=None, **more):
        """Its words."""
        return path, mode, rest, key, more

    assert good("a") == ("a", "w", (), None, {})
    assert good("a", "r", 1, 2, key={"b": []}, path="/etc/shadow") == ("a", "r", (1, 2), {"b": []}, {"path": "/etc/shadow"})
    assert seen[0] == {"path": "a", "mode": "w", "rest": [], "key": None, "more": {}}
    assert seen[1] == {"path": "a", "mode": "r", "rest": [1, 2], "key": {"b": []}, "more": {"path": "/etc/shadow"}}
    assert good.__name__ == "good" and good.__doc__ == "Its words."
    with pytest.raises(TypeError):
        good()
    assert len(seen) == 2


def test_a_bound_method_is_guarded_and_one_that_takes_self_is_refused(gate):
    class Tool:
        def good(self, value):
            return value

        taken = gate.guard(good, name="good")

    assert gate.guard(Tool().good)("x") == "x"
    with pytest.raises(Refused, match="guard a bound method"):
        Tool().taken("x")


def test_a_function_without_a_name_needs_one(gate):
    with pytest.raises(Refused, match="name"):
        gate.guard(functools.partial(lambda value: value, "x"))()


def test_the_skill_and_the_identity_are_in_the_record(policy, lines):
    skill = {"skill_name": "s", "source": "registry", "publisher": "gait"}
    gate = Gate(str(policy), identity="me", workspace="/w", risk_class="low", provenance=skill)
    assert ran(gate, "good", False)[0] == ["x"]
    record = lines()[0]
    assert record["skill_provenance"] == skill and record["context"] == {"identity": "me", "workspace": "/w", "risk_class": "low"}
    assert ran(Gate(str(policy), provenance={}), "good", False)[0] == []
    assert ran(Gate(str(policy), risk_class="none"), "good", False)[0] == []
    assert ran(Gate(str(policy), key_mode="prod"), "good", False)[0] == []


def test_a_signed_package_is_verified_for_each_call(tmp_path):
    """`provenance` is a claim; the option `skill` is checked again when its files change, in a program that goes on."""
    (tmp_path / "p.yaml").write_text("default_verdict: block\nrules: [{name: ours, effect: allow, match: {skill_publishers: [acme], skill_trust: [verified]}}]\n")
    package = sample.folder(tmp_path / "package", sample.signed(sample.skill()))
    claim = {"skill_name": "s", "source": "git", "publisher": "acme", "trust": "verified"}
    named = {"skill": str(package), "skill_private_key": str(sample.ring_file(tmp_path / "ring.json"))}
    call = {"name": "write", "arguments": {}}
    assert Gate(str(tmp_path / "p.yaml"), provenance=claim).judge("mcp", call).allowed is False
    gate = Gate(str(tmp_path / "p.yaml"), provenance=claim, **named)
    assert all(gate.judge("mcp", call).allowed for _ in range(3))
    (package / "SKILL.md").write_text("changed")
    assert "skill_unverified" in gate.judge("mcp", call).reason
    (package / "SKILL.md").write_bytes(sample.FILES["SKILL.md"])
    assert gate.judge("mcp", call).allowed
    assert not Gate(str(tmp_path / "p.yaml"), skill=str(package)).judge("mcp", call).allowed


def test_a_framework_s_failure_is_an_error(gate, lines):
    for result in (SimpleNamespace(is_error=True), SimpleNamespace(status="error"), SimpleNamespace(status="success", is_error=False)):
        gate.call("langchain", {"name": "good", "args": {}, "type": "tool_call"}, lambda _: result, lambda ruling: None)
    assert [record["details"]["status"] for record in lines() if "details" in record] == ["error", "error", "ok"]


def test_what_a_function_gives_is_not_looked_into(gate, lines):
    class Odd:
        def __getattr__(self, name):
            raise ValueError(name)

    assert isinstance(gate.guard(Odd, name="good")(), Odd) and lines()[1]["details"]["status"] == "ok"


def test_a_journal_that_breaks_after_the_call_takes_no_result_away(gate, own_home):
    def breaks() -> str:
        os.rename(own_home / "gait/journal", own_home / "gait/gone")
        (own_home / "gait/journal").write_text("in the way")
        return "done"

    assert gate.guard(breaks, name="good")() == "done"


# --- the event loop ----------------------------------------------------------------------------------


def slow(monkeypatch, seconds: float) -> None:
    real = guard.decision.decide

    def decide(*args):
        time.sleep(seconds)
        return real(*args)

    monkeypatch.setattr("gait.hosts.decision.decide", decide)


def test_the_loop_goes_on_while_a_call_is_judged(gate, monkeypatch):
    slow(monkeypatch, 0.3)

    @gate.guard(name="good")
    async def good() -> None:
        pass

    async def main() -> int:
        task, turns = asyncio.ensure_future(good()), 0
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        await task
        return turns

    assert asyncio.run(main()) > 20


def test_a_call_cancelled_while_it_is_judged_does_not_run_and_says_so(gate, monkeypatch, lines):
    slow(monkeypatch, 0.2)
    calls: list[int] = []

    @gate.guard(name="good")
    async def good() -> None:
        calls.append(1)

    async def main() -> None:
        task = asyncio.ensure_future(good())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())  # waits for its threads
    assert calls == []
    assert [record.get("verdict") or record["details"]["status"] for record in lines()] == ["allow", "cancelled"]


def test_a_call_cancelled_while_it_runs(gate, lines, patience):
    @gate.guard(name="good")
    async def good(value: str) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(good("x"))
        while not lines():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    for _ in range(500 * patience):
        if len(lines()) == 2:
            break
        time.sleep(0.01)
    assert lines()[1]["details"]["status"] == "cancelled"


def test_many_calls_at_once_are_each_recorded_once(gate, lines, own_home):
    got: list[int] = []

    @gate.guard(name="good")
    async def good(value: int) -> None:
        got.append(value)

    async def main() -> None:
        await asyncio.gather(*(good(number) for number in range(20)))

    asyncio.run(main())
    assert sorted(got) == list(range(20))
    records = lines()
    assert [record["sequence"] for record in records] == list(range(1, 41))
    assert sum(record.get("verdict") == "allow" for record in records) == 20


# --- a running service -------------------------------------------------------------------------------


def test_a_service_decides_and_without_it_the_policy_here(policy, monkeypatch, lines):
    asked: list[tuple[object, ...]] = []
    answer = {"ok": True, "verdict": "allow", "exit_code": 0, "trace_id": "ab"}

    def ask(*args):
        asked.append(args)
        return answer

    monkeypatch.setattr("gait.hosts.server.ask", ask)
    gate = Gate(str(policy), server="unix:/run/gait.sock", token_env="TOKEN", provenance={"skill_name": "s"})
    assert ran(gate, "other", False)[0] == ["x"] and lines() == []
    address, token_env, adapter, context, raw = asked[0]
    assert (address, token_env, adapter) == ("unix:/run/gait.sock", "TOKEN", "mcp")
    assert json.loads(raw) == {"name": "other", "arguments": {"value": "x"}, "context": {}, "skill_provenance": {"skill_name": "s"}}
    answer["verdict"] = "block"
    assert ran(gate, "good", False)[0] == []
    monkeypatch.setattr("gait.hosts.server.ask", lambda *_: None)
    gate = Gate(str(policy), server="unix:/run/gait.sock")
    assert ran(gate, "other", False)[0] == [] and ran(gate, "good", False)[0] == ["x"]
    assert len(lines()) == 3


def test_a_stop_that_is_deleted_while_the_program_runs_stops_every_call(policy, own_home):
    from gait.gate import stops as states
    from gait.store import keys, stops

    home, ring = str(own_home / "gait"), keys.dev_keyring()[0]
    gate = Gate(str(policy))
    assert ran(gate, "good", False) == (["x"], "")
    stops.stop(home, ring, states.make("tool", "good", "drill", "2026-01-01T00:00:00Z"))
    calls, said = ran(gate, "good", False)
    assert calls == [] and "stopped_tool" in said
    shutil.rmtree(own_home / "gait/stops")
    (own_home / "gait/stops.used").unlink()
    assert stops.Switch(home, lambda: ring)._look().stops.entries == ()  # the control: who starts afterwards sees no stop
    calls, said = ran(gate, "good", False)
    assert calls == [] and "stop_state_invalid" in said
