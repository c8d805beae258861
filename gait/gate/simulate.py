"""Recorded calls are evaluated again: what another policy would have answered, and what that changes.

Nothing is executed and nothing recorded.  Only what decides is compared: verdict, rule and reason codes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidInput
from ..formats import jcs
from ..formats.documents import NamedTuple
from . import intent as intents
from . import skill_provenance
from .decision import VERDICTS, Decision
from .evaluate import evaluate
from .facts import ASSUMED, NO_BROKER, Facts, Proof
from .intent import IntentRequest
from .matching import CompiledPolicy

MAX_GROUPS = 1000
MAX_EXAMPLES = 3
LOOSER, STRICTER, ANY = "looser", "stricter", "any"
# What `--fail-on` may name; a pair is FROM-to-TO.
CHANGES = (*(f"{old}-to-{new}" for old in VERDICTS for new in VERDICTS if old != new), LOOSER, STRICTER, ANY)

# Why a recorded call cannot be evaluated again.
NOT_CAPTURED = "not_captured"  # the record does not hold the intent
REDACTED = "redacted"  # it holds another intent than the one that was decided
NO_DECISION = "no_decision"  # there is no answer to compare with
NOT_BY_POLICY = "not_by_policy"  # decided before any policy was asked, such as a tool whose definition is not the pinned one
NOT_READABLE = "intent_invalid"  # what it holds has no normal form

_PARTS = ("targets", "arg_provenance", "skill_provenance", "context", "args")
_OF_POLICIES = ("default_", "fail_closed_", "evaluation_failed")
_OF_APPROVALS = ("approval_",)
_OF_LIMITS = ("rate_limit_", "budget_")
_OF_SIMULATION = ("simulate_mode_", "simulated_")
_SHOWN = 200


class Answer(NamedTuple):
    """What was, or would be, answered to a call."""

    verdict: str
    matched_rule: str
    reason_codes: tuple[str, ...]

    def to_value(self) -> dict[str, object]:
        """As JSON; its digest is the answer's."""
        return {**self._asdict(), "reason_codes": list(self.reason_codes)}

    @property
    def digest(self) -> str:
        """Lowercase hex SHA-256 of the canonical document."""
        return jcs.digest(self.to_value())

    @property
    def is_of_a_policy(self) -> bool:
        """False for a block that no policy can have answered: it has no rule, and no reason that stands in for one."""
        return bool(self.matched_rule) or any(code.startswith(_OF_POLICIES) for code in self.reason_codes)


class Call(NamedTuple):
    """One recorded call: where it is, its intent or why there is none, and what was answered."""

    place: str
    tool_name: str
    intent: IntentRequest | None
    recorded: Answer | None
    problem: str = ""


class Example(NamedTuple):
    """One call of a group."""

    place: str
    tool_name: str
    before: Answer
    after: Answer

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return {"place": self.place, "tool_name": self.tool_name, "before": self.before.to_value(), "after": self.after.to_value()}


def answered(decision: Decision) -> Answer:
    """The part of a decision that is compared."""
    return Answer(decision.verdict, decision.matched_rule, decision.reason_codes)


def again(compiled: CompiledPolicy, intent: IntentRequest, recorded: Answer | None = None) -> Answer:
    """What a policy answers to an intent now, if approvals, limits and brokers said what the recorded answer says they did."""
    return answered(evaluate(compiled, intent, _facts(recorded)))


def _facts(recorded: Answer | None) -> Facts:
    """What was found out beside the policy: what no code tells of fitted, and was issued; an approval that no code tells of is missing."""
    codes = recorded.reason_codes if recorded else ()
    approval, limits = [tuple(code for code in codes if code.startswith(words)) for words in (_OF_APPROVALS, _OF_LIMITS)]
    facts = ASSUMED._replace(limits=Proof("block", limits)) if limits else ASSUMED
    if recorded and approval:
        refused = "require_approval" if recorded.verdict == "allow" else recorded.verdict
        facts = facts._replace(approval=Proof("allow" if "approval_granted" in approval else refused, approval))
    return facts._replace(credential=NO_BROKER) if "broker_credential_required" in codes else facts


def of_record(record: Mapping[str, object], place: str) -> Call:
    """The call of a trace record; its member `intent` {targets, arg_provenance?, context, args?} makes it evaluable."""
    reasons, verdict = record.get("reason_codes"), str(record.get("simulated_verdict", record.get("verdict")))
    codes = tuple(sorted(map(str, reasons))) if isinstance(reasons, list) else ()
    if "simulated_verdict" in record:
        codes = tuple(code for code in codes if not code.startswith(_OF_SIMULATION))
    answer = Answer(verdict, str(record.get("matched_rule", "")), codes) if verdict in VERDICTS else None
    held = record.get("intent")
    document = None
    if isinstance(held, dict) and "intent_digest_basis" not in record:
        found = {"skill_provenance": record.get("skill_provenance"), **held}
        document = {name: found[name] for name in _PARTS if found.get(name) is not None}
    return of_document(place, str(record.get("tool_name", "")), document, answer)


def of_document(place: str, tool_name: str, document: Mapping[str, object] | None, answer: Answer | None) -> Call:
    """The call of an IntentRequest document, whose arguments may be left out: no rule asks for them."""
    if answer and not answer.is_of_a_policy:
        return Call(place, tool_name, None, answer, NOT_BY_POLICY)
    if document is None:
        return Call(place, tool_name, None, answer, NOT_CAPTURED)
    try:
        return Call(place, tool_name, intents.read({**document, "tool_name": tool_name}, skill_provenance.recorded({**document})), answer)
    except InvalidInput:
        return Call(place, tool_name, None, answer, NOT_READABLE)


def is_change(word: str, before: str, after: str) -> bool:
    """True when a change of verdict is what a word of CHANGES names."""
    if before == after:
        return False
    if word in (LOOSER, STRICTER):
        return (VERDICTS.index(after) < VERDICTS.index(before)) == (word == LOOSER)
    return word in (ANY, f"{before}-to-{after}")


class Simulation:
    """Takes calls one by one, and keeps counts and a few examples: memory does not grow with the calls."""

    def __init__(self, candidate: CompiledPolicy, baseline: CompiledPolicy | None) -> None:
        """`baseline` None compares with what was recorded."""
        self._candidate = candidate
        self._baseline = baseline
        self.calls = 0
        self.evaluated = 0
        self.changed = 0
        self.same_verdict = 0  # another rule or other reasons for the same verdict
        self.ungrouped = 0  # changes in more groups than are kept
        self.problems: dict[str, int] = {}
        self.transitions: dict[tuple[str, str], int] = {}
        self.groups: dict[tuple[str, str, str, str], list[Example]] = {}
        self.counts: dict[tuple[str, str, str, str], int] = {}

    def add(self, call: Call) -> None:
        """Evaluate a call and take note of what changes."""
        self.calls += 1
        if call.intent is None or (self._baseline is None and call.recorded is None):
            problem = call.problem or NO_DECISION
            self.problems[problem] = self.problems.get(problem, 0) + 1
            return
        before = again(self._baseline, call.intent, call.recorded) if self._baseline else call.recorded
        after = again(self._candidate, call.intent, call.recorded)
        self.evaluated += 1
        if before and before.verdict != after.verdict:
            self._changed(call, before, after)
        elif before != after:
            self.same_verdict += 1

    def failing(self, words: list[str]) -> dict[str, int]:
        """How many changes each word names; those that name none are left out."""
        found = {word: sum(count for pair, count in self.transitions.items() if is_change(word, *pair)) for word in words}
        return {word: count for word, count in found.items() if count}

    def to_value(self) -> dict[str, object]:
        """As JSON, the largest groups first."""
        counts = {"calls": self.calls, "evaluated": self.evaluated, "not_evaluated": dict(sorted(self.problems.items()))}
        changes = {"changed": self.changed, "same_verdict_other_reason": self.same_verdict, "ungrouped": self.ungrouped}
        pairs = {f"{old}-to-{new}": count for (old, new), count in sorted(self.transitions.items())}
        return {**counts, **changes, "transitions": pairs, "groups": [self._group(key) for key in self.ranked()]}

    def ranked(self) -> list[tuple[str, str, str, str]]:
        """The groups (verdict before, after, rule before, after), the largest first."""
        return sorted(self.counts, key=lambda key: (-self.counts[key], key))

    def _group(self, key: tuple[str, str, str, str]) -> dict[str, object]:
        names = ("verdict_before", "verdict_after", "rule_before", "rule_after")
        return {**dict(zip(names, key)), "count": self.counts[key], "examples": [example.to_value() for example in self.groups[key]]}

    def _changed(self, call: Call, before: Answer, after: Answer) -> None:
        self.changed += 1
        pair = (before.verdict, after.verdict)
        self.transitions[pair] = self.transitions.get(pair, 0) + 1
        key = (*pair, before.matched_rule[:_SHOWN], after.matched_rule[:_SHOWN])
        if key not in self.counts and len(self.counts) >= MAX_GROUPS:
            self.ungrouped += 1
            return
        self.counts[key] = self.counts.get(key, 0) + 1
        examples = self.groups.setdefault(key, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(Example(call.place, call.tool_name[:_SHOWN], before, after))
