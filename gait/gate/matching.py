"""Rules compiled once, with an index by tool name, so that a decision's cost does not grow with the policy."""

from __future__ import annotations

from collections.abc import Callable

from ..formats.documents import NamedTuple
from ..formats import paths
from ..formats.fields import lower
from . import constraints, places
from .intent import IntentRequest
from .policy import Match, Policy, Rule

Holds = Callable[[IntentRequest, "frozenset[str]"], bool]


class Check(NamedTuple):
    """One match list: its name in the policy, its test and what it holds."""

    name: str
    holds: Holds
    wanted: frozenset[str]


class CompiledRule(NamedTuple):
    """A rule ready to be tried.  `rank` is its place in the order; `checks` leaves out tool_names."""

    rank: int
    rule: Rule
    checks: tuple[Check, ...]
    reason_codes: tuple[str, ...]
    endpoint: constraints.EndpointTest | None


class CompiledPolicy(NamedTuple):
    """A policy ready for `evaluate`."""

    policy: Policy
    rules: tuple[CompiledRule, ...]
    by_tool: dict[str, list[CompiledRule]]
    any_tool: list[CompiledRule]
    merged: dict[str, list[CompiledRule]]

    def candidates(self, tool_name: str) -> list[CompiledRule]:
        """The rules whose tool_names do not exclude a tool, in order.  `merged` remembers each tool that some rule names."""
        found = self.merged.get(tool_name)
        if found is None:
            if tool_name not in self.by_tool:
                return self.any_tool
            # Ranks differ, so only they are compared.
            found = self.merged[tool_name] = sorted(self.by_tool[tool_name] + self.any_tool)
        return found


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Compile every rule and index them."""
    rules = tuple(_compile_rule(rank, rule) for rank, rule in enumerate(policy.rules))
    by_tool: dict[str, list[CompiledRule]] = {}
    for rule in rules:
        for name in rule.rule.match.tool_names:
            by_tool.setdefault(name, []).append(rule)
    return CompiledPolicy(policy, rules, by_tool, [rule for rule in rules if not rule.rule.match.tool_names], {})


def _compile_rule(rank: int, rule: Rule) -> CompiledRule:
    checks = tuple(Check(name, holds, _wanted(name, rule.match)) for name, holds in _HOLDS if getattr(rule.match, name))
    reasons = rule.reason_codes or ("matched_rule_" + lower(rule.name).replace(" ", "_").replace("-", "_"),)
    endpoint = constraints.compile_endpoint(rule.endpoint) if rule.endpoint else None
    return CompiledRule(rank, rule, checks, reasons, endpoint)


def _wanted(name: str, match: Match) -> frozenset[str]:
    values = getattr(match, name)
    if name == "workspace_prefixes":
        return frozenset(value.replace("\\", "/") for value in values)
    if not name.endswith("_values"):
        return frozenset(values)
    return frozenset(form for value in values for form in places.wanted_forms(value))


def _risk_classes(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    return intent.context.risk_class in wanted


def _identities(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    return intent.context.identity in wanted


def _kinds(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for target in intent.targets:
        if target.kind in wanted:
            return True
    return False


def _values(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for target in intent.targets:
        if not wanted.isdisjoint(places.target_forms(target, intent.context.workspace)):
            return True
    return False


def _operations(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for target in intent.targets:
        if target.operation in wanted:
            return True
    return False


def _endpoint_classes(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for target in intent.targets:
        if target.endpoint_class in wanted:
            return True
    return False


def _data_classes(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for target in intent.targets:
        if target.sensitivity in wanted:
            return True
    return False


def _provenance_sources(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    for entry in intent.arg_provenance:
        if entry.source in wanted:
            return True
    return False


def _skill_publishers(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    return intent.skill_provenance is not None and lower(intent.skill_provenance.publisher) in wanted


def _skill_sources(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    return intent.skill_provenance is not None and intent.skill_provenance.source in wanted


def _skill_trust(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    """Whether Gait has verified it or somebody claims it; a call without provenance is neither."""
    return intent.skill_provenance is not None and (intent.skill_provenance.trust or "claimed") in wanted


def _workspace_prefixes(intent: IntentRequest, wanted: frozenset[str]) -> bool:
    workspace = paths.normalize(intent.context.workspace)
    if intent.context.workspace.endswith("/") and workspace != "/":
        workspace += "/"
    return workspace.startswith(tuple(wanted))


_HOLDS: tuple[tuple[str, Holds], ...] = (
    ("risk_classes", _risk_classes),
    ("identities", _identities),
    ("target_kinds", _kinds),
    ("endpoint_classes", _endpoint_classes),
    ("target_values", _values),
    ("data_classes", _data_classes),
    ("destination_kinds", _kinds),
    ("destination_values", _values),
    ("destination_operations", _operations),
    ("provenance_sources", _provenance_sources),
    ("skill_publishers", _skill_publishers),
    ("skill_sources", _skill_sources),
    ("skill_trust", _skill_trust),
    ("workspace_prefixes", _workspace_prefixes),
)
