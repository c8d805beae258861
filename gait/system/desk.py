"""One thread for all clients whose requests can be answered without waiting, which is most of a decision service's work.

A thread for each of them would hand the interpreter from one to the other several times a request, each time with cold caches.
Invariant: this thread waits for no client.  What comes in more than two parts, or too slowly, is slow to be taken, refused or not quick goes
to a thread of its own, for as long as the connection lives.
"""

from __future__ import annotations

import select
import time
from threading import Thread
from typing import Callable

from .connection import ENDED, STAYS, Connection
from .readiness import IS_POSSIBLE as IS_POSSIBLE  # where it is not, every connection has a thread
from .readiness import look

_TICK_SECONDS = 0.1  # how soon a silent client's time is noticed to be over, and `close`


class Desk:
    """`take` from any thread.  `hand_over(connection)` starts a thread for one that this cannot serve any longer."""

    def __init__(self, hand_over: Callable[[Connection, Callable[[], None]], None]) -> None:
        self.connections: dict[int, Connection] = {}
        self._hand_over = hand_over
        self._poll = select.epoll()
        self._is_closing = False
        self._thread = Thread(target=self._run, name="gait-desk", daemon=True)
        self._thread.start()

    def take(self, connection: Connection) -> None:
        """Serve a client from now on."""
        fd = connection.begin()
        self.connections[fd] = connection
        try:
            self._poll.register(fd, select.EPOLLIN)
        except OSError as error:  # the system watches no more of them
            del self.connections[fd]
            connection.report(error)
            connection.close()

    def close(self) -> None:
        """End the thread once no client is left: at once, but for a handler that hangs."""
        self._is_closing = True
        if not self.connections:
            self._thread.join()

    def _run(self) -> None:
        tick = 0.0
        found: list[tuple[int, int]] = []
        while self.connections or not self._is_closing:
            is_busy_with_one = len(found) == len(self.connections) == 1
            found = (look(self._poll) if is_busy_with_one else []) or self._poll.poll(_TICK_SECONDS)
            for fd, _ in found:
                self._attend(fd, self.connections[fd])
            now = time.monotonic()
            if now >= tick:
                tick = now + _TICK_SECONDS
                self._dismiss_silent(now)
        self._poll.close()

    def _attend(self, fd: int, connection: Connection) -> None:
        try:
            fate = connection.attend()
        except Exception as error:
            connection.report(error)
            fate = ENDED
        if fate is ENDED:
            self._release(fd)
            connection.close()
        elif fate is not STAYS:
            self._hand_over_safely(fd, connection)

    def _hand_over_safely(self, fd: int, connection: Connection) -> None:
        try:
            self._hand_over(connection, lambda: self._release(fd))
        except RuntimeError as error:
            connection.report(error)

    def _dismiss_silent(self, now: float) -> None:
        for fd, connection in list(self.connections.items()):
            if connection.expires_at > now:
                continue
            if connection.half_at:
                self._hand_over_safely(fd, connection)
            else:
                self._release(fd)
                connection.close()

    def _release(self, fd: int) -> None:
        """Before the descriptor can be another client's."""
        self._poll.unregister(fd)
        del self.connections[fd]
