"""Meta-tools: the inner call is read, or the call is refused; never is the outer call judged in its place."""

from __future__ import annotations

import os
import random

import pytest

from gait.errors import InvalidInput
from gait.mcp.unwrap import MAX_DEPTH, Unwrap, inner, loads, read

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "1000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "7"))
CALL = Unwrap("call_tool", ("name",), ("arguments",))
TEXT = Unwrap("run", ("request", "tool"), ("request", "input"), "json_text", ("timeout",))
CONFIG = """\
schema_id: gait.mcp.gateway
schema_version: "1.0.0"
unwrap:
  - tool: call_tool
    name_path: name
    arguments_path: arguments
  - tool: run
    name_path: request.tool
    arguments_path: [request, input]
    arguments_encoding: json_text
    other_keys: [timeout]
"""


def test_config():
    assert loads(CONFIG) == (CALL, TEXT)
    head = {"schema_id": "gait.mcp.gateway", "schema_version": "1.0.0"}
    assert read(head) == () and read({**head, "unwrap": [{"tool": "x", "name_path": ["a.b"], "arguments_path": "c"}]})[0].name_path == ("a.b",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("gait.mcp.gateway", "gait.gate.policy", "c.yaml:1:1: schema_id: must be gait.mcp.gateway"),
        ('"1.0.0"', '"2.0.0"', "c.yaml:2:1: schema_version: must be 1.0.0"),
        ("schema_id: gait.mcp.gateway\n", "", "schema_id: must be"),
        ("unwrap:", "unwraps:", "c.yaml:3:1: unwraps: unknown key 'unwraps' (did you mean 'unwrap'?)"),
        ("name_path: name\n", "namepath: name\n", "unwrap[0].name_path: must be keys joined by dots"),
        ("other_keys", "other_key", "c.yaml:11:5: unwrap[1].other_key: unknown key 'other_key' (did you mean 'other_keys'?)"),
        ("json_text", "json", "unwrap[1].arguments_encoding: must be one of object, json_text; got 'json'"),
        ("tool: run", "tool: CALL_tool", "unwrap[1].tool: must be a tool that no other entry names"),
        ("tool: run", "tool: ''", "unwrap[1].tool: must be text that is not empty"),
        ("request.tool", "request..tool", "keys joined by dots"),
        ("request.tool", "request", "another place than name_path"),
        ("[request, input]", "[request, tool]", "another place than name_path"),
        ("[request, input]", "[request, 1]", "keys joined by dots"),
        ("[request, input]", "[]", "keys joined by dots"),
    ],
)
def test_config_errors(old: str, new: str, expected: str):
    assert old in CONFIG
    with pytest.raises(InvalidInput) as caught:
        loads(CONFIG.replace(old, new, 1), "c.yaml")
    assert expected in str(caught.value) and caught.value.error_code == "invalid_config"


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("other", {"name": "delete"}, None),
        ("call_tool", {"name": "delete", "arguments": {"path": "/x"}}, ("delete", {"path": "/x"})),
        ("call_tool", {"name": "list"}, ("list", {})),
        ("call_tool", {"name": "list", "arguments": None}, ("list", {})),
        ("run", {"request": {"tool": "t", "input": '{"a": [1]}'}, "timeout": 5}, ("t", {"a": [1]})),
        ("run", {"request": {"tool": "t"}}, ("t", {})),
        ("run", {"request": {"tool": "call_tool", "input": '{"name": "x", "arguments": {"y": 1}}'}}, ("x", {"y": 1})),
    ],
)
def test_inner(name: str, arguments: dict, expected: object):
    assert inner((CALL, TEXT), name, arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("call_tool", {}),
        ("call_tool", {"name": None, "arguments": {}}),
        ("call_tool", {"name": ["delete"], "arguments": {}}),
        ("call_tool", {"name": " \t", "arguments": {}}),
        ("call_tool", {"name": "delete", "arguments": [1]}),
        ("call_tool", {"name": "delete", "arguments": '{"path": "/x"}'}),
        ("call_tool", {"name": "delete", "args": {"path": "/x"}}),
        ("call_tool", {"name": "read", "arguments": {}, "tool": "delete"}),
        ("call_tool", {"Name": "delete", "name": "read", "arguments": {}}),
        ("call_tool", {"name": "call_tool", "arguments": {"name": 1}}),
        ("Call_Tool", {"name": "read", "arguments": {}}),
        ("call_tool ", {"name": "read", "arguments": {}}),
        ("ｃall_tool", {"name": "read", "arguments": {}}),
        ("call_tool", {"name": "RUN", "arguments": {}}),
        ("run", {"request": {"tool": "t", "input": {"a": 1}}}),
        ("run", {"request": {"tool": "t", "input": "[1]"}}),
        ("run", {"request": {"tool": "t", "input": '{"a": 1, "a": 2}'}}),
        ("run", {"request": {"tool": "t", "input": '{"a": 1} x'}}),
        ("run", {"request": {"tool": "t", "input": "{}", "tools": "u"}}),
        ("run", {"request": {"tool": "t", "input": "{}"}, "mode": "x"}),
        ("run", {"request": "t"}),
        ("run", {"request": {"tool": "t", "input": "{}"}, "request.tool": "u"}),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, arguments: dict):
    with pytest.raises(InvalidInput) as caught:
        inner((CALL, TEXT), name, arguments)
    assert caught.value.exit_code == 6 and caught.value.hint


def nested(depth: int) -> dict:
    arguments: dict = {"name": "x", "arguments": {"deep": depth}}
    for _ in range(depth - 1):
        arguments = {"name": "call_tool", "arguments": arguments}
    return arguments


def test_depth():
    for depth in range(1, MAX_DEPTH + 1):
        assert inner((CALL,), "call_tool", nested(depth)) == ("x", {"deep": depth})
    with pytest.raises(InvalidInput, match="meta-tools within each other"):
        inner((CALL,), "call_tool", nested(MAX_DEPTH + 1))


def any_value(source: random.Random, depth: int = 3) -> object:
    if depth == 0 or source.random() < 0.3:
        return source.choice(("call_tool", "run", "x", "", 1, None, True, "{}", '{"name": "y"}', []))
    keys = ("name", "arguments", "request", "tool", "input", "timeout", "z")
    return {key: any_value(source, depth - 1) for key in source.sample(keys, source.randrange(4))}


def test_any_arguments_are_read_or_refused():
    source = random.Random(SEED)
    counts = {True: 0, False: 0}
    for _ in range(ROUNDS):
        tool = source.choice(("call_tool", "run"))
        good = {"name": any_value(source, 0), "arguments": any_value(source)} if tool == "call_tool" else {"request": {"tool": any_value(source, 0), "input": any_value(source, 0)}}
        arguments = good if source.random() < 0.6 else any_value(source)
        try:
            found = inner((CALL, TEXT), tool, arguments if isinstance(arguments, dict) else {})
        except InvalidInput:
            counts[False] += 1
            continue
        counts[True] += 1
        assert found is not None and found[0] not in ("call_tool", "run") and isinstance(found[0], str) and isinstance(found[1], dict), (SEED, arguments)
    assert min(counts.values()) > ROUNDS / 20, (SEED, counts)
