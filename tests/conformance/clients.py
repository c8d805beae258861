"""Clients of the fixture server for tests: real processes, one HTTP exchange at a time, and lines on a pipe."""

from __future__ import annotations

import http.client
import itertools
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

Message = dict[str, Any]

FIXTURE = Path(__file__).resolve().parent / "fixture_server.py"
SECONDS = 20
PREFIX = "io.modelcontextprotocol/"
STATELESS = "2026-07-28"
ABILITIES: Message = {"sampling": {}, "elicitation": {}, "roots": {}}


class Event(NamedTuple):
    """One server-sent event; `message` is None for a priming event."""

    id: str
    retry: str
    message: Optional[Message]


def stateless(method: str, number: object = 1, capabilities: Optional[Message] = None, version: str = STATELESS, **params: object) -> Message:
    """A request of the stateless era."""
    meta = {PREFIX + "protocolVersion": version, PREFIX + "clientCapabilities": ABILITIES if capabilities is None else capabilities}
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}


def initialize(version: str = "2025-11-25") -> Message:
    """The first request of the session era."""
    params = {"protocolVersion": version, "capabilities": ABILITIES, "clientInfo": {"name": "test", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


class Answer:
    """An HTTP response, its stream still open."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection, self._response = connection, connection.getresponse()
        self.status, self.headers = self._response.status, self._response.headers

    def json(self) -> Any:
        data = self._response.read()
        self._connection.close()
        return json.loads(data) if data else None

    def events(self) -> Iterator[Event]:
        """The stream's events, as they come."""
        fields: dict[str, str] = {}
        for line in self._response:
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.strip()
            elif fields:
                data = fields.get("data", "")
                yield Event(fields.get("id", ""), fields.get("retry", ""), json.loads(data) if data else None)
                fields = {}
        self.close()

    def messages(self) -> list[Message]:
        """Every message until the stream ends."""
        return [event.message for event in self.events() if event.message is not None]

    def close(self) -> None:
        self._connection.close()


class Http:
    """Requests to one URL, in one session once there is one."""

    def __init__(self, url: str) -> None:
        self._url, self.session = urlsplit(url), ""

    def send(self, http_method: str, message: object, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=SECONDS)
        body = b"" if message is None else json.dumps(message).encode()
        own = {"Mcp-Session-Id": self.session} if self.session else {}
        connection.request(http_method, self._url.path, body, {"Content-Type": "application/json", **own, **headers})
        return Answer(connection)

    def post(self, message: object, accept: str = "application/json, text/event-stream", **headers: str) -> Answer:
        return self.send("POST", message, {"Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}})

    def stateless(self, message: Message, accept: str = "application/json, text/event-stream", **headers: str) -> Answer:
        """A request with the headers that its body calls for; given ones replace them."""
        params = message["params"]
        name = params.get("uri") if message["method"] == "resources/read" else params.get("name", params.get("taskId"))
        own = {"MCP_Protocol_Version": params["_meta"][PREFIX + "protocolVersion"], "Mcp_Method": message["method"]}
        if name is not None:
            own["Mcp_Name"] = name
        return self.post(message, accept, **{**own, **headers})

    def open(self, version: str = "2025-11-25") -> Message:
        """Begin a session; the result of initialize."""
        answer = self.post(initialize(version))
        result: Message = answer.json()["result"]
        self.session = answer.headers["Mcp-Session-Id"]
        assert self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202
        return result


class Pipe:
    """A child that speaks on stdio; what it says is taken by id, whatever the order."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self._ids = process, itertools.count(100)
        self.lines: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def say(self, message: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def next(self) -> Message:
        return self.lines.get(timeout=SECONDS)

    def call(self, method: str, **params: object) -> tuple[list[Message], Message]:
        """What came before the response, and the response."""
        number = next(self._ids)
        before: list[Message] = []
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            message = self.next()
            if message.get("id") == number and "method" not in message:
                return before, message
            before.append(message)


@contextmanager
def http_server(*arguments: str) -> Iterator[str]:
    """A fixture over HTTP; its URL."""
    process = subprocess.Popen([sys.executable, str(FIXTURE), "--http", "127.0.0.1:0", *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@contextmanager
def stdio_server(*arguments: str) -> Iterator[Pipe]:
    """A fixture on pipes."""
    process = subprocess.Popen([sys.executable, str(FIXTURE), "--stdio", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Pipe(process)
    finally:
        process.kill()
        process.wait(SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
