"""The request headers that repeat parts of the body (MCP 2026-07-28, streamable HTTP) must say what the body says.

Something between the client and Gait may have routed by them; the body is what is judged.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from .messages import HEADER_MISMATCH, Frame, FrameRefused

STATELESS = "2026-07-28"
_NAMES = {
    **{"tools/call": "name", "prompts/get": "name", "resources/read": "uri"},
    **{"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"},
}
_NAMED = ("tools/call", "prompts/get", "resources/read")  # of these the header is required


def check(frame: Frame, headers: Mapping[str, str]) -> None:
    """FrameRefused (-32020) where a header is missing, malformed or of another opinion.  Names are in lower case."""
    version = headers.get("mcp-protocol-version", "").strip(" \t")
    if frame.version and frame.version != version:
        raise _mismatch(frame, "MCP-Protocol-Version")
    is_required = frame.is_request and version >= STATELESS
    _compare(frame, headers, "mcp-method", frame.method, is_required)
    if frame.method in _NAMES:
        name = frame.params.get(_NAMES[frame.method])
        _compare(frame, headers, "mcp-name", name, is_required and frame.method in _NAMED and name is not None)
    if frame.is_call:
        _check_arguments(frame, headers)


def _compare(frame: Frame, headers: Mapping[str, str], header: str, expected: object, is_required: bool) -> None:
    value = headers.get(header)
    if value is None and not is_required:
        return
    if value is None or _decoded(frame, header, value) != expected:
        raise _mismatch(frame, header)


def _check_arguments(frame: Frame, headers: Mapping[str, str]) -> None:
    """A Mcp-Param header repeats one argument; which one, the tool's schema says: here its value must be among them."""
    for header, value in headers.items():
        if header.startswith("mcp-param-"):
            text = _decoded(frame, header, value)
            if not any(_says(text, argument) for argument in _scalars(frame.arguments)):
                raise _mismatch(frame, header)


def _scalars(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _scalars(item)
    else:
        yield value


def _says(text: str, argument: object) -> bool:
    if type(argument) is bool:
        return text == ("true" if argument else "false")
    if type(argument) in (int, float):
        return text == str(argument) or _number(text) == argument
    return text == argument


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _decoded(frame: Frame, header: str, value: str) -> str:
    """A header's text: =?base64?…?= around what plain headers cannot hold."""
    value = value.strip(" \t")
    if not (value.startswith("=?base64?") and value.endswith("?=") and len(value) >= 11):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise _mismatch(frame, header) from None


def _mismatch(frame: Frame, header: str) -> FrameRefused:
    message = f"{header}: expected the header that repeats the body, got none or another"
    return FrameRefused(message, HEADER_MISMATCH, frame.id, code="header_mismatch", hint="send the header that the body asks for")
