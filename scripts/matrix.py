"""Run the tests with every supported Python found under pyenv or on PATH, each in a cached environment.

    matrix.py [--without 3.11] [--brief 3.10] [--junit FOLDER] [PYTEST ARGUMENT]...

A brief version leaves out the tests marked slow.  A version that is not found is named and skipped.  The exit code is 1 if any run failed or none ran.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


def main() -> int:
    """0 if every version that was found passed."""
    parser = argparse.ArgumentParser(description="Run the tests with every supported Python found.")
    parser.add_argument("--without", action="append", default=[], metavar="VERSION")
    parser.add_argument("--brief", action="append", default=[], metavar="VERSION")
    parser.add_argument("--junit", type=Path, metavar="FOLDER")
    options, pytest_arguments = parser.parse_known_args()
    failed = ran = 0
    for version in VERSIONS:
        if version in options.without:
            continue
        python = find(version)
        if python is None:
            print(f"matrix: Python {version} not found: skipped", flush=True)
            continue
        junit = [f"--junitxml={options.junit / version}.xml"] if options.junit else []
        brief = ["-m", "not slow"] if version in options.brief else []
        code = run(version, python, [*junit, *brief, *pytest_arguments])
        ran, failed = ran + 1, failed + (code != 0)
    return 1 if failed or not (ran or options.without) else 0


def find(version: str) -> Path | None:
    """The newest interpreter of a version that starts."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{version}.*/bin/python"), key=numbers, reverse=True)
    on_path = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    return next((path for path in [*found, *on_path] if starts(path, version)), None)


def numbers(path: Path) -> list[int]:
    """3.9.18 after 3.9.9."""
    return [int(part) for part in re.findall(r"\d+", path.parts[-3])]


def starts(path: Path, version: str) -> bool:
    """Whether it is that version (a shim of pyenv may name one that is not selected)."""
    if shutil.which(path) is None:
        return False
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() == version


def run(version: str, python: Path, arguments: list[str]) -> int:
    """pytest's exit code."""
    print(f"matrix: Python {version}, {python}", flush=True)
    started = time.monotonic()
    helper = [python, "scripts/dev_python.py", "--own", f".venvs/{version}", "pytest"]
    made = subprocess.run(helper, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        return made.returncode
    code = subprocess.run([made.stdout.strip(), "-m", "pytest", "-q", *arguments], cwd=ROOT).returncode
    print(f"matrix: Python {version} {'failed' if code else 'passed'} in {time.monotonic() - started:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
