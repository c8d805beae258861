"""Arguments that a tool wants repeated as headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gait.mcp.mirrors import Mirrors
from gait.mcp.routes import Message, peek

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "sure": {"type": "boolean", "x-mcp-header": "Sure"},
        "inner": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}},
        "free": {"type": "string"},
        "odd": {"x-mcp-header": 7},
    },
}


def call(**arguments: Any) -> Message:
    found = peek(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "arguments": arguments}}).encode())
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "headers", "agrees"),
    [
        ({}, {}, True),
        ({"region": "eu"}, {"region": "eu"}, True),
        ({"region": "eu"}, {"region": "=?base64?ZXU=?="}, True),
        ({"region": "eu"}, {"region": "=?base64?ZXU?="}, False),
        ({"region": "eu"}, {"region": "us"}, False),
        ({"region": "eu"}, {}, False),
        ({"region": None}, {}, True),
        ({}, {"region": "eu"}, False),
        ({"count": 7}, {"count": "7"}, True),
        ({"count": 7.0}, {"count": "7"}, True),
        ({"count": 7}, {"count": "seven"}, False),
        ({"count": True}, {"count": "1"}, False),
        ({"sure": False}, {"sure": "false"}, True),
        ({"sure": "false"}, {"sure": "false"}, True),
        ({"sure": False}, {"sure": "0"}, False),
        ({"inner": {"zone": "a"}}, {"zone": "a"}, True),
        ({"inner": {"zone": "a"}}, {}, False),
        ({"inner": 1}, {}, True),
        ({"free": "x", "odd": "y"}, {}, True),
    ],
)
def test_headers_say_what_the_arguments_say(arguments: Any, headers: dict[str, str], agrees: bool) -> None:
    mirrors = Mirrors()
    mirrors.learn([{"name": "t", "inputSchema": SCHEMA}])
    error = mirrors.mismatch(call(**arguments), {f"mcp-param-{name}": text for name, text in headers.items()})
    assert (error is None) == agrees
    assert error is None or (error.rpc_code, error.id) == (-32020, 1)


def test_any_list_is_learnt_without_harm() -> None:
    mirrors = Mirrors()
    deep: Any = {}
    for _ in range(500):
        deep = {"properties": {"a": deep}}
    mirrors.learn([None, 1, {}, {"name": 3}, {"name": "t"}, {"name": "t", "inputSchema": []}, {"name": "t", "inputSchema": {"properties": 1}}, {"name": "d", "inputSchema": deep}])
    assert not mirrors.must_ask and mirrors.mismatch(call(a=1), {}) is None
    mirrors.forget()
    assert mirrors.must_ask
