"""One request to an upstream and its answer: a whole body, or a stream of events that passes as it comes.

Invariants: `_finish` is reached exactly once for each exchange, whoever ends it; no answer is read faster than the client takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ..errors import GaitError
from ..system.channel import Gone
from ..system.http_client import Answer, BadAnswer, Client, Late
from ..system.http_request import Request
from ..system.http_response import Response
from ..system.origin import Unwanted
from . import messages, refusals, sse
from .effects import Effect, Outcome, Refused, ToClient
from .gate import Gate
from .interceptor import Interceptor
from .sessions import Sessions

# What a client needs of an upstream's answer; the rest speaks of a connection, or of cookies, that it has no part in.
_PASSED = {
    **{"allow": "Allow", "cache-control": "Cache-Control", "mcp-protocol-version": "MCP-Protocol-Version"},
    **{"mcp-session-id": "Mcp-Session-Id", "retry-after": "Retry-After", "www-authenticate": "WWW-Authenticate"},
}
_ENDLESS = "subscriptions/listen"
_MAX_OTHER_BYTES = 1 << 20  # of an error page
_CLOSED, _TIMEOUT = -32000, -32001


class Side(NamedTuple):
    """What all exchanges with one upstream share."""

    client: Client
    gate: Gate
    sessions: Sessions
    max_frame_bytes: int
    is_stopping: Callable[[], bool]


class Exchange:
    """`ids`: of the requests in the body, which are under way in the interceptor."""

    def __init__(
        self, side: Side, interceptor: Interceptor, headers: list[tuple[str, str]], ids: tuple[str | int, ...], request: Request
    ) -> None:
        self._side = side
        self._interceptor = interceptor
        self._headers = headers
        self._ids = ids
        self._request = request
        self._session_id = request.headers.get("mcp-session-id", "")
        self._is_finished = False

    def run(self, method: str, body: bytes = b"") -> Response:
        """Ask the upstream.  The response to the client, which may be a stream."""
        try:
            answer = self._side.client.ask(method, self._headers, body, self._request.is_connected)
            try:
                return self._respond(method, answer)
            except BaseException:
                answer.close()
                raise
        except Unwanted:
            self._finish("cancelled")
            return Response(503, b"", "", close=True)  # nobody reads it
        except GaitError as error:
            self._finish("timeout" if isinstance(error, Late) else "error")
            return self._failure(error)
        except BaseException:
            self._finish("error")
            raise

    def _respond(self, method: str, answer: Answer) -> Response:
        _check(answer)
        is_ok = answer.status < 300
        self._note_session(method, answer)
        if is_ok and _media_type(answer) == "text/event-stream":
            is_endless = method == "GET" or self._request.headers.get("mcp-method") == _ENDLESS
            return self._response(answer, _Stream(self, answer, self._side, is_endless))
        body = self._body(answer)
        self._finish("never_answered" if is_ok else "error")
        return self._response(answer, body)

    def _body(self, answer: Answer) -> bytes:
        if _media_type(answer) == "application/json":
            data = answer.read(self._side.max_frame_bytes, self._request.is_connected)
            return self._only(self.from_upstream(data)) if data else b""
        body = answer.read(_MAX_OTHER_BYTES, self._request.is_connected)
        if body and answer.status < 300:  # it could be anything to a client that guesses
            raise BadAnswer("expected application/json or text/event-stream, got another type", code="upstream_content_type")
        return body

    def _only(self, frames: list[bytes]) -> bytes:
        """A body is one frame: where the Interceptor put errors for several requests in its place, this exchange's own."""
        if len(frames) == 1:
            return frames[0]
        ids = [json.loads(frame).get("id") for frame in frames]
        for frame, id_ in zip(frames, ids):
            if id_ in self._ids:
                return frame
        raise BadAnswer("expected an answer, got a message that nobody can read")

    def _response(self, answer: Answer, body: bytes | Iterator[bytes]) -> Response:
        headers = tuple([(shown, answer.headers[name]) for name, shown in _PASSED.items() if name in answer.headers])
        return Response(answer.status, body, answer.headers.get("content-type", ""), headers)

    def from_upstream(self, data: bytes) -> list[bytes]:
        """The frames for the client; what there is to record is recorded."""
        effects = self._interceptor.from_upstream(data)
        self._record(effects)
        return [effect.data for effect in effects if isinstance(effect, ToClient)]

    def end_stream(self, status: str, is_resumable: bool) -> None:
        """A stream has ended; calls that it did not answer may be on a later one."""
        open_calls = set(self._interceptor.pending).intersection(self._ids) if is_resumable and not self._is_finished else ()
        if open_calls:
            self._side.sessions.keep(self._session_id, self._interceptor, tuple(open_calls), status)
            self._ids = tuple([id_ for id_ in self._ids if id_ not in open_calls])
        self._finish(status)

    def _finish(self, status: str) -> None:
        if not self._is_finished:
            self._is_finished = True
            if self._ids:
                self._record(self._interceptor.finish(status, self._ids))

    def _record(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Outcome):
                self._side.gate.outcome(effect)
            elif isinstance(effect, Refused):
                self._side.gate.refused(effect.data, effect.error)

    def _note_session(self, method: str, answer: Answer) -> None:
        given = self._session_id
        if given and (answer.status == 404 or (method == "DELETE" and answer.status < 300)):
            self._side.sessions.end(given)
        elif answer.status < 300:
            self._session_id = given or answer.headers.get("mcp-session-id", "")
            self._side.sessions.confirm(self._session_id, self._interceptor)

    def _failure(self, error: GaitError) -> Response:
        """What a client whose upstream failed is told: a JSON-RPC error for each request in the body."""
        code = _TIMEOUT if isinstance(error, Late) else _CLOSED
        message = f"Gait got no answer from the upstream: {error.message}"
        errors = [refusals.rpc_error(id_, code, message) for id_ in self._ids or (None,)]
        body = errors[0] if len(errors) == 1 else b"[" + b",".join(errors) + b"]"
        return Response(error.http_status, body, headers=(("Cache-Control", "no-store"),))


class _Stream:
    """The events of an answer, as the listener asks for them: it reads as fast as the client does, and closes it in any case."""

    def __init__(self, exchange: Exchange, answer: Answer, side: Side, is_endless: bool) -> None:
        self._exchange = exchange
        self._answer = answer
        self._is_over: Callable[[], bool] = side.is_stopping if is_endless else _never
        self._events = sse.Events(side.max_frame_bytes)
        self._is_resumable = False
        self._status = "cancelled"  # unless it ends before the client closes it
        self._parts = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """The client has got all, or has left."""
        self._parts.close()
        self._answer.close()
        self._exchange.end_stream(self._status, self._is_resumable)

    def _read(self) -> Generator[bytes, None, None]:
        """Gone, so that the client sees a stream cut short too, where the upstream's is, or cannot be read on."""
        try:
            for part in self._answer.parts():
                yield b"".join([self._passed(event) for event in self._events.feed(part)]) if part else b""
                if self._is_over():
                    return
            yield b"".join([self._passed(event) for event in self._events.finish()])
            self._status = "never_answered"
        except GaitError as error:
            self._status = "never_answered" if isinstance(error, BadAnswer) else "error"
            raise Gone from error

    def _passed(self, event: sse.Event) -> bytes:
        """The event as it came, unless the Interceptor has changed it."""
        self._is_resumable = self._is_resumable or bool(event.id)
        if not event.data:
            return event.raw
        frames = self._exchange.from_upstream(event.data)
        if frames == [event.data]:
            return event.raw
        return b"".join([sse.dumps(event, frame) for frame in frames])


def _never() -> bool:
    return False


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check(answer: Answer) -> None:
    """BadAnswer: an answer that Gait cannot look into, or that leads elsewhere."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadAnswer("expected no content coding, got one that was not asked for", code="upstream_content_type")
    if 300 <= answer.status < 400:
        place = answer.headers.get("location", "")[:200]
        raise BadAnswer(f"expected an answer, got a redirect to {place!r}: give that URL as the upstream", code="upstream_redirects")
