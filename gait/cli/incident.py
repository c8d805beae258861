"""`gait incident`: a run with what else was decided around its time."""

from __future__ import annotations

import argparse
import re

from ..errors import InvalidInput
from ..guard.controls import NAMES
from . import shared

_DURATION = re.compile("([1-9][0-9]{0,7})([smhd])")
_MAX_SECONDS = 3660 * 86400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    from . import evidence

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    pack = shared.verb(verbs, "pack", "write a run and the decisions around it as one signed archive", "gait incident pack --from run_demo --window 24h")
    pack.add_argument("--from", dest="run", required=True, metavar="RUN", help="a run's id, or the path of its pack")
    pack.add_argument("--window", required=True, metavar="D", help="how long before and after the run, for example 30m, 24h or 7d")
    pack.add_argument("--template", choices=NAMES, default="incident_response", help="the list of controls (default incident_response)")
    evidence.options(pack)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the pack is written."""
    from . import evidence

    return evidence.write(args, evidence.Wanted("incident", args.run, args.template, _seconds(args.window)))


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _MAX_SECONDS:
        message = f"must be a number with s, m, h or d, of at most ten years; got {text[:40]!r}"
        raise InvalidInput(message, where="--window", hint="for example 24h", code="invalid_usage")
    return float(seconds)
