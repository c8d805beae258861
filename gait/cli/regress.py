"""`gait regress`: recorded runs as tests that fail when a decision changes."""

from __future__ import annotations

import argparse
import os

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from ..regress.fixture import CONFIG_NAME, FIXTURE_NAME, MAX_TEXT
from . import regress_init, regress_run, shared

if TYPE_CHECKING:
    from ..regress.drift import Drift, Drifts
    from ..regress.fixture import Entry, Fixture
    from .regress_files import Set


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    init = shared.verb(verbs, "init", "make a fixture of a recorded run", "gait regress init --from run_demo")
    regress_init.add_options(init)
    run_verb = shared.verb(verbs, "run", "grade every fixture; exit 5 when anything changed", "gait regress run --junit junit.xml")
    regress_run.add_options(run_verb)
    bootstrap = shared.verb(verbs, "bootstrap", "init and run", "gait regress bootstrap --from run_demo --junit junit.xml")
    regress_init.add_options(bootstrap)
    regress_run.add_options(bootstrap)
    accept = shared.verb(verbs, "accept", "record that a fixture's drift is wanted", "gait regress accept run_demo --reason 'writes need approval now, TICKET-7'")
    accept.add_argument("name", metavar="NAME", help="the fixture")
    accept.add_argument("--reason", required=True, help="why the new answers are right")
    accept.add_argument("--by", default="", metavar="WHO", help="who accepts (default: the user's name); the commit's author proves more")
    accept.add_argument("--call", action="append", default=[], metavar="ID", help="only the call with this intent_id; may be given again")
    for verb in (init, run_verb, bootstrap, accept):
        verb.add_argument("--config", default=CONFIG_NAME, metavar="FILE", help=f"the regression set (default {CONFIG_NAME})")
        verb.add_argument("--policy", metavar="FILE", help="today's policy (default: the one that gait.yaml names)")
        shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0, or 5 when a grader fails."""
    return {"init": regress_init.run, "run": regress_run.run, "bootstrap": _bootstrap, "accept": _accept}[args.verb](args)


def _bootstrap(args: argparse.Namespace) -> int:
    made = regress_init.make(args)
    found = regress_run.grade(args)
    outputs = regress_run.write(args, found)
    value = {**regress_init.value(args, made), **regress_run.value(args, found, outputs)}
    shared.emit(args, value, [*regress_init.lines(args, made), *regress_run.lines(args, found, outputs)])
    return 0 if found.ok else regress_run.FAILED


# --- accept


def _accept(args: argparse.Namespace) -> int:
    """Write down that drifts are wanted: exactly these calls, from exactly these answers to exactly those."""
    from ..regress import drift
    from ..system import clock
    from . import regress_files

    reason, by = _words(args)
    found = regress_files.read_set(args.config)
    fixture = _fixture(args, found)
    drifts = _drifts(args, found, fixture)
    chosen = _chosen(args, drifts)
    records = tuple(drift.accept(chosen, by, clock.now_text(), reason))
    regress_files.write_fixture(found, fixture._replace(accepted=(*fixture.accepted, *records)))
    path = found.file(_entry(args, found), FIXTURE_NAME)
    left = drifts.total - len(chosen)
    value: dict[str, object] = {"ok": True, "fixture_name": fixture.name, "path": path, "accepted": [item.to_value() for item in chosen], "left": left}
    value.update(accepted_by=by, reason=reason)
    lines = [shared.plain(f"accepted: {item.line()}") for item in chosen[:20]]
    lines += [f"accepted: and {len(chosen) - 20} more"] if len(chosen) > 20 else []
    shared.emit(args, value, [*lines, *([f"{left} drifts are left"] if left else []), shared.plain(f"next: review and commit {path}")])
    return 0


def _words(args: argparse.Namespace) -> tuple[str, str]:
    reason, by = args.reason.strip(), (args.by or _user()).strip()
    for name, text in (("--reason", reason), ("--by", by)):
        if not text or len(text) > MAX_TEXT:
            raise InvalidInput(f"expected 1 to {MAX_TEXT} characters", where=name, code="invalid_usage")
    return reason, by


def _user() -> str:
    from getpass import getuser

    try:
        return getuser()
    except (ImportError, KeyError, OSError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else ""


def _entry(args: argparse.Namespace, found: Set) -> Entry:
    for entry in found.config.fixtures:
        if entry.name == args.name:
            return entry
    names = ", ".join(entry.name for entry in found.config.fixtures)
    raise InvalidInput(f"expected a fixture of {found.path}, got {args.name[:80]!r}", where="gait regress accept", hint=f"fixtures: {names[:200]}")


def _fixture(args: argparse.Namespace, found: Set) -> Fixture:
    from . import regress_files

    return regress_files.read_fixture(found, _entry(args, found))


def _drifts(args: argparse.Namespace, found: Set, fixture: Fixture) -> Drifts:
    """What drifts and is not accepted yet, in a pack that verifies and is the one that was pinned."""
    from ..errors import VerificationFailed
    from ..regress import graders
    from ..regress.drift import Drifts
    from ..runpack import verify
    from ..store import runs
    from . import regress_files

    drifts = Drifts(regress_files.read_policy(found, args.policy), fixture.accepted)
    path = found.file(_entry(args, found), fixture.runpack)
    with runs.open_pack(path) as file:
        pack = verify.load(file, regress_run.ring(args), fixture.run_id, where=path)
        whole = graders.integrity(fixture, pack.report)
        if whole.reason_codes:
            raise VerificationFailed(whole.summary, where=path, code=whole.reason_codes[0])
        for step in pack.steps():
            drifts.see(step)
    return drifts


def _chosen(args: argparse.Namespace, drifts: Drifts) -> list[Drift]:
    where = f"fixture {args.name[:80]}"
    if not drifts.total:
        raise InvalidInput("expected a decision that drifted, got none: there is nothing to accept", where=where, code="nothing_drifted")
    if drifts.total > len(drifts.items):
        raise InvalidInput(f"expected at most {len(drifts.items)} drifts, got {drifts.total}", where=where, hint="record a new run instead")
    chosen = [item for item in drifts.items if not args.call or item.intent_id in args.call]
    unknown = sorted(set(args.call) - {item.intent_id for item in chosen})
    if unknown:
        raise InvalidInput(f"expected the intent_id of a call that drifted, got {unknown[0][:80]!r}", where="--call", code="invalid_usage")
    return chosen
