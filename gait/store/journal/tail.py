"""Where a chain ends, proven from its last head on: what a writer must know before it adds to it.

The cost does not depend on how long the chain is: only what lies after the last head is read.  A head that is
behind two signs of life was put back by someone, or a disk refused it twice: the writer leaves that to a person.
"""

from __future__ import annotations

import hashlib
import os

from ...errors import VerificationFailed
from ...formats.documents import NamedTuple
from ...signing.keys import Keyring
from . import folder as names
from . import records
from .records import Head, Tail
from .seals import Opener

_HINT = "see what happened: gait journal verify; then move the chain's folder away, or write to another chain"


class Found(NamedTuple):
    """A chain's proven end, and how many bytes without a newline follow it (a write that a crash cut off)."""

    tail: Tail
    torn_bytes: int = 0


def find(folder: str, chain: str, ring: Keyring) -> Found:
    """The end of the chain in a folder.

    VerificationFailed: what lies after the last head does not verify (the codes of a record), or there is less than a head
    proves: `tail_truncated`, `head_missing`, `head_invalid`, `head_mismatch`, `head_stale`.
    """
    head = names.read_head(names.head_path(folder), chain, ring)
    numbers = names.segments(folder)
    if not numbers:
        return _nothing(folder, head)
    last = numbers[-1]
    if head and head.tail.segment > last:
        raise _truncated(folder, head, last)
    if head is None and last > 1:
        raise _head_missing(folder, "head.json")
    start = _start(folder, chain, ring, head, last)
    path = names.segment_path(folder, last)
    fd = names.open_segment(path)
    try:
        return _walk(fd, path, chain, start, Opener(ring))
    except OSError as error:
        raise names.failed(path, "read the segment", error) from error
    finally:
        os.close(fd)


def _nothing(folder: str, head: Head | None) -> Found:
    if head and head.tail.sequence:
        raise _truncated(folder, head, 0)
    return Found(Tail())


def _truncated(folder: str, head: Head, last: int) -> VerificationFailed:
    expected = f"record {head.tail.sequence} in segment {head.tail.segment}, which a head of {head.created_at} proves"
    got = f"segment {last} as the last one" if last else "no segment"
    return VerificationFailed(f"expected {expected}; got {got}", where=folder, hint=_HINT, code="tail_truncated")


def _start(folder: str, chain: str, ring: Keyring, head: Head | None, last: int) -> Tail:
    """From where the last segment has to be read: the head's place in it, or its beginning."""
    if head and head.tail.segment == last:
        return head.tail
    if last == 1:
        return Tail()
    before = names.read_head(names.head_path(folder, last - 1), chain, ring, last - 1)
    if before is None:
        raise _head_missing(folder, f"the head of segment {last - 1}")
    return Tail(last, 0, before.tail.sequence, before.tail.digest)


def _head_missing(folder: str, name: str) -> VerificationFailed:
    return VerificationFailed(f"expected {name}, got none", where=folder, hint=_HINT, code="head_missing")


def _walk(fd: int, path: str, chain: str, start: Tail, opener: Opener) -> Found:
    size = os.fstat(fd).st_size
    end = names.end_of_lines(fd, size)
    _check_start(fd, path, start, end)
    tail = start
    signs = 0
    with open(os.dup(fd), "rb", buffering=1 << 16) as stream:
        stream.seek(start.size_bytes)
        while tail.size_bytes < end:
            line = stream.readline(records.MAX_LINE_BYTES + 1)
            record = _check_next(line, path, chain, tail, opener)
            tail = Tail(tail.segment, tail.size_bytes + len(line), tail.sequence + 1, _digest(line[:-1]))
            signs += record.get("event") in records.SIGNS_OF_LIFE
    if signs > 1:
        message = f"expected a head after the last sign of life, got one that is {signs} behind"
        raise VerificationFailed(message, where=path, hint=_HINT, code="head_stale")
    return Found(tail, size - end)


def _check_start(fd: int, path: str, start: Tail, end: int) -> None:
    if start.size_bytes > end:
        message = f"expected {start.size_bytes} bytes, which a head proves; got {end}"
        raise VerificationFailed(message, where=path, hint=_HINT, code="tail_truncated")
    if start.size_bytes and _digest(names.last_line(fd, start.size_bytes)) != start.digest:
        message = f"expected record {start.sequence} as the last head names it, got another one"
        raise VerificationFailed(message, where=path, hint=_HINT, code="head_mismatch")


def _check_next(line: bytes, path: str, chain: str, tail: Tail, opener: Opener) -> dict[str, object]:
    """The record of one more line."""
    sequence = tail.sequence + 1
    where = f"{path}, record {sequence}"
    try:
        record = opener.open(line[:-1] if line.endswith(b"\n") else line)
        records.check_record(record)
    except VerificationFailed as error:
        raise VerificationFailed(error.message, where=where, hint=_HINT, code=error.error_code) from error
    if (record["chain"], record["sequence"], record["prev_digest"]) != (chain, sequence, tail.digest):
        message = "expected the record that follows the one before it, got another one"
        raise VerificationFailed(message, where=where, hint=_HINT, code="link_broken")
    return record


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
