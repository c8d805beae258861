"""Server-sent events of a byte stream (WHATWG HTML section 9.2), each with its exact bytes.

Invariant: the events' raw bytes, one after the other, and then `rest` are the stream; how it was split changes nothing;
memory is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import ParseError

_BOM = b"\xef\xbb\xbf"
# A CR at the very end may be half of a CRLF: its line is whole when the next byte is there.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")


class Event(NamedTuple):
    """One event as it came (`raw`: with the blank line that ends it).

    `data`: its data lines joined by newlines, None for an event without any (comments, retry, an id alone).
    `id`: None when it names none.  `name`: its event field, empty for none.
    """

    raw: bytes
    data: bytes | None
    id: str | None
    name: str


class Events:
    """Pieces of the stream in, whole events out."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()  # of the event that has not ended yet
        self._line_start = self._scanned = 0
        self._is_first_line = True
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that this piece completes; iterate to the end.  ParseError: one is too long, the stream is of no more use."""
        self._buffer += data
        while True:
            match = _LINE_END.search(self._buffer, self._scanned)
            if match is None:
                break
            event = self._end_line(match.start(), match.end())
            if event:
                yield event
        self._scanned = max(self._line_start, len(self._buffer) - 1)
        self._check(len(self._buffer))

    def finish(self) -> Iterator[Event]:
        """The stream has ended: an event whose last CR might have been half of a CRLF is whole after all."""
        if self._buffer.endswith(b"\r"):
            event = self._end_line(len(self._buffer) - 1, len(self._buffer))
            if event:
                yield event

    @property
    def rest(self) -> bytes:
        """The bytes after the last whole event.  What has not ended is no event: a client drops it, and so should a proxy."""
        return bytes(self._buffer)

    def _end_line(self, end: int, next_start: int) -> Event | None:
        """The event that this line ends, if it is a blank one."""
        line = bytes(self._buffer[self._line_start : end])
        if self._is_first_line and line.startswith(_BOM):
            line = line[len(_BOM) :]
        self._is_first_line = False
        self._line_start = self._scanned = next_start
        if line:
            self._lines.append(line)
            return None
        self._check(next_start)
        event = _event(bytes(self._buffer[:next_start]), self._lines)
        del self._buffer[:next_start]
        self._line_start = self._scanned = 0
        self._lines = []
        return event

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise ParseError(f"expected events of at most {self._max_bytes} bytes, got a longer one", where="event stream")


def dumps(event: Event, data: bytes) -> bytes:
    """The event's bytes with this JSON text as its data, on one line; its other lines stay."""
    raw = event.raw[len(_BOM) :] if event.raw.startswith(_BOM) else event.raw
    lines = [line for line in re.split(rb"\r\n|\n|\r", raw) if line and _field(line)[0] != b"data"]
    one_line = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"".join(line + b"\n" for line in (*lines, b"data: " + one_line, b""))


def _event(raw: bytes, lines: list[bytes]) -> Event:
    data: list[bytes] = []
    id_, name = None, ""
    for line in lines:
        field, value = _field(line)
        if field == b"data":
            data.append(value)
        elif field == b"id" and b"\0" not in value:
            id_ = value.decode("utf-8", "replace")
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Event(raw, b"\n".join(data) if data else None, id_, name)


def _field(line: bytes) -> tuple[bytes, bytes]:
    """A line's field name and value; a comment has an empty name."""
    field, _, value = line.partition(b":")
    return field, value[1:] if value.startswith(b" ") else value
