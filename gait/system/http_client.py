"""HTTP/1.1 to one upstream: connections that are kept and bounded, answers that stream, and every wait with an end.

Invariants: a request is sent a second time only when it was never sent whole, or is a GET; no redirect is followed; a connection
is used again only after an answer that ended where it said, and while nothing has come since.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Union

from ..errors import GaitError, InvalidInput
from .channel import Gone, TimedOut
from .http_answer import AnswerHead, AnswerLimits, AnswerReader, Malformed
from .origin import PULSE_SECONDS, Line, Origin, TlsLine, Unwanted, client_tls, connect

_FIELDS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*").fullmatch
_AnyLine = Union[Line, TlsLine]


class BadAnswer(GaitError):
    """What the upstream sent is no answer, or not a whole one; what it did with the request is not known."""

    error_code = "upstream_answer_malformed"
    category = "network_failure"
    http_status = 502
    next_step = "look into the upstream's log"


class Late(GaitError):
    """The upstream took too long; what it did with the request is not known."""

    error_code = "upstream_timeout"
    category = "network_failure"
    http_status = 504
    retryable = True
    next_step = "look into the upstream's log, or allow more time"


class Terms(NamedTuple):
    """Times in seconds.  `answer_seconds`: from the request to the end of the answer's head, and between the parts of a body that
    is read whole.  `idle_seconds`: servers that say nothing of it often close after 5."""

    connect_seconds: float = 10.0
    write_seconds: float = 30.0  # for each 256 KiB
    answer_seconds: float = 300.0
    idle_seconds: float = 4.0
    idle_connections: int = 32
    answer: AnswerLimits = AnswerLimits()


def _always() -> bool:
    return True


class Client:
    """One upstream.  Safe to use from several threads."""

    def __init__(self, origin: Origin, terms: Terms = Terms(), tls: ssl.SSLContext | None = None) -> None:
        self.origin = origin
        self._terms = terms
        self._tls = (tls or client_tls()) if origin.is_tls else None
        self._idle = _Idle(terms)
        self._first_lines = f" {origin.target} HTTP/1.1\r\nHost: {origin.name}\r\nAccept-Encoding: identity\r\n"

    def ask(self, method: str, headers: Iterable[tuple[str, str]], body: bytes = b"", is_wanted: Callable[[], bool] = _always) -> Answer:
        """The answer, as soon as its head is there.  Unreachable, BadAnswer, Late; Unwanted: `is_wanted` said no while waiting."""
        data = self._dumps(method, headers, body)
        deadline = time.monotonic() + self._terms.answer_seconds
        try:
            while True:
                answer = self._try(method, data, deadline, is_wanted)
                if answer is not None:
                    return answer
        except GaitError as error:
            error.where = error.where or self.origin.name
            raise

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    def _try(self, method: str, data: bytes, deadline: float, is_wanted: Callable[[], bool]) -> Answer | None:
        """None: an idle connection turned out to have ended; the request may be sent again."""
        idle = self._idle.take()
        line = idle or connect(self.origin, self._tls, self._terms.connect_seconds, is_wanted)
        exchange = _Exchange(line, self._idle, AnswerReader(method, self._terms.answer))
        try:
            if exchange.send(data):
                return exchange.begin(deadline, is_wanted)
        except _Unanswered:
            if method != "GET":  # the upstream may have done what it was asked
                idle = None
        if idle is None:
            raise BadAnswer("expected an answer, got the end of the connection", code="upstream_closed")
        return None

    def _dumps(self, method: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if not _FIELDS(fields):
            raise InvalidInput("expected header fields of visible characters, got others", where="request to the upstream")
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        return f"{method}{self._first_lines}{length}{fields}\r\n".encode("latin-1") + body


class Answer:
    """One answer.  Read it to its end with `parts` or `read`, or `close` it; the connection ends with an answer cut short."""

    __slots__ = ("status", "headers", "length", "_exchange")

    def __init__(self, head: AnswerHead, exchange: _Exchange) -> None:
        self.status = head.status
        self.headers = head.headers
        self.length = head.length
        self._exchange = exchange

    def parts(self) -> Iterator[bytes]:
        """The body as it comes; an empty part each half second in which nothing does.  BadAnswer: it ends half-way."""
        exchange = self._exchange
        try:
            while True:
                data = exchange.take()
                if data:
                    yield data
                elif exchange.is_done:
                    return
                elif not exchange.receive(PULSE_SECONDS):
                    yield b""
        finally:
            exchange.close()

    def read(self, most: int, is_wanted: Callable[[], bool] = _always) -> bytes:
        """The whole body.  BadAnswer: it is longer than `most` bytes, or ends half-way; Late; Unwanted."""
        found: list[bytes] = []
        size = 0
        heard = time.monotonic()
        try:
            for part in self.parts():
                if part:
                    heard = time.monotonic()
                    size += len(part)
                    found.append(part)
                elif not is_wanted():
                    raise Unwanted
                _check_body(max(size, self.length), most, heard + self._exchange.answer_seconds)
        finally:
            self.close()
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """End it.  The upstream sees that nobody listens any more."""
        self._exchange.close()

    def abort(self) -> None:
        """End the wait for more of it; from another thread."""
        self._exchange.abort()


class _Unanswered(Exception):
    """The connection ended before the first byte of an answer."""


class _Exchange:
    """A request and its answer on one connection, which goes back to the idle ones, or ends, exactly once."""

    __slots__ = ("_line", "_idle", "_reader", "_idle_seconds")

    def __init__(self, line: _AnyLine, idle: _Idle, reader: AnswerReader) -> None:
        self._line: _AnyLine | None = line
        self._idle = idle
        self._reader = reader
        self._idle_seconds = 0.0

    @property
    def is_done(self) -> bool:
        return self._reader.is_done

    @property
    def answer_seconds(self) -> float:
        return self._idle.terms.answer_seconds

    def send(self, data: bytes) -> bool:
        """False: the connection had ended before the last byte was handed over, so the upstream has no whole request."""
        try:
            self._open().send(data, self._idle.terms.write_seconds)
            return True
        except TimedOut:
            self.close()
            raise Late("expected the upstream to take the request, got no room for it in time") from None
        except Gone:
            if self._has_answered():
                return True  # it did not want to read all of it before it answered
            self.close()
            return False
        except BaseException:
            self.close()
            raise

    def begin(self, deadline: float, is_wanted: Callable[[], bool]) -> Answer:
        """Wait for the head."""
        try:
            head = self._head() if self._reader.has_begun else None
            while head is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Late("expected an answer, got none in time")
                if self.receive(min(PULSE_SECONDS, left)):
                    head = self._head()
                elif not is_wanted():
                    raise Unwanted
            self._idle_seconds = head.idle_seconds
            return Answer(head, self)
        except BaseException:
            self.close()
            raise

    def receive(self, seconds: float) -> bool:
        """False: nothing came.  BadAnswer: the answer ends half-way."""
        try:
            data = self._open().receive(seconds)
        except TimedOut:
            return False
        except Gone:
            self._check_begun()
            raise BadAnswer("expected a whole answer, got a part of one", code="upstream_closed") from None
        if data:
            self._reader.feed(data)
        else:
            self._check_begun()
            self._idle_seconds = 0.0
            self._end()
        return True

    def take(self) -> bytes:
        try:
            return self._reader.take()
        except Malformed as error:
            raise BadAnswer(str(error)) from None

    def close(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        reader = self._reader
        if reader.is_done and not reader.has_more and self._idle_seconds:
            self._idle.put(line, self._idle_seconds)
        else:
            line.close(0)

    def abort(self) -> None:
        line = self._line
        if line is not None:
            line.abort()

    def _open(self) -> _AnyLine:
        if self._line is None:
            raise BadAnswer("expected more of an answer, got one that was closed")
        return self._line

    def _head(self) -> AnswerHead | None:
        try:
            return self._reader.head()
        except Malformed as error:
            raise BadAnswer(str(error)) from None

    def _end(self) -> None:
        try:
            self._reader.end()
        except Malformed as error:
            raise BadAnswer(str(error), code="upstream_closed") from None

    def _has_answered(self) -> bool:
        """Whether an answer waits although the request could not be sent whole."""
        try:
            return self.receive(0.001)
        except (BadAnswer, _Unanswered):
            return False

    def _check_begun(self) -> None:
        if not self._reader.has_begun:
            raise _Unanswered


class _Idle:
    """The connections that wait for a next request, the last used first."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._lock = threading.Lock()
        self._lines: deque[tuple[float, _AnyLine]] = deque()
        self._is_closed = False

    def take(self) -> _AnyLine | None:
        """One that is still open and on which nothing has come."""
        while True:
            with self._lock:
                if not self._lines:
                    return None
                until, line = self._lines.pop()
            if time.monotonic() < until and line.is_quiet():
                return line
            line.close(0)

    def put(self, line: _AnyLine, idle_seconds: float) -> None:
        """Keep it, or close it.  A second less than the upstream says: the request takes its time to arrive."""
        until = time.monotonic() + min(self.terms.idle_seconds, idle_seconds - 1)
        with self._lock:
            self._lines.append((until, line))
            dropped = self._old(time.monotonic())
        _close(dropped)

    def close(self) -> None:
        """Close them all, and those that come later."""
        with self._lock:
            self._is_closed = True
            dropped = self._old(float("inf"))
        _close(dropped)

    def _old(self, now: float) -> list[_AnyLine]:
        dropped = []
        most = 0 if self._is_closed else self.terms.idle_connections
        while self._lines and (len(self._lines) > most or self._lines[0][0] <= now):
            dropped.append(self._lines.popleft()[1])
        return dropped


def _close(lines: list[_AnyLine]) -> None:
    for line in lines:
        line.close(0)


def _check_body(size: int, most: int, deadline: float) -> None:
    if size > most:
        raise BadAnswer(f"expected a body of at most {most} bytes, got more", code="upstream_answer_too_large")
    if time.monotonic() > deadline:
        raise Late("expected the rest of an answer, got nothing in time")
