"""`gait regress init`: a recorded run becomes a fixture."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from ..errors import InvalidInput, StorageError, VerificationFailed
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..regress import fixture as documents
from ..regress.drift import call_of
from ..regress.fixture import FIXTURE_NAME, FOLDER, RUNPACK_NAME, Entry, Fixture, Trajectory
from ..regress.graders import REPLAY_MISSING
from ..runpack.replay import replay
from ..store import runs
from ..system import files
from . import packs, regress_files, shared

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..runpack.model import Step
    from ..runpack.verify import Audit

_CHUNK = 1 << 20
_MAX_TRAJECTORY = 10_000


class Made(NamedTuple):
    """A fixture that is there now; `kept` when it was there before, and `missing` calls cannot be evaluated again."""

    fixture: Fixture
    folder: str
    kept: bool
    missing: int
    steps: int
    warnings: tuple[str, ...]


def add_options(verb: argparse.ArgumentParser) -> None:
    """What init and bootstrap ask."""
    verb.add_argument("--from", dest="source", required=True, metavar="RUN", help="a run's id, or the path of its pack")
    verb.add_argument("--name", default="", metavar="NAME", help="the fixture's name (default: made of the run's id)")
    verb.add_argument("--allow-not-evaluable", action="store_true", help="let calls pass that cannot be evaluated again: as many as there are now")
    verb.add_argument("--trajectory", action="store_true", help="assert the recorded order of tools and verdicts")
    verb.add_argument("--force", action="store_true", help="replace a fixture of this name; what was accepted of it is lost")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the fixture is there."""
    made = make(args)
    shared.emit(args, {**value(args, made), "next_commands": ["gait regress run --json"]}, [*lines(args, made), "next: gait regress run"])
    return 0


def value(args: argparse.Namespace, made: Made) -> dict[str, object]:
    """As JSON; the names are those of Gait v1.x."""
    fixture = made.fixture
    about: dict[str, object] = {"ok": True, "run_id": fixture.run_id, "fixture_name": fixture.name, "fixture_dir": made.folder}
    about.update(runpack_path=os.path.join(made.folder, fixture.runpack), config_path=args.config, kept=made.kept)
    about.update(steps=made.steps, not_evaluable=made.missing)
    return {**about, "warnings": list(made.warnings)} if made.warnings else about


def lines(args: argparse.Namespace, made: Made) -> list[str]:
    """As text."""
    word = "kept" if made.kept else "made"
    about = f"{word} {made.folder} of {made.fixture.run_id}: {made.steps} calls"
    return [shared.plain(about), *(shared.plain(f"warning: {text}") for text in made.warnings)]


def make(args: argparse.Namespace) -> Made:
    """Write the fixture of a run that verifies, and list it in gait.yaml."""
    if os.path.isdir(args.source):
        hint = f"record it first: gait run record --journal {args.source} --out run.zip"
        raise InvalidInput("expected a run, got a folder", where="--from", hint=hint, code="invalid_usage")
    keys = packs.keys(args)
    with packs.audited(args.source, keys.ring) as (audit, place):
        fixture, missing, digests = _fixture(args, audit, place.path)
        steps = audit.report().steps
        folder = regress_files.below(os.path.dirname(args.config), FOLDER, fixture.name)
        kept = not args.force and _is_there(args, folder, fixture)
        if not kept:
            with runs.open_pack(place.path) as pack:
                _write(args, folder, fixture, pack)
    found = regress_files.add_entry(args.config, Entry(fixture.name, fixture.run_id, fixture.runpack), _policy(args))
    warnings = [*keys.warnings, *_first_policy(args, found, digests)]
    if missing and not kept and not fixture.not_evaluable_allowed:
        warnings.append(f"{missing} of {steps} calls cannot be evaluated again, which fails: see --allow-not-evaluable")
    return Made(fixture, folder, kept, missing, steps, tuple(warnings))


def _fixture(args: argparse.Namespace, audit: Audit, path: str) -> tuple[Fixture, int, set[str]]:
    """The fixture of a run, read in one pass; how many of its calls cannot be evaluated again; the policies that decided them."""
    missing = 0
    digests: set[str] = set()
    tools: list[str] = []
    verdicts: list[str] = []

    def watched() -> Iterator[Step]:
        nonlocal missing
        for step in audit:
            missing += bool(call_of(step).problem) or not step.verdict
            if step.decision and len(digests) < 2:
                digests.add(step.decision.policy_digest)
            if args.trajectory and len(tools) <= _MAX_TRAJECTORY:
                tools.append(step.intent.tool_name)
                verdicts.append(step.verdict)
            yield step

    replayed = replay(watched())
    audit.report().require(path)
    if len(tools) > _MAX_TRAJECTORY:
        raise InvalidInput(f"expected a run of at most {_MAX_TRAJECTORY} calls, got {replayed.steps}", where="--trajectory")
    if audit.manifest is None:
        raise VerificationFailed("expected a manifest, got none", where=path)
    fixture = Fixture(
        name=documents.check_name(args.name or documents.name_of(audit.manifest.run_id)),
        run_id=audit.manifest.run_id,
        manifest_digest=audit.manifest.digest,
        expected_replay_exit_code=REPLAY_MISSING if replayed.missing_total else 0,
        not_evaluable_allowed=missing if args.allow_not_evaluable else 0,
        trajectory=Trajectory("exact", tuple(tools), tuple(verdicts)) if args.trajectory else None,
    )
    return fixture, missing, digests


def _is_there(args: argparse.Namespace, folder: str, fixture: Fixture) -> bool:
    """True when the folder is a fixture of this very run; it then stays as it is, with what was accepted."""
    if not os.path.lexists(os.path.join(folder, FIXTURE_NAME)):
        return False
    found = regress_files.Set(args.config, documents.Config())
    there = regress_files.read_fixture(found, Entry(fixture.name, "", fixture.runpack))
    if (there.run_id, there.manifest_digest) == (fixture.run_id, fixture.manifest_digest):
        return True
    message = "there is a fixture of this name already, of another run"
    raise InvalidInput(message, where=folder, hint="choose another --name, or add --force", code="file_exists")


def _write(args: argparse.Namespace, folder: str, fixture: Fixture, pack: BinaryIO) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder: {error.strerror}", where=folder) from error
    _copy(pack, regress_files.below(folder, RUNPACK_NAME))
    regress_files.write_fixture(regress_files.Set(args.config, documents.Config()), fixture)


def _copy(source: BinaryIO, path: str) -> None:
    """Copy a pack, which may be longer than memory, whole or not at all."""
    temporary = os.path.join(os.path.dirname(path), f".gait-{os.urandom(8).hex()}.tmp")
    try:
        files.write_exclusive(temporary, b"", regress_files.MODE)
        source.seek(0)
        with open(temporary, "r+b") as out:
            for chunk in iter(lambda: source.read(_CHUNK), b""):
                out.write(chunk)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"cannot write the pack: {error.strerror}", where=path) from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _policy(args: argparse.Namespace) -> str:
    """--policy as gait.yaml names it: below its folder."""
    if not args.policy:
        return ""
    path = os.path.relpath(args.policy, os.path.dirname(args.config) or ".").replace(os.sep, "/")
    if path.startswith("../") or os.path.isabs(path):
        hint = f"copy it beside {args.config}, so that the tests have it wherever they run"
        raise InvalidInput("expected a policy in the folder of gait.yaml or below", where=args.policy, hint=hint, code="invalid_usage")
    return path


def _first_policy(args: argparse.Namespace, found: regress_files.Set, digests: set[str]) -> list[str]:
    """A set made of the demo's run begins with the demo's policy, to be changed: nobody else has it.  A warning says so."""
    from . import demo

    path = regress_files.policy_path(found, args.policy)
    data = demo.own_policy(min(digests)) if len(digests) == 1 and not os.path.lexists(path) else None
    if data is None:
        return []
    files.write_exclusive(path, data, regress_files.MODE)
    return [f"wrote {path}, the demo's policy: change a word of it and run again"]
