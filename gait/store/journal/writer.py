"""The end of one chain, in the hands of the one process that holds its lock.  Not for several threads (see append.py).

Invariant: `tail` is what was acknowledged.  The segment ends there, or the writer is not usable until `recover`
has proven that it does; a record that was not acknowledged is taken back or set aside, never built upon.
"""

from __future__ import annotations

import hashlib
import os

from ...errors import GaitError, StorageError
from ...formats import timestamps
from ...signing.keys import Keyring
from ...system import clock, files
from . import folder as names
from . import records, retention
from .records import Tail
from .retention import Limits
from .seals import Sealed, Signer, seal
from .tail import find

_READ_APPEND = os.O_RDWR | os.O_APPEND


class Writer:
    """See the module.  `sync` is True when a record counts only once it is on the disk (`durability power`)."""

    def __init__(self, folder: str, chain: str, ring: Keyring, limits: Limits, sync: bool) -> None:
        self.folder = folder
        self.chain = records.check_chain(chain)
        self.tail = Tail()
        self.synced = Tail()  # the part of the chain that a power failure cannot take
        self.usable = False
        self.generation = 0  # of the hold on the chain: it changes when records that were written are lost
        self.why = ""  # the hold on the chain was given up
        self.problem = ""  # what retention could not remove
        self.fd = -1
        self._ring = ring
        self.key = ring.active
        self._signer = Signer(ring.active)
        self._limits = limits
        self._sync = sync
        self._identity = (0, 0)
        self._path = names.segment_path(folder, self.tail.segment)
        self._reach = 0  # no byte of ours is at or after this offset of the segment
        self._started_at = 0.0

    def open(self) -> None:
        """Find and prove the end of the chain, and set a torn last line aside.  VerificationFailed: see tail.find."""
        found = find(self.folder, self.chain, self._ring)
        self._open_segment(found.tail, os.O_CREAT)
        self._reach = found.tail.size_bytes + found.torn_bytes
        self.usable = True
        try:
            self._set_aside(found.torn_bytes)
        except BaseException as error:
            self.give_up(error)
            raise

    def append(self, record: dict[str, object]) -> dict[str, object]:
        """Link, sign and write a record; the signed record.

        StorageError: it is not in the chain.  InvalidInput: it can be in none (see seals.seal).
        """
        if self._is_due():
            self._rotate()
        return self._append(record)

    def event(self, name: str, details: dict[str, object]) -> dict[str, object]:
        """Append an event record."""
        return self.append(records.event(name, clock.now_text(), details))

    def sync(self) -> None:
        """Make what is written durable.  A failed fsync proves nothing, and repeating it would not either: all of it is lost."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            self.give_up(error)
            raise names.failed(self._path, "sync the segment", error) from error
        self.synced = self.tail

    def head(self, reason: str) -> dict[str, object]:
        """A signed head of what is acknowledged and, where that counts, durable."""
        tail = self.synced if self._sync else self.tail
        return records.head(self.chain, tail, clock.now_text(), reason, self._signer.key)

    def write_head(self, reason: str) -> None:
        """Put a signed head in head.json."""
        names.write_head(names.head_path(self.folder), self.head(reason), self._sync)

    def give_up(self, why: BaseException) -> None:
        """No append before `recover`; what was written and not made durable is lost, where that counts."""
        self.why = str(why)
        self.usable = False
        self.generation += 1
        if self._sync:
            self.tail = self.synced

    def close(self) -> None:
        """Let the segment go."""
        self.usable = False
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def is_lost(self) -> bool:
        """True when the segment was deleted; one that was moved may come back, and must not be built past."""
        return self.fd >= 0 and os.fstat(self.fd).st_nlink == 0

    def recover(self) -> None:
        """Go on where the chain was acknowledged, as soon as that is there again.

        StorageError `journal_changed`: what is there is not that chain.  After a segment that was deleted the chain goes on in a
        new one; verification tells of the records that are gone.
        """
        if self.is_lost and not os.path.lexists(self._path):
            self._start_over()
        else:
            self._open_segment(self.tail, 0)
        torn_bytes = os.fstat(self.fd).st_size - self.tail.size_bytes
        if not 0 <= torn_bytes <= max(0, self._reach - self.tail.size_bytes):
            raise self._changed("expected what this process wrote, got something else")
        self._check_last_line()
        self._set_aside(torn_bytes)
        if self._sync:
            self.sync()
        self.usable = True

    def _start_over(self) -> None:
        """A new segment, and a head that says where the one that is gone ended."""
        tail = self.tail
        if [number for number in names.segments(self.folder) if number > tail.segment]:
            raise self._changed("expected no later segment than this process made, got one")
        if tail.sequence:
            head = records.head(self.chain, tail, clock.now_text(), "rotation", self._signer.key)
            names.write_head(names.head_path(self.folder, tail.segment), head, self._sync)
            names.write_head(names.head_path(self.folder), head, self._sync)
            tail = Tail(tail.segment + 1, 0, tail.sequence, tail.digest)
        self._open_segment(tail, os.O_CREAT)

    def _open_segment(self, tail: Tail, flags: int) -> None:
        """Go on in the segment of a tail."""
        path = names.segment_path(self.folder, tail.segment)
        fd = names.open_segment(path, _READ_APPEND | flags)
        status = os.fstat(fd)
        self.close()
        self.fd = fd
        self._identity = (status.st_dev, status.st_ino)
        self._started_at = _started_at(fd) if tail.size_bytes else 0.0
        if tail.segment != self.tail.segment:
            self._reach = tail.size_bytes
        self._path = path
        self.tail = self.synced = tail
        if self._sync:
            self._sync_names()

    def _sync_names(self) -> None:
        try:
            names.sync_folder(self.folder)
        except OSError as error:
            raise names.failed(self.folder, "sync the folder", error) from error

    def _append(self, record: dict[str, object]) -> dict[str, object]:
        sealed = seal(record, self.chain, self.tail, self._signer)
        self._write(sealed)
        return sealed.record

    def _write(self, sealed: Sealed) -> None:
        before = self.tail
        data = sealed.line + b"\n"
        if self._reach < before.size_bytes + len(data):
            self._reach = before.size_bytes + len(data)
        try:
            _write_all(self.fd, data)
            size = before.size_bytes + len(data)
            self._check_in_place(size)
            self.tail = Tail(before.segment, size, before.sequence + 1, sealed.digest)
        except BaseException as error:
            self._take_back()
            if isinstance(error, OSError):
                raise names.failed(self._path, "append to the segment", error) from error
            raise
        if not before.size_bytes:
            self._started_at = clock.now()

    def _check_in_place(self, size: int) -> None:
        """The answer must not rest on a file that nobody will find: it was removed or replaced, or another process wrote."""
        status = os.lstat(self._path)
        if (status.st_dev, status.st_ino) != self._identity:
            raise self._changed("expected the segment that is open, got another file in its place")
        if status.st_size != size:
            raise self._changed(f"expected {size} bytes, got {status.st_size}: another process wrote")

    def _take_back(self) -> None:
        """The segment as it was before a failed append, or a writer that is not usable."""
        try:
            if self.tail.size_bytes <= os.fstat(self.fd).st_size <= self._reach:
                os.ftruncate(self.fd, self.tail.size_bytes)
            self._check_in_place(self.tail.size_bytes)
            self._check_last_line()
        except (OSError, GaitError) as error:
            self.give_up(error)

    def _check_last_line(self) -> None:
        size = self.tail.size_bytes
        if size and hashlib.sha256(names.last_line(self.fd, size)).hexdigest() != self.tail.digest:
            raise self._changed(f"expected record {self.tail.sequence} as it was acknowledged, got another one")

    def _changed(self, message: str) -> StorageError:
        hint = "see what happened with `gait journal verify`, then start again"
        return StorageError(message, where=self._path, hint=hint, code="journal_changed")

    def _set_aside(self, torn_bytes: int) -> None:
        """Move bytes that are no acknowledged record to a file of their own, and append a record that says so."""
        path = names.torn_path(self.folder, self.tail.sequence + 1)
        if torn_bytes:
            details = self._move(path, self.tail.size_bytes, torn_bytes)
        elif os.path.lexists(path):  # a crash came between the file and its record
            details = _details(path)
        else:
            return
        self._append(records.event("torn_line", clock.now_text(), details))

    def _move(self, path: str, start: int, torn_bytes: int) -> dict[str, object]:
        try:
            digest = names.digest_of(self.fd, start, start + torn_bytes)
            kept = os.pread(self.fd, min(torn_bytes, records.MAX_LINE_BYTES), start)
            files.write_atomic(path, kept, sync=self._sync)
            os.ftruncate(self.fd, start)
        except OSError as error:
            raise names.failed(path, "set a torn line aside", error) from error
        return {"file": os.path.basename(path), "sha256": digest, "size_bytes": torn_bytes}

    def _is_due(self) -> bool:
        if not self.tail.size_bytes:
            return False
        if self.tail.size_bytes >= self._limits.segment_bytes:
            return True
        seconds = self._limits.segment_seconds
        return bool(seconds) and clock.now() - self._started_at >= seconds

    def _rotate(self) -> None:
        """Finish the segment with a signed head, start the next one, and remove what the limits no longer keep."""
        if self._sync:
            self.sync()
        head = self.head("rotation")
        names.write_head(names.head_path(self.folder, self.tail.segment), head, self._sync)
        names.write_head(names.head_path(self.folder), head, self._sync)
        path = names.segment_path(self.folder, self.tail.segment + 1)
        if os.path.lexists(path) and os.lstat(path).st_size:
            raise self._changed("expected no next segment, got one")
        self._open_segment(Tail(self.tail.segment + 1, 0, self.tail.sequence, self.tail.digest), os.O_CREAT)
        self.usable = True
        self._prune()

    def _prune(self) -> None:
        """The record comes first: without it, segments that are gone would be a finding."""
        gone = retention.doomed(self.folder, self.chain, self._ring, self._limits, self.tail.segment, clock.now())
        if gone:
            self._append(records.event("pruned", clock.now_text(), retention.details(gone)))
            self.problem = retention.remove(self.folder, gone)


def _write_all(fd: int, data: bytes) -> None:
    """One write; only a disk that fills up takes less, and then the next one says why."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


def _details(path: str) -> dict[str, object]:
    data = files.read_bounded(path, records.MAX_LINE_BYTES, "a torn line")
    return {"file": os.path.basename(path), "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def _started_at(fd: int) -> float:
    """When the first record of a segment was made, 0 when it does not say so (then the segment is due)."""
    from ...formats import strict_json

    try:
        return timestamps.loads(str(strict_json.loads_object(names.first_line(fd)).get("created_at")))
    except GaitError:
        return 0.0
