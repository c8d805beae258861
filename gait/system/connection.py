"""One client's connection: its requests read, admitted, handled and answered, one after the other.

Invariant: after anything that this module refuses, the connection is closed.
"""

from __future__ import annotations

import time
from typing import Callable, Iterator, NamedTuple, TypeVar

from . import http_response
from ..errors import GaitError
from .channel import Channel, Gone, TimedOut
from .http_reader import Reader
from .http_request import Admission, Head, Limits, Refusal, Request
from .http_response import Response

_LINGER_SECONDS = 1.0
_HALF_SECONDS = 0.5  # in which the other half of a request mostly follows: many clients send head and body one after the other
STAYS, SLOW, ENDED = "stays", "slow", "ended"  # what `attend` says of its connection

_Found = TypeVar("_Found")


class Access(NamedTuple):
    """One line of an access log.  Method and path are empty for a request that had none; the path is raw ASCII."""

    peer: str
    method: str
    path: str
    status: int
    sent_bytes: int
    seconds: float


def _never() -> bool:
    return False


class Terms(NamedTuple):
    """What a listener agreed with its caller about every connection.  `is_alone`: there is one client only."""

    handle: Callable[[Request], Response]
    limits: Limits
    admission: Admission
    on_refusal: Callable[[GaitError, str], None]
    access_log: Callable[[Access], None] | None = None
    is_quick: Callable[[Head, bytes], bool] | None = None
    is_alone: Callable[[], bool] = _never


class Connection:
    """`run` serves the client in the thread that calls it; `finish` and `abort` come from another.

    Before `run`, `attend` may have answered requests without waiting (desk.py).  It leaves what it could not do to `run`: a
    head without its body, a refusal, the rest of an answer.
    """

    __slots__ = (
        "_channel", "peer", "_terms", "_reader", "_deadline", "_sent", "_is_waiting", "_is_last", "_lingers", "is_answering",
        "_head", "_refusal", "_unsent", "expires_at", "half_at",
    )  # fmt: skip

    def __init__(self, channel: Channel, peer: str, terms: Terms) -> None:
        self._channel = channel
        self.peer = peer
        self._terms = terms
        self._reader = Reader(terms.limits)
        self._deadline = time.monotonic() + terms.limits.header_seconds  # of the first head, a TLS handshake included
        self._sent = 0
        self._is_waiting = self._is_last = self._lingers = False
        self.is_answering = False
        self._head: Head | None = None
        self._refusal: Refusal | None = None
        self._unsent = b""
        self.expires_at = self._deadline  # monotonic seconds: until then the client may say nothing
        self.half_at = 0.0  # monotonic seconds: a part of a request came to `attend`, and its time began; 0: none did

    def run(self) -> None:
        """Serve until one side has enough.  Raises nothing."""
        try:
            self._channel.open(self._deadline - time.monotonic())
            if self._unsent:
                self._send(self._unsent)
            while not self._lingers and self._exchange():
                pass
        except Gone:
            self._lingers = False
        except Exception as error:
            self.report(error)
        finally:
            self._channel.close(_LINGER_SECONDS if self._lingers else 0)

    def begin(self) -> int:
        """Wait for a first request to `attend`.  The socket's descriptor."""
        self._is_waiting = True
        return self._channel.fileno()

    def attend(self) -> str:
        """Take what has come and answer it, as long as that needs no waiting: STAYS, SLOW (for `run`) or ENDED (for `close`).

        It is to be called once more for the other half of a request; `expires_at` says until when.
        """
        self._is_waiting = False
        try:
            data = self._channel.receive_now()
            if not data:
                return SLOW if self.half_at else ENDED
            self._reader.feed(data)
            head = self._head = self._head or self._reader.head()
            if head is None:
                return self._half()
            if not self._terms.is_quick(head, self._reader.seen):  # type: ignore[misc]
                return SLOW
            self._terms.admission.check(head)
            body = self._reader.body(head.length)
        except Gone:
            return ENDED
        except Refusal as refusal:
            self._refusal = refusal
            return SLOW
        if body is None:
            return SLOW if head.expects_continue else self._half()
        return self._attend(head, body)

    def _half(self) -> str:
        if self.half_at:
            return SLOW
        self.half_at = time.monotonic()
        self.expires_at = self.half_at + _HALF_SECONDS
        return STAYS

    def _attend(self, head: Head, body: bytes) -> str:
        self._head, self._deadline, self.half_at = None, 0.0, 0.0
        try:
            self._lingers = not self._answer(head, body, self._send_now)
        except Gone:
            return ENDED
        self.expires_at = time.monotonic() + self._terms.limits.idle_seconds
        self._is_waiting = True  # before the look at _is_last, which `finish` sets first
        return SLOW if self._lingers or self._unsent or self._reader.has_begun or self._is_last else STAYS

    def finish(self) -> None:
        """Let the request in hand be the last one; end the wait for a next one."""
        self._is_last = True
        if self._is_waiting:
            self._channel.wake()

    def abort(self) -> None:
        """End it now."""
        self._channel.abort()

    def close(self) -> None:
        """For a connection that was never run."""
        self._channel.close(0)

    def _exchange(self) -> bool:
        """One request and its answer.  False: the connection is to be closed."""
        head, self._head = self._head, None
        try:
            if self._refusal:
                raise self._refusal
            head = head or self._receive_head()
            if head is None:
                return False
            self._terms.admission.check(head)
            body = self._receive_body(head)
        except Refusal as refusal:
            self._refuse(refusal, head)
            return False
        self._deadline = self.half_at = 0.0
        self._lingers = not self._answer(head, body, self._send)
        return not self._lingers

    def _receive_head(self) -> Head | None:
        """None: the client has no further request, or does not come up with one."""
        if self._reader.has_begun:
            head = self._reader.head()
            if head is not None:  # it came together with the request before
                return head
        if not self._reader.has_begun:
            data = self._wait()
            if not data:
                return None
            self._reader.feed(data)
        return self._until(self._reader.head, self._deadline or self._began() + self._terms.limits.header_seconds)

    def _wait(self) -> bytes:
        """The first bytes of a request; none when it is not worth while to wait longer."""
        seconds = self._deadline - time.monotonic() if self._deadline else self._terms.limits.idle_seconds
        self._is_waiting = True
        try:
            if self._terms.is_alone():
                self._channel.look()
            return b"" if self._is_last else self._channel.receive(seconds)
        except TimedOut:
            return b""
        finally:
            self._is_waiting = False

    def _receive_body(self, head: Head) -> bytes:
        body = self._reader.body(head.length)
        if body is not None:
            return body
        if head.expects_continue:
            self._send(http_response.CONTINUE)
        return self._until(lambda: self._reader.body(head.length), self._began() + self._terms.limits.body_seconds)

    def _began(self) -> float:
        """When the wait for the rest of a request began."""
        return self.half_at or time.monotonic()

    def _until(self, step: Callable[[], _Found | None], deadline: float) -> _Found:
        """What the reader gives as soon as enough has come.  Refusal 408: too slow; 400: the client ended half-way."""
        while True:
            found = step()
            if found is not None:
                return found
            try:
                data = self._channel.receive(deadline - time.monotonic())
            except TimedOut:
                raise Refusal(408, "request_timeout", "expected the request in time, got a part of it", "send it faster") from None
            if not data:
                raise Refusal(400, "incomplete_request", "expected a whole request, got a part of one")
            self._reader.feed(data)

    def _answer(self, head: Head, body: bytes, send: Callable[[bytes], None]) -> bool:
        """False: the connection is to be closed."""
        self.is_answering = True
        started = time.monotonic()
        path, _, query = head.target.partition("?")
        request = Request(head.method, head.target, path, query, head.headers, body, self.peer, self._channel.is_connected)
        response, data, keep = self._handled(head, request)
        try:
            if data is None:
                return self._stream(head, response, keep)
            send(data)
            return keep
        finally:
            self.is_answering = False
            self._log(head.method, path, response.status, started)

    def _handled(self, head: Head, request: Request) -> tuple[Response, bytes | None, bool]:
        """The answer, its bytes (None for a stream), and whether the connection may be kept."""
        try:
            response = self._terms.handle(request)
            keep = head.keep_alive and not response.close and not self._is_last
            if http_response.is_stream(response):
                return response, None, keep
            return response, http_response.dumps(response, head.method, _connection(head, keep)), keep
        except Exception as error:
            self._report(_failed("the request could not be answered", error))
            response = http_response.of_error(GaitError("the request could not be answered", hint="see the server's log"))
            return response, http_response.dumps(response, head.method, http_response.CLOSE), False

    def _refuse(self, refusal: Refusal, head: Head | None) -> None:
        started = time.monotonic()
        refusal.seen = self._reader.seen
        self._report(refusal)
        method, path = (head.method, head.target.partition("?")[0]) if head else ("", "")
        self._send(http_response.dumps(http_response.of_error(refusal, refusal.headers), method, http_response.CLOSE))
        self._lingers = True
        self._log(method, path, refusal.http_status, started)

    def _stream(self, head: Head, response: Response, keep: bool) -> bool:
        """Send the parts as they come, no faster than the client reads them.  False: the connection is to be closed."""
        chunked = head.minor == 1
        framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
        parts: Iterator[bytes] = response.body  # type: ignore[assignment]
        try:
            self._send(http_response.dump_head(response, framing, _connection(head, keep and chunked)))
            if not http_response.has_body(head.method, response.status):
                return keep and chunked
            for part in parts:
                if part:
                    self._send(http_response.dump_chunk(part) if chunked else part)
                elif not self._channel.is_connected():
                    return False
            if chunked:
                self._send(http_response.LAST_CHUNK)
            return keep and chunked
        finally:
            getattr(parts, "close", _nothing)()

    def _send(self, data: bytes) -> None:
        self._channel.send(data, self._terms.limits.write_seconds)
        self._sent += len(data)

    def _send_now(self, data: bytes) -> None:
        """What the client does not take at once stays in `_unsent`."""
        self._unsent = data[self._channel.send_now(data) :]
        self._sent += len(data) - len(self._unsent)

    def _log(self, method: str, path: str, status: int, started: float) -> None:
        sent, self._sent = self._sent, 0
        if self._terms.access_log is not None:
            self._terms.access_log(Access(self.peer, method, path, status, sent, time.monotonic() - started))

    def report(self, cause: Exception) -> None:
        """Tell of a failure that no client can be told of."""
        self._report(_failed("the connection failed", cause))

    def _report(self, error: GaitError) -> None:
        try:
            self._terms.on_refusal(error, self.peer)
        except Exception:
            pass  # a report that fails must not keep the client from its answer, or the thread from its end


def _connection(head: Head, keep: bool) -> str:
    if not keep:
        return http_response.CLOSE
    return "" if head.minor else http_response.KEEP


def _failed(message: str, cause: Exception) -> GaitError:
    """What is reported: the client's text, and the exception as its cause for the server's own log."""
    error = GaitError(message)
    error.__cause__ = cause
    return error


def _nothing() -> None:
    """Stands in for the `close` of an iterator that has none."""
