"""Log records sent to an OpenTelemetry collector in the background (OTLP/HTTP JSON), never in a decision's way."""

from __future__ import annotations

import http.client
import queue
import threading
from urllib.parse import SplitResult, urlsplit

from ..errors import InvalidInput
from ..system.binding import is_loopback

_SECONDS = 5.0
_WAITING = 10_000
_BATCH = 256
# Each line is one ExportLogsServiceRequest with one resource; a batch is one with several (see exporters/otel.py).
_START, _END = '{"resourceLogs":[', "]}"


class OtlpSender:
    """One thread and a bounded queue; what does not fit, or is not taken, is counted in `dropped`."""

    def __init__(self, endpoint: str) -> None:
        self._url = check_endpoint(endpoint)
        self._lock = threading.Lock()
        self.dropped = 0
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="gait-otlp", daemon=True)
        self._thread.start()

    def send(self, line: str) -> None:
        """Queue one record; returns at once."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._drop(1)

    def close(self) -> None:
        """Send what waits, for at most a few seconds."""
        try:
            self._lines.put(None, timeout=_SECONDS)
        except queue.Full:
            return
        self._thread.join(_SECONDS)

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _run(self) -> None:
        connection = self._connect()
        is_last = False
        while not is_last:
            lines, is_last = self._take()
            if not lines:
                continue
            body = (_START + ",".join([line[len(_START) : -len(_END)] for line in lines]) + _END).encode("ascii")
            if not self._post(connection, body):
                connection = self._connect()  # it may have been idle for too long
                if not self._post(connection, body):
                    self._drop(len(lines))
        connection.close()

    def _take(self) -> tuple[list[str], bool]:
        """The lines that wait, at least one and at most a batch; True with them at the end."""
        found = [self._lines.get()]
        try:
            while found[-1] is not None and len(found) < _BATCH:
                found.append(self._lines.get_nowait())
        except queue.Empty:
            pass
        return [line for line in found if line is not None], found[-1] is None

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=_SECONDS)

    def _post(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        try:
            connection.request("POST", self._url.path or "/v1/logs", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(65536)
            if answer.status < 300:
                return True
        except (OSError, http.client.HTTPException):
            pass
        connection.close()
        return False


def check_endpoint(endpoint: str) -> SplitResult:
    """The parts of a collector's URL.  InvalidInput: no URL, or one that would send records in the clear to another host."""
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname or "", url.port
    except ValueError:  # a port that is none
        host, url = "", SplitResult("", "", "", "", "")
    if not host or url.scheme not in ("http", "https") or url.username is not None or url.query or url.fragment:
        message = "expected http(s)://host[:port][/path], without a user and a query"
        raise InvalidInput(message, where="--otlp-endpoint", hint="for example http://127.0.0.1:4318/v1/logs", code="invalid_usage")
    if url.scheme == "http" and not is_loopback(host):
        message = "expected https, or http to this host only"
        raise InvalidInput(message, where="--otlp-endpoint", hint="run a collector on this host, or use https", code="invalid_usage")
    return url
