"""`gait verify`: one command for every kind of evidence: a run, an evidence pack, a trace, a journal."""

from __future__ import annotations

import argparse
import os

from ..errors import InvalidInput, VerificationFailed
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from ..runpack.verify import Report
    from ..store.runs import Place

_SPACE = b" \t\r\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = "Example: gait verify run_demo"
    parser.add_argument("path", metavar="RUN|PATH", help="a run's id, a runpack, an evidence pack, a trace, or a journal's folder")
    parser.add_argument("--require-signature", action="store_true", help="an unsigned run is a finding too")
    parser.add_argument("--head", action="append", default=[], metavar="FILE", help="journal: a head kept elsewhere; may be given again")
    shared.common(parser)
    shared.key_options(parser)
    shared.public_key_option(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 2 when something was found."""
    from ..store import runs

    place = runs.resolve(args.path)
    if os.path.isdir(place.path):
        return _other(args, "journal", place.path)
    if args.head:
        raise InvalidInput("expected a journal with --head, got another document", where=args.path, code="invalid_usage")
    if not place.run_id and not place.path.endswith(".zip") and _begins(place.path).lstrip(_SPACE)[:1] == b"{":
        return _other(args, "trace", place.path)
    if _is_evidence(place.path):
        return _other(args, "guard", place.path)
    return _run(args)


def _begins(path: str) -> bytes:
    from ..store import runs

    with runs.open_pack(path) as file:
        return file.read(64)


def _is_evidence(path: str) -> bool:
    """Whether an archive says that it is an evidence pack; whether it is one, its own verification finds out."""
    from ..formats.archive.reader import Archive
    from ..guard.pack import MANIFEST, MANIFEST_NAME
    from ..store import runs

    with runs.open_pack(path) as file:
        archive = Archive(file)
        entry = archive.entries.get(MANIFEST_NAME)
        try:
            return entry is not None and f'"schema_id":"{MANIFEST}"'.encode() in next(archive.chunks(entry), b"")
        except VerificationFailed:
            return False


def _other(args: argparse.Namespace, noun: str, path: str) -> int:
    """The same as `gait NOUN verify PATH`."""
    from . import guard, journal, trace

    if noun != "trace" and args.public_key:
        message = "expected a trace or a run with --public-key, got another document: Gait signs those with key rings only"
        raise InvalidInput(message, where=path, hint="name the ring: --key-mode prod --private-key FILE", code="invalid_usage")
    if noun != "journal" and args.require_signature:
        args.require_signature = False  # neither a trace nor an evidence pack without a signature verifies
    given = argparse.Namespace(**{**vars(args), "verb": "verify", "path": path})
    if noun == "guard":
        return guard.run(given)
    return journal.run(given) if noun == "journal" else trace.run(given)


def _run(args: argparse.Namespace) -> int:
    from . import packs

    public = shared.public_key(args)
    keys = packs.Keys(None, ()) if public else packs.keys(args)
    with packs.audited(args.path, public or keys.ring, args.require_signature) as (audit, place):
        for _ in audit:
            pass
        report = audit.report()
    value = {**answer(report, place), **report.to_value(), "path": place.path}
    warnings = [*keys.warnings, *_warnings(report)]
    if warnings:
        value["warnings"] = warnings
    shared.emit(args, value, [*packs.report_lines(report), *(f"warning: {warning}" for warning in warnings)])
    return 0 if report.ok else 2


def answer(report: Report, place: Place) -> dict[str, object]:
    """The beginning of the JSON: ok, or the error that stands for all findings."""
    if report.ok:
        return {"ok": True}
    from ..runpack.findings import failure

    return failure(report.findings, report.total, place.path).to_value()


def _warnings(report: Report) -> list[str]:
    if report.signature == "skipped":
        return ["signed, but there is no key to verify it with: anybody could have made this run; name the key that signed it"]
    return []
