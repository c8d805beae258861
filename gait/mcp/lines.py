"""Newline-delimited frames of a byte stream.  Invariant: how the bytes were split changes nothing; memory is bounded."""

from __future__ import annotations

# Beside the newline, what some reader takes for the end of a line: Python's text mode the carriage return, its splitlines and
# Node's readline the others.  Raw, they would let one frame hold a second one that nobody judged.  Between the tokens of JSON
# only CR and LF can stand, and inside of its text only the others, so each has a harmless spelling of the same value.
_SPELLINGS = (
    (b"\r", b" "),
    (b"\n", b" "),
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


class Lines:
    """Pieces of the stream in, whole lines out."""

    __slots__ = ("_line", "_max_kept")

    def __init__(self, max_bytes: int) -> None:
        self._line = bytearray()
        self._max_kept = max_bytes + 1

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this piece completes, without their newline.

        Of a line that is longer only the first `max_bytes` + 1 bytes come: the Interceptor, which has the same bound, refuses it.
        """
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(self.finish())
        self._keep(rest)
        return lines

    def finish(self) -> bytes:
        """What came after the last newline; empty when nothing did."""
        line = bytes(self._line)
        self._line.clear()
        return line

    def _keep(self, piece: bytes) -> None:
        self._line += piece[: self._max_kept - len(self._line)]


def dumps(frame: bytes) -> bytes:
    """A frame as exactly one line, whatever its reader takes for the end of one.  The JSON value stays the same."""
    for raw, spelling in _SPELLINGS:
        if raw in frame:
            frame = frame.replace(raw, spelling)
    return frame + b"\n"
