"""`gait run prove`: that a redacted value of a run was this one."""

from __future__ import annotations

import argparse

from ..errors import InvalidInput, VerificationFailed
from ..formats import strict_json
from . import shared

_MAX_VALUE_BYTES = 16 * 1024 * 1024


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `prove`."""
    verb = shared.verb(verbs, "prove", "check that a redacted value was this one", "gait run prove run_1 --intent-id intent_1 --path args.token --redact-salt salt --value value.json")
    verb.add_argument("run", metavar="RUN", help="a run's id, or the path of its pack")
    verb.add_argument("--intent-id", required=True, metavar="ID", help="the step")
    verb.add_argument("--path", required=True, metavar="PATH", help="the value's path, as `redactions` gives it")
    verb.add_argument("--value", required=True, metavar="FILE", help="the value, as JSON; - is standard input")
    salts = verb.add_mutually_exclusive_group(required=True)
    salts.add_argument("--redact-salt", metavar="FILE", help="the salt of the whole run, which only its operator should have")
    salts.add_argument("--value-salt", metavar="HEX", help="the salt of this value alone, which this command prints for the operator")
    shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the value is proved, 2 when it was another one."""
    from ..runpack import redact
    from . import packs

    data = shared.read_input(args.value, _MAX_VALUE_BYTES, "a value")
    value = strict_json.loads(data, shared.source_name(args.value))
    own_salt = _own_salt(args)
    with packs.loaded(args.run, packs.keys(args).ring) as pack:
        held = [(step.intent, step.result) for step in pack.steps() if step.intent.intent_id == args.intent_id]
    if not held:
        raise InvalidInput(f"expected a step of this run, got {args.intent_id[:80]!r}", where="--intent-id", code="step_not_found")
    intent, result = held[0]
    redacted = {*intent.redactions, *(result.redactions if result else ())}
    found = redact.marks({"args": intent.args, "intent": intent.intent, "result": result.result if result else None}, "")
    mark = found.get(f".{args.path}")
    if mark is None or args.path not in redacted:
        raise InvalidInput(f"expected one of the step's redactions, got {args.path[:80]!r}", where="--path", hint="see gait run inspect --json", code="path_not_found")
    if redact.mark(value, own_salt) != mark:
        message = "expected the value that was redacted, got another value or salt"
        raise VerificationFailed(message, where=args.path, hint="it proves nothing", code="value_mismatch")
    answer: dict[str, object] = {"ok": True, "intent_id": args.intent_id, "path": args.path, "digest": mark, "value_salt": own_salt.hex()}
    shared.emit(args, answer, shared.rows([("proved", args.path), ("digest", mark), ("value_salt", own_salt.hex())]))
    return 0


def _own_salt(args: argparse.Namespace) -> bytes:
    from ..runpack import redact
    from .run_record import read_salt

    if args.redact_salt:
        return redact.value_salt(read_salt(args.redact_salt), args.intent_id, args.path)
    try:
        return bytes.fromhex(args.value_salt)
    except ValueError:
        raise InvalidInput("expected hex digits", where="--value-salt", code="invalid_usage") from None
