"""Add up pytest's JUnit reports: each cause of a skip, each run, and `N passed, N failed, N skipped` last.

    junit_totals.py MORE_FAILED REPORT.xml...

MORE_FAILED counts failed steps that are no tests.  The exit code is 1 if anything failed or nothing passed.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path


def main(more_failed: str, *reports: str) -> int:
    """0 if something passed and nothing failed."""
    total: Counter[str] = Counter(failed=int(more_failed))
    causes: Counter[str] = Counter()
    for report in reports:
        counts = count(Path(report), causes)
        print(f"{Path(report).stem}: {line(counts)}")
        total += counts
    for cause, times in sorted(causes.items()):
        print(f"skipped {times} times: {cause}")
    print(line(total))
    return 0 if total["passed"] and not total["failed"] else 1


def count(report: Path, causes: Counter[str]) -> Counter[str]:
    """The outcomes of one report; a report that cannot be read is one failure."""
    counts: Counter[str] = Counter()
    try:
        cases = list(xml.parse(report).iter("testcase"))
    except (OSError, xml.ParseError) as error:
        print(f"{report}: {error}")
        return Counter(failed=1)
    for case in cases:
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif skip is not None:
            counts["skipped"] += 1
            causes[skip.get("message") or "no cause given"] += 1
        else:
            counts["passed"] += 1
    return counts


def line(counts: Counter[str]) -> str:
    """The line that is looked for."""
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
