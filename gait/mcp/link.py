"""One stdio server that runs, with the Interceptor in front of it and the exchanges of its HTTP clients.

Invariants: no frame of a client reaches the server but as ToUpstream of the Interceptor; every exchange is answered, or ends;
every allowed call gets its outcome.  A thread reads what the server writes, and waits for nobody but a client that may slow it
down; another one writes, because a server that reads slowly must not hold the threads of clients.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from ..errors import GaitError
from ..system.process import Child
from . import refusals
from .effects import Effect, Outcome, Refused, ToClient
from .gate import Gate
from .interceptor import Interceptor
from .lines import Lines, dumps
from .messages import FrameRefused
from .routes import Message, Routes, peek, parts
from .streams import Id, Stream

_CHUNK = 1 << 16
_LOOK_SECONDS = 0.25  # how often a wait looks whether its client is still there
_SERVER_ENDED, _METHOD_NOT_FOUND = -32000, -32601
_TOOLS_CHANGED = "notifications/tools/list_changed"


class Busy(GaitError):
    """The server cannot take one more request now."""

    error_code = "server_busy"
    category = "contention"
    http_status = 503
    retryable = True
    next_step = "try again later"


class Ended(GaitError):
    """The server's process has ended."""

    error_code = "server_ended"
    category = "upstream_failure"
    http_status = 502
    retryable = True
    next_step = "see the server's standard error"


class Link:
    """From a server's start to its end.  `on_end` is called once, when nothing leads to the server any more."""

    def __init__(
        self, child: Child, interceptor: Interceptor, gate: Gate, routes: Routes, max_frame_bytes: int, on_end: Callable[[], None]
    ) -> None:
        self._child = child
        self.interceptor = interceptor
        self._gate = gate
        self._routes = routes
        self._max_bytes = max_frame_bytes
        self._on_end = on_end
        self._changed = threading.Condition()  # held while the routes are used
        self._own: dict[Id, SimpleQueue[bytes | None]] = {}  # what Gait itself has asked
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._outbox_bytes = 0
        self._ending = threading.Lock()  # a child may be ended by one thread at a time
        self._is_over = False
        self.on_tools_changed: Callable[[], None] | None = None
        self.used_at = time.monotonic()
        for loop in (self._write, self._read):
            threading.Thread(target=loop, name=f"gait-{loop.__name__.strip('_')}-server", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """True: nothing leads to the server any more."""
        return self._is_over

    @property
    def streams(self) -> list[Stream]:
        """The exchanges under way."""
        with self._changed:
            return list(self._routes.streams)

    # --- client to server -------------------------------------------------------------------------

    def reserve(self, stream: Stream, seconds: float, is_wanted: Callable[[], bool]) -> None:
        """Take the exchange in, before its frame is judged; wait so long for another one with the same id to end.

        Without time to wait it is one client's own id, used twice: FrameRefused.  Busy, Ended.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                if self._is_over:
                    raise Ended("the server has ended")
                other = self._routes.conflict(stream, time.monotonic())
                if not other:
                    break
                if not seconds:
                    id_ = next(iter(stream.request.ids))
                    raise FrameRefused("expected a new id, got that of a request under way", id=id_, code="duplicate_id", hint="use each id once")
                is_endless = isinstance(other, Stream) and other.request.is_endless
                if is_endless or time.monotonic() >= deadline or not is_wanted():
                    raise Busy("expected an id and a progress token that no request under way has", code="duplicate_id", hint="use another id")
                self._changed.wait(_LOOK_SECONDS)
            self._routes.open(stream)
            self.used_at = time.monotonic()

    def check_room(self) -> None:
        """Busy: the server has not read what it was sent before."""
        if self._outbox_bytes >= self._max_bytes:
            raise Busy("expected the server to read its input, which it does not")

    def send(self, frame: bytes) -> None:
        """Have a frame written, after those before it."""
        line = dumps(frame)
        with self._changed:
            self._outbox_bytes += len(line)
            self.used_at = time.monotonic()
        self._outbox.put(line)

    def release(self, stream: Stream, status: str = "") -> None:
        """Nobody waits for this exchange any more.  With a status, it was under way: the server is told, and calls get that outcome."""
        with self._changed:
            ids = self._routes.close(stream)
            self.used_at = time.monotonic()
            if status:
                self._routes.linger(ids, time.monotonic())
            self._changed.notify_all()
        stream.end()
        if status and ids:
            for id_ in ids if not self._is_over else ():
                self.send(_cancellation(id_))
            self.record(self.interceptor.finish(status, ids))

    def withdraw(self, id_: object) -> None:
        """The client has cancelled this request: no answer is waited for."""
        with self._changed:
            stream = self._routes.withdraw(id_)
            if stream is None:
                return
            stream.withdraw([id_])  # type: ignore[list-item]
            if stream.is_over:
                self._routes.close(stream)

    def record(self, effects: Iterable[Effect]) -> None:
        """Have recorded what there is to record."""
        for effect in effects:
            if isinstance(effect, Outcome):
                self._gate.outcome(effect)
            elif isinstance(effect, Refused):
                self._gate.refused(effect.data, effect.error)

    def ask(self, frame: bytes, id_: str, is_wanted: Callable[[], bool]) -> bytes | None:
        """The answer to a request of Gait's own, whose id no client can guess.  None: it did not come while it was wanted."""
        answers: SimpleQueue[bytes | None] = SimpleQueue()
        with self._changed:
            if self._is_over:
                return None
            self._own[id_] = answers
        self.send(frame)
        try:
            while is_wanted():
                try:
                    return answers.get(timeout=_LOOK_SECONDS)
                except Empty:
                    continue
            return None  # a late answer is nobody's: no exchange has this id
        finally:
            self._own.pop(id_, None)

    # --- the two loops ----------------------------------------------------------------------------

    def _write(self) -> None:
        for line in iter(self._outbox.get, None):
            try:
                self._child.send(line)
            except OSError:
                self._finish("error", "the server has closed its input")
                return
            with self._changed:
                self._outbox_bytes -= len(line)

    def _read(self) -> None:
        reason = "the server has ended"
        try:
            self._read_lines()
        except OSError:
            pass
        except GaitError as error:
            reason = error.message
        except Exception as error:
            reason = f"internal error: {type(error).__name__}"
        self._finish("error", reason)
        self._stop(0.0)
        os.close(self._child.output)

    def _read_lines(self) -> None:
        lines = Lines(self._max_bytes)
        for data in iter(lambda: os.read(self._child.output, _CHUNK), b""):
            for line in lines.feed(data):
                if len(line) > self._max_bytes:
                    raise GaitError(f"expected messages of at most {self._max_bytes} bytes, got a longer one")
                found = peek(line)
                if found and not (len(found) == 1 and self._is_own(found[0], line)):
                    self._from_server(line, found)

    # --- server to client -------------------------------------------------------------------------

    def _is_own(self, message: Message, line: bytes) -> bool:
        """Whether it answers Gait's own request."""
        waiting = self._own.get(message.id) if message.id is not None and not message.method else None
        if waiting is not None:
            waiting.put(line)
        return waiting is not None

    def _from_server(self, line: bytes, found: list[Message]) -> None:
        effects = self.interceptor.from_upstream(line)
        self.record(effects)
        for effect in effects:
            if isinstance(effect, ToClient) and effect.data:
                self._deliver(effect.data, found if effect.data is line else peek(effect.data) or [])

    def _deliver(self, data: bytes, found: list[Message]) -> None:
        """A frame to the exchange that it belongs to; of a batch for several, each message by itself."""
        with self._changed:
            targets = [self._target(message) for message in found]
            self._changed.notify_all()
        if len(set(targets)) > 1:
            pieces = [(piece, target, [message]) for piece, target, message in zip(parts(data), targets, found)]
        else:
            pieces = [(data, targets[0] if targets else None, found)]
        for piece, target, its in pieces:
            if target is not None:
                self._put(target, piece, its)
            else:
                self._turn_down(its)

    def _target(self, message: Message) -> Stream | None:
        """Where it goes.  An answered id is free from here on: its client may use it again as soon as it has the answer."""
        if message.method == _TOOLS_CHANGED and self.on_tools_changed is not None:
            self.on_tools_changed()
        if message.method:
            return self._routes.target(message)
        return self._routes.answered(message.id) if message.id is not None else None

    def _put(self, stream: Stream, data: bytes, found: list[Message]) -> None:
        answered = [message.id for message in found if not message.method and message.id is not None]
        if answered and isinstance(found[0].error, dict):
            stream.error_code = found[0].error.get("code")
        if not stream.put(data, answered) and stream.is_broken:
            self.release(stream, "cancelled")
        elif stream.is_over:
            self.release(stream)

    def _turn_down(self, found: list[Message]) -> None:
        """A request that no client may be sent gets an error, so that the server does not wait for an answer."""
        for message in found:
            if message.is_request and message.id is not None:
                self.send(refusals.rpc_error(message.id, _METHOD_NOT_FOUND, "there is no client that this request could be sent to"))

    # --- the end ------------------------------------------------------------------------------------

    def end(self, grace_seconds: float, status: str, reason: str) -> None:
        """End the server as MCP's stdio transport says, and what is under way with it.  Returns when it is gone."""
        self._finish(status, reason)
        self._stop(grace_seconds)

    def _stop(self, grace_seconds: float) -> None:
        with self._ending:
            self._child.stop(grace_seconds)
            self._child.end()

    def _finish(self, status: str, reason: str) -> None:
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
            left = list(self._routes.streams)
            for stream in left:
                self._routes.close(stream)
            self._changed.notify_all()
        self.record(self.interceptor.finish(status))
        for stream in left:
            for id_ in stream.awaited:
                stream.fail(refusals.rpc_error(id_, _SERVER_ENDED, f"Gait got no answer: {reason}"), id_)
            stream.end()
        for waiting in list(self._own.values()):
            waiting.put(None)
        self._outbox.put(None)
        self._on_end()


def _cancellation(id_: Id) -> bytes:
    """What the server is told when nobody waits for its answer any more."""
    params = {"requestId": id_, "reason": "the client is gone"}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).encode("ascii")
