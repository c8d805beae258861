"""Every console block of the README and the docs is run, in a copy of the project, and must print what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Step(NamedTuple):
    command: str
    expected: str
    code: int


def steps(page: Path) -> Iterator[Step]:
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, rest = part.partition("\n")
            code = re.search(r"^\[exit (\d+)\]\n", rest, re.MULTILINE)
            yield Step(command, re.sub(r"^\[exit \d+\]\n", "", rest, flags=re.MULTILINE), int(code.group(1)) if code else 0)


def matches(expected: str, got: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.strip("\n").split("..."))
    return re.fullmatch(pattern, got.strip("\n"), re.DOTALL) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if _BLOCK.search(page.read_text("utf-8"))], ids=lambda page: str(page.relative_to(ROOT)))
def test_console_blocks(page: Path, tmp_path: Path) -> None:
    copy = tmp_path / "gait"
    ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*.pyc", ".coverage*", ".mypy_cache", ".pytest_cache")
    shutil.copytree(ROOT, copy, ignore=ignored)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python3").symlink_to(sys.executable)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(tmp_path), "GAIT_HOME": str(tmp_path / "home"), "PATH": path}
    state = tmp_path / "exports"  # what a page exports holds for its next commands
    for step in steps(page):
        command = "make -n test" if step.command == "make test" else step.command  # this is make test
        script = f"[ -f {state} ] && . {state}\n{command}\ncode=$?; export -p >{state}; exit $code"
        done = subprocess.run(["bash", "-c", script], cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == step.code, f"{step.command}\n{done.stdout}{done.stderr}"
        if step.command != "make test" and step.expected.strip():
            assert matches(step.expected, done.stdout + done.stderr), f"{step.command}\nexpected:\n{step.expected}\ngot:\n{done.stdout}{done.stderr}"


def test_the_matcher_can_fail() -> None:
    assert matches("a ... c", "a b c")
    assert not matches("a ... c", "a b d")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
            broken.append(target)
    assert not broken
