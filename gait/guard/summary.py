"""What a pack's evidence says, in numbers and rows: computed from the evidence alone, when it is made and when it is verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..formats.documents import NamedTuple
from ..formats.timestamps import loads as read_time
from ..gate.decision import VERDICTS
from ..runpack.model import Record, Step
from ..runpack.pack import FIRST_TIME
from . import controls

MAX_ROWS = 200
_MAX_NAMES = 1000  # that are counted one by one
_MAX_TEXT = 200
_OTHER = "(others)"
_UNKNOWN = ("not_recorded", "never_answered")  # outcomes that nobody knows
_GRANTED = "approval_granted"


class Given(NamedTuple):
    """What a summary is about, besides the steps and traces that it is shown.

    `window` is {from, to} in RFC 3339, empty for a pack of one run; `journal` the chains of a journal that verified.
    """

    kind: str
    run_id: str
    run_manifest_digest: str
    capture_mode: str
    run_signature: str
    template: str
    window: Mapping[str, str]
    journal: Sequence[Mapping[str, object]] | None
    approvals: int


_OF_APPROVALS = ("trace_id", "created_at", "tool_name", "approval_token_ref", "approval_grant_ref", "approval_audit")


class Survey:
    """`step` every step of the run, `trace` every trace of it, `around` every other trace; then `value`."""

    def __init__(self) -> None:
        self.steps = 0
        self.decisions: dict[str, str] = {}  # trace_id -> verdict, of the run
        self.approvals: list[Record] = []  # those that the traces rest on
        self._traced: set[str] = set()
        self._all: list[Record] = []
        self._refused: list[Record] = []
        self._counts = {name: Counter() for name in ("verdicts", "tools", "rules", "identities", "statuses", "policies")}  # type: ignore[var-annotated]
        self._lacks: Counter[str] = Counter()
        self._times: list[tuple[float, str]] = []  # the first and the last one
        self._traces = 0
        self._around: Counter[str] = Counter()
        self._around_rows: list[Record] = []

    def step(self, step: Step) -> None:
        """Take note of a step."""
        self.steps += 1
        row = _row(step)
        for rows, wanted in ((self._all, True), (self._refused, step.verdict != "allow")):
            if wanted and len(rows) < MAX_ROWS:
                rows.append(row)
        if step.intent.created_at not in ("", FIRST_TIME):
            found = [*self._times, (read_time(step.intent.created_at), step.intent.created_at)]
            self._times = [min(found), max(found)]
        decision, status = step.decision, row["status"]
        self._count("verdicts", step.verdict or "none")
        self._count("tools", step.intent.tool_name)
        self._count("statuses", status)
        identity = _identity(step)
        if identity:
            self._count("identities", identity)
        self._lacks["identity_named"] += not identity
        self._lacks["decided"] += decision is None
        self._lacks["policy_named"] += decision is None or not decision.policy_digest
        self._lacks["refusals_held"] += step.verdict not in ("allow", "") and status != "not_executed"
        self._lacks["outcomes_known"] += step.verdict == "allow" and status in _UNKNOWN
        if decision:
            self._count("rules", decision.matched_rule or "(default)")
            self._count("policies", decision.policy_digest)
            self._lacks["approvals_kept"] += _GRANTED in decision.reason_codes
            self._lacks["traced"] += not decision.trace_id
            if decision.trace_id:
                self.decisions[decision.trace_id] = decision.verdict

    def trace(self, record: Record) -> None:
        """Take note of a signed decision of the run."""
        self._traces += 1
        self._traced.add(str(record["trace_id"]))
        reasons = record.get("reason_codes")
        if type(reasons) is list and _GRANTED in reasons:
            self.approvals.append({name: record[name] for name in _OF_APPROVALS if name in record})

    def around(self, record: Record) -> None:
        """Take note of a signed decision that is not of the run."""
        self._around[str(record["verdict"])] += 1
        if len(self._around_rows) < MAX_ROWS:
            names = ("created_at", "verdict", "tool_name", "matched_rule")
            self._around_rows.append({name: _clip(record.get(name, "")) for name in names})

    @property
    def period(self) -> list[str]:
        """The times of the first and the last step, as far as they are recorded; one when they are the same."""
        return list(dict.fromkeys(text for _, text in self._times))

    def value(self, given: Given) -> Record:
        """The document."""
        facts = self._facts(given)
        counts = {name: dict(sorted(counter.items(), key=lambda item: (-item[1], item[0]))) for name, counter in self._counts.items()}
        value: Record = {"kind": given.kind, "run_id": given.run_id, "run_manifest_digest": given.run_manifest_digest}
        value.update(capture_mode=given.capture_mode, run_signature=given.run_signature, period=self.period)
        value.update(steps=self.steps, **counts, traces=self._traces, untraced=len(set(self.decisions) - self._traced))
        complete = self.steps <= MAX_ROWS
        value.update(rows=self._all if complete else self._refused, rows_are="all" if complete else "refused")
        if given.window:
            value.update(window=dict(given.window), around=dict(sorted(self._around.items())), around_rows=self._around_rows)
        value.update(journal=None if given.journal is None else [_chain(chain) for chain in given.journal], approvals=given.approvals)
        value["facts"] = facts
        if given.template:
            value.update(template=given.template, controls=controls.answer(given.template, facts))
        return value

    def _facts(self, given: Given) -> dict[str, bool]:
        chains = given.journal or ()
        facts = {name: not self._lacks[name] for name in controls.FACTS}
        facts["traced"] = facts["traced"] and set(self.decisions) <= self._traced and not self._lacks["decided"]
        facts["run_signed"] = given.run_signature == "verified"
        facts["journal_verified"] = given.journal is not None
        facts["end_proven"] = bool(chains) and all(chain["proven_sequence"] == chain["last_sequence"] for chain in chains)
        facts["approvals_kept"] = self._lacks["approvals_kept"] <= given.approvals
        return facts

    def _count(self, name: str, word: object) -> None:
        counter, text = self._counts[name], _clip(word)
        counter[text if text in counter or len(counter) < _MAX_NAMES else _OTHER] += 1


def _row(step: Step) -> Record:
    decision = step.decision
    return {
        "number": step.number,
        "created_at": "" if step.intent.created_at == FIRST_TIME else _clip(step.intent.created_at),
        "tool_name": _clip(step.intent.tool_name),
        "target": _clip(_target(step)),
        "verdict": step.verdict,
        "rule": _clip(decision.matched_rule) if decision else "",
        "reason_codes": [_clip(code) for code in decision.reason_codes[:10]] if decision else [],
        "status": _clip(step.result.status) if step.result else "not_recorded",
    }


def _identity(step: Step) -> str:
    context = (step.intent.intent or {}).get("context")
    identity = context.get("identity") if type(context) is dict else None
    return identity if type(identity) is str else ""


def _target(step: Step) -> str:
    """The first target of the call; there may be none, and the document may have been redacted."""
    targets = (step.intent.intent or {}).get("targets")
    first = targets[0] if type(targets) is list and targets else None
    value = first.get("value") if type(first) is dict else None
    more = f" (+{len(targets) - 1})" if type(targets) is list and len(targets) > 1 else ""
    return f"{_clip(value)}{more}" if type(value) is str else ""


def _chain(chain: Mapping[str, object]) -> Record:
    names = ("chain", "records", "first_sequence", "last_sequence", "proven_sequence", "proven_at")
    return {name: chain[name] for name in names}


def _clip(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def verdicts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """(verdict, number) in the order of severity, those of no known verdict last."""
    known = [(name, counts.get(name, 0)) for name in VERDICTS]
    rest = sum(counts.values()) - sum(count for _, count in known)
    return [*known, ("unknown", rest)] if rest else known
