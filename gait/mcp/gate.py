"""What the loops need of the rest of Gait: a decision that is in the journal, and the records beside it."""

from __future__ import annotations

from typing import Protocol

from ..errors import GaitError
from .effects import Outcome, Ruling, ToolCall


class Gate(Protocol):
    """Safe to call from any thread."""

    def decide(self, call: ToolCall) -> Ruling:
        """The recorded decision.  GaitError: none could be made or recorded, so nothing may be forwarded."""

    def refused(self, data: bytes, error: GaitError) -> None:
        """Record input that got no decision.  Raises nothing."""

    def outcome(self, outcome: Outcome) -> None:
        """Record how an allowed call ended.  Raises nothing."""
