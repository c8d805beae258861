"""What verification finds in a runpack: every damage, not the first one only."""

from __future__ import annotations

from ..errors import GaitError, VerificationFailed
from ..formats.documents import NamedTuple

MAX_FINDINGS = 1000


class Finding(NamedTuple):
    """One thing that is wrong: in which entry (empty: the archive), and in which line of it (0: the whole)."""

    code: str
    entry: str
    line_number: int
    message: str

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        value: dict[str, object] = {"code": self.code, "entry": self.entry, "line": self.line_number, "message": self.message}
        return {name: item for name, item in value.items() if item}

    def line(self) -> str:
        """As text."""
        place = f"{self.entry}:{self.line_number}" if self.line_number else self.entry
        return f"{place or 'archive'}: {self.code}: {self.message}"


class Findings:
    """Keeps the first thousand and counts all."""

    def __init__(self) -> None:
        self.items: list[Finding] = []
        self.total = 0

    def add(self, code: str, entry: str, message: str, line_number: int = 0) -> None:
        """Take note of one."""
        self.total += 1
        if len(self.items) < MAX_FINDINGS:
            self.items.append(Finding(code, entry, line_number, message))

    def add_error(self, error: GaitError, entry: str, line_number: int = 0) -> None:
        """Take note of what was raised while an entry was read."""
        self.add(error.error_code, entry, error.message, line_number)


def failure(items: tuple[Finding, ...], total: int, where: str = "") -> VerificationFailed:
    """The error that stands for all findings: the first one's code and message, with their number."""
    first = items[0]
    more = f" (and {total - 1} more findings)" if total > 1 else ""
    return VerificationFailed(f"{first.entry + ': ' if first.entry else ''}{first.message}{more}", where=where, hint="do not trust this run", code=first.code)
