"""One chain from its first record to its last: every record is verified, and every damage is found, in constant memory.

A record that is missing, repeated or damaged does not spoil the verdict on the ones after it: the walk goes on from
the place that the next good record, or a segment's signed head, gives.
"""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO, Dict, Iterator, NamedTuple

from ...errors import GaitError, StorageError, VerificationFailed
from ...signing.keys import Keyring
from . import folder as names
from . import records
from .findings import ChainReport, Finding, Findings
from .gaps import Watch
from .outcomes import Calls
from .records import Head, Tail
from .seals import Opener

_Record = Dict[str, object]
_LIMIT = records.MAX_LINE_BYTES + 1  # a line with its newline
_BUFFER = 1 << 18
_ANY = 1 << 60  # so many records may be missing without another finding: how many there were is not known


class Verified(NamedTuple):
    """A record without a finding, and its line as it stands."""

    record: _Record
    line: bytes


class _Skipped(NamedTuple):
    """Segments that are not there: first and last one, the record expected first, and the one that their head ends with."""

    first: int
    last: int
    sequence: int
    until: int


class Walk:
    """Iterate over it for the chain's good records; `report` is valid after that."""

    def __init__(self, folder: str, chain: str, ring: Keyring, heads: list[Head], found: Findings) -> None:
        self._folder = folder
        self._chain = chain
        self._ring = ring
        self._opener = Opener(ring)
        self._found = found
        self._given = heads
        self._watch = Watch(chain)
        self._calls = Calls()
        self._segment = 0
        self._next = 0  # the segment after it
        self._finished = 0  # the record that the last finished segment's head ends with
        self._sequence = 0  # the last record that has its place
        self._digest = records.FIRST_DIGEST  # of its line
        self._damaged = 0  # lines after it that are no records, or could not be read
        self._last: _Record | None = None
        self._first = (0, 0)  # segment and sequence of the first record
        self._count = 0
        self._torn_lines = 0
        self._torn_bytes = 0  # after the last whole line
        self._signs = (0, 0)  # sequences of the last two signs of life
        self._pruned = 0
        self._skipped: list[_Skipped] = []
        self._heads: list[Head] = []  # still to come
        self._proof: Head | None = None

    def __iter__(self) -> Iterator[Verified]:
        self._heads = self._given + self._chain_head()
        number = self._following(0)
        number = self._past_missing(1, number)
        while number:
            yield from self._read_segment(number)
            number = self._next
        self._finish()

    def report(self) -> ChainReport:
        """How much there was, and how far it is proven."""
        proof = self._proof
        proven = (proof.tail.sequence, proof.created_at, proof.reason) if proof else (0, "", "")
        first_segment, first = self._first
        gaps = tuple(self._watch.gaps)
        where = (first, self._sequence, first_segment, self._segment)
        return ChainReport(self._chain, self._count, *where, *proven, self._torn_lines, self._torn_bytes, gaps, self._calls.report())

    # --- segments

    def _following(self, number: int) -> int:
        """The next segment that is there, 0 after the last."""
        return next((found for found in names.segments(self._folder) if found > number), 0)

    def _past_missing(self, first: int, following: int) -> int:
        """Note that segments from `first` on are not there; the one to go on with, which retention may have removed just now."""
        while following > first:
            head = self._segment_head(following - 1)
            if head or os.path.lexists(names.segment_path(self._folder, following)):
                self._skip(first, following - 1, head)
                break
            following = self._following(following)
        return following

    def _skip(self, first: int, last: int, head: Head | None) -> None:
        if head is None or head.tail.sequence < self._sequence:
            self._add("segment_missing", self._sequence + 1, f"segments {first} to {last} are not there", segment=first)
            self._damaged = _ANY
            return
        self._skipped.append(_Skipped(first, last, self._sequence + 1, head.tail.sequence))
        self._go_on_after(head)

    def _go_on_after(self, head: Head) -> None:
        self._sequence, self._digest, self._damaged = head.tail.sequence, head.tail.digest, 0
        self._finished = head.tail.sequence

    def _segment_head(self, number: int) -> Head | None:
        path = names.head_path(self._folder, number)
        try:
            head = names.read_head(path, self._chain, self._ring, number)
        except VerificationFailed as error:
            self._add(error.error_code, self._sequence, error.message, segment=number)
            return None
        if head is None and not self._is_pruned_now(number):
            self._add("head_missing", self._sequence, f"segment {number} is finished and has no head", segment=number)
        return head

    def _is_pruned_now(self, number: int) -> bool:
        """Retention is at work: it removes a segment first, then the head before it.  A pruned record has to say so."""
        if os.path.lexists(names.segment_path(self._folder, number)):
            return False
        if self._segment == number:  # it was read to its end
            self._skipped.append(_Skipped(number, number, self._sequence, self._sequence))
            return True
        return not os.path.lexists(names.segment_path(self._folder, number + 1))

    def _read_segment(self, number: int) -> Iterator[Verified]:
        self._segment = number
        try:
            fd = names.open_segment(names.segment_path(self._folder, number))
        except StorageError as error:
            self._not_read(number, error)
            return
        with open(fd, "rb", buffering=_BUFFER) as stream:
            yield from self._read_lines(stream)
            self._next = self._following(number)
            if not self._next:
                return
            yield from self._read_lines(stream)  # what was added between the two looks
            self._check_torn()
            self._check_end(number)
            self._next = self._past_missing(number + 1, self._next)

    def _check_torn(self) -> None:
        """At the end of the chain, half a line is a crash or a write under way; a finished segment has none."""
        if self._torn_bytes:
            place = self._sequence + 1 + self._damaged
            self._add("torn_line", place, f"{self._torn_bytes} bytes at the end of a finished segment are no whole line")
            self._damaged += 1
            self._torn_bytes = 0

    def _not_read(self, number: int, error: StorageError) -> None:
        self._next = self._following(number)
        if self._next and error.error_code == "segment_missing":  # retention was faster
            self._next = self._past_missing(number, self._next)
            return
        self._add(error.error_code, self._sequence + 1, error.message)
        self._damaged = _ANY

    def _check_end(self, number: int) -> None:
        """A finished segment ends as its head says."""
        head = self._segment_head(number)
        if head is None:
            return
        sequence, digest = head.tail.sequence, head.tail.digest
        if sequence > self._sequence + self._damaged:
            message = f"the segment's head proves records up to {sequence}"
            self._add("segment_truncated", self._sequence + self._damaged + 1, message, until=sequence)
        elif not self._damaged and sequence != self._sequence:
            self._add("head_mismatch", self._sequence, f"the segment's head names record {sequence} as its last")
            return
        elif not self._damaged and self._digest != digest:
            self._add("head_mismatch", sequence, f"the segment's head names another record {sequence} than is here")
            return
        else:
            self._prove(head)
        self._go_on_after(head)

    # --- lines

    def _read_lines(self, stream: BinaryIO) -> Iterator[Verified]:
        """The hot loop: 50,000 records a second and more."""
        readline, open_line, sha256 = stream.readline, self._opener.open, hashlib.sha256
        while True:
            line = readline(_LIMIT)
            if not line.endswith(b"\n"):
                line = self._complete(stream, line)
                if not line:
                    return
            line = line[:-1]
            try:
                record = open_line(line)
            except VerificationFailed as error:
                self._add(error.error_code, self._sequence + 1 + self._damaged, error.message)
                self._damaged += 1
                continue
            digest = sha256(line).hexdigest()
            if (
                record.get("sequence") == self._sequence + 1
                and record.get("prev_digest") == self._digest
                and record.get("chain") == self._chain
                and (record["schema_id"] != records.EVENT or _is_exact(record))
            ):
                self._place(record, self._sequence + 1, digest)
                yield Verified(record, line)
            elif self._judge(record, digest):
                yield Verified(record, line)

    def _complete(self, stream: BinaryIO, line: bytes) -> bytes:
        """The next line after a text without a newline; b"" at the end of the segment."""
        if len(line) < _LIMIT:
            stream.seek(-len(line), os.SEEK_CUR)
            self._torn_bytes = len(line)
            return b""
        self._add("line_too_long", self._sequence + 1 + self._damaged, f"a line is longer than {records.MAX_LINE_BYTES} bytes")
        self._damaged += 1
        while len(line) == _LIMIT and not line.endswith(b"\n"):
            line = stream.readline(_LIMIT)
        return self._read_on(stream)

    def _read_on(self, stream: BinaryIO) -> bytes:
        line = stream.readline(_LIMIT)
        return line if line.endswith(b"\n") else self._complete(stream, line)

    def _note_event(self, record: _Record) -> None:
        """What verification itself needs of the events."""
        name, details = record["event"], record["details"]
        if name in records.SIGNS_OF_LIFE:
            self._watch.event(record, self._last)
            self._signs = (self._signs[1], self._sequence)
        elif name == "outcome":
            self._calls.ended(record, self._sequence, self._first[1])
        elif name == "torn_line":
            self._torn_lines += 1
        elif name == "pruned" and type(details.get("sequence")) is int:  # type: ignore[attr-defined]
            self._pruned = max(self._pruned, details["sequence"])  # type: ignore[index]

    def _place(self, record: _Record, sequence: int, digest: str) -> None:
        self._sequence, self._digest, self._damaged = sequence, digest, 0
        if record["schema_id"] == records.EVENT:
            self._note_event(record)
        elif "upstream" in record:
            self._calls.sent(record, sequence)
        self._last = record
        self._count += 1
        if self._count == 1:
            self._first = (self._segment, sequence)
        if self._heads:
            self._meet_heads()

    def _judge(self, record: _Record, digest: str) -> bool:
        """A signed record that is not the one expected here: say what it is; True when nothing is wrong with it itself."""
        expected = self._sequence + 1
        try:
            records.check_record(record)
        except VerificationFailed as error:
            self._add(error.error_code, expected + self._damaged, error.message)
            self._damaged += 1
            return False
        sequence = int(record["sequence"])  # type: ignore[call-overload]
        if record["chain"] != self._chain:
            self._add("chain_mismatch", sequence, f"a record of chain {record['chain']} is in this one")
            return False
        if sequence < expected:
            self._add_intruder(sequence, digest)
            return False
        is_linked = self._check_link(record, sequence)
        self._place(record, sequence, digest)
        return is_linked

    def _add_intruder(self, sequence: int, digest: str) -> None:
        if digest == self._digest:
            self._add("record_repeated", sequence, f"record {sequence} is here a second time")
        else:
            self._add("record_out_of_order", sequence, f"record {sequence} comes after record {self._sequence}")

    def _check_link(self, record: _Record, sequence: int) -> bool:
        """False when the record before is there and is another one; after missing or damaged ones nobody can tell."""
        missing = sequence - self._sequence - 1 - self._damaged
        if missing > 0:
            first = self._sequence + 1 + self._damaged
            self._add("records_missing", first, f"{missing} records before record {sequence} are not there", until=sequence - 1)
        elif sequence == self._sequence + 1 and record["prev_digest"] != self._digest:
            self._add("link_broken", sequence, f"record {sequence} does not follow the record {sequence - 1} that is here")
            return False
        return True

    # --- heads

    def _chain_head(self) -> list[Head]:
        """The last head, read before the records: what is written meanwhile is no concern of it."""
        try:
            head = names.read_head(names.head_path(self._folder), self._chain, self._ring)
        except GaitError as error:
            self._add(error.error_code, 0, error.message)
            return []
        return [head] if head else []

    def _meet_heads(self) -> None:
        for head in self._heads[:]:
            if head.tail.sequence != self._sequence:
                continue
            self._heads.remove(head)
            if head.tail.digest == self._digest:
                self._prove(head)
            else:
                self._add("head_mismatch", self._sequence, f"a head of {head.created_at} names another record {self._sequence}")

    def _prove(self, head: Head) -> None:
        if self._proof is None or head.tail.sequence >= self._proof.tail.sequence:
            self._proof = head

    def _finish(self) -> None:
        self._watch.finish(self._last)
        for skipped in self._skipped:
            if self._pruned < skipped.until:
                message = f"segments {skipped.first} to {skipped.last} are not there, and no pruned record tells of them"
                self._add("segment_missing", skipped.sequence, message, until=skipped.until, segment=skipped.first)
        last = self._sequence + self._damaged
        for head in self._heads:
            if head.tail.sequence > last:
                until = head.tail.sequence
                self._add("tail_truncated", last + 1, f"a head of {head.created_at} proves records up to {until}", until=until)
        self._check_last_head()

    def _check_last_head(self) -> None:
        """head.json as it is now: there, and not older than what the writer has signed after it."""
        try:
            head = names.read_head(names.head_path(self._folder), self._chain, self._ring)
        except GaitError:
            return  # found at the start
        if head and (head.tail.sequence, head.tail.digest) == (self._sequence, self._digest):
            self._prove(head)
        proven = head.tail if head else Tail()
        if proven.sequence >= max(self._signs[0], self._finished):
            return
        if head is None:
            self._add("head_missing", self._sequence, "head.json is not there")
        else:
            message = f"head.json of {head.created_at} is older than the heads that were signed after it"
            self._add("head_stale", proven.sequence, message)

    def _add(self, code: str, sequence: int, message: str, *, until: int = 0, segment: int = 0) -> None:
        last = max(sequence, until)
        self._found.add(Finding(code, self._chain, segment or self._segment, sequence, last, message))


def _is_exact(record: _Record) -> bool:
    """True when an event has exactly an event's fields; if not, the judge says why."""
    try:
        records.check_record(record)
    except VerificationFailed:
        return False
    return True
