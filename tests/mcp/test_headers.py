"""Headers that repeat the body: agreement in all combinations, encodings and eras."""

from __future__ import annotations

import base64
from itertools import product

import pytest
from gait.mcp import headers, messages
from gait.mcp.messages import FrameRefused

NEW = "2026-07-28"


def frame(method: str, version: str = "", id_: object = 1, **params: object) -> messages.Frame:
    if version:
        params["_meta"] = {messages.VERSION_KEY: version}
    value = {"jsonrpc": "2.0", "method": method, "params": params, "id": id_}
    if id_ is None:
        del value["id"]
    return messages.read(value)


def agrees(given: messages.Frame, found: dict[str, str]) -> bool:
    try:
        headers.check(given, found)
        return True
    except FrameRefused as error:
        assert (error.rpc_code, error.id, error.error_code) == (-32020, given.id, "header_mismatch")
        return False


def wrapped(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize("version", ["", "2025-03-26", "2025-06-18", "2025-11-25", NEW, "2027-01-01"])
def test_every_combination_of_method_and_name(version: str):
    given = frame("tools/call", name="good")
    is_new = version >= NEW
    for method, name in product((None, "tools/call", "tools/list", "TOOLS/CALL", "", " tools/call\t"), (None, "good", "bad", "Good", "", " good ", wrapped("good"), wrapped("bad"))):
        found = {"mcp-method": method, "mcp-name": name, "mcp-protocol-version": version}
        is_right = (method or "").strip() == "tools/call" if method is not None else not is_new
        is_right &= (name or "").strip() in ("good", wrapped("good")) if name is not None else not is_new
        assert agrees(given, {key: value for key, value in found.items() if value is not None}) == is_right, found


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [("prompts/get", {"name": "p"}, "p"), ("resources/read", {"uri": "test://a"}, "test://a"), ("tasks/get", {"taskId": "t"}, "t"), ("tasks/update", {"taskId": "t"}, "t"), ("tasks/cancel", {"taskId": "t"}, "t")],
)
def test_the_name_of_other_methods(method: str, params: dict, name: str):
    common = {"mcp-method": method, "mcp-protocol-version": NEW}
    assert agrees(frame(method, **params), {**common, "mcp-name": name})
    assert not agrees(frame(method, **params), {**common, "mcp-name": name + "x"})
    assert agrees(frame(method, **params), common) == method.startswith("tasks/")
    assert not agrees(frame(method), {**common, "mcp-name": name})
    assert agrees(frame(method), common)  # the server says what is missing


def test_messages_without_a_name():
    assert agrees(frame("tools/list"), {"mcp-method": "tools/list", "mcp-protocol-version": NEW})
    assert agrees(frame("notifications/initialized", id_=None), {"mcp-protocol-version": NEW})
    assert not agrees(frame("notifications/initialized", id_=None), {"mcp-method": "ping"})
    response = messages.read({"jsonrpc": "2.0", "id": 1, "result": {}})
    assert agrees(response, {"mcp-protocol-version": NEW}) and not agrees(response, {"mcp-method": "tools/call"})


@pytest.mark.parametrize(("body", "header", "is_right"), [("", NEW, True), ("", None, True), (NEW, NEW, True), (NEW, f" {NEW} ", True), (NEW, None, False), (NEW, "2025-11-25", False), ("2025-11-25", NEW, False)])
def test_the_version(body: str, header: str | None, is_right: bool):
    found = {"mcp-method": "ping"} if header is None else {"mcp-method": "ping", "mcp-protocol-version": header}
    assert agrees(frame("ping", body), found) == is_right


@pytest.mark.parametrize(
    ("name", "header", "is_right"),
    [
        ("é😀", wrapped("é😀"), True),
        ("Hello", "=?base64?SGVsbG8=?=", True),
        ("Hello", "=?base64?SGVsbG8?=", False),
        ("Hello", "=?base64?SGVs!!!bG8=?=", False),
        ("Hello", "=?BASE64?SGVsbG8=?=", False),
        ("Hello", "=?base64?SGVsbG8=", False),
        ("SGVsbG8=", "SGVsbG8=", True),
        ("=?base64?SGVsbG8=", "=?base64?SGVsbG8=", True),
        ("=?base64?=", "=?base64?=", True),
        ("x", "=?base64??=", False),
        ("x", "=?base64?/w==?=", False),
        ("=?base64?eA==?=", wrapped("=?base64?eA==?="), True),
        ("=?base64?eA==?=", "=?base64?eA==?=", False),
        ("é", "é".encode().decode("latin-1"), False),
    ],
)
def test_encodings_of_a_name(name: str, header: str, is_right: bool):
    assert agrees(frame("tools/call", name=name), {"mcp-name": header}) == is_right


ARGUMENTS = {"region": "eu", "n": 42, "f": 1.5, "on": True, "off": False, "none": None, "list": ["inside"], "deep": {"er": {"zone": "é"}}, "big": 2**60 + 1}


@pytest.mark.parametrize(
    ("header", "is_right"),
    [
        *(("eu", True), (wrapped("eu"), True), ("us", False), ("EU", False), ("", False), (wrapped("é"), True), ("=?base64?!?=", False)),
        *(("42", True), ("42.0", True), ("43", False), ("4_2", False), ("1.5", True), ("true", True), ("false", True), ("True", False), ("1", False)),
        *(("null", False), ("None", False), ("inside", False), (str(2**60 + 1), True), ("nan", False)),
    ],
)
def test_arguments_that_headers_repeat(header: str, is_right: bool):
    assert agrees(frame("tools/call", name="t", arguments=ARGUMENTS), {"mcp-param-x": header}) == is_right


def test_headers_of_other_messages_are_not_arguments():
    assert agrees(frame("prompts/get", name="p"), {"mcp-param-x": "y"})
