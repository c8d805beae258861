"""`gait trace`: verify a signed decision, and show it."""

from __future__ import annotations

import argparse

from ..errors import GaitError, VerificationFailed
from ..formats import strict_json
from . import shared

MAX_BYTES = 32 * 1024 * 1024  # a trace holds the tool name, and a call may have 16 MiB
_SHOWN = (
    "verdict", "simulated_verdict", "tool_name", "matched_rule", "reason_codes", "violations", "created_at", "trace_id", "correlation_id",
    "policy_digest", "intent_digest", "args_digest", "producer_version",
)  # fmt: skip
_CONTEXT = ("identity", "workspace", "risk_class", "session_id", "request_id")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    for name, summary in (("verify", "check a trace's signature"), ("show", "show a trace, and whether it verifies")):
        verb = shared.verb(verbs, name, summary, f"gait trace {name} trace_0123456789abcdef01234567.json")
        verb.add_argument("path", metavar="FILE", help="the trace; - is standard input")
        shared.key_options(verb)
        shared.public_key_option(verb)


def run(args: argparse.Namespace) -> int:
    """Verify or show: exit code 0, or 2 when a trace that is to be verified does not."""
    source = shared.source_name(args.path)
    record = strict_json.loads_object(shared.read_input(args.path, MAX_BYTES, "a trace"), source, MAX_BYTES)
    return _verify(args, record, source) if args.verb == "verify" else _show(args, record, source)


def _verify(args: argparse.Namespace, record: dict[str, object], source: str) -> int:
    value = verified(args, record, source)
    lines = shared.rows([("verified", source), ("verdict", str(record["verdict"])), ("simulated", _text(value.get("simulated_verdict"))), ("key_id", str(value["key_id"]))])
    shared.emit(args, value, lines)
    return 0


def verified(args: argparse.Namespace, record: dict[str, object], source: str) -> dict[str, object]:
    """What a trace that verifies says.  VerificationFailed: it does not, or is another kind of document."""
    from ..gate import trace
    from ..signing import envelope

    public = shared.public_key(args)
    ring, warnings = (public, ()) if public else shared.verifying_keys(args)
    try:
        envelope.verify(record, ring, envelope.TRACE)
    except VerificationFailed as error:
        error.where = error.where or source
        raise
    if record.get("schema_id") != trace.SCHEMA_ID:
        raise VerificationFailed(f"expected a {trace.SCHEMA_ID}, got {str(record.get('schema_id'))[:80]!r}", where=source)
    for name in ("trace_id", "verdict"):
        if type(record.get(name)) is not str:
            raise VerificationFailed(f"{name}: must be text; got {strict_json.type_name(record.get(name))}", where=source)
    signature = dict(record["signature"])  # type: ignore[call-overload]
    value = {"ok": True, "trace_id": record["trace_id"], "verdict": record["verdict"], "key_id": signature["key_id"]}
    if "simulated_verdict" in record:  # this allow enforced nothing
        value["simulated_verdict"] = record["simulated_verdict"]
    return {**value, "warnings": list(warnings)} if warnings else value


def _show(args: argparse.Namespace, record: dict[str, object], source: str) -> int:
    try:
        verified(args, record, source)
        signature = "verified"
    except GaitError as error:
        signature = f"NOT VERIFIED: {error.message}"
    fields = [(name, _text(record.get(name))) for name in _SHOWN]
    context = _context(record)
    fields += [(f"context.{name}", _text(context.get(name))) for name in _CONTEXT]
    value = {"ok": True, "verified": signature == "verified", "signature": signature, "trace": record}
    shared.emit(args, value, shared.rows([("signature", signature), *fields]))
    return 0


def _context(record: dict[str, object]) -> dict[str, object]:
    context = record.get("context")
    return context if isinstance(context, dict) else {}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
