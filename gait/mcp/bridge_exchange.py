"""One POST with requests in it, between an HTTP client and a stdio server: judged, sent, and answered in one piece or as a stream.

Invariant: however it ends, its calls get their outcome, and nothing leads to it any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..system.http_request import Request
from ..system.http_response import Response
from . import streams
from .effects import Effect, Refused, ToClient, ToUpstream
from .gate import Gate
from .link import Ended, Link
from .replies import EVENTS, Accepts, EventBody, Manner, joined
from .streams import Event, Stream

NO_STORE = (("Cache-Control", "no-cache, no-transform"),)
_UNREAD = Response(503, b"", "", close=True)  # for a client that is gone
_LOOK_SECONDS = 0.25  # how often a wait looks whether the client is still there


class Exchange:
    """`stream` takes what the server says to these requests."""

    def __init__(self, gate: Gate, link: Link, request: Request, accepts: Accepts, stream: Stream) -> None:
        self._gate = gate
        self._link = link
        self._request = request
        self._accepts = accepts
        self._reader = 0
        self.stream = stream

    def run(self, turn_seconds: float, respond: Callable[[Exchange], Response]) -> Response:
        """The refusal, or what `respond` makes of the exchange under way.  Busy: not within `turn_seconds`.  Ended."""
        self._link.check_room()
        self._link.reserve(self.stream, turn_seconds, self._request.is_connected)
        try:
            refusal = self._forward()
            if refusal is None:
                return respond(self)
        except BaseException:
            self._link.release(self.stream, "cancelled")
            raise
        self._link.release(self.stream)
        return refusal

    def _forward(self) -> Response | None:
        self._reader = self.stream.attach()
        if not self._request.is_connected():  # while it waited: what nobody wants is not done
            return _UNREAD
        forward, answer = judged(self._gate, self._link.interceptor.from_client(self._request.body, self._request.headers))
        if forward is None:
            return self._acceptable(answer)
        self._link.send(forward.data)
        if self._link.is_over:  # since it was reserved: nobody else ends the calls that were admitted since
            self._link.record(self._link.interceptor.finish("error", forward.ids))
        return None

    def _acceptable(self, answer: Response) -> Response:
        """A result for a client that takes events only is one."""
        if self._accepts.json or answer.status != 200 or not isinstance(answer.body, bytes):
            return answer
        return Response(200, iter([streams.dumps(Event(1, answer.body), "")]), EVENTS, NO_STORE)

    def wait_first(self, seconds: float) -> bool:
        """True as soon as all answers are there, or something else is; False after this time, or without a client."""
        deadline = time.monotonic() + seconds
        while not self.stream.wait_first(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or not self._request.is_connected():
                return False
        return True

    def whole(self, is_batch: bool) -> Response:
        """All answers in one piece, however long that takes."""
        while not self.stream.wait_all(_LOOK_SECONDS):
            if not self._request.is_connected():
                return self._abandoned()
        frames = self.stream.all()
        self.stream.detach(self._reader)
        if self.stream.is_broken:
            raise Ended("the answers are more than can be kept")
        if not frames:
            return Response(202, b"", "")  # every request was cancelled
        return self._acceptable(Response(Ended.http_status if self.stream.has_failed else 200, joined(frames, is_batch), headers=NO_STORE))

    def events(self, manner: Manner) -> Response:
        """What comes as it comes.  A client that leaves, and may not come back, has cancelled."""
        if not self._request.is_connected():
            return self._abandoned()
        return Response(200, EventBody(self.stream, self._reader, manner, self._left), EVENTS, NO_STORE)

    def _abandoned(self) -> Response:
        self._link.release(self.stream, "cancelled")
        return _UNREAD

    def _left(self, stream: Stream, may_return: bool) -> None:
        if not may_return:
            self._link.release(stream, "cancelled")


def judged(gate: Gate, effects: Iterable[Effect]) -> tuple[ToUpstream | None, Response]:
    """What is to be forwarded, or else the answer; what there is to record is recorded."""
    forward = None
    answer = Response(202, b"", "")
    for effect in effects:
        if isinstance(effect, ToUpstream):
            forward = effect
        elif isinstance(effect, ToClient):
            answer = Response(effect.http_status, effect.data, "application/json" if effect.data else "")
        elif isinstance(effect, Refused):
            gate.refused(effect.data, effect.error)
        else:
            gate.outcome(effect)
    return forward, answer
