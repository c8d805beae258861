"""The one server process that all stateless requests share.  It is started when it is needed, and again when it has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .link import Busy, Link

_LONG_SECONDS = 10.0  # a server that ran for so long is no failure
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0


class SharedLink:
    """Safe to use from several threads.  `start(on_end)` starts a server; GaitError: it cannot be started."""

    def __init__(self, start: Callable[[Callable[[], None]], Link], grace_seconds: float) -> None:
        self._start = start
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._failures = 0
        self._started_at = self._not_before = 0.0
        self._is_closed = False

    def get(self) -> Link:
        """The server that runs.  Busy: it has just ended, more than once, and is to be started later."""
        with self._lock:
            if self._link is None or self._link.is_over:
                now = time.monotonic()
                if self._is_closed or now < self._not_before:
                    raise Busy("the server has ended again and again: it is started later", code="server_ended")
                self._started_at = now
                try:
                    self._link = self._start(self._ended)
                except BaseException:
                    self._ended()
                    raise
            return self._link

    def close(self) -> None:
        """End it; no other is started."""
        with self._lock:
            self._is_closed = True
            link = self._link
        if link is not None:
            link.end(self._grace_seconds, "never_answered", "the gateway has ended")

    def _ended(self) -> None:
        """The first end is no reason to wait."""
        now = time.monotonic()
        self._failures = self._failures + 1 if now - self._started_at < _LONG_SECONDS else 0
        if self._failures > 1:
            self._not_before = now + min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 2, 10))
