"""Decision drift: every recorded call is evaluated again, and an answer that changed is named with both sides."""

from __future__ import annotations

from collections.abc import Iterator

from ..formats.documents import NamedTuple
from ..gate import simulate
from ..gate.matching import CompiledPolicy
from ..gate.simulate import Answer, Call
from ..runpack.model import Step
from .fixture import Accepted

MAX_DRIFTS = 10_000
_MAX_DIGESTS = 100


class Drift(NamedTuple):
    """One call whose answer changed.  `expected` is the recorded answer, or the last one that was accepted in its place."""

    step: int
    intent_id: str
    tool_name: str
    recorded: Answer
    expected: Answer
    answered: Answer

    def to_value(self) -> dict[str, object]:
        """As JSON, the answers side by side."""
        answers = {"recorded": self.recorded, "expected": self.expected, "answered": self.answered}
        about = {"step": self.step, "intent_id": self.intent_id, "tool_name": self.tool_name, "changed": self.changed()}
        return {**about, **{name: answer.to_value() for name, answer in answers.items()}}

    def changed(self) -> list[str]:
        """The names of what changed."""
        return [name for name, old, new in zip(Answer._fields, self.expected, self.answered) if old != new]

    def line(self) -> str:
        """One line: the call, and what its answer was and is."""
        shown = [f"{name} {_word(getattr(self.expected, name))} -> {_word(getattr(self.answered, name))}" for name in self.changed()]
        return f"step {self.step} {self.tool_name[:80]}: {'; '.join(shown)}"


class Drifts:
    """`see` every step; then `items` holds the first ten thousand drifts, and `total` counts them.

    Accepting replaces what is expected: from then on the answer that was recorded is a drift too.
    """

    def __init__(self, compiled: CompiledPolicy, accepted: tuple[Accepted, ...] = ()) -> None:
        self._compiled = compiled
        self._accepted = {(call, entry.recorded): entry.answered for entry in accepted for call in entry.calls}  # the last one counts
        self.policy_digest = compiled.policy.digest
        self.recorded_digests: set[str] = set()
        self.items: list[Drift] = []
        self.total = self.accepted = self.steps = self.evaluated = 0
        self.problems: dict[str, int] = {}

    def see(self, step: Step) -> str:
        """Evaluate one step again and return the verdict that it has today: the recorded one where there is no other."""
        self.steps += 1
        call = call_of(step)
        if step.decision and step.decision.policy_digest and len(self.recorded_digests) < _MAX_DIGESTS:
            self.recorded_digests.add(step.decision.policy_digest)
        if call.intent is None or call.recorded is None:
            problem = call.problem or simulate.NO_DECISION
            self.problems[problem] = self.problems.get(problem, 0) + 1
            return step.verdict
        self.evaluated += 1
        answer = simulate.again(self._compiled, call.intent, call.recorded)
        expected = self._accepted.get((step.intent.intent_id, call.recorded), call.recorded)
        if answer != expected:
            self._drifted(Drift(step.number, step.intent.intent_id, step.intent.tool_name, call.recorded, expected, answer))
        elif expected != call.recorded:
            self.accepted += 1
        return answer.verdict

    def _drifted(self, drift: Drift) -> None:
        self.total += 1
        if len(self.items) < MAX_DRIFTS:
            self.items.append(drift)


def call_of(step: Step) -> Call:
    """The recorded call of a step."""
    intent, decision = step.intent, step.decision
    answer = Answer(decision.verdict, decision.matched_rule, decision.reason_codes) if decision else None
    request = intent.request()
    call = simulate.of_document(f"step {step.number}", intent.tool_name, request, answer)
    if request is None and intent.intent is not None and call.problem == simulate.NOT_CAPTURED:
        return call._replace(problem=simulate.REDACTED)
    return call


def accept(drifts: list[Drift], by: str, at: str, reason: str) -> Iterator[Accepted]:
    """The records that accept drifts: one for each pair of answers."""
    calls: dict[tuple[Answer, Answer], list[str]] = {}
    for drift in drifts:
        calls.setdefault((drift.recorded, drift.answered), []).append(drift.intent_id)
    for (recorded, answered), names in calls.items():
        yield Accepted(recorded, answered, tuple(names), by, at, reason)


def _word(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text[:120] or "(none)"
