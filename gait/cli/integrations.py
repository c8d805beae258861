"""`gait integrations`: what Gait stands in front of, how it is installed, and the page that says the rest."""

from __future__ import annotations

import argparse

from .. import integrations
from . import shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    shared.common(parser)
    parser.epilog = "Example: gait integrations --json"


def run(args: argparse.Namespace) -> int:
    """Print the table; exit code 0."""
    found = integrations.ALL
    width = max(len(entry.name) for entry in found)
    wide = max(len(entry.install) for entry in found)
    lines = [f"{entry.name:{width}}  {entry.status}  {entry.install:{wide}}  {entry.doc}" for entry in found]
    shared.emit(args, {"ok": True, "integrations": [entry.to_value() for entry in found]}, lines)
    return 0
