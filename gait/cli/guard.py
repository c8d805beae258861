"""`gait guard`: evidence packs, made and verified."""

from __future__ import annotations

import argparse
import sys

from ..formats.documents import TYPE_CHECKING
from ..guard.controls import NAMES
from . import shared

if TYPE_CHECKING:
    from ..guard.verify import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    from . import evidence

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    pack = shared.verb(verbs, "pack", "write a run and its evidence as one signed archive", "gait guard pack --run run_demo --template soc2")
    pack.add_argument("--run", required=True, metavar="RUN", help="a run's id, or the path of its pack")
    pack.add_argument("--template", choices=NAMES, default="", help="answer the questions of this list of controls")
    evidence.options(pack)
    verify = shared.verb(verbs, "verify", "check an evidence pack, its run and its summary", "gait guard verify evidence_run_demo.zip")
    verify.add_argument("path", metavar="PACK", help="the archive")
    shared.key_options(verify)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 2 when something was found."""
    from . import evidence

    if args.verb == "verify":
        return _verify(args)
    return evidence.write(args, evidence.Wanted("evidence", args.run, args.template))


def _verify(args: argparse.Namespace) -> int:
    from ..guard.verify import check
    from ..store import runs
    from . import packs

    keys = packs.keys(args)
    with runs.open_pack(args.path) as file:
        report = check(file, keys.ring)
    warnings = list(keys.warnings)
    if report.signature == "skipped":
        warnings.append("signed, but there is no key to verify it with: anybody could have made this pack; name the key that signed it")
    value = {**_answer(report, args.path), **report.to_value(), "path": args.path, "warnings": warnings}
    shared.emit(args, value, [*_lines(report), *(f"warning: {warning}" for warning in warnings)])
    return 0 if report.ok else 2


def _answer(report: Report, path: str) -> dict[str, object]:
    if report.ok:
        return {"ok": True}
    from ..runpack.findings import failure

    return {**failure(report.findings, report.total, path).to_value(), "hint": "do not trust this pack"}


def _lines(report: Report) -> list[str]:
    lines = [shared.plain(f"finding: {finding.line()}") for finding in report.findings]
    if report.total > len(report.findings):
        lines.append(f"finding: and {report.total - len(report.findings)} more")
    about = f"{report.manifest.get('kind', 'no')} pack of {report.manifest.get('run_id', 'no run')}"
    counts = shared.plain(f"{about}: {report.steps} calls, {report.traces} signed decisions, {report.files} files, signature {report.signature}")
    if report.ok:
        return [f"{shared.colored('ok', 'ok', sys.stdout)}: {counts}"]
    return [*lines, f"{shared.colored('error', 'NOT VERIFIED', sys.stdout)}: {report.total} findings; {counts}"]
