"""One client of the session era: what it declared, what it subscribed to, what it was asked, and its calls under way."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from typing import Optional

from .protocol import INTERNAL_ERROR, SESSION_VERSIONS, Call, Cancelled, Channel, Failure, Message
from .world import Listener, World

ANSWER_SECONDS = 60.0


class Peer:
    """`general` takes the messages that belong to no call."""

    def __init__(self, world: World, general: Channel) -> None:
        self.world, self.general = world, general
        self.version = SESSION_VERSIONS[-1]
        self.capabilities: Message = {}
        self.log_level = "info"
        self.subscribed: set[str] = set()
        self.calls: dict[object, Call] = {}
        self._asked: dict[object, queue.Queue[Message]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._listener = Listener(general, self._wants)

    def initialize(self, params: Message) -> None:
        """Take what the client declares, and choose the version."""
        asked, declared = params.get("protocolVersion"), params.get("capabilities")
        self.version = asked if asked in SESSION_VERSIONS else SESSION_VERSIONS[-1]
        self.capabilities = declared if isinstance(declared, dict) else {}
        self.world.forget(self._listener)
        self.world.listen(self._listener)

    def end(self) -> None:
        """The session is over."""
        self.world.forget(self._listener)
        for call in list(self.calls.values()):
            call.cancelled.set()

    def ask(self, call: Call, request: Message) -> Message:
        """Send a request within a call, and wait for the client's answer."""
        with self._lock:
            number = f"server-{next(self._ids)}"
            answers = self._asked[number] = queue.Queue(1)
        try:
            call.channel.put({"jsonrpc": "2.0", "id": number, **request})
            return _result(_awaited(call, answers))
        finally:
            del self._asked[number]

    def answered(self, message: Message) -> bool:
        """Take a response; False when nothing was asked under its id."""
        number = message.get("id")
        waiting = self._asked.get(number) if isinstance(number, str) else None
        if waiting is None:
            return False
        try:
            waiting.put_nowait(message)
        except queue.Full:
            return False
        return True

    def cancel(self, request_id: object) -> None:
        """Give up a call, if it is still under way."""
        call = self.calls.get(request_id)
        if call:
            call.cancelled.set()

    def _wants(self, kind: str, uri: str) -> bool:
        return not uri or uri in self.subscribed


def _awaited(call: Call, answers: queue.Queue[Message]) -> Message:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        if call.cancelled.is_set():
            raise Cancelled
        try:
            return answers.get(timeout=0.1)
        except queue.Empty:
            continue
    raise Failure(INTERNAL_ERROR, "the client did not answer in time")


def _result(message: Message) -> Message:
    result: Optional[object] = message.get("result")
    if isinstance(result, dict):
        return result
    raise Failure(INTERNAL_ERROR, f"the client refused: {message.get('error')}")
