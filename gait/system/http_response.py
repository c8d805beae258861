"""HTTP/1.1 answers as bytes (RFC 9110, RFC 9112).  Pure.

No Date field: equal requests get equal bytes.  Nothing of a request is ever in a head.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Iterator, NamedTuple

from ..errors import GaitError
from ..formats import jcs

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_OWN = frozenset({"connection", "content-length", "content-type", "keep-alive", "trailer", "transfer-encoding", "upgrade"})
LAST_CHUNK = b"0\r\n\r\n"
CLOSE = "Connection: close\r\n"
KEEP = "Connection: keep-alive\r\n"  # said to HTTP/1.0 only, where it is not the rule
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Response(NamedTuple):
    """An answer.  A body that is an iterator is streamed: each part is sent as it comes, and an empty part sends
    nothing but has the listener look whether the client is still there; it is closed (`close()`) in any case."""

    status: int
    body: bytes | Iterator[bytes] = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


def of_error(error: GaitError, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """The error document as an answer, after which the connection is closed."""
    return Response(error.http_status, jcs.dumps(error.to_value()) + b"\n", headers=(*headers, ("Cache-Control", "no-store")), close=True)


def has_body(method: str, status: int) -> bool:
    """False for the answers that have none, whatever their head says (RFC 9112 section 6.3)."""
    return method != "HEAD" and status not in (204, 304)


def is_stream(response: Response) -> bool:
    """True for a body that is sent part by part.  TypeError: it is neither that nor bytes."""
    if isinstance(response.body, bytes):
        return False
    if not hasattr(response.body, "__next__"):
        raise TypeError("a body is bytes or an iterator of bytes")
    return True


def dumps(response: Response, method: str, connection: str) -> bytes:
    """A whole answer with a body of bytes.  ValueError: the response is none that can be sent."""
    body: bytes = response.body  # type: ignore[assignment]
    framing = f"Content-Length: {len(body)}\r\n" if response.status != 204 else ""
    head = dump_head(response, framing, connection)
    return head + body if has_body(method, response.status) else head


def dump_head(response: Response, framing: str, connection: str) -> bytes:
    """The head alone.  `framing` and `connection` are whole header lines, or empty."""
    first_lines, fields = _first_lines(response.status, response.content_type), _fields(response.headers)
    return f"{first_lines}{framing}{connection}{fields}\r\n".encode("latin-1")


def dump_chunk(part: bytes) -> bytes:
    """One part of a chunked body; not the empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(part), part)


@lru_cache(maxsize=256)
def _first_lines(status: int, content_type: str) -> str:
    if not 200 <= status <= 599:
        raise ValueError("a final status is from 200 to 599")
    reason = HTTPStatus(status).phrase if status in _STATUSES else ""
    kind = _field("Content-Type", content_type, ()) if content_type else ""
    return f"HTTP/1.1 {status} {reason}\r\n{kind}"


@lru_cache(maxsize=256)  # few in all: nothing of a request is in them
def _fields(headers: tuple[tuple[str, str], ...]) -> str:
    return "".join([_field(name, value) for name, value in headers])


def _field(name: str, value: str, refused: frozenset[str] | tuple[()] = _OWN) -> str:
    if not _NAME(name) or not _VALUE(value) or name.lower() in refused:
        raise ValueError("a header field that would change the framing of the answer")
    return f"{name}: {value}\r\n"


_STATUSES = frozenset(int(status) for status in HTTPStatus)
