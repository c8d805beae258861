"""A stdio server behind streamable HTTP: real clients, a real listener, and server processes that behave and misbehave."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from gait.mcp.bridge import Bridge, Command, Limits
from gait.mcp.catalog import Catalog
from gait.mcp.effects import Terms
from gait.mcp.http import Gateway
from gait.mcp.lock import ServerLock
from gait.mcp.streams import Room
from tests.mcp.test_http import Gate
from tests.mcp.wrapped import Background, processes
from tests.system.raw_http import Running, descriptors, wait_for

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = [sys.executable, str(ROOT / "tests" / "conformance" / "fixture_server.py"), "--stdio", "--log"]
SMALL = [sys.executable, "-I", str(ROOT / "tests" / "mcp" / "stdio_server.py")]
FLOOD = [sys.executable, "-I", str(ROOT / "tests" / "mcp" / "flood_server.py")]
JSON_FIRST = "application/json, text/event-stream"
EVENTS_FIRST = "text/event-stream, application/json"
STATELESS = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {}}


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
    def messages(self) -> list[Any]:
        return [json.loads(event["data"]) for event in events(self.body) if event.get("data")]


def events(body: bytes) -> list[dict[str, str]]:
    blocks = [block for block in body.decode().split("\n\n") if block.strip(":\n")]
    return [dict(line.partition(": ")[::2] for line in block.split("\n")) for block in blocks]


class Open:
    """An event stream that is being read."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.response = connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.getheader("content-type") == "text/event-stream"

    def event(self) -> dict[str, str]:
        """The next one; AssertionError at the stream's end."""
        found = {}
        while True:
            line = self.response.readline().decode()
            assert line, "the stream has ended"
            name, _, value = line.rstrip("\n").partition(": ")
            if name and name != ":":
                found[name] = value
            elif found:
                return found

    def message(self) -> Any:
        while True:
            found = self.event()
            if found.get("data"):
                return json.loads(found["data"])

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Setup:
    """A bridge in this process, in front of one command."""

    def __init__(self, *argv: object, limits: Limits = Limits(), **more: Any) -> None:
        self.gate = Gate()
        more.setdefault("catalog", Catalog(None))
        command = Command("", tuple(map(str, argv)), dict(os.environ), self.gate, limits=limits, **more)
        self.gateway = Gateway([command], lambda: self.running.listener.is_stopping)
        self.bridge: Bridge = self.gateway._mounts["/mcp"]  # type: ignore[assignment]
        self.running = Running(self.gateway.handle)
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Setup:
        self.running.__enter__()
        return self

    def __exit__(self, *arguments: object) -> None:
        for connection in self._connections:
            connection.close()
        self.running.__exit__(*arguments)
        self.gateway.close()

    def connect(self) -> http.client.HTTPConnection:
        host, _, port = self.running.listener.address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(connection)
        return connection

    def begin(self, method: str, value: Any = None, accept: str = JSON_FIRST, **headers: str) -> http.client.HTTPConnection:
        """Send a request; its answer is still to be read."""
        connection = self.connect()
        fields = {"Accept": accept, **{name.replace("_", "-"): text for name, text in headers.items()}}
        body = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        connection.request(method, "/mcp", body, fields)
        return connection

    def ask(self, method: str, value: Any = None, accept: str = JSON_FIRST, **headers: str) -> Got:
        connection = self.begin(method, value, accept, **headers)
        try:
            return Got(connection.getresponse())
        finally:
            connection.close()

    def session(self, version: str = "2025-11-25") -> Session:
        params = {"protocolVersion": version, "capabilities": {"elicitation": {}, "sampling": {}}, "clientInfo": {"name": "t", "version": "1"}}
        got = self.ask("POST", request("hello", "initialize", **params))
        assert got.status == 200, got.body
        session = Session(self, got.headers["mcp-session-id"])
        assert session.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202
        return session

    def stateless(self, value: Any, accept: str = JSON_FIRST, **headers: str) -> http.client.HTTPConnection:
        return self.begin("POST", value, accept, **{**named(value), **headers})

    def once(self, value: Any, accept: str = JSON_FIRST, **headers: str) -> Got:
        connection = self.stateless(value, accept, **headers)
        try:
            return Got(connection.getresponse())
        finally:
            connection.close()

    def groups(self) -> set[int]:
        """The process groups of the servers that run."""
        return {group for _, parent, group, state in processes() if parent == os.getpid() and group != os.getpgrp() and state[0] != "Z"}


class Session:
    def __init__(self, setup: Setup, id_: str) -> None:
        self.setup, self.id = setup, id_

    def post(self, value: Any, accept: str = JSON_FIRST) -> Got:
        return self.setup.ask("POST", value, accept, Mcp_Session_Id=self.id)

    def stream(self, value: Any) -> Open:
        return Open(self.setup.begin("POST", value, EVENTS_FIRST, Mcp_Session_Id=self.id))

    def listen(self, last: str = "") -> Open:
        more = {"Last_Event_ID": last} if last else {}
        return Open(self.setup.begin("GET", None, "text/event-stream", Mcp_Session_Id=self.id, **more))

    def delete(self) -> Got:
        return self.setup.ask("DELETE", Mcp_Session_Id=self.id)


def request(id_: object, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def call(id_: object, name: str, meta: Any = None, **arguments: Any) -> dict[str, Any]:
    return request(id_, "tools/call", name=name, arguments=arguments, **({"_meta": meta} if meta else {}))


def once(id_: object, name: str, token: object = None, **arguments: Any) -> dict[str, Any]:
    """A call of the stateless era."""
    return call(id_, name, META if token is None else {**META, "progressToken": token}, **arguments)


def named(value: Any) -> dict[str, str]:
    """The headers that repeat the body."""
    found = {"MCP_Protocol_Version": STATELESS}
    if isinstance(value, dict) and "method" in value:
        found["Mcp_Method"] = value["method"]
        name = value.get("params", {}).get("name")
        found.update({"Mcp_Name": name} if name else {})
    return found


def log(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def fixture(tmp_path: Path) -> Iterator[Setup]:
    with Setup(*FIXTURE, tmp_path / "log") as setup:
        yield setup
    assert not setup.groups()


# --- the session era ---------------------------------------------------------------------------------------


def test_a_session_lives_from_initialize_to_delete(fixture: Setup, tmp_path: Path) -> None:
    one, two = fixture.session(), fixture.session()
    assert one.id != two.id and len(one.id) >= 32
    assert len(fixture.groups()) == 2
    got = one.post(call(1, "test_simple_text"))
    assert got.value["result"]["content"][0]["text"] == "This is a simple text response for testing."
    assert got.headers["content-type"] == "application/json"
    assert one.delete().status == 200
    assert [one.post(call(2, "test_simple_text")).status, one.delete().status] == [404, 404]
    wait_for(lambda: len(fixture.groups()) == 1)
    assert two.post(call(2, "test_simple_text")).status == 200
    assert fixture.gate.statuses == ["ok", "ok"]
    assert [made.session_id for made in fixture.gate.calls] == [one.id, two.id]


def test_a_blocked_call_does_not_reach_the_server(fixture: Setup, tmp_path: Path) -> None:
    session = fixture.session()
    got = session.post(call(1, "test_blocked"))
    assert got.value["result"]["isError"] and got.status == 200
    only_events = session.post(call(2, "test_blocked"), "text/event-stream")
    assert only_events.messages[0]["result"]["isError"]
    assert session.post(b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","name":"b"}}').status == 400
    session.post(call(4, "test_simple_text"))
    assert [entry["name"] for entry in log(tmp_path / "log") if entry.get("method") == "tools/call"] == ["test_simple_text"]
    assert fixture.gate.statuses == ["ok"]


@pytest.mark.parametrize(
    ("method", "value", "headers", "status"),
    [
        ("POST", request(1, "tools/list"), {}, 400),
        ("POST", request(1, "tools/list"), {"Mcp_Session_Id": "0" * 48}, 404),
        ("POST", request(1, "tools/list"), {"Content_Type": "text/plain"}, 415),
        ("POST", b'{"jsonrpc":"2.0",', {}, 400),
        ("POST", b"[]", {}, 400),
        ("POST", {"jsonrpc": "2.0", "id": 1.5, "method": "initialize", "params": {}}, {}, 400),
        ("POST", {"jsonrpc": "2.0", "id": None, "method": "ping"}, {"MCP_Protocol_Version": STATELESS}, 400),
        ("POST", {"jsonrpc": "2.0", "id": 1, "result": {}}, {"MCP_Protocol_Version": STATELESS}, 400),
        ("GET", None, {}, 400),
        ("GET", None, {"Mcp_Session_Id": "x"}, 404),
        ("GET", None, {"MCP_Protocol_Version": STATELESS}, 405),
        ("DELETE", None, {}, 400),
        ("DELETE", None, {"Mcp_Session_Id": "x"}, 404),
        ("PUT", b"", {}, 405),
        ("OPTIONS", None, {}, 204),
    ],
)
def test_requests_that_are_none(method: str, value: Any, headers: dict[str, str], status: int, tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log") as setup:
        assert setup.ask(method, value, **headers).status == status
        assert not (tmp_path / "log").exists()


def test_what_a_session_refuses(fixture: Setup) -> None:
    session = fixture.session()
    headers = {"Mcp_Session_Id": session.id}
    assert fixture.ask("GET", None, "application/json", **headers).status == 405
    assert fixture.ask("POST", request(1, "ping"), "text/html", **headers).status == 406
    assert fixture.ask("POST", request(1, "ping"), MCP_Protocol_Version="1999-01-01", **headers).status == 400
    assert fixture.ask("GET", None, "text/event-stream", Last_Event_ID="7_1", **headers).status == 400
    assert fixture.ask("GET", None, "text/event-stream", Last_Event_ID="nonsense", **headers).status == 400
    assert session.post([request(1, "ping")]).status == 400  # no batches in this revision


def test_a_stream_carries_what_belongs_to_its_call_in_order(fixture: Setup) -> None:
    stream = fixture.session().stream(call(1, "test_tool_with_progress", {"progressToken": "p"}))
    first = stream.event()
    assert first["id"].endswith("_0") and first["data"] == "" and int(first["retry"]) > 0
    found = [stream.message() for _ in range(4)]
    assert [message["params"]["progress"] for message in found[:3]] == [0, 50, 100]
    assert found[3]["id"] == 1 and stream.response.read() == b""


def test_an_older_client_gets_no_event_without_a_message(fixture: Setup) -> None:
    stream = fixture.session("2025-06-18").stream(call(1, "test_simple_text"))
    assert json.loads(stream.event()["data"])["id"] == 1


def test_the_server_asks_its_client_on_the_stream_of_the_call(fixture: Setup) -> None:
    session = fixture.session()
    stream = session.stream(call(1, "test_elicitation", message="Who?"))
    asked = stream.message()
    assert asked["method"] == "elicitation/create"
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"username": "u", "email": "e"}}}
    assert session.post(answer).status == 202
    assert "accept" in stream.message()["result"]["content"][0]["text"]


def test_a_quiet_call_becomes_a_stream_for_a_client_that_prefers_json(fixture: Setup) -> None:
    stream = Open(fixture.begin("POST", call(1, "slow_compute", seconds=2.2), Mcp_Session_Id=fixture.session().id))
    assert stream.event()["data"] == "" and stream.message()["id"] == 1


def test_the_general_stream(fixture: Setup) -> None:
    session = fixture.session()
    former, listening = session.listen(), session.listen()
    assert former.response.read() == b""  # a second one takes its place
    assert session.post(call(1, "test_trigger_tool_change")).status == 200
    event = listening.event()
    assert "tools/list_changed" in event["data"]
    listening.close()
    session.post(call(2, "test_trigger_prompt_change"), "application/json")
    again = session.listen(event["id"])
    assert "prompts/list_changed" in again.event()["data"]
    assert session.delete().status == 200
    assert again.response.read().strip(b":\n") == b""


def test_a_cut_stream_is_resumed(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", close_after_silence=0.1) as setup:
        session = setup.session()
        stream = session.stream(call(1, "test_reconnection"))
        last = stream.event()["id"]
        assert stream.response.read() == b""  # cut in order, and without an answer
        resumed = session.listen(last)
        assert "came back" in resumed.message()["result"]["content"][0]["text"]
        assert resumed.response.read() == b""
        again = session.listen(last)  # a client that lost the answer on its way
        assert again.message()["id"] == 1
        assert setup.gate.statuses == ["ok"]


def test_a_client_that_lost_its_connection_is_not_cancelled_before_its_time(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", limits=Limits(resume_seconds=0.4)) as setup:
        session = setup.session()
        back, away = session.stream(call(1, "slow_compute", seconds=0.3)), session.stream(call(2, "slow_compute", seconds=30))
        last = [stream.event()["id"] for stream in (back, away)][0]
        back.close()
        away.close()
        assert session.listen(last).message()["id"] == 1
        wait_for(lambda: sorted(setup.gate.statuses) == ["cancelled", "ok"])
        wait_for(lambda: [entry["method"] for entry in log(tmp_path / "log")][-1] == "notifications/cancelled")


def test_a_client_that_leaves_without_a_way_back_has_cancelled(fixture: Setup, tmp_path: Path) -> None:
    session = fixture.session()
    leaving = fixture.begin("POST", call(1, "slow_compute", seconds=30), "application/json", Mcp_Session_Id=session.id)
    wait_for(lambda: len(fixture.gate.calls) == 1)
    leaving.close()
    wait_for(lambda: fixture.gate.statuses == ["cancelled"])
    wait_for(lambda: log(tmp_path / "log")[-1]["method"] == "notifications/cancelled")
    assert session.post(call(1, "test_simple_text")).status == 200  # its id is free again


def test_a_cancelled_request_ends_its_stream(fixture: Setup) -> None:
    session = fixture.session()
    stream = session.stream(call(1, "slow_compute", seconds=30))
    stream.event()
    assert session.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}).status == 202
    assert stream.response.read().strip(b":\n") == b""
    session.delete()
    wait_for(lambda: fixture.gate.statuses == ["cancelled"])


def test_an_id_under_way_is_refused_and_then_free(fixture: Setup) -> None:
    session = fixture.session()
    stream = session.stream(call(1, "slow_compute", seconds=0.3))
    stream.event()
    got = session.post(request(1, "ping"))
    assert (got.status, got.value["error"]["code"]) == (400, -32600)
    assert stream.message()["id"] == 1
    for _ in range(20):  # as soon as the answer is there
        assert session.post(request(1, "ping")).value == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_batches_of_the_revision_that_has_them(fixture: Setup) -> None:
    session = fixture.session("2025-03-26")
    batch = [call(1, "test_simple_text"), {"jsonrpc": "2.0", "method": "notifications/x"}, request("1", "ping")]
    assert sorted(type(item["id"]).__name__ for item in session.post(batch).value) == ["int", "str"]
    streamed = session.post(batch, "text/event-stream")
    assert len(streamed.messages) == 2
    assert session.post([batch[1]]).status == 202
    blocked = session.post([call(1, "test_blocked"), request(2, "ping")]).value
    assert {item["id"] for item in blocked} == {1, 2} and "not sent" in json.dumps(blocked)


def test_a_server_that_refuses_initialize_makes_no_session(fixture: Setup) -> None:
    hello = request(1, "initialize", _meta=META)
    got = fixture.ask("POST", hello, **named(hello))
    assert (got.status, got.value["error"]["code"]) == (404, -32601)
    assert "mcp-session-id" not in got.headers


# --- processes ---------------------------------------------------------------------------------------------


def test_a_server_that_dies_takes_its_session_and_no_other(tmp_path: Path) -> None:
    with Setup(*SMALL, tmp_path / "log") as setup:
        doomed, other = setup.session(), setup.session()
        stream = doomed.stream(call(1, "read_file", sleep=0.3))
        stream.event()
        got = doomed.post(call(2, "read_file", kill=int(signal.SIGKILL)))
        assert (got.status, got.value["id"], got.value["error"]["code"]) == (502, 2, -32000)
        assert stream.message()["id"] == 1 and stream.response.read() == b""
        assert doomed.post(request(3, "ping")).status == 404
        assert other.post(request(3, "ping")).status == 200
        assert sorted(setup.gate.statuses) == ["error", "ok"]


def test_the_shared_server_is_started_again_with_patience(tmp_path: Path) -> None:
    with Setup(*SMALL, tmp_path / "log") as setup:
        statuses = [setup.once(once(number, "read_file", **how)).status for number, how in enumerate([{"exit": 3}, {}, {"exit": 3}, {}])]
        assert statuses == [502, 200, 502, 503]  # the first end is no reason to wait
        wait_for(lambda: setup.once(once(9, "read_file")).status == 200)
        assert setup.gate.statuses == ["error", "ok", "error", "ok"]


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with Setup(tmp_path / "nothing") as setup:
        assert setup.once(once(1, "read_file")).status == 502
        got = setup.ask("POST", request(1, "initialize"))
        assert got.status == 502 and "cannot be started" in got.value["error"]["message"]


def test_sessions_are_bounded_and_the_oldest_idle_one_makes_room(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", limits=Limits(sessions=2)) as setup:
        old, busy = setup.session(), setup.session()
        stream = busy.stream(call(1, "slow_compute", seconds=30))
        stream.event()
        new = setup.session()
        assert [old.post(request(1, "ping")).status, new.post(request(1, "ping")).status] == [404, 200]
        new.stream(call(1, "slow_compute", seconds=30)).event()
        assert setup.ask("POST", request(1, "initialize")).status == 503
        wait_for(lambda: len(setup.groups()) == 2)


def test_a_forgotten_session_ends(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", limits=Limits(idle_seconds=1.0)) as setup:
        forgotten, listening = setup.session(), setup.session()
        stream = listening.listen()
        wait_for(lambda: len(setup.groups()) == 1)
        assert [forgotten.post(request(1, "ping")).status, listening.post(request(1, "ping")).status] == [404, 200]
        stream.close()
        wait_for(lambda: not setup.groups())


@pytest.mark.parametrize("method", ["tools/call", "resources/list"])
def test_a_server_that_reads_nothing_holds_nobody(method: str, tmp_path: Path) -> None:
    terms = Terms(max_frame_bytes=1_000_000)
    with Setup(*SMALL, tmp_path / "log", "mute", limits=Limits(grace_seconds=0), terms=terms) as setup:
        value = request(1, method, name="a", text="x" * 600_000, _meta=META)
        for number in range(2):
            connection = setup.stateless({**value, "id": number})
            wait_for(lambda: setup.running.listener.in_flight == 1)
            if method != "tools/call":
                wait_for(lambda: setup.bridge._shared.get()._outbox_bytes > number * 600_000)
            connection.close()
            wait_for(lambda: not setup.running.listener.connections)
        if method != "tools/call":  # that asks for the tools first
            got = setup.once({**value, "id": 2})
            assert got.status == 503 and "does not" in got.value["error"]["message"]
        assert not setup.gate.calls


def test_the_end_of_the_gateway_is_the_end_of_all_servers(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", limits=Limits(grace_seconds=0.2)) as setup:
        setup.running.grace = 0.2
        session = setup.session()
        session.stream(call(1, "slow_compute", seconds=30)).event()
        listening = setup.stateless(request("l", "subscriptions/listen", notifications={}, _meta=META))
        Open(listening).event()
        setup.stateless(once(1, "slow_compute", seconds=30))
        wait_for(lambda: len(setup.gate.calls) == 2)
    assert not setup.groups()
    assert sorted(setup.gate.statuses) in (["cancelled", "never_answered"], ["never_answered"] * 2)


def test_nothing_is_left_of_twenty_sessions(tmp_path: Path) -> None:
    with Setup(*SMALL, tmp_path / "log") as setup:
        setup.session().delete()
        wait_for(lambda: not setup.groups())
        threads, before = threading.active_count(), descriptors()
        for _ in range(20):
            session = setup.session()
            session.post(call(1, "read_file"))
            session.delete()
        wait_for(lambda: not setup.groups())
        wait_for(lambda: threading.active_count() <= threads + 1)
        wait_for(lambda: descriptors() <= before + 1)


# --- readers that are slow ---------------------------------------------------------------------------------


def rss() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_slow_reader_slows_its_own_server_only() -> None:
    with Setup(*FLOOD, limits=Limits(room=Room(unsent_bytes=1 << 18))) as setup:
        slow, other = setup.session(), setup.session()
        before = rss()
        stream = slow.stream(call(1, "flood", {"progressToken": "t"}, flood=100_000_000))
        stream.event()
        time.sleep(0.5)
        assert other.post(request(1, "ping")).status == 200
        assert rss() - before < 20_000_000
        found = [stream.message() for _ in range(10_001)]
        assert [message["params"]["progress"] for message in found[:-1]] == list(range(10_000)) and found[-1]["id"] == 1


def test_a_slow_reader_of_the_shared_server_is_cut() -> None:
    with Setup(*FLOOD, limits=Limits(room=Room(unsent_bytes=1 << 18))) as setup:
        slow = setup.stateless(once(1, "flood", "t", flood=50_000_000), EVENTS_FIRST)
        assert setup.once(once(2, "read_file")).status == 200
        wait_for(lambda: sorted(setup.gate.statuses) == ["cancelled", "ok"])
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            slow.getresponse().read()


# --- the stateless era ---------------------------------------------------------------------------------------


def test_all_stateless_requests_share_one_server(fixture: Setup, tmp_path: Path) -> None:
    for number in range(3):
        got = fixture.once(once(number, "test_simple_text"))
        assert (got.status, got.value["id"]) == (200, number)
    assert fixture.once(once(7, "test_simple_text"), EVENTS_FIRST).messages[0]["id"] == 7
    assert len(fixture.groups()) == 1 and fixture.gate.statuses == ["ok"] * 4


@pytest.mark.parametrize(
    ("value", "headers", "status", "code"),
    [
        (request(1, "server/discover"), {}, 400, -32602),
        (request(1, "tools/list", _meta={"io.modelcontextprotocol/protocolVersion": STATELESS}), {}, 400, -32602),
        (request(1, "tools/list", _meta={**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}), {"MCP_Protocol_Version": "2099-01-01"}, 400, -32022),
        (request(1, "tools/list", _meta={**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}), {}, 400, -32020),
        (request(1, "tools/list", _meta=META), {"Mcp_Method": "prompts/list"}, 400, -32020),
        (request(1, "ping", _meta=META), {}, 404, -32601),
        (once(1, "test_missing_capability"), {}, 400, -32021),
        (once(1, "no_such_tool"), {}, 200, -32602),
        (once(1, "test_custom_header", region="a"), {}, 400, -32020),
        (once(1, "test_custom_header", region="a"), {"Mcp_Param_Region": "b"}, 400, -32020),
        (once(1, "test_custom_header", region="a"), {"Mcp_Param_Region": "=?base64?YQ?="}, 400, -32020),
        (once(1, "test_custom_header", region="a"), {"Mcp_Param_Region": "=?base64?YQ==?="}, 200, None),
        ([request(1, "tools/list", _meta=META)], {}, 400, -32600),
    ],
)
def test_errors_have_the_http_status_of_their_code(value: Any, headers: dict[str, str], status: int, code: int | None, tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log") as setup:
        for accept in (JSON_FIRST, EVENTS_FIRST):
            got = setup.once(value, accept, **headers)
            answer = got.messages[0] if got.headers["content-type"] == "text/event-stream" else got.value
            assert (got.status, answer.get("error", {}).get("code")) == (status, code)


def test_an_id_in_use_waits_its_turn(fixture: Setup) -> None:
    first = fixture.stateless(once(1, "slow_compute", seconds=0.4, label="first"))
    wait_for(lambda: len(fixture.gate.calls) == 1)
    second = fixture.once(once(1, "test_simple_text"))
    assert "simple text" in second.body.decode() and fixture.gate.statuses == ["ok", "ok"]
    assert "first" in Got(first.getresponse()).body.decode()


def test_an_id_of_a_subscription_is_refused_at_once(fixture: Setup) -> None:
    listening = Open(fixture.stateless(request(1, "subscriptions/listen", notifications={"toolsListChanged": True}, _meta=META)))
    assert listening.message()["method"] == "notifications/subscriptions/acknowledged"
    got = fixture.once(once(1, "test_simple_text"))
    assert (got.status, got.value["error"]["code"]) == (503, -32000)
    assert not fixture.gate.calls


def test_subscriptions_get_what_they_asked_for(fixture: Setup, tmp_path: Path) -> None:
    tools, prompts = (
        Open(fixture.stateless(request(kind, "subscriptions/listen", notifications={kind: True}, _meta=META)))
        for kind in ("toolsListChanged", "promptsListChanged")
    )
    assert [stream.message()["method"] for stream in (tools, prompts)] == ["notifications/subscriptions/acknowledged"] * 2
    fixture.once(once(1, "test_trigger_prompt_change"))
    fixture.once(once(2, "test_trigger_tool_change"))
    assert tools.message()["method"] == "notifications/tools/list_changed"
    assert prompts.message()["method"] == "notifications/prompts/list_changed"
    tools.close()
    wait_for(lambda: log(tmp_path / "log")[-1].get("method") == "notifications/cancelled")


def test_progress_goes_to_the_client_that_asked_for_it(fixture: Setup) -> None:
    streams = [Open(fixture.stateless(once(token, "test_tool_with_progress", token), EVENTS_FIRST)) for token in ("a", "b", 1)]
    for stream, token in zip(streams, ("a", "b", 1)):
        found = [stream.message() for _ in range(4)]
        assert [message["params"]["progressToken"] for message in found[:3]] == [token] * 3 and found[3]["id"] == token


def test_a_late_answer_reaches_nobody_else(tmp_path: Path) -> None:
    with Setup(*SMALL, tmp_path / "log") as setup:  # this server ignores cancellations
        first = setup.stateless(once(1, "read_file", sleep=0.9, secret="of the first"))
        wait_for(lambda: len(setup.gate.calls) == 1)
        first.close()
        wait_for(lambda: setup.gate.statuses == ["cancelled"])
        got = setup.once(once(1, "read_file", mine="of the second"))
        assert "of the second" in got.body.decode() and "of the first" not in got.body.decode()
        assert setup.gate.statuses == ["cancelled", "ok"]


def test_another_clients_request_cannot_be_cancelled(fixture: Setup, tmp_path: Path) -> None:
    first = fixture.stateless(once(1, "slow_compute", seconds=0.5))
    wait_for(lambda: len(fixture.gate.calls) == 1)
    value = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert fixture.once(value).status == 202
    assert Got(first.getresponse()).value["result"]["content"]
    assert "notifications/cancelled" not in [entry.get("method") for entry in log(tmp_path / "log")]


def test_a_lock_is_compared_before_the_first_call(tmp_path: Path) -> None:
    with Setup(*FIXTURE, tmp_path / "log", catalog=Catalog(ServerLock("", {}))) as setup:
        assert setup.session().post(call(1, "test_simple_text")).value["result"]["isError"]
        assert [entry["method"] for entry in log(tmp_path / "log")][-1] == "tools/list"
        assert setup.gate.calls[0].barred == "tool_not_in_lock"


def test_every_call_gets_its_outcome_whatever_happens(tmp_path: Path) -> None:
    """Clients that come and go at any time, in both eras, with servers that die under them."""
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)
    print("seed", seed)
    with Setup(*FIXTURE, tmp_path / "log", limits=Limits(sessions=3, resume_seconds=0.2, grace_seconds=0.2)) as setup:
        clients = [Background(_trouble, setup, random.Random(seed + number)) for number in range(4)]
        for client in clients:
            client.join()
    assert not setup.groups()
    assert len(setup.gate.calls) > 20
    assert len(setup.gate.outcomes) == len(setup.gate.calls)


def _trouble(setup: Setup, chance: random.Random) -> None:
    for _ in range(20):
        value = chance.choice([call, once])(chance.randrange(3), "slow_compute", seconds=chance.choice([0, 0.05, 0.2]))
        accept = chance.choice([JSON_FIRST, EVENTS_FIRST, "application/json"])
        headers = named(value) if "_meta" in value["params"] else {}
        if not headers:
            begun = setup.ask("POST", request("hello", "initialize", protocolVersion="2025-11-25", capabilities={}))
            headers = {"Mcp_Session_Id": begun.headers.get("mcp-session-id", "none")}
        connection = setup.begin("POST", value, accept, **headers)
        groups = setup.groups()
        what = chance.randrange(6)
        if what == 0 and groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(chance.choice(sorted(groups)), signal.SIGKILL)
        if what == 1:
            setup.ask("DELETE", **headers)
        if what > 3:
            time.sleep(chance.random() / 20)
            connection.close()
        else:
            Got(connection.getresponse())
