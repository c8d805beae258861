"""Asking a stdio server for its tools before a call that needs them: for the lock to compare, and for the headers that they want.

Invariant: nothing but the catalog and the mirrors learns of it; what cannot be listed stays unseen.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping

from ..errors import InvalidInput
from . import catalog, messages
from .catalog import Catalog
from .effects import Refused, Ruling, Terms, ToolCall
from .interceptor import Interceptor
from .link import Link
from .lock import MAX_TOOLS
from .mirrors import Mirrors
from .routes import Message

_SECONDS = 10.0  # for all pages of a list
_LOOK_SECONDS = 0.25  # how often a wait looks whether its end is still wanted
_PAUSE_SECONDS = 1.0  # after a list that could not be read to its end
_FRESH_SECONDS = 1.0
_META_PREFIX = "io.modelcontextprotocol/"  # what a request of the stateless era says of its sender


class Toolbook:
    """One upstream's.  Safe to use from several threads: one of them lists, and the others wait for it."""

    def __init__(self, known: Catalog, terms: Terms) -> None:
        self._catalog = known
        self._terms = terms
        self.mirrors = Mirrors()
        self._listing = threading.Lock()
        self._not_before = self._listed_at = 0.0

    def prepare(self, link: Link, call: Message, is_wanted: Callable[[], bool]) -> None:
        """Have the tools listed if the lock has to be compared with them.  `is_wanted`: whether somebody still waits for the call."""
        if self._catalog.must_ask:
            self._list(link, call, lambda: self._catalog.must_ask, is_wanted)

    def check_headers(self, link: Link, call: Message, headers: Mapping[str, str], is_wanted: Callable[[], bool]) -> None:
        """FrameRefused: the headers do not repeat what the tool wants repeated, by a list that is hardly older than this request."""
        asked_at = time.monotonic()
        if self.mirrors.must_ask:
            self._list(link, call, lambda: self.mirrors.must_ask, is_wanted)
        error = self.mirrors.mismatch(call, headers)
        if error is not None and self._listed_at < asked_at - _FRESH_SECONDS:  # nobody need have been told that the tools changed
            self._list(link, call, lambda: True, is_wanted)
            error = self.mirrors.mismatch(call, headers)
        if error is not None:
            raise error

    def _list(self, link: Link, call: Message, is_needed: Callable[[], bool], is_wanted: Callable[[], bool]) -> None:
        while not self._listing.acquire(timeout=_LOOK_SECONDS):
            if not is_wanted():
                return
        try:
            if is_needed() and time.monotonic() >= self._not_before:
                self._learn(link, _meta(call), is_wanted)
        finally:
            self._listing.release()

    def _learn(self, link: Link, meta: dict[str, object] | None, is_wanted: Callable[[], bool]) -> None:
        tools = self._pages(link, meta, is_wanted)
        self._listed_at = time.monotonic()
        if tools is None:
            self._not_before = self._listed_at + (_PAUSE_SECONDS if is_wanted() else 0.0)
        elif meta is not None:  # the session era has no such headers, and may have other tools
            self.mirrors.learn(tools)

    def _pages(self, link: Link, meta: dict[str, object] | None, is_wanted: Callable[[], bool]) -> list[object] | None:
        """Every definition; None when they cannot all be listed."""
        deadline = time.monotonic() + _SECONDS

        def is_in_time() -> bool:
            return time.monotonic() < deadline and is_wanted()

        tools: list[object] = []
        cursor: str | None = ""
        for _ in range(catalog.MAX_PAGES):
            result = self._page(link, cursor or "", meta, is_in_time)
            page = result.get("tools") if result else None
            if result is None or not isinstance(page, list) or len(tools) > MAX_TOOLS:
                return None
            tools += page
            cursor = catalog.next_cursor(result)
            if not cursor:
                return tools
        return None

    def _page(self, link: Link, cursor: str, meta: dict[str, object] | None, is_wanted: Callable[[], bool]) -> dict[str, object] | None:
        """A page as the server gave it, after the catalog has learnt it on the one way that every list takes: through an Interceptor."""
        interceptor = Interceptor(self._terms, _nothing_to_decide, self._catalog)
        id_ = f"gait-{secrets.token_hex(16)}"
        data = catalog.request(id_, cursor, meta)
        interceptor.from_client(data)
        line = link.ask(data, id_, is_wanted)
        if line is None or any(isinstance(effect, Refused) for effect in interceptor.from_upstream(line)):
            return None
        result = json.loads(line).get("result")
        return result if type(result) is dict else None


def _nothing_to_decide(_: ToolCall) -> Ruling:
    raise InvalidInput("a list has no calls")


def _meta(call: Message) -> dict[str, object] | None:
    """What a request of the stateless era must say of itself, as the client's own says it."""
    if messages.VERSION_KEY not in call.meta:
        return None
    return {key: value for key, value in call.meta.items() if key.startswith(_META_PREFIX)}
