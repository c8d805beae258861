"""Finds the times in which nobody was on guard, from the armed, heartbeat and stopped records of one chain."""

from __future__ import annotations

from typing import Dict

from ...errors import InvalidInput
from ...formats import timestamps
from .findings import Gap

_Record = Dict[str, object]
_TOLERATED = 2  # intervals


class Watch:
    """Sees the events of one chain in order; `gaps` is what it noticed."""

    def __init__(self, chain: str) -> None:
        self.gaps: list[Gap] = []
        self._chain = chain
        self._armed = False
        self._interval = 0.0
        self._sign: _Record | None = None  # the last sign of life

    def event(self, record: _Record, before: _Record | None) -> None:
        """See a sign of life, and the record before it."""
        if record["event"] == "armed":
            self._arm(record, before)
        elif self._armed:
            self._check_interval(record)
            self._armed = record["event"] != "stopped"
        self._sign = record

    def finish(self, last: _Record | None) -> None:
        """The chain ends with this record."""
        if self._armed and last is not None:
            message = "armed and not stopped: it is running now, or was killed"
            self.gaps.append(self._gap("not_stopped", last, None, message))

    def _arm(self, record: _Record, before: _Record | None) -> None:
        if before is not None:
            code = "killed" if self._armed else "unarmed"
            message = "no stopped record before the next armed" if self._armed else "nobody was on guard between two runs"
            self.gaps.append(self._gap(code, before, record, message))
        details = record["details"]
        interval = details.get("heartbeat_seconds") if isinstance(details, dict) else None
        self._interval = float(interval) if type(interval) in (int, float) else 0.0  # type: ignore[arg-type]
        self._armed = True

    def _check_interval(self, record: _Record) -> None:
        if self._interval <= 0 or self._sign is None:
            return
        if _seconds(record) - _seconds(self._sign) > _TOLERATED * self._interval:
            message = f"no heartbeat for more than {_TOLERATED} intervals of {self._interval:g} s"
            self.gaps.append(self._gap("heartbeat_missing", self._sign, record, message))

    def _gap(self, code: str, start: _Record, end: _Record | None, message: str) -> Gap:
        ended_at = str(end["created_at"]) if end else ""
        seconds = round(max(0.0, _seconds(end) - _seconds(start)), 3) if end else 0.0
        first = int(start["sequence"])  # type: ignore[call-overload]
        last = int(end["sequence"]) if end else first  # type: ignore[call-overload]
        return Gap(code, self._chain, first, last, str(start.get("created_at", "")), ended_at, seconds, message)


def _seconds(record: _Record) -> float:
    try:
        return timestamps.loads(str(record.get("created_at")))
    except InvalidInput:  # a trace's time is its own affair
        return 0.0
