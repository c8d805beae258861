"""What every test starts from: no setting of the developer's own reaches Gait, and no test reaches the developer's files."""

from __future__ import annotations

import json
import os
import secrets
import signal
import site
from pathlib import Path
from typing import Iterator
from typing import Iterator

import pytest

from tests import loopback

ROOT = Path(__file__).resolve().parent.parent

# Set by `make fuzz`, `make coverage` or whoever wants more rounds (see tests/service) for this run; everything else that begins with GAIT_ is Gait's own setting.
KEPT = ("GAIT_FUZZ_ROUNDS", "GAIT_FUZZ_SEED", "GAIT_ROOT", "GAIT_KILL_ROUNDS", "GAIT_SOAK", "GAIT_MUTATIONS")

# A secret in the environment of every test and of what it starts; nothing of Gait may write it down.
CANARY = f"canary-{secrets.token_hex(16)}"

# Folders whose tests start many processes and wait for them.
SLOW = frozenset(("service", "skills"))


ISOLATED: list[int] = []  # the packets that had no way to go when the run began, where it has a network of its own


def pytest_configure() -> None:
    """Drop what would change the answers of Gait, or of a pytest that a test starts; keep every socket on this host."""
    if os.environ.pop("GAIT_NETWORK", "") == "none":
        loopback.isolate()
        ISOLATED.append(loopback.unrouted())
    loopback.watch()
    for name in list(os.environ):
        if name.startswith("GAIT_") and name not in KEPT:
            del os.environ[name]
    for name in ("SOURCE_DATE_EPOCH", "PYTEST_ADDOPTS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NO_COLOR", "FORCE_COLOR"):
        os.environ.pop(name, None)
    os.environ["SECRET_CANARY"] = CANARY
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run with a network of its own fails when any process of it tried to leave."""
    if ISOLATED:
        tried = loopback.unrouted() - ISOLATED[0]
        print(f"\nnetwork namespace with a loopback only: {tried} packets tried to leave it")
        if tried and session.exitstatus == 0:
            session.exitstatus = 1


@pytest.fixture(autouse=True)
def on_this_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that asked for another host, whatever became of that; `asks_elsewhere` is for one that must, and is told no."""
    del loopback.left[:]
    yield
    assert not loopback.left or "asks_elsewhere" in request.fixturenames


@pytest.fixture
def asks_elsewhere() -> None:
    """For a test of what happens when another host is asked for: nothing leaves this one all the same."""


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of the test's own: Gait's keys and traces go there, in this process and in children.

    What the test left there is looked through for secrets.
    """
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GAIT_HOME", str(home / "gait"))
    yield home
    assert leaks(home) == []


def leaks(home: Path) -> list[str]:
    """The files below a home that hold the canary, or the secret of a key whose own file they are not."""
    found = [Path(folder, name) for folder, _, names in os.walk(home) for name in names]
    texts = {path: _read(path) for path in found if path.is_file() and not path.is_symlink()}
    held = {CANARY.encode(): set(), **{secret: {path} for path in texts if path.parent.name == "keys" for secret in _secrets(texts[path])}}
    return [str(path) for path, text in texts.items() for secret, own in held.items() if secret in text and path not in own]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that the test left is just removing it
        return b""


def _secrets(ring: bytes) -> list[bytes]:
    """The secrets of a key ring's file; none where a test has put something else."""
    try:
        return [key["secret"].encode() for key in json.loads(ring)["keys"] if len(key["secret"]) > 40]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


@pytest.fixture(scope="session")
def patience() -> int:
    """What a test multiplies its time limit by: code that is measured for coverage runs several times slower."""
    return 10 if os.environ.get("COVERAGE_PROCESS_START") else 1
