"""The sessions that an upstream has opened over HTTP, and the calls whose stream broke off: they may be answered on a later one.

Invariant: both are bounded, and a call that is dropped here gets its outcome.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from .effects import Outcome
from .interceptor import Interceptor

MAX_SESSIONS = 4096
MAX_KEPT = 4096
KEPT_SECONDS = 600.0
_MAX_ID_CHARS = 512


class _Kept(NamedTuple):
    """Calls of a stream that broke off.  `until`: monotonic seconds.  `status`: their outcome without an answer."""

    until: float
    interceptor: Interceptor
    ids: tuple[str | int, ...]
    status: str


class Sessions:
    """One upstream's.  Safe to use from several threads."""

    def __init__(self, make: Callable[[str], Interceptor], record: Callable[[Outcome], None]) -> None:
        self._make = make
        self._record = record
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Interceptor] = OrderedDict()
        self._kept: deque[_Kept] = deque()

    def interceptor(self, session_id: str) -> Interceptor:
        """The session's; a new one for a session that is not known (yet), or for none."""
        if session_id:
            with self._lock:
                found = self._sessions.get(session_id)
                if found is not None:
                    self._sessions.move_to_end(session_id)
                    return found
        return self._make(session_id)

    def confirm(self, session_id: str, interceptor: Interceptor) -> None:
        """The upstream knows this session."""
        if not session_id or len(session_id) > _MAX_ID_CHARS:
            return
        with self._lock:
            if self._sessions.setdefault(session_id, interceptor) is interceptor:
                interceptor.session_id = session_id
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)

    def keep(self, session_id: str, interceptor: Interceptor, ids: tuple[str | int, ...], status: str) -> None:
        """A stream broke off before its calls were answered.  Without a session nobody can ask for the rest."""
        dropped = [_Kept(0.0, interceptor, ids, status)]
        with self._lock:
            if self._sessions.get(session_id) is interceptor:
                self._kept.append(dropped.pop()._replace(until=time.monotonic() + KEPT_SECONDS))
            while self._kept and (len(self._kept) > MAX_KEPT or self._kept[0].until < time.monotonic()):
                dropped.append(self._kept.popleft())
        self._finish(dropped)

    def end(self, session_id: str) -> None:
        """The session is over."""
        with self._lock:
            interceptor = self._sessions.pop(session_id, None)
            dropped = [kept for kept in self._kept if kept.interceptor is interceptor]
            self._kept = deque(kept for kept in self._kept if kept.interceptor is not interceptor)
        self._finish(dropped)

    def close(self) -> None:
        """All are over."""
        with self._lock:
            dropped = list(self._kept)
            self._sessions.clear()
            self._kept.clear()
        self._finish(dropped)

    def _finish(self, dropped: list[_Kept]) -> None:
        for kept in dropped:
            for effect in kept.interceptor.finish(kept.status, kept.ids):
                if isinstance(effect, Outcome):
                    self._record(effect)
