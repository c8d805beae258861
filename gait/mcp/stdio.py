"""The loops of `gait mcp wrap`: one client and one server over stdio, with the Interceptor between them.

Invariants: no byte passes in either direction but as an effect of the Interceptor, and every frame whole, in its order; and what
waits for one side never keeps the other from being heard.
One thread serves both sides for as long as nothing has to wait: it is sooner at work than another that sleeps.  From then on each
side has its own, which blocks where it reads and writes, so that a slow reader slows its own direction and memory does not grow.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from ..errors import GaitError, InvalidInput, ParseError
from ..formats import strict_json
from ..system import readiness
from ..system.process import Child, write
from . import messages
from .catalog import MAX_PAGES, Catalog, next_cursor, request
from .effects import MAX_FRAME_BYTES, Effect, Refused, ToClient, ToUpstream
from .gate import Gate
from .interceptor import Interceptor
from .lines import Lines, dumps
from .messages import FrameRefused

_CHUNK = 1 << 16
_TICK_SECONDS = 1.0
_LAST_SECONDS = 0.5  # what was written before a process ended is read in less
_BLANK = b" \t\r"
_MAX_ASKED = 64
_OWN = b"gait-"  # begins the ids of Gait's own requests; the rest cannot be guessed
_META_PREFIX = "io.modelcontextprotocol/"  # what a request of the stateless era says of its sender


class Streams:
    """The client's two descriptors."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._writing = threading.Lock()
        self._is_gone = False

    def send(self, line: bytes, before_waiting: Callable[[], None]) -> bool:
        """One line with its newline, as slowly as the client reads.  False: it is gone, and gets nothing any more."""
        with self._writing:
            try:
                if not self._is_gone:
                    write(self.stdout, line, before_waiting)
            except OSError:
                self._is_gone = True
            return not self._is_gone


class Listing:
    """Has the server list its tools before a call is judged whose definition the lock has to be compared with.

    Nothing else waits meanwhile but what the client sends after that call.  Without an answer in time the catalog bars the call.
    """

    def __init__(
        self, catalog: Catalog, send: Callable[[bytes], None], before_waiting: Callable[[], None], max_bytes: int, seconds: float = 10.0
    ) -> None:
        self._catalog = catalog
        self._send = send
        self._before_waiting = before_waiting
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._asked: deque[str] = deque(maxlen=_MAX_ASKED)  # late answers too are Gait's own
        self._answers: SimpleQueue[dict[str, object] | None] = SimpleQueue()

    def before(self, line: bytes) -> None:
        """To be called with every frame of the client, before it is judged."""
        if not self._catalog.must_ask:
            return
        meta = _meta_of_call(line, self._max_bytes)
        if meta is not None:
            self._ask({key: value for key, value in meta.items() if key.startswith(_META_PREFIX)} or None)

    def takes(self, line: bytes) -> bool:
        """To be called with every frame of the server: True for an answer to Gait's own request, which is not the client's."""
        if not self._asked or _OWN not in line:
            return False
        try:
            value = strict_json.loads(line, "the server's output", self._max_bytes)
        except InvalidInput:
            return False
        if not isinstance(value, dict) or value.get("id") not in self._asked or "method" in value:
            return False
        if value["id"] == self._asked[-1]:
            self._answers.put(value)
        return True

    def close(self) -> None:
        """The server will not answer any more."""
        self._answers.put(None)

    def _ask(self, meta: dict[str, object] | None) -> None:
        self._before_waiting()
        deadline = time.monotonic() + self._seconds
        cursor: str | None = ""
        for _ in range(MAX_PAGES):
            self._asked.append(_OWN.decode("ascii") + os.urandom(16).hex())
            self._send(dumps(request(self._asked[-1], cursor or "", meta)))
            result = self._result(deadline)
            if result is None:
                return
            self._catalog.learn(result, cursor or "")
            cursor = next_cursor(result)
            if not cursor:
                return

    def _result(self, deadline: float) -> dict[str, object] | None:
        """The next page; None when it does not come."""
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return None
            if answer is None:
                self.close()  # nor will it answer the next request
                return None
            if answer["id"] == self._asked[-1]:
                result = answer.get("result")
                return result if isinstance(result, dict) else None


def _meta_of_call(line: bytes, max_bytes: int) -> dict[str, object] | None:
    """`_meta` of the first tools/call in a frame, None when there is no call in it."""
    try:
        value = messages.loads(line, max_bytes)
    except FrameRefused:
        return None
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and item.get("method") == messages.CALL:
            params = item.get("params")
            meta = params.get("_meta") if isinstance(params, dict) else None
            return meta if isinstance(meta, dict) else {}
    return None


class Side:
    """One of the two that speak.  `take` gets its lines, and `finish` what comes after the last one."""

    __slots__ = ("fd", "lines", "take", "finish", "reads", "has_ended")

    def __init__(self, fd: int, max_bytes: int, take: Callable[[bytes], None], finish: Callable[[bytes], None]) -> None:
        self.fd = fd
        self.lines = Lines(max_bytes)
        self.take = take
        self.finish = finish
        self.reads = 0  # begun and ended: odd while one is under way
        self.has_ended = False


class Session:
    """From a server's start to its end.  `signal` and `wake` are for signal handlers.

    `may_wait`: a decision may wait for another process, so that each side gets a thread of its own from the start.  So it does where
    nothing tells beforehand whether a side can be read, or the client takes what is written.
    """

    def __init__(
        self, interceptor: Interceptor, gate: Gate, child: Child, streams: Streams, catalog: Catalog, max_bytes: int = MAX_FRAME_BYTES,
        may_wait: bool = False,
    ) -> None:  # fmt: skip
        self._interceptor = interceptor
        self._gate = gate
        self._child = child
        self._streams = streams
        self._max_bytes = max_bytes
        self._listing = Listing(catalog, child.send, self._part, max_bytes)
        self._client = Side(streams.stdin, max_bytes, self._from_client, self._incomplete)
        self._server = Side(child.output, max_bytes, self._from_server, lambda _: None)
        self._may_wait = may_wait
        self._attended: Side | None = None  # by the one thread of both sides; None: each has its own
        self._answers: threading.Thread | None = None  # the thread that reads what the server says
        self._turn = threading.Lock()  # held while a frame of the client is judged
        self._is_over = self._is_hurried = False
        self._events: SimpleQueue[None] = SimpleQueue()  # its put may interrupt itself, as in a signal handler
        self._error: GaitError | None = None

    def run(self, parent: int, grace_seconds: float) -> int:
        """The server's exit code, once it and what it started are gone.

        It ends by itself, or because the client is gone: the end of its input, or this process no longer a child of `parent`.
        GaitError: it was Gait that had to end the session.
        """
        try:
            self._serve(parent, grace_seconds)
        finally:
            self._child.end()
        if self._error:
            raise self._error
        return self._child.exit_code or 0

    def _serve(self, parent: int, grace_seconds: float) -> None:
        may_wait = self._may_wait or not readiness.tells_room(self._streams.stdout)
        poll = None if may_wait else readiness.watch(self._client.fd, self._server.fd)
        if poll:
            self._answers = _thread(self._both, poll)
            self._answers.start()  # not before it is known: it may part at once
        else:
            self._start(self._client)
            self._start(self._server)
        while self._child.poll() is None and not self._is_over and os.getppid() == parent:
            self._sleep()
        self._child.stop(0.0 if self._error else grace_seconds)
        self._child.end()
        self._drain(parent)
        with self._turn:
            self._is_over = True
            self._carry_out(self._interceptor.finish("never_answered"), dumps)

    def signal(self, number: int) -> None:
        """The server's, as if there were no Gait; without one, do not wait for the client any longer."""
        if self._child.exit_code is None:
            self._child.signal(number)
        else:
            self._is_hurried = True

    def wake(self) -> None:
        """Have `run` look at the server at once."""
        self._events.put(None)

    def _sleep(self) -> None:
        try:
            self._events.get(timeout=_TICK_SECONDS)
        except Empty:
            pass

    def _start(self, side: Side) -> None:
        thread = _thread(self._alone, side)
        thread.start()
        if side is self._server:
            self._answers = thread

    def _both(self, poll: select.epoll) -> None:
        """Both sides in this thread, until `_part` has given the other one its own."""
        sides = {side.fd: side for side in (self._client, self._server)}
        with poll:
            while self._server.fd in sides:
                self._server.reads += 1
                found = readiness.look(poll) or poll.poll()
                self._server.reads += 1
                for side in [sides[fd] for fd, _ in found]:
                    self._attended = side
                    self._attend(side)
                    if self._attended is None:
                        return self._alone(side)
                    is_over = self._is_over or self._child.exit_code is not None  # the client can say nothing more that would pass
                    if side.has_ended or (is_over and side is self._client):
                        poll.unregister(sides.pop(side.fd).fd)

    def _part(self) -> None:
        """To be called before whatever waits: the side that is not attended gets a thread of its own, if it has none."""
        side, self._attended = self._attended, None
        other = self._server if side is self._client else self._client
        if side and not other.has_ended:
            self._start(other)

    def _alone(self, side: Side) -> None:
        while not side.has_ended:
            self._attend(side)

    def _attend(self, side: Side) -> None:
        """Take what a side says next.  The session is over when it says no more."""
        try:
            side.reads += 1
            data = os.read(side.fd, _CHUNK)
            side.reads += 1
            for line in side.lines.feed(data):
                side.take(line)
            if data:
                return
            side.finish(side.lines.finish())
        except OSError:
            pass  # one side has closed its end
        except GaitError as error:
            self._error = error
        except Exception as error:
            self._error = GaitError(f"internal error: {type(error).__name__}")
            self._error.__cause__ = error
        side.has_ended = True
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._listing.close()
        self.wake()

    def _from_client(self, line: bytes) -> None:
        if line.strip(_BLANK):
            self._judge(line)

    def _incomplete(self, rest: bytes) -> None:
        if rest.strip(_BLANK):
            hint = "end every message with a newline"
            self._gate.refused(rest, ParseError("the input ends within a message", where="standard input", hint=hint, code="incomplete_frame"))

    def _judge(self, line: bytes) -> None:
        self._listing.before(line)
        with self._turn:
            effects = [] if self._is_over else self._interceptor.from_client(line)
        self._carry_out(effects, dumps)

    def _from_server(self, line: bytes) -> None:
        if len(line) > self._max_bytes:
            raise _too_long(self._max_bytes)
        if not self._listing.takes(line):
            self._carry_out(self._interceptor.from_upstream(line), _as_it_came)

    def _carry_out(self, effects: list[Effect], line_of: Callable[[bytes], bytes]) -> None:
        for effect in effects:
            if isinstance(effect, ToUpstream):
                self._child.send(line_of(effect.data), self._part)
            elif isinstance(effect, ToClient):
                if effect.data and not self._streams.send(line_of(effect.data), self._part):
                    self._end()  # what the server still says is read all the same, so that it can end
            elif isinstance(effect, Refused):
                self._gate.refused(effect.data, effect.error)
            else:
                self._gate.outcome(effect)

    def _drain(self, parent: int) -> None:
        """Wait until the client has taken what the server wrote before it ended.

        The thread ends with the server's output; when something that left the group holds that, a read that waits is the end.
        """
        while self._answers and self._answers.is_alive() and not self._is_hurried and os.getppid() == parent:
            before = self._server.reads
            self._answers.join(_LAST_SECONDS)
            if before % 2 and self._server.reads == before:
                return


def _thread(loop: Callable[[Any], None], of: object) -> threading.Thread:
    return threading.Thread(target=loop, args=(of,), name=f"gait-{loop.__name__}", daemon=True)


def _as_it_came(frame: bytes) -> bytes:
    """The server's line: unlike the client's, it needs no spelling that all readers agree on."""
    return frame + b"\n"


def _too_long(limit: int) -> GaitError:
    hint = "the server is to send less in one message"
    return GaitError(f"expected messages of at most {limit} bytes, got a longer one", where="the server's output", hint=hint, code="frame_too_large")
