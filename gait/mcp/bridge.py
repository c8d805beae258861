"""A stdio server behind streamable HTTP (`--upstream-command`): here Gait itself is the HTTP server, in both eras of the protocol.

Session era: each session has a server process of its own.  Stateless era: one process serves all requests, because its tasks and
signed states live there.  Invariants: those of link.py; and a client never gets a message that could be another client's.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..errors import GaitError, InvalidInput
from ..system import process
from ..system.http_request import Request
from ..system.http_response import Response, of_error
from . import messages, refusals, streams
from .bridge_exchange import NO_STORE, Exchange, judged
from .bridge_sessions import Limits, Session, Sessions
from .catalog import Catalog
from .effects import Terms
from .gate import Gate
from .interceptor import Interceptor
from .link import Busy, Ended, Link
from .messages import INVALID_PARAMS, FrameRefused
from .replies import EVENTS, Accepts, EventBody, Manner
from .routes import Message, Routes, SharedRoutes, peek, request_tokens
from .shared_link import SharedLink
from .streams import Room, Stream
from .toolbook import Toolbook

SESSION_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
_PRIMED = "2025-11-25"  # from here on, clients know events without data
_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_METHODS = ("DELETE", "GET", "OPTIONS", "POST")
_JSON = re.compile(r'application/json(\s*;\s*charset="?utf-?8"?)?', re.IGNORECASE).fullmatch
_WAIT_SECONDS = 2.0  # for an answer in one piece, before a stream is begun
_TURN_SECONDS = 30.0  # until another client's request with the same id has ended
_SHARED_PATIENCE = 0.25  # one client must not hold up the others
# HTTP statuses of JSON-RPC errors in the stateless era; any other is 200.
_STATUSES: dict[object, int] = {-32020: 400, -32021: 400, -32022: 400, -32601: 404}


class Command(NamedTuple):
    """One stdio server, mounted at /mcp/`name`, or at /mcp without a name.

    `argv` and `env` are the process's.  `close_after_silence`: seconds after which the stream of a call that says nothing is
    closed, for the client to come back to it (2025-11-25, SEP-1699); 0: never.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    gate: Gate
    catalog: Catalog
    terms: Terms = Terms()
    limits: Limits = Limits()
    close_after_silence: float = 0.0

    def mount(self, is_stopping: Callable[[], bool]) -> Bridge:
        """What answers its requests."""
        return Bridge(self, is_stopping)


class Bridge:
    """One mount of the gateway.  `handle` may be called from many threads; `is_stopping`: the listener has begun to end."""

    def __init__(self, command: Command, is_stopping: Callable[[], bool]) -> None:
        self._command = command
        self._is_stopping = is_stopping
        self._sessions = Sessions(command.limits)
        self._tools = Toolbook(command.catalog, command.terms)
        self._shared = SharedLink(self._start_shared, command.limits.grace_seconds)
        self._closed = threading.Event()
        threading.Thread(target=self._expire, name="gait-bridge", daemon=True).start()

    def handle(self, request: Request) -> Response:
        """The answer to a request for this mount.  GaitError: it could not be answered."""
        if request.method == "POST":
            return self._post(request)
        if request.method in ("GET", "DELETE"):
            return self._of_session(request)
        allow = (("Allow", ", ".join(_METHODS)),)
        if request.method == "OPTIONS":  # a page of another origin has been refused before it came here
            return Response(204, b"", "", allow)
        return _refusal(InvalidInput(f"expected {', '.join(_METHODS)}", code="method_not_allowed"), 405, allow)

    def close(self) -> None:
        """After the listener's end: every server ends, and the calls that were left open get their outcome."""
        self._closed.set()
        self._sessions.close()
        self._shared.close()

    def _expire(self) -> None:
        limits = self._command.limits
        pause = max(0.05, min(5.0, limits.idle_seconds / 4, limits.resume_seconds / 4))
        while not self._closed.wait(pause):
            self._sessions.expire()

    # --- POST -----------------------------------------------------------------------------------------

    def _post(self, request: Request) -> Response:
        headers, gate = request.headers, self._command.gate
        if not _JSON(headers.get("content-type", "")) or headers.get("content-encoding", "identity") != "identity":
            error = InvalidInput("expected Content-Type: application/json in UTF-8", where="request", code="unsupported_media_type")
            gate.refused(request.body, error)
            return _refusal(error, 415)
        accepts = Accepts.read(headers.get("accept"))
        if not (accepts.json or accepts.events):
            return _refusal(InvalidInput("expected Accept: application/json, text/event-stream", code="not_acceptable"), 406)
        found = peek(request.body) or []
        try:
            self._check(request.body, found)
            return self._dispatch(request, accepts, found)
        except FrameRefused as refused:
            return judged(gate, refusals.of_error(request.body, refused))[1]._replace(status=400)
        except GaitError as failure:
            return _failure(found, failure)

    def _check(self, body: bytes, found: list[Message]) -> None:
        """FrameRefused: it has no messages, or their answers could not be told apart."""
        if not found:
            messages.read(messages.loads(body, self._command.terms.max_frame_bytes))
            raise FrameRefused("expected a message that all parsers read alike")
        ids = [message.id for message in found if message.is_request]
        if None in ids or len(set(ids)) < len(ids):
            raise FrameRefused("expected an id of text or a whole number for each request", code="call_without_id")

    def _dispatch(self, request: Request, accepts: Accepts, found: list[Message]) -> Response:
        if "mcp-session-id" in request.headers:
            session = self._session(request)
            return session if isinstance(session, Response) else self._in_session(request, accepts, found, session)
        if _is_stateless(found, request.headers):
            return self._stateless(request, accepts, found)
        if len(found) == 1 and found[0].method == messages.INITIALIZE and found[0].is_request:
            return self._initialize(request, accepts, found[0])
        id_ = found[0].id if len(found) == 1 else None
        raise FrameRefused("expected a Mcp-Session-Id, got none", id=id_, code="session_missing", hint="begin with initialize")

    # --- the session era --------------------------------------------------------------------------------

    def _session(self, request: Request) -> Session | Response:
        """The request's session, or the answer to a request without one."""
        given, version = request.headers.get("mcp-session-id"), _version(request.headers)
        if given is None:
            return _error(400, "expected a Mcp-Session-Id, got none")
        session = self._sessions.find(given)
        if session is None:
            return _error(404, "there is no such session: begin again with initialize")
        if version and version != session.version and version not in SESSION_VERSIONS:
            return _error(400, "expected the negotiated MCP-Protocol-Version, got another")
        return session

    def _initialize(self, request: Request, accepts: Accepts, message: Message) -> Response:
        """A session begins with a server of its own, and is one only when that has answered."""
        messages.read(messages.loads(request.body, self._command.terms.max_frame_bytes))
        session = Session(self._command.limits)
        self._sessions.open(session, lambda: self._start(session.routes, session.id, session.general.end))
        asked = streams.Request(_ids([message]), takes_events=False)
        exchange = self._exchange(request, accepts, session, session.stream(asked, self._room(accepts)))
        try:
            answer = exchange.run(0.0, lambda running: running.whole(is_batch=False))
            session.version = _negotiated(exchange.stream)
        finally:
            if not session.version:
                self._sessions.end(session.id, "cancelled", "the session was not begun")
        return answer._replace(headers=(*answer.headers, ("Mcp-Session-Id", session.id))) if session.version else answer

    def _in_session(self, request: Request, accepts: Accepts, found: list[Message], session: Session) -> Response:
        requests = [message for message in found if message.is_request]
        if not requests:
            return self._notify(request, found, session.running)
        for call in [message for message in requests if message.method == messages.CALL][:1]:
            self._tools.prepare(session.running, call, request.is_connected)
        asked = streams.Request(_ids(requests), request_tokens(requests), accepts.events)
        exchange = self._exchange(request, accepts, session, session.stream(asked, self._room(accepts)))
        is_batch = request.body.lstrip(b" \t\r\n").startswith(b"[")
        return exchange.run(0.0, lambda running: self._respond(running, accepts, session, is_batch))

    def _respond(self, exchange: Exchange, accepts: Accepts, session: Session, is_batch: bool) -> Response:
        if not accepts.events:
            return exchange.whole(is_batch)
        if not accepts.prefers_events and exchange.wait_first(_WAIT_SECONDS) and not exchange.stream.is_chatty:
            return exchange.whole(is_batch)
        session.keep(exchange.stream)
        is_primed = session.version >= _PRIMED
        return exchange.events(Manner(True, is_primed, self._command.close_after_silence if is_primed else 0.0))

    def _notify(self, request: Request, found: list[Message], link: Link) -> Response:
        """Notifications, and answers to what the server has asked."""
        link.check_room()
        forward, answer = judged(self._command.gate, link.interceptor.from_client(request.body, request.headers))
        if forward is not None:
            link.send(forward.data)
            for message in found:
                if message.method == messages.CANCELLED:
                    link.withdraw(message.params.get("requestId"))
        return answer

    def _of_session(self, request: Request) -> Response:
        """GET and DELETE."""
        if _is_stateless([], request.headers):
            return _not_allowed("this revision of the protocol has only POST")
        session = self._session(request)
        if isinstance(session, Response):
            return session
        if request.method == "GET":
            return self._listen(request, session)
        self._sessions.end(session.id, "cancelled", "the client has ended the session")
        return Response(200, b"", "")

    def _listen(self, request: Request, session: Session) -> Response:
        """The session's general stream, or another one after the event that the client got last."""
        if not Accepts.read(request.headers.get("accept")).events:
            return _not_allowed("expected Accept: text/event-stream")
        last = request.headers.get("last-event-id")
        name, number = ("0", None) if last is None else streams.read_id(last) or ("", 0)
        stream = session.find(name)
        reader = stream.attach(number) if stream is not None else 0
        if stream is None or not reader:
            return _error(400, "there is no such event any more")
        manner = Manner(True, is_over=self._is_stopping if stream.is_general else bool)
        return Response(200, EventBody(stream, reader, manner, _may_return, number or 0), EVENTS, NO_STORE)

    # --- the stateless era ------------------------------------------------------------------------------

    def _stateless(self, request: Request, accepts: Accepts, found: list[Message]) -> Response:
        message = found[0]
        if request.body.lstrip(b" \t\r\n").startswith(b"["):
            raise FrameRefused("expected one message, got a batch", code="batch_refused")
        if not message.method:
            raise FrameRefused("expected a request, got an answer: nothing was asked", code="answer_unasked")
        if not message.is_request:
            return self._announce(request, message)
        _check_meta(message)
        link = self._shared.get()
        if message.method == messages.CALL:
            self._tools.check_headers(link, message, request.headers, request.is_connected)
            self._tools.prepare(link, message, request.is_connected)
        is_endless = message.method == "subscriptions/listen"
        asked = streams.Request(_ids(found), request_tokens(found), accepts.events, is_endless)
        stream = Stream("", asked, self._room(accepts)._replace(sent_bytes=0, patience_seconds=_SHARED_PATIENCE))
        exchange = Exchange(self._command.gate, link, request, accepts, stream)
        return exchange.run(_TURN_SECONDS, lambda running: self._respond_once(running, accepts, is_endless))

    def _respond_once(self, exchange: Exchange, accepts: Accepts, is_endless: bool) -> Response:
        """An error has a status of its own, so that is waited for; to what was streamed, no client can come back."""
        stream = exchange.stream
        is_first = exchange.wait_first(_WAIT_SECONDS) and not stream.is_chatty
        if not accepts.events or (is_first and not (accepts.prefers_events and stream.error_code is None)):
            answer = exchange.whole(is_batch=False)
            return answer if answer.status != 200 else answer._replace(status=_STATUSES.get(stream.error_code, 200))
        return exchange.events(Manner(is_over=self._is_stopping if is_endless else bool))

    def _announce(self, request: Request, message: Message) -> Response:
        """A notification to the server: but no cancellation, whose id could be another client's request."""
        link = self._shared.get()
        link.check_room()
        forward, answer = judged(self._command.gate, link.interceptor.from_client(request.body, request.headers))
        if forward is not None and message.method != messages.CANCELLED:
            link.send(forward.data)
        return answer

    # --- servers ----------------------------------------------------------------------------------------

    def _start(self, routes: Routes, session_id: str, on_end: Callable[[], None]) -> Link:
        command = self._command
        interceptor = Interceptor(command.terms, command.gate.decide, command.catalog, session_id)
        child = process.start(command.argv, command.env)
        try:
            return Link(child, interceptor, command.gate, routes, command.terms.max_frame_bytes, on_end)
        except BaseException:  # the system has no further thread
            child.end()
            raise

    def _start_shared(self, on_end: Callable[[], None]) -> Link:
        self._tools.mirrors.forget()
        link = self._start(SharedRoutes(), "", on_end)
        link.on_tools_changed = self._tools.mirrors.forget
        return link

    def _exchange(self, request: Request, accepts: Accepts, session: Session, stream: Stream) -> Exchange:
        return Exchange(self._command.gate, session.running, request, accepts, stream)

    def _room(self, accepts: Accepts) -> Room:
        """An answer in one piece is as large as a frame may be."""
        room = self._command.limits.room
        return room if accepts.events else room._replace(unsent_bytes=self._command.terms.max_frame_bytes)


def _is_stateless(found: list[Message], headers: Mapping[str, str]) -> bool:
    """Whether a request without a session is of the stateless era: it names its revision, or asks what only that era knows."""
    version = _version(headers)
    if version and version not in SESSION_VERSIONS:
        return True
    return any(messages.VERSION_KEY in message.meta or message.method == "server/discover" for message in found)


def _version(headers: Mapping[str, str]) -> str:
    return headers.get("mcp-protocol-version", "").strip(" \t")


def _check_meta(message: Message) -> None:
    """FrameRefused unless the request says its revision and what its client can do."""
    for key, kind in ((messages.VERSION_KEY, str), (_CAPABILITIES_KEY, dict)):
        if not isinstance(message.meta.get(key), kind):
            raise FrameRefused(f"params._meta: expected {key}", INVALID_PARAMS, message.id, hint="send it with every request")


def _ids(requests: list[Message]) -> frozenset[streams.Id]:
    return frozenset([message.id for message in requests if message.id is not None])


def _negotiated(stream: Stream) -> str:
    """The revision in the answer to initialize; empty when that is none."""
    answers = peek(stream.all()[0]) if stream.all() else None
    result = answers[0].result if answers else None
    version = result.get("protocolVersion") if isinstance(result, dict) else None
    return version if isinstance(version, str) else ""


def _may_return(stream: Stream, is_announced: bool) -> None:
    """A stream that a client came back to stays open for its next return."""


def _not_allowed(message: str) -> Response:
    return _refusal(InvalidInput(message, code="method_not_allowed"), 405, (("Allow", "POST"),))


def _error(status: int, message: str) -> Response:
    return Response(status, refusals.rpc_error(None, messages.INVALID_REQUEST, message))


def _failure(found: list[Message], error: GaitError) -> Response:
    """A JSON-RPC error for each request that was not answered: the server is busy, has ended, or could not be started."""
    ids = [message.id for message in found if message.is_request] or [None]
    status = error.http_status if isinstance(error, (Busy, Ended)) else 502
    errors = [refusals.rpc_error(id_, messages.BUSY, f"{error.message}; {error.hint or error.next_step}") for id_ in ids]
    retry = (("Retry-After", "1"),) if status == 503 else ()
    return Response(status, errors[0] if len(errors) == 1 else b"[" + b",".join(errors) + b"]", headers=(*NO_STORE, *retry))


def _refusal(error: InvalidInput, status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    error.http_status = status
    return of_error(error, headers)._replace(close=False)
