"""The arguments that a tool wants repeated as Mcp-Param headers (MCP 2026-07-28, streamable HTTP): `x-mcp-header` in its schema.

Over HTTP the server checks them; in front of a stdio server that is Gait.  Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

from .messages import HEADER_MISMATCH, FrameRefused
from .routes import Message

_KEY = "x-mcp-header"
_PREFIX = "mcp-param-"
_MAX_DEPTH = 16
_MAX_TOOLS = 4096

# Where an argument stands, by the name of its header.
_Places = Mapping[str, "tuple[str, ...]"]


class Mirrors:
    """One server's.  Safe to use from several threads: tables are replaced, not changed."""

    def __init__(self) -> None:
        self._tools: dict[str, _Places] = {}
        self.must_ask = True

    def forget(self) -> None:
        """The server's tools have changed."""
        self.must_ask = True

    def learn(self, tools: list[object]) -> None:
        """Take in a whole list of definitions, whatever is in it."""
        found: dict[str, _Places] = {}
        for tool in tools[:_MAX_TOOLS]:
            name = tool.get("name") if isinstance(tool, dict) else None
            places = dict(_places(tool.get("inputSchema"), ())) if isinstance(tool, dict) else {}
            if isinstance(name, str) and places:
                found[name] = places
        self._tools = found
        self.must_ask = False

    def mismatch(self, call: Message, headers: Mapping[str, str]) -> FrameRefused | None:
        """The refusal (-32020) of a call whose headers, by lower-case name, do not say what its arguments say."""
        name = call.params.get("name")
        for header, place in self._tools.get(name, {}).items() if isinstance(name, str) else ():
            if not _says(_decoded(headers.get(header)), _at(call.params.get("arguments"), place)):
                message = f"{header}: expected the header that repeats the argument {'.'.join(place)[:80]!a}, got none or another"
                return FrameRefused(message, HEADER_MISMATCH, call.id, code="header_mismatch", hint="send the header that the tool's schema asks for")
        return None


def _places(schema: object, place: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or len(place) >= _MAX_DEPTH:
        return
    for name, inner in properties.items():
        header = inner.get(_KEY) if isinstance(inner, dict) else None
        if isinstance(header, str) and header:
            yield _PREFIX + header.lower(), (*place, name)
        yield from _places(inner, (*place, name))


def _at(value: object, place: tuple[str, ...]) -> object:
    for name in place:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _says(header: str | None, value: object) -> bool:
    """Texts, numbers and booleans are repeated; for anything else there is no header."""
    if isinstance(value, bool):
        return header == ("true" if value else "false")
    if isinstance(value, (int, float)):
        return header is not None and (header == str(value) or _number(header) == value)
    return header == (value if isinstance(value, str) else None)


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def _decoded(header: str | None) -> str | None:
    """A header's text: =?base64?…?= around what plain headers cannot hold.  What cannot be decoded is equal to nothing."""
    value = header.strip(" \t") if header is not None else None
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=") and len(value) >= 11):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return "\0"
