"""The sessions of a bridge: each has a server process of its own, and the streams that its client can come back to.

Invariant: processes are bounded in number, and each one that was started is ended.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from .link import Busy, Ended, Link
from .routes import SessionRoutes
from .streams import Request, Room, Stream

_MAX_FINISHED = 16
_MAX_FINISHED_BYTES = 1 << 20
_END_SECONDS = 5.0  # beyond the grace, for the processes that are ended at once


class Limits(NamedTuple):
    """Of one bridge.  `resume_seconds`: how long a client whose stream broke off may take to come back."""

    sessions: int = 64
    idle_seconds: float = 1800.0
    resume_seconds: float = 300.0
    grace_seconds: float = 2.0
    room: Room = Room()


class Session:
    """One client's.  `version` is the negotiated revision, as soon as the server has given it."""

    def __init__(self, limits: Limits) -> None:
        self.id = secrets.token_hex(24)
        self.version = ""
        self.general = Stream("0", room=limits.room)
        self.routes = SessionRoutes(self.general)
        self.link: Link | None = None
        self._limits = limits
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._made = 0
        self._lock = threading.Lock()

    def stream(self, request: Request, room: Room) -> Stream:
        """A new one."""
        with self._lock:
            self._made += 1
            return Stream(str(self._made), request, room)

    def keep(self, stream: Stream) -> None:
        """Its client may come back to it; of those that are over, only the newest are kept."""
        with self._lock:
            self._streams[stream.name] = stream
            finished = [known for known in reversed(list(self._streams.values())) if known.is_over and not known.is_attached]
            size = 0
            for number, known in enumerate(finished, 1):
                size += known.kept_bytes
                if number > _MAX_FINISHED or size > _MAX_FINISHED_BYTES:
                    del self._streams[known.name]

    def find(self, name: str) -> Stream | None:
        """The stream of that name, if it is kept."""
        with self._lock:
            return self.general if name == self.general.name else self._streams.get(name)

    def expire(self, now: float) -> None:
        """Give up what nobody came back for."""
        with self._lock:
            late = [known for known in self._streams.values() if not known.is_attached and now - known.left_at > self._limits.resume_seconds]
            for stream in late:
                del self._streams[stream.name]
        for stream in late:
            if self.link is not None and not stream.is_over:
                self.link.release(stream, "cancelled")

    @property
    def running(self) -> Link:
        """Its server.  Ended: there is none."""
        if self.link is None:
            raise Ended("the server was not started")
        return self.link

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.link is not None and not self.link.streams

    def is_forgotten(self, now: float) -> bool:
        """Whether its client has been silent for long, and does not listen."""
        is_quiet = self.is_idle and not self.general.is_attached
        return is_quiet and now - max(self.used_at, self.general.left_at) > self._limits.idle_seconds

    @property
    def used_at(self) -> float:
        """When its client last sent something."""
        return self.link.used_at if self.link is not None else time.monotonic()


class Sessions:
    """One bridge's.  Safe to use from several threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, Session] = {}
        self._starting = 0
        self._ending: list[threading.Thread] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def open(self, session: Session, start: Callable[[], Link]) -> None:
        """Start a session's server; where there is no place, end the session that has been idle for longest.  Busy, and what `start` raises."""
        evicted = self._take_place()
        try:
            if evicted is not None:
                self._end(evicted, "cancelled", "the session was ended to make room")
            session.link = start()
            with self._lock:
                is_late = self._is_closed
                self._sessions[session.id] = session
        finally:
            with self._lock:
                self._starting -= 1
        if is_late:
            self.end(session.id, "cancelled", "the gateway has ended")

    def _take_place(self) -> Session | None:
        with self._lock:
            self._ending = [thread for thread in self._ending if thread.is_alive()]
            used = len(self._sessions) + self._starting
            idle = min([known for known in self._sessions.values() if known.is_idle], key=lambda known: known.used_at, default=None)
            is_full = used >= self._limits.sessions
            if self._is_closed or (is_full and idle is None) or len(self._ending) >= self._limits.sessions:
                raise Busy(f"expected at most {self._limits.sessions} sessions, got one more", code="too_many_sessions")
            self._starting += 1
            return self._sessions.pop(idle.id) if is_full and idle is not None else None

    def find(self, session_id: str) -> Session | None:
        """None for a session that never was, or has ended."""
        session = self._sessions.get(session_id)
        return session if session is not None and session.link is not None and not session.link.is_over else None

    def end(self, session_id: str, status: str, reason: str) -> None:
        """The session is over; its process ends in the background.  Calls under way get this outcome."""
        with self._lock:
            session = self._sessions.pop(session_id, None)
        if session is not None:
            self._end(session, status, reason)

    def expire(self) -> None:
        """End the sessions whose clients have forgotten them, or whose process has ended."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.link is not None and session.link.is_over:
                self._sessions.pop(session.id, None)
            elif session.is_forgotten(now):
                self.end(session.id, "cancelled", "the session was idle for too long")
            else:
                session.expire(now)

    def close(self) -> None:
        """End all, and wait until their processes are gone."""
        with self._lock:
            self._is_closed = True
            left = list(self._sessions)
        for session_id in left:
            self.end(session_id, "never_answered", "the gateway has ended")
        deadline = time.monotonic() + self._limits.grace_seconds + _END_SECONDS
        for thread in list(self._ending):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _end(self, session: Session, status: str, reason: str) -> None:
        if session.link is None:
            return
        thread = threading.Thread(target=session.link.end, args=(self._limits.grace_seconds, status, reason), name="gait-end-server", daemon=True)
        thread.start()
        with self._lock:
            self._ending.append(thread)
