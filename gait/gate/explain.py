"""Why a decision came out as it did: the rules that were tried, and what each asked for."""

from __future__ import annotations


from ..formats.documents import NamedTuple
from . import constraints
from .evaluate import evaluate, first_match
from .intent import IntentRequest, Target
from .matching import Check, CompiledPolicy, CompiledRule

_SHOWN = 5


class Tried(NamedTuple):
    """One rule in the order in which it was tried.  `because` says what did not hold, or what the rule added."""

    rule: str
    priority: int
    effect: str
    matched: bool
    because: tuple[str, ...]

    def to_value(self) -> dict[str, object]:
        """The step's document."""
        return {**self._asdict(), "because": list(self.because)}


def explain(compiled: CompiledPolicy, intent: IntentRequest) -> list[Tried]:
    """Every rule up to the one that decided, which comes last when there is one; none when fail_closed came first."""
    decision = evaluate(compiled, intent)
    if not decision.matched_rule and f"default_{compiled.policy.default_verdict}" not in decision.reason_codes:
        return []
    decided = first_match(compiled, intent)
    steps = []
    for rule in compiled.rules:
        matched = rule is decided
        because = _added(rule, intent) if matched else _missed(rule, intent)
        steps.append(Tried(rule.rule.name, rule.rule.priority, rule.rule.effect, matched, tuple(because)))
        if matched:
            break
    return steps


def _missed(rule: CompiledRule, intent: IntentRequest) -> list[str]:
    names = rule.rule.match.tool_names
    if names and intent.tool_name not in names:
        return [f"tool_names: {_list([intent.tool_name])}; wanted one of {_list(names)}"]
    return [_unmet(check, intent) for check in rule.checks if not check.holds(intent, check.wanted)]


def _unmet(check: Check, intent: IntentRequest) -> str:
    got = _GOT[check.name](intent)
    return f"{check.name}: {_list(got) if got else 'the call has none'}; wanted one of {_list(sorted(check.wanted))}"


def _added(rule: CompiledRule, intent: IntentRequest) -> list[str]:
    findings = constraints.dataflow_findings(rule.rule.dataflow, intent) if rule.rule.dataflow else []
    if rule.endpoint:
        findings = findings + constraints.endpoint_findings(rule.endpoint, intent)
    return [f"{finding.reason_code}: asks for {finding.action}" for finding in findings]


def _list(values: object) -> str:
    texts = [repr(value[:80]) for value in values]  # type: ignore[attr-defined]
    return "[" + ", ".join(texts[:_SHOWN]) + (", …" if len(texts) > _SHOWN else "") + "]"


def _of_targets(name: str):  # type: ignore[no-untyped-def]
    place = Target._fields.index(name)
    return lambda intent: sorted({target[place] for target in intent.targets if target[place]})


def _of_skill(name: str):  # type: ignore[no-untyped-def]
    return lambda intent: [getattr(intent.skill_provenance, name)] if intent.skill_provenance else []


_GOT = {
    "risk_classes": lambda intent: [intent.context.risk_class],
    "identities": lambda intent: [intent.context.identity],
    "workspace_prefixes": lambda intent: [intent.context.workspace],
    "provenance_sources": lambda intent: sorted({entry.source for entry in intent.arg_provenance}),
    "target_kinds": _of_targets("kind"),
    "target_values": _of_targets("value"),
    "endpoint_classes": _of_targets("endpoint_class"),
    "data_classes": _of_targets("sensitivity"),
    "destination_kinds": _of_targets("kind"),
    "destination_values": _of_targets("value"),
    "destination_operations": _of_targets("operation"),
    "skill_publishers": _of_skill("publisher"),
    "skill_sources": _of_skill("source"),
    "skill_trust": lambda intent: [intent.skill_provenance.trust or "claimed"] if intent.skill_provenance else [],
}
