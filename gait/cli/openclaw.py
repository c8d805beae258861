"""`gait openclaw`: install the skill and the plugin gait-gate into OpenClaw, check that they enforce, take them out again."""

from __future__ import annotations

import argparse
import sys

from ..bridges.openclaw import install, package, places
from ..bridges.openclaw.host import Edits
from ..formats.documents import TYPE_CHECKING
from ..hosts import json_text
from . import shared

if TYPE_CHECKING:
    from ..bridges.openclaw.checks import Check

_EXAMPLE = "python3 -I gait.py openclaw"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    setup = shared.verb(verbs, "install", "lay down the skill and the plugin, enable them, and prove that they veto", f"{_EXAMPLE} install --policy policy.yaml")
    _folders(setup)
    setup.add_argument("--policy", default="", metavar="FILE", help="the policy to install (default: the package's own baseline)")
    setup.add_argument("--no-plugin", action="store_true", help="only the skill, which by itself enforces nothing")
    setup.add_argument("--force", action="store_true", help="replace an edited policy or skill_config.json too, after a backup")
    setup.add_argument("--dry-run", action="store_true", help="only say what would be done")
    setup.add_argument("--uninstall", action="store_true", help="the same as gait openclaw uninstall")
    setup.add_argument("--verify", action="store_true", help="the same as gait openclaw doctor")
    removal = shared.verb(verbs, "uninstall", "take out everything but Gait's home, which holds the evidence", f"{_EXAMPLE} uninstall")
    _folders(removal)
    removal.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _folders(shared.verb(verbs, "doctor", "check that it is present, unmodified, enabled, loaded, and refuses", f"{_EXAMPLE} doctor --json"))
    shared.verb(verbs, "manifest", "print the manifest of skills/openclaw as it is now", f"{_EXAMPLE} manifest > skills/openclaw/skill_manifest.json")


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target-dir", metavar="DIR", help="the skill's folder (default ~/.openclaw/skills/gait-gate)")
    parser.add_argument("--plugin-dir", metavar="DIR", help="the plugin's folder (default ~/.openclaw/extensions/gait-gate)")


def run(args: argparse.Namespace) -> int:
    """0: done and proven.  2: a check failed.  8: something is in the way."""
    if args.verb == "manifest":
        shared.write(package.dumps(package.manifest(package.shipped(places.find(None, None).root))).decode("ascii").rstrip("\n"), sys.stdout)
        return 0
    found = places.find(args.target_dir, args.plugin_dir, not getattr(args, "no_plugin", False))
    edits = Edits(json_text.insert, json_text.replace, json_text.remove)
    wish = install.Wish(getattr(args, "policy", ""), getattr(args, "force", False), getattr(args, "dry_run", False), args.plugin_dir is None)
    if args.verb == "uninstall" or getattr(args, "uninstall", False):
        done = install.uninstall(found, wish, edits)
    elif args.verb == "doctor" or getattr(args, "verify", False):
        done = install.verify(found)
    else:
        done = install.install(found, wish, edits)
    shared.emit(args, done.to_value(), _lines(done))
    return 0 if done.ok else 2


def _lines(done: install.Done) -> list[str]:
    where = [("result", done.result), ("skill", done.places.skill), ("plugin", done.places.plugin), ("package", done.package_digest)]
    named = [(name, shared.plain(item)) for name in ("changed", "kept", "backups", "warnings") for item in getattr(done, name)]
    return shared.rows(where + named) + [line for check in done.checks for line in _check_lines(check)]


def _check_lines(check: Check) -> list[str]:
    status = shared.colored({"ok": "ok", "warn": "require_approval"}.get(check.status, "error"), f"{check.status:4}", sys.stdout)
    line = f"{status}  {check.name:13}  {shared.plain(check.detail)}"
    return [line, f"      fix: {shared.plain(check.fix)}"] if check.fix and check.status != "ok" else [line]
