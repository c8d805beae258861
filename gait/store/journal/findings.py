"""What verification found: damage (findings), times nobody was on guard (gaps), and how far each chain is proven."""

from __future__ import annotations

from typing import NamedTuple

from .outcomes import Forwarded

MAX_FINDINGS = 1000


class Finding(NamedTuple):
    """One piece of damage: where, and in words.  `until` is the last record of a run of equal ones."""

    code: str
    chain: str
    segment: int
    sequence: int
    until: int
    message: str

    def to_value(self) -> dict[str, object]:
        """The finding as JSON."""
        return self._asdict()

    def line(self) -> str:
        """The finding as one line of text, not yet safe for a terminal."""
        records = f"{self.sequence}" if self.until <= self.sequence else f"{self.sequence} to {self.until}"
        return f"{self.chain} segment {self.segment} sequence {records}: {self.code}: {self.message}"


class Findings:
    """All findings, runs of one code joined; of more than MAX_FINDINGS only the number is kept."""

    def __init__(self) -> None:
        self.items: list[Finding] = []
        self.total = 0

    def add(self, finding: Finding) -> None:
        """Add one; it joins the one before when it goes on where that ends."""
        self.total += 1
        if self.items and _goes_on(self.items[-1], finding):
            self.items[-1] = self.items[-1]._replace(until=finding.until)
        elif len(self.items) < MAX_FINDINGS:
            self.items.append(finding)


def _goes_on(last: Finding, new: Finding) -> bool:
    return last[:3] == new[:3] and new.sequence == last.until + 1


class Gap(NamedTuple):
    """A time in which a chain's writer gave no sign of life, or was not there."""

    code: str
    chain: str
    sequence: int
    until: int
    started_at: str
    ended_at: str
    seconds: float
    message: str

    def to_value(self) -> dict[str, object]:
        """The gap as JSON."""
        return self._asdict()

    def line(self) -> str:
        """The gap as one line of text."""
        end = f" to {self.ended_at} ({self.seconds:.0f} s)" if self.ended_at else ""
        return f"{self.chain} after sequence {self.sequence}: {self.code}: {self.message}; {self.started_at}{end}"


class ChainReport(NamedTuple):
    """How much of one chain there is, and up to where a signed head proves that nothing was cut off."""

    chain: str
    records: int
    first_sequence: int
    last_sequence: int
    first_segment: int
    last_segment: int
    proven_sequence: int
    proven_at: str
    proven_by: str
    torn_lines: int
    torn_bytes: int
    gaps: tuple[Gap, ...]
    forwarded: Forwarded

    @property
    def unproven(self) -> int:
        """How many records lie after the last head: chained, but their number rests on nothing."""
        return max(0, self.last_sequence - self.proven_sequence)

    def to_value(self) -> dict[str, object]:
        """The report as JSON."""
        value = {**self._asdict(), "unproven": self.unproven}
        return {**value, "gaps": [gap.to_value() for gap in self.gaps], "forwarded": self.forwarded.to_value()}

    def lines(self) -> list[str]:
        """The report as text."""
        if not self.last_sequence:
            return [f"{self.chain}: no records"]
        first = f"{self.chain}: {self.records} records, sequence {self.first_sequence} to {self.last_sequence}"
        found = [f"{first}, segments {self.first_segment} to {self.last_segment}"]
        if self.first_sequence > 1:
            found.append(f"  verified from sequence {self.first_sequence} on: what was before it is not here")
        found.append(f"  {self._proof()}")
        if self.torn_lines:
            found.append(f"  {self.torn_lines} torn lines were set aside after a crash or a full disk")
        if self.torn_bytes:
            found.append(f"  {self.torn_bytes} bytes of an unfinished line follow: a crash, a cut, or a write under way")
        return found + self.forwarded.lines()

    def _proof(self) -> str:
        if not self.proven_sequence:
            return f"no head bounds the end: {self.unproven} records are chained but could have been truncated"
        proof = f"proven up to sequence {self.proven_sequence} by head of {self.proven_at} ({self.proven_by})"
        if not self.unproven:
            return proof
        return f"{proof}; {self.unproven} records after it are chained but could have been truncated"


class Report(NamedTuple):
    """What verification says of a journal."""

    chains: tuple[ChainReport, ...]
    findings: tuple[Finding, ...]
    total: int

    @property
    def ok(self) -> bool:
        """True when nothing is damaged.  Gaps do not count: they are what happened, not what was done to the journal."""
        return not self.total

    def to_value(self) -> dict[str, object]:
        """The report as JSON."""
        chains = [chain.to_value() for chain in self.chains]
        findings = [finding.to_value() for finding in self.findings]
        return {"chains": chains, "findings": findings, "findings_total": self.total}
