"""What is known of one upstream's tools: which calls its lock bars, and which tools a client may see.

Invariant: with a lock, a tool is free only when a whole tools/list of this upstream has shown it exactly as
pinned.  Worse news counts at once, better news only with the last page of a list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from threading import Lock as Mutex

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from .lock import MAX_TOOLS, ServerLock, pin
from .names import folded

NOT_IN_LOCK = "tool_not_in_lock"
CHANGED = "tool_definition_changed"
UNSEEN = "tool_definition_unseen"
AMBIGUOUS = "tool_name_ambiguous"
_MAX_RUNS = 64  # lists under way at a time, over all sessions
MAX_PAGES = 256


class _Run(NamedTuple):
    """The pages of one list so far: the reason of each pinned tool ("" for none), and each name by its folded form."""

    reasons: Mapping[str, str]
    names: Mapping[str, str]
    pages: int


class Catalog:
    """One upstream server's tools, shared by its sessions.  Safe to use from several threads.

    `is_hidden` says of a tool's name whether the policy can never let it run; None: nothing is filtered.
    Without a lock nothing is barred.
    """

    def __init__(self, lock: ServerLock | None, is_hidden: Callable[[str], bool] | None = None) -> None:
        self._lock = lock
        self._is_hidden = is_hidden
        self._known: Mapping[str, str] = {}  # of pinned tools only, so the lock bounds it
        self._runs: dict[str, _Run] = {}
        self._complete = False
        self._mutex = Mutex()

    @property
    def needs_list(self) -> bool:
        """False: tools/list results may pass unread."""
        return self._lock is not None or self._is_hidden is not None

    @property
    def must_ask(self) -> bool:
        """True: no whole list has been seen that the lock could be compared with; ask for one before the next call."""
        return self._lock is not None and not self._complete

    def bars(self, tool: str) -> str:
        """The reason code for which a call of this tool, named as the server lists it, is blocked; "" for none."""
        if self._lock is None:
            return ""
        if tool not in self._lock.tools:
            return NOT_IN_LOCK
        return self._known.get(tool, UNSEEN)

    def forget(self) -> None:
        """The server said that its tools have changed: every tool is unseen until a whole list comes."""
        with self._mutex:
            self._known, self._complete = {}, False
            self._runs.clear()

    def learn(self, result: dict[str, object], cursor: str = "") -> dict[str, object] | None:
        """Take in one page of a tools/list; `cursor` is the request's, empty for the first page.  Never raises.

        A result with fewer tools, to be sent in place of this one, or None when it passes as it came.
        """
        tools = result.get("tools")
        if not self.needs_list or tools is None:
            return None
        if not isinstance(tools, list):
            return {**result, "tools": []}
        barred = self._study(tools, cursor, next_cursor(result)) if self._lock is not None else set()
        kept = [tool for index, tool in enumerate(tools) if index not in barred and not self._hides(tool)]
        return None if len(kept) == len(tools) else {**result, "tools": kept}

    def _hides(self, tool: object) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        return self._is_hidden is not None and isinstance(name, str) and self._is_hidden(name)

    def _study(self, tools: list[object], cursor: str, following: str | None) -> set[int]:
        """Take in one page; the places of the tools on it that may not be called."""
        with self._mutex:
            run = self._runs.pop(cursor, None) if cursor else _Run({}, {}, 0)
            names = dict(run.names) if run else {}
            page, barred = self._judge(tools, names)
            reasons = {**(run.reasons if run else {}), **page}
            self._known = {**self._known, **{name: reason for name, reason in page.items() if reason}}
            if run is None or following is None or len(names) > MAX_TOOLS or run.pages >= MAX_PAGES:
                return barred  # no list that can be followed to its end: nothing is set free
            if following:
                self._remember(following, _Run(reasons, names, run.pages + 1))
            else:
                self._known = {**self._known, **reasons}
                self._complete = True
            return barred

    def _remember(self, following: str, run: _Run) -> None:
        while len(self._runs) >= _MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        self._runs[following] = run

    def _judge(self, tools: list[object], names: dict[str, str]) -> tuple[dict[str, str], set[int]]:
        """The reason of each pinned tool that the page is about, and the places of the tools that may not be called."""
        page: dict[str, str] = {}
        barred = set()
        places: dict[str, int] = {}
        for index, tool in enumerate(tools):
            name, reason = self._reason(tool)
            alike = folded(name)
            if name and alike in names:
                page[names[alike]] = page[name] = reason = AMBIGUOUS
                barred.add(places.get(names[alike], index))
            elif name:
                names[alike] = name
                places[name] = index
                page[name] = reason
            if reason or not name:
                barred.add(index)
        pinned = self._lock.tools if self._lock else {}
        return {name: reason for name, reason in page.items() if name in pinned}, barred

    def _reason(self, tool: object) -> tuple[str, str]:
        """A listed tool's name, "" when it has none, and why it is barred."""
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not name:
            return "", NOT_IN_LOCK
        pinned = self._lock.tools.get(name) if self._lock else None
        if pinned is None:
            return name, NOT_IN_LOCK
        try:
            return name, "" if pin(tool).digest == pinned.digest else CHANGED
        except InvalidInput:
            return name, CHANGED


def request(request_id: str, cursor: str = "", meta: Mapping[str, object] | None = None) -> bytes:
    """A tools/list request of Gait's own.  `request_id` must be one that no client can guess; `meta` goes to `params._meta`."""
    params: dict[str, object] = {"cursor": cursor} if cursor else {}
    if meta is not None:
        params["_meta"] = dict(meta)
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/list", "params": params}).encode("ascii")


def next_cursor(result: Mapping[str, object]) -> str | None:
    """The cursor of the page after this one; "" after the last page; None when it is not text."""
    cursor = result.get("nextCursor")
    if cursor is None:
        return ""
    return cursor if isinstance(cursor, str) else None
