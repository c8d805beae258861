"""Pairs each allowed call that Gait sent to an upstream with the outcome record that completes it, in bounded memory."""

from __future__ import annotations

from typing import Dict, NamedTuple

_Record = Dict[str, object]
_MAX_OPEN = 100_000
_MAX_SHOWN = 1000
STATUSES = ("ok", "error", "timeout", "cancelled", "never_answered")


class Odd(NamedTuple):
    """A call without an outcome (it is under way, or the process was killed), or an outcome without its call."""

    sequence: int
    trace_id: str
    tool_name: str

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return self._asdict()


class Forwarded(NamedTuple):
    """What became of the calls of one chain; of each list at most 1,000 are here, the totals count all."""

    calls: int
    statuses: dict[str, int]
    open: tuple[Odd, ...]
    open_total: int
    orphans: tuple[Odd, ...]
    orphans_total: int

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        value = self._asdict()
        return {**value, "open": [odd.to_value() for odd in self.open], "orphans": [odd.to_value() for odd in self.orphans]}

    def lines(self) -> list[str]:
        """As text, not yet safe for a terminal."""
        if not self.calls and not self.orphans_total:
            return []
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses.items() if count)
        calls = f"{self.calls} call{'' if self.calls == 1 else 's'}"
        lines = [f"  {calls} sent to an upstream; outcomes: {counts or 'none'}"]
        lines += _listed(self.open, self.open_total, "sent, and no outcome is recorded: under way, or the process was killed")
        return lines + _listed(self.orphans, self.orphans_total, "an outcome of a call that is not here")


def details(
    upstream: str, sequence: int, trace_id: str, status: str, result_digest: str, result_bytes: int, duration_ms: float
) -> _Record:
    """The details of an outcome event: of the call in record `sequence` of the same chain.  Nothing of the result but its digest."""
    value: _Record = {"upstream": upstream, "call_sequence": sequence, "trace_id": trace_id, "status": status}
    if result_digest:
        value.update(result_digest=result_digest, result_bytes=result_bytes)
    return {**value, "duration_ms": duration_ms} if duration_ms else value


class Calls:
    """Sees the records of one chain in order."""

    def __init__(self) -> None:
        self._open: dict[int, Odd] = {}
        self._count = self._untracked = self._orphan_count = 0
        self._statuses = dict.fromkeys(STATUSES, 0)
        self._orphans: list[Odd] = []

    def sent(self, record: _Record, sequence: int) -> None:
        """See a decision about a call to an upstream."""
        if record.get("verdict") != "allow":
            return
        self._count += 1
        if len(self._open) < _MAX_OPEN:
            self._open[sequence] = Odd(sequence, str(record.get("trace_id")), str(record.get("tool_name")))
        else:
            self._untracked += 1

    def ended(self, record: _Record, sequence: int, first_sequence: int) -> None:
        """See an outcome.  Its call may have been pruned; then nobody can tell."""
        said = record["details"]
        said = said if isinstance(said, dict) else {}
        call, status = said.get("call_sequence"), str(said.get("status"))
        found = self._open.get(call) if type(call) is int else None
        if found and found.trace_id == said.get("trace_id") and status in self._statuses:
            del self._open[call]  # type: ignore[arg-type]
            self._statuses[status] += 1
        elif type(call) is int and call < first_sequence:
            return
        elif self._untracked and type(call) is int:
            self._untracked -= 1
        else:
            self._orphan_count += 1
            if len(self._orphans) < _MAX_SHOWN:
                self._orphans.append(Odd(sequence, str(said.get("trace_id")), ""))

    def report(self) -> Forwarded:
        """What is known after the last record."""
        shown = tuple(list(self._open.values())[:_MAX_SHOWN])
        total = len(self._open) + self._untracked
        return Forwarded(self._count, self._statuses, shown, total, tuple(self._orphans), self._orphan_count)


def _listed(odds: tuple[Odd, ...], total: int, what: str) -> list[str]:
    lines = [f"  sequence {odd.sequence}: {odd.tool_name or odd.trace_id}: {what}" for odd in odds[:20]]
    return [*lines, f"  and {total - 20} more"] if total > 20 else lines
