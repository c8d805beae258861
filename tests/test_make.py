"""What the Makefile, .ci/run and their scripts promise, run in copies of the tree."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout: everything that make needs, and one test."""
    tree = tmp_path / "a tree"
    tree.mkdir()
    for name in ("Makefile", "setup.cfg", "gait.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    for name in ("gait", "scripts", ".ci"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "tests").mkdir()
    (tree / "tests" / "test_one.py").write_text("import gait\n\n\ndef test_one():\n    assert gait.__version__\n")
    shutil.copy(ROOT / "tests/test_architecture.py", tree / "tests")
    return tree


def make(tree: Path, *arguments: str, python: object = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    """make, with no network for pip."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["make", f"PYTHON={python}", *arguments],
        **{"cwd": tree, "env": {**os.environ, **offline, **env}, "stdin": subprocess.DEVNULL},
        **{"capture_output": True, "text": True, "timeout": 120},
    )


def files(tree: Path) -> set[str]:
    caches = {"__pycache__", ".pytest_cache", ".benchmarks"}
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not caches & set(path.parts)}


def test_make_alone_prints_the_targets(tree):
    done = make(tree)
    assert done.returncode == 0
    printed = re.findall(r"^make (\S+) +\S", done.stdout, re.M)
    wanted = "help test lint check coverage fuzz bench matrix types fixtures clean dist"
    assert set(wanted.split()) <= set(printed)


def test_every_target_is_phony(tree):
    text = (tree / "Makefile").read_text().replace("\\\n", " ")
    phony = set(re.search(r"^\.PHONY:(.*)$", text, re.M).group(1).split())
    assert phony == set(re.findall(r"^([a-z-]+):", text, re.M))


def test_make_test_needs_no_network_where_pytest_is(tree):
    before = files(tree)
    done = make(tree, "test", "ARGS=tests/test_one.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 passed" in done.stdout
    assert files(tree) == before


def test_make_test_fails_when_a_test_fails(tree):
    (tree / "tests" / "test_one.py").write_text("def test_one():\n    raise SystemError\n")
    assert make(tree, "test", "ARGS=tests/test_one.py").returncode


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without pytest."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, stdin=subprocess.DEVNULL)
    return folder / "bin" / "python"


@pytest.mark.slow
def test_without_pytest_and_network_one_plain_message(tree, bare_python):
    done = make(tree, "test", python=bare_python)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode
    assert "no pytest" in said[1] and "could not be made" in said[1], done.stderr
    assert f"{bare_python} -m pip install pytest coverage" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr and len(said) <= 5
    assert not (tree / ".venv").exists(), "a half-made environment would be taken for a whole one"


def test_an_environment_that_works_is_kept(tree, bare_python):
    """json stands for pytest: this environment was made without pip, and with no network there is no other."""
    folder = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    helper = [bare_python, tree / "scripts/dev_python.py", "--own", ".venv", "json"]
    done = subprocess.run(helper, capture_output=True, text=True, env={**os.environ, "PIP_NO_INDEX": "1"}, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(folder.resolve() / "bin" / "python")


def test_lint_passes_and_leaves_nothing(tree):
    before = {path for path in tree.rglob("*")}
    done = make(tree, "compile")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path for path in tree.rglob("*")} == before


@pytest.mark.parametrize("text", ["PATTERN = '\\d'\n", "def broken(:\n", "x = 1 is 1\n"])
def test_lint_takes_a_warning_for_an_error(text, tree):
    (tree / "scripts" / "new.py").write_text(text)
    assert make(tree, "compile").returncode


def test_lint_says_when_there_is_no_shellcheck(tree, tmp_path):
    """A PATH with everything that the recipe calls, and no shellcheck."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "find", "awk"):
        (tools / name).symlink_to(shutil.which(name))
    done = make(tree, "shell", PATH=str(tools))
    assert (done.returncode, done.stdout) == (0, "shellcheck not installed: skipped\n"), done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_lint_looks_at_scripts_by_their_first_line(tree):
    assert ".ci/run" in make(tree, "shell").stdout
    (tree / "scripts" / "new").write_text("#!/bin/sh\nrm -rf $1/*\n")
    assert make(tree, "shell").returncode


# --- the architecture test has teeth -----------------------------------------------------------

VIOLATIONS = {
    "gate/upwards.py": "def later():\n    from ..system import clock\n    return clock\n",
    "exporters/sideways.py": "from ..adapters import values\n",
    "formats/one.py": "from . import two\n",
    "formats/two.py": "from . import one\n",
    "gate/clock.py": "import time\n",
    "gate/today.py": "import datetime\nNOW = datetime.datetime.now()\n",
    "formats/reader.py": "TEXT = open\n",
    "cli/absolute.py": "import gait.errors\n",
    "cli/foreign.py": "import pytest\n",
    "cli/utils.py": "",
    "cli/long.py": "X = 1\n" * 401,
    "cli/tall.py": "def tall():\n" + "    x = 1\n" * 40,
    "cli/asserting.py": "assert True\n",
    "cli/hiding.py": "X = 1  # pragma: no cover\n",
    "store/printing.py": "print('x')\n",
    "store/records.py": "from dataclasses import dataclass\n",
    "store/careless.py": "try:\n    X = 1\nexcept:\n    pass\n",
    "store/dynamic.py": "import importlib\n",
    "strange.py": "",
    "folder/module.py": "",
    "gate/missing.py": "from . import nothing_here\n",
}


@pytest.mark.slow
def test_the_architecture_test_finds_each_violation(tree):
    for name, text in VIOLATIONS.items():
        path = tree / "gait" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tree / "gait/gate/__init__.py").write_text("from . import policy\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_architecture.py"], cwd=tree, capture_output=True, text=True, timeout=120
    )
    missed = [name for name in [*VIOLATIONS, "gate/__init__.py"] if name != "folder/module.py" and f"gait/{name}:" not in done.stdout]
    assert not [name for name in missed if name not in ("formats/one.py", "formats/two.py")]
    assert "formats.one -> formats.two -> formats.one" in done.stdout
    assert "folder: no __init__.py" in done.stdout


# --- .ci/run's arithmetic, and the metadata ----------------------------------------------------


def totals(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts/junit_totals.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_last_line_counts_every_report(tmp_path):
    (tmp_path / "test_three.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): raise ValueError\ndef test_c(): pytest.skip('no such thing here')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={tmp_path}/a.xml", "test_three.py"]
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, timeout=60)
    done = totals(0, tmp_path / "a.xml", tmp_path / "a.xml")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == ["skipped 2 times: no such thing here", "2 passed, 2 failed, 2 skipped"]


def test_a_failed_step_or_a_lost_report_is_a_failure(tmp_path):
    good = tmp_path / "good.xml"
    good.write_text("<testsuite><testcase/></testsuite>")
    assert totals(0, good).returncode == 0
    assert totals(1, good).stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
    assert (totals(1, good).returncode, totals(0, good, tmp_path / "lost.xml").returncode, totals(0).returncode) == (1, 1, 1)


@pytest.mark.parametrize("lines, branches, code", [(100, 100, 0), (95, 95, 0), (94, 100, 1), (100, 94, 1), (0, 0, 1)])
def test_lines_and_branches_are_held_apart(lines, branches, code, tmp_path):
    counted = {"covered_lines": lines, "num_statements": 100, "covered_branches": branches, "num_branches": 100}
    (tmp_path / "coverage.json").write_text(json.dumps({"totals": counted}))
    command = [sys.executable, ROOT / "scripts/coverage_gate.py", tmp_path / "coverage.json", "95"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60).returncode == code


def test_the_package_needs_nothing_at_run_time():
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    assert settings["metadata"]["name"] == "gait"
    assert settings["options"]["python_requires"] == ">=3.9"
    assert "install_requires" not in settings["options"]
    assert (ROOT / "LICENSE").read_text().split()[:2] == ["Apache", "License"]
