"""`gait approve`: a person's yes to one call, or to calls of a kind, as a signed token or grant that evaluators will believe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from ..errors import InvalidInput, UnsafeOperation
from ..formats import strict_json, timestamps
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..gate.approval_fields import same_person
from ..gate.approval_grants import Grant, read_constraint
from ..gate.approval_grants import sign as sign_grant
from ..gate.approval_tokens import Token
from ..gate.approval_tokens import sign as sign_token
from ..store import keys
from ..store.approvals import FOLDER, Approvals, load_approvers
from ..system import clock, files
from . import shared

if TYPE_CHECKING:
    from ..signing.keys import Key

_MAX_TRACE_BYTES = 32 * 1024 * 1024
_MAX_TARGETS = 20
_ID_BYTES = 12
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHOWN = ("tool_name", "args_digest", "matched_rule", "reason_codes", "violations", "created_at", "trace_id", "policy_digest")
_CONTEXT = ("identity", "workspace", "risk_class", "session_id")
_EXAMPLE = "gait approve --trace trace.json --approver bob --reason-code ticket-7 --approval-key /etc/gait/approval.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = f"Example: {_EXAMPLE}"
    option = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--trace", metavar="FILE", help="approve the call of this trace, which must verify")
    what.add_argument("--trace-id", metavar="HEX", help="approve the call that a decision of --journal is about, such as a refusal names it")
    what.add_argument("--intent-digest", metavar="HEX", help="approve the call with this digest, which you cannot see: prefer --trace")
    what.add_argument("--grant", action="store_true", help="approve every call of --tool by --identity that --arg-constraint allows")
    option("--journal", metavar="DIR", help="the journal that holds the decision of --trace-id; it must verify")
    option("--policy-digest", metavar="HEX", help="the policy that asked (--intent-digest), or the only one a grant holds under")
    option("--scope", action="append", default=[], metavar="tool:NAME", help="the tool it is for (default: that of the trace); may be repeated")
    option("--tool", metavar="NAME", help="the tool of a grant")
    option("--identity", metavar="NAME", help="who may use a grant")
    about = "what must hold of an argument: NAME=VALUE, NAME<=N, NAME>=N, NAME~PATH_PATTERN; may be repeated"
    option("--arg-constraint", action="append", default=[], metavar="TEST", help=about)
    option("--approver", required=True, metavar="NAME", help="who approves; never the call's own identity")
    option("--reason-code", required=True, metavar="CODE", help="why, for the record")
    option("--ttl", default="15m", metavar="TIME", help="how long it holds, such as 90s, 15m, 8h, 2d (default 15m)")
    option("--not-before", metavar="TIME", help="when it begins to hold, RFC 3339 (default: now)")
    option("--max-uses", type=int, default=1, metavar="N", help="how many calls may use it (default 1)")
    option("--approval-key", metavar="FILE", help="the approver's key ring (gait keys init --purpose approval)")
    option("--approval-key-env", metavar="NAME", help="the environment variable that holds it")
    option("--out", metavar="FILE", help="write it here, and not where evaluators of this $GAIT_HOME look")
    option("--yes", action="store_true", help="do not ask on the terminal")
    shared.key_options(parser)
    shared.public_key_option(parser)
    shared.common(parser)


class _Made(NamedTuple):
    """A signed approval, ready to be kept."""

    kind: str
    id: str
    document: dict[str, object]


def run(args: argparse.Namespace) -> int:
    """Make an approval: exit code 0, 2 for a trace that does not verify, 6 and 8 for what cannot be approved."""
    key = _key(args)
    made = _grant(args, key) if args.grant else _token(args, key)
    store = Approvals(os.path.join(keys.home(), FOLDER))
    if args.out is not None:
        files.write_atomic(args.out, shared.dumps(made.document).encode("ascii") + b"\n", sync=True)
        path = str(args.out)
    else:
        path = store.save_token(made.document) if made.kind == "token" else store.save_grant(made.document)
    _report(args, made, path)
    return 0


def _key(args: argparse.Namespace) -> Key:
    if bool(args.approval_key) == bool(args.approval_key_env):
        message = "expected --approval-key FILE or --approval-key-env NAME, exactly one of the two"
        raise InvalidInput(message, hint="make one: gait keys init --purpose approval --path FILE", code="key_required")
    named, variables = ([args.approval_key], []) if args.approval_key else ([], [args.approval_key_env])
    return load_approvers(named, variables)[0].ring.active


def _token(args: argparse.Namespace, key: Key) -> _Made:
    for name in ("tool", "identity", "arg_constraint"):
        if getattr(args, name):
            raise _usage(f"--{name.replace('_', '-')}", "is for --grant")
    if args.journal is not None and args.trace_id is None:
        raise _usage("--journal", "is for --trace-id")
    if args.trace is not None or args.trace_id is not None:
        intent_digest, policy_digest, scope = _of_trace(args)
    else:
        intent_digest, policy_digest, scope = args.intent_digest, args.policy_digest or "", []
        if not policy_digest or not args.scope:
            raise _usage("--intent-digest", "needs --policy-digest HEX and --scope tool:NAME")
    now, window = _window(args)
    token = Token(_new_id(), args.approver, args.reason_code, intent_digest, policy_digest, tuple(args.scope or scope), now, *window, args.max_uses)
    return _Made("token", token.token_id, _signed(lambda: sign_token(token, key)))


def _record(args: argparse.Namespace) -> tuple[dict[str, object], str]:
    """The verified decision to approve, and what errors call it."""
    if args.trace_id is not None:
        return _of_journal(args), args.trace_id
    from .trace import verified

    source = shared.source_name(args.trace)
    record = strict_json.loads_object(shared.read_input(args.trace, _MAX_TRACE_BYTES, "a trace"), source, _MAX_TRACE_BYTES)
    verified(args, record, source)
    return record, source


def _of_journal(args: argparse.Namespace) -> dict[str, object]:
    """The last decision with the id in a journal, all of which verifies."""
    from .evidence_sources import JournalTraces

    if args.journal is None:
        raise _usage("--trace-id", "needs --journal DIR")
    ring = shared.verifying_keys(args).ring
    found = None
    for found in JournalTraces(args.journal, ring).of_run((args.trace_id,), {}):
        pass
    if found is None:
        raise InvalidInput("expected the trace_id of a decision in this journal, got another", where=args.trace_id[:40], code="decision_not_found")
    return found


def _of_trace(args: argparse.Namespace) -> tuple[str, str, list[str]]:
    """The digests and the tool of a trace that waits for an approval, once a person has seen it."""
    record, source = _record(args)
    if record["verdict"] != "require_approval":
        message = f"expected a call that waits for an approval, got one that was answered {str(record['verdict'])[:40]}"
        raise InvalidInput(message, where=source, hint="only require_approval can be approved", code="approval_not_required")
    context = record.get("context")
    context = context if isinstance(context, dict) else {}
    if same_person(args.approver, str(context.get("identity", ""))):
        hint = "another person has to approve it"
        raise UnsafeOperation("who asked for a call cannot approve it", where="--approver", hint=hint, code="approval_self_approved")
    shown = [*((name, _text(record.get(name))) for name in _SHOWN), *((name, _text(context.get(name))) for name in _CONTEXT)]
    _confirm(args, shared.rows([*shown, *_captured(record)]))
    digest = record.get("approval_digest", record["intent_digest"])
    return str(digest), str(record["policy_digest"]), [f"tool:{record['tool_name']}"]


def _captured(record: dict[str, object]) -> list[tuple[str, str]]:
    """What the record keeps of the call itself: its targets, and its arguments where the operator has them captured."""
    intent = record.get("intent")
    kept = intent if isinstance(intent, dict) else {}
    targets = kept.get("targets")
    places = [target for target in (targets if isinstance(targets, list) else []) if isinstance(target, dict)]
    rows = [("target", f"{_text(place.get('kind'))} {shared.short(_text(place.get('value')))}") for place in places[:_MAX_TARGETS]]
    if len(places) > _MAX_TARGETS:
        rows.append(("target", f"and {len(places) - _MAX_TARGETS} more"))
    return [*rows, ("args", shared.dumps(kept["args"]))] if isinstance(kept.get("args"), dict) else rows


def _grant(args: argparse.Namespace, key: Key) -> _Made:
    if args.scope:
        raise _usage("--scope", "is for one call; a grant has --tool")
    if not args.tool or not args.identity:
        raise _usage("--grant", "needs --tool NAME and --identity NAME")
    if same_person(args.approver, args.identity):
        hint = "another person has to approve it"
        raise UnsafeOperation("who makes the calls cannot approve them", where="--approver", hint=hint, code="approval_self_approved")
    constraints = tuple(read_constraint(text) for text in args.arg_constraint)
    now, window = _window(args)
    grant = Grant(
        _new_id(), args.approver, args.reason_code, args.tool, args.identity, constraints, args.policy_digest or "", now, *window, args.max_uses
    )
    document = _signed(lambda: sign_grant(grant, key))
    lines = [("tool", args.tool), ("identity", args.identity), *(("argument", text) for text in args.arg_constraint)]
    _confirm(args, shared.rows([*lines, ("uses", str(args.max_uses)), ("until", window[1])]))
    return _Made("grant", grant.grant_id, document)


def _signed(sign: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What `sign` makes; its errors name members, which the options are called after."""
    try:
        return sign()
    except InvalidInput as error:
        error.where = error.where or "--" + str(error.path[0] if error.path else "").replace("_", "-")
        raise


def _window(args: argparse.Namespace) -> tuple[str, tuple[str, str]]:
    """Now, and from when to when an approval holds."""
    seconds = _seconds(args.ttl)
    now = clock.now()
    start = now
    if args.not_before is not None:
        start = timestamps.loads(args.not_before)
    return timestamps.dumps(int(now)), (timestamps.dumps(int(start)), timestamps.dumps(int(start) + seconds))


def _seconds(text: str) -> int:
    number, unit = text[:-1], _UNITS.get(text[-1:], 0)
    if unit and number.isascii() and number.isdigit() and len(number) <= 9 and int(number):
        return int(number) * unit
    raise _usage("--ttl", f"must be a number and s, m, h or d, such as 15m; got {text[:40]!r}")


def _confirm(args: argparse.Namespace, lines: list[str]) -> None:
    """Show what is approved, and go on only when a person says so."""
    if args.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty() or args.trace == "-":
        hint = "run it on a terminal, or add --yes"
        raise UnsafeOperation("an approval needs a person's confirmation", where="gait approve", hint=hint, code="confirmation_required")
    shared.write("\n".join(lines), sys.stderr)
    shared.write("Approve this? Type yes:", sys.stderr)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UnsafeOperation("not approved", where="gait approve", hint="nothing was made", code="confirmation_refused")


def _report(args: argparse.Namespace, made: _Made, path: str) -> None:
    shown = {name: field for name, field in made.document.items() if name not in ("schema_id", "schema_version", "producer_version", "signature")}
    value = {"ok": True, "kind": made.kind, **shown, "path": path}
    lines = [("approved", f"{made.kind} {made.id}"), ("approver", args.approver), ("until", _text(shown["expires_at"]))]
    lines += [("uses", _text(shown["max_uses"])), ("file", path), ("next", "make the same call again")]
    shared.emit(args, value, shared.rows(lines))


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _new_id() -> str:
    return os.urandom(_ID_BYTES).hex()


def _usage(where: str, message: str) -> InvalidInput:
    return InvalidInput(message, where=where, hint="see gait approve --help", code="invalid_usage")
