"""A run again, without its tools: every result is what the record says, and what is missing is said."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..formats.documents import NamedTuple
from .model import Record, Step

MAX_MISSING = 1000


class Missing(NamedTuple):
    """A call whose result is not known, and why."""

    number: int
    intent_id: str
    tool_name: str
    reason: str

    def to_value(self) -> Record:
        """As JSON."""
        return self._asdict()


class Replay(NamedTuple):
    """What a stub replay gave.  `digest` names the whole of it: equal runs replay to equal digests."""

    steps: int
    replayed: int
    not_executed: int
    missing: tuple[Missing, ...]
    missing_total: int
    digest: str


def replay(steps: Iterable[Step]) -> Replay:
    """Go through the steps with recorded results in the place of tools."""
    counts = {"replayed": 0, "not_executed": 0}
    missing: list[Missing] = []
    count = missing_total = 0
    digest = hashlib.sha256()
    for step in steps:
        count += 1
        result = step.result
        digest.update(f"{step.intent.tool_name}\0{step.intent.args_digest}\0{step.verdict}\0".encode())
        digest.update(f"{result.status}\0{result.result_digest}\n".encode() if result else b"\n")
        reason = _missing_reason(step)
        if not reason:
            counts["replayed" if result and result.status != "not_executed" else "not_executed"] += 1
            continue
        missing_total += 1
        if len(missing) < MAX_MISSING:
            missing.append(Missing(step.number, step.intent.intent_id, step.intent.tool_name, reason))
    return Replay(count, counts["replayed"], counts["not_executed"], tuple(missing), missing_total, digest.hexdigest())


def _missing_reason(step: Step) -> str:
    if step.result is None:
        return "no result is recorded"
    if step.result.status == "not_recorded":
        return "the call was allowed; what became of it is not recorded"
    return ""
