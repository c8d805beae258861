"""`gait doctor --production-readiness`: what a gate in production needs, held to the options that it will be started with."""

from __future__ import annotations

import argparse
import os

from ..doctor import Check
from ..errors import GaitError
from ..gate import profiles
from ..store import keys
from ..system import clock
from . import shared


def checks(args: argparse.Namespace, standard: list[Check]) -> list[Check]:
    """The standard checks, of which no warning is good enough here, and those of production."""
    strict = [check._replace(status="fail") if check.status == "warn" else check for check in standard]
    return [*strict, *_setup(args), *_key(args), _policy(args), _place(), _counters(), _switch(args)]


def _setup(args: argparse.Namespace) -> list[Check]:
    has_key = bool(args.approval_key or args.approval_key_env)
    found = profiles.setup_findings(profiles.Setup("oss-prod", args.key_mode, has_key, args.credential_broker))
    return [Check("profile", "fail", f"oss-prod asks for {text}", "start the gate with it") for text in found] or [Check("profile", "ok", "oss-prod can be used")]


def _key(args: argparse.Namespace) -> list[Check]:
    """The keys can be read, and nobody else can use their files."""
    found = []
    for path, purpose in ((args.private_key, "trace"), *((text.rpartition("=")[2], "approval") for text in args.approval_key)):
        for finding in _findings(path, purpose) if path else ():
            found.append(Check("keys", "fail", f"{path}: {finding[0]}", finding[1]))
    try:
        shared.allowances(args)
        if args.key_mode == "prod":
            shared.signing_keys(args)
    except GaitError as error:
        found.append(Check("keys", "fail", str(error), error.hint))
    return found or [Check("keys", "ok", "provisioned keys are private and readable")]


def _findings(path: str, purpose: str) -> list[tuple[str, str]]:
    try:
        return [(finding.message, finding.fix) for finding in keys.check(path, purpose)]
    except GaitError as error:
        return [(error.message, error.hint)]


def _policy(args: argparse.Namespace) -> Check:
    if not args.policy:
        return Check("policy_profile", "fail", "no policy was given", "add --policy FILE")
    try:
        found = profiles.policy_findings(shared.read_policy(args.policy).policy)
    except GaitError as error:
        return Check("policy_profile", "fail", str(error), error.hint)
    if found:
        return Check("policy_profile", "fail", "oss-prod asks for " + "; ".join(found), "change the policy (docs/config.md)")
    return Check("policy_profile", "ok", "nothing risky passes without a credential")


def _place() -> Check:
    """An agent must not find the gate's keys and counts in its workspace, nor run as the user who owns them."""
    try:
        home, here = os.path.realpath(keys.home()), os.path.realpath(os.getcwd())
    except (GaitError, OSError) as error:
        return Check("place", "fail", str(error), "set GAIT_HOME to a private folder")
    if os.path.join(home, "").startswith(os.path.join(here, "")):
        return Check("place", "fail", f"{home} is inside the working directory {here}", "put GAIT_HOME where no agent works")
    return Check("place", "ok", f"{home} is outside the working directory; agents must run as another user than the gate")


def _counters() -> Check:
    """The store works, and its time is not ahead of the clock."""
    from ..store.counters import FOLDER, Counters

    counters = Counters(os.path.join(keys.home(), FOLDER))
    try:
        with counters.turn() as turn:
            ahead = turn.now - clock.now()
    except GaitError as error:
        return Check("counters", "fail", str(error), error.hint)
    finally:
        counters.close()
    if ahead > 1:
        detail = f"something was counted {ahead:.0f} s in the future: windows of that time stay open until then"
        return Check("counters", "fail", detail, "set the clock, wait, or begin anew: docs/limits.md")
    return Check("counters", "ok", f"{counters.path} can be locked and read")


def _switch(args: argparse.Namespace) -> Check:
    from ..store import stops

    try:
        found = stops.load(keys.home(), lambda: shared.verifying_keys(args).ring)
    except GaitError as error:
        return Check("stops", "fail", str(error), error.hint)
    named = ", ".join(f"{entry.scope} {entry.value}".strip() for entry in found.entries)
    if named:
        return Check("stops", "fail", f"stopped: {named}", "gait resume, when that is over")
    return Check("stops", "ok", "nothing is stopped")
