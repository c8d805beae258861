"""Journal records of requests that the listener refused before anybody decided about them.

Invariant: whoever sends rubbish fills no disk.  A record each for a minute's worth of them, then one a second; the rest are
counted, and the count is in the next record (`suppressed`), at the latest with the next heartbeat.
"""

from __future__ import annotations

import hashlib
import time
from threading import Lock

from ..errors import StorageError
from ..formats.documents import TYPE_CHECKING
from .ledger import Ledger

if TYPE_CHECKING:
    from ..system.http_request import Refusal

BURST = 60
PER_SECOND = 1.0


class Refusals:
    """Records from any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._allowance = float(BURST)
        self._at = time.monotonic()
        self._suppressed = 0

    def record(self, refusal: Refusal) -> None:
        """Record a refusal: digest, size and reason of what had come of the request, nothing of its content; or count it."""
        if not refusal.seen:  # there was no request, such as of a client beyond the cap
            return
        with self._lock:
            now = time.monotonic()
            self._allowance = min(BURST, self._allowance + (now - self._at) * PER_SECOND)
            self._at = now
            if self._allowance < 1:
                self._suppressed += 1
                return
            self._allowance -= 1
        digest = hashlib.sha256(refusal.seen).hexdigest()
        self._write({"sha256": digest, "bytes": len(refusal.seen), "reason": refusal.error_code})

    def flush(self) -> None:
        """Record how many were only counted since the last record."""
        if self._suppressed:
            self._write({"reason": "suppressed"})

    def _write(self, details: dict[str, object]) -> None:
        with self._lock:
            suppressed, self._suppressed = self._suppressed, 0
        try:
            self._ledger.event("refused_input", {**details, "suppressed": suppressed} if suppressed else details)
        except StorageError:  # the ledger has said so; the client is refused all the same
            with self._lock:
                self._suppressed += suppressed + ("sha256" in details)
