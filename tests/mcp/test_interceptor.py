"""The Interceptor: what it forwards was judged, whatever the bytes; what it must not touch it does not."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest
from gait.errors import GaitError, InvalidInput, StorageError
from gait.mcp.catalog import Catalog
from gait.mcp.effects import Outcome, Refused, Ruling, Terms, ToClient, ToUpstream
from gait.mcp.interceptor import Interceptor
from gait.mcp.unwrap import Unwrap

VERDICTS = ("block", "require_approval", "dry_run")


META = (Unwrap("run_tool", ("tool",), ("args",)),)


class Session:
    """An Interceptor whose decisions are by the tool's name: `bad…` is blocked, and so on."""

    def __init__(self, catalog: Catalog | None = None, **terms: object) -> None:
        self.asked: list = []
        self.interceptor = Interceptor(Terms(**terms), self.decide, catalog or Catalog(None), "s1")

    def decide(self, call) -> Ruling:
        self.asked.append(call)
        name = call.value["params"]["name"].rpartition("__")[2]
        if name in ERRORS:
            raise ERRORS[name]
        verdict = name if name in VERDICTS else "block" if call.barred or name.startswith("bad") else "allow"
        return ruling(verdict, name, len(self.asked))

    def client(self, value: object, headers: dict[str, str] | None = None) -> list:
        return self.interceptor.from_client(value if isinstance(value, bytes) else dump(value), headers)

    def upstream(self, value: object) -> list:
        return self.interceptor.from_upstream(value if isinstance(value, bytes) else dump(value))

    def open(self, id_: object = 1, name: str = "good") -> None:
        assert forwarded(self.client(call(name, id_=id_)))

    def negotiate(self, version: str) -> None:
        self.client({"jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {}})
        self.upstream({"jsonrpc": "2.0", "id": "init", "result": {"protocolVersion": version}})


ERRORS = {
    "full": StorageError("disk full"),
    "odd": InvalidInput("intent.args: must be better", code="bad_args"),
    "gait": GaitError("something"),
    "crash": ZeroDivisionError("secret detail"),
}


def ruling(verdict: str, name: str, sequence: int) -> Ruling:
    return Ruling(verdict, (f"{verdict}_reason",), ("a_violation",), "rule-1", f"trace-{sequence}", "i" * 64, "p" * 64, "c", sequence, 2, name, 1.5)


def dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def call(name: object = "good", arguments: object = None, id_: object = 1) -> dict:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name, "arguments": {} if arguments is None else arguments}}


def forwarded(effects: list) -> bool:
    return any(isinstance(effect, ToUpstream) for effect in effects)


def kinds(effects: list) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def answer(effects: list) -> dict:
    (data,) = [effect.data for effect in effects if isinstance(effect, ToClient)]
    return json.loads(data)


# --- a call ------------------------------------------------------------------------------------


def test_an_allowed_call_is_forwarded_as_it_came():
    session = Session()
    data = b' {"method":"tools/call", "params":{"arguments":{"a":[1,2.50,"\\u00e9"]},"name":"good","_meta":{"progressToken":1}},\r"id":1,"jsonrpc":"2.0"}'
    assert session.client(data) == [ToUpstream(data, (1,))]
    (asked,) = session.asked
    assert asked.raw == data and asked.session_id == "s1" and asked.barred == ""
    assert asked.value == {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "good", "arguments": {"a": [1, 2.5, "é"]}}}
    assert session.interceptor.pending == [1]


def test_the_policy_sees_the_servers_name():
    session = Session(server="files")
    session.open()
    assert session.asked[0].value["params"]["name"] == "files__good"


def test_an_approved_call_passes_once():
    """The seam for approvals: `decide` is asked anew for the same call, and may find a token that it consumes."""
    tokens = {"i" * 64: 1}
    approved = False

    def decide(call) -> Ruling:
        if approved and tokens.pop("i" * 64, 0):
            return ruling("allow", "write", 2)
        return ruling("require_approval", "write", 1)

    interceptor = Interceptor(Terms(), decide, Catalog(None))
    frames = [dump(call("write", {"path": "a"}, id_=number)) for number in range(3)]
    meta = answer(interceptor.from_client(frames[0]))["result"]["_meta"]["dev.gait/decision"]
    assert (meta["verdict"], meta["intent_digest"], meta["policy_digest"]) == ("require_approval", "i" * 64, "p" * 64)
    approved = True
    assert interceptor.from_client(frames[1]) == [ToUpstream(frames[1], (1,))]
    assert not forwarded(interceptor.from_client(frames[2]))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_any_other_verdict_is_a_result_that_a_model_can_read(verdict: str):
    session = Session()
    effects = session.client(call(verdict, id_="x"))
    assert kinds(effects) == ["ToClient"] and effects[0].http_status == 200
    value = answer(effects)
    assert value["id"] == "x" and value["result"]["isError"] is True and "resultType" not in value["result"]
    text = value["result"]["content"][0]["text"]
    assert verdict in text and "trace-1" in text and f"{verdict}_reason" in text
    meta = value["result"]["_meta"]["dev.gait/decision"]
    assert meta.pop("required_approvals", 0) == (2 if verdict == "require_approval" else 0)
    assert meta == {
        **{"verdict": verdict, "reason_codes": [f"{verdict}_reason"], "violations": ["a_violation"], "matched_rule": "rule-1"},
        **{"trace_id": "trace-1", "intent_digest": "i" * 64, "policy_digest": "p" * 64},
    }
    if verdict == "require_approval":
        assert f"gait approve --intent-digest {'i' * 64} --policy-digest {'p' * 64}" in text and "2 approvals" in text
    assert session.interceptor.pending == [] and session.interceptor.finish("never_answered") == []


def test_a_verdict_that_nobody_knows_is_no_allow():
    session = Session()
    session.interceptor._decide = lambda call: ruling("Allow", "x", 1)
    assert not forwarded(session.client(call()))


def test_a_result_of_the_stateless_era_says_that_it_is_complete():
    value = call("block")
    value["params"]["_meta"] = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    assert answer(Session().client(value))["result"]["resultType"] == "complete"


def test_a_decision_that_is_not_recorded_runs_nothing():
    session = Session()
    effects = session.client(call("full"))
    assert kinds(effects) == ["ToClient"]
    result = answer(effects)["result"]
    assert result["isError"] is True and "not run" in result["content"][0]["text"]
    assert forwarded(session.client(call("good")))  # the id is free again


@pytest.mark.parametrize(("name", "code", "status", "reason"), [("odd", -32602, 200, "bad_args"), ("gait", -32603, 500, "internal_failure"), ("crash", -32603, 500, "internal_failure")])
def test_a_call_that_cannot_be_judged_runs_nothing(name: str, code: int, status: int, reason: str):
    session = Session()
    effects = session.client(call(name))
    assert kinds(effects) == ["Refused", "ToClient"] and effects[1].http_status == status
    assert effects[0].error.error_code == reason
    assert answer(effects)["error"]["code"] == code and answer(effects)["id"] == 1
    assert b"secret" not in effects[1].data
    assert forwarded(session.client(call("good")))


def test_a_barred_tool_is_barred_by_its_outer_name():
    catalog = Catalog(None)
    catalog.bars = lambda tool: f"barred:{tool}"  # type: ignore[method-assign]
    session = Session(catalog, server="s")
    assert not forwarded(session.client(call()))
    assert session.asked[0].barred == "barred:good"
    meta = Session(catalog, server="s", unwraps=META)
    meta.client(call("run_tool", {"tool": "good", "args": {}}))
    assert meta.asked[0].barred == "barred:run_tool"


# --- meta-tools --------------------------------------------------------------------------------


def test_rules_see_the_inner_call():
    session = Session(server="s", unwraps=META)
    session.open()
    assert forwarded(session.client(call("run_tool", {"tool": "good", "args": {"a": 1}}, id_=2)))
    assert session.asked[1].value["params"] == {"name": "s__good", "arguments": {"a": 1}}
    assert not forwarded(session.client(call("run_tool", {"tool": "bad", "args": {}}, id_=3)))


@pytest.mark.parametrize("arguments", [{}, {"tool": 1}, {"tool": "good", "args": []}, {"tool": " good", "args": {}}, {"tool": "good", "args": {"p": 1, "P": 2}}, {"tool": "good", "args": {}, "name": "bad"}])
def test_an_inner_call_that_cannot_be_read_is_refused(arguments: dict):
    session = Session(unwraps=META)
    effects = session.client(call("run_tool", arguments))
    assert kinds(effects) == ["Refused", "ToClient"] and answer(effects)["error"]["code"] == -32602
    assert not session.asked


# --- frames that are refused -------------------------------------------------------------------

TAIL = b',"id":1,"jsonrpc":"2.0"}'
GOOD = b'{"method":"tools/call","params":{"name":"good","arguments":{}}' + TAIL
MALFORMED = {
    "empty object": b"{}",
    "text": b'"tools/call"',
    "number": b"1",
    "null": b"null",
    "not json": b"tools/call",
    "truncated": GOOD[:-1],
    "trailing bytes": GOOD + b"x",
    "two values": GOOD + GOOD,
    "trailing nul": GOOD + b"\0",
    "bom": b"\xef\xbb\xbf" + GOOD,
    "utf-16": GOOD.decode().encode("utf-16"),
    "utf-16-le": GOOD.decode().encode("utf-16-le"),
    "utf-32-be": GOOD.decode().encode("utf-32-be"),
    "invalid utf-8": GOOD.replace(b"good", b"go\xff"),
    "overlong utf-8": GOOD.replace(b"good", b"go\xc1\xa1"),
    "encoded surrogate": GOOD.replace(b"good", b"\xed\xa0\x80"),
    "lone surrogate": GOOD.replace(b"good", b"\\ud800"),
    "lone surrogate as key": GOOD.replace(b'"arguments":{', b'"arguments":{"\\udc00":1'),
    "raw newline in text": GOOD.replace(b"good", b"go\nod"),
    "comment": GOOD.replace(b",", b"/**/,", 1),
    "trailing comma": GOOD[:-1] + b",}",
    "single quotes": GOOD.replace(b'"', b"'"),
    "vertical tab between": GOOD.replace(b",", b",\x0b", 1),
    "nan": GOOD.replace(b'"arguments":{', b'"arguments":{"a":NaN'),
    "infinity": GOOD.replace(b'"arguments":{', b'"arguments":{"a":-Infinity'),
    "too great a number": GOOD.replace(b'"arguments":{', b'"arguments":{"a":1e999'),
    "too long a number": GOOD.replace(b'"arguments":{', b'"arguments":{"a":' + b"1" * 5000),
    "deep": GOOD.replace(b'"arguments":{', b'"arguments":{"a":' + b"[" * 70 + b"]" * 70),
    "very deep": b'{"a":' * 100_000,
    "huge": GOOD.replace(b"good", b"g" * (1 << 20)),
    "two methods": b'{"method":"ping",' + GOOD[1:],
    "two methods, one escaped": b'{"\\u006dethod":"ping",' + GOOD[1:],
    "method twice, last wins": GOOD[:-1] + b',"method":"ping"}',
    "two ids": GOOD[:-1] + b',"id":2}',
    "two params": GOOD[:-1] + b',"params":{"name":"bad"}}',
    "two names": GOOD.replace(b'"name":"good"', b'"name":"good","name":"bad"'),
    "two arguments deep down": GOOD.replace(b'"arguments":{', b'"arguments":{"a":[{"b":1,"b":2}]'),
    "no jsonrpc": GOOD.replace(b'"jsonrpc":"2.0"', b'"x":1'),
    "jsonrpc 1": GOOD.replace(b'"2.0"', b'"1.0"'),
    "jsonrpc a number": GOOD.replace(b'"2.0"', b"2.0"),
    "method and result": GOOD[:-1] + b',"result":{}}',
    "method and error": GOOD[:-1] + b',"error":null}',
    "method null": GOOD.replace(b'"tools/call"', b"null"),
    "method a list": GOOD.replace(b'"tools/call"', b'["tools/call"]'),
    "method empty": GOOD.replace(b'"tools/call"', b'""'),
    "method long": GOOD.replace(b'"tools/call"', b'"' + b"m" * 201 + b'"'),
    "key in capitals": GOOD.replace(b'"method"', b'"Method"'),
    "second key in capitals": b'{"METHOD":"tools/call",' + GOOD[1:].replace(b"tools/call", b"ping"),
    "second id in capitals": GOOD[:-1] + b',"ID":2}',
    "key in full width": GOOD[:-1] + ',"ｍethod":"ping"}'.encode(),
    "key with a long s": GOOD[:-1] + ',"param\u017f":{}}'.encode(),
    "key with a dotless i": GOOD[:-1] + ',"\u0131d":2}'.encode(),
    "key with a dotted i": GOOD[:-1] + ',"\u0130D":2}'.encode(),
    "params a list": GOOD.replace(b'{"name":"good","arguments":{}}', b'["good",{}]'),
    "params null": GOOD.replace(b'{"name":"good","arguments":{}}', b"null"),
    "params text": GOOD.replace(b'{"name":"good","arguments":{}}', b'"good"'),
    "no params": b'{"method":"tools/call"' + TAIL,
    "no name": GOOD.replace(b'"name":"good",', b""),
    "name null": GOOD.replace(b'"good"', b"null"),
    "name a number": GOOD.replace(b'"good"', b"7"),
    "name empty": GOOD.replace(b'"good"', b'""'),
    "name with a space": GOOD.replace(b"good", b"good "),
    "name with a no-break space": GOOD.replace(b"good", "\u00a0good".encode()),
    "name with nul": GOOD.replace(b"good", b"good\\u0000bad"),
    "name with a newline": GOOD.replace(b"good", b"good\\n"),
    "name in capitals too": GOOD.replace(b'"name"', b'"Name":"bad","name"'),
    "arguments in capitals too": GOOD.replace(b'"arguments"', b'"Arguments":{},"arguments"'),
    "arguments in capitals": GOOD.replace(b'"arguments"', b'"ARGUMENTS"'),
    "arguments a list": GOOD.replace(b'"arguments":{}', b'"arguments":[]'),
    "arguments text": GOOD.replace(b'"arguments":{}', b'"arguments":"{}"'),
    "arguments false": GOOD.replace(b'"arguments":{}', b'"arguments":false'),
    "arguments that differ in case": GOOD.replace(b'"arguments":{', b'"arguments":{"path":"/a","Path":"/b"'),
    "no id": GOOD.replace(b'"id":1,', b""),
    "id null": GOOD.replace(b'"id":1', b'"id":null'),
    "id true": GOOD.replace(b'"id":1', b'"id":true'),
    "id 1.0": GOOD.replace(b'"id":1', b'"id":1.0'),
    "id 1e0": GOOD.replace(b'"id":1', b'"id":1e0'),
    "id an object": GOOD.replace(b'"id":1', b'"id":{}'),
    "id a list": GOOD.replace(b'"id":1', b'"id":[1]'),
    "id too long": GOOD.replace(b'"id":1', b'"id":"' + b"x" * 1025 + b'"'),
    "id too great": GOOD.replace(b'"id":1', b'"id":1' + b"0" * 400),
    "neither": b'{"jsonrpc":"2.0","id":1}',
    "batch": b"[" + GOOD + b"]",
    "empty batch": b"[]",
    **{
        f"method {method!r}": GOOD.replace(b"tools/call", json.dumps(method)[1:-1].encode())
        for method in (
            *("Tools/Call", "TOOLS/CALL", "tools/Call", " tools/call", "tools/call ", "tools/call\n", "\ttools/call", "tools/call\0", "\0tools/call"),
            *("tools\0/call", "tools /call", "tools//call", "/tools/call", "tools/call/", "tools\\call", "tools.call", "tools_call", "toolscall", "tools-call"),
            *("tools/call?x", "tools/c\u0430ll", "t\u043eols/call", "tools\u2215call", "tools\uff0fcall", "ｔｏｏｌｓ/ｃａｌｌ", "tool\u017f/call", "tools/ca\u200bll"),
            *("tools/call\u2028", "tools/call\u00a0", "\ufefftools/call", "tools/ca\u217c\u217c"),
        )
        if method != "tools/call?x"
    },
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("headers", [None, {}], ids=["stdio", "http"])
def test_refused_and_recorded(name: str, headers: dict | None):
    session = Session(max_frame_bytes=1 << 20)
    data = MALFORMED[name]
    effects = session.client(data, headers)
    assert kinds(effects) == ["Refused", "ToClient"], effects
    assert effects[0].data == data and isinstance(effects[0].error, GaitError)
    assert not session.asked and session.interceptor.pending == []
    assert effects[1].http_status in (200, 400)
    if name == "no id":
        assert effects[1] == ToClient(b"", 400)  # a notification may not be answered
    else:
        error = answer(effects)
        assert error["error"]["code"] in (-32700, -32600, -32602) and error["jsonrpc"] == "2.0"
        assert len(effects[1].data) < 1000


def test_codes_and_ids_of_refusals():
    def told(name: str) -> tuple:
        value = answer(Session().client(MALFORMED[name]))
        return value["error"]["code"], value["id"]

    assert told("trailing bytes") == (-32700, None)
    assert told("two methods") == (-32700, None)
    assert told("null") == (-32600, None)
    assert told("method and result") == (-32600, 1)
    assert told("params a list") == (-32602, 1)
    assert told("id 1.0") == (-32600, None)
    assert told("batch") == (-32600, None)


def test_a_call_in_other_spellings_of_json_is_a_call():
    for data in (GOOD.replace(b"tools/call", b"tools\\/call"), GOOD.replace(b"tools/call", b"\\u0074ools/call"), GOOD.replace(b'"method"', b'"\\u006dethod"')):
        session = Session()
        assert session.client(data) == [ToUpstream(data, (1,))]
        assert len(session.asked) == 1
        assert not forwarded(Session().client(data.replace(b"good", b"bad")))


@pytest.mark.parametrize("arguments", [b"", b',"arguments":null', b',"arguments":{}'])
def test_no_arguments(arguments: bytes):
    session = Session()
    assert forwarded(session.client(GOOD.replace(b',"arguments":{}', arguments)))
    assert session.asked[0].value["params"]["arguments"] == {}


@pytest.mark.parametrize("id_", [0, -1, 1, "1", "", "é😀\u2028\"\\\x7f", 2**53 + 1, -(10**300), "x" * 1024])
def test_ids_are_repeated_exactly(id_: object):
    session = Session()
    value = answer(session.client(call("bad", id_=id_)))
    assert value["id"] == id_ and type(value["id"]) is type(id_)
    session.open(id_)
    assert session.upstream({"jsonrpc": "2.0", "id": id_, "result": {}})[0].status == "ok"


# --- other messages ----------------------------------------------------------------------------

PASSING = [
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    b'{ "jsonrpc" : "2.0" , "method" : "notifications/initialized" }\r',
    b'{"jsonrpc":"2.0","id":1.0,"method":"ping","params":null}',
    b'{"jsonrpc":"2.0","id":null,"method":"ping","params":[1,2]}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/calls","params":{}}',
    b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover","extra":{"Method":"tools/call"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"tools/call"}}',
    b'{"jsonrpc":"2.0","id":7,"result":{"method":"tools/call","params":{"name":"bad"}}}',
    b'{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}',
    b'{"jsonrpc":"2.0","id":"a","result":null}',
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{"message":"é\u2028"}}'.encode(),
]


@pytest.mark.parametrize("data", PASSING)
def test_passes_byte_for_byte(data: bytes):
    session = Session()
    (effect,) = session.client(data)
    assert isinstance(effect, ToUpstream) and effect.data == data and not session.asked
    assert session.client(data, {})[-1].data == data


def test_an_empty_line_is_no_frame_and_an_empty_body_is_refused():
    assert Session().client(b" \r") == Session().client(b"") == []
    assert kinds(Session().client(b"", {})) == ["Refused", "ToClient"]


UPSTREAM = [
    b"",
    b"garbage",
    b"\xff\xfe",
    b'{"jsonrpc":"2.0","id":1,"result":{"content":[]},"result":{}}',
    b'{"jsonrpc":"2.0","id":99,"result":{"tools":[]}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"bad"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}',
    b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}',
    b'{"jsonrpc":"2.0","id":[1],"result":{}}',
    b'{"id":' * 100_000,
    b"[" * 100_000,
    b"[1,null,{}]",
    b'{"jsonrpc":"2.0","id":1' + b"0" * 5000 + b',"result":{}}',
]


@pytest.mark.parametrize("data", UPSTREAM, ids=lambda data: repr(data[:40]))
def test_upstream_frames_pass_byte_for_byte(data: bytes):
    session = Session()
    assert session.upstream(data) == [ToClient(data)]
    session.open(55)
    assert session.upstream(data) == [ToClient(data)]
    assert session.interceptor.pending == [55]


# --- outcomes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ({"result": {"content": []}}, "ok"),
        ({"result": {"content": [], "isError": False}}, "ok"),
        ({"result": {"content": [], "isError": True}}, "error"),
        ({"result": {"content": [], "isError": "true"}}, "error"),
        ({"error": {"code": -1, "message": "no"}}, "error"),
        ({"error": None, "result": {}}, "ok"),
        ({"result": None}, "error"),
    ],
)
def test_the_outcome_of_a_call(rest: dict, status: str):
    session = Session()
    session.open()
    data = dump({"jsonrpc": "2.0", "id": 1, **rest})
    expected = Outcome(ruling("allow", "good", 1), status, hashlib.sha256(data).hexdigest(), len(data))
    assert session.upstream(data) == [expected, ToClient(data)]
    assert session.upstream(data) == [ToClient(data)]  # once
    assert session.interceptor.finish("never_answered") == []


def test_answers_are_told_apart_by_type():
    session = Session()
    session.open(1, "one")
    session.open("1", "text")
    for id_ in (1.0, True, [1], {"1": 1}, None, "01"):
        assert kinds(session.upstream({"jsonrpc": "2.0", "id": id_, "result": {}})) == ["ToClient"]
    assert session.upstream({"jsonrpc": "2.0", "id": "1", "result": {}})[0].ruling.tool_name == "text"
    assert session.upstream({"jsonrpc": "2.0", "id": 1, "result": {}})[0].ruling.tool_name == "one"


def test_the_servers_own_requests_have_ids_of_their_own():
    session = Session()
    session.open(1)
    assert kinds(session.upstream({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}})) == ["ToClient"]
    assert kinds(session.client({"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}})) == ["ToUpstream"]
    assert kinds(session.upstream({"jsonrpc": "2.0", "id": 1, "result": {}})) == ["Outcome", "ToClient"]


@pytest.mark.parametrize(("first", "second"), [("tools/call", "tools/call"), ("ping", "tools/call"), ("tools/call", "ping"), ("tools/list", "ping"), ("ping", "tools/list"), ("initialize", "ping")])
def test_an_id_under_way_is_not_used_again(first: str, second: str):
    session = Session()

    def ask(method: str) -> list:
        return session.client({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "good"}})

    assert forwarded(ask(first))
    effects = ask(second)
    assert kinds(effects) == ["Refused", "ToClient"] and answer(effects)["error"]["code"] == -32600
    assert len(session.asked) == (first == "tools/call")
    session.upstream({"jsonrpc": "2.0", "id": 1, "result": {}})
    assert forwarded(ask(second))


def test_pings_may_share_an_id():
    session = Session()
    assert all(forwarded(session.client({"jsonrpc": "2.0", "id": 1, "method": "ping"})) for _ in range(3))


def test_cancelled():
    session = Session()
    session.open(1)
    session.open("1")
    session.open(2)
    cancel = dump({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    assert session.client(cancel) == [ToUpstream(cancel)]
    for odd in ([], {}, None, 1.0, "nothing", True):
        assert forwarded(session.client({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": odd}}))
    assert [effect.status for effect in session.interceptor.finish("timeout")] == ["cancelled", "timeout", "timeout"]
    session.open(3)
    session.client({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}})
    assert session.upstream({"jsonrpc": "2.0", "id": 3, "result": {}})[0].status == "ok"


def test_finish_of_some():
    session = Session()
    session.open(1)
    session.open(2)
    session.client({"jsonrpc": "2.0", "id": 3, "method": "ping"})
    assert [effect.ruling.sequence for effect in session.interceptor.finish("timeout", (2, 3, 9))] == [2]
    assert session.interceptor.pending == [1]


def test_one_call_too_many():
    session = Session(max_pending=3)
    session.open(1)
    session.client({"jsonrpc": "2.0", "id": "p", "method": "ping"})
    session.open(2)
    session.open(3)  # takes the place of the ping
    effects = session.client(call(id_=4))
    assert kinds(effects) == ["Refused", "ToClient"] and effects[1].http_status == 503 and answer(effects)["error"]["code"] == -32000
    assert len(session.asked) == 3
    session.client({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
    assert session.client(call(id_=4)) == [Outcome(ruling("allow", "good", 2), "cancelled"), ToUpstream(dump(call(id_=4)), (4,))]
    assert session.interceptor.pending == [1, 3, 4]


def test_an_answer_that_comes_before_the_decision_answers_nothing():
    session, inside = Session(), []
    decide = session.decide

    def answered_early(call_) -> Ruling:
        inside.extend(session.upstream({"jsonrpc": "2.0", "id": 1, "result": {}}))
        return decide(call_)

    session.interceptor._decide = answered_early
    session.open()
    assert kinds(inside) == ["ToClient"] and session.interceptor.pending == [1]


def test_a_session_that_ends_while_a_call_is_decided():
    session = Session()
    decide = session.decide

    def ended_early(call_) -> Ruling:
        assert session.interceptor.finish("never_answered") == []
        return decide(call_)

    session.interceptor._decide = ended_early
    effects = session.client(call())
    assert kinds(effects) == ["Outcome", "ToClient"] and effects[0].status == "cancelled"
    assert session.interceptor.pending == []


def test_both_directions_at_once():
    session = Session()
    outcomes: list = []
    queue: list[int] = []

    def serve() -> None:
        done = 0
        while done < 3000:
            if queue:
                outcomes.extend(e for e in session.upstream({"jsonrpc": "2.0", "id": queue.pop(0), "result": {}}) if isinstance(e, Outcome))
                done += 1

    def ask(start: int) -> None:
        for id_ in range(start, start + 1000):
            assert forwarded(session.client(call(id_=id_)))
            queue.append(id_)

    threads = [threading.Thread(target=serve), *(threading.Thread(target=ask, args=(start,)) for start in (0, 1000, 2000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 3000 and session.interceptor.pending == []


# --- batches -----------------------------------------------------------------------------------

PING = {"jsonrpc": "2.0", "id": "p", "method": "ping"}
NOTE = {"jsonrpc": "2.0", "method": "notifications/initialized"}
OLD = {"mcp-protocol-version": "2025-03-26"}


@pytest.fixture
def old() -> Session:
    session = Session()
    session.negotiate("2025-03-26")
    return session


def test_a_batch_is_forwarded_as_it_came(old: Session):
    data = dump([call(id_=1), PING, NOTE, call(id_=2), {"jsonrpc": "2.0", "id": 1, "result": {}}])
    assert old.client(data) == [ToUpstream(data, (1, "p", 2))]
    assert [asked.raw for asked in old.asked] == [data, data]
    answer_ = dump([{"jsonrpc": "2.0", "id": 2, "result": {}}, {"jsonrpc": "2.0", "id": "p", "result": {}}])
    assert kinds(old.upstream(answer_)) == ["Outcome", "ToClient"] and old.interceptor.pending == [1]


def test_one_refused_call_holds_the_batch_back(old: Session):
    effects = old.client([call(id_=1), PING, call("bad", id_=2), NOTE, call("odd", id_=3), call("block", id_=4)])
    assert kinds(effects) == ["Refused", "Outcome", "ToClient"]
    assert effects[1] == Outcome(ruling("allow", "good", 1), "cancelled")
    answers = {value["id"]: value for value in answer(effects)}
    assert set(answers) == {1, "p", 2, 3, 4} and len(old.asked) == 4
    assert "not sent" in answers[1]["error"]["message"] and "not sent" in answers["p"]["error"]["message"]
    assert answers[2]["result"]["isError"] and answers[3]["error"]["code"] == -32602 and answers[4]["result"]["isError"]
    assert old.interceptor.finish("never_answered") == []


def test_a_batch_with_one_id_twice(old: Session):
    effects = old.client([call(id_=1), call(id_=1)])
    assert not forwarded(effects) and len(old.asked) == 1 and old.interceptor.pending == []


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[call()]],
        [call(), [PING]],
        [call(), 1],
        [call(), None],
        [PING, {**PING, "Method": "tools/call"}],
        [{key: item for key, item in call().items() if key != "id"}],
        [PING] * 101,
    ],
)
def test_a_batch_with_a_malformed_message_is_refused_as_a_whole(old: Session, value: list):
    effects = old.client(value)
    assert kinds(effects) == ["Refused", "ToClient"] and not old.asked


def test_where_batches_are_allowed():
    assert forwarded(Session().client([call()], OLD))
    assert not forwarded(Session().client([call()]))
    assert not forwarded(Session().client([call()], {}))
    for version in ("2024-11-05", "2025-06-18", "2025-11-25", "2026-07-28"):
        assert not forwarded(Session().client([PING], {"mcp-protocol-version": version}))
        session = Session()
        session.negotiate(version)
        assert not forwarded(session.client([PING])) and not forwarded(session.client([PING], OLD))


def test_every_call_of_a_batch_is_judged(old: Session):
    for index in range(20):
        batch = [call(id_=100 + n) for n in range(20)]
        batch[index]["params"]["name"] = "bad"
        assert not forwarded(old.client(batch))
    assert old.interceptor.pending == []


# --- headers -----------------------------------------------------------------------------------


def test_headers_that_disagree_are_refused():
    session = Session()
    for headers in ({"mcp-method": "tools/list"}, {"mcp-name": "other"}, {"mcp-method": "TOOLS/CALL"}):
        effects = session.client(call(), headers)
        assert kinds(effects) == ["Refused", "ToClient"] and effects[1].http_status == 400
        assert answer(effects)["error"]["code"] == -32020 and answer(effects)["id"] == 1
        assert effects[0].error.error_code == "header_mismatch"
    assert not session.asked
    assert forwarded(session.client(call(), {"mcp-method": "tools/call", "mcp-name": "good"}))


# --- lists -------------------------------------------------------------------------------------


def listed(*names: str, **more: object) -> dict:
    return {"tools": [{"name": name, "inputSchema": {}} for name in names], **more}


def filtering() -> Session:
    return Session(Catalog(None, lambda name: name.startswith("bad")))


def ask_list(session: Session, id_: object = 5, **params: object) -> None:
    assert forwarded(session.client({"jsonrpc": "2.0", "id": id_, "method": "tools/list", "params": params}))


def test_a_list_passes_as_it_came_unless_something_is_hidden():
    session = filtering()
    ask_list(session)
    data = b'{ "id":5, "jsonrpc":"2.0", "result": {"tools":[{"name":"good"}]} }'
    assert session.upstream(data) == [ToClient(data)]
    ask_list(session)
    (effect,) = session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("good", "bad", nextCursor="n", _meta={"x": 1})})
    assert json.loads(effect.data) == {"jsonrpc": "2.0", "id": 5, "result": listed("good", nextCursor="n", _meta={"x": 1})}


@pytest.mark.parametrize(
    "data",
    [
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[],"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"good","name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[],"Tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[]},"Result":{"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":4,"ID":5,"result":{"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":1,"ID":5,"result":{"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":4,"result":{},"RESULT":{"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"bad"}]},}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"good","Name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"good","DESCRIPTION":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[],"nextcursor":"bad"}}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"bad"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"bad","x":"\\ud800"}]}}',
        b'{"jsonrpc":"2.0","id":5,"result":{"tools":[{"name":"bad","x":NaN}]}}',
        b"garbage",
    ],
)
def test_a_list_that_readers_disagree_on_is_replaced(data: bytes):
    session = filtering()
    ask_list(session)
    session.open(1)
    effects = session.upstream(data)
    assert [effect.data for effect in effects if isinstance(effect, Refused)] == [data]
    assert b"bad" not in b"".join(effect.data for effect in effects if isinstance(effect, ToClient))


def test_a_list_that_nobody_asked_for_is_filtered_too():
    session = filtering()
    (effect,) = session.upstream({"jsonrpc": "2.0", "id": 77, "result": listed("good", "bad")})
    assert b"bad" not in effect.data
    ask_list(session, 5)
    for _ in range(2):  # the second one is the answer to nothing
        (effect,) = session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("bad")})
        assert b"bad" not in effect.data
    (effect,) = session.upstream([{"jsonrpc": "2.0", "id": 5, "result": listed("bad", "good")}, PING])
    assert json.loads(effect.data) == [{"jsonrpc": "2.0", "id": 5, "result": listed("good")}, PING]


def test_results_of_other_requests_are_no_lists():
    session = filtering()
    session.open(1)
    data = dump({"jsonrpc": "2.0", "id": 1, "result": listed("bad")})
    assert session.upstream(data)[1:] == [ToClient(data)]


class Learning(Catalog):
    """Says what it was told."""

    needs_list = True  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(None)
        self.told: list = []

    def learn(self, result: dict, cursor: str = "") -> None:
        self.told.append(cursor)

    def forget(self) -> None:
        self.told.append("forgotten")


def test_the_catalog_is_told_of_pages_and_changes():
    catalog = Learning()
    session = Session(catalog)
    ask_list(session)
    session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("a", nextCursor="n")})
    ask_list(session, cursor="n")
    session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("b")})
    session.upstream({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("b")})
    ask_list(session, cursor=7)
    session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("b")})
    ask_list(session)
    session.upstream({"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": ""}})
    assert catalog.told == ["", "n", "forgotten", "\0", "\0"]


def test_a_fault_in_the_catalog_lets_no_list_through():
    session = filtering()
    session.interceptor._catalog.learn = lambda result, cursor="": 1 / 0  # type: ignore[method-assign]
    ask_list(session)
    effects = session.upstream({"jsonrpc": "2.0", "id": 5, "result": listed("bad")})
    assert kinds(effects) == ["Refused", "ToClient"] and effects[0].error.error_code == "internal_failure"
    assert answer(effects)["id"] == 5 and answer(effects)["error"]["code"] == -32603


def test_a_frame_that_was_cut_is_never_passed_on():
    session = Session(max_frame_bytes=100)
    effects = session.upstream(b" " * 101)
    assert kinds(effects) == ["Refused"]
