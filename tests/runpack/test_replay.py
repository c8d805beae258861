"""Replay from the record."""

from __future__ import annotations

from gait.runpack.replay import replay

from tests.runpack import sample


def test_counts():
    found = replay(sample.steps(sample.made(6)))
    assert (found.steps, found.replayed, found.not_executed, found.missing_total) == (6, 2, 4, 0)


def test_equal_runs_replay_to_equal_digests():
    digests = {replay(sample.steps(data)).digest for data in (sample.made(3), sample.made(3, run_id="run_b", raw=True))}
    assert len(digests) == 1 and replay(sample.steps(sample.made(4))).digest not in digests


def test_missing_results_are_named():
    steps = sample.recorded(2)
    steps[0] = steps[0]._replace(status="not_recorded", result=None, result_digest="0" * 64)
    data = sample.changed(sample.made(steps), "results.jsonl", lambda data: data.splitlines(True)[0])
    found = replay(sample.steps(data))
    assert [item.number for item in found.missing] == [1, 2] and found.missing_total == 2
    assert "not recorded" in found.missing[0].reason and "no result" in found.missing[1].reason
