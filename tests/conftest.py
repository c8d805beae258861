"""What every test starts from: no setting of the developer's own reaches Gait, and no test reaches the developer's files."""

from __future__ import annotations

import os
import signal
import site
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set by `make fuzz`, `make coverage` or whoever wants more rounds (see tests/service) for this run; everything else that begins with GAIT_ is Gait's own setting.
KEPT = ("GAIT_FUZZ_ROUNDS", "GAIT_FUZZ_SEED", "GAIT_ROOT", "GAIT_KILL_ROUNDS", "GAIT_SOAK", "GAIT_MUTATIONS")

# Folders whose tests start many processes and wait for them.
SLOW = frozenset(("service", "skills"))


def pytest_configure() -> None:
    """Drop what would change the answers of Gait, or of a pytest that a test starts."""
    for name in list(os.environ):
        if name.startswith("GAIT_") and name not in KEPT:
            del os.environ[name]
    for name in ("SOURCE_DATE_EPOCH", "PYTEST_ADDOPTS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest may be installed for the user only: children find it although HOME is another one.
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make fuzz` runs every test that takes its rounds from GAIT_FUZZ_ROUNDS; a brief run leaves out whole folders of processes."""
    for item in items:
        if SLOW.intersection(item.path.parts):
            item.add_marker("slow")
        code = getattr(getattr(item, "function", None), "__code__", None)
        if code and {"ROUNDS", "rounds", "fuzz_rounds"}.intersection(code.co_names):
            item.add_marker("fuzz")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own: Gait's keys and traces go there, in this process and in children."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GAIT_HOME", str(home / "gait"))
    return home


@pytest.fixture(scope="session")
def patience() -> int:
    """What a test multiplies its time limit by: code that is measured for coverage runs several times slower."""
    return 10 if os.environ.get("COVERAGE_PROCESS_START") else 1
