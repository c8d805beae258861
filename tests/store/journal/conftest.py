"""A journal of the golden kind in a folder of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from tests.store.journal import sample


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of fixtures/journal/golden."""
    return Path(shutil.copytree(sample.GOLDEN, tmp_path / "golden"))


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Where a new journal may be made."""
    return str(tmp_path / "journal")


@pytest.fixture
def child() -> Callable[..., subprocess.Popen]:
    """Start Python code in a process of its own, with `sample` and the arguments in `argv`."""
    started: list[subprocess.Popen] = []

    def start(code: str, *argv: object, **options: object) -> subprocess.Popen:
        lines = f"import sys\nsys.dont_write_bytecode = True  # some children may not write whole files\nsys.path.insert(0, {str(sample.ROOT)!r})\nfrom tests.store.journal import sample\nargv = sys.argv[1:]\n"
        command = [sys.executable, "-c", lines + code, *map(str, argv)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, **{**pipes, **options}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
