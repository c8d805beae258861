"""Run the tests with every supported Python found under pyenv or on PATH, each in a cached environment.

    matrix.py [--jobs 2] [--measured] [--brief 3.10] [--junit FOLDER] [PYTEST ARGUMENT]...

--measured lets the Python that runs this do `make coverage`.  A brief version leaves out the tests marked slow.  A version that is
not found is named and skipped.  With more than one job, a run's output is printed when it ends.  The exit code is 1 if any run
failed or none ran.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")


def main() -> int:
    """0 if every version that was found passed."""
    parser = argparse.ArgumentParser(description="Run the tests with every supported Python found.")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many run at once")
    parser.add_argument("--measured", action="store_true", help="measure coverage with the running Python")
    parser.add_argument("--brief", action="append", default=[], metavar="VERSION")
    parser.add_argument("--junit", type=Path, metavar="FOLDER")
    options, arguments = parser.parse_known_args()
    own = "%d.%d" % sys.version_info[:2]
    # The longest first, so that none is left to run alone at the end.
    order = sorted({*VERSIONS, own} if options.measured else VERSIONS, key=lambda version: (not (options.measured and version == own), version in options.brief))

    def tested(version: str) -> bool | None:
        report = [f"--junitxml={options.junit / version}.xml"] if options.junit else []
        if options.measured and version == own:
            words = " ".join([*report, *arguments])
            return run(version, ["make", "coverage", f"PYTHON={sys.executable}", f"ARGS={words}"], options.jobs > 1)
        python = environment(version)
        if python is None:
            return None
        brief = ["-m", "not slow"] if version in options.brief else []
        return run(version, [python, "-m", "pytest", "-q", *report, *brief, *arguments], options.jobs > 1)

    with ThreadPoolExecutor(options.jobs) as pool:
        results = [result for result in pool.map(tested, order) if result is not None]
    return 0 if results and all(results) else 1


def environment(version: str) -> str | None:
    """The interpreter of the version's environment, made if need be; None when the version is not found."""
    python = find(version)
    if python is None:
        print(f"matrix: Python {version} not found: skipped", flush=True)
        return None
    print(f"matrix: Python {version}, {python}", flush=True)
    helper = [python, "scripts/dev_python.py", "--own", f".venvs/{version}", "pytest"]
    return subprocess.run(helper, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


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


def run(version: str, command: list[str], is_quiet: bool) -> bool:
    """Whether the command succeeded; its output is held back until then if others run meanwhile."""
    started = time.monotonic()
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if is_quiet else {}
    done = subprocess.run(command, cwd=ROOT, text=True, errors="replace", **kept)  # type: ignore[call-overload]
    said = "failed" if done.returncode else "passed"
    print(f"{done.stdout or ''}matrix: Python {version} {said} in {time.monotonic() - started:.0f} s", flush=True)
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())
