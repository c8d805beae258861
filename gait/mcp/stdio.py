"""The loops of `gait mcp wrap`: one client and one server over stdio, with the Interceptor between them.

Invariant: no byte passes in either direction but as an effect of the Interceptor, and every frame whole, in its order.
Two threads block where they read and write, so a slow reader slows its own direction and memory does not grow.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ..errors import GaitError, InvalidInput, ParseError
from ..formats import strict_json
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
        self._stdout = stdout
        self._writing = threading.Lock()
        self._is_gone = False

    def send(self, line: bytes) -> bool:
        """One line with its newline, as slowly as the client reads.  False: it is gone, and gets nothing any more."""
        with self._writing:
            try:
                if not self._is_gone:
                    write(self._stdout, line)
            except OSError:
                self._is_gone = True
            return not self._is_gone


class Listing:
    """Has the server list its tools before a call is judged whose definition the lock has to be compared with.

    Nothing else waits meanwhile but what the client sends after that call.  Without an answer in time the catalog bars the call.
    """

    def __init__(self, catalog: Catalog, send: Callable[[bytes], None], max_bytes: int, seconds: float = 10.0) -> None:
        self._catalog = catalog
        self._send = send
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


class Session:
    """From a server's start to its end.  `signal` and `wake` are for signal handlers."""

    def __init__(
        self, interceptor: Interceptor, gate: Gate, child: Child, client: Streams, catalog: Catalog, max_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        self._interceptor = interceptor
        self._gate = gate
        self._child = child
        self._client = client
        self._max_bytes = max_bytes
        self._listing = Listing(catalog, child.send, max_bytes)
        self._turn = threading.Lock()  # held while a frame of the client is judged
        self._is_over = self._is_hurried = False
        self._reads = 0  # of the server's output, begun and ended: odd while one is under way
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
        self._start(self._from_client)
        answers = self._start(self._from_server)
        while self._child.poll() is None and not self._is_over and os.getppid() == parent:
            self._sleep()
        self._child.stop(0.0 if self._error else grace_seconds)
        self._child.end()
        self._drain(answers, parent)
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

    def _start(self, loop: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._until_over, args=(loop,), name=f"gait-{loop.__name__}", daemon=True)
        thread.start()
        return thread

    def _until_over(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except OSError:
            pass  # one side has closed its end
        except GaitError as error:
            self._error = error
        except Exception as error:
            self._error = GaitError(f"internal error: {type(error).__name__}")
            self._error.__cause__ = error
        finally:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._listing.close()
        self.wake()

    def _from_client(self) -> None:
        lines = Lines(self._max_bytes)
        for data in iter(lambda: os.read(self._client.stdin, _CHUNK), b""):
            for line in lines.feed(data):
                if line.strip(_BLANK):
                    self._judge(line)
        rest = lines.finish()
        if rest.strip(_BLANK):
            hint = "end every message with a newline"
            self._gate.refused(rest, ParseError("the input ends within a message", where="standard input", hint=hint, code="incomplete_frame"))

    def _judge(self, line: bytes) -> None:
        self._listing.before(line)
        with self._turn:
            effects = [] if self._is_over else self._interceptor.from_client(line)
        self._carry_out(effects, dumps)

    def _from_server(self) -> None:
        lines = Lines(self._max_bytes)
        for data in iter(self._read, b""):
            for line in lines.feed(data):
                if len(line) > self._max_bytes:
                    raise _too_long(self._max_bytes)
                if not self._listing.takes(line):
                    self._carry_out(self._interceptor.from_upstream(line), _as_it_came)

    def _read(self) -> bytes:
        self._reads += 1
        data = os.read(self._child.output, _CHUNK)
        self._reads += 1
        return data

    def _carry_out(self, effects: list[Effect], line_of: Callable[[bytes], bytes]) -> None:
        for effect in effects:
            if isinstance(effect, ToUpstream):
                self._child.send(line_of(effect.data))
            elif isinstance(effect, ToClient):
                if effect.data and not self._client.send(line_of(effect.data)):
                    self._end()  # what the server still says is read all the same, so that it can end
            elif isinstance(effect, Refused):
                self._gate.refused(effect.data, effect.error)
            else:
                self._gate.outcome(effect)

    def _drain(self, answers: threading.Thread, parent: int) -> None:
        """Wait until the client has taken what the server wrote before it ended.

        The thread ends with the server's output; when something that left the group holds that, a read that waits is the end.
        """
        while answers.is_alive() and not self._is_hurried and os.getppid() == parent:
            before = self._reads
            answers.join(_LAST_SECONDS)
            if before % 2 and self._reads == before:
                return


def _as_it_came(frame: bytes) -> bytes:
    """The server's line: unlike the client's, it needs no spelling that all readers agree on."""
    return frame + b"\n"


def _too_long(limit: int) -> GaitError:
    hint = "the server is to send less in one message"
    return GaitError(f"expected messages of at most {limit} bytes, got a longer one", where="the server's output", hint=hint, code="frame_too_large")
