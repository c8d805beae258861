"""The graders: each looks at one thing of one fixture, and says what is not as expected.

A grader is listed only where there is something to look at: one that could not fail proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..formats.documents import NamedTuple
from ..runpack import diff
from ..runpack.diff import Facts
from ..runpack.replay import Replay
from ..runpack.verify import Report
from .drift import Drifts
from .fixture import Fixture, Trajectory

PASS, FAIL = "pass", "fail"
MAX_SHOWN = 100
REPLAY_MISSING = 2  # the exit code of `gait run replay` when results are missing

# Findings of verification that are about the form of a document, not about whether it is the one that was recorded.
_FORM = frozenset(("document_malformed", "not_json", "not_canonical", "line_too_long", "document_too_large", "too_many_steps"))


class Graded(NamedTuple):
    """What one grader says: `name` is `<fixture>/<grader>`; `summary` is one line for people."""

    name: str
    status: str
    reason_codes: tuple[str, ...]
    details: dict[str, object]
    summary: str = ""

    @property
    def fixture(self) -> str:
        """The fixture's name."""
        return self.name.partition("/")[0]

    @property
    def grader(self) -> str:
        """The grader's own name."""
        return self.name.partition("/")[2]

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return {"name": self.name, "status": self.status, "reason_codes": list(self.reason_codes), "details": self.details}


def graded(fixture: Fixture, grader: str, reasons: Iterable[str], details: dict[str, object], summary: str = "") -> Graded:
    """The answer of a grader, which fails when it has reasons to."""
    codes = tuple(sorted(set(reasons)))
    about: dict[str, object] = {"fixture": fixture.name, "run_id": fixture.run_id, "runpack": fixture.runpack}
    return Graded(f"{fixture.name}/{grader}", FAIL if codes else PASS, codes, {**about, **details}, summary if codes else "")


def unreadable(fixture: Fixture, grader: str, code: str, message: str) -> Graded:
    """The answer where there is nothing that could be graded."""
    return graded(fixture, grader, [code], {"error": message}, message)


def integrity(fixture: Fixture, report: Report) -> Graded:
    """The pack is whole, and the one that the fixture was made of."""
    found = [finding for finding in report.findings if finding.code not in _FORM]
    reasons = [finding.code for finding in found]
    summary = found[0].line() if found else ""
    if report.run_id != fixture.run_id:
        reasons.append("run_id_mismatch")
        summary = summary or f"expected run {fixture.run_id}, got {report.run_id}"
    pinned = bool(fixture.manifest_digest)
    if pinned and report.manifest_digest != fixture.manifest_digest:
        reasons.append("manifest_pin_mismatch")
        summary = summary or f"expected the pack with manifest_digest {fixture.manifest_digest}, got {report.manifest_digest}"
    details = {"manifest_digest": report.manifest_digest, "pinned": pinned, "signature_status": report.signature}
    return graded(fixture, "integrity", reasons, {**details, "findings": [item.to_value() for item in found[:MAX_SHOWN]]}, summary)


def schema_validation(fixture: Fixture, report: Report) -> Graded:
    """Every document of the pack is what its schema says."""
    found = [finding for finding in report.findings if finding.code in _FORM]
    details = {"steps": report.steps, "findings": [item.to_value() for item in found[:MAX_SHOWN]]}
    return graded(fixture, "schema_validation", [item.code for item in found], details, found[0].line() if found else "")


def expected_exit_code(fixture: Fixture, replayed: Replay) -> Graded:
    """A stub replay ends as expected."""
    actual, expected = REPLAY_MISSING if replayed.missing_total else 0, fixture.expected_replay_exit_code
    missing = [item.to_value() for item in replayed.missing[:MAX_SHOWN]]
    details: dict[str, object] = {"expected_exit_code": expected, "actual_exit_code": actual, "missing_results": missing, "missing_total": replayed.missing_total}
    reasons = ["unexpected_exit_code"] if actual != expected else []
    summary = f"replay: expected exit code {expected}, got {actual} ({replayed.missing_total} results missing)"
    return graded(fixture, "expected_exit_code", reasons, details, summary)


def decision_drift(fixture: Fixture, drifts: Drifts) -> Graded:
    """Today's policy answers every recorded call as it was answered."""
    missing = sum(drifts.problems.values())
    reasons = ["decision_drift"] if drifts.total else []
    reasons += ["not_evaluable"] if missing > fixture.not_evaluable_allowed else []
    details: dict[str, object] = {
        "steps": drifts.steps,
        "evaluated": drifts.evaluated,
        "drifted": drifts.total,
        "accepted": drifts.accepted,
        "not_evaluable": dict(sorted(drifts.problems.items())),
        "not_evaluable_allowed": fixture.not_evaluable_allowed,
        "policy_digest": drifts.policy_digest,
        "recorded_policy_digests": sorted(drifts.recorded_digests),
        "drifts": [item.to_value() for item in drifts.items[:MAX_SHOWN]],
    }
    words = ", ".join(f"{count} {name}" for name, count in sorted(drifts.problems.items()))
    summary = drifts.items[0].line() if drifts.items else f"{missing} of {drifts.steps} calls cannot be evaluated again: {words}"
    more = f" (and {drifts.total - 1} more)" if drifts.total > 1 else ""
    return graded(fixture, "decision_drift", reasons, details, summary + more)


def candidate_diff(fixture: Fixture, recorded: list[Facts], candidate: list[Facts]) -> Graded:
    """A candidate run is the recorded one, but for the fields that may differ."""
    found = diff.compare(recorded, candidate)
    allowed = set(fixture.diff_allow_fields)
    names = {name for change in found.changes for name, _, _ in change.fields}
    unexpected = [change for change in found.changes if change.kind != "changed" or {name for name, _, _ in change.fields} - allowed]
    hidden = sum(found.totals.values()) > len(found.changes)  # of those that are not listed nobody knows the fields
    reasons = ["unexpected_diff"] if unexpected or hidden else []
    details: dict[str, object] = {"steps": found.left_steps, "candidate_steps": found.right_steps, **found.totals, "changed_fields": sorted(names)}
    details.update(allowed_fields=sorted(allowed), changes=[change.to_value(True) for change in unexpected[:MAX_SHOWN]])
    first = unexpected[0] if unexpected else None
    place = f"step {first.left or first.right} {first.tool_name[:80]}: {first.kind}" if first else "too many changes"
    return graded(fixture, "diff", reasons, details, f"the candidate differs: {place}")


def trajectory(fixture: Fixture, expected: Trajectory, tools: list[str], verdicts: list[str]) -> Graded:
    """Tools and verdicts came in the expected order."""
    reasons, lines = [], []
    details: dict[str, object] = {"order": expected.order}
    for name, wanted, got in (("tools", expected.tools, tools), ("verdicts", expected.verdicts, verdicts)):
        place = _first_difference(expected.order, wanted, got) if wanted is not None else None
        if wanted is not None and place is not None:
            reasons.append(f"{name}_out_of_order")
            lines.append(_difference(name, expected.order, wanted, got, place))
            details[name] = {"place": place + 1, "expected": list(wanted[place : place + MAX_SHOWN]), "got": got[place : place + MAX_SHOWN]}
    return graded(fixture, "trajectory", reasons, details, "; ".join(lines))


def _first_difference(order: str, wanted: Sequence[str], got: Sequence[str]) -> int | None:
    """Where the order is not the expected one: for a subsequence, the expected item that did not come."""
    if order == "subsequence":
        rest = iter(got)
        return next((index for index, item in enumerate(wanted) if item not in rest), None)
    place = next((index for index, (left, right) in enumerate(zip(wanted, got)) if left != right), min(len(wanted), len(got)))
    return place if place < max(len(wanted), len(got)) else None


def _difference(name: str, order: str, wanted: Sequence[str], got: Sequence[str], place: int) -> str:
    expected = wanted[place][:80] if place < len(wanted) else "no more"
    if order == "subsequence":
        return f"{name}: expected {expected} as number {place + 1} of the subsequence, got none"
    return f"{name}: expected {expected} as number {place + 1}, got {got[place][:80] if place < len(got) else 'no more'}"
