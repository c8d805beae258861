"""Counts, percentiles and the histogram, in bounded memory."""

from __future__ import annotations

import random

from gait.store.journal import stats
from gait.store.journal.stats import Stats, ranked

from tests.store.journal import sample


def test_counts():
    found = Stats()
    for number in range(12):
        found.add(sample.record(number))
    found.add({"schema_id": "gait.journal.event", "event": "armed"})
    found.add({"schema_id": "gait.gate.trace", "verdict": "block", "reason_codes": "x", "latency_ms": "fast"})
    value = found.to_value()
    assert value["decisions"] == 13 and value["events"] == {"armed": 1}
    assert value["verdicts"] == {"block": 4, "allow": 3, "dry_run": 3, "require_approval": 3}
    assert value["tools"] == {"tool.write0": 4, "tool.write1": 4, "tool.write2": 4, "(no normal form)": 1}
    assert value["rules"] == {"writes": 12, "(no rule)": 1} and value["reasons"] == {"matched_rule_writes": 12}
    assert sum(bar["count"] for bar in value["histogram"]) == 12


def test_percentiles_are_within_two_percent():
    rng = random.Random(1)
    values = sorted(rng.lognormvariate(0, 2) for _ in range(5000))
    found = Stats()
    for value in values:
        found.add(sample.record(latency_ms=value))
    for name, rank in (("p50", 2499), ("p95", 4749), ("p99", 4949)):
        assert abs(found.percentiles()[name] / values[rank] - 1) < 0.025
    assert found.histogram()[0][0] == "<= 0.1" and sum(count for _, count in found.histogram()) == 5000
    assert found.histogram()[-1] == (" > 1000", sum(value > 1000 for value in values)) or values[-1] <= 1000


def test_nothing_to_count():
    value = Stats().to_value()
    assert value["decisions"] == 0 and value["latency_ms"] == {} and value["histogram"] == []


def test_names_are_bounded(monkeypatch):
    monkeypatch.setattr(stats, "MAX_NAMES", 3)
    found = Stats()
    for number in range(10):
        found.add(sample.record(tool_name=f"tool{number}"))
    assert ranked(found.tools) == [("(other)", 7), ("tool0", 1), ("tool1", 1), ("tool2", 1)]
