"""The answer: a verdict with its reasons, and the one table from verdict to exit code."""

from __future__ import annotations

from ..formats.documents import NamedTuple


# From the least to the most restrictive; only allow may execute.
VERDICTS = ("allow", "dry_run", "require_approval", "block")
EXIT_CODES = {"allow": 0, "block": 3, "require_approval": 4, "dry_run": 9}


class Decision(NamedTuple):
    """What was decided, for which intent, under which policy; reason_codes and violations are sorted."""

    verdict: str
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]
    matched_rule: str
    policy_digest: str
    intent_digest: str
    required_approvals: int = 0

    @property
    def exit_code(self) -> int:
        """0 means allow and nothing else."""
        return EXIT_CODES[self.verdict]


def stricter(left: str, right: str) -> str:
    """The more restrictive of two verdicts; empty text restricts nothing."""
    return right if right and VERDICTS.index(right) > VERDICTS.index(left) else left
