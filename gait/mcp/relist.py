"""Asking an upstream for its tools before a call that a lock decides about, in the client's own session.

Invariant: nothing but the catalog learns of it; what cannot be listed stays unseen, and its calls blocked.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator

from ..errors import GaitError, InvalidInput
from ..system.http_client import Answer, BadAnswer, Client
from ..system.origin import Unwanted
from . import catalog, messages, sse
from .catalog import Catalog
from .effects import Ruling, Terms, ToClient, ToolCall
from .interceptor import Interceptor

_SECONDS = 30.0  # for all pages of a list
_PAUSE_SECONDS = 1.0  # after a list that could not be read to its end
_OTHERS = ("last-event-id", "mcp-method", "mcp-name")
_JSON = "application/json"
_EVENTS = "text/event-stream"


class Lister:
    """One upstream's.  Safe to use from several threads; two that ask at once do no harm."""

    def __init__(self, client: Client, known: Catalog, terms: Terms) -> None:
        self._client = client
        self._catalog = known
        self._terms = terms
        self._not_before = 0.0

    def prepare(self, body: bytes, headers: list[tuple[str, str]], is_wanted: Callable[[], bool]) -> None:
        """List the tools if the body has a call and the catalog does not know them yet.  Raises nothing that the call would not."""
        if not self._catalog.must_ask or time.monotonic() < self._not_before:
            return
        call = _first_call(body)
        if call is None:
            return
        deadline = time.monotonic() + _SECONDS
        try:
            self._list(_meta(call), _own(headers), lambda: is_wanted() and time.monotonic() < deadline)
        except (GaitError, Unwanted, ValueError):
            pass  # the catalog goes on to bar what it has not seen
        if self._catalog.must_ask:
            self._not_before = time.monotonic() + _PAUSE_SECONDS

    def _list(self, meta: dict[str, object] | None, headers: list[tuple[str, str]], is_wanted: Callable[[], bool]) -> None:
        cursor: str | None = ""
        for _ in range(catalog.MAX_PAGES):
            result = self._page(cursor or "", meta, headers, is_wanted)
            cursor = catalog.next_cursor(result)
            if not cursor or not is_wanted():
                return

    def _page(
        self, cursor: str, meta: dict[str, object] | None, headers: list[tuple[str, str]], is_wanted: Callable[[], bool]
    ) -> dict[str, object]:
        """The result, after the catalog has learnt it on the one way that every list takes: through an Interceptor."""
        interceptor = Interceptor(self._terms, _nothing_to_decide, self._catalog)
        request_id = f"gait-{secrets.token_hex(16)}"
        data = catalog.request(request_id, cursor, meta)
        interceptor.from_client(data)
        answer = self._client.ask("POST", headers, data, is_wanted)
        try:
            for frame in self._frames(answer, is_wanted):
                for effect in interceptor.from_upstream(frame):
                    result = _result(effect.data, request_id) if isinstance(effect, ToClient) else None
                    if result is not None:
                        return result
        finally:
            answer.close()
        raise BadAnswer("expected a list of tools, got none")

    def _frames(self, answer: Answer, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status < 300 and media_type == _JSON:
            yield answer.read(self._terms.max_frame_bytes, is_wanted)
        elif answer.status < 300 and media_type == _EVENTS:
            events = sse.Events(self._terms.max_frame_bytes)
            for part in answer.parts():
                if not is_wanted():
                    raise Unwanted
                yield from [event.data for event in events.feed(part) if event.data]


def _first_call(body: bytes) -> dict[str, object] | None:
    """A call in the body, read leniently: whether it may be forwarded is not decided here."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for item in value if type(value) is list else [value]:
        if type(item) is dict and item.get("method") == messages.CALL:
            return item
    return None


def _result(data: bytes, request_id: str) -> dict[str, object] | None:
    value = json.loads(data)  # the Interceptor has read it more strictly
    result = value.get("result") if type(value) is dict and value.get("id") == request_id else None
    return result if type(result) is dict else None


def _nothing_to_decide(_: ToolCall) -> Ruling:
    raise InvalidInput("a list has no calls")


def _meta(call: dict[str, object]) -> dict[str, object] | None:
    """What a request of the stateless era must say of itself, as the client's own says it."""
    params = call.get("params")
    meta = params.get("_meta") if type(params) is dict else None
    if type(meta) is not dict or messages.VERSION_KEY not in meta:
        return None
    return {key: value for key, value in meta.items() if key.startswith("io.modelcontextprotocol/")}


def _own(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    found = [(name, value) for name, value in headers if name not in _OTHERS and not name.startswith("mcp-param-")]
    named = [("mcp-method", messages.LIST)] if any(name == "mcp-method" for name, _ in headers) else []
    return [*found, *named]
