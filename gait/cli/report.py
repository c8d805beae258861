"""`gait report`: a journal as one HTML file for people."""

from __future__ import annotations

import argparse
import os
import sys

from .. import __version__
from ..errors import InvalidInput, VerificationFailed
from ..exporters import html
from ..exporters.html import Facts
from ..exporters.summary import Summary, clip
from ..store.journal.findings import MAX_FINDINGS, Report
from ..store.journal.records import EVENT
from ..store.journal.stats import Stats
from ..store.journal.verify import Audit
from ..system import clock, files
from . import shared

_MAX_ROWS = 10_000
_MAX_NAME = 200
_EXAMPLE = "Example: gait report ~/.gait/journal --out report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = _EXAMPLE
    parser.add_argument("path", metavar="DIR", help="the journal: the folder that holds a folder for each chain")
    parser.add_argument("--out", required=True, metavar="FILE", help="write the page here, in place of what is there")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="how many of the latest decisions to list (default 1000)")
    shared.common(parser)
    shared.key_options(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page: exit code 0, or 2 when verification found something, which the page says too."""
    _check(args)
    facts, report = _facts(args)
    files.write_atomic(args.out, "".join(html.page(facts)).encode("utf-8"))
    value = {**_answer(args.path, report), "path": args.out, "records": facts.records, "decisions": facts.summary.decisions}
    value.update(findings=[finding.to_value() for finding in report.findings], findings_total=report.total)
    shared.emit(args, {**value, "warnings": list(facts.warnings)} if facts.warnings else value, _lines(args, facts))
    return 0 if report.ok else VerificationFailed.exit_code


def _check(args: argparse.Namespace) -> None:
    if not 0 <= args.limit <= _MAX_ROWS:
        raise InvalidInput(f"must be 0 to {_MAX_ROWS}; got {args.limit}", where="--limit", code="invalid_usage")
    if args.out in ("", "-"):
        raise InvalidInput(f"must be a file; got {args.out!r}", where="--out", hint="name a file", code="invalid_usage")
    if f"{os.path.realpath(args.out)}{os.sep}".startswith(os.path.join(os.path.realpath(args.path), "")):
        message = "names a file in the journal's folder, which holds evidence only"
        raise InvalidInput(message, where="--out", hint="name a file elsewhere", code="invalid_usage")
    if args.private_key and os.path.realpath(args.out) == os.path.realpath(args.private_key):
        raise InvalidInput("names the same file as --private-key", where="--out", hint="name another file", code="invalid_usage")


def _facts(args: argparse.Namespace) -> tuple[Facts, Report]:
    """One pass over all records, which are gone again before the next one is read."""
    made_at = clock.now_text()
    ring, warnings = shared.verifying_keys(args)
    audit, stats, summary = Audit(args.path, ring), Stats(), Summary(args.limit)
    records = 0
    for record, line in audit:
        records += 1
        if record["schema_id"] != EVENT:
            summary.add(record, line)
        stats.add(_countable(record))
    report = audit.report()
    value = report.to_value()
    facts = Facts(
        source=args.path,
        made_at=made_at,
        producer=__version__,
        records=records,
        chains=value["chains"],  # type: ignore[arg-type]
        findings=value["findings"],  # type: ignore[arg-type]
        findings_total=report.total,
        all_findings=len(report.findings) < MAX_FINDINGS,
        summary=summary,
        verdicts=stats.verdicts,
        events=stats.events,
        percentiles=stats.percentiles(),
        latencies=[(label.replace("<=", "").strip(), count) for label, count in stats.histogram()],
        warnings=warnings,
    )
    return facts, report


def _countable(record: dict[str, object]) -> dict[str, object]:
    """The record with a name of bounded size: names are kept to be counted, and a call's may have megabytes."""
    name = record.get("tool_name")
    return {**record, "tool_name": clip(name)} if isinstance(name, str) and len(name) > _MAX_NAME else record


def _answer(path: str, report: Report) -> dict[str, object]:
    if report.ok:
        return {"ok": True}
    first = report.findings[0]
    return VerificationFailed(first.message, where=path, hint="do not trust this journal", code=first.code).to_value()


def _lines(args: argparse.Namespace, facts: Facts) -> list[str]:
    lines = [f"{shared.colored('ok', 'written', sys.stdout)}: {shared.plain(args.out)}"]
    chains = f"{len(facts.chains)} chain{'' if len(facts.chains) == 1 else 's'}"
    lines.append(f"{facts.summary.decisions} decisions; {facts.records} records verified in {chains}")
    if facts.findings_total:
        lines.append(f"{shared.colored('error', 'NOT VERIFIED', sys.stdout)}: {facts.findings_total} findings; see the page, or gait journal verify")
    return lines + [shared.plain(f"warning: {warning}") for warning in facts.warnings]
