"""The streamable HTTP transport at /mcp: both eras, loopback only.

A POST is answered in JSON, unless the client prefers an event stream (names it first in Accept) or something is to be sent
before the response.  GET opens the session's general stream, or goes on with one that was cut (Last-Event-ID).
"""

from __future__ import annotations

import json
import secrets
import select
import socket
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Optional

from . import headers as headers_of
from .methods import answer, check_meta, check_version, prepared
from .peer import Peer
from .protocol import (
    INVALID_REQUEST,
    PARSE_ERROR,
    SESSION_VERSIONS,
    STATELESS_VERSIONS,
    Failure,
    Message,
    is_stateless,
    parameters,
)
from .streams import Stream, event
from .world import World

MAX_BODY_BYTES = 16 << 20
MAX_STREAMS = 100  # finished ones that a session keeps
_LOOK_SECONDS = 0.5  # how often a waiting thread looks whether the client is still there


class Session:
    """A peer, and the streams that it can come back to."""

    def __init__(self, world: World) -> None:
        self.id = secrets.token_hex(16)
        self.general = Stream(0)
        self.peer = Peer(world, self.general)
        self._streams: dict[str, Stream] = {self.general.name: self.general}

    def add(self, stream: Stream) -> None:
        while len(self._streams) > MAX_STREAMS:
            oldest = next((name for name, known in self._streams.items() if known.is_done), None)
            if oldest is None:
                break
            self._streams.pop(oldest, None)
        self._streams[stream.name] = stream

    def find(self, name: str) -> Optional[Stream]:
        return self._streams.get(name)

    def end(self) -> None:
        self.peer.end()
        for stream in list(self._streams.values()):
            stream.close()


class Server(ThreadingHTTPServer):
    """The sessions of one fixture."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        super().__init__(address, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no error here."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc(file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: Server

    def log_message(self, *arguments: object) -> None:
        """Nothing: --log has what tests want to know."""

    # --- requests --------------------------------------------------------------------------------

    def do_POST(self) -> None:
        data = self._body()
        if data is None or not self._is_admitted():
            return
        if self.headers.get_content_type() != "application/json":
            self._plain(415, "Content-Type must be application/json")
            return
        try:
            value = json.loads(data)
        except ValueError:
            self.server.world.record("http", None, unreadable=len(data))
            self._json(400, Failure(PARSE_ERROR, "Parse error").reply(None))
            return
        messages = value if isinstance(value, list) else [value]
        for message in messages:
            self.server.world.record("http", message, host=self.headers["Host"], session=self.headers["Mcp-Session-Id"])
        if not messages or not all(_is_message(message) for message in messages):
            self._json(400, Failure(INVALID_REQUEST, "Invalid Request").reply(None))
        elif not isinstance(value, list) and self._is_stateless(value):
            self._stateless(value)
        else:
            self._of_session(messages, isinstance(value, list))

    def do_GET(self) -> None:
        self.server.world.record("http", None, http="GET", last_event_id=self.headers["Last-Event-ID"], session=self.headers["Mcp-Session-Id"])
        session = self._session() if self._is_admitted() else None
        if session is None:
            return
        last = self.headers["Last-Event-ID"]
        if last is None:
            self._events(session.general, 0, None)
            return
        name, _, number = last.strip().rpartition("_")
        stream = session.find(name)
        if stream is None or not number.isdigit():
            self._plain(400, "no such event")
        else:
            self._events(stream, int(number), None)

    def do_DELETE(self) -> None:
        self.server.world.record("http", None, http="DELETE", session=self.headers["Mcp-Session-Id"])
        session = self._session() if self._is_admitted() else None
        if session is not None:
            self.server.sessions.pop(session.id, None)
            session.end()
            self._plain(200, "")

    # --- the eras ----------------------------------------------------------------------------------

    def _is_stateless(self, message: Message) -> bool:
        if "Mcp-Session-Id" in self.headers:
            return False
        version = self.headers.get("MCP-Protocol-Version", "").strip()
        return is_stateless(message) or bool(version and version not in SESSION_VERSIONS)

    def _stateless(self, message: Message) -> None:
        if "id" not in message:
            self._plain(202, "")
            return
        stream = Stream()
        try:
            check_meta(message)
            headers_of.check(self.headers, message)
            check_version(message)
            stream.calls.append(prepared(self.server.world, message, stream, None))
        except Failure as failure:
            self._json(failure.status, failure.reply(message.get("id")))
            return
        self._answer(stream, False, None)
        for call in stream.calls:
            call.cancelled.set()  # who closes the stream does not want the answer

    def _of_session(self, messages: list[Message], is_batch: bool) -> None:
        session: Optional[Session]
        if messages[0].get("method") == "initialize" and len(messages) == 1:
            session = Session(self.server.world)
            self.server.sessions[session.id] = session
        else:
            session = self._session()
        if session is None:
            return
        if is_batch and session.peer.version != "2025-03-26":
            self._json(400, Failure(INVALID_REQUEST, "this version of the protocol has no batches").reply(None))
            return
        requests = [message for message in messages if "method" in message and "id" in message]
        for message in messages:
            if "method" not in message:
                session.peer.answered(message)
            elif message["method"] == "notifications/cancelled":
                session.peer.cancel(parameters(message).get("requestId"))
        if not requests:
            self._plain(202, "")
            return
        stream = Stream(len(requests))
        stream.calls = [prepared(self.server.world, message, stream, session.peer) for message in requests]
        session.add(stream)
        self._answer(stream, is_batch, session)

    def _session(self) -> Optional[Session]:
        """The session that the request names; an answer has been sent when there is none."""
        number, version = self.headers["Mcp-Session-Id"], self.headers.get("MCP-Protocol-Version", "").strip()
        if self.command != "POST" and version in STATELESS_VERSIONS:
            self._plain(405, "this version of the protocol has only POST")
        elif number is None:
            self._json(400, Failure(INVALID_REQUEST, "Bad Request: no Mcp-Session-Id").reply(None))
        elif number not in self.server.sessions:
            self._json(404, Failure(INVALID_REQUEST, "Session not found").reply(None))
        elif version and version not in SESSION_VERSIONS:
            self._json(400, Failure(INVALID_REQUEST, f"Bad Request: unsupported protocol version {version}").reply(None))
        else:
            return self.server.sessions[number]
        return None

    # --- answers -----------------------------------------------------------------------------------

    def _answer(self, stream: Stream, is_batch: bool, session: Optional[Session]) -> None:
        for call in stream.calls:
            threading.Thread(target=answer, args=(call,), daemon=True).start()
        accepted = [part.split(";")[0].strip().lower() for part in self.headers.get("Accept", "*/*").split(",")]
        prefers_events = accepted[0] == "text/event-stream" and stream.calls[0].method != "initialize"
        while not prefers_events:
            try:
                found = stream.responses(_LOOK_SECONDS)
            except ValueError:
                break  # something else comes first: an event stream
            if found is not None:
                self._responses(found, stream.status if session is None else 200, is_batch, session)
                return
            if self._is_gone():
                return
        self._events(stream, 0, session)

    def _responses(self, found: list[Message], status: int, is_batch: bool, session: Optional[Session]) -> None:
        if not found:  # every call was cancelled
            self._plain(202, "")
        else:
            self._json(status, found if is_batch else found[0], session)

    def _events(self, stream: Stream, number: int, session: Optional[Session]) -> None:
        """Write what comes after an event, until the stream is over or the client is gone."""
        reader, cuts = stream.read()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache, no-transform")
        self._session_header(session)
        is_chunked = self.request_version == "HTTP/1.1"
        self.send_header(*(("Transfer-Encoding", "chunked") if is_chunked else ("Connection", "close")))
        self.end_headers()
        try:
            if session is not None and session.peer.version >= "2025-11-25":
                self._chunk(event(stream.name, 0, None), is_chunked)
            while True:
                upcoming = stream.after(number, reader, cuts, _LOOK_SECONDS)
                for number, message in upcoming.events:
                    self._chunk(event(stream.name, number, message), is_chunked)
                if upcoming.is_over:
                    break
                if self._is_gone():
                    return
            self._chunk(b"", is_chunked)
        except OSError:
            self.close_connection = True

    def _chunk(self, data: bytes, is_chunked: bool) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data)

    def _json(self, status: int, value: object, session: Optional[Session] = None) -> None:
        self._send(status, "application/json", json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), session)

    def _plain(self, status: int, words: str) -> None:
        self._send(status, "text/plain", words.encode(), None)

    def _send(self, status: int, kind: str, data: bytes, session: Optional[Session]) -> None:
        self.send_response(status)
        if data:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self._session_header(session)
        self.end_headers()
        self.wfile.write(data)

    def _session_header(self, session: Optional[Session]) -> None:
        if session is not None:
            self.send_header("Mcp-Session-Id", session.id)

    # --- the connection ------------------------------------------------------------------------------

    def _is_admitted(self) -> bool:
        """Whether the request may be looked at; an answer has been sent when not."""
        accepted = self.headers.get("Accept", "*/*")
        if not headers_of.is_local(self.headers):
            self._json(403, Failure(INVALID_REQUEST, "Forbidden: Host or Origin is not this machine").reply(None))
        elif self.path.split("?")[0] != "/mcp":
            self._plain(404, "the endpoint is /mcp")
        elif not any(kind in accepted for kind in ("application/json", "text/event-stream", "*/*")):
            self._plain(406, "Accept must name application/json and text/event-stream")
        else:
            return True
        return False

    def _body(self) -> Optional[bytes]:
        """The request's body; None when it was refused."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunked_body()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._plain(413, "too large")
            return None
        return self.rfile.read(int(length))

    def _chunked_body(self) -> Optional[bytes]:
        data = b""
        while True:
            size = int(self.rfile.readline(100).split(b";")[0], 16)
            if len(data) + size > MAX_BODY_BYTES:
                self.close_connection = True
                self._plain(413, "too large")
                return None
            data += self.rfile.read(size)
            self.rfile.readline(100)
            if not size:
                return data

    def _is_gone(self) -> bool:
        """Whether the client closed its side."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            gone = bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            gone = True
        self.close_connection = self.close_connection or gone
        return gone


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    if "id" in message and (isinstance(message["id"], bool) or not isinstance(message["id"], (str, int))):
        return False
    return isinstance(message["method"], str) if "method" in message else "result" in message or "error" in message
