"""`gait regress run`: every fixture is graded, and anything that is not as recorded fails with exit code 5."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from ..errors import GaitError, InvalidInput
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..regress import graders, result
from ..regress.drift import Drifts
from ..regress.fixture import FOLDER, Fixture
from ..regress.graders import FAIL, Graded
from ..regress.result import Result
from ..runpack import diff
from ..runpack.replay import replay
from ..runpack.verify import Audit
from ..store import runs
from ..system import files
from . import regress_files, shared
from .regress_files import Set

if TYPE_CHECKING:
    from ..gate.matching import CompiledPolicy
    from ..runpack.diff import Facts
    from ..runpack.model import Step
    from ..signing.keys import Keyring

FAILED = 5
_MAX_LINES = 60


class _Given(NamedTuple):
    """What all fixtures are graded with."""

    found: Set
    compiled: CompiledPolicy
    ring: Keyring | None
    candidates: dict[str, str]


class _Seen:
    """What one pass over a fixture's steps leaves behind."""

    def __init__(self, drifts: Drifts, fixture: Fixture, has_candidate: bool) -> None:
        self.drifts = drifts
        self.tools: list[str] = []
        self.verdicts: list[str] = []
        self._listed = fixture.trajectory is not None and not has_candidate

    def watch(self, steps: Audit) -> Iterator[Step]:
        """The steps, as they go by."""
        for step in steps:
            verdict = self.drifts.see(step)
            if self._listed:
                self.tools.append(step.intent.tool_name)
                self.verdicts.append(verdict)
            yield step


def add_options(verb: argparse.ArgumentParser) -> None:
    """What run and bootstrap ask."""
    verb.add_argument("--junit", default="", metavar="FILE", help="write a JUnit XML report too")
    verb.add_argument("--output", default="", metavar="FILE", help=f"the result document (default {result.NAME} beside gait.yaml)")
    verb.add_argument("--candidate", action="append", default=[], metavar="NAME=RUN", help="compare this run with fixture NAME; may be given again")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every grader passes, else 5."""
    found = grade(args)
    outputs = write(args, found)
    shared.emit(args, value(args, found, outputs), lines(args, found, outputs))
    return 0 if found.ok else FAILED


def value(args: argparse.Namespace, found: Result, outputs: list[str]) -> dict[str, object]:
    """As JSON; the names are those of Gait v1.x."""
    status = "pass" if found.ok else FAIL
    about: dict[str, object] = {"ok": found.ok, "status": status, "fixture_set": found.fixture_set, "graders": len(found.graders), "failed": len(found.failed)}
    if not found.ok:
        about.update(top_failure_reason=found.top_failure_reason, next_command=_next(args, found), failures=[item.to_value() for item in found.failed])
    return {**about, "artifact_paths": outputs, "output": outputs[0], "junit": args.junit or None}


def lines(args: argparse.Namespace, found: Result, outputs: list[str]) -> list[str]:
    """As text: what fails, with both answers side by side."""
    shown = []
    for item in found.graders:
        word = shared.colored("error", "FAIL", sys.stdout) if item.status == FAIL else shared.colored("ok", "pass", sys.stdout)
        shown.append(f"{word}  {shared.plain(item.name)}  {shared.plain(','.join(item.reason_codes))}".rstrip())
        if item.status == FAIL:
            detail = result.failure_lines(item)
            shown += [f"      {shared.plain(line)}" for line in detail[:_MAX_LINES]]
            shown += [f"      ... see {shared.plain(outputs[0])}"] if len(detail) > _MAX_LINES else []
    failed = len(found.failed)
    shown.append(f"{len(found.graders) - failed} passed, {failed} failed")
    if failed:
        shown += [f"next: {shared.plain(_next(args, found))}", *_accept_line(found)]
    return shown


def _accept_line(found: Result) -> list[str]:
    for item in found.failed:
        if "decision_drift" in item.reason_codes:
            return [f"if the change is wanted: gait regress accept {item.fixture} --reason WHY"]
    return []


def _next(args: argparse.Namespace, found: Result) -> str:
    from shlex import quote

    loaded = regress_files.read_set(args.config)
    policy = regress_files.policy_path(loaded, args.policy)
    return " ".join(map(quote, found.next_words(policy, loaded.folder)))


def write(args: argparse.Namespace, found: Result) -> list[str]:
    """Write the result and the JUnit report, and return their paths."""
    from ..regress.fixture import dumps

    folder = os.path.dirname(args.config)
    outputs = [args.output or os.path.join(folder, result.NAME)]
    files.write_atomic(outputs[0], dumps(found.to_value()), regress_files.MODE)
    if args.junit:
        files.write_atomic(args.junit, result.junit(found).encode("utf-8"), regress_files.MODE)
        outputs.append(args.junit)
    return outputs


def check(args: argparse.Namespace) -> None:
    """Refuse an output that would replace an input or the other output."""
    folder = os.path.dirname(args.config)
    outputs = [os.path.realpath(path) for path in (args.output or os.path.join(folder, result.NAME), args.junit) if path]
    inputs = {os.path.realpath(path) for path in (args.config, args.policy) if path}
    fixtures = os.path.join(os.path.realpath(os.path.join(folder, FOLDER)), "")
    if len(set(outputs)) < len(outputs) or inputs & set(outputs) or any(path.startswith(fixtures) for path in outputs):
        message = "expected an output of its own, got an input's or another output's name"
        raise InvalidInput(message, where=f"gait regress {args.verb}", hint="name another file", code="invalid_usage")


def grade(args: argparse.Namespace) -> Result:
    """Grade every fixture of gait.yaml."""
    check(args)
    found = regress_files.read_set(args.config)
    if not found.config.fixtures:
        raise InvalidInput("expected fixtures, got none: nothing was graded", where=args.config, hint="gait regress init --from RUN", code="no_fixtures")
    given = _Given(found, regress_files.read_policy(found, args.policy), ring(args), _candidates(args, found))
    graded: list[Graded] = []
    created_at = ""
    for entry in found.config.fixtures:
        try:
            fixture = regress_files.read_fixture(found, entry)
            created_at = _grade(given, fixture, found.file(entry, entry.runpack), graded, created_at)
        except GaitError as error:
            blank = Fixture(entry.name, entry.run_id, entry.runpack)
            graded.append(graders.unreadable(blank, "fixture", error.error_code, str(error)))
    return result.result(found.config.fixture_set, created_at, graded)


def ring(args: argparse.Namespace) -> Keyring | None:
    """The keys that were named.  A dev key is no one else's: where none was named, fixture.json's digest pins the pack."""
    named = args.key_mode == "prod" or args.private_key or args.private_key_env
    return shared.verifying_keys(args).ring if named else None


def _candidates(args: argparse.Namespace, found: Set) -> dict[str, str]:
    names = {entry.name for entry in found.config.fixtures}
    given: dict[str, str] = {}
    for word in args.candidate:
        name, _, path = word.partition("=")
        if not path or name not in names or name in given:
            message = f"expected NAME=RUN with a fixture's name, each once, got {word[:80]!r}"
            raise InvalidInput(message, where="--candidate", hint=f"fixtures: {', '.join(sorted(names))[:200]}", code="invalid_usage")
        given[name] = path
    return given


def _grade(given: _Given, fixture: Fixture, path: str, graded: list[Graded], created_at: str) -> str:
    """Add the graders' answers about one fixture; the time of the first pack is the result's."""
    candidate = _candidate_place(given, fixture)
    seen = _Seen(Drifts(given.compiled, fixture.accepted), fixture, bool(candidate.path))
    with runs.open_pack(path) as file:
        audit = Audit(file, given.ring)
        steps = seen.watch(audit)
        recorded: list[Facts] = []
        replayed = replay(_collected(steps, recorded) if candidate.path else steps)
        report = audit.report()
    graded += [graders.integrity(fixture, report), graders.schema_validation(fixture, report)]
    if not report.ok or audit.manifest is None:
        return created_at  # what a damaged pack says of its calls is worth nothing
    graded += [graders.expected_exit_code(fixture, replayed), graders.decision_drift(fixture, seen.drifts)]
    if candidate.path:
        graded += _candidate_graders(given, fixture, candidate, recorded)
    elif fixture.trajectory:
        graded.append(graders.trajectory(fixture, fixture.trajectory, seen.tools, seen.verdicts))
    return created_at or audit.manifest.created_at


def _collected(steps: Iterator[Step], facts: list[Facts]) -> Iterator[Step]:
    for step in steps:
        facts += diff.facts([step])
        yield step


def _candidate_place(given: _Given, fixture: Fixture) -> runs.Place:
    """The candidate of a fixture: the one of --candidate, or a pack in its folder; an empty path when there is none."""
    if fixture.name in given.candidates:
        return runs.resolve(given.candidates[fixture.name])
    if not fixture.candidate_runpack:
        return runs.Place("", "")
    return runs.Place(regress_files.below(given.found.folder, FOLDER, fixture.name, fixture.candidate_runpack), "")


def _candidate_graders(given: _Given, fixture: Fixture, place: runs.Place, recorded: list[Facts]) -> Iterator[Graded]:
    with runs.open_pack(place.path) as file:
        audit = Audit(file, given.ring, place.run_id)
        facts = diff.facts(audit)
        report = audit.report()
    if not report.ok:
        yield graders.unreadable(fixture, "diff", "candidate_invalid", f"the candidate: {report.findings[0].line()}")
        return
    graded = graders.candidate_diff(fixture, recorded, facts)
    yield graded._replace(details={**graded.details, "candidate": place.path})
    if fixture.trajectory:
        tools, verdicts = [item.tool_name for item in facts], [item.verdict for item in facts]
        yield graders.trajectory(fixture, fixture.trajectory, tools, verdicts)
