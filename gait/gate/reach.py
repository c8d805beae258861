"""Whether a policy could ever answer anything but block for a tool, whatever the rest of the call says.

Invariant: False is a proof, for every intent with this tool name.  What this cannot see through (an
endpoint list that nothing satisfies, a rate limit, a broker) counts as possible.
"""

from __future__ import annotations

from ..formats.fields import lower, trim
from .intent import RISK_CLASSES
from .matching import Check, CompiledPolicy, CompiledRule


def can_execute(compiled: CompiledPolicy, tool_name: str) -> bool:
    """False when every intent with this tool name is blocked; the name is taken as an intent would have it.

    Constraints, approvals and fail_closed only make an answer stricter, so the effects alone are looked at.
    """
    blocks: list[CompiledRule] = []
    for rule in compiled.candidates(lower(trim(tool_name))):
        if _is_shadowed(rule, blocks):
            continue
        if rule.rule.effect != "block":
            return True
        if _always_holds(rule):
            return False
        blocks.append(rule)
    return compiled.policy.default_verdict != "block"


def _always_holds(rule: CompiledRule) -> bool:
    return all(_holds_for_all(check) for check in rule.checks)


def _holds_for_all(check: Check) -> bool:
    """An intent has exactly one of the four risk classes; every other list can miss."""
    return check.name == "risk_classes" and check.wanted.issuperset(RISK_CLASSES)


def _is_shadowed(rule: CompiledRule, blocks: list[CompiledRule]) -> bool:
    """Whether one of the blocks before it matches everything that the rule matches, so that the rule never answers."""
    return any(_covers(block, rule) for block in blocks)


def _covers(block: CompiledRule, rule: CompiledRule) -> bool:
    """Each match list asks for one of its values, so a list that holds all of another's holds whenever that one does."""
    wanted = {check.name: check.wanted for check in rule.checks}
    return all(
        _holds_for_all(check) or (check.name in wanted and check.wanted.issuperset(wanted[check.name]))
        for check in block.checks
    )
