"""A run from what a journal recorded: decisions and their outcomes, in the order of time.

Records are given verified and as they come, chain by chain.  Their lines are kept in a scratch file, so that memory
holds a few numbers for each.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator

from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..formats.timestamps import loads as read_time
from ..gate import trace
from . import model
from .model import NO_RESULT_DIGEST, Record
from .pack import Recorded
from .record import decision_value

if TYPE_CHECKING:
    from typing import BinaryIO

_EVENT = "gait.journal.event"
_NO_TOOL = "(invalid)"  # no tool name has a parenthesis by convention, and intent_digest_basis says so for certain
_INTENT = ("targets", "arg_provenance", "skill_provenance", "context")


class Selection(NamedTuple):
    """Which records make the run: empty text, and no time, select all.  `since` is in seconds since 1970."""

    session_id: str = ""
    since: float | None = None
    chain: str = ""


class Collector:
    """`see` every record once; then `steps` gives what was selected."""

    def __init__(self, selection: Selection, spool: BinaryIO) -> None:
        self._selection = selection
        self._spool = spool
        self._size = 0
        self._times = array("d")
        self._offsets = array("Q")
        self._chains: dict[str, int] = {}
        self._calls: set[int] = set()  # selected calls that an outcome may follow
        self._outcomes: dict[int, int] = {}  # call -> where its outcome's line is
        self.without_intent = 0

    def see(self, record: Record, line: bytes) -> None:
        """Take note of a record and its line."""
        if record["schema_id"] == trace.SCHEMA_ID:
            self._decision(record, line)
        elif record.get("event") == "outcome":
            self._outcome(record, line)

    def __len__(self) -> int:
        return len(self._offsets)

    def steps(self) -> Iterator[Recorded]:
        """The selected calls by time; those of one moment in the order of the journal."""
        for index in sorted(range(len(self._offsets)), key=self._times.__getitem__):
            record = self._load(self._offsets[index])
            place = self._outcomes.get(self._key(record["chain"], record["sequence"]))
            yield recorded(record, None if place is None else self._load(place))

    def _decision(self, record: Record, line: bytes) -> None:
        chosen, seconds = self._selection, read_time(str(record["created_at"]))
        if chosen.chain and record["chain"] != chosen.chain or chosen.since is not None and seconds < chosen.since:
            return
        context = record.get("context")
        session = context.get("session_id") if isinstance(context, dict) else None
        if chosen.session_id and session != chosen.session_id:
            return
        self._times.append(seconds)
        self._offsets.append(self._keep(line))
        self.without_intent += not isinstance(record.get("intent"), dict)
        if record.get("verdict") == "allow" and "upstream" in record:
            self._calls.add(self._key(record["chain"], record["sequence"]))

    def _outcome(self, record: Record, line: bytes) -> None:
        details = record["details"]
        key = self._key(record["chain"], details.get("call_sequence"))  # type: ignore[attr-defined]
        if key in self._calls:
            self._calls.discard(key)  # the first one counts; verification tells of a second
            self._outcomes[key] = self._keep(line)

    def _key(self, chain: object, sequence: object) -> int:
        number = self._chains.setdefault(str(chain), len(self._chains))
        return number << 64 | sequence if type(sequence) is int else -1

    def _keep(self, line: bytes) -> int:
        place = self._size
        self._spool.write(line + b"\n")
        self._size += len(line) + 1
        return place

    def _load(self, place: int) -> Record:
        self._spool.seek(place)
        record: Record = json.loads(self._spool.readline())  # verified before it was kept
        return record


def recorded(record: Record, outcome: Record | None = None) -> Recorded:
    """One decision of a journal, with its outcome when there is one."""
    held = record.get("intent")
    held = held if isinstance(held, dict) else None
    intent = None if held is None else {name: item for name in _INTENT for item in [held.get(name, _skill(record, name))] if item is not None}
    raw = "intent_digest_basis" in record
    digest = str(record["intent_digest"])
    return Recorded(
        tool_name=_NO_TOOL if raw else str(record["tool_name"]),
        args_digest=digest if raw else str(record["args_digest"]),
        created_at=str(record["created_at"]),
        args=held.get("args") if held else None,
        intent=intent,
        intent_digest=digest,
        decision=decision_value(record, ""),
        source={"chain": record["chain"], "sequence": record["sequence"]},
        digest_basis="raw" if raw else "",
        **_became(record, outcome),  # type: ignore[arg-type]
    )


def _skill(record: Record, name: str) -> object:
    return record.get(name) if name == "skill_provenance" else None


def _became(record: Record, outcome: Record | None) -> Record:
    if record.get("verdict") != "allow":
        return {"status": "not_executed"}
    if outcome is None:
        return {"status": "not_recorded"}
    details: Record = outcome["details"]  # type: ignore[assignment]
    digest, status = details.get("result_digest"), details.get("status")
    names = ("upstream", "result_bytes", "duration_ms")
    return {
        "status": status if status in model.STATUSES else "not_recorded",
        "result_digest": digest if model.is_digest(digest) else NO_RESULT_DIGEST,
        "outcome": {**{name: details[name] for name in names if name in details}, "sequence": outcome["sequence"]},
    }
