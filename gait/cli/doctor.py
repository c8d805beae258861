"""`gait doctor`: check this installation.  `gait doctor adoption`: count what the logs of commands say (docs/metrics.md)."""

from __future__ import annotations

import argparse
import sys

from .. import doctor
from ..hosts.checks import check_hooks
from . import shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    shared.common(parser)
    parser.add_argument("--policy", metavar="FILE", help="also check this policy")
    parser.add_argument("--production-readiness", action="store_true", help="also check what the profile oss-prod asks for; give the gate's own options")
    shared.key_options(parser)
    shared.approval_key_options(parser)
    shared.credential_options(parser)
    shared.skill_options(parser)
    parser.add_argument("what", nargs="?", choices=("adoption",), help="adoption: count the commands in --from instead")
    parser.add_argument("--from", dest="logs", action="append", default=[], metavar="FILE", help="adoption: a log of commands; may be given again")
    parser.epilog = "Example: python3 -I gait.py doctor --policy policy.yaml"


def run(args: argparse.Namespace) -> int:
    """Print every check; exit code 0, or 2 when one failed."""
    if args.what or args.logs:
        from . import doctor_adoption

        return doctor_adoption.run(args)
    read_policy = (lambda: shared.read_policy(args.policy).policy.digest) if args.policy else None
    checks = doctor.check_installation(read_policy, check_hooks)
    if args.production_readiness:
        from . import doctor_production

        checks = doctor_production.checks(args, checks)
    failed = [check for check in checks if check.status == "fail"]
    value: dict[str, object] = {"ok": not failed, "checks": [check.to_value() for check in checks]}
    width = max(len(check.name) for check in checks)
    shared.emit(args, value, [line for check in checks for line in _lines(check, width)])
    return 2 if failed else 0


def _lines(check: doctor.Check, width: int) -> list[str]:
    status = shared.colored({"ok": "ok", "warn": "require_approval"}.get(check.status, "error"), f"{check.status:4}", sys.stdout)
    line = f"{status}  {check.name:{width}}  {shared.plain(check.detail)}"
    return [line, f"      fix: {shared.plain(check.fix)}"] if check.fix else [line]
