"""What the headers of a request must say: Host and Origin of this machine, and in the stateless era what the body says."""

from __future__ import annotations

import base64
import binascii
import re
from email.message import Message as Headers
from typing import Optional

from .protocol import HEADER_MISMATCH, VERSION_KEY, Failure, Message, meta, parameters
from .tools import definition_of

LOCAL = ("localhost", "127.0.0.1", "[::1]")
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_NAMED.update(dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId"))


def is_local(headers: Headers[str, str]) -> bool:
    """Whether Host, and Origin where there is one, name this machine: a page of another site cannot make them do that."""
    host, origin = headers.get("Host", ""), headers.get("Origin")
    return _machine(host) in LOCAL and (origin is None or _machine(re.sub("^https?://", "", origin)) in LOCAL)


def _machine(host: str) -> str:
    return re.sub(r":[0-9]*$", "", host.strip().lower())


def check(headers: Headers[str, str], message: Message) -> None:
    """Failure unless MCP-Protocol-Version, Mcp-Method, Mcp-Name and Mcp-Param-* say what the body says."""
    if headers.get("MCP-Protocol-Version", "").strip() != meta(message)[VERSION_KEY]:
        raise _mismatch("MCP-Protocol-Version", f"_meta {VERSION_KEY}")
    if headers.get("Mcp-Method", "").strip() != message["method"]:
        raise _mismatch("Mcp-Method", "the method")
    field = _NAMED.get(message["method"])
    name = parameters(message).get(field) if field else None
    if isinstance(name, str) and decoded(headers.get("Mcp-Name")) != name:
        raise _mismatch("Mcp-Name", f"params.{field}")
    if message["method"] == "tools/call":
        _check_parameters(headers, parameters(message))


def _check_parameters(headers: Headers[str, str], params: Message) -> None:
    arguments = params.get("arguments")
    given = arguments if isinstance(arguments, dict) else {}
    properties = definition_of(params.get("name")).get("inputSchema", {}).get("properties", {})
    for name, schema in properties.items():
        if "x-mcp-header" not in schema:
            continue
        header = "Mcp-Param-" + schema["x-mcp-header"]
        wanted = _as_header(given[name]) if given.get(name) is not None else None
        if decoded(headers.get(header)) != wanted:
            raise _mismatch(header, f"arguments.{name}")


def _as_header(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def decoded(value: Optional[str]) -> Optional[str]:
    """A header's value, which may be text in Base64: `=?base64?SGVsbG8=?=`.  Failure when that cannot be decoded."""
    if value is None:
        return None
    found = re.fullmatch(r"=\?base64\?(.*)\?=", value.strip(), re.DOTALL)
    if not found:
        return value.strip()
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Failure(HEADER_MISMATCH, "a header's Base64 cannot be decoded", None, 400) from None


def _mismatch(header: str, body: str) -> Failure:
    return Failure(HEADER_MISMATCH, f"Header mismatch: {header} does not say what {body} says", None, 400)
