"""The stdio transport: one JSON object a line, both eras on one connection, one thread for each request."""

from __future__ import annotations

import json
import threading
import time
from typing import BinaryIO, Optional

from .methods import answer, prepared
from .peer import Peer
from .protocol import INVALID_REQUEST, PARSE_ERROR, Call, Failure, Message, is_stateless, parameters
from .world import World

GRACE_SECONDS = 2.0  # for calls under way when the input ends


class Pipe:
    """Standard output, shared by every call; each message is one line and one write."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._lock = out, threading.Lock()

    def put(self, message: Message) -> None:
        data = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                self._out.write(data)
                self._out.flush()
            except (OSError, ValueError):
                pass  # nobody reads any more: the end of the input follows

    def finish(self, message: Optional[Message], status: int = 200) -> None:
        if message is not None:
            self.put(message)

    def cut(self) -> None:
        """A pipe has no stream to close."""


class Connection:
    """What came in, by line."""

    def __init__(self, world: World, source: BinaryIO, out: BinaryIO) -> None:
        self._world, self._source, self._pipe = world, source, Pipe(out)
        self._peer = Peer(world, self._pipe)
        self._calls: dict[object, Call] = {}

    def run(self) -> None:
        """Serve until the input ends."""
        for line in self._source:
            if line.strip():
                self._take(line)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(call.method != "subscriptions/listen" for call in list(self._calls.values())) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._peer.end()

    def _take(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except ValueError:
            self._world.record("stdio", None, unreadable=len(line))
            self._pipe.put(Failure(PARSE_ERROR, "Parse error").reply(None))
            return
        if isinstance(value, list) and value and self._peer.version == "2025-03-26":
            for message in value:
                self._message(message)  # each is answered by itself, which that version allows
        else:
            self._message(value)

    def _message(self, message: object) -> None:
        self._world.record("stdio", message)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._pipe.put(Failure(INVALID_REQUEST, "Invalid Request").reply(None))
        elif "method" not in message:
            self._peer.answered(message)
        elif "id" not in message:
            self._notification(message)
        else:
            self._request(message)

    def _notification(self, message: Message) -> None:
        if message["method"] == "notifications/cancelled":
            call = self._calls.get(parameters(message).get("requestId"))
            if call:
                call.cancelled.set()

    def _request(self, message: Message) -> None:
        if not isinstance(message["id"], (str, int)) or not isinstance(message["method"], str):
            self._pipe.put(Failure(INVALID_REQUEST, "Invalid Request").reply(None))
            return
        try:
            call = prepared(self._world, message, self._pipe, None if is_stateless(message) else self._peer)
        except Failure as failure:
            self._pipe.put(failure.reply(message["id"]))
            return
        self._calls[call.id] = call
        if call.method == "initialize":
            self._answer(call)  # what follows depends on it
        else:
            threading.Thread(target=self._answer, args=(call,), daemon=True).start()

    def _answer(self, call: Call) -> None:
        answer(call)
        self._calls.pop(call.id, None)
