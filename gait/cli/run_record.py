"""`gait run record`: a run from a document or from what a journal recorded."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..runpack.pack import Head, Packed, Recorded
    from ..runpack.record import Given
    from ..runpack.redact import Redaction
    from ..signing.keys import Keyring
    from ..store.runs import Scratch

_MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
_MAX_LINE_BYTES = 17 * 1024 * 1024
_MAX_SALT_BYTES = 1024


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `record`."""
    verb = shared.verb(verbs, "record", "write a runpack", "gait run record --journal ~/.gait/journal --session-id s1 --sign")
    verb.add_argument("--input", metavar="FILE", help="the run: a gait.runpack.record, as JSON or (a name in .jsonl) line by line; - is standard input")
    verb.add_argument("--journal", metavar="DIR", help="take the run from this journal; nothing of a damaged one is taken")
    verb.add_argument("--session-id", default="", metavar="ID", help="journal: only this session")
    verb.add_argument("--since", default="", metavar="TIME", help="journal: only from this RFC 3339 time on")
    verb.add_argument("--chain", default="", metavar="NAME", help="journal: only this chain")
    verb.add_argument("--policy", metavar="FILE", help="input: decide the steps that have no decision")
    verb.add_argument("--run-id", default="", metavar="ID", help="the run's id (default: derived from the content)")
    verb.add_argument("--out", default="", metavar="FILE", help="write here, replacing the file (default: a new one under $GAIT_HOME/runs)")
    verb.add_argument("--capture", choices=("reference", "raw"), default="reference", help="raw keeps arguments and results, secrets included")
    verb.add_argument("--redact", action="append", default=[], metavar="WORD", help="key=NAME or pattern=REGEX: replace such values by salted digests")
    verb.add_argument("--redact-salt", metavar="FILE", help="the salt of an earlier --redact-salt-out")
    verb.add_argument("--redact-salt-out", metavar="FILE", help="write the new salt here (mode 0600): it proves the values later")
    verb.add_argument("--sign", action="store_true", help="sign the manifest")
    shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the pack is written."""
    from ..store import runs
    from . import packs

    _check(args)
    redaction = _redaction(args)
    warnings: list[str] = []
    ring: Keyring | None = None
    if args.sign:
        ring, found = shared.signing_keys(args)
        warnings += found

    def make(out: BinaryIO, scratch: Scratch) -> Packed:
        from ..runpack.pack import Recorder

        head, steps = _journal_run(args, scratch, warnings) if args.journal else _input_run(args)
        recorder = Recorder(head._replace(run_id=args.run_id or head.run_id), scratch, args.capture == "raw", redaction)
        for step in steps:
            recorder.add(step)
        return recorder.finish(out, ring.active if ring else None)

    saved = runs.save(make, args.out)
    if args.capture == "raw":
        warnings.append("raw capture: the pack holds every argument and result as it was; who can read it can read their secrets")
    value = {**packs.saved_value(saved), "redactions": saved.packed.redactions}
    value = {**value, "warnings": warnings} if warnings else value
    rows = [("run_id", saved.packed.run_id), ("bundle", saved.path), ("steps", str(saved.packed.steps))]
    rows += [("redacted", f"{saved.packed.redactions} values" if args.redact else ""), *(("warning", text) for text in warnings)]
    shared.emit(args, value, [*shared.rows(rows), saved.packed.footer])
    return 0


def _check(args: argparse.Namespace) -> None:
    if bool(args.input) == bool(args.journal):
        raise _usage("expected either --input or --journal")
    for name in ("session_id", "since", "chain"):
        if getattr(args, name) and not args.journal:
            raise _usage(f"expected --journal with --{name.replace('_', '-')}")
    if args.policy and args.journal:
        raise _usage("expected --policy with --input only: a journal holds the decisions that were made")
    if bool(args.redact) != bool(args.redact_salt or args.redact_salt_out) or (args.redact_salt and args.redact_salt_out):
        raise _usage("expected --redact with one of --redact-salt and --redact-salt-out: without its salt nothing can be proved later")
    shared.one_standard_input(args.input, args.policy)
    outputs = [os.path.realpath(path) for path in (args.out, args.redact_salt_out) if path]
    inputs = {os.path.realpath(path) for path in (args.input, args.policy, args.private_key, args.redact_salt) if path}
    if len(set(outputs)) < len(outputs) or inputs & set(outputs):
        raise _usage("expected an output of its own, got the file of another option")


def _usage(message: str) -> InvalidInput:
    return InvalidInput(message, where="gait run record", hint="see gait run record --help", code="invalid_usage")


# --- input


def _input_run(args: argparse.Namespace) -> tuple[Head, Iterator[Recorded]]:
    from ..formats import strict_json
    from ..runpack import record

    given = _given(args)
    source = shared.source_name(args.input)
    if args.input.endswith(".jsonl"):
        return record.read_lines(_lines(args.input), given, source)
    data = shared.read_input(args.input, _MAX_DOCUMENT_BYTES, "a run (a longer one can be given as .jsonl)")
    try:
        return record.read(strict_json.loads(data, source, _MAX_DOCUMENT_BYTES), given)
    except InvalidInput as error:
        error.where = error.where or source
        raise


def _given(args: argparse.Namespace) -> Given:
    from .. import adapters
    from ..judge import DEFAULTS
    from ..runpack.record import Given

    policy = shared.read_policy(args.policy) if args.policy else None
    return Given(lambda adapter, call, context: adapters.to_document(adapter, call, {**DEFAULTS, **context}), policy)


def _lines(path: str) -> Iterator[bytes]:
    from ..store import runs

    with runs.open_pack(path) as file:
        while True:
            line = file.readline(_MAX_LINE_BYTES)
            if not line:
                return
            yield line


# --- journal


def _journal_run(args: argparse.Namespace, scratch: Scratch, warnings: list[str]) -> tuple[Head, Iterator[Recorded]]:
    from ..errors import VerificationFailed
    from ..formats import timestamps
    from ..runpack.journal import Collector, Selection
    from ..runpack.pack import Head
    from ..store.journal.verify import Audit

    since = timestamps.loads(args.since) if args.since else None
    collector = Collector(Selection(args.session_id, since, args.chain), scratch())
    audit = Audit(args.journal, shared.verifying_keys(args).ring)
    for record, line in audit:
        collector.see(record, line)
    report = audit.report()
    if not report.ok:
        first = report.findings[0]
        message = f"{first.line()} ({report.total} findings): nothing of a damaged journal is recorded"
        raise VerificationFailed(message, where=args.journal, hint="see gait journal verify", code=first.code)
    if not len(collector):
        raise InvalidInput("expected decisions that are selected, got none", where=args.journal, hint="see gait journal stats", code="nothing_selected")
    if collector.without_intent:
        warnings.append(f"{collector.without_intent} of {len(collector)} records hold no intent: they cannot be evaluated again")
    return Head(), collector.steps()


# --- redaction


def _redaction(args: argparse.Namespace) -> Redaction | None:
    from ..errors import StorageError
    from ..runpack import redact
    from ..signing.keys import base64_dumps
    from ..system import files

    if not args.redact:
        return None
    redact.read(args.redact, b"")  # a mistake in the words must not leave a salt behind
    if args.redact_salt:
        return redact.read(args.redact, read_salt(args.redact_salt))
    salt = os.urandom(redact.SALT_BYTES)
    try:
        files.write_exclusive(args.redact_salt_out, base64_dumps(salt).encode() + b"\n")
    except StorageError as error:
        error.hint = error.hint or "name a new file"
        raise
    return redact.read(args.redact, salt)


def read_salt(path: str) -> bytes:
    """The salt that --redact-salt-out has written."""
    from ..runpack.redact import SALT_BYTES
    from ..signing.keys import base64_loads
    from ..system import files

    try:
        salt = base64_loads(files.read_private(path, _MAX_SALT_BYTES, "a salt").decode("ascii", "replace").strip())
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"expected {SALT_BYTES} bytes in base64, got something else", where=path, code="salt_invalid")
    return salt
