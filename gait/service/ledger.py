"""The journal, with what became of the last attempt to write to it.

`problem` is for /readyz and for the thread that tries again: a disk that is full leaves the journal itself usable.
"""

from __future__ import annotations

from ..errors import StorageError
from ..store.journal.append import Journal
from .log import say

Record = dict[str, object]


class Ledger:
    """Appends from any thread."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.problem: StorageError | None = None

    def append(self, record: Record) -> Record:
        """The record, linked, signed and written.  StorageError: it is not acknowledged."""
        try:
            signed = self.journal.append(record)
        except StorageError as error:
            self._failed(error)
            raise
        if self.problem:
            self._recovered()
        return signed

    def event(self, name: str, details: Record) -> None:
        """Append an event.  StorageError: it is not acknowledged."""
        try:
            self.journal.event(name, details)
        except StorageError as error:
            self._failed(error)
            raise
        if self.problem:
            self._recovered()

    def _failed(self, error: StorageError) -> None:
        before, self.problem = self.problem, error
        if before is None or before.error_code != error.error_code:  # said once, not for every request
            say("journal_failed", error=str(error), error_code=error.error_code)

    def _recovered(self) -> None:
        self.problem = None
        say("journal_recovered", sequence=self.journal.tail.sequence)
