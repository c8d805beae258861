"""A bar for what takes long: on standard error, and only where a person looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

_Item = TypeVar("_Item")
_WIDTH = 30
_EVERY = 256  # items between two looks at the clock
_SECONDS = 0.2


class Progress:
    """Counts items, and bytes of a known total; a context manager that leaves nothing on the screen."""

    def __init__(self, what: str, total_bytes: int) -> None:
        self._what = what
        self._total = total_bytes
        self._bytes = 0
        self._items = 0
        self._started = monotonic()
        self._next = self._started + _SECONDS
        self._drawn = False
        self._shown = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def count(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The items, counted as they go by."""
        for item in items:
            self._items += 1
            if self._shown and not self._items % _EVERY and monotonic() >= self._next:
                self._draw()
            yield item

    def done(self, size_bytes: int) -> None:
        """So many bytes more are through."""
        self._bytes += size_bytes

    def _draw(self) -> None:
        now = monotonic()
        self._next, self._drawn = now + _SECONDS, True
        share = min(1.0, self._bytes / self._total) if self._total else 0.0
        bar = f"{'#' * int(share * _WIDTH):{_WIDTH}}"
        rate = self._items / max(now - self._started, 0.001)
        print(f"\r\x1b[K[{bar}] {share:4.0%}  {self._items} {self._what}, {rate:.0f}/s", end="", file=sys.stderr, flush=True)


class Bar:
    """A bar for one file after the other: called with a file's name, the bytes that are there, and all (below 0: not known)."""

    def __init__(self) -> None:
        self._next = monotonic() + _SECONDS
        self._shown = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, path: str, done_bytes: int, total_bytes: int) -> None:
        """Draw, five times a second; a file that is through leaves nothing on the screen."""
        if not self._shown or (monotonic() < self._next and done_bytes < total_bytes):
            return
        self._next = monotonic() + _SECONDS
        if total_bytes >= 0 and done_bytes >= total_bytes:
            text = ""
        elif total_bytes > 0:
            share = done_bytes / total_bytes
            text = f"[{'#' * int(share * _WIDTH):{_WIDTH}}] {share:4.0%}  {path}"
        else:
            text = f"{done_bytes} bytes  {path}"
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
