"""Asking a server for all its tools, in both eras of the protocol.  Pure: the transport is given.

A server that has an `initialize` handshake gets it; one that answers it with an error is asked without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import InvalidInput, MissingDependency
from .catalog import MAX_PAGES, next_cursor
from .lock import MAX_TOOLS, Pinned, pin
from .names import folded

SESSION_VERSION = "2025-11-25"
STATELESS_VERSION = "2026-07-28"
_MAX_CURSOR = 8192
_META = "io.modelcontextprotocol/"

# (method, params) -> the whole JSON-RPC response.  GaitError: there is none.
Ask = Callable[[str, Mapping[str, object]], Mapping[str, object]]
# (method, params): a notification.
Notify = Callable[[str, Mapping[str, object]], None]


def list_tools(ask: Ask, notify: Notify, gait_version: str) -> list[object]:
    """Every tool definition of a server, all pages.  InvalidInput: what it lists is no list of tools."""
    client = {"name": "gait", "version": gait_version}
    hello = ask("initialize", {"protocolVersion": SESSION_VERSION, "capabilities": {}, "clientInfo": client})
    if "error" not in hello:
        notify("notifications/initialized", {})
        return _pages(ask, {})
    meta = {"protocolVersion": STATELESS_VERSION, "clientInfo": client, "clientCapabilities": {}}
    return _pages(ask, {"_meta": {_META + key: value for key, value in meta.items()}})


def _pages(ask: Ask, params: Mapping[str, object]) -> list[object]:
    found: list[object] = []
    cursor = ""
    for _ in range(MAX_PAGES):
        result = _result(ask("tools/list", {**params, "cursor": cursor} if cursor else params))
        found += tools_of(result)
        following = next_cursor(result)
        if following is None or len(following) > _MAX_CURSOR or following == cursor != "":
            raise InvalidInput("expected a tools/list whose nextCursor leads on, got one that cannot be followed", code="tools_list_invalid")
        if not following:
            return found
        if len(found) > MAX_TOOLS:
            break
        cursor = following
    raise InvalidInput(f"expected at most {MAX_TOOLS} tools on {MAX_PAGES} pages, got more", code="tools_list_invalid")


def _result(response: Mapping[str, object]) -> Mapping[str, object]:
    result = response.get("result")
    if isinstance(result, dict):
        return result
    error = response.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    message = f"the server has no tools/list: it answered {str(said)[:200]!r}"
    raise MissingDependency(message, hint="only a server with tools can be pinned", code="server_unavailable")


def tools_of(result: Mapping[str, object]) -> list[object]:
    """The definitions on one page, unread."""
    tools = result.get("tools")
    if not isinstance(tools, list):
        raise InvalidInput("tools: must be a list", hint="give the result of a tools/list", code="tools_list_invalid")
    return tools


def pinned_tools(definitions: list[object]) -> dict[str, Pinned]:
    """The definitions by name, in the order of the list.  InvalidInput: one cannot be pinned, or two names are look-alikes."""
    if len(definitions) > MAX_TOOLS:
        raise InvalidInput(f"expected at most {MAX_TOOLS} tools, got {len(definitions)}", code="tools_list_invalid")
    found: dict[str, Pinned] = {}
    names: dict[str, str] = {}
    for index, definition in enumerate(definitions):
        pinned = pin(definition, ("tools", index))
        other = names.setdefault(folded(pinned.name), pinned.name)
        if pinned.name in found or other != pinned.name:
            message = f"tools[{index}]: two tools could be taken for each other: {other[:80]!a} and {pinned.name[:80]!a}"
            raise InvalidInput(message, hint="the server must give each tool a name of its own", code="tool_name_ambiguous")
        found[pinned.name] = pinned
    return found
