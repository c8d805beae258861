"""`gait version`: it imports nothing else of Gait, so that it works when the rest does not."""

from __future__ import annotations

import argparse
import json
import sys

from .. import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = "Example: gait version --json"


def run(args: argparse.Namespace) -> int:
    """Print the version; exit code 0."""
    value = {"ok": True, "version": __version__, "python": "%d.%d.%d" % sys.version_info[:3]}
    print(json.dumps(value) if args.json else f"gait {__version__}")
    return 0
