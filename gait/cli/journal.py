"""`gait journal`: verify, follow, export and count the journals that servers, gateways and hooks write."""

from __future__ import annotations

import argparse
import sys
from time import sleep
from typing import TYPE_CHECKING

from ..errors import InvalidInput, VerificationFailed
from ..gate.decision import VERDICTS
from . import shared

if TYPE_CHECKING:
    from ..store.journal.findings import Report
    from ..store.journal.follow import Seen
    from ..store.journal.stats import Stats

SUMMARY = "verify, follow, export and count journals of signed decisions"

_VERBS = {
    "verify": "find every damage in a journal, and say how far each chain is proven",
    "tail": "show the newest decisions, and with -f those that come",
    "export": "print the verified records, one JSON line each",
    "stats": "count verdicts, tools, rules and reasons, and show the latency",
}
_EXAMPLES = {
    "verify": "gait journal verify ~/.gait/journal --head head-from-the-server.json",
    "tail": "gait journal tail ~/.gait/journal -f",
    "export": "gait journal export ~/.gait/journal > decisions.jsonl",
    "stats": "gait journal stats ~/.gait/journal --top 5",
}
_POLL_SECONDS = 0.2
_MAX_HEAD_BYTES = 16 * 1024
_BAR = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in _VERBS.items():
        verb = shared.verb(verbs, name, summary, _EXAMPLES[name])
        verb.add_argument("path", metavar="DIR", help="the journal: the folder that holds a folder for each chain")
        _OPTIONS[name](verb)
        shared.key_options(verb)


def _verify_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--head", action="append", default=[], metavar="FILE", help="a head kept elsewhere; - is standard input; may be given again")  # fmt: skip


def _tail_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-n", "--lines", type=int, default=10, metavar="N", help="how many of the newest records (default 10)")
    verb.add_argument("-f", "--follow", action="store_true", help="go on with those that come, until interrupted")
    verb.add_argument("--chain", default="", metavar="NAME", help="only this chain")


def _stats_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--top", type=int, default=10, metavar="N", help="how many tools, rules and reasons (default 10)")


_OPTIONS = {"verify": _verify_options, "tail": _tail_options, "export": lambda verb: None, "stats": _stats_options}


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0, or 2 when verification found something."""
    return {"verify": _verify, "tail": _tail, "export": _export, "stats": _stats}[args.verb](args)


def _verify(args: argparse.Namespace) -> int:
    from ..formats import strict_json
    from ..store.journal.verify import verify

    shared.one_standard_input(*args.head)
    heads = []
    for path in args.head:
        source = shared.source_name(path)
        heads.append(strict_json.loads_object(shared.read_input(path, _MAX_HEAD_BYTES, "a head"), source))
    ring, warnings = shared.verifying_keys(args)
    report = verify(args.path, ring, heads)
    value = {**_answer(args.path, report), **report.to_value()}
    shared.emit(args, {**value, "warnings": list(warnings)} if warnings else value, _report_lines(report))
    return _exit_code(report)


def _answer(path: str, report: Report) -> dict[str, object]:
    if report.ok:
        return {"ok": True}
    first = report.findings[0]
    return VerificationFailed(first.message, where=path, hint="do not trust this journal", code=first.code).to_value()


def _exit_code(report: Report) -> int:
    return 0 if report.ok else VerificationFailed.exit_code


def _report_lines(report: Report) -> list[str]:
    lines = [shared.plain(line) for chain in report.chains for line in chain.lines()]
    gaps = [gap.line() for chain in report.chains for gap in chain.gaps]
    lines += [shared.plain(f"gap: {line}") for line in gaps]
    lines += _finding_lines(report)
    records = sum(chain.records for chain in report.chains)
    if report.ok:
        return [*lines, f"{shared.colored('ok', 'ok', sys.stdout)}: {records} records verified in {len(report.chains)} chains"]
    return [*lines, f"{shared.colored('error', 'NOT VERIFIED', sys.stdout)}: {report.total} findings; {records} records verified"]


def _finding_lines(report: Report) -> list[str]:
    lines = [shared.plain(f"finding: {finding.line()}") for finding in report.findings]
    hidden = report.total - sum(finding.until - finding.sequence + 1 for finding in report.findings)
    return [*lines, f"finding: and {hidden} more"] if hidden > 0 else lines


def _export(args: argparse.Namespace) -> int:
    from ..store.journal.verify import Audit

    audit = Audit(args.path, shared.verifying_keys(args).ring)
    for record, line in audit:
        _write_record(record, line)
    return _warn(audit.report())


def _write_record(record: dict[str, object], line: bytes) -> None:
    """The line as it stands, so that its digest stays what the next record says; ASCII on a terminal, which text could steer."""
    if sys.stdout is None:
        return
    if sys.stdout.isatty():
        shared.write(shared.dumps(record), sys.stdout)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")


def _warn(report: Report) -> int:
    """The exit code, with the findings on standard error: what was left out must not go unnoticed."""
    for line in _finding_lines(report):
        shared.write(line, sys.stderr)
    return _exit_code(report)


def _stats(args: argparse.Namespace) -> int:
    from ..store.journal.stats import Stats
    from ..store.journal.verify import Audit

    audit = Audit(args.path, shared.verifying_keys(args).ring)
    stats = Stats()
    for record, _ in audit:
        stats.add(record)
    report = audit.report()
    value = {**_answer(args.path, report), **stats.to_value(), "findings_total": report.total}
    shared.emit(args, value, _stats_lines(stats, _at_least_one(args.top, "--top")))
    return _warn(report)


def _at_least_one(number: int, name: str) -> int:
    if number < 1:
        raise InvalidInput(f"expected 1 or more, got {number}", where=name, code="invalid_usage")
    return number


def _stats_lines(stats: Stats, top: int) -> list[str]:
    from ..store.journal.stats import ranked

    lines = [f"decisions  {stats.decisions}"]
    for name in ("verdicts", "tools", "rules", "reasons", "events"):
        rows = ranked(getattr(stats, name))
        lines += ["", name] if rows else []
        lines += [f"{count:9}  {shared.plain(text)}" for text, count in rows[:top]]
        lines += [f"{sum(count for _, count in rows[top:]):9}  in {len(rows) - top} more"] if len(rows) > top else []
    return lines + _latency_lines(stats)


def _latency_lines(stats: Stats) -> list[str]:
    bars = stats.histogram()
    if not bars:
        return []
    most = max(count for _, count in bars)
    found = "  ".join(f"{name} {value:g}" for name, value in stats.percentiles().items())
    return ["", f"latency in ms  {found}"] + [f"{label:>9}  {'#' * -(-count * _BAR // most):{_BAR}}  {count}" for label, count in bars]


def _tail(args: argparse.Namespace) -> int:
    from ..store.journal.follow import Follower

    ring = shared.verifying_keys(args).ring
    with Follower(args.path, ring, args.chain) as follower:
        bad = _show(args, follower.last(_at_least_one(args.lines, "--lines")))
        while args.follow:
            bad = _show(args, follower.poll()) or bad
            sleep(_POLL_SECONDS)
    return VerificationFailed.exit_code if bad else 0


def _show(args: argparse.Namespace, found: object) -> bool:
    """Print lines; True when one of them did not verify."""
    bad = False
    for seen in found:  # type: ignore[attr-defined]
        bad = bad or bool(seen.problem)
        shared.write(shared.dumps(_seen_value(seen)) if args.json else _seen_line(seen), sys.stdout)
    if sys.stdout is not None:
        sys.stdout.flush()  # a reader of `tail -f` waits for it
    return bad


def _seen_value(seen: Seen) -> dict[str, object]:
    return seen.record if not seen.problem else {"ok": False, "chain": seen.chain, "error_code": seen.problem}


def _seen_line(seen: Seen) -> str:
    record = seen.record
    if seen.problem:
        return f"{'':8}  {shared.colored('error', 'NOT VERIFIED', sys.stdout)}  {seen.problem}  {seen.chain}"
    place = f"{seen.chain}#{record.get('sequence')}"
    time = str(record.get("created_at"))[11:19]
    if "event" in record:
        return shared.plain(f"{time}  -- {record['event']} --  {_details(record['details'])}  {place}")
    verdict = str(record.get("verdict"))
    reasons = record.get("reason_codes")
    words = [str(record.get("tool_name", "-"))[:60], str(record.get("matched_rule", "-"))[:60]]
    words.append(",".join(map(str, reasons))[:120] if isinstance(reasons, list) else "-")
    latency = f"  {record['latency_ms']} ms" if "latency_ms" in record else ""
    shown = _verdict(verdict)
    return f"{shared.plain(time)}  {shown}  {shared.plain('  '.join(words))}{latency}  {shared.plain(place)}"


def _verdict(verdict: str) -> str:
    shown = shared.plain(f"{verdict:16}")
    return shared.colored(verdict, shown, sys.stdout) if verdict in VERDICTS else shown


def _details(details: object) -> str:
    found = details.items() if isinstance(details, dict) else ()
    return " ".join(f"{name}={value}" for name, value in found if type(value) in (str, int, float, bool))[:120]
