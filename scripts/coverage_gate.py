"""Fail unless lines and branches of gait/ are each covered to the given percentage.

    coverage_gate.py coverage.json 95

Counted apart: coverage's own total would let well-covered lines hide uncovered branches.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(report: str, least: str) -> int:
    """0 if both reach the least percentage."""
    totals = json.loads(Path(report).read_bytes())["totals"]
    lines = percent(totals["covered_lines"], totals["num_statements"])
    branches = percent(totals["covered_branches"], totals["num_branches"])
    print(f"coverage of gait/: lines {lines:.2f} %, branches {branches:.2f} %, at least {least} % of each wanted")
    return 0 if min(lines, branches) >= float(least) else 1


def percent(part: int, whole: int) -> float:
    """Nothing measured is nothing covered."""
    return 100.0 * part / whole if whole else 0.0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
