"""The listener: connections accepted on one socket up to a cap, a thread or a place at the desk for each, and an orderly end.

Invariants: the accepting thread never waits for a client; when `serve` has returned, no thread and no
descriptor of a client is left (but for a handler that hangs: those are counted).
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

from . import binding, http_response
from ..errors import GaitError
from .channel import Channel, Gone, TlsChannel
from .connection import Access, Connection, Terms
from .desk import IS_POSSIBLE, Desk
from .http_request import Admission, Head, Limits, Refusal, Request
from .http_response import Response

_POLL_SECONDS = 0.1  # how soon `stop` is noticed
_PAUSE_SECONDS = 0.05  # after the system had no descriptor left
_STEP_SECONDS, _MOST_STEPS = 0.00025, 8  # of giving way to another process that accepts on the same socket
_HOLD_SECONDS = 0.5  # so long a client that was turned away may take to read why
_HELD = 64
_ABORT_SECONDS = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """HTTP/1.1 on a TCP or Unix socket.  `serve` blocks until `stop`; the rest may be called from any thread.

    `address`: `host:port`, `unix:/path`, or a listening socket, which then belongs to the listener.
    `handle`: Request -> Response, called in the client's thread.  An exception gives a 500 that says nothing of it.
    `on_refusal(error, peer)`: each request that never came to `handle`, and each failure (with its `__cause__`).
    `access_log(Access)`: each answer.
    `is_quick(head, data)`: the requests whose handler neither waits nor streams; `data` begins with the head, and has all that came.  One thread answers those of all plain connections
    (desk.py); without it, each connection has a thread.
    `is_shared`: other processes accept on the same socket.  Who has more clients gives way for a moment, so that each gets its share.
    """

    def __init__(
        self,
        address: str | socket.socket,
        handle: Callable[[Request], Response],
        *,
        on_refusal: Callable[[GaitError, str], None],
        access_log: Callable[[Access], None] | None = None,
        admission: Admission = Admission(),
        limits: Limits = Limits(),
        tls: ssl.SSLContext | None = None,
        is_quick: Callable[[Head, bytes], bool] | None = None,
        is_shared: bool = False,
    ) -> None:
        backlog = min(max(limits.connections, 128), 1024)
        bound = binding.bind(binding.read_address(address), backlog) if isinstance(address, str) else binding.Bound(address)
        self.address = binding.name(bound.socket)
        terms = Terms(handle, limits, admission, on_refusal, access_log, is_quick, is_alone=lambda: self._server.is_alone)
        self._server = _Server(bound, terms, tls, is_shared)

    @property
    def in_flight(self) -> int:
        """How many requests are being handled or answered now."""
        return sum(connection.is_answering for connection in self._server.clients())

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._server.clients())

    @property
    def is_stopping(self) -> bool:
        """True after `stop`: a stream that would never end by itself looks at this."""
        return self._server.is_stopping

    def serve(self) -> int:
        """Serve until `stop`, then finish what is in flight.  Returns how many handlers had not ended after all (0).

        Signal handlers call `stop`: an exception raised by one can get lost in the standard library's locks.
        """
        try:
            self._server.serve_forever(_POLL_SECONDS)
        except _Stopped:
            pass
        finally:
            left = self._server.finish()
        return left

    def stop(self, grace_seconds: float) -> None:
        """Accept no more, and cut what is still in flight after the grace.  Returns at once; a signal handler may call it.

        A second call can only shorten the grace.
        """
        self._server.deadline = min(self._server.deadline, time.monotonic() + grace_seconds)
        self._server.is_stopping = True


class _Stopped(Exception):
    """Ends `serve_forever` from within: its own `shutdown` would wait for itself in a signal handler."""


class _Server(ThreadingHTTPServer):
    """The standard library's loop, with Gait's own accepting, threads and requests.  All of it is the accepting thread's."""

    def __init__(self, bound: binding.Bound, terms: Terms, tls: ssl.SSLContext | None, is_shared: bool) -> None:
        self.address_family = bound.socket.family
        super().__init__(("", 0), BaseHTTPRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound.socket
        self.socket.setblocking(False)  # another process on the same socket may take the client first
        self.is_stopping = False
        self.deadline = float("inf")
        self.workers: dict[threading.Thread, Connection] = {}
        self._bound = bound
        self._terms = terms
        self._tls = tls
        self._is_shared = is_shared
        self._done: deque[threading.Thread] = deque()
        self._lobby = _Lobby()
        self._desk = Desk(self._start) if terms.is_quick and IS_POSSIBLE and tls is None else None
        self._is_exhausted = False

    def clients(self) -> list[Connection]:
        """Those at the desk and those with a thread; one on the way to its thread may be in it twice, and is never missing."""
        waiting = list(self._desk.connections.values()) if self._desk else []
        return waiting + list(self.workers.values())

    @property
    def is_alone(self) -> bool:
        """Whether there is one client only."""
        return len(self.workers) + (len(self._desk.connections) if self._desk else 0) == 1

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next client.  OSError: there is none after all, or the system is out of descriptors."""
        if self._is_shared:
            time.sleep(min(len(self.clients()), _MOST_STEPS) * _STEP_SECONDS)
        try:
            sock, place = self.socket.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._wait_for_descriptors(error)
            raise
        self._is_exhausted = False
        return sock, place

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new client a thread of its own or a place at the desk, or 503 where none is left."""
        peer = _peer(client_address)
        self._reap()
        if len(self.clients()) >= self._terms.limits.connections:
            self._turn_away(request, peer)
            return
        connection = Connection(self._channel(request), peer, self._terms)
        if self._desk:
            self._desk.take(connection)
        else:
            self._start(connection)

    def _start(self, connection: Connection, release: Callable[[], None] = lambda: None) -> None:
        """Give a client a thread; `release` ends its time at the desk.  RuntimeError: the system has no further thread."""
        thread = threading.Thread(target=self._work, args=(connection,), name=f"gait-client {connection.peer}", daemon=False)
        self.workers[thread] = connection
        release()
        try:
            thread.start()
        except RuntimeError:
            del self.workers[thread]
            connection.close()
            raise

    def shutdown_request(self, request: Any) -> None:
        """Called when `process_request` raised, by a signal too: the socket is closed there, or is in a thread's hands."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What `process_request` raised.  The end of a client that left at once is no news; want of a thread is."""
        import sys

        error = sys.exc_info()[1]
        if not isinstance(error, (Gone, OSError)):
            self._report(_failed("cannot serve a connection", error), _peer(client_address))

    def service_actions(self) -> None:
        """What is to be done between two clients."""
        self._reap()
        self._lobby.close_before(time.monotonic())
        if self.is_stopping:
            raise _Stopped

    def finish(self) -> int:
        """The orderly end.  Returns how many threads are left."""
        if not self.is_stopping:  # an exception ended the loop
            self.deadline = 0.0
        binding.release(self._bound)
        self._lobby.close_before(float("inf"))
        for connection in self.clients():
            connection.finish()
        while self.clients() and time.monotonic() < self.deadline:
            self._pause()
        deadline = time.monotonic() + _ABORT_SECONDS
        while self.clients() and time.monotonic() < deadline:
            for connection in self.clients():
                connection.abort()
            self._pause()
        if self._desk:
            self._desk.close()
        return len(self.clients())

    def _channel(self, sock: socket.socket) -> Channel:
        try:
            return Channel(sock) if self._tls is None else TlsChannel(sock, self._tls)
        except BaseException:
            sock.close()
            raise

    def _pause(self) -> None:
        time.sleep(0.005)
        self._reap()

    def _work(self, connection: Connection) -> None:
        connection.run()
        self._done.append(threading.current_thread())

    def _reap(self) -> None:
        while self._done:
            thread = self._done[0]
            thread.join()
            self.workers.pop(thread, None)
            self._done.popleft()  # last: a signal's exception in between loses no thread

    def _turn_away(self, sock: socket.socket, peer: str) -> None:
        message = f"expected at most {self._terms.limits.connections} connections, got one more"
        refusal = Refusal(503, "too_many_connections", message, "try again", (("Retry-After", "1"),))
        self._report(refusal, peer)
        # A TLS client gets no answer: it would need the handshake.
        answer = http_response.dumps(http_response.of_error(refusal, refusal.headers), "", http_response.CLOSE)
        self._lobby.take(sock, b"" if self._tls else answer)

    def _wait_for_descriptors(self, error: OSError) -> None:
        self._lobby.close_before(float("inf"))
        if not self._is_exhausted:  # said once, not twenty times a second
            self._is_exhausted = True
            self._report(_failed("cannot accept a connection", error), "")
        time.sleep(_PAUSE_SECONDS)

    def _report(self, error: GaitError, peer: str) -> None:
        try:
            self._terms.on_refusal(error, peer)
        except Exception:
            pass  # a report that fails must not stop the listener


class _Lobby:
    """Clients that were turned away.  Closed at once, with their request unread, they would be reset and lose the answer."""

    def __init__(self) -> None:
        self._sockets: deque[tuple[float, socket.socket]] = deque()

    def take(self, sock: socket.socket, answer: bytes) -> None:
        """Answer without waiting, and keep the socket for a moment."""
        try:
            sock.setblocking(False)
            sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        if len(self._sockets) >= _HELD:
            self._sockets.popleft()[1].close()
        self._sockets.append((time.monotonic() + _HOLD_SECONDS, sock))

    def close_before(self, now: float) -> None:
        """Close those whose moment is over."""
        while self._sockets and self._sockets[0][0] <= now:
            self._sockets.popleft()[1].close()


def _peer(place: Any) -> str:
    if not isinstance(place, tuple):
        return "unix"
    host, port = place[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _failed(message: str, cause: BaseException | None) -> GaitError:
    reason = cause.strerror if isinstance(cause, OSError) else str(cause)
    error = GaitError(f"{message}: {reason}", hint="raise the limits of open files and threads", code="accept_failed")
    error.__cause__ = cause
    return error
