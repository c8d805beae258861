"""A copied gait/ runs anywhere, and no file in the agent's reach runs in its place.

Each test of an attack has a control that shows the planted file would run if Python imported it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

import gait

ROOT = Path(__file__).resolve().parent.parent
PLANTED = ("json", "argparse", "hashlib", "hmac", "re", "typing", "platform", "importlib", "gait")
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")

UNMEASURED = {"COVERAGE_PROCESS_START": ""}  # coverage imports json and others itself, and needs a working directory

# A folder's name may hold anything but a slash.
AWKWARD = "a b/it's \"quoted\"/$HOME;*/\u00e9 \u96ea/" + "/".join("deep" for _ in range(30))


def run(*command: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A process with the test's environment and `env`."""
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, encoding="utf-8", timeout=60
    )


def assert_version(done: subprocess.CompletedProcess[str]) -> None:
    """It was this gait that answered, and it said nothing else."""
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["version"] == gait.__version__


def copy(folder: Path, launcher: bool = True) -> Path:
    """A folder with a copy of gait/, and of gait.py; the path of gait.py."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "gait", folder / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    if launcher:
        shutil.copy(ROOT / "gait.py", folder / "gait.py")
    return folder / "gait.py"


def plant(folder: Path) -> Path:
    """Files that leave a mark when they are imported; the path of the mark."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "mark"
    code = f"open({str(mark)!r}, 'a').write(__name__ + '\\n')\n"
    for name in PLANTED:
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / "gait").mkdir()
    for name in ("__init__", "__main__", "cli"):
        (folder / "gait" / f"{name}.py").write_text(code, encoding="utf-8")
    return mark


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """A working directory full of planted files; none may have run when the test ends."""
    folder = tmp_path / "workspace"
    mark = plant(folder)
    yield folder
    assert not mark.exists(), mark.read_text(encoding="utf-8")


# --- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["plain", AWKWARD])
def test_a_copy_runs(place, tmp_path):
    launcher = copy(tmp_path / place)
    assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=tmp_path))
    assert_version(run(sys.executable, launcher, "version", "--json", cwd=tmp_path))


@pytest.mark.parametrize("place", ["plain", AWKWARD])
def test_the_package_alone_runs_as_a_module(place, tmp_path):
    copy(tmp_path / place, launcher=False)
    assert_version(run(sys.executable, "-m", "gait", "version", "--json", cwd=tmp_path / place))
    assert_version(run(sys.executable, "-m", "gait", "version", "--json", cwd=tmp_path, PYTHONPATH=str(tmp_path / place)))


def test_a_relative_path_to_the_launcher(tmp_path):
    copy(tmp_path / "here")
    assert_version(run(sys.executable, "-I", "here/gait.py", "version", "--json", cwd=tmp_path))
    assert_version(run(sys.executable, "-I", "gait.py", "version", "--json", cwd=tmp_path / "here"))


def test_a_symlink_to_the_launchers_folder(tmp_path):
    copy(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert_version(run(sys.executable, "-I", tmp_path / "link/gait.py", "version", "--json", cwd=tmp_path))


def test_a_read_only_copy_runs_and_stays_as_it_was(tmp_path):
    launcher = copy(tmp_path / "copy")
    tree = [tmp_path / "copy", *(tmp_path / "copy").rglob("*")]
    for path in tree:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    try:
        assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=tmp_path))
        if os.geteuid():  # root writes its .pyc files all the same
            assert sorted(tree) == sorted([tmp_path / "copy", *(tmp_path / "copy").rglob("*")])
    finally:
        for path in tree:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)


def test_the_working_directory_may_be_gone(tmp_path):
    launcher, gone = copy(tmp_path / "copy"), tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$1" && exec "$2" -I "$3" version --json'
    assert_version(run("sh", "-c", script, "sh", gone, sys.executable, launcher, cwd=gone, **UNMEASURED))


def test_the_copy_runs_and_not_an_installed_gait(tmp_path):
    """Another gait in front of everything that site adds, as an old `pip install gait` would be."""
    installed = tmp_path / "installed"
    (installed / "gait").mkdir(parents=True)
    (installed / "gait" / "__init__.py").write_text("print('installed')\n")
    script = "import runpy, sys; sys.path.append(sys.argv.pop(1)); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    launcher = copy(tmp_path / "copy")
    assert_version(run(sys.executable, "-I", "-c", script, installed, launcher, "version", "--json", cwd=tmp_path))
    control = run(sys.executable, "-I", "-c", "import sys; sys.path.append(sys.argv[1]); import gait", installed, cwd=tmp_path)
    assert control.stdout == "installed\n"


# --- planted files -----------------------------------------------------------------------------


def test_control_planted_files_run_when_they_are_imported(tmp_path):
    mark = plant(tmp_path / "workspace")
    for name in ("json", "argparse", "hashlib", "gait"):
        run(sys.executable, "-c", f"import {name}", cwd=tmp_path / "workspace", **UNMEASURED)
    assert {"json", "argparse", "hashlib", "gait"} <= set(mark.read_text().split())


def test_control_a_planted_package_runs_as_a_module(tmp_path):
    mark = plant(tmp_path / "workspace")
    for path in (tmp_path / "workspace").glob("*.py"):  # or runpy would stop at one of them
        path.unlink()
    run(sys.executable, "-m", "gait", cwd=tmp_path / "workspace", **UNMEASURED)
    assert mark.read_text().split() == ["gait", "__main__"]


def test_planted_files_in_the_working_directory(workspace, tmp_path):
    launcher = copy(tmp_path / "copy")
    assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=workspace))
    assert_version(run(sys.executable, launcher, "version", "--json", cwd=workspace))
    assert_version(run(sys.executable, "-I", ROOT / "gait.py", "version", "--json", cwd=workspace))


def test_planted_files_in_pythonpath(workspace, tmp_path):
    launcher = copy(tmp_path / "copy")
    assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=tmp_path, PYTHONPATH=str(workspace)))
    assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=workspace, PYTHONPATH=".", PYTHONSTARTUP="json.py"))


def test_planted_files_beside_the_launcher(tmp_path):
    """The copy lies in the workspace itself: its own package runs, and nothing else that is there."""
    mark = plant(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "gait")
    (tmp_path / "copy" / "gait.py").unlink()
    launcher = copy(tmp_path / "copy")
    for cwd in (tmp_path, tmp_path / "copy"):
        assert_version(run(sys.executable, "-I", launcher, "version", "--json", cwd=cwd))
        assert_version(run(sys.executable, launcher, "version", "--json", cwd=cwd))
    assert not mark.exists(), mark.read_text()


def test_planted_files_beside_the_package_run_as_a_module(tmp_path):
    """`-m` puts the working directory first; it is gone before Gait imports anything but sys and os."""
    mark = plant(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "gait")
    (tmp_path / "copy" / "gait.py").unlink()
    copy(tmp_path / "copy", launcher=False)
    for name in ("importlib", "typing", "re"):  # python's own runpy may import them before Gait is asked
        (tmp_path / "copy" / f"{name}.py").unlink()
    assert_version(run(sys.executable, "-m", "gait", "version", "--json", cwd=tmp_path / "copy"))
    assert not mark.exists(), mark.read_text()


def test_planted_files_and_a_decision(workspace, tmp_path):
    """A whole decision, with every import that it makes."""
    launcher = copy(tmp_path / "copy")
    (tmp_path / "policy.yaml").write_text("default_verdict: block\n")
    intent = {
        **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z"},
        **{"producer_version": "t", "tool_name": "t", "args": {}, "targets": []},
        "context": {"identity": "a", "workspace": "/w", "risk_class": "low"},
    }
    (tmp_path / "intent.json").write_text(json.dumps(intent))
    options = ("--policy", tmp_path / "policy.yaml", "--intent", tmp_path / "intent.json", "--json")
    done = run(sys.executable, "-I", launcher, "gate", "eval", *options, cwd=workspace)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (3, "block"), done.stderr


# --- the ends of a process ---------------------------------------------------------------------


def old_python(version: str) -> Path | None:
    """An interpreter of an unsupported version, if this machine has one."""
    return next(iter(sorted(PYENV.glob(f"versions/{version}.*/bin/python"))), None)


# Python 2.7 -m gait is not here: it stops at the first annotation, which is no plain message, but nothing runs.
@pytest.mark.parametrize(
    "version, words", [("2.7", "gait.py"), ("3.6", "gait.py"), ("3.6", "-m gait"), ("3.8", "gait.py"), ("3.8", "-m gait")]
)
def test_an_old_python_is_told_plainly(version, words, tmp_path):
    python = old_python(version)
    if python is None:
        pytest.skip(f"Python {version} not found")
    copy(tmp_path / "copy")
    done = run(python, *words.split(), "version", cwd=tmp_path / "copy", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 7
    assert done.stderr.startswith("gait needs Python 3.9 or newer; ") and done.stderr.count("\n") == 1


def stub(body: str) -> list[str]:
    """The command of a process whose `main` is `body`: the ends of a process, whatever was asked of it."""
    code = f"import os, signal, sys\ndef main():\n    {body}\nsys.path.append({str(ROOT)!r})\n"
    return [sys.executable, "-I", "-c", code + "import gait.cli\ngait.cli.main = main\nfrom gait.__main__ import run\nsys.exit(run())"]


@pytest.mark.parametrize("body", ["raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGINT); return 0"])
def test_an_interrupt_is_quiet_and_never_success(body, tmp_path):
    done = run(*stub(body), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("code, exit_code", [("0", 0), ("3", 3), ("9", 9), ("None", 1), ("256", 1), ("-1", 1), ("'no'", 1), ("1000", 1)])
def test_only_an_exit_code_is_an_exit_code(code, exit_code, tmp_path):
    assert run(*stub(f"return {code}"), cwd=tmp_path).returncode == exit_code


@pytest.mark.parametrize("code, exit_code", [(0, 1), (3, 3)])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_reader_that_went_away(code, exit_code, size):
    read, write = os.pipe()
    os.close(read)
    command = stub(f"sys.stdout.write('x' * {size}); return {code}")
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == (exit_code if size == 10 else 1)  # a large text fails inside main, before it has a code


def test_the_standard_librarys_own_folder_stays_importable():
    here = os.path.dirname(os.__file__)
    assert_version(run(sys.executable, "-m", "gait", "version", "--json", cwd=Path(here), PYTHONPATH=str(ROOT)))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_no_allow():
    command = stub("sys.stdout.write('allow'); return 0")
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("gait: the output could not be written") and "Traceback" not in done.stderr


def test_no_standard_output_at_all(tmp_path):
    assert run("sh", "-c", 'exec "$@" >&-', "sh", *stub("return 3"), cwd=tmp_path).returncode == 3
