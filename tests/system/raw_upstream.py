"""An upstream as a socket that says whatever a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from gait.system.channel import tls_context
from gait.system.http_client import Client, Terms
from gait.system.http_response import Response
from gait.system.origin import Origin
from tests.system.raw_http import Running

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TLS = Path(__file__).resolve().parents[2] / "fixtures/http/tls"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upstream:
    """A socket that answers each request in a thread: with bytes, or as a callable does.  Then it closes, unless it is to keep."""

    def __init__(self, *answers: bytes | Callable[[socket.socket], object], keep: bool = True) -> None:
        self.answers = list(answers)
        self.keep = keep
        self.requests: list[bytes] = []
        self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.clients: list[socket.socket] = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for sock in self.clients:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(10)

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            self.clients.append(sock)
            self.threads.append(threading.Thread(target=self.serve, args=(sock,)))
            self.threads[-1].start()

    def serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while self.answers and self.read(sock):
                    answer = self.answers.pop(0)
                    if callable(answer):
                        answer(sock)
                    else:
                        sock.sendall(answer)
                    if not self.keep:
                        return
                sock.recv(1)
            except OSError:
                pass

    def read(self, sock: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            body += sock.recv(65536)
        self.requests.append(data)
        return True

    def client(self, **terms: float) -> Client:
        return Client(Origin("127.0.0.1", self.port, False, "/mcp"), Terms()._replace(**terms))


def tls_server(handle=lambda request: Response(200, request.body)) -> Running:
    return Running(handle, tls=tls_context(str(TLS / "certificate.pem"), str(TLS / "key.pem")))
