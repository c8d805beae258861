"""HTTP/1.1 answers out of bytes: bounded and pure; the client's side of http_reader.

Invariants: how the bytes were split never changes what the parts add up to, and after a Malformed nothing more is
read, so a client never takes a piece of one answer for the next (RFC 9112 section 6.3, without its leniences).
"""

from __future__ import annotations

import re
from typing import NamedTuple

CHUNKED = -1  # the length of a body that announces none
UNTIL_CLOSE = -2  # the length of a body that ends with the connection

_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?").fullmatch
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?").fullmatch
_KEEP_ALIVE = re.compile(r"(?:^|[,;\s])timeout=([0-9]{1,6})(?![0-9])").search
# One value each, which a gate acts on or passes on: which of two would the client go by?
_SINGLE = frozenset(
    """content-length transfer-encoding content-type content-encoding location retry-after mcp-session-id
    mcp-protocol-version""".split()
)
_LINE_BYTES = 1024  # of a chunk's first line
_INTERIM = 16  # 1xx answers before the real one


class Malformed(Exception):
    """The bytes are no answer that has one meaning.  The text says what was expected and quotes nothing."""


class AnswerHead(NamedTuple):
    """All of an answer but its body.  Header names are lower-case.  `length` may be CHUNKED or UNTIL_CLOSE.

    `idle_seconds`: how long the sender keeps an idle connection, where it says so; 0: it is not to be used again.
    """

    status: int
    headers: dict[str, str]
    length: int
    idle_seconds: float


class AnswerLimits(NamedTuple):
    """What an answer's head may take; bodies are bounded by whoever keeps them."""

    header_count: int = 100
    header_bytes: int = 32768  # the status line included; and again for the trailers


class AnswerReader:
    """Bytes in, one answer out: `feed`; `head` until it gives one; `take` until `is_done`."""

    __slots__ = ("_limits", "_method", "_buffer", "_interim", "_left", "_trailer_bytes", "_step", "is_done")

    def __init__(self, method: str, limits: AnswerLimits = AnswerLimits()) -> None:
        self._limits = limits
        self._method = method
        self._buffer = b""
        self._interim = 0
        self._left = 0
        self._trailer_bytes = 0
        self._step = ""  # what comes next: "data"; or, of a chunked body, "size", "chunk", "end" (of a chunk), "trailer"
        self.is_done = False

    @property
    def has_more(self) -> bool:
        """True when bytes are here that belong to nothing yet; after the answer's end, to no answer at all."""
        return bool(self._buffer)

    @property
    def has_begun(self) -> bool:
        """True from the first byte on."""
        return bool(self._buffer or self._step or self._interim or self.is_done)

    def feed(self, data: bytes) -> None:
        """Add what came.  Call it only when `head` gave None or `take` gave nothing: that bounds the memory."""
        self._buffer = self._buffer + data if self._buffer else data

    def end(self) -> None:
        """The connection has ended.  Malformed: the answer has not."""
        if self._step == "data" and self._left == UNTIL_CLOSE:
            self.is_done = True
        if not self.is_done:
            raise Malformed("expected a whole answer, got a part of one" if self._step or self._buffer else "expected an answer, got none")

    def head(self) -> AnswerHead | None:
        """The answer's head, or None while it is incomplete; interim answers (1xx) are skipped."""
        while True:
            end = self._buffer.find(b"\r\n\r\n", 0, self._limits.header_bytes)
            if end < 0:
                self._check_beginning()
                return None
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            self._buffer = self._buffer[end + 4 :]
            minor, status = _status_line(lines[0])
            fields = self._fields(lines)
            if status >= 200:
                return self._begin(status, fields, minor)
            self._skip(status)

    def take(self) -> bytes:
        """The bytes of the body that are here, in one piece; none while nothing of it is, or at its end."""
        if self._step == "data":
            return self._take_data()
        parts = []
        while self._step and self._buffer:
            part = self._take_chunked()
            if part is None:
                break
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_beginning(self) -> None:
        if len(self._buffer) >= self._limits.header_bytes:
            raise Malformed(f"expected a head of at most {self._limits.header_bytes} bytes, got more")
        line, mark, _ = self._buffer.partition(b"\n")
        if mark:  # no need to wait for the rest of what is none
            _status_line(line[:-1].decode("latin-1") if line.endswith(b"\r") else "")
        elif not _BEGINNING.startswith(line[: len(_BEGINNING)]):
            _status_line("")

    def _fields(self, lines: list[str]) -> dict[str, str]:
        if len(lines) - 1 > self._limits.header_count:
            raise Malformed(f"expected at most {self._limits.header_count} header fields, got more")
        fields: dict[str, str] = {}
        for line in lines[1:]:
            _add_field(fields, line)
        return fields

    def _skip(self, status: int) -> None:
        self._interim += 1
        if status == 101:
            raise Malformed("expected an answer, got a change of protocol that nobody asked for")
        if self._interim > _INTERIM:
            raise Malformed(f"expected at most {_INTERIM} interim answers, got more")

    def _begin(self, status: int, fields: dict[str, str], minor: int) -> AnswerHead:
        length = _length(fields, minor)
        if self._method == "HEAD" or status in (204, 304):
            length = 0
        self._left = length
        self._step = "size" if length == CHUNKED else "data"
        if length == 0:
            self._finish()
        idle = _idle_seconds(fields, minor) if length != UNTIL_CLOSE else 0.0
        return AnswerHead(status, fields, length, idle)

    def _finish(self) -> None:
        self._step = ""
        self.is_done = True

    def _take_data(self) -> bytes:
        data = self._buffer
        if self._left == UNTIL_CLOSE:
            self._buffer = b""
            return data
        if len(data) > self._left:
            data = data[: self._left]
        self._buffer = self._buffer[len(data) :]
        self._left -= len(data)
        if not self._left:
            self._finish()
        return data

    def _take_chunked(self) -> bytes | None:
        """The next piece, empty where a line was read; None: more bytes are needed."""
        if self._step == "chunk":
            return self._take_chunk()
        line = self._line()
        if line is None:
            return None
        if self._step == "size":
            self._begin_chunk(line)
        elif self._step == "end":
            if line:
                raise _malformed_chunk()
            self._step = "size"
        else:
            self._add_trailer(line)
        return b""

    def _take_chunk(self) -> bytes:
        data = self._buffer[: self._left]
        self._buffer = self._buffer[len(data) :]
        self._left -= len(data)
        if not self._left:
            self._step = "end"
        return data

    def _begin_chunk(self, line: bytes) -> None:
        found = _CHUNK_SIZE(line)
        if not found:
            raise _malformed_chunk()
        self._left = int(found[1], 16)
        self._step = "chunk" if self._left else "trailer"

    def _add_trailer(self, line: bytes) -> None:
        """A trailer is checked and dropped."""
        if not line:
            self._finish()
            return
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > self._limits.header_bytes:
            raise Malformed("expected fewer trailer fields, got more than allowed")
        _add_field({}, line.decode("latin-1"))

    def _line(self) -> bytes | None:
        """The next line of a chunked body without its CRLF; None while it is incomplete."""
        end = self._buffer.find(b"\n", 0, _LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= _LINE_BYTES or (self._step == "end" and self._buffer != b"\r"):
                raise _malformed_chunk()
            return None
        if self._buffer[end - 1 : end] != b"\r":
            raise _malformed_chunk()
        line, self._buffer = self._buffer[: end - 1], self._buffer[end + 1 :]
        return line


def _status_line(line: str) -> tuple[int, int]:
    """(x of HTTP/1.x, status)."""
    found = _STATUS_LINE(line)
    if not found:
        raise Malformed("expected a status line of HTTP/1.1, got something else")
    return int(found[1]), int(found[2])


def _add_field(fields: dict[str, str], line: str) -> None:
    """Folded lines, bare line ends and a space before the colon are no fields."""
    found = _FIELD(line)
    if not found:
        raise Malformed("expected header fields of the form `name: value`, got a line that is none")
    name, value = found[1].lower(), found[2].strip(" \t")
    if name not in fields:
        fields[name] = value
    elif name in _SINGLE:
        raise Malformed(f"expected one {name} field, got two")
    else:
        fields[name] += ", " + value


def _length(fields: dict[str, str], minor: int) -> int:
    coding, given = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if given is not None or not minor:
            raise Malformed("expected Content-Length, or Transfer-Encoding in HTTP/1.1, got both or HTTP/1.0")
        if coding.lower() != "chunked":
            raise Malformed("expected no transfer coding but chunked, got another")
        return CHUNKED
    if given is None:
        return UNTIL_CLOSE
    if not (given.isascii() and given.isdigit()) or len(given) > 18:
        raise Malformed("expected a Content-Length of decimal digits, got something else")
    return int(given)


def _idle_seconds(fields: dict[str, str], minor: int) -> float:
    options = fields.get("connection")
    if not minor or (options and "close" in {word.strip(" \t") for word in options.lower().split(",")}):
        return 0.0
    given = fields.get("keep-alive")
    found = _KEEP_ALIVE(given.lower()) if given else None
    return float(found[1]) if found else float("inf")


def _malformed_chunk() -> Malformed:
    return Malformed("expected a chunked body, got bytes that are none")
