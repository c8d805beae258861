"""The streamable HTTP gateway between real clients and real upstream processes."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from gait.errors import GaitError, StorageError
from gait.mcp.catalog import Catalog
from gait.mcp.effects import Outcome, Ruling, ToolCall
from gait.mcp.effects import Terms as McpTerms
from gait.mcp.lock import ServerLock, pin
from gait.mcp.http import Gateway, Upstream
from gait.system.http_client import Client, Terms
from gait.system.origin import read_url
from tests.mcp.http_server import TOOLS
from tests.system.raw_http import Running, descriptors, wait_for
from tests.system.raw_upstream import Upstream as Raw
from tests.system.raw_upstream import tls_server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Gate:
    """Blocks what is called blocked; remembers what is recorded."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.outcomes: list[Outcome] = []
        self.refusals: list[GaitError] = []

    def decide(self, call: ToolCall) -> Ruling:
        self.calls.append(call)
        name = str(call.value["params"]["name"])  # type: ignore[index]
        if name.endswith("unrecorded"):
            raise StorageError("the disk is full")
        verdict = "block" if call.barred or name.endswith("blocked") else "allow"
        return Ruling(verdict, (call.barred or "rule",), (), "r", "t", "i", "p", "c", 1, 0, name, time.monotonic())

    def refused(self, data: bytes, error: GaitError) -> None:
        self.refusals.append(error)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def statuses(self) -> list[str]:
        return [outcome.status for outcome in self.outcomes]


class Server:
    """The upstream's process."""

    def __init__(self, folder: Path) -> None:
        self.log_path = folder / "upstream.log"
        self.log_path.touch()
        command = [sys.executable, str(HERE / "http_server.py"), str(self.log_path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.endswith("}")]

    def messages(self) -> list[dict[str, Any]]:
        return [entry["message"] for entry in self.log() if "message" in entry]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Setup:
    """A gateway in this process, in front of one upstream."""

    def __init__(self, url: str, name: str = "", terms: Terms = Terms(), catalog: Catalog | None = None, **more: Any) -> None:
        self.gate = Gate()
        client = Client(read_url(url, "test"), terms)
        upstream = Upstream(name, client, self.gate, catalog or Catalog(None), McpTerms(server=name), **more)
        self.gateway = Gateway([upstream], lambda: self.running.listener.is_stopping)
        self.running = Running(self.gateway.handle)
        self.path = f"/mcp/{name}" if name else "/mcp"

    def __enter__(self) -> Setup:
        self.running.__enter__()
        return self

    def __exit__(self, *arguments: object) -> None:
        self.running.__exit__(*arguments)
        self.gateway.close()

    def connect(self, timeout: float = 20) -> http.client.HTTPConnection:
        host, _, port = self.running.listener.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Got:
    """An answer, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
        return [json.loads(line[5:]) for line in lines if line.startswith(b"data:") and line[5:].strip()]


def start(connection: http.client.HTTPConnection, message: object, headers: dict[str, str] | None = None, path: str = "/mcp") -> http.client.HTTPResponse:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    connection.request("POST", path, body, {**JSON, **(headers or {})})
    return connection.getresponse()


def post(connection: http.client.HTTPConnection, message: object, headers: dict[str, str] | None = None, path: str = "/mcp") -> Got:
    return Got(start(connection, message, headers, path))


def call(tool: str, id_: object = 1, **arguments: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def initialize(connection: http.client.HTTPConnection, path: str = "/mcp") -> dict[str, str]:
    """The headers of a new session."""
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    got = post(connection, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, path=path)
    assert got.status == 200
    return {"Mcp-Session-Id": got.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = (threading.active_count(), descriptors())
    yield
    wait_for(lambda: (threading.active_count(), descriptors()) <= before, 5)


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    running.close()


@pytest.fixture
def setup(server):
    with Setup(server.url) as running:
        yield running


@pytest.fixture
def client(setup):
    connection = setup.connect()
    yield connection
    connection.close()


def direct(server: Server, message: object) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        return post(connection, message)
    finally:
        connection.close()


# --- what passes, and what does not ------------------------------------------------------------


@pytest.mark.parametrize("message", [call("echo", 7, a="\u00e9"), call("fails", "x"), call("stream"), {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}])
def test_an_answer_is_the_same_bytes_as_direct(server, client, message):
    through, without = post(client, message), direct(server, message)
    assert (through.status, through.body) == (without.status, without.body)
    assert through.headers["content-type"] == without.headers["content-type"]
    assert through.headers["cache-control"] == without.headers["cache-control"]
    assert "set-cookie" not in through.headers and "x-own" not in through.headers


def test_the_upstream_gets_the_same_bytes_and_its_own_host(server, setup, client):
    headers = {"Authorization": "Bearer mine", "Cookie": "c=1", "X-Other": "1", "Mcp-Param-A": "7", "Accept-Encoding": "gzip"}
    body = b'{"jsonrpc":"2.0" ,"id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":7}}}'
    assert post(client, body, headers).status == 200
    (entry,) = server.log()
    seen = {name.lower(): value for name, value in entry["headers"].items()}
    assert seen["host"] == f"127.0.0.1:{server.port}" and seen["mcp-param-a"] == "7" and seen["accept"] == JSON["Accept"]
    assert seen["content-length"] == str(len(body)) and seen["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-other", "connection"} & seen.keys()
    assert setup.gate.calls[0].raw == body


def test_outcomes(setup, client):
    for tool in ("echo", "fails", "stream"):
        got = post(client, call(tool))
    wait_for(lambda: setup.gate.statuses == ["ok", "error", "ok"])
    assert setup.gate.outcomes[0].size_bytes > 50
    data = [line[5:] for line in got.body.splitlines() if line.startswith(b"data:{")][-1]
    assert setup.gate.outcomes[2].result_digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "message, status",
    [
        (call("blocked"), 200),
        (call("unrecorded"), 200),
        ({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}}, 400),
        ({**call("echo"), "method": "Tools/Call"}, 400),
        ([call("echo"), call("blocked", 2)], 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{}', 400),
        (b"not json", 400),
    ],
)
def test_what_is_refused_never_reaches_the_upstream(server, setup, client, message, status):
    got = post(client, message)
    assert got.status == status and got.headers.get("content-type", "application/json") == "application/json"
    assert post(client, call("echo", 99)).status == 200  # on the same connection
    assert [entry["id"] for entry in server.messages()] == [99]
    if status == 400:
        assert len(setup.gate.refusals) == 1
    else:
        assert got.value["id"] == 1 and got.value["result"]["isError"] is True


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-16", ""])
def test_another_content_type(server, setup, client, kind):
    assert post(client, call("echo"), {"Content-Type": kind}).status == 415
    assert not server.log() and len(setup.gate.refusals) == 1


def test_errors_of_the_upstream_pass(server, setup, client):
    message = {"jsonrpc": "2.0", "id": 1, "method": "nonsense"}
    through, without = post(client, message), direct(server, message)
    assert (through.status, through.body) == (400, without.body)


def test_paths_and_methods(server, client):
    for path in ("/mcp/", "/mcp/other", "/MCP"):
        assert post(client, call("echo"), path=path).status == 404
    for method, status in (("PUT", 405), ("HEAD", 405), ("OPTIONS", 204), ("PATCH", 405)):
        client.request(method, "/mcp", b"" if method != "HEAD" else None)
        got = Got(client.getresponse())
        assert (got.status, got.headers["allow"]) == (status, "DELETE, GET, OPTIONS, POST")
    assert not server.log()


def test_a_named_upstream_with_a_token_of_its_own(server):
    with Setup(server.url, "files", authorization="Bearer theirs", passes_authorization=True) as setup:
        client = setup.connect()
        assert post(client, call("echo"), {"Authorization": "Bearer mine"}, "/mcp/files").status == 200
        assert post(client, call("echo"), path="/mcp").status == 404
        client.close()
        assert server.log()[0]["headers"]["authorization"] == "Bearer theirs"
        assert setup.gate.calls[0].value["params"]["name"] == "files__echo"


def test_the_clients_own_token_where_it_is_allowed(server):
    with Setup(server.url, passes_authorization=True) as setup:
        client = setup.connect()
        assert post(client, call("echo"), {"Authorization": "Bearer mine"}).status == 200
        client.close()
    assert server.log()[0]["headers"]["authorization"] == "Bearer mine"


def test_a_filtered_list(server):
    with Setup(server.url, catalog=Catalog(None, lambda name: name == "blocked")) as setup:
        client = setup.connect()
        for session in ({}, initialize(client)):
            found, bodies = [], []
            for cursor in ({}, {"cursor": "1"}, {"cursor": "2"}):
                got = post(client, {"jsonrpc": "2.0", "id": "l", "method": "tools/list", "params": cursor}, session)
                (answer,) = got.events or [got.value]
                assert answer["id"] == "l" and answer["result"].get("nextCursor", "3") == str(int(cursor.get("cursor", 0)) + 1)
                found += [tool["name"] for tool in answer["result"]["tools"]]
                bodies.append(got.body)
            assert found == ["echo", "shown"]
        assert bodies[1].startswith(b"event: message\ndata: {") and bodies[1].endswith(b"}\n\n")  # made anew
        assert bodies[2].startswith(b"event: message\ndata:{")  # as it came
        client.close()


# --- with a lock -------------------------------------------------------------------------------


def locked(*tools: dict[str, object]) -> Catalog:
    return Catalog(ServerLock("default", {str(tool["name"]): pin(tool) for tool in tools}))


@pytest.mark.parametrize("in_session", [True, False])
def test_the_gateway_lists_tools_before_the_first_call(server, in_session):
    with Setup(server.url, catalog=locked(TOOLS[0], TOOLS[2])) as setup:
        client = setup.connect()
        session = initialize(client) if in_session else {}
        assert post(client, call("echo", 1), {**session, "Mcp-Method": "tools/call", "Mcp-Name": "echo"}).value["result"]["echo"] == {}
        assert post(client, call("shown", 2), session).value["result"]["echo"] == {}
        got = post(client, call("dies", 3), session)
        assert got.value["result"]["isError"] is True
        client.close()
    assert [call.barred for call in setup.gate.calls] == ["", "", "tool_not_in_lock"]
    entries = [entry for entry in server.log() if entry["message"]["method"] != "initialize"]
    assert [entry["message"]["method"] for entry in entries] == ["tools/list"] * 3 + ["tools/call"] * 2
    assert [entry["headers"].get("mcp-method") for entry in entries] == ["tools/list"] * 3 + ["tools/call", None]
    assert all("mcp-name" not in entry["headers"] for entry in entries[:3])


def test_a_tool_that_has_changed(server):
    Path(f"{server.log_path}.changed").touch()
    with Setup(server.url, catalog=locked(TOOLS[0], TOOLS[2])) as setup:
        client = setup.connect()
        assert post(client, call("shown")).value["result"]["isError"] is True
        assert post(client, call("echo")).value["result"]["echo"] == {}
        client.close()
    assert [call.barred for call in setup.gate.calls] == ["tool_definition_changed", ""]


def test_tools_that_cannot_be_listed(server):
    with Setup(server.url, catalog=locked(TOOLS[0])) as setup:
        server.close()
        client = setup.connect()
        assert post(client, call("echo")).value["result"]["isError"] is True
        client.close()
    assert [call.barred for call in setup.gate.calls] == ["tool_definition_unseen"]


# --- sessions ----------------------------------------------------------------------------------


def test_a_session_and_its_end(server, setup, client):
    session = initialize(client)
    assert post(client, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session).status == 202
    assert post(client, call("echo"), session).status == 200
    assert setup.gate.calls[0].session_id == session["Mcp-Session-Id"]
    client.request("DELETE", "/mcp", headers=session)
    assert Got(client.getresponse()).status == 204
    got = post(client, call("echo", 2), session)
    assert got.status == 404 and got.value["error"]["message"] == "Session not found"
    wait_for(lambda: setup.gate.statuses == ["ok", "error"])


def test_a_stream_that_is_resumed(server, setup, client):
    session = initialize(client)
    got = post(client, call("polled", "r"), session)
    assert got.status == 200 and b"id: e-7\nretry: 10\ndata: \n\n" == got.body
    assert setup.gate.statuses == []
    client.request("GET", "/mcp", headers={**session, "Accept": "text/event-stream", "Last-Event-ID": "e-7"})
    got = Got(client.getresponse())
    assert got.body.startswith(b"id: after-e-7\r\nevent: message\ndata:{") and got.events[0]["id"] == "r"
    wait_for(lambda: setup.gate.statuses == ["ok"])
    assert server.log()[-1] == {"method": "GET", "session": session["Mcp-Session-Id"], "last": "e-7"}


def test_a_stream_that_is_never_resumed(setup, client):
    session = initialize(client)
    post(client, call("polled", "r"), session)
    post(client, call("polled", "s"))  # of no session: nobody can ask for the rest
    wait_for(lambda: setup.gate.statuses == ["never_answered"])
    client.request("DELETE", "/mcp", headers=session)
    Got(client.getresponse())
    wait_for(lambda: setup.gate.statuses == ["never_answered", "never_answered"])


def test_a_request_of_the_server_during_a_stream(server, setup, client):
    session = initialize(client)
    stream = start(client, call("asks"), session)
    first = stream.readline() + stream.readline()
    assert b"sampling/createMessage" in first
    other = setup.connect()
    assert post(other, {"jsonrpc": "2.0", "id": "s-1", "result": {"role": "assistant"}}, session).status == 202
    other.close()
    assert b'"answered": true' in stream.read()
    wait_for(lambda: setup.gate.statuses == ["ok"])


def test_a_call_that_the_client_cancels(server, setup, client):
    session = initialize(client)
    stream = start(client, call("hangs_streaming", 5), session)
    stream.readline()
    other = setup.connect()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    assert post(other, cancel, session).status == 202
    client.close()
    stream.close()
    wait_for(lambda: any("closed" in entry for entry in server.log()), 3)
    other.request("DELETE", "/mcp", headers=session)
    Got(other.getresponse())
    other.close()
    wait_for(lambda: setup.gate.statuses == ["cancelled"], 3)


def test_events_come_as_they_are_sent(setup, client):
    stream = start(client, call("stream", pause=0.3))
    times = []
    while True:
        line = stream.readline()
        if not line:
            break
        if line.startswith(b"data:{"):
            times.append(time.monotonic())
    assert len(times) == 4 and all(0.2 < after - before < 1 for before, after in zip(times, times[1:]))


# --- endings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["hangs", "hangs_streaming"])
def test_a_client_that_leaves_cancels_the_upstream(server, setup, tool):
    client = setup.connect()
    client.request("POST", "/mcp", json.dumps(call(tool)), JSON)
    wait_for(server.messages)
    time.sleep(0.2)
    client.close()
    left = time.monotonic()
    wait_for(lambda: any("closed" in entry for entry in server.log()), 2)
    assert time.monotonic() - left < 2
    assert server.log()[-1] == {"closed": tool, "is_closed": True}
    wait_for(lambda: setup.gate.statuses == ["cancelled"], 2)


def test_a_get_stream_ends_with_its_client_and_with_the_listener(server, setup, client):
    for close in (client.close, setup.running.stop):
        connection = client if close == client.close else setup.connect()
        connection.request("GET", "/mcp", headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
        assert response.readline() == b"id: g1\r\n"
        before = len(server.log())
        began = time.monotonic()
        if close == client.close:
            response.close()
        close()
        wait_for(lambda: len(server.log()) > before, 3)
        assert time.monotonic() - began < 2 and server.log()[-1] == {"closed": "GET", "is_closed": True}
        response.close()
        connection.close()


def test_the_listeners_end_does_not_wait_for_a_hanging_upstream(server, setup, client):
    client.request("POST", "/mcp", json.dumps(call("hangs")), JSON)
    wait_for(server.messages)
    assert setup.running.stop(grace=0.3) < 3
    wait_for(lambda: setup.gate.statuses == ["cancelled"])


def test_an_upstream_that_is_not_there(server, setup, client):
    server.close()
    got = post(client, call("echo", "x"))
    assert got.status == 502 and got.value["id"] == "x" and got.value["error"]["code"] == -32000
    wait_for(lambda: setup.gate.statuses == ["error"])


def answer(headers: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'
JSON_TYPE = b"Content-Type: application/json\r\n"
EVENTS_TYPE = b"Content-Type: text/event-stream\r\n"

# (what the upstream sends and then closes, status for the client, its body or None for a JSON-RPC error of Gait's, outcome)
ODD = [
    (b"", 502, None, "error"),
    (b"no http\r\n\r\n", 502, None, "error"),
    (answer(JSON_TYPE, RESULT)[:-3], 502, None, "error"),
    (answer(JSON_TYPE + b"Content-Length: 5\r\n", RESULT), 502, None, "error"),
    (answer(JSON_TYPE + JSON_TYPE, RESULT), 502, None, "error"),
    (answer(JSON_TYPE + b"Transfer-Encoding: chunked\r\n", RESULT), 502, None, "error"),
    (answer(JSON_TYPE + b"Content-Encoding: gzip\r\n", RESULT), 502, None, "error"),
    (answer(b"Location: http://127.0.0.1/mcp/\r\n", b"", b"307 Temporary Redirect"), 502, None, "error"),
    (answer(b"Content-Type: text/html\r\n", b"<html>"), 502, None, "error"),
    (answer(b"", RESULT), 502, None, "error"),
    (answer(b"Content-Type: text/html\r\n", b"<html>", b"500 Oh"), 500, b"<html>", "error"),
    (answer(b"Content-Type: text/html\r\n", b"x" * 2_000_000, b"500 Oh"), 502, None, "error"),
    (answer(JSON_TYPE, b"x" * (16 << 20) + b"x"), 502, None, "error"),
    (answer(JSON_TYPE, b"", b"429 Too Many"), 429, b"", "error"),
    (answer(JSON_TYPE, b"not json"), 200, b"not json", "never_answered"),
    (answer(JSON_TYPE, RESULT.replace(b"1", b"2")), 200, RESULT.replace(b"1", b"2"), "never_answered"),
    (answer(JSON_TYPE, RESULT.replace(b":1", b':"1"')), 200, RESULT.replace(b":1", b':"1"'), "never_answered"),
    (answer(JSON_TYPE), 200, b"", "never_answered"),
    (answer(b"", b"", b"202 Accepted"), 202, b"", "never_answered"),
    (answer(JSON_TYPE, RESULT, b"400 Bad"), 400, RESULT, "ok"),
    (b"HTTP/1.1 200 OK\r\n" + JSON_TYPE + b"\r\n" + RESULT, 200, RESULT, "ok"),
    (answer(b"Content-Type: APPLICATION/JSON ; charset=utf-8\r\n", RESULT), 200, RESULT, "ok"),
    (answer(EVENTS_TYPE, b"data: " + RESULT + b"\r\r"), 200, b"data: " + RESULT + b"\r\r", "ok"),
    (answer(EVENTS_TYPE, b"data: " + RESULT + b"\n"), 200, b"", "never_answered"),
    (answer(EVENTS_TYPE, b"data: x\n\n: c\n\n"), 200, b"data: x\n\n: c\n\n", "never_answered"),
]


@pytest.mark.parametrize("data, status, body, outcome", ODD, ids=range(len(ODD)))
def test_what_an_upstream_may_answer(data, status, body, outcome):
    with Raw(data, keep=False) as upstream, Setup(f"http://127.0.0.1:{upstream.port}/") as setup:
        client = setup.connect()
        got = post(client, call("echo"))
        assert got.status == status
        if body is None:
            assert got.value["id"] == 1 and got.value["error"]["code"] == -32000
        else:
            assert got.body == body
        wait_for(lambda: setup.gate.statuses == [outcome])
        assert "location" not in got.headers and not setup.running.refusals
        client.close()


def test_an_event_that_is_too_long():
    def flood(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + EVENTS_TYPE + b"\r\ndata: ")
        while True:
            sock.sendall(b"x" * 65536)

    with Raw(flood) as upstream, Setup(f"http://127.0.0.1:{upstream.port}/") as setup:
        client = setup.connect()
        with pytest.raises(http.client.IncompleteRead):
            start(client, call("echo")).read()
        wait_for(lambda: setup.gate.statuses == ["error"])
        client.close()


def test_a_certificate_that_proves_nothing():
    with tls_server() as upstream, Setup(f"https://localhost:{upstream.listener.address.rpartition(':')[2]}/") as setup:
        client = setup.connect()
        got = post(client, call("echo"))
        assert got.status == 502 and "certificate" in got.value["error"]["message"]
        assert not upstream.accesses
        client.close()


def test_an_upstream_that_dies_half_way(setup, client):
    stream = start(client, call("dies"))
    with pytest.raises(http.client.IncompleteRead):
        stream.read()
    wait_for(lambda: setup.gate.statuses == ["never_answered"])
    assert not setup.running.refusals


def test_an_upstream_that_is_too_slow(server):
    with Setup(server.url, terms=Terms(answer_seconds=0.4)) as setup:
        client = setup.connect()
        got = post(client, call("hangs", 3))
        assert got.status == 504 and got.value["id"] == 3 and got.value["error"]["code"] == -32001
        wait_for(lambda: setup.gate.statuses == ["timeout"])
        client.close()


def test_a_connection_that_the_upstream_closed(server, setup, client):
    for number in range(5):
        assert post(client, call("closes", number)).status == 200
        time.sleep(0.05)
    assert [entry["id"] for entry in server.messages()] == list(range(5))
    assert len({entry["connection"] for entry in server.log()}) == 5


def test_connections_are_kept(server, setup, client):
    for number in range(5):
        assert post(client, call("echo", number)).status == 200
    assert len({entry["connection"] for entry in server.log()}) == 1


def test_eight_clients_at_once(server, setup):
    failures = []

    def work(number: int) -> None:
        client = setup.connect()
        for turn in range(20):
            got = post(client, call("echo" if turn % 2 else "stream", number * 100 + turn, n=number))
            answer = got.value if turn % 2 else got.events[-1]
            if got.status != 200 or answer["id"] != number * 100 + turn:
                failures.append(got.body)
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    wait_for(lambda: setup.gate.statuses == ["ok"] * 160)
    assert len({entry["connection"] for entry in server.log()}) <= 8


GATEWAY = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.mcp.test_http import Setup
with Setup(sys.argv[2]) as setup:
    print(setup.running.listener.address, flush=True)
    sys.stdin.read()
"""


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_a_slow_reader_does_not_grow_memory(server):
    command = [sys.executable, "-c", GATEWAY, str(ROOT), server.url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    try:
        host, _, port = process.stdout.readline().decode().strip().rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=20)
        assert post(client, call("echo")).status == 200
        before = rss_bytes(process.pid)
        stream = start(client, call("flood"))
        most = 0
        for _ in range(20):
            stream.read(10000)
            time.sleep(0.05)
            most = max(most, rss_bytes(process.pid))
        assert most - before < 8 << 20
        assert not [entry for entry in server.log() if "flooded" in entry]  # the upstream was made to wait
        stream.close()
        client.close()
        wait_for(lambda: [entry for entry in server.log() if "flooded" in entry])
        assert server.log()[-1]["flooded"] < 20 << 20
    finally:
        process.communicate()
