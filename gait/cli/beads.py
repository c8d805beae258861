"""`gait beads`: file refused decisions as issues of Beads, each once.  Without --live it only shows them."""

from __future__ import annotations

import argparse

from ..bridges.beads.issue import Issue, Proof, Refusal, Seen, issue, read
from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats import strict_json, timestamps
from ..formats.documents import TYPE_CHECKING, NamedTuple
from . import shared, trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..bridges.beads.bd import Program

_MAX_TRACES = 1000
_MAX_DECISIONS = 10_000
_EXAMPLE = "Example: gait beads trace_0123456789abcdef01234567.json --live"


class Found(NamedTuple):
    """One issue to file, or with `issue` None what needs none; `is_verified` is whether the record's signature holds."""

    place: str
    issue: Issue | None
    is_verified: bool
    times: int = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = _EXAMPLE
    parser.add_argument("traces", nargs="*", metavar="TRACE", help="signed traces; - is standard input")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--live", action="store_true", help="make the issues that are not there, with the program bd")
    how.add_argument("--dry-run", action="store_true", help="only show them; bd is not needed (default)")
    parser.add_argument("--journal", metavar="DIR", help="instead of traces: one issue for each distinct refused decision of a journal")
    parser.add_argument("--since", default="", metavar="TIME", help="journal: only from this RFC 3339 time on")
    parser.add_argument("--most", type=int, default=50, metavar="N", help="journal: the N most urgent decisions (default 50)")
    parser.add_argument("--allow-unverified", action="store_true", help="file what does not verify too; its issue says so")
    parser.add_argument("--bd", default="bd", metavar="PROGRAM", help="the program of Beads (default bd)")
    parser.add_argument("--beads-dir", default="", metavar="DIR", help="the .beads folder (default $BEADS_DIR, or as bd finds it)")
    parser.add_argument("--actor", default="", metavar="NAME", help="who files (default $BD_ACTOR, or gait)")
    shared.key_options(parser)
    shared.public_key_option(parser)
    shared.common(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 2: something does not verify, and nothing was filed; 7: there is no bd, or no database."""
    _check(args)
    left_off, found = _of_journal(args) if args.journal else (0, [_of_trace(args, path) for path in args.traces])
    program = _program(args) if args.live and any(item.issue for item in found) else None
    answers: list[dict[str, object]] = []
    try:
        for item in found:
            answers.append(_answer(item, program))
    except GaitError as error:
        if answers:
            error.message += f" (the first {len(answers)} of {len(found)} are done; run it again: what is filed is found)"
        raise
    value: dict[str, object] = {"ok": True, "mode": "live" if args.live else "dry_run", "issues": answers, "left_off": left_off}
    shared.emit(args, value, _lines(answers, left_off))
    return 0


def _check(args: argparse.Namespace) -> None:
    if bool(args.traces) == bool(args.journal):
        raise _usage("expected either traces or --journal")
    if args.since and not args.journal:
        raise _usage("expected --journal with --since")
    if args.public_key and args.journal:
        raise _usage("expected --public-key with traces only: journals are signed by key rings")
    if len(args.traces) > _MAX_TRACES:
        raise _usage(f"expected at most {_MAX_TRACES} traces, got {len(args.traces)}")
    if not 1 <= args.most <= _MAX_DECISIONS:
        raise _usage(f"--most: must be 1 to {_MAX_DECISIONS}; got {args.most}")
    shared.one_standard_input(*args.traces)


def _usage(message: str) -> InvalidInput:
    return InvalidInput(message, where="gait beads", hint="see gait beads --help", code="invalid_usage")


def _program(args: argparse.Namespace) -> Program:
    from ..bridges.beads.bd import Program

    return Program(args.bd, args.beads_dir, args.actor)


# --- traces ------------------------------------------------------------------------------------------


def _of_trace(args: argparse.Namespace, path: str) -> Found:
    """The issue of one trace.  VerificationFailed: it does not verify, and --allow-unverified was not given."""
    source = shared.source_name(path)
    record = strict_json.loads_object(shared.read_input(path, trace.MAX_BYTES, "a trace"), source, trace.MAX_BYTES)
    proof = _proof(args, record, source)
    try:
        refusal = read(record)
    except InvalidInput as error:
        error.where = error.where or source
        raise
    return Found(source, issue(refusal, proof) if refusal else None, bool(proof.key_id))


def _proof(args: argparse.Namespace, record: dict[str, object], source: str) -> Proof:
    try:
        return Proof(source, str(trace.verified(args, record, source)["key_id"]))
    except GaitError as error:
        names_a_key = args.key_mode != "dev" or args.public_key
        is_unproven = isinstance(error, VerificationFailed) or (error.error_code == "key_missing" and not names_a_key)
        if not (args.allow_unverified and is_unproven):
            raise
        return Proof(source, problem=error.message)


# --- a journal ---------------------------------------------------------------------------------------


class Group(NamedTuple):
    """A decision of a journal: its first record, and how often and until when it was made."""

    refusal: Refusal
    proof: Proof
    seen: Seen


def _of_journal(args: argparse.Namespace) -> tuple[int, list[Found]]:
    """How many decisions are left off, and the others' issues, most urgent first.  VerificationFailed: the journal is damaged."""
    groups, findings = _groups(args)
    if findings and not args.allow_unverified:
        message = f"{findings[0]} ({len(findings)} findings): nothing of a damaged journal is filed"
        raise VerificationFailed(message, where=args.journal, hint="see gait journal verify; --allow-unverified files what does verify")
    found = []
    for group in groups:
        place = f"{group.proof.place}; the journal is damaged: {findings[0]}" if findings else group.proof.place
        made = issue(group.refusal, group.proof._replace(place=place), group.seen)
        found.append(Found(group.proof.place, made, not findings, group.seen.times))
    found.sort(key=lambda item: (item.issue.priority if item.issue else 0, -item.times, item.issue.external_ref if item.issue else ""))
    return max(len(found) - args.most, 0), found[: args.most]


def _groups(args: argparse.Namespace) -> tuple[list[Group], list[str]]:
    from ..store.journal.verify import Audit

    since = timestamps.loads(args.since) if args.since else None
    audit = Audit(args.journal, shared.verifying_keys(args).ring)
    groups: dict[str, Group] = {}
    for record, _ in audit:
        refusal = _refusal(record, since)
        if refusal:
            _count(groups, refusal, Proof(f"{args.journal} {record['chain']}#{record['sequence']}", _key_id(record)))
    return list(groups.values()), [finding.line() for finding in audit.report().findings]


def _refusal(record: dict[str, object], since: float | None) -> Refusal | None:
    """A record's refusal: not that of an event, of an allowed call, or of an earlier time."""
    if "verdict" not in record or (since is not None and timestamps.loads(str(record["created_at"])) < since):
        return None
    return read(record)


def _key_id(record: dict[str, object]) -> str:
    signature = record["signature"]
    return str(signature["key_id"]) if isinstance(signature, dict) else ""


def _count(groups: dict[str, Group], refusal: Refusal, proof: Proof) -> None:
    group = groups.get(refusal.decision)
    at = refusal.created_at
    if group:
        seen = Seen(group.seen.times + 1, min(group.seen.first, at), max(group.seen.last, at))
        groups[refusal.decision] = group._replace(seen=seen)
        return
    if len(groups) >= _MAX_DECISIONS:
        message = f"expected at most {_MAX_DECISIONS} distinct refused decisions, got more"
        raise InvalidInput(message, where="--journal", hint="name a later --since", code="too_many_decisions")
    groups[refusal.decision] = Group(refusal, proof, Seen(1, at, at))


# --- what is done and told -----------------------------------------------------------------------------


def _answer(found: Found, program: Program | None) -> dict[str, object]:
    head: dict[str, object] = {"trace": found.place, "verified": found.is_verified}
    if found.issue is None:
        return {**head, "result": "not_refused"}
    known = {**head, **found.issue.to_value(), "occurrences": found.times}
    if program is None:
        return {**known, "result": "not_filed"}
    number, is_new = program.file(found.issue)
    return {**known, "result": "created" if is_new else "exists", "id": number}


def _lines(answers: list[dict[str, object]], left_off: int) -> list[str]:
    lines = [line for answer in answers for line in _answer_lines(answer)]
    return [*lines, f"{left_off} less urgent decisions are left off (--most)"] if left_off else lines


def _answer_lines(answer: dict[str, object]) -> Iterator[str]:
    head = [("trace", str(answer["trace"])), ("result", str(answer["result"])), ("id", str(answer.get("id", "")))]
    if "title" not in answer:
        yield from shared.rows(head)
        return
    labels = answer["labels"]
    shown = [("title", str(answer["title"])), ("priority", str(answer["priority"])), ("labels", ", ".join(labels) if isinstance(labels, list) else "")]
    yield from shared.rows([*head, *shown, ("external_ref", str(answer["external_ref"]))])
    if answer["result"] == "not_filed":
        yield from ["", *(shared.plain(line) for line in str(answer["body"]).splitlines()), ""]
