"""What an HTTP client of the bridge gets: its answers in one JSON body, or a stream of server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ..system.channel import Gone
from . import streams
from .streams import Stream

EVENTS = "text/event-stream"
_JSON = "application/json"
_LOOK_SECONDS = 0.5  # how often a stream looks whether its client is still there
_KEEPALIVE_SECONDS = 15.0
_COMMENT = b":\n\n"


class Accepts(NamedTuple):
    """What a client takes, by its Accept field."""

    json: bool
    events: bool
    prefers_events: bool

    @classmethod
    def read(cls, field: str | None) -> Accepts:
        """Whichever is named first is preferred; without a field, everything is taken."""
        kinds = [part.partition(";")[0].strip(" \t").lower() for part in (field or "*/*").split(",")]
        anything = "*/*" in kinds
        takes_json = anything or _JSON in kinds or "application/*" in kinds
        takes_events = anything or EVENTS in kinds or "text/*" in kinds
        return cls(takes_json, takes_events, takes_events and (kinds[0] == EVENTS or not takes_json))


class Manner(NamedTuple):
    """How a stream is served.

    `has_ids`: a client may come back to it.  `is_primed`: it is told so before the first message.  `silence_seconds`: after so
    long without a message the stream is closed, for the client to come back; 0: never.  `is_over`: it has to end now.
    """

    has_ids: bool = False
    is_primed: bool = False
    silence_seconds: float = 0.0
    is_over: Callable[[], bool] = bool


class EventBody:
    """A stream's events as the listener asks for them.  `on_leave(stream, may come back)` is called when its reader has left it open."""

    def __init__(self, stream: Stream, reader: int, manner: Manner, on_leave: Callable[[Stream, bool], None], after: int = 0) -> None:
        self._stream = stream
        self._reader = reader
        self._manner = manner
        self._on_leave = on_leave
        self._last = after
        self._may_return = manner.has_ids and after > 0
        self._parts = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """The client has got all, has left, or is to come back."""
        self._parts.close()
        if self._stream.detach(self._reader) and not self._stream.is_over:
            self._on_leave(self._stream, self._may_return)

    def _read(self) -> Generator[bytes, None, None]:
        manner, name = self._manner, self._stream.name if self._manner.has_ids else ""
        if manner.is_primed:
            self._may_return = True
            yield streams.priming(self._stream.name, self._last)
        look = min(_LOOK_SECONDS, manner.silence_seconds or _LOOK_SECONDS)
        spoke_at = sent_at = time.monotonic()
        while True:
            events = self._stream.take(self._reader, look)
            if events is None:
                if self._stream.is_broken:
                    raise Gone  # so that the client sees that something is missing
                return
            if events:
                self._may_return = manner.has_ids
                yield b"".join([streams.dumps(event, name) for event in events])
                spoke_at = sent_at = time.monotonic()
            elif manner.is_over() or (manner.silence_seconds and time.monotonic() - spoke_at >= manner.silence_seconds):
                return
            elif time.monotonic() - sent_at >= _KEEPALIVE_SECONDS:
                yield _COMMENT
                sent_at = time.monotonic()
            else:
                yield b""


def joined(frames: list[bytes], is_batch: bool) -> bytes:
    """The answers as one body: of a batch an array, whether the server gave them as one or by themselves."""
    if not is_batch:
        return frames[0]
    inner = [frame.strip(b" \t\r\n") for frame in frames]
    return b"[" + b",".join([frame[1:-1] if frame.startswith(b"[") else frame for frame in inner]) + b"]"
