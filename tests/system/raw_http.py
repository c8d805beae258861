"""HTTP as bytes on a socket, and a listener to send them to."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from typing import Any, NamedTuple

from gait.system.http_request import Limits, Request
from gait.system.http_response import Response
from gait.system.listener import Listener

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


def post(body: bytes, path: str = "/", more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def judge(request: Request) -> Response:
    """A handler that answers 200 to JSON and to a request without a body, and says what it got."""
    if request.method == "POST":
        try:
            json.loads(request.body.decode("utf-8"))
        except ValueError:
            return Response(400, b'{"ok":false}')
    got = {"path": request.path, "method": request.method, "sha256": hashlib.sha256(request.body).hexdigest()}
    return Response(200, json.dumps(got).encode())


class Running:
    """A listener in a thread of its own.  On leaving it must have ended cleanly."""

    def __init__(self, handle=judge, address="127.0.0.1:0", grace=5.0, **settings):
        self.refusals: list[tuple[Any, str]] = []
        self.accesses: list[Any] = []
        self.grace = grace
        settings.setdefault("on_refusal", lambda error, peer: self.refusals.append((error, peer)))
        settings.setdefault("access_log", self.accesses.append)
        self.listener = Listener(address, handle, **settings)
        self.left = -1
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        self.left = self.listener.serve()

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert self.left == 0

    def stop(self, grace: float | None = None) -> float:
        """Seconds that it took."""
        started = time.monotonic()
        self.listener.stop(self.grace if grace is None else grace)
        self.thread.join(30)
        assert not self.thread.is_alive()
        return time.monotonic() - started

    def connect(self, timeout: float = 20) -> socket.socket:
        if self.listener.address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.listener.address[5:])
            return sock
        host, _, port = self.listener.address.rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def ask(self, data: bytes, **how: Any) -> list[Answer]:
        with self.connect() as sock:
            return ask(sock, data, **how)

    def codes(self) -> list[str]:
        return [error.error_code for error, _ in self.refusals]


def ask(sock: socket.socket, data: bytes, *, piece: int = 0, half_close: bool = False, methods: tuple[str, ...] = ()) -> list[Answer]:
    """Send the bytes, whole or in pieces, read to the end and return the answers."""
    step = piece or len(data) or 1
    try:
        for start in range(0, len(data), step):
            sock.sendall(data[start : start + step])
        if half_close:
            sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has been answered and closed already
    return answers(read_all(sock), methods)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def answers(data: bytes, methods: tuple[str, ...] = ()) -> list[Answer]:
    """Every answer in the bytes; AssertionError where they are not answers from end to end."""
    found = []
    while data:
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        answer, data = take_answer(data, method)
        found.append(answer)
    return found


def take_answer(data: bytes, method: str = "GET") -> tuple[Answer, bytes]:
    head, mark, rest = data.partition(b"\r\n\r\n")
    assert mark, f"no head: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "HTTP/1.1" and reason, first
    headers: dict[str, str] = {}
    for line in lines:
        name, mark, value = line.partition(": ")
        assert mark and name.lower() not in headers, line
        headers[name.lower()] = value
    if method == "HEAD" or int(status) in (100, 204, 304):
        return Answer(int(status), headers, b""), rest
    if headers.get("transfer-encoding") == "chunked":
        body, rest = take_chunks(rest)
        return Answer(int(status), headers, body), rest
    if "content-length" not in headers:
        return Answer(int(status), headers, rest), b""
    length = int(headers["content-length"])
    assert len(rest) >= length, f"body cut off: {data[:300]!r}"
    return Answer(int(status), headers, rest[:length]), rest[length:]


def take_chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, mark, data = data.partition(b"\r\n")
        assert mark, "chunked body cut off"
        length = int(size, 16)
        assert data[length : length + 2] == b"\r\n", "chunked body cut off"
        if not length:
            return body, data[2:]
        body, data = body + data[:length], data[length + 2 :]


def wait_for(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def descriptors() -> int:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder))


def limits(**changes: Any) -> Limits:
    return Limits()._replace(**changes)
