"""`gait version`: it imports nothing else of Gait but build.py for --json, so that it works when the rest does not."""

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
    if not args.json:
        print(f"gait {__version__}")
        return 0
    from .. import build

    python = "%d.%d.%d" % sys.version_info[:3]
    print(json.dumps({"ok": True, "version": __version__, "python": python, "build_digest": build.digest()}))
    return 0
