"""What an HTTP/1.x request may be (RFC 9110, RFC 9112): the rules for its lines, its length and its sender.  Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from hmac import compare_digest
from typing import Callable, NamedTuple

from ..errors import GaitError

CHUNKED = -1  # the length of a body that announces none

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!$&'()*+,\-./0-9:;=?@A-Z_a-z~%]+) HTTP/1\.([01])").fullmatch
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_OTHER_VERSION = re.compile(r"[!-~]+ [!-~]+ HTTP/[0-9](\.[0-9])?").fullmatch
_FIELD = re.compile(rf"({_TOKEN}):([\t\x20-\x7e\x80-\xff]*)").fullmatch
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?").fullmatch
_CHUNK_SIZE = re.compile(r"([0-9A-Fa-f]{1,8})[\t ]*(;[\t\x20-\x7e\x80-\xff]*)?").fullmatch
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NEVER = frozenset({"CONNECT", "TRACE"})
# Lists and annotations, where a second line adds to the first (RFC 9110 section 5.3).  Any other field is refused twice.
_REPEATABLE = frozenset(
    """accept accept-charset accept-encoding accept-language baggage cache-control connection cookie forwarded
    gait-approval-token keep-alive pragma te trailer tracestate via warning x-forwarded-for x-forwarded-host x-forwarded-proto""".split()
)
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Limits(NamedTuple):
    """What one client may take: sizes in bytes, times in seconds, and connections in all."""

    request_line_bytes: int = 8192
    header_count: int = 64
    header_bytes: int = 16384  # the request line included; and again for the trailers
    body_bytes: int = 4 << 20
    header_seconds: float = 5.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0  # for each 256 KiB
    connections: int = 512


class Refusal(GaitError):
    """A request that the listener answers itself, before it closes the connection.  It quotes nothing of the request.

    `seen` is what had come of it when it was refused: for a record's digest, and for nobody's eyes.
    """

    seen = b""
    exit_code = 6
    category = "invalid_input"
    next_step = "send a request as RFC 9112 describes it"

    def __init__(self, status: int, code: str, message: str, hint: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, hint=hint, code=code)
        self.http_status = status
        self.headers = headers
        self.retryable = status in (408, 503)


class Head(NamedTuple):
    """All of a request but its body.  `length` is CHUNKED for a chunked body; `minor` is that of HTTP/1.`minor`."""

    method: str
    target: str
    headers: dict[str, str]
    minor: int
    length: int
    keep_alive: bool
    expects_continue: bool


def _unknown() -> bool:
    return True


class Request(NamedTuple):
    """A whole request.  Header names are lower-case.  `path` is raw: escapes stay as they are, so one place has one name.

    `is_connected()` tells a handler that waits whether its client still does.
    """

    method: str
    target: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    peer: str = ""
    is_connected: Callable[[], bool] = _unknown


class Admission(NamedTuple):
    """Who may ask: the names this server answers to, the origins of pages that may call it, and the bearer token.

    Host names are lower-case, without a port, IPv6 in brackets.  An origin is `https://name[:port]`.
    """

    hosts: frozenset[str] = _LOOPBACK_HOSTS
    origins: frozenset[str] = frozenset()
    token: bytes | None = None

    def check(self, head: Head) -> None:
        """Refusal 421: another host's name (DNS rebinding); 403: a page of another origin; 401: no or another token."""
        host = head.headers.get("host")
        if host is not None and _name(host) not in self.hosts:
            message = "expected a Host that this server answers to, got another"
            raise Refusal(421, "host_not_allowed", message, "use the address that the server prints, or allow the name with --allow-host")
        origin = head.headers.get("origin")
        if origin is not None and not self._is_known(origin.lower(), host):
            raise Refusal(403, "origin_not_allowed", "expected no Origin or this server's own, got another", "web pages may not call this server")
        if self.token is not None:
            self._check_token(head.headers.get("authorization", ""))

    def _is_known(self, origin: str, host: str | None) -> bool:
        """A page that this very server gave out, or one of an origin that the operator named."""
        own = (f"http://{host}".lower(), f"https://{host}".lower()) if host else ()
        return origin in own or origin in self.origins

    def _check_token(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(token.strip(" ").encode("latin-1"), self.token or b""):
            message = "expected this server's bearer token, got none or another"
            challenge = (("WWW-Authenticate", 'Bearer realm="gait"'),)
            raise Refusal(401, "unauthorized", message, "send Authorization: Bearer with the server's token", challenge)


class RequestLine(NamedTuple):
    """The first line of a request that this server could answer, if it is let."""

    method: str
    target: str
    minor: int


def read_request_line(line: str) -> RequestLine:
    """Refusal 400, 405, 501, 505 (RFC 9112 section 3)."""
    found = _REQUEST_LINE(line)
    if not found:
        raise _bad_request_line(line)
    method, target, minor = found.groups()
    if method in _NEVER:
        allowed = (("Allow", ", ".join(sorted(_METHODS))),)
        raise Refusal(405, "method_not_allowed", "expected a method that this server allows, got CONNECT or TRACE", headers=allowed)
    if method not in _METHODS:
        raise Refusal(501, "method_unknown", "expected a known method in capital letters, got another")
    if target[0] != "/" and not (target == "*" and method == "OPTIONS"):
        raise Refusal(400, "target_not_a_path", "expected a target that begins with /, got another form", "this server is not a proxy")
    if "%" in target and _BAD_ESCAPE(target):
        raise Refusal(400, "malformed_request_line", "expected two hexadecimal digits after each %, got something else")
    return RequestLine(method, target, int(minor))


def add_field(fields: dict[str, str], line: str) -> None:
    """Add a header line.  Refusal 400: it is none, or repeats a field that has one value (RFC 9112 section 5)."""
    found = _FIELD(line)
    if not found:
        raise malformed_field()
    name, value = found[1].lower(), found[2].strip(" \t")
    if name not in fields:
        fields[name] = value
    elif name in _REPEATABLE:
        fields[name] += ("; " if name == "cookie" else ", ") + value
    else:
        raise Refusal(400, "repeated_header", "expected each header field once, got one of them twice")


def check_trailer(line: str) -> None:
    """Refusal 400.  A trailer is checked and dropped: no field after a body speaks for its request."""
    if not _FIELD(line):
        raise malformed_field()


def read_chunk_size(line: str) -> tuple[int, int]:
    """(size of the chunk, bytes of extensions) of a chunk's first line.  Refusal 400."""
    found = _CHUNK_SIZE(line)
    if not found:
        raise malformed_chunk()
    return int(found[1], 16), len(line) - len(found[1])


def read_head(first: RequestLine, fields: dict[str, str], body_bytes: int) -> Head:
    """The head that a request line and its fields make.  Refusal 400, 411, 413, 417, 501."""
    method, target, minor = first
    host = fields.get("host")
    if not _name(host or "") and (minor or host is not None):  # HTTP/1.0 has no Host, and no browser speaks it
        raise Refusal(400, "malformed_host", "expected one Host field with a name and a port, got none or something else")
    length = _length(method, fields, minor, body_bytes)
    expects = fields.get("expect", "").lower() if minor else ""
    if expects not in ("", "100-continue"):
        raise Refusal(417, "expectation_unknown", "expected no Expect field or 100-continue, got another")
    return Head(method, target, fields, minor, length, _keep_alive(fields, minor), expects != "" and length != 0)


def malformed_field() -> Refusal:
    """What a line is answered with that is no header field; folded lines and a space before the colon are none."""
    return Refusal(400, "malformed_header", "expected header fields of the form `name: value`, got a line that is none")


def malformed_chunk() -> Refusal:
    """What a body is answered with whose chunks do not add up (RFC 9112 section 7.1)."""
    return Refusal(400, "malformed_chunk", "expected a chunked body, got bytes that are none")


def too_large(body_bytes: int) -> Refusal:
    """What a body over the limit is answered with."""
    return Refusal(413, "body_too_large", f"expected a body of at most {body_bytes} bytes, got more", "send less, or raise the server's limit")


def _bad_request_line(line: str) -> Refusal:
    if _OTHER_VERSION(line) and not line.endswith((" HTTP/1.0", " HTTP/1.1")):
        return Refusal(505, "version_not_supported", "expected HTTP/1.1 or HTTP/1.0, got another version")
    return Refusal(400, "malformed_request_line", "expected `METHOD /path HTTP/1.1`, got something else")


def _length(method: str, fields: dict[str, str], minor: int, body_bytes: int) -> int:
    """RFC 9112 section 6.3, without its leniences: two ways to read a body are two requests to somebody."""
    coding, given = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if given is not None or not minor:
            raise Refusal(400, "ambiguous_length", "expected Content-Length, or Transfer-Encoding in HTTP/1.1, got both or HTTP/1.0")
        if coding.lower() != "chunked":
            raise Refusal(501, "coding_unknown", "expected no transfer coding but chunked, got another")
        return CHUNKED
    if given is None:
        if method in _WITH_BODY:
            raise Refusal(411, "length_required", "expected a Content-Length, got none", "send Content-Length: 0 for an empty body")
        return 0
    if not (given.isascii() and given.isdigit()):
        raise Refusal(400, "malformed_length", "expected a Content-Length of decimal digits, got something else")
    if len(given) > 18 or int(given) > body_bytes:
        raise too_large(body_bytes)
    return int(given)


def _keep_alive(fields: dict[str, str], minor: int) -> bool:
    options = fields.get("connection")
    if options is None:
        return minor == 1
    words = {word.strip(" \t") for word in options.lower().split(",")}
    return "close" not in words and (minor == 1 or "keep-alive" in words)


@lru_cache(maxsize=64)
def _name(host: str) -> str:
    """The lower-case name of a Host field, without its port; empty for a field that has none."""
    found = _HOST(host)
    return found[1].lower() if found else ""
