"""What differs between two runs, step by step.  Each step is kept as a few small values, so that long runs fit."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from ..formats.documents import NamedTuple
from .model import Record, Step

MAX_CHANGES = 1000
_MAX_TABLE = 1_000_000  # cells; longer differences are aligned by a coarser rule
_Call = tuple[object, ...]


class Facts(NamedTuple):
    """What is compared of one step; digests are bytes."""

    tool_name: str
    args_digest: bytes
    intent_digest: bytes
    verdict: str
    matched_rule: str
    reason_codes: tuple[str, ...]
    policy_digest: bytes
    status: str
    result_digest: bytes


class Change(NamedTuple):
    """One step that differs: `left` and `right` are its numbers, 0 where there is none; `fields` are (name, left, right)."""

    kind: str
    left: int
    right: int
    tool_name: str
    fields: tuple[tuple[str, object, object], ...] = ()

    def to_value(self, with_values: bool) -> Record:
        """As JSON; without values only kind, numbers and the fields' names."""
        value: Record = {"kind": self.kind, "left": self.left, "right": self.right}
        value = {name: item for name, item in value.items() if item}
        if not with_values:
            return {**value, "fields": [name for name, _, _ in self.fields]} if self.fields else value
        value["tool_name"] = self.tool_name
        shown = {name: {"left": _shown(left), "right": _shown(right)} for name, left, right in self.fields}
        return {**value, "fields": shown} if shown else value


class Diff(NamedTuple):
    """The first thousand changes, and how many there are of each kind."""

    left_steps: int
    right_steps: int
    changes: tuple[Change, ...]
    totals: dict[str, int]

    @property
    def equal(self) -> bool:
        """True when every step is the same."""
        return not any(self.totals.values())


def facts(steps: Iterable[Step]) -> list[Facts]:
    """What is compared of a run's steps; equal values are one object."""
    same: dict[object, object] = {}
    return [Facts(*(same.setdefault(item, item) for item in _facts(step))) for step in steps]  # type: ignore[arg-type]


def compare(left: list[Facts], right: list[Facts]) -> Diff:
    """The differences of two runs, in order."""
    totals = {"added": 0, "removed": 0, "changed": 0}
    changes: list[Change] = []
    for first, second in _aligned(left, right):
        change = _change(left, right, first, second)
        if change:
            totals[change.kind] += 1
            if len(changes) < MAX_CHANGES:
                changes.append(change)
    return Diff(len(left), len(right), tuple(changes), totals)


def _facts(step: Step) -> Iterator[object]:
    intent, result, decision = step.intent, step.result, step.decision
    yield intent.tool_name
    yield bytes.fromhex(intent.args_digest)
    yield bytes.fromhex(intent.intent_digest)
    yield decision.verdict if decision else ""
    yield decision.matched_rule if decision else ""
    yield decision.reason_codes if decision else ()
    yield bytes.fromhex(decision.policy_digest) if decision else b""
    yield result.status if result else ""
    yield bytes.fromhex(result.result_digest) if result else b""


def _change(left: list[Facts], right: list[Facts], first: int, second: int) -> Change | None:
    if first < 0:
        return Change("added", 0, second + 1, right[second].tool_name)
    if second < 0:
        return Change("removed", first + 1, 0, left[first].tool_name)
    old, new = left[first], right[second]
    if old == new:
        return None
    fields = tuple((name, before, after) for name, before, after in zip(Facts._fields, old, new) if before != after)
    return Change("changed", first + 1, second + 1, new.tool_name, fields)


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value


# --- alignment: which step of the left is which of the right


def _aligned(left: list[Facts], right: list[Facts]) -> Iterator[tuple[int, int]]:
    """Pairs of indexes in order, -1 where one side has no such step."""
    pairs = _same_calls(left, right)
    before = (0, 0)
    for first, second in [*pairs, (len(left), len(right))]:
        yield from _gap(left, right, range(before[0], first), range(before[1], second))
        if first < len(left):
            yield first, second
        before = (first + 1, second + 1)


def _same_calls(left: list[Facts], right: list[Facts]) -> list[tuple[int, int]]:
    """Steps with the same tool and arguments, in one order on both sides: those at both ends, and as many as fit between."""
    least = min(len(left), len(right))
    start = next((index for index in range(least) if left[index][:2] != right[index][:2]), least)
    end = next((index for index in range(least - start) if left[-1 - index][:2] != right[-1 - index][:2]), least - start)
    olds = [fact[:2] for fact in left[start : len(left) - end]]
    news = [fact[:2] for fact in right[start : len(right) - end]]
    pairs = _longest(olds, news) if len(olds) * len(news) <= _MAX_TABLE else _increasing(_by_occurrence(olds, news))
    first = [(index, index) for index in range(start)]
    last = [(len(left) - index, len(right) - index) for index in range(end, 0, -1)]
    return [*first, *((old + start, new + start) for old, new in pairs), *last]


def _longest(olds: Sequence[_Call], news: Sequence[_Call]) -> list[tuple[int, int]]:
    """The longest common subsequence, by the textbook's table."""
    rows = [[0] * (len(news) + 1)]
    for old in reversed(olds):
        below, row = rows[-1], [0] * (len(news) + 1)
        for place in range(len(news) - 1, -1, -1):
            row[place] = below[place + 1] + 1 if old == news[place] else max(below[place], row[place + 1])
        rows.append(row)
    rows.reverse()
    found, first, second = [], 0, 0
    while first < len(olds) and second < len(news):
        if olds[first] == news[second]:
            found.append((first, second))
            first, second = first + 1, second + 1
        elif rows[first + 1][second] >= rows[first][second + 1]:
            first += 1
        else:
            second += 1
    return found


def _by_occurrence(olds: Sequence[_Call], news: Sequence[_Call]) -> list[tuple[int, int]]:
    """The first of each call with the first one of the other side, the second with the second, and so on."""
    places: dict[_Call, deque[int]] = defaultdict(deque)
    for index, call in enumerate(news):
        places[call].append(index)
    return [(index, places[call].popleft()) for index, call in enumerate(olds) if places.get(call)]


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs whose right sides increase (patience sorting, O(n log n))."""
    tails: list[int] = []  # the smallest right side that ends a part of each length
    ends: list[int] = []  # which pair that is
    previous: list[int] = []
    for place, (_, second) in enumerate(pairs):
        length = bisect_left(tails, second)
        previous.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [second]
        ends[length : length + 1] = [place]
    found, place = [], ends[-1] if ends else -1
    while place >= 0:
        found.append(pairs[place])
        place = previous[place]
    return found[::-1]


def _gap(left: list[Facts], right: list[Facts], first: range, second: range) -> Iterator[tuple[int, int]]:
    """Steps between two pairs: the same tool with other arguments, in one order; where no tool is there twice, each by its place."""
    tools = _by_occurrence([left[index][:1] for index in first], [right[index][:1] for index in second])
    pairs = [(first[old], second[new]) for old, new in _increasing(tools)]
    if not pairs and len(first) == len(second):
        pairs = list(zip(first, second))
    olds, news = {old for old, _ in pairs}, {new for _, new in pairs}
    yield from sorted([*pairs, *((index, -1) for index in first if index not in olds)])
    yield from ((-1, index) for index in second if index not in news)
