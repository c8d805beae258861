"""Where an upstream is, and connections to it: plain to this host, TLS with a proven certificate to any other."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from ..errors import GaitError, InvalidInput
from .binding import is_loopback
from .channel import Channel, Gone, TimedOut, TlsChannel

PULSE_SECONDS = 0.5  # how soon a wait notices that nobody wants its end any more
_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+").fullmatch
_TARGET = re.compile(r"/[!-~]*").fullmatch
_IGNORE_UNEXPECTED_EOF = 0x80  # of OpenSSL 3: Python 3.9 sets it, and has no name for it
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN})


class Unreachable(GaitError):
    """No connection to the upstream, or none that its certificate proves."""

    error_code = "upstream_unreachable"
    category = "network_failure"
    http_status = 502
    retryable = True
    next_step = "check that the upstream runs and that its URL is right"


class Unwanted(Exception):
    """Whoever asked does not want the answer any more."""


class Origin(NamedTuple):
    """Where an upstream is.  `target` is the path with its query, `host` without brackets."""

    host: str
    port: int
    is_tls: bool
    target: str

    @property
    def name(self) -> str:
        """The Host field: without the port where that is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def read_url(text: str, where: str, may_be_plain: bool = False) -> Origin:
    """The origin in a URL.  InvalidInput: none that can be used, or http to another host when that `may_be_plain` does not allow."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
        is_usable = url.scheme in ("http", "https") and "@" not in url.netloc and "#" not in text and port != 0
    except ValueError:  # a port or brackets that are none
        is_usable, host = False, ""
    if not (is_usable and _HOST(host) and _TARGET(_target(text)) and text.isprintable() and " " not in text):
        message = "expected http(s)://host[:port]/path in ASCII, without a user and a fragment"
        raise InvalidInput(message, where=where, hint="for example http://127.0.0.1:3000/mcp", code="invalid_usage")
    is_tls = url.scheme == "https"
    if not (is_tls or may_be_plain or is_loopback(host)):
        raise InvalidInput("expected https, or http to this host only", where=where, hint="use https", code="invalid_usage")
    return Origin(host, port or (443 if is_tls else 80), is_tls, _target(text))


def client_tls(ca_file: str = "") -> ssl.SSLContext:
    """A client's TLS 1.2+ settings, which verify certificate and name.  InvalidInput: the CA file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        message = f"expected a PEM file of certificate authorities, got: {reason}"
        raise InvalidInput(message, where=ca_file, hint="check the file", code="tls_files_unusable") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(["http/1.1"])
    return context


class Line(Channel):
    """A plain connection to an upstream."""

    __slots__ = ()

    def is_quiet(self) -> bool:
        """True while the other side has sent nothing and ended nothing: only then is it in step with its client."""
        return _is_silent(self._socket)


class TlsLine(TlsChannel):
    """A TLS connection to an upstream.  The handshake is made by `open`."""

    __slots__ = ()

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        Channel.__init__(self, sock)
        try:
            # An end without a farewell is an error here: an answer that ends with its connection could be cut off unseen.
            self._socket = context.wrap_socket(sock, do_handshake_on_connect=False, suppress_ragged_eofs=False, server_hostname=host)
        except (OSError, ValueError) as error:
            sock.close()
            raise Gone from error

    def is_quiet(self) -> bool:
        """True while the other side has sent nothing and ended nothing."""
        return not self._socket.pending() and _is_silent(self._socket)


def connect(origin: Origin, tls: ssl.SSLContext | None, seconds: float, is_wanted: Callable[[], bool]) -> Line | TlsLine:
    """A connection.  Unreachable; Unwanted: `is_wanted` said no while waiting."""
    deadline = time.monotonic() + seconds
    try:
        sock = _connect(origin, deadline, is_wanted)
        line = Line(sock) if tls is None else TlsLine(sock, tls, origin.host)
    except (OSError, ValueError, Gone) as error:
        raise _unreachable(origin, error) from error
    try:
        line.open(max(deadline - time.monotonic(), 0.001))
    except Gone as error:
        line.close(0)
        raise _unreachable(origin, error) from error
    return line


def _target(text: str) -> str:
    """What follows the authority, as it is written."""
    _, _, rest = text.partition("://")
    start = re.search("[/?]", rest)
    target = rest[start.start() :] if start else "/"
    return target if target.startswith("/") else "/" + target


def _connect(origin: Origin, deadline: float, is_wanted: Callable[[], bool]) -> socket.socket:
    """A connected socket, to the first address that takes it.  OSError: none does, or not in time."""
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, place in socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            return _connect_one(sock, place, deadline, is_wanted)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise failure


def _connect_one(sock: socket.socket, place: object, deadline: float, is_wanted: Callable[[], bool]) -> socket.socket:
    sock.setblocking(False)
    code = sock.connect_ex(place)  # type: ignore[arg-type]
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while code in _IN_PROGRESS:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("too slow")
        if poll.poll(min(left, PULSE_SECONDS) * 1000):
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        elif not is_wanted():
            raise Unwanted
    if code:
        raise OSError(code, os.strerror(code))
    return sock


def _is_silent(sock: socket.socket) -> bool:
    poll = select.poll()
    try:
        poll.register(sock, select.POLLIN | getattr(select, "POLLRDHUP", 0))
        return not poll.poll(0)
    except (OSError, ValueError):
        return False


def _unreachable(origin: Origin, error: BaseException) -> Unreachable:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = f"expected a certificate that proves the name, got: {cause.verify_message}"
        return Unreachable(message, where=origin.name, hint="name its authority with a CA file", code="upstream_untrusted")
    if isinstance(cause, (TimedOut, socket.timeout)):
        return Unreachable("cannot connect: too slow", where=origin.name)
    reason = (cause.strerror if isinstance(cause, OSError) else "") or str(cause) or type(cause).__name__
    return Unreachable(f"cannot connect: {reason}", where=origin.name)
