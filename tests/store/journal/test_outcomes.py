"""Calls and their outcomes, as verification pairs them."""

from __future__ import annotations

from gait.gate import trace
from gait.signing import keys
from gait.store.journal import outcomes
from gait.store.journal.append import Journal
from gait.store.journal.outcomes import Calls, details
from gait.store.journal.verify import verify

RING = keys.Keyring("trace", keys.make(bytes(range(32))))


def _trace(verdict: str = "allow", upstream: str = "files", name: str = "a") -> dict:
    record = {
        "schema_id": trace.SCHEMA_ID,
        "schema_version": "1.0.0",
        "created_at": "2026-02-05T00:00:00Z",
        "trace_id": name,
        "tool_name": "read_file",
        "verdict": verdict,
    }
    return {**record, "upstream": upstream} if upstream else record


def _journal(tmp_path, *steps) -> object:
    """Append traces (dicts) and outcomes ((call index, status) pairs); the chain's account of its calls."""
    with Journal.open(str(tmp_path), "c", RING) as journal:
        signed = []
        for step in steps:
            if isinstance(step, dict):
                signed.append(journal.append(step))
            else:
                index, status = step
                call = signed[index]
                journal.event("outcome", details("files", call["sequence"], call["trace_id"], status, "ab" * 32, 7, 1.5))
    report = verify(str(tmp_path), RING)
    assert report.ok
    return report.chains[0].forwarded


def test_a_call_with_its_outcome_is_complete(tmp_path):
    found = _journal(tmp_path, _trace(), (0, "ok"), _trace(name="b"), (1, "timeout"))
    assert (found.calls, found.open, found.orphans) == (2, (), ())
    assert {status: count for status, count in found.statuses.items() if count} == {"ok": 1, "timeout": 1}


def test_a_call_without_an_outcome_is_listed(tmp_path):
    found = _journal(tmp_path, _trace(), _trace(name="b"), (1, "ok"))
    assert [(odd.sequence, odd.trace_id, odd.tool_name) for odd in found.open] == [(1, "a", "read_file")]
    assert "sequence 1: read_file: sent, and no outcome is recorded" in "\n".join(found.lines())


def test_only_allowed_calls_to_an_upstream_await_an_outcome(tmp_path):
    found = _journal(tmp_path, _trace("block"), _trace("dry_run"), _trace(upstream=""))
    assert (found.calls, found.open_total, found.lines()) == (0, 0, [])


def test_an_outcome_without_its_call_is_listed(tmp_path):
    found = _journal(tmp_path, _trace("block"), (0, "ok"))
    assert (found.orphans_total, found.orphans[0].sequence) == (1, 2)


def test_a_second_outcome_of_one_call_is_one_too_many(tmp_path):
    found = _journal(tmp_path, _trace(), (0, "ok"), (0, "ok"))
    assert (found.statuses["ok"], found.orphans_total) == (1, 1)


def test_an_outcome_must_name_the_trace_of_its_call(tmp_path):
    with Journal.open(str(tmp_path), "c", RING) as journal:
        journal.append(_trace())
        journal.event("outcome", details("files", 1, "another", "ok", "", 0, 0.0))
        journal.event("outcome", {"call_sequence": True, "status": []})
    found = verify(str(tmp_path), RING).chains[0].forwarded
    assert (found.open_total, found.orphans_total) == (1, 2)


def test_an_outcome_of_a_call_before_the_first_record_here_is_no_orphan():
    calls = Calls()
    calls.ended({"details": details("files", 3, "a", "ok", "", 0, 0.0)}, 12, 10)
    assert calls.report().orphans_total == 0


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(outcomes, "_MAX_OPEN", 5)
    calls = Calls()
    for sequence in range(1, 31):
        calls.sent(_trace(name=str(sequence)), sequence)
    found = calls.report()
    assert (found.calls, len(found.open), found.open_total) == (30, 5, 30)
    assert found.lines()[-1] == "  and 10 more"
