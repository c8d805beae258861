"""The smallest part of a run that still shows something: delta debugging (Zeller and Hildebrandt, 2002) over its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from .model import Step

MAX_EVALUATIONS = 10_000
WORDS = ("verdict", "reason", "tool", "status", "rule")

_Steps = Sequence[int]


class Reduced(NamedTuple):
    """The indexes of the steps that remain.  `minimal`: without any one of them, it no longer shows."""

    kept: tuple[int, ...]
    evaluations: int
    minimal: bool


class Condition(NamedTuple):
    """What one step must be: (word, text) pairs that all hold."""

    wanted: tuple[tuple[str, str], ...]

    def holds(self, features: Features) -> bool:
        """True when the step is so."""
        return all(text in features[WORDS.index(word)] for word, text in self.wanted)


class Features(NamedTuple):
    """What conditions can ask of a step: each a tuple of texts."""

    verdict: tuple[str, ...]
    reason: tuple[str, ...]
    tool: tuple[str, ...]
    status: tuple[str, ...]
    rule: tuple[str, ...]


def features(steps: Iterable[Step]) -> list[Features]:
    """The features of each step; equal ones are one object."""
    same: dict[Features, Features] = {}
    found = (_features(step) for step in steps)
    return [same.setdefault(item, item) for item in found]


def _features(step: Step) -> Features:
    decision, result = step.decision, step.result
    reasons = decision.reason_codes if decision else ()
    rule = (decision.matched_rule,) if decision else ()
    return Features((step.verdict,), reasons, (step.intent.tool_name,), (result.status if result else "",), rule)


def read(words: list[str]) -> list[Condition]:
    """The conditions of `--predicate` words: `verdict=block,tool=x` is one step, `tool=a>b` are two, one after the other."""
    return [condition for word in words for condition in _read(word)]


def _read(word: str) -> list[Condition]:
    wanted = []
    for part in word.split(","):
        name, _, text = part.partition("=")
        if name not in WORDS or not text:
            message = f"expected {', '.join(name + '=…' for name in WORDS)} or tool=a>b, got {part[:80]!r}"
            raise InvalidInput(message, where="--predicate", hint="join conditions on one step with commas", code="invalid_usage")
        wanted.append((name, text))
    if len(wanted) == 1 and wanted[0][0] == "tool":
        return [Condition((("tool", tool),)) for tool in wanted[0][1].split(">")]
    return [Condition(tuple(wanted))]


def shows(found: list[Features], conditions: list[Condition]) -> Callable[[_Steps], bool]:
    """The test of a part of a run: its steps fulfil the conditions in order, each by a step of its own."""

    def test(part: _Steps) -> bool:
        rest = iter(part)
        return all(any(condition.holds(found[index]) for index in rest) for condition in conditions)

    return test


def reduce(count: int, test: Callable[[_Steps], bool], max_evaluations: int = MAX_EVALUATIONS) -> Reduced:
    """The steps of 0 … count-1 that are left.  InvalidInput: not even all of them show it."""
    search = _Search(test, max_evaluations)
    kept: list[int] = list(range(count))
    if not search.shows(kept):
        raise InvalidInput("expected a run that shows it, got one that does not", hint="correct the predicate", code="predicate_not_shown")
    pieces = 2
    while len(kept) > 1:
        smaller = _smaller(kept, pieces, search)
        if search.exhausted:
            return Reduced(tuple(kept if smaller is None else smaller[0]), search.evaluations, False)
        if smaller:
            kept, pieces = smaller
        elif pieces >= len(kept):  # no single step can go
            break
        else:
            pieces = min(len(kept), pieces * 2)
    if len(kept) == 1 and search.shows([]):
        kept = []
    return Reduced(tuple(kept), search.evaluations, True)


class _Search:
    def __init__(self, test: Callable[[_Steps], bool], max_evaluations: int) -> None:
        self._test = test
        self._max = max_evaluations
        self._seen: dict[tuple[int, ...], bool] = {}
        self.evaluations = 0

    @property
    def exhausted(self) -> bool:
        return self.evaluations >= self._max

    def shows(self, part: _Steps) -> bool:
        key = tuple(part)
        if len(key) > 1000:  # large parts do not come twice, and would fill the memory
            return self._evaluate(key)
        if key not in self._seen:
            self._seen[key] = self._evaluate(key)
        return self._seen[key]

    def _evaluate(self, part: _Steps) -> bool:
        if self.exhausted:
            return False
        self.evaluations += 1
        return self._test(part)


def _smaller(kept: list[int], pieces: int, search: _Search) -> tuple[list[int], int] | None:
    """A piece that shows it alone, or what is left without one piece, with the number of pieces to go on with."""
    size, rest = divmod(len(kept), pieces)
    bounds = [index * size + min(index, rest) for index in range(pieces + 1)]
    parts = [kept[start:end] for start, end in zip(bounds, bounds[1:])]
    for part in parts:
        if search.shows(part):
            return part, 2
    if pieces == 2:
        return None  # each half is the other one's complement
    for index in range(pieces):
        left = kept[: bounds[index]] + kept[bounds[index + 1] :]
        if search.shows(left):
            return left, max(pieces - 1, 2)
    return None
