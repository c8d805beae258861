"""`gait resume`: let what `gait stop` stopped run again.  Nothing else does."""

from __future__ import annotations

import argparse

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from ..gate.stops import MAX_TEXT, Stop, normal_value
from . import shared, stop

if TYPE_CHECKING:
    from ..gate.stops import Stops


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    stop.scope_options(parser, required=False)
    parser.add_argument("--reset", action="store_true", help="remove every stop, also when the state is damaged or missing")
    parser.epilog = "Example: gait resume --scope tool deploy --reason 'INC-41 is closed'"


def run(args: argparse.Namespace) -> int:
    """Record it, then resume: nothing runs again without a record."""
    from ..store import keys, stops
    from ..system import clock

    _check(args)
    home, ring = keys.home(), shared.signing_keys(args).ring

    def record(made: Stops) -> None:
        what = None if args.reset else Stop(args.scope, normal_value(args.scope, args.value), args.reason, clock.now_text())
        stop.record(args, ring, "resume", what, made.sequence, args.reason)

    if args.reset:
        made = stops.reset(home, ring, record)
    else:
        made = stops.resume(home, ring, args.scope, args.value, record)
    shared.emit(args, {"ok": True, "sequence": made.sequence, "stops": stop.values(made.entries)}, ["resumed; still stopped:", *stop.lines(made.entries)])
    return 0


def _check(args: argparse.Namespace) -> None:
    problem = ""
    if args.reset == bool(args.scope) or (args.reset and args.value):
        problem = "give --scope with what to resume, or --reset alone"
    elif not 0 < len(args.reason.strip()) <= MAX_TEXT:
        problem = f"--reason: expected 1 to {MAX_TEXT} characters"
    if problem:
        raise InvalidInput(problem, where="gait resume", hint="see gait resume --help", code="invalid_usage")
