"""`gait run reduce`: the smallest run that still shows it."""

from __future__ import annotations

import argparse
import os

from ..errors import InvalidInput, MissingDependency
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from ..runpack.model import Step
    from ..runpack.pack import Packed
    from ..runpack.reduce import Reduced
    from ..runpack.verify import Pack
    from ..store.runs import Scratch

_MAX_STEPS = 20_000  # with a command, to which every candidate is written


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `reduce`."""
    verb = shared.verb(verbs, "reduce", "find the fewest steps that still show something", "gait run reduce --from run_demo --predicate verdict=block")
    verb.add_argument("--from", required=True, dest="run", metavar="RUN", help="a run's id, or the path of its pack")
    verb.add_argument(
        "--predicate", action="append", default=[], metavar="WORDS",
        help="verdict=, reason=, tool=, status= or rule= of one step, joined by commas; tool=a>b are two steps; given again: a later step",
    )  # fmt: skip
    verb.add_argument("--predicate-command", nargs=argparse.REMAINDER, metavar="CMD", help="the last option: a command, without a shell, that gets a candidate's path; exit 0: it still shows it")
    verb.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for each command (default 60); then it does not show it")
    verb.add_argument("--max-evaluations", type=int, default=10_000, metavar="N", help="give up after so many (default 10000)")
    verb.add_argument("--run-id", default="", metavar="ID", help="the id of the run that is left (default: derived from the content)")
    verb.add_argument("--out", default="", metavar="FILE", help="write it here (default: under $GAIT_HOME/runs)")
    shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the smaller run is written."""
    from ..store import runs
    from . import packs

    if bool(args.predicate) == bool(args.predicate_command):
        raise InvalidInput("expected either --predicate or --predicate-command", where="gait run reduce", code="invalid_usage")
    if args.max_evaluations < 1 or not args.timeout > 0:
        raise InvalidInput("expected --max-evaluations and --timeout over 0", where="gait run reduce", code="invalid_usage")
    with packs.loaded(args.run, packs.keys(args).ring) as pack:
        reduced = _reduce(args, pack)
        kept = set(reduced.kept)
        steps = (step for step in pack.steps() if step.number - 1 in kept)
        saved = runs.save(lambda out, scratch: _write(pack, steps, args.run_id, out, scratch), args.out)
        total = pack.report.steps
    value = {**packs.saved_value(saved), "from": pack.manifest.run_id, "from_steps": total}
    numbers = [index + 1 for index in reduced.kept]
    value.update(kept=numbers[:1000], evaluations=reduced.evaluations, minimal=reduced.minimal)
    shared.emit(args, value, _lines(value, saved.packed.footer))
    return 0


def _reduce(args: argparse.Namespace, pack: Pack) -> Reduced:
    from ..runpack import reduce

    if args.predicate:
        conditions = reduce.read(args.predicate)
        return reduce.reduce(pack.report.steps, reduce.shows(reduce.features(pack.steps()), conditions), args.max_evaluations)
    if pack.report.steps > _MAX_STEPS:
        message = f"expected at most {_MAX_STEPS} steps with a command, got {pack.report.steps}"
        raise InvalidInput(message, where=args.run, hint="reduce with --predicate first", code="too_many_steps")
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="gait-reduce-") as folder:
        test = _command_test(args, pack, list(pack.steps()), os.path.join(folder, "candidate.zip"))
        return reduce.reduce(pack.report.steps, test, args.max_evaluations)


def _command_test(args: argparse.Namespace, pack: Pack, steps: list[Step], path: str) -> Callable[[Sequence[int]], bool]:
    import subprocess

    from ..store import runs

    def test(part: Sequence[int]) -> bool:
        runs.save(lambda out, scratch: _write(pack, (steps[index] for index in part), args.run_id or pack.manifest.run_id, out, scratch), path)
        command = [*args.predicate_command, path]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=args.timeout, check=False)
        except subprocess.TimeoutExpired:
            return False
        except (OSError, ValueError) as error:
            raise MissingDependency(f"cannot start the command: {error}", where="--predicate-command", code="command_missing") from error
        return done.returncode == 0

    return test


def _write(pack: Pack, steps: object, run_id: str, out: BinaryIO, scratch: Scratch) -> Packed:
    from ..runpack.pack import Head, Recorder

    run, refs = pack.run, pack.refs
    origin = {"event": "reduced_from", "ts": pack.manifest.created_at, "ref": f"sha256:{pack.manifest.digest}"}
    head = Head(run_id, pack.manifest.created_at, run["env"], (origin,), tuple(refs["receipts"]))  # type: ignore[arg-type]
    recorder = Recorder(head, scratch, pack.manifest.capture_mode == "raw")
    for step in steps:  # type: ignore[attr-defined]
        recorder.copy(step)
    return recorder.finish(out)


def _lines(value: dict[str, object], footer: str) -> list[str]:
    kept: list[int] = value["kept"]  # type: ignore[assignment]
    shown = ", ".join(map(str, kept[:20])) + (", ..." if len(kept) > 20 else "")
    minimal = "none of them can go" if value["minimal"] else "more evaluations could make it smaller"
    rows = [("run_id", str(value["run_id"])), ("bundle", str(value["bundle"])), ("steps", f"{value['steps']} of {value['from_steps']}: {shown}")]
    return [*shared.rows([*rows, ("evaluations", f"{value['evaluations']}; {minimal}")]), footer]
