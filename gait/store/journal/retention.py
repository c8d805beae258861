"""What a journal keeps.  Only whole finished segments go, oldest first; the last one's signed head stays as the anchor."""

from __future__ import annotations

import os

from ...errors import GaitError
from ...formats import timestamps
from ...formats.documents import NamedTuple
from ...signing.keys import Keyring
from . import folder as names
from .records import Head


class Limits(NamedTuple):
    """When a segment is finished, and how many are kept (0: no limit).  The segment being written always stays."""

    segment_bytes: int = 64 * 1024 * 1024
    segment_seconds: float = 86400.0
    keep_segments: int = 0
    keep_bytes: int = 0
    keep_seconds: float = 0.0


class Finished(NamedTuple):
    """A segment that is to go, with the head that it ended with."""

    segment: int
    size_bytes: int
    head: Head


def doomed(folder: str, chain: str, ring: Keyring, limits: Limits, current: int, now: float) -> list[Finished]:
    """The segments that the limits no longer keep, oldest first; none from the first one on whose head does not verify."""
    if not (limits.keep_segments or limits.keep_bytes or limits.keep_seconds):
        return []
    numbers = names.segments(folder)
    sizes = {number: _size(names.segment_path(folder, number)) for number in numbers}
    gone: list[Finished] = []
    for number in numbers:
        head = _head(folder, chain, ring, number)
        if number >= current or head is None or not _goes(limits, sizes, head, now):
            break
        gone.append(Finished(number, sizes.pop(number), head))
    return gone


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _head(folder: str, chain: str, ring: Keyring, number: int) -> Head | None:
    try:
        return names.read_head(names.head_path(folder, number), chain, ring, number)
    except GaitError:
        return None


def _goes(limits: Limits, sizes: dict[int, int], head: Head, now: float) -> bool:
    """True when a segment with this head is one too many of those in `sizes`, or too old."""
    if limits.keep_segments and len(sizes) > limits.keep_segments:
        return True
    if limits.keep_bytes and sum(sizes.values()) > limits.keep_bytes:
        return True
    return bool(limits.keep_seconds) and now - timestamps.loads(head.created_at) > limits.keep_seconds


def details(gone: list[Finished]) -> dict[str, object]:
    """What the `pruned` record says: up to which record the chain was removed."""
    last = gone[-1]
    return {
        "first_segment": gone[0].segment,
        "last_segment": last.segment,
        "sequence": last.head.tail.sequence,
        "record_digest": last.head.tail.digest,
        "size_bytes": sum(item.size_bytes for item in gone),
    }


def remove(folder: str, gone: list[Finished]) -> str:
    """Remove segments and the heads before the last one's; "", or what is still there and why."""
    problems = []
    for item in gone:
        problems.append(names.remove(names.segment_path(folder, item.segment)))
        problems += [names.remove(names.head_path(folder, number)) for number in names.heads(folder) if number < item.segment]
    return next((problem for problem in problems if problem), "")
