"""What a regression run found: the result document, and a JUnit report for the systems that read one."""

from __future__ import annotations

from .. import __version__
from ..exporters.html_text import escape
from ..formats.documents import NamedTuple
from .fixture import FOLDER, RUNPACK_NAME
from .graders import FAIL, PASS, Graded

SCHEMA_ID = "gait.regress.result"
SCHEMA_VERSION = "1.0.0"
NAME = "regress_result.json"
FIRST_TIME = "1980-01-01T00:00:00Z"
_MAX_SUMMARY = 500
_MAX_COLUMN = 70


class Result(NamedTuple):
    """The graders' answers, sorted by name.  `created_at` is the first fixture's: equal runs give equal bytes."""

    fixture_set: str
    created_at: str
    graders: tuple[Graded, ...]

    @property
    def failed(self) -> list[Graded]:
        """Those that fail, the gravest first: a damaged pack goes before what follows from it."""
        return sorted((item for item in self.graders if item.status == FAIL), key=lambda item: (_rank(item), item.name))

    @property
    def ok(self) -> bool:
        """True when nothing fails."""
        return not self.failed

    @property
    def top_failure_reason(self) -> str:
        """The gravest failure in one line; empty when there is none."""
        return next((f"{item.name}: {','.join(item.reason_codes)}: {item.summary}"[:_MAX_SUMMARY] for item in self.failed), "")

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        head = {"schema_id": SCHEMA_ID, "schema_version": SCHEMA_VERSION, "created_at": self.created_at, "producer_version": __version__}
        status = PASS if self.ok else FAIL
        return {**head, "fixture_set": self.fixture_set, "status": status, "graders": [item.to_value() for item in self.graders]}

    def next_words(self, policy: str, folder: str) -> list[str]:
        """The command that shows the gravest failure, as words; none when nothing fails.  `folder` holds gait.yaml."""
        for item in self.failed:
            place = f"{folder}/{FOLDER}/{item.fixture}" if folder else f"{FOLDER}/{item.fixture}"
            return ["gait", *_next(item, f"{place}/{item.details.get('runpack', RUNPACK_NAME)}", policy)]
        return []


def result(fixture_set: str, created_at: str, graders: list[Graded]) -> Result:
    """The result of all graders."""
    return Result(fixture_set, created_at or FIRST_TIME, tuple(sorted(graders, key=lambda item: item.name)))


def _rank(item: Graded) -> int:
    order = ("fixture", "integrity", "schema_validation", "decision_drift", "trajectory", "expected_exit_code", "diff")
    return order.index(item.grader) if item.grader in order else len(order)


def _next(item: Graded, pack: str, policy: str) -> list[str]:
    if item.grader == "decision_drift":
        return ["policy", "simulate", "--policy", policy, "--from", pack]
    if item.grader == "expected_exit_code":
        return ["run", "replay", pack]
    if item.grader == "trajectory":
        return ["run", "inspect", pack, "--steps", "0"]
    if item.grader == "diff" and "candidate" in item.details:
        return ["run", "diff", pack, str(item.details["candidate"])]
    return ["verify", pack]


def junit(found: Result) -> str:
    """JUnit XML: a suite for each fixture, a case for each grader.  No text of a fixture's can be anything but text."""
    suites = sorted({item.fixture for item in found.graders})
    failures = len(found.failed)
    totals = f'tests="{len(found.graders)}" failures="{failures}" errors="0" skipped="0"'
    body = "".join(_suite(name, [item for item in found.graders if item.fixture == name], found) for name in suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="{escape(found.fixture_set)}" {totals} time="0">\n{body}</testsuites>\n'


def _suite(name: str, items: list[Graded], found: Result) -> str:
    failures = sum(item.status == FAIL for item in items)
    head = f'name="{escape(name)}" tests="{len(items)}" failures="{failures}" errors="0" skipped="0" time="0" timestamp="{escape(found.created_at)}"'
    return f"  <testsuite {head}>\n" + "".join(_case(item) for item in items) + "  </testsuite>\n"


def _case(item: Graded) -> str:
    head = f'    <testcase classname="gait.regress.{escape(item.fixture)}" name="{escape(item.grader)}" time="0"'
    if item.status == PASS:
        return head + "/>\n"
    lines = "\n".join(escape(line) for line in failure_lines(item))
    failure = f'<failure message="{escape(item.summary[:_MAX_SUMMARY])}" type="{escape(",".join(item.reason_codes)[:_MAX_SUMMARY])}">\n{lines}\n</failure>'
    return f"{head}>\n      {failure}\n    </testcase>\n"


def failure_lines(item: Graded) -> list[str]:
    """A failure as text: for drift each call with both answers side by side."""
    drifts = item.details.get("drifts")
    if item.grader != "decision_drift" or not isinstance(drifts, list) or not drifts:
        return [item.summary]
    lines = [line for drift in drifts for line in _side_by_side(drift)]
    hidden = int(str(item.details["drifted"])) - len(drifts)
    return [*lines, f"... and {hidden} more"] if hidden > 0 else lines


def _side_by_side(drift: dict[str, object]) -> list[str]:
    expected: dict[str, object] = drift["expected"]  # type: ignore[assignment]
    answered: dict[str, object] = drift["answered"]  # type: ignore[assignment]
    names = (("verdict", "verdict"), ("rule", "matched_rule"), ("reasons", "reason_codes"))
    rows = [(label, _text(expected[name]), _text(answered[name])) for label, name in names]
    width = min(_MAX_COLUMN, max(len(old) for _, old, _ in rows))
    head = f"step {drift['step']} {str(drift['tool_name'])[:80]} ({str(drift['intent_id'])[:80]})"
    accepted = "" if drift["expected"] == drift["recorded"] else ", where an earlier change was accepted"
    return [head + accepted, *(f"  {label:8} {old:{width}}  {'==' if old == new else '->'}  {new}" for label, old, new in rows)]


def _text(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:200] or "(none)"
