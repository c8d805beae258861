"""`gait keys`: make, renew, list and check key rings.  No secret is ever printed or taken as an argument."""

from __future__ import annotations

import argparse

from ..errors import InvalidInput, VerificationFailed
from ..signing.keys import FAMILIES, Key, Keyring
from ..store import keys as store
from ..system.files import Finding
from . import shared

SUMMARY = "make, renew, list and check the keys that sign traces and approvals"

_VERBS = {
    "init": "make a key ring with one new key; nothing is overwritten",
    "rotate": "make a new key active; the old one still verifies what it signed",
    "list": "show key ids, never secrets",
    "verify": "check a ring's owner, permissions, document and key ids",
}
_EXAMPLES = {
    "init": "gait keys init --purpose approval --path /etc/gait/approval.json",
    "rotate": "gait keys rotate --path /etc/gait/trace.json",
    "list": "gait keys list --json",
    "verify": "gait keys verify --path /etc/gait/trace.json --purpose trace",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    for name, summary in _VERBS.items():
        verb = shared.verb(verbs, name, summary, _EXAMPLES[name])
        verb.add_argument("--path", metavar="FILE", help="the key ring (default: the dev ring, $GAIT_HOME/keys/trace.json)")
        verb.add_argument("--purpose", choices=FAMILIES, help="what the ring signs; it must then be of this purpose")


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0, or 2 when `verify` has findings."""
    return {"init": _init, "rotate": _rotate, "list": _list, "verify": _verify}[args.verb](args)


def _path(args: argparse.Namespace) -> str:
    if args.path is not None:
        return str(args.path)
    if args.purpose in ("approval", "package"):
        message = f"a ring for purpose {args.purpose} has no default path: an agent's own user must not hold one"
        raise InvalidInput(message, where="--path", hint="name one: --path FILE", code="path_required")
    return store.dev_path()


def _init(args: argparse.Namespace) -> int:
    path = _path(args)
    ring = store.init(path, args.purpose or "trace")
    lines = [f"made {shared.plain(path)} for purpose {ring.purpose}", f"active {ring.active.key_id}"]
    shared.emit(args, _ring_value(path, ring), lines)
    return 0


def _rotate(args: argparse.Namespace) -> int:
    path = _path(args)
    ring = store.rotate(path, args.purpose)
    lines = [f"rotated {shared.plain(path)}", f"active  {ring.active.key_id}", f"retired {ring.retired[0].key_id}"]
    shared.emit(args, _ring_value(path, ring), lines)
    return 0


def _list(args: argparse.Namespace) -> int:
    path = _path(args)
    ring = store.load(path, args.purpose)
    rows = [f"{row['key_id']}  {row['status']:7}  {row['created_at'] or '-'}" for row in _rows(ring)]
    shared.emit(args, _ring_value(path, ring), [f"{shared.plain(path)}: purpose {ring.purpose}", *rows])
    return 0


def _verify(args: argparse.Namespace) -> int:
    path = _path(args)
    findings = store.check(path, args.purpose)
    if findings:
        shared.emit(args, _failure_value(path, findings), _failure_lines(path, findings))
        return VerificationFailed.exit_code
    ring = store.load(path, args.purpose)
    lines = [f"ok {shared.plain(path)}: purpose {ring.purpose}, active {ring.active.key_id}, {len(ring.retired)} retired"]
    shared.emit(args, {**_ring_value(path, ring), "findings": []}, lines)
    return 0


def _ring_value(path: str, ring: Keyring) -> dict[str, object]:
    return {"ok": True, "path": path, "purpose": ring.purpose, "active": ring.active.key_id, "keys": _rows(ring)}


def _rows(ring: Keyring) -> list[dict[str, str]]:
    return [_row(ring.active, "active"), *(_row(key, "retired") for key in ring.retired)]


def _row(key: Key, status: str) -> dict[str, str]:
    return {"key_id": key.key_id, "status": status, "created_at": key.created_at}


def _failure_value(path: str, findings: tuple[Finding, ...]) -> dict[str, object]:
    first = findings[0]
    error = VerificationFailed(first.message, where=path, hint=first.fix, code=first.code)
    return {**error.to_value(), "path": path, "findings": [finding._asdict() for finding in findings]}


def _failure_lines(path: str, findings: tuple[Finding, ...]) -> list[str]:
    lines = []
    for finding in findings:
        lines += [shared.plain(f"{path}: {finding.message}"), shared.plain(f"  fix: {finding.fix}")]
    return lines
