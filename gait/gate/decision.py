"""The answer: a verdict with its reasons, and the one table from verdict to exit code."""

from __future__ import annotations

from collections.abc import Mapping

from ..formats.documents import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .facts import Needs

# From the least to the most restrictive; only allow may execute.
VERDICTS = ("allow", "dry_run", "require_approval", "block")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.:/-")
EXIT_CODES = {"allow": 0, "block": 3, "require_approval": 4, "dry_run": 9}


class Decision(NamedTuple):
    """What was decided, for which intent, under which policy; reason_codes and violations are sorted.

    `needs`: what the rule asks for beside the policy, None for nothing.  `evidence`: what was found out about it, members of the
    record and of the answer.
    """

    verdict: str
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]
    matched_rule: str
    policy_digest: str
    intent_digest: str
    required_approvals: int = 0
    needs: Needs | None = None
    evidence: Mapping[str, object] | None = None

    @property
    def exit_code(self) -> int:
        """0 means allow and nothing else."""
        return EXIT_CODES[self.verdict]


def approval_command(intent_digest: str, policy_digest: str, tool_name: str) -> str:
    """What a person runs to approve a call; a tool whose name a shell would read otherwise is left for them to write."""
    is_plain = tool_name and not set(tool_name) - _PLAIN
    scope = f" --scope tool:{tool_name}" if is_plain else ""
    return f"gait approve --intent-digest {intent_digest} --policy-digest {policy_digest}{scope}"


def stricter(left: str, right: str) -> str:
    """The more restrictive of two verdicts; empty text restricts nothing."""
    return right if right and VERDICTS.index(right) > VERDICTS.index(left) else left


def simulated(decision: Decision) -> Decision:
    """What --simulate answers: an allow that says, in its record too, what the answer would have been."""
    verdict = decision.verdict
    reasons = {*decision.reason_codes, "simulate_mode_non_enforcing", f"simulated_{verdict}"}
    told = {"simulated_verdict": verdict, "would_have_blocked": verdict != "allow"}
    return decision._replace(verdict="allow", reason_codes=tuple(sorted(reasons)), evidence={**(decision.evidence or {}), **told})
