"""Every console block of the README and the docs is run, in a copy of the project, and must print what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
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
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    environment.pop("GAIT_HOME", None)  # a reader has not set it
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
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert not broken


@lru_cache(maxsize=None)
def anchors(page: Path) -> frozenset[str]:
    """The names that GitHub gives the headings of a page: lower case, `-` for spaces, other punctuation dropped, repetitions numbered."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return frozenset(names)


# What a page names in the project: a word that begins with one of its folders, but for names with a placeholder in them.
_PATH = re.compile(r"(?<![\w./$~{-])(?:\./)?((?:gait|skills|fixtures|scripts|tests|docs|\.ci|\.github)/[\w./*-]*[\w*/]|gait\.py|Makefile|setup\.cfg)(?![\w{<$])")
# Placeholders; and what is the reader's own project's, another program's, or meant to be missing.
_ELSEWHERE = re.compile(r"fixtures/(run_demo|incident-7|[^/]*/(fixture\.json|runpack\.zip))|.*\b(NAME|HOST|CASE|FRAMEWORK)\b")
_NOT_HERE = frozenset((".github/CODEOWNERS", ".github/hooks/gait.json", "skills/gait-gate", "fixtures/quickstart/missing.json"))


def named_paths(text: str) -> set[str]:
    return {path for path in _PATH.findall(text) if not _ELSEWHERE.match(path) and path not in _NOT_HERE}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_named_is_there(page: Path) -> None:
    missing = [path for path in sorted(named_paths(page.read_text("utf-8"))) if not (any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists())]
    assert not missing


def test_paths_and_anchors_are_found() -> None:
    found = named_paths("`gait/none.py`, (docs/x/), /opt/gait/gait.py, $ROOT/scripts/x.sh, fixtures/NAME/a, scripts/fixtures.py.")
    assert found == {"gait/none.py", "docs/x/", "scripts/fixtures.py"}
    assert {"command-line", "gait-mcp-serve", "environment-variables"} <= anchors(ROOT / "docs/cli.md")
