"""`gait approvals`: the tokens and grants of this $GAIT_HOME: list, show and revoke them."""

from __future__ import annotations

import argparse
import os

from ..errors import InvalidInput
from ..formats import timestamps
from ..gate.approvals import quota_of
from ..store import keys
from ..store.approvals import FOLDER, Approvals, Kept
from ..store.counters import FOLDER as COUNTERS
from ..store.counters import NAME, Counters
from ..system import clock
from . import shared

_SHOWN = ("approver_identity", "reason_code", "scope", "tool_name", "identity", "intent_digest", "policy_digest", "not_before", "expires_at")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    shared.verb(verbs, "list", "show every token and grant, and what is left of it", "gait approvals list --json")
    show = shared.verb(verbs, "show", "show one token or grant", "gait approvals show 0123456789abcdef01234567")
    revoke = shared.verb(verbs, "revoke", "take a token or grant back, for good", "gait approvals revoke 0123456789abcdef01234567 --by bob --reason-code mistake")
    for verb in (show, revoke):
        verb.add_argument("id", metavar="ID", help="its token_id or grant_id")
    revoke.add_argument("--by", required=True, metavar="NAME", help="who revokes it")
    revoke.add_argument("--reason-code", required=True, metavar="CODE", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0."""
    store = Approvals(os.path.join(keys.home(), FOLDER))
    if args.verb == "revoke":
        path = store.revoke(args.id, args.by, args.reason_code)
        shared.emit(args, {"ok": True, "id": args.id, "path": path}, [f"revoked {args.id}"])
    elif args.verb == "show":
        _show(args, store, store.find(args.id))
    else:
        _list(args, store)
    return 0


def _list(args: argparse.Namespace, store: Approvals) -> None:
    found = [_summary(store, kept) for kept in store.all()]
    rows = [f"{row['id']}  {row['kind']:5}  {row['state']:13}  {row['used']}/{row['max_uses']}  {shared.plain(str(row['for']))}" for row in found]
    shared.emit(args, {"ok": True, "approvals": found}, rows or ["no approvals"])


def _show(args: argparse.Namespace, store: Approvals, kept: Kept) -> None:
    row = _summary(store, kept)
    document = kept.value if isinstance(kept.value, dict) else {}
    fields = [(name, _text(document.get(name))) for name in _SHOWN]
    lines = [("id", kept.id), ("kind", str(row["kind"])), ("state", str(row["state"])), ("used", f"{row['used']} of {row['max_uses']}"), *fields]
    shared.emit(args, {"ok": True, **row, "path": kept.path, "document": kept.value}, shared.rows(lines))


def _summary(store: Approvals, kept: Kept) -> dict[str, object]:
    """What is to be said of a document without its key: it is not verified here."""
    document = kept.value if isinstance(kept.value, dict) else {}
    uses = document.get("max_uses", 1)
    used = _used(kept, document)
    state = "revoked" if store.is_revoked(kept.id) else _state(document, used, uses)
    names = document.get("scope") or document.get("tool_name") or ""
    row = {"id": kept.id, "kind": kept.kind[:-1], "state": state, "used": used, "max_uses": uses, "for": _text(names)}
    return {**row, "approver_identity": document.get("approver_identity"), "expires_at": document.get("expires_at")}


def _state(document: dict[str, object], used: int, uses: object) -> str:
    try:
        if timestamps.loads(str(document["expires_at"])) <= clock.now():
            return "expired"
    except (KeyError, InvalidInput):
        return "unreadable"
    return "used" if isinstance(uses, int) and used >= uses else "open"


def _used(kept: Kept, document: dict[str, object]) -> int:
    """How often it was used; the counters are not made for the question."""
    folder = os.path.join(keys.home(), COUNTERS)
    if not os.path.lexists(os.path.join(folder, NAME)):
        return 0
    counters = Counters(folder)
    try:
        with counters.turn() as turn:
            return turn.used(quota_of(kept.kind[:-1], kept.id, 1, 0.0))
    finally:
        counters.close()


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
