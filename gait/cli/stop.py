"""`gait stop`: the kill switch.  Every evaluator of this $GAIT_HOME blocks what is stopped from its next decision on."""

from __future__ import annotations

import argparse
import os

from ..errors import GaitError
from ..formats.documents import TYPE_CHECKING
from ..gate.stops import SCOPES, Stop, make
from . import shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..signing.keys import Keyring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    scope_options(parser, required=False)
    parser.add_argument("--list", action="store_true", help="show what is stopped")
    parser.epilog = "Example: gait stop --scope tool deploy --reason 'wrong cluster, see INC-41'"


def scope_options(parser: argparse.ArgumentParser, required: bool) -> None:
    """What is stopped or resumed, why, and where that is recorded."""
    parser.add_argument("--scope", choices=SCOPES, required=required, help="what VALUE names; all takes none")
    parser.add_argument("value", nargs="?", default="", metavar="VALUE", help="the tool, identity or session, as records name it")
    parser.add_argument("--reason", default="", help="why, for the journal")
    parser.add_argument("--journal", metavar="DIR", help="record it in this journal (default $GAIT_HOME/journal)")
    shared.key_options(parser)
    shared.common(parser)


def run(args: argparse.Namespace) -> int:
    """Stop, then record it; exit code 0 when both are done."""
    from ..store import keys, stops
    from ..system import clock

    home = keys.home()
    if args.list:
        return _list(args, home)
    wanted = make(args.scope or "", args.value, args.reason, clock.now_text())
    ring = shared.signing_keys(args).ring
    made = stops.stop(home, ring, wanted)
    try:
        record(args, ring, "stop", wanted, made.sequence)
    except GaitError as error:
        error.message = f"the stop is in force, but could not be recorded: {error.message}"
        raise
    shared.emit(args, {"ok": True, "sequence": made.sequence, "stops": values(made.entries)}, ["stopped", *lines(made.entries)])
    return 0


def _list(args: argparse.Namespace, home: str) -> int:
    from ..store import stops

    found = stops.load(home, lambda: shared.verifying_keys(args).ring)
    shared.emit(args, {"ok": True, "sequence": found.sequence, "stops": values(found.entries)}, lines(found.entries))
    return 0


def record(args: argparse.Namespace, ring: Keyring, event: str, what: Stop | None, sequence: int, reason: str = "") -> None:
    """Append an event to the journal.  `what` None: every stop."""
    from ..store import keys
    from ..store.journal import records
    from ..store.journal.oneshot import append_once
    from ..system import clock

    shown = {"scope": what.scope, "value": what.value} if what else {"scope": "reset", "value": ""}
    details: dict[str, object] = {**shown, "reason": reason or (what.reason if what else ""), "sequence": sequence}
    folder = args.journal or os.path.join(keys.home(), "journal")
    append_once(folder, records.event(event, clock.now_text(), details), ring, sync=True)


def values(entries: Iterable[Stop]) -> list[object]:
    """The stops' documents."""
    return [entry.to_value() for entry in entries]


def lines(entries: Iterable[Stop]) -> list[str]:
    """A line for each stop."""
    found = [f"{entry.scope} {shared.plain(entry.value)}".strip() + f"  since {entry.created_at}  {shared.plain(entry.reason)}" for entry in entries]
    return found or ["nothing is stopped"]
