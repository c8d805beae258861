"""JSON-RPC 2.0 messages of the client, read so strictly that every reader of the same bytes sees the same message.

Invariant: what `read` lets through is a tools/call for every reader, or for none: readers that ignore the case of keys, take
the first or the last of two equal keys, or are lenient about white space included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from unicodedata import normalize

from ..errors import InvalidInput, ParseError
from ..formats import strict_json
from ..formats.fields import WHITE_SPACE, trim

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32602, -32603
HEADER_MISMATCH, BUSY = -32020, -32000

CALL, LIST, INITIALIZE, CANCELLED = "tools/call", "tools/list", "initialize", "notifications/cancelled"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"

_MAX_ID_CHARS = 1024
_METHOD = re.compile(r"[!-~]{1,200}")
_NOT_LETTERS = re.compile("[^a-z]+")
_SPACE = WHITE_SPACE + "\0"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class FrameRefused(InvalidInput):
    """A frame that is not forwarded.  `rpc_code` and `id` are for the client's error; `is_silent`: it may not be given any."""

    error_code = "malformed_frame"

    def __init__(
        self,
        message: str,
        rpc_code: int = INVALID_REQUEST,
        id: str | int | None = None,
        *,
        code: str = "",
        hint: str = "",
        is_silent: bool = False,
    ) -> None:
        super().__init__(message, where="MCP frame", code=code, hint=hint)
        self.rpc_code = rpc_code
        self.id = id
        self.is_silent = is_silent


class Frame(NamedTuple):
    """One message.  `method` is empty for a response; `id` is the exact text or integer, None when there is no such id.

    `params` is empty unless it is an object.  `version`: the protocol revision that a request of the stateless era names.
    """

    method: str
    id: str | int | None
    params: dict[str, object]
    is_request: bool
    version: str

    @property
    def is_call(self) -> bool:
        """Whether this is the tools/call request."""
        return self.method == CALL

    @property
    def name(self) -> str:
        """The tool of a call."""
        return self.params["name"]  # type: ignore[return-value]

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments of a call; none are the same as an empty object."""
        return self.params.get("arguments") or {}  # type: ignore[return-value]


def loads(data: bytes, max_bytes: int) -> object:
    """The JSON value of a client's frame.  FrameRefused: it is none that all parsers agree on."""
    try:
        return strict_json.loads(data, "MCP frame", max_bytes)
    except ParseError as error:
        raise FrameRefused(error.message, PARSE_ERROR, code=error.error_code, hint=error.hint) from None


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def read(value: object) -> Frame:
    """The message in a JSON value.  FrameRefused: it is none, or could be read as more than one."""
    if type(value) is not dict:
        raise FrameRefused(f"expected a JSON object, got {strict_json.type_name(value)}")
    id_ = reply_id(value)
    refuse_lookalikes(value, _MEMBERS, id_)
    if value.get("jsonrpc") != "2.0":
        raise FrameRefused('expected "jsonrpc": "2.0"', id=id_)
    if "method" not in value:
        return _response(value)
    if "result" in value or "error" in value:
        raise FrameRefused("expected a request or a response, got a method together with a result", id=id_, code="ambiguous_frame")
    return _request(value, _method(value["method"], id_), id_)


def reply_id(value: dict[str, object]) -> str | int | None:
    """The id that an answer to this message repeats: text or an integer, of bounded length.  None for any other."""
    id_ = value.get("id")
    if type(id_) is str and len(id_) <= _MAX_ID_CHARS:
        return id_
    return id_ if type(id_) is int and id_.bit_length() <= _MAX_ID_CHARS else None


def refuse_lookalikes(value: dict[str, object], known: Mapping[str, str], id_: str | int | None = None) -> None:
    """FrameRefused for a key that some reader takes for one of `known`: Go's and .NET's JSON ignore case, for example."""
    for key in value:
        if known.get(key) != key and known.get(fold(key), key) != key:
            expected = known[fold(key)]
            raise FrameRefused(f"expected the key {expected!r}, got {key[:40]!r}", id=id_, code="ambiguous_frame", hint="write it exactly so")


def known_keys(*keys: str) -> Mapping[str, str]:
    """Keys by what all spellings of them have in common."""
    return {fold(key): key for key in keys}


def fold(text: str) -> str:
    """One spelling for all that some reader holds to be the same: full-width forms, case, dotless and dotted i, space at the ends."""
    if text.isascii():
        return text.lower().strip(_SPACE)
    return normalize("NFKC", text).upper().casefold().replace("\u0307", "").strip(_SPACE)


def _response(value: dict[str, object]) -> Frame:
    if "result" not in value and "error" not in value:
        raise FrameRefused("expected a method, a result or an error, got none of them")
    return Frame("", reply_id(value), {}, False, "")


def _method(method: object, id_: str | int | None) -> str:
    """The method, which is tools/call exactly or nothing that could be taken for it."""
    if type(method) is not str or not _METHOD.fullmatch(method):
        raise FrameRefused("expected a method of 1 to 200 visible ASCII characters", id=id_, code="ambiguous_frame")
    if method != CALL and _NOT_LETTERS.sub("", method.lower()) == "toolscall":
        raise FrameRefused(f"expected the method {CALL!r}, got {method[:40]!r}", id=id_, code="ambiguous_frame", hint=f"write {CALL}")
    return method


def _request(value: dict[str, object], method: str, id_: str | int | None) -> Frame:
    params = value.get("params")
    fields = params if type(params) is dict else {}
    if method == CALL:
        _check_call(value, params, id_)
    elif method == LIST and "id" in value and id_ is None:
        raise FrameRefused("expected an id of text or a whole number, of ordinary length", id=id_)
    meta = fields.get("_meta")
    version = meta.get(VERSION_KEY) if type(meta) is dict else ""
    return Frame(method, id_, fields, "id" in value, version if type(version) is str else "")


def _check_call(value: dict[str, object], params: object, id_: str | int | None) -> None:
    if "id" not in value:
        raise FrameRefused("expected tools/call with an id, got a notification", code="call_without_id", is_silent=True)
    if id_ is None:
        raise FrameRefused("expected an id of text or a whole number, of ordinary length", code="call_without_id")
    if type(params) is not dict:
        raise FrameRefused(f"params: expected an object, got {strict_json.type_name(params)}", INVALID_PARAMS, id_)
    refuse_lookalikes(params, _CALL_PARAMS, id_)
    arguments = params.get("arguments")
    if arguments is not None and type(arguments) is not dict:
        raise FrameRefused(f"params.arguments: expected an object, got {strict_json.type_name(arguments)}", INVALID_PARAMS, id_)
    check_tool(params.get("name"), arguments or {}, id_)


def check_tool(name: object, arguments: dict[str, object], id_: str | int | None) -> None:
    """FrameRefused unless policies and servers must read both alike.

    The name is text without control characters or space at its ends.  No two arguments have names that differ in case only: for
    some servers they are one, and which of them wins is theirs to say.
    """
    if type(name) is not str or not name or name != trim(name) or _CONTROL.search(name):
        raise FrameRefused("params.name: expected text without control characters or space at its ends", INVALID_PARAMS, id_)
    together = "".join(arguments)
    if together.isidentifier() and together.islower() and together.isascii():
        return  # each is its own fold already
    if len({fold(key) for key in arguments}) != len(arguments):
        raise FrameRefused("params.arguments: expected names that differ in more than case", INVALID_PARAMS, id_, code="ambiguous_frame")


_MEMBERS = known_keys("jsonrpc", "id", "method", "params", "result", "error")
_CALL_PARAMS = known_keys("name", "arguments", "_meta")
