"""Print the path of a Python that can run the tests; make a virtual environment only if none can.

    dev_python.py [--own] FOLDER MODULE...

The answer is the running interpreter when it can import every MODULE (and --own is not given),
otherwise FOLDER's, which is made once for each Python version and kept.  Standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("pytest", "coverage")
PIP = ("install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "30")
# Python children that a test starts are measured too, also under -I: a .pth is read there, PYTHON* are not.
HOOK = "import os; os.getenv('COVERAGE_PROCESS_START') and __import__('coverage').process_startup()\n"
ADVICE = """\
{python} has no {missing}, and {folder} could not be made: {reason}
Do one of these, then run make again:
  {python} -m pip install {packages}
  make PYTHON=/path/to/a/python3 ...   with a Python that has them
"""


def main(arguments: list[str]) -> int:
    """Print the interpreter's path; 1 with a plain message if there is none."""
    own = "--own" in arguments
    folder, *modules = [word for word in arguments if word != "--own"]
    if not own and all(map(importlib.util.find_spec, modules)):
        print(sys.executable)
        return 0
    python = Path(folder).resolve() / "bin" / "python"
    if not usable(python, modules):
        reason = make(Path(folder), python)
        if reason:
            shutil.rmtree(folder, ignore_errors=True)
            missing = " and no ".join(name for name in modules if not importlib.util.find_spec(name)) or "environment of its own"
            words = {"python": sys.executable, "missing": missing, "folder": folder, "reason": reason}
            sys.stderr.write(ADVICE.format(packages=" ".join(PACKAGES), **words))
            return 1
    print(python)
    return 0


def usable(python: Path, modules: list[str]) -> bool:
    """Whether it is of this very version and imports the modules."""
    code = f"import sys, {', '.join(modules)}; sys.exit(sys.version_info[:3] != {tuple(sys.version_info[:3])})"
    return python.exists() and subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def make(folder: Path, python: Path) -> str:
    """Why it could not be made, in one line; empty if it was."""
    print(f"making {folder} with {', '.join(PACKAGES)}", file=sys.stderr)
    for command in ([sys.executable, "-m", "venv", "--clear", folder], [python, "-m", "pip", *PIP, *PACKAGES]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return next((line.strip() for line in reversed(done.stdout.splitlines()) if line.strip()), "no reason given")
    for site in folder.glob("lib/python*/site-packages"):
        (site / "gait_coverage.pth").write_text(HOOK, encoding="ascii")
    return ""


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    sys.exit(main(sys.argv[1:]))
