"""What an allow uses up outside the policy: the one place that every command and service asks.

Invariant: what is used up is on disk before `decide` returns an allow.  A crash in between may lose an allowance, and never
gives one twice.
"""

from __future__ import annotations

from ..formats.documents import TYPE_CHECKING
from ..gate.evaluate import evaluate

if TYPE_CHECKING:
    from ..gate.decision import Decision
    from ..gate.intent import IntentRequest
    from ..gate.matching import CompiledPolicy


class Allowances:
    """Those below one $GAIT_HOME.  Nothing is opened or made before a call needs it.  Safe to use from any thread."""

    def __init__(self, home: str) -> None:
        self._home = home

    def decide(self, compiled: CompiledPolicy, intent: IntentRequest, tokens: tuple[object, ...]) -> Decision:
        """The decision with all that is known (see judge.Outside)."""
        return evaluate(compiled, intent)
