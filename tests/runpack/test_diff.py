"""Differences of two runs."""

from __future__ import annotations

import random
import time

import pytest

from gait.runpack import diff

from tests.runpack import sample


def fact(tool: str, args: int = 0, verdict: str = "allow") -> diff.Facts:
    return diff.Facts(tool, b"%d" % args, b"", verdict, "", (), b"", "ok", b"")


A, B, C, X = fact("a"), fact("b"), fact("c"), fact("x")


@pytest.mark.parametrize(
    "left, right, expected",
    [
        ([A, B, C], [A, B, C], []),
        ([A, B, C], [A, C], [("removed", 2, 0)]),
        ([A, C], [A, B, C], [("added", 0, 2)]),
        ([A, B, C], [A, fact("b", 1), C], [("changed", 2, 2)]),
        ([A, B, C], [A, fact("b", 0, "block"), C], [("changed", 2, 2)]),
        ([A, B, C], [A, X, C], [("changed", 2, 2)]),
        ([A, B], [B, A], [("removed", 1, 0), ("added", 0, 2)]),
        ([A, B, A, C, A], [B, A, C, A], [("removed", 1, 0)]),
        ([], [A], [("added", 0, 1)]),
        ([A, X, fact("b", 1), C], [A, fact("b", 2), C], [("removed", 2, 0), ("changed", 3, 2)]),
    ],
)
def test_alignment(left, right, expected):
    found = diff.compare(left, right)
    assert sorted((change.kind, change.left, change.right) for change in found.changes) == sorted(expected)
    assert found.equal == (not expected)


@pytest.mark.parametrize("table", [0, 10**6])
def test_every_step_is_in_one_pair(table, monkeypatch):
    monkeypatch.setattr(diff, "_MAX_TABLE", table)
    rnd = random.Random(1)
    for _ in range(300):
        left, right = ([fact(rnd.choice("abc"), rnd.randrange(2)) for _ in range(rnd.randrange(9))] for _ in range(2))
        pairs = list(diff._aligned(left, right))
        assert [first for first, _ in pairs if first >= 0] == list(range(len(left)))
        assert sorted(second for _, second in pairs if second >= 0) == list(range(len(right)))
        assert diff.compare(left, left).equal


def test_fields_and_values():
    change = diff.compare([fact("a", 1)], [fact("a", 2, "block")]).changes[0]
    assert change.to_value(True)["fields"] == {"args_digest": {"left": "31", "right": "32"}, "verdict": {"left": "allow", "right": "block"}}
    assert change.to_value(False) == {"kind": "changed", "left": 1, "right": 1, "fields": ["args_digest", "verdict"]}


def test_facts_of_a_pack():
    left, right = (diff.facts(sample.steps(data)) for data in (sample.made(5), sample.made(5, run_id="run_b")))
    assert diff.compare(left, right).equal
    steps = sample.recorded(5)
    steps[2] = steps[2]._replace(decision={**steps[2].decision, "verdict": "allow", "trace_id": ""})
    changed = diff.compare(left, diff.facts(sample.steps(sample.made(steps)))).changes
    assert [(change.left, [name for name, _, _ in change.fields]) for change in changed] == [(3, ["verdict"])]


def test_long_runs_that_share_nothing():
    left, right = [fact("a", number) for number in range(20_000)], [fact("a", -number - 1) for number in range(20_000)]
    started = time.monotonic()
    assert diff.compare(left, right).totals["changed"] == 20_000 and len(diff.compare(left, right).changes) == diff.MAX_CHANGES
    assert time.monotonic() - started < 10
