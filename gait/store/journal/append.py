"""A chain of a long-running process: any number of threads append to it, and a failing disk is survived.

Invariant: `append` returns only when the record is in the chain, and on the disk where `durability` is `power`.
"""

from __future__ import annotations

import os
from threading import Condition, RLock
from types import TracebackType

from ...errors import StorageError
from ...formats.fields import unknown_word
from ...signing.keys import Key, Keyring
from ...system import files
from . import folder as names
from . import records
from .records import Tail
from .retention import Limits
from .writer import Writer

DURABILITIES = ("process", "power")


class Journal:
    """One chain, held by this process alone until `close`.  Open it after the last fork: a child would hold it too."""

    def __init__(self, root: str, chain: str, ring: Keyring, durability: str, limits: Limits) -> None:
        if durability not in DURABILITIES:
            raise unknown_word(("durability",), DURABILITIES, durability)
        self.root = os.path.abspath(root)
        self._power = durability == "power"
        self._writer = Writer(os.path.join(self.root, records.check_chain(chain)), chain, ring, limits, self._power)
        # Python 3.9 may deliver a signal between the body of `with` and the release: the same thread must get in again.
        self._lock = RLock()  # not the condition itself: entering that can be interrupted with the lock taken
        self._changed = Condition(self._lock)
        self._syncing = False
        self._is_open = False
        self._hold: files.Lock | None = None
        self._device = 0

    @classmethod
    def open(
        cls, root: str, chain: str, ring: Keyring, *, durability: str = "process", limits: Limits = Limits()
    ) -> Journal:
        """Take a chain of the journal in `root`, both made when they are not there.

        StorageError `journal_in_use`: another process or Journal holds it.  VerificationFailed: its end is damaged.
        """
        journal = cls(root, chain, ring, durability, limits)
        files.private_directory(journal.folder)
        journal._take()
        try:
            names.tidy(journal.folder)
            journal._writer.open()
            if journal.tail.sequence:
                journal._write_head("heartbeat")
            journal._device = os.stat(journal.root).st_dev
            journal._is_open = True
        except BaseException:
            journal.abandon()
            raise
        return journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def folder(self) -> str:
        """The chain's folder."""
        return self._writer.folder

    @property
    def chain(self) -> str:
        """The chain's name."""
        return self._writer.chain

    @property
    def key(self) -> Key:
        """The key that signs its records."""
        return self._writer.key

    @property
    def tail(self) -> Tail:
        """Where the chain ends; records that wait for the disk included."""
        return self._writer.tail

    @property
    def usable(self) -> bool:
        """False after a failure, until an append has recovered."""
        return self._writer.usable

    @property
    def problem(self) -> str:
        """What retention could not remove, and why; empty when all is well."""
        return self._writer.problem

    def append(self, record: dict[str, object]) -> dict[str, object]:
        """Add a record and return it, linked and signed.

        StorageError: it is not acknowledged, and no allow may be given; a later append recovers when the disk does.
        InvalidInput: no journal takes it (schema, size, a signature or links of its own).
        """
        with self._lock:
            writer = self._ready()
            signed = writer.append(record)
            generation, sequence = writer.generation, writer.tail.sequence
        if self._power:
            self._commit(sequence, generation)
        return signed

    def event(self, name: str, details: dict[str, object]) -> dict[str, object]:
        """Add an event record.  `armed`, `heartbeat` and `stopped` are followed by a signed head on the disk."""
        with self._lock:
            writer = self._ready()
            signed = writer.event(name, details)
            if name in records.SIGNS_OF_LIFE:
                self._write_head("stopped" if name == "stopped" else "heartbeat")
                return signed
            generation, sequence = writer.generation, writer.tail.sequence
        if self._power:
            self._commit(sequence, generation)
        return signed

    def heartbeat(self) -> dict[str, object]:
        """Add a heartbeat and sign a head: what is written up to here can no longer be cut off unseen."""
        return self.event("heartbeat", {})

    def head(self) -> dict[str, object]:
        """A signed head of this moment, for someone to keep elsewhere."""
        with self._lock:
            return self._writer.head("heartbeat")

    def close(self) -> None:
        """Add `stopped`, sign the last head and let the chain go.  Nothing when it is closed already."""
        if not self._is_open:
            return
        try:
            self.event("stopped", {})
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let the chain go without a word, as a crash would."""
        with self._lock:
            self._is_open = False
            self._writer.close()
            self._release()

    def _write_head(self, reason: str) -> None:
        if self._power:
            self._writer.sync()
        self._writer.write_head(reason)

    def _take(self) -> None:
        hold = files.lock(os.path.join(self.folder, names.LOCK), 0.0)
        try:
            hold.__enter__()
        except StorageError as error:
            if error.error_code != "lock_timeout":
                raise
            message = f"chain {self.chain} is in use: another process writes to it"
            hint = "write to another chain, or stop the other process"
            raise StorageError(message, where=self.folder, hint=hint, code="journal_in_use") from None
        self._hold = hold

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.__exit__(None, None, None)
            self._hold = None

    def _ready(self) -> Writer:
        """The writer, recovered if it has to be.  The lock is held."""
        if not self._is_open:
            raise StorageError("expected an open journal, got a closed one", where=self.folder, code="journal_closed")
        if not self._writer.usable:
            self._recover()
        return self._writer

    def _recover(self) -> None:
        try:
            device = os.stat(self.root).st_dev
        except OSError as error:
            raise names.failed(self.root, "find the journal's folder", error, "journal_missing") from error
        if device != self._device:  # a disk that is not mounted leaves its folder, empty, on another one
            message = "expected the file system that this journal was opened on, got another one"
            raise StorageError(message, where=self.root, hint="mount it again, or start again", code="journal_changed")
        if not (self._writer.is_lost or os.path.lexists(self.folder)):
            message = "the chain's folder was moved away: it is not made anew, so that it can be put back"
            raise StorageError(message, where=self.folder, hint="put it back, or start again", code="journal_missing")
        try:
            files.private_directory(self.folder)
        except StorageError as error:
            error.retryable = True
            raise
        self._release()  # the file that was locked may be gone
        self._take()
        self._writer.recover()

    def _commit(self, sequence: int, generation: int) -> None:
        """Wait until a record is on the disk.  One thread syncs for all that wait; the others append meanwhile."""
        with self._lock:
            while self._writer.generation == generation:
                if self._writer.synced.sequence >= sequence:
                    return
                if self._syncing:
                    self._changed.wait()
                else:
                    self._sync_for_all()
        hint = "the record is not acknowledged; Gait goes on when the disk does"
        raise StorageError(f"cannot sync the segment: {self._writer.why}", where=self.folder, hint=hint, code="sync_failed")

    def _sync_for_all(self) -> None:
        """What was written before this call is durable after it, or lost.  The lock is held, but not while the disk works."""
        writer, tail, generation = self._writer, self._writer.tail, self._writer.generation
        self._syncing = True
        try:
            failure = self._sync_unlocked(writer.fd)
        finally:
            self._syncing = False
            self._changed.notify_all()
        if writer.generation != generation:
            return
        if failure:
            writer.give_up(failure)
        elif tail.sequence > writer.synced.sequence:
            writer.synced = tail

    def _sync_unlocked(self, fd: int) -> OSError | None:
        """Why fsync failed, None when it did not.  Of a duplicate: a rotation may close the segment meanwhile."""
        try:
            fd = os.dup(fd)
        except OSError as error:
            return error
        self._lock.release()
        try:
            os.fsync(fd)
        except OSError as error:
            return error
        finally:
            os.close(fd)
            self._lock.acquire()
        return None
