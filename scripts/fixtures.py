"""Make the golden evidence in fixtures/golden anew, or with --check compare it and change nothing.

The key and the clock are fixed, so that every Python gives the same bytes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "fixtures" / "golden"
KEY = base64.b64encode(bytes(range(32))).decode()  # known to everybody: it signs nothing but these fixtures
NAMES = ("answer.json", "trace.json", "siem.jsonl", "otel.jsonl", "issue.json")


def make(case: Path) -> dict[str, bytes]:
    """What one case gives now."""
    with tempfile.TemporaryDirectory() as scratch:
        outputs = ["--trace-out", "trace.json", "--export-log-out", "siem.jsonl", "--export-otel-out", "otel.jsonl"]
        command = json.loads((case / "command.json").read_text("utf-8"))
        own = case / "policy.yaml"
        policy = own if own.exists() else ROOT / "fixtures" / "quickstart" / "policy.yaml"
        call = ["--intent" if command[0] == "gate" else "--call", str(case / "call.json"), "--policy", str(policy)]
        key = ["--key-mode", "prod", "--private-key-env", "GAIT_FIXTURE_KEY"]
        environment = {**os.environ, "GAIT_FIXTURE_KEY": KEY, "SOURCE_DATE_EPOCH": "1770249600", "GAIT_HOME": scratch}
        runs = {"answer.json": [*command, *call, *key, *outputs, "--json"], "issue.json": ["beads", "trace.json", *key, "--json"]}
        for name, words in runs.items():
            gait = [sys.executable, "-I", str(ROOT / "gait.py"), *words]
            done = subprocess.run(gait, cwd=scratch, env=environment, stdout=subprocess.PIPE, check=False)
            Path(scratch, name).write_bytes(done.stdout)
        return {name: Path(scratch, name).read_bytes() for name in NAMES}


def main() -> int:
    """Exit code 0, or 1 with the names of the files that differ."""
    different = []
    for case in sorted(path for path in GOLDEN.iterdir() if path.is_dir()):
        for name, data in make(case).items():
            path = case / name
            if path.exists() and path.read_bytes() == data:
                continue
            different.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_bytes(data)
    print("\n".join(different) if different else "golden evidence is as expected")
    return 1 if different and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
