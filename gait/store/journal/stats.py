"""Counts over verified records, in memory that does not grow with them."""

from __future__ import annotations

from math import exp, log

from .records import EVENT

MAX_NAMES = 10_000  # of tools, rules or reasons; agents choose tool names
OTHER = "(other)"
_RATIO = log(1.02)  # percentiles are within 2 %
_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0)
_PERCENTILES = (50, 95, 99)


class Stats:
    """Add records; read the counts."""

    def __init__(self) -> None:
        self.decisions = 0
        self.events: dict[str, int] = {}
        self.verdicts: dict[str, int] = {}
        self.tools: dict[str, int] = {}
        self.rules: dict[str, int] = {}
        self.reasons: dict[str, int] = {}
        self._fine: dict[int, int] = {}
        self._bars = [0] * (len(_BOUNDS) + 1)

    def add(self, record: dict[str, object]) -> None:
        """Count one record."""
        if record["schema_id"] == EVENT:
            _count(self.events, str(record["event"]))
            return
        self.decisions += 1
        _count(self.verdicts, str(record.get("verdict")))
        _count(self.tools, str(record.get("tool_name", "(no normal form)")))
        _count(self.rules, str(record.get("matched_rule", "(no rule)")))
        reasons = record.get("reason_codes")
        for reason in reasons if isinstance(reasons, list) else ():
            _count(self.reasons, str(reason))
        latency = record.get("latency_ms")
        if isinstance(latency, (int, float)) and latency > 0:
            self._add_latency(latency)

    def _add_latency(self, milliseconds: float) -> None:
        index = int(log(milliseconds) // _RATIO)
        self._fine[index] = self._fine.get(index, 0) + 1
        self._bars[sum(milliseconds > bound for bound in _BOUNDS)] += 1

    def percentiles(self) -> dict[str, float]:
        """p50, p95 and p99 of latency_ms, within 2 %; empty when no record says it."""
        total = sum(self._fine.values())
        return {f"p{percent}": self._percentile(total * percent / 100) for percent in _PERCENTILES} if total else {}

    def _percentile(self, rank: float) -> float:
        seen = 0
        for index in sorted(self._fine):
            seen += self._fine[index]
            if seen >= rank:
                return round(exp(_RATIO * (index + 0.5)), 3)
        return 0.0

    def histogram(self) -> list[tuple[str, int]]:
        """How many decisions took how long, from the first bucket that is not empty to the last one."""
        labels = [f"<= {bound:g}" for bound in _BOUNDS] + [f" > {_BOUNDS[-1]:g}"]
        used = [index for index, count in enumerate(self._bars) if count]
        return list(zip(labels, self._bars))[used[0] : used[-1] + 1] if used else []

    def to_value(self) -> dict[str, object]:
        """All counts as JSON, most frequent first."""
        counts = {name: dict(ranked(getattr(self, name))) for name in ("verdicts", "tools", "rules", "reasons", "events")}
        histogram = [{"latency_ms": label.strip(), "count": count} for label, count in self.histogram()]
        return {"decisions": self.decisions, **counts, "latency_ms": self.percentiles(), "histogram": histogram}


def ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Names and counts, most frequent first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _count(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MAX_NAMES:
        name = OTHER
    counts[name] = counts.get(name, 0) + 1
