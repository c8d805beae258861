"""What a report page shows of the records of a journal, gathered one by one in memory that does not grow with them.

Agents choose tool names, identities and run ids: text is clipped before it is kept, and names are counted up to a limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from heapq import heappush, heappushpop

from ..errors import InvalidInput
from ..formats import timestamps
from ..formats.documents import NamedTuple
from ..gate.decision import VERDICTS
from .timeline import Timeline

MAX_NAMES = 10_000
OTHER = "(other)"
UNKNOWN = "unknown"  # a verdict that this version does not know
NO_TOOL = "(no normal form)"
_MAX_TEXT = 160
_MAX_WORDS = 40
_LONG_LINE = 4096
_CONTEXT = ("identity", "workspace", "risk_class", "session_id", "request_id")
_DETAILS = ("trace_id", "policy_digest", "intent_digest", "args_digest", "correlation_id")

Record = Mapping[str, object]


class Row(NamedTuple):
    """One decision as the table shows it.  `details` are names and texts, all of them clipped."""

    created_at: str
    verdict: str
    tool: str
    rule: str
    reasons: str
    latency_ms: str
    chain: str
    sequence: int
    details: tuple[tuple[str, str], ...]


class Summary:
    """Add records with their lines; read `timeline`, `tools`, `reasons`, `period` and `rows`.

    `tools` and `reasons` count the decisions that were not allow: only allow may execute.
    """

    def __init__(self, limit: int) -> None:
        self.timeline = Timeline((*VERDICTS, UNKNOWN))
        self.tools: dict[str, int] = {}
        self.reasons: dict[str, int] = {}
        self.refused = 0
        self.decisions = 0
        self._limit = limit
        self._latest: list[tuple[float, str, int, int, Row | tuple[Record, bytes]]] = []
        self._first = (0.0, "")
        self._last = (0.0, "")

    def add(self, record: Record, line: bytes) -> None:
        """Count a verified trace record; `line` is the one that stands in the journal, without its newline."""
        self.decisions += 1
        verdict = known(record.get("verdict"))
        seconds = self._see_time(str(record.get("created_at")), verdict)
        if verdict != "allow":
            self._refuse(record)
        if self._limit:
            self._keep(seconds, record, line)

    def _see_time(self, text: str, verdict: str) -> float:
        """Seconds since 1970; a record whose time is none counts everywhere but in the timeline."""
        try:
            seconds = timestamps.loads(text)
        except InvalidInput:
            return 0.0
        self.timeline.add(seconds, verdict)
        if not self._first[1] or seconds < self._first[0]:
            self._first = (seconds, text)
        if not self._last[1] or seconds > self._last[0]:
            self._last = (seconds, text)
        return seconds

    def _refuse(self, record: Record) -> None:
        self.refused += 1
        _count(self.tools, clip(str(record.get("tool_name", NO_TOOL))))
        for reason in _words(record.get("reason_codes")):
            _count(self.reasons, clip(reason))

    def _keep(self, seconds: float, record: Record, line: bytes) -> None:
        """Among the latest.  Of a long record only the row is kept; making one of each would cost more than all the rest."""
        kept = _row(record, line) if len(line) > _LONG_LINE else (record, line)
        item = (seconds, str(record.get("chain")), _integer(record.get("sequence")), self.decisions, kept)
        if len(self._latest) < self._limit:
            heappush(self._latest, item)
        else:
            heappushpop(self._latest, item)

    @property
    def period(self) -> tuple[str, str]:
        """The times of the first and the last decision; empty texts when there is none."""
        return self._first[1], self._last[1]

    def rows(self) -> list[Row]:
        """The latest decisions of all chains, newest first."""
        return [kept if isinstance(kept, Row) else _row(*kept) for *_, kept in sorted(self._latest, reverse=True)]


def known(verdict: object) -> str:
    """The verdict itself, or `unknown`."""
    return verdict if type(verdict) is str and verdict in VERDICTS else UNKNOWN


def clip(text: str) -> str:
    """At most 160 characters of a text, and how many there were."""
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text):,} characters)"


def ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names and counts, most frequent first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _count(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MAX_NAMES:
        name = OTHER
    counts[name] = counts.get(name, 0) + 1


def _row(record: Record, line: bytes) -> Row:
    latency = record.get("latency_ms")
    return Row(
        clip(str(record.get("created_at", ""))),
        known(record.get("verdict")),
        clip(str(record.get("tool_name", NO_TOOL))),
        clip(str(record.get("matched_rule", ""))),
        _joined(record.get("reason_codes")),
        f"{latency:.3f}" if type(latency) in (int, float) else "",
        clip(str(record.get("chain", ""))),
        _integer(record.get("sequence")),
        tuple(_details(record, line)),
    )


def _details(record: Record, line: bytes) -> Iterable[tuple[str, str]]:
    """What proves the record: its digests, and whose call it was; empty ones are left out."""
    found = [(name, record.get(name)) for name in _DETAILS]
    found += [("violations", _joined(record.get("violations")))]
    context = record.get("context")
    found += [(name, context.get(name)) for name in _CONTEXT] if isinstance(context, dict) else []
    signature = record.get("signature")
    found += [("key_id", signature.get("key_id"))] if isinstance(signature, dict) else []
    found += [("prev_digest", record.get("prev_digest")), ("record_digest", hashlib.sha256(line).hexdigest())]
    return ((name, clip(str(value))) for name, value in found if value)


def _words(value: object) -> list[str]:
    """At most 40 words of a list, and how many more there are."""
    if not isinstance(value, list):
        return []
    more = [f"and {len(value) - _MAX_WORDS} more"] if len(value) > _MAX_WORDS else []
    return [*map(str, value[:_MAX_WORDS]), *more]


def _joined(value: object) -> str:
    return ", ".join(map(clip, _words(value)))


def _integer(value: object) -> int:
    return value if type(value) is int else 0
