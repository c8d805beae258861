"""Brings each intent together with its result, in one pass over both files and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from . import model
from .findings import Findings
from .model import Intent, Result, Step

# Results that are read ahead of their intents: packs of Gait have none, others may have some.
_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 64 * 1024 * 1024


class Pairing:
    """Iterate over it for the steps; a result without an intent, and an id that is used twice, are findings."""

    def __init__(self, intents: Iterator[tuple[int, int, Intent]], results: Iterator[tuple[int, int, Result]], found: Findings) -> None:
        self._intents = intents
        self._results = results
        self._found = found
        self._waiting: dict[str, tuple[int, int, Result]] = {}
        self._waiting_bytes = 0
        self._answered: set[str] = set()

    def __iter__(self) -> Iterator[Step]:
        seen: set[str] = set()
        for number, (line_number, _, intent) in enumerate(self._intents, 1):
            if intent.intent_id in seen:
                self._found.add("intent_repeated", model.INTENTS_NAME, f"expected each intent_id once, got {intent.intent_id[:80]!r} twice", line_number)
            seen.add(intent.intent_id)
            yield Step(number, intent, self._result(intent.intent_id))
        for line_number, _, result in self._waiting.values():
            self._orphan(line_number, result)
        for line_number, size, result in self._results:
            if not self._is_repeated(line_number, result):
                self._orphan(line_number, result)

    def _result(self, intent_id: str) -> Result | None:
        if intent_id in self._waiting:
            _, size, result = self._waiting.pop(intent_id)
            self._waiting_bytes -= size
            return result
        while len(self._waiting) < _MAX_WAITING and self._waiting_bytes < _MAX_WAITING_BYTES:
            following = next(self._results, None)
            if following is None:
                return None
            line_number, size, result = following
            if self._is_repeated(line_number, result):
                continue
            if result.intent_id == intent_id:
                return result
            self._waiting[result.intent_id] = following
            self._waiting_bytes += size
        return None

    def _is_repeated(self, line_number: int, result: Result) -> bool:
        if result.intent_id in self._answered:
            self._found.add("result_repeated", model.RESULTS_NAME, f"expected one result for {result.intent_id[:80]!r}, got two", line_number)
            return True
        self._answered.add(result.intent_id)
        return False

    def _orphan(self, line_number: int, result: Result) -> None:
        message = f"expected an intent {result.intent_id[:80]!r} near this place, got none"
        self._found.add("result_without_intent", model.RESULTS_NAME, message, line_number)
