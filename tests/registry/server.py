"""A real HTTPS server on loopback with the fixture certificate, whose answers a test writes: the control of every download."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Callable, Dict, List, Union

TLS = Path(__file__).resolve().parents[2] / "fixtures" / "http" / "tls"
CA = TLS / "certificate.pem"
# What a path gives: bytes of a file, or what writes to the connection itself; a list: one after the other, the last for ever.
Script = Union[bytes, Callable[[ssl.SSLSocket], None]]


def answer(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> Callable[[ssl.SSLSocket], None]:
    """What sends one whole answer."""
    fields = "".join(f"{header}\r\n" for header in headers)
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if length is None else length}\r\n{fields}\r\n"
    return lambda connection: connection.sendall(head.encode("latin-1") + body)


class Server:
    """A context manager; `asked` lists the paths that were asked for."""

    def __init__(self, files: Dict[str, Union[Script, List[Script]]]) -> None:
        self.files, self.asked = files, []  # type: ignore[var-annotated]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CA, TLS / "key.pem")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.name = f"localhost:{self._socket.getsockname()[1]}"
        self.url = f"https://{self.name}/packs/safe/"
        self.stopping = threading.Event()

    def __enter__(self) -> Server:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        try:
            with self._context.wrap_socket(connection, server_side=True) as tls:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    data = tls.recv(4096)
                    if not data:
                        return
                    head += data
                self._answer(head.split(b" ")[1].decode("latin-1"), tls)
                tls.settimeout(0.5)
                tls.unwrap()
        except (OSError, ValueError):
            pass  # the client went away, which some of the tests are about

    def _answer(self, path: str, tls: ssl.SSLSocket) -> None:
        self.asked.append(path)
        found = self.files.get(path.rpartition("/packs/safe/")[2], answer(404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, bytes):
            found = answer(200, found, "Connection: close")
        found(tls)
