"""The fixture keeps working without npm: both transports, both eras, each by real processes and sockets."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def loaded(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


clients = loaded("clients")
stateless = clients.stateless

TOOLS = """
test_simple_text test_image_content test_audio_content test_embedded_resource test_multiple_content_types test_tool_with_logging
test_tool_with_progress test_error_handling test_reconnection test_sampling test_elicitation test_elicitation_sep1034_defaults
test_elicitation_sep1330_enums json_schema_2020_12_tool
""".split()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with clients.http_server() as address:
        yield address


@pytest.fixture
def client(url: str):
    return clients.Http(url)


def called(tool: str, number: object = 1, meta: object = None, **arguments: object) -> dict[str, object]:
    params = {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def words(message: dict) -> str:
    return message["result"]["content"][0]["text"]


# --- session era over HTTP -------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_session_has_the_version_that_the_client_asked_for(client, version):
    assert client.open(version)["protocolVersion"] == version
    assert words(client.post(called("test_simple_text")).json()) == "This is a simple text response for testing."


def test_tools_have_the_names_that_the_suite_asks_for(client):
    client.open()
    listed = client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).json()["result"]["tools"]
    assert set(TOOLS) <= {tool["name"] for tool in listed}
    assert listed[0]["name"] == "test_simple_text"


def test_session_ends_by_delete(client):
    client.open()
    assert client.send("DELETE", None, {}).status == 200
    assert client.post(called("test_simple_text")).status == 404


def test_without_a_session_nothing_is_answered(client):
    assert client.post(called("test_simple_text")).status == 400


def test_progress_comes_in_order_before_the_result(client):
    client.open()
    *progress, result = client.post(called("test_tool_with_progress", meta={"progressToken": 7})).messages()
    assert [message["params"]["progress"] for message in progress] == [0, 50, 100]
    assert {message["params"]["progressToken"] for message in progress} == {7}
    assert result["id"] == 1


def test_log_messages_keep_to_the_level(client):
    client.open()
    assert len(client.post(called("test_tool_with_logging")).messages()) == 4
    client.post({"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": "error"}}).json()
    assert "result" in client.post(called("test_tool_with_logging")).json()


def test_sampling_asks_the_client_while_the_stream_is_open(client):
    client.open()
    events = client.post(called("test_sampling", prompt="say it")).events()
    asked = next(event.message for event in events if event.message)
    assert asked["method"] == "sampling/createMessage" and asked["params"]["messages"][0]["content"]["text"] == "say it"
    answer = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "said"}}
    assert client.post({"jsonrpc": "2.0", "id": asked["id"], "result": answer}).status == 202
    assert words(next(events).message) == "LLM response: said"


def test_cut_stream_goes_on_after_the_last_event(client):
    client.open()
    first, *more = list(client.post(called("test_reconnection"), accept="text/event-stream").events())
    assert (first.message, more) == (None, []) and first.retry.isdigit()
    resumed = client.send("GET", None, {"Accept": "text/event-stream", "Last-Event-ID": first.id}).messages()
    assert [message["id"] for message in resumed] == [1]


def test_general_stream_tells_of_changes(client):
    client.open()
    watched = {"uri": "test://watched-resource"}
    client.post({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": watched}).json()
    stream = client.send("GET", None, {"Accept": "text/event-stream"})
    client.post(called("test_trigger_resource_update")).json()
    message = next(stream.events()).message
    stream.close()
    assert (message["method"], message["params"]) == ("notifications/resources/updated", watched)


def test_batches_only_where_the_version_has_them(client):
    batch = [called("test_simple_text", 1), called("greet", 2, name="B")]
    client.open("2025-03-26")
    assert {message["id"] for message in client.post(batch).json()} == {1, 2}
    client.open("2025-06-18")
    assert client.post(batch).status == 400


@pytest.mark.parametrize("headers", [{"Host": "evil.example.com"}, {"Origin": "http://evil.example.com"}])
def test_other_sites_are_refused(client, headers):
    assert client.post(clients.initialize(), **headers).status == 403


def test_error_result_and_unknown_names(client):
    client.open()
    assert client.post(called("test_error_handling")).json()["result"]["isError"] is True
    assert client.post(called("no_such_tool")).json()["error"]["code"] == -32602
    assert client.post({"jsonrpc": "2.0", "id": 1, "method": "no/method"}).json()["error"]["code"] == -32601
    assert client.post("no message").status == 400


# --- stateless era over HTTP -------------------------------------------------------------------------


def test_stateless_discover_and_call(client):
    found = client.stateless(stateless("server/discover")).json()["result"]
    assert found["supportedVersions"] == ["2026-07-28"] and found["resultType"] == "complete"
    answer = client.stateless(stateless("tools/call", name="greet", arguments={"name": "B"})).json()
    assert words(answer) == "Hello, B!" and answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Mcp_Method": "tools/list"}, "greet"),
        ({"Mcp_Method": "Tools/Call"}, "greet"),
        ({"Mcp_Name": "test_simple_text"}, "greet"),
        ({"MCP_Protocol_Version": "2025-11-25"}, "greet"),
        ({"Mcp_Param_Region": "north"}, "test_custom_header"),
        ({"Mcp_Param_Region": "=?base64?bm9ydGg?="}, "test_custom_header"),
        ({}, "test_custom_header"),
    ],
)
def test_headers_must_say_what_the_body_says(client, headers, name):
    answer = client.stateless(stateless("tools/call", 9, name=name, arguments={"name": "B", "region": "south"}), **headers)
    reply = answer.json()
    assert (answer.status, reply["error"]["code"], reply["id"]) == (400, -32020, 9)


def test_parameter_header_may_be_base64(client):
    message = stateless("tools/call", name="test_custom_header", arguments={"region": "north"})
    assert client.stateless(message, Mcp_Param_Region="=?base64?bm9ydGg=?=").status == 200


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (stateless("tools/list", version="2099-01-01"), 400, -32022),
        (stateless("ping"), 404, -32601),
        (stateless("initialize"), 404, -32601),
        (stateless("tools/call", capabilities={}, name="test_missing_capability"), 400, -32021),
        (stateless("tools/call", capabilities={}, name="failing_job"), 400, -32021),
        (stateless("tasks/get", capabilities={}, taskId="x"), 400, -32021),
        (stateless("resources/read", uri="test://none"), 200, -32602),
    ],
)
def test_stateless_errors(client, message, status, code):
    answer = client.stateless(message)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)


def test_stateless_request_needs_its_meta(client):
    answer = client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}, MCP_Protocol_Version="2026-07-28")
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32602)


def test_input_is_asked_for_in_rounds(client):
    tool = {"name": "test_input_required_result_multi_round", "arguments": {}}
    first = client.stateless(stateless("tools/call", 1, **tool)).json()["result"]
    assert first["resultType"] == "input_required" and list(first["inputRequests"]) == ["step1"]
    answered = {"step1": {"action": "accept", "content": {"name": "A"}}}
    second = client.stateless(stateless("tools/call", 2, **tool, inputResponses=answered, requestState=first["requestState"])).json()["result"]
    assert list(second["inputRequests"]) == ["step2"] and second["requestState"] != first["requestState"]
    answered = {"step2": {"action": "accept", "content": {"color": "blue"}}}
    last = client.stateless(stateless("tools/call", 3, **tool, inputResponses=answered, requestState=second["requestState"])).json()
    assert words(last) == "A likes blue"


@pytest.mark.parametrize("change", [lambda state: state + "x", lambda state: "x" + state, lambda state: "", lambda state: 5])
def test_changed_state_is_refused(client, change):
    tool = {"name": "test_input_required_result_tampered_state", "arguments": {}}
    state = client.stateless(stateless("tools/call", **tool)).json()["result"]["requestState"]
    reply = client.stateless(stateless("tools/call", **tool, inputResponses={}, requestState=change(state))).json()
    assert reply["error"]["code"] == -32602


def test_state_of_another_tool_is_refused(client):
    given = client.stateless(stateless("tools/call", name="test_input_required_result_request_state", arguments={})).json()["result"]
    tool = {"name": "test_input_required_result_tampered_state", "arguments": {}}
    reply = client.stateless(stateless("tools/call", **tool, requestState=given["requestState"])).json()
    assert reply["error"]["code"] == -32602


def test_listen_acknowledges_then_tells_what_was_asked_for(client):
    stream = client.stateless(stateless("subscriptions/listen", "sub", notifications={"toolsListChanged": True}))
    events = stream.events()
    first = next(events).message
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == {"toolsListChanged": True}
    for name in ("test_trigger_prompt_change", "test_trigger_tool_change", "test_trigger_tool_change"):
        client.stateless(stateless("tools/call", name=name)).json()
    second = next(events).message
    stream.close()
    assert second["method"] == "notifications/tools/list_changed"
    assert second["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}


def test_task_is_made_asked_and_completed(client):
    declared = {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
    created = client.stateless(stateless("tools/call", capabilities=declared, name="confirm_delete", arguments={"filename": "f"})).json()["result"]
    assert created["resultType"] == "task"

    def about(method: str, **more: object) -> dict:
        return client.stateless(stateless(method, capabilities=declared, taskId=created["taskId"], **more)).json()["result"]

    def until(status: str) -> dict:
        found = about("tasks/get")
        for _ in range(500):
            if found["status"] == status:
                break
            found = about("tasks/get")
        return found

    (key,) = until("input_required")["inputRequests"]
    about("tasks/update", inputResponses={key: {"action": "accept", "content": {"confirm": True}}})
    assert until("completed")["result"]["content"][0]["text"] == "Delete f: True"


# --- stdio --------------------------------------------------------------------------------------------


def test_stdio_serves_both_eras_on_one_connection():
    with clients.stdio_server() as pipe:
        pipe.say(clients.initialize("2025-06-18"))
        assert pipe.next()["result"]["protocolVersion"] == "2025-06-18"
        pipe.say(stateless("server/discover", "d"))
        assert pipe.next()["result"]["supportedVersions"] == ["2026-07-28"]
        before, answer = pipe.call("tools/call", name="test_tool_with_progress", arguments={}, _meta={"progressToken": "t"})
        assert [message["params"]["progress"] for message in before] == [0, 50, 100] and "result" in answer


def test_stdio_asks_the_client():
    with clients.stdio_server() as pipe:
        pipe.say(clients.initialize())
        pipe.next()
        pipe.say(called("test_elicitation", "e", message="who?"))
        asked = pipe.next()
        assert asked["method"] == "elicitation/create" and asked["params"]["message"] == "who?"
        pipe.say({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
        assert words(pipe.next()) == "User response: action=decline, content={}"


def test_stdio_cancelled_call_and_subscription_are_not_answered():
    with clients.stdio_server() as pipe:
        pipe.say(stateless("subscriptions/listen", "sub", notifications={"toolsListChanged": True}))
        assert pipe.next()["method"] == "notifications/subscriptions/acknowledged"
        pipe.say(stateless("tools/call", "slow", name="slow_compute", arguments={"seconds": 30}))
        for number in ("slow", "sub"):
            pipe.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
        pipe.say(called("test_trigger_tool_change", "last"))
        assert pipe.next()["id"] == "last"


def test_stdio_answers_what_it_cannot_read_and_ends_with_its_input():
    done = subprocess.run([sys.executable, str(clients.FIXTURE), "--stdio"], input=b'{"a\n[]\n', stdout=subprocess.PIPE, timeout=20)
    assert [json.loads(line)["error"]["code"] for line in done.stdout.splitlines()] == [-32700, -32600]
    assert done.returncode == 0


def test_stdio_answers_what_is_under_way_before_it_ends():
    request = json.dumps(called("slow_compute", seconds=0.1)).encode() + b"\n"
    done = subprocess.run([sys.executable, str(clients.FIXTURE), "--stdio"], input=request, stdout=subprocess.PIPE, timeout=20)
    assert json.loads(done.stdout)["id"] == 1


# --- options ------------------------------------------------------------------------------------------


def test_log_has_what_reached_the_server(tmp_path):
    with clients.http_server("--log", str(tmp_path / "log")) as url:
        client = clients.Http(url)
        client.open()
        client.post(called("greet", 5, name="B")).json()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["method"] for line in lines] == ["initialize", "notifications/initialized", "tools/call"]
    assert (lines[2]["name"], lines[2]["arguments"], lines[2]["id"], lines[2]["session"]) == ("greet", {"name": "B"}, 5, client.session)


def test_lists_can_come_in_pages():
    with clients.stdio_server("--page-size", "10") as pipe:
        names, cursor = [], {}
        while True:
            result = pipe.call("tools/list", **cursor)[1]["result"]
            assert len(result["tools"]) <= 10
            names += [tool["name"] for tool in result["tools"]]
            if "nextCursor" not in result:
                break
            cursor = {"cursor": result["nextCursor"]}
    assert set(TOOLS) <= set(names) and len(set(names)) == len(names) > 20


def test_only_loopback_is_bound():
    done = subprocess.run([sys.executable, str(clients.FIXTURE), "--http", "0.0.0.0:0"], stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode == 2 and "loopback only" in done.stderr
