"""Counts over time for times that come in any order, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Sequence

from ..formats.documents import NamedTuple

_WIDTHS = (1, 5, 15, 60, 300, 900, 3600, 10800, 43200, 86400, 604800)  # seconds; each divides the next
_MAX_BARS = 100
_MIN_BARS = 24  # a few bars alone would be as wide as the page
_MAX_BUCKETS = 4096


class Bars(NamedTuple):
    """Equal stretches of time: the start of the first one, their length, and for each one the count of each name."""

    start: int
    seconds: int
    counts: tuple[tuple[int, ...], ...]


class Timeline:
    """Add times with one of `names`; read the bars."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._index = {name: index for index, name in enumerate(self.names)}
        self._width = _WIDTHS[0]
        self._buckets: dict[int, list[int]] = {}

    def add(self, seconds: float, name: str) -> None:
        """Count one; `seconds` since 1970."""
        key = int(seconds // self._width)
        if key not in self._buckets:
            while len(self._buckets) >= _MAX_BUCKETS:
                self._widen()
                key = int(seconds // self._width)
            self._buckets.setdefault(key, [0] * len(self.names))
        self._buckets[key][self._index[name]] += 1

    def _widen(self) -> None:
        width = next((found for found in _WIDTHS if found > self._width), self._width * 4)
        buckets: dict[int, list[int]] = {}
        for key, counts in self._buckets.items():
            into = buckets.setdefault(key * self._width // width, [0] * len(counts))
            into[:] = map(sum, zip(into, counts))
        self._width, self._buckets = width, buckets

    def bars(self) -> Bars:
        """24 to 100 bars from the first time to the last one, with empty ones around few; none when nothing was added."""
        if not self._buckets:
            return Bars(0, self._width, ())
        while max(self._buckets) - min(self._buckets) >= _MAX_BARS:
            self._widen()
        first, last = min(self._buckets), max(self._buckets)
        first -= max(0, _MIN_BARS - (last - first + 1)) // 2
        last = max(last, first + _MIN_BARS - 1)
        none = [0] * len(self.names)
        counts = tuple(tuple(self._buckets.get(key, none)) for key in range(first, last + 1))
        return Bars(first * self._width, self._width, counts)
