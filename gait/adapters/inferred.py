"""A bounded set of inferred targets.  Invariant: what does not fit is a refusal, never a silent omission."""

from __future__ import annotations

from ..errors import InvalidInput
from .targets import MAX_SCANNED, MAX_TARGETS


class Inferred:
    """Targets in the order in which they were found, each once, with the text that shell scans have left."""

    __slots__ = ("found", "_left")

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str, str], None] = {}
        self._left = MAX_SCANNED

    def add(self, kind: str, value: str, operation: str, endpoint_class: str = "") -> None:
        """Add one; InvalidInput when there are more than a call may have."""
        if not value or value.isspace():
            return
        self.found[kind, value, operation, endpoint_class] = None
        if len(self.found) > MAX_TARGETS:
            raise InvalidInput(
                f"expected at most {MAX_TARGETS} paths, URLs and hosts in a call's arguments, got more",
                hint="split the call into smaller ones",
                code="too_many_targets",
            )

    def charge(self, text: str) -> None:
        """Count text that is about to be scanned as a command; InvalidInput when it is too much."""
        self._left -= len(text)
        if self._left < 0:
            raise InvalidInput(
                f"expected at most {MAX_SCANNED} characters of command text, quoted parts counted at each level, got more",
                hint="write the text to a file with a file tool, and run that",
                code="command_too_long",
            )
