"""One client's socket, plain or TLS, on which every wait has an end.

A plain socket waits in the kernel (SO_RCVTIMEO, SO_SNDTIMEO): Python's own socket time-outs poll before
each call, and giving the interpreter lock away twice costs a third of the requests per second.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

from ..errors import InvalidInput
from . import readiness

_RECEIVE_BYTES = 16384
_SLICE_BYTES = 1 << 18
_LEAST_SECONDS = 0.001  # 0 would mean to wait for ever
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)  # Windows has none, and no desk (desk.py) that would need it
_HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class Gone(Exception):
    """The client has closed the connection, or the listener had to."""


class TimedOut(Gone):
    """The client was too slow."""


class Channel:
    """A plain connection, TCP or Unix.  One thread reads and writes; `wake` and `abort` may come from another."""

    __slots__ = ("_socket", "_waits")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waits: dict[int, float] = {}
        self._socket.settimeout(None)
        if sock.family != getattr(socket, "AF_UNIX", None):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def open(self, seconds: float) -> None:
        """Make the connection ready.  A plain one is."""

    def receive(self, seconds: float) -> bytes:
        """Some bytes, or none at the client's end.  TimedOut, Gone."""
        try:
            if self._waits.get(socket.SO_RCVTIMEO) != seconds:
                self._set_wait(socket.SO_RCVTIMEO, seconds)
            return self._receive(_RECEIVE_BYTES)
        except (BlockingIOError, socket.timeout):
            raise TimedOut from None
        except (OSError, ValueError) as error:  # ValueError: ssl's word for a connection that ended half-way
            raise Gone from error

    def look(self) -> None:
        """Stay awake for a moment for what may come at once (readiness.py)."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        readiness.look(poll)

    def receive_now(self) -> bytes:
        """What is there, or none at the client's end, of a plain connection that is ready.  Gone."""
        try:
            return self._socket.recv(_RECEIVE_BYTES, _AT_ONCE)
        except OSError as error:
            raise Gone from error

    def send_now(self, data: bytes) -> int:
        """How many bytes a plain connection takes without waiting.  Gone."""
        try:
            return self._socket.send(data, _AT_ONCE)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Gone from error

    def send(self, data: bytes, seconds: float) -> None:
        """Send it all, each 256 KiB within the time given.  TimedOut, Gone."""
        try:
            if self._waits.get(socket.SO_SNDTIMEO) != seconds:
                self._set_wait(socket.SO_SNDTIMEO, seconds)
            sent = self._send(data[:_SLICE_BYTES] if len(data) > _SLICE_BYTES else data)
            if sent < len(data):
                self._send_rest(memoryview(data)[sent:], seconds)
        except (BlockingIOError, socket.timeout):
            raise TimedOut from None
        except (OSError, ValueError) as error:
            raise Gone from error

    def is_connected(self) -> bool:
        """False once the client has closed its side.  Over TLS on systems without POLLRDHUP it may stay True."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN | getattr(select, "POLLRDHUP", 0))
            events = sum(event for _, event in poll.poll(0))
            if events & _HUNG_UP:
                return False
            return not events or socket.socket.recv(self._socket, 1, socket.MSG_PEEK) != b""
        except (OSError, ValueError):
            return False

    def wake(self) -> None:
        """End the wait for a next request; what has arrived can still be read, and answers can be sent."""
        self._shut(socket.SHUT_RD)

    def abort(self) -> None:
        """End every wait, from another thread too."""
        self._shut(socket.SHUT_RDWR)

    def close(self, linger_seconds: float) -> None:
        """Close.  With time to linger, the client is let finish first: a reset would take the answer from it
        (RFC 9112 section 9.6)."""
        if linger_seconds:
            self._say_goodbye()
            self._shut(socket.SHUT_WR)
            self._drain(time.monotonic() + linger_seconds)
        self._socket.close()

    def _receive(self, most: int) -> bytes:
        return self._socket.recv(most)

    def _send(self, data: bytes | memoryview) -> int:
        return self._socket.send(data)

    def _send_rest(self, data: memoryview, seconds: float) -> None:
        while data:
            part, data = data[:_SLICE_BYTES], data[_SLICE_BYTES:]
            deadline = time.monotonic() + seconds
            while part:
                self._set_wait(socket.SO_SNDTIMEO, deadline - time.monotonic())
                part = part[self._send(part) :]

    def _set_wait(self, option: int, seconds: float) -> None:
        if seconds <= 0:
            raise TimedOut
        self._waits[option] = seconds
        seconds = max(seconds, _LEAST_SECONDS)
        whole = int(seconds)
        self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, int((seconds - whole) * 1e6)))

    def _say_goodbye(self) -> None:
        """A plain connection has no farewell but its end."""

    def _drain(self, deadline: float) -> None:
        try:
            while True:
                self._set_wait(socket.SO_RCVTIMEO, deadline - time.monotonic())
                if not socket.socket.recv(self._socket, _RECEIVE_BYTES):
                    return
        except (OSError, TimedOut):
            return

    def _shut(self, how: int) -> None:
        try:
            socket.socket.shutdown(self._socket, how)  # not SSLSocket's, which would turn the socket into a plain one
        except OSError:
            pass  # it is closed already


class TlsChannel(Channel):
    """A TLS connection.  The handshake is made by `open`, in the thread that serves the client."""

    __slots__ = ()
    _socket: ssl.SSLSocket

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        try:
            sock.getpeername()  # of a client that has left already, Python 3.9's wrap_socket would lose the descriptor
            self._socket = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            raise Gone from error

    def open(self, seconds: float) -> None:
        """The handshake, within the time given.  TimedOut, Gone."""
        try:
            self._set_wait(0, seconds)
            self._socket.do_handshake()
        except socket.timeout:
            raise TimedOut from None
        except (OSError, ValueError) as error:
            raise Gone from error

    def look(self) -> None:
        """The same, unless there is something that was read already."""
        if not self._socket.pending():
            super().look()

    def _set_wait(self, option: int, seconds: float) -> None:
        """One time-out serves both directions here: the TLS layer reads to write, and writes to read."""
        if seconds <= 0:
            raise TimedOut
        self._waits = {option: seconds}
        self._socket.settimeout(max(seconds, _LEAST_SECONDS))

    def _say_goodbye(self) -> None:
        try:
            self._socket.settimeout(0)
            self._socket.unwrap()
        except (OSError, ValueError):
            pass  # the close_notify is out, or nobody is there to read it


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's TLS 1.2+ settings out of two PEM files.  InvalidInput: a file is missing, no PEM, encrypted, or they do not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        message = f"expected a PEM certificate chain and its unencrypted key, got: {reason}"
        raise InvalidInput(message, where=f"{certificate}, {key}", hint="check both files", code="tls_files_unusable") from error
    return context


def _no_password() -> str:
    raise ValueError("an encrypted key would ask for its password on the terminal")
