"""Log records sent to an OpenTelemetry collector in the background (OTLP/HTTP JSON), never in a decision's way."""

from __future__ import annotations

import http.client
import queue
import threading
from urllib.parse import urlsplit

from ..errors import InvalidInput
from ..system.binding import is_loopback

_SECONDS = 5.0
_WAITING = 10_000


class OtlpSender:
    """One thread and a bounded queue; what does not fit, or is not taken, is counted in `dropped`."""

    def __init__(self, endpoint: str) -> None:
        self._url = urlsplit(endpoint)
        host = self._url.hostname or ""
        if not host or self._url.scheme not in ("http", "https") or self._url.username:
            raise InvalidInput("expected an http or https URL without a user", where="--otlp-endpoint")
        if self._url.scheme == "http" and not is_loopback(host):
            message = "expected https, or http to this host only"
            raise InvalidInput(message, where="--otlp-endpoint", hint="run a collector on this host, or use https")
        self.dropped = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="gait-otlp", daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """Queue one request body; returns at once."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Send what waits, for at most a few seconds."""
        try:
            self._lines.put(None, timeout=_SECONDS)
        except queue.Full:
            return
        self._thread.join(_SECONDS)

    def _run(self) -> None:
        connection = self._connect()
        while True:
            line = self._lines.get()
            if line is None:
                connection.close()
                return
            if not self._post(connection, line):
                connection.close()
                connection = self._connect()
                self.dropped += not self._post(connection, line)

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=_SECONDS)

    def _post(self, connection: http.client.HTTPConnection, line: str) -> bool:
        try:
            connection.request("POST", self._url.path or "/v1/logs", line.encode("ascii"), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(65536)
            return answer.status < 300
        except (OSError, http.client.HTTPException):
            return False
