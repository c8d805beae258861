"""HTTP/1.x requests out of bytes: bounded and pure; a state machine over lines.

Invariants: how the bytes were split never changes the outcome, and after a Refusal nothing more is
read from the connection, so a reader is never out of step with its client.
"""

from __future__ import annotations

from typing import Callable

from .http_request import (
    CHUNKED,
    Head,
    Limits,
    Refusal,
    RequestLine,
    add_field,
    read_request_line,
    check_trailer,
    malformed_chunk,
    read_chunk_size,
    read_head,
    too_large,
)

_MAX_CHUNKS = 16384
_MAX_EXTENSION_BYTES = 4096
_MAX_SIZE_LINE = 1024


class Reader:
    """Bytes in, requests out: `feed`; `head` until it gives one; `body` until it gives one; and again."""

    __slots__ = ("_limits", "_buffer", "_at", "_line_before", "_first", "_fields", "_count", "_chunks")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._first: RequestLine | None = None
        self._reset()

    @property
    def has_begun(self) -> bool:
        """True when bytes of a request are here that was not given out yet; an empty line before it is none of it."""
        return len(self._buffer) > self._at or self._first is not None

    @property
    def seen(self) -> bytes:
        """What has come since the request in hand began."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what came from the client.  Call it only when `head` or `body` gave None: that bounds the memory."""
        self._buffer += data

    def head(self) -> Head | None:
        """The next request's head, or None while it is incomplete.  Refusal: see http_request; and 414, 431."""
        lines = self._whole_head() if self._at == 0 else None
        if lines is None:
            return self._head_by_lines()
        first = read_request_line(lines[0])
        self._first = first
        for line in lines[1:]:
            self._add(line)
        return read_head(first, self._fields, self._limits.body_bytes)

    def body(self, length: int) -> bytes | None:
        """The body of the head given last, or None while it is incomplete.  Refusal, for CHUNKED only: 400, 413, 431."""
        body = self._whole(length) if length != CHUNKED else self._chunked()
        if body is not None:
            self._reset()
        return body

    def _reset(self) -> None:
        if self._buffer:
            del self._buffer[: self._at]
        self._at = 0
        self._line_before = False
        self._first = None
        self._fields: dict[str, str] = {}
        self._count = 0
        self._chunks: _Chunks | None = None

    def _whole_head(self) -> list[str] | None:
        """The lines of a head that is all here and where no line is too long or badly ended.  It only saves time."""
        buffer, limits = self._buffer, self._limits
        end = buffer.find(b"\r\n\r\n", 1, limits.header_bytes)
        if end < 0:
            return None
        lines = buffer[:end].decode("latin-1").split("\r\n")
        if buffer.count(b"\n", 0, end) != len(lines) - 1 or len(lines[0]) + 2 > limits.request_line_bytes or not lines[0]:
            return None
        self._at = end + 4
        return lines

    def _head_by_lines(self) -> Head | None:
        if self._first is None:
            self._first = self._read_first()
        while self._first is not None:
            line = self._line(self._limits.header_bytes - self._at, _headers_too_large)
            if line is None:
                return None
            if not line:
                return read_head(self._first, self._fields, self._limits.body_bytes)
            self._add(line)
        return None

    def _add(self, line: str) -> None:
        self._count += 1
        if self._count > self._limits.header_count:
            raise _headers_too_large()
        add_field(self._fields, line)

    def _line(self, most: int, too_long: Callable[[], Refusal]) -> str | None:
        """The next line without its CRLF, of at most `most` bytes with it; None while it is incomplete."""
        start = self._at
        end = self._buffer.find(b"\n", start, start + most)
        if end < 0:
            if len(self._buffer) - start >= most:
                raise too_long()
            return None
        if end == start or self._buffer[end - 1] != 13:
            raise Refusal(400, "bare_line_feed", "expected lines that end in CR LF, got a bare LF")
        self._at = end + 1
        return self._buffer[start : end - 1].decode("latin-1")

    def _read_first(self) -> RequestLine | None:
        line = self._line(self._limits.request_line_bytes, _target_too_long)
        if line == "" and not self._line_before:  # RFC 9112 section 2.2: one empty line before a request is ignored
            self._line_before = True
            line = self._line(self._limits.request_line_bytes, _target_too_long)
        return None if line is None else read_request_line(line)

    def _whole(self, length: int) -> bytes | None:
        start, end = self._at, self._at + length
        if len(self._buffer) < end:
            return None
        self._at = end
        return bytes(self._buffer[start:end]) if length else b""

    def _chunked(self) -> bytes | None:
        chunks = self._chunks = self._chunks or _Chunks(self._limits)
        while not chunks.are_done:
            if chunks.wanted:
                data = self._whole(chunks.wanted)
                if data is None:
                    return None
                chunks.add_data(data)
                continue
            line = self._line(chunks.line_bytes, chunks.line_too_long)
            if line is None:
                return None
            chunks.add_line(line)
        return b"".join(chunks.parts)


class _Chunks:
    """A chunked body in the making.  `wanted`: bytes of data, with their CRLF, that come next; 0: a line does."""

    __slots__ = ("_limits", "_size", "_lines", "_extension_bytes", "_trailer_bytes", "_in_trailers", "parts", "wanted", "are_done")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = self._lines = self._extension_bytes = self._trailer_bytes = 0
        self._in_trailers = False
        self.parts: list[bytes] = []
        self.wanted = 0
        self.are_done = False

    @property
    def line_bytes(self) -> int:
        """The longest line that may come now."""
        return self._limits.header_bytes - self._trailer_bytes if self._in_trailers else _MAX_SIZE_LINE

    def line_too_long(self) -> Refusal:
        """What a longer one is answered with."""
        return _headers_too_large() if self._in_trailers else malformed_chunk()

    def add_data(self, data: bytes) -> None:
        if data[-2:] != b"\r\n":
            raise malformed_chunk()
        self.parts.append(data[:-2])
        self.wanted = 0

    def add_line(self, line: str) -> None:
        if self._in_trailers:
            self._add_trailer(line)
        else:
            self._add_size(line)

    def _add_size(self, line: str) -> None:
        size, extension_bytes = read_chunk_size(line)
        self._size += size
        self._lines += 1
        self._extension_bytes += extension_bytes
        if self._extension_bytes > _MAX_EXTENSION_BYTES:
            raise malformed_chunk()
        if self._size > self._limits.body_bytes or self._lines > _MAX_CHUNKS:
            raise too_large(self._limits.body_bytes)
        self.wanted = size + 2 if size else 0
        self._in_trailers = not size

    def _add_trailer(self, line: str) -> None:
        if not line:
            self.are_done = True
            return
        check_trailer(line)
        self._trailer_bytes += len(line) + 2


def _target_too_long() -> Refusal:
    return Refusal(414, "target_too_long", "expected a shorter request line, got more bytes than allowed")


def _headers_too_large() -> Refusal:
    return Refusal(431, "headers_too_large", "expected fewer or shorter header fields, got more than allowed")
