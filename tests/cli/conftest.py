"""Running command lines: `cli` in this process, `process` as a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from gait.cli import main

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]


class Ran(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> dict:
        """The one JSON object on standard output, with nothing beside it."""
        assert self.err == "" and self.out.endswith("\n") and self.out.count("\n") == 1
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def text_of(data: object) -> str:
    return data if isinstance(data, str) else json.dumps(data)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command line in this process: cli("gate", "eval", …, stdin=text, bytes or value)."""

    def run(*argv: object, stdin: object = "") -> Ran:
        data = stdin if isinstance(stdin, bytes) else text_of(stdin).encode("utf-8")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main([str(word) for word in argv])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def process() -> Callable[..., Ran]:
    """Run a command line as `python3 -I gait.py …`; options go to subprocess.run."""

    def run(*argv: object, stdin: object = "", env: dict[str, str] | None = None, **options: object) -> Ran:
        environment = {**os.environ, **(env or {})}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if hasattr(stdin, "fileno"):
            streams["stdin"] = stdin
        else:
            streams["input"] = stdin if isinstance(stdin, bytes) else text_of(stdin).encode("utf-8")
        # -B under a limit on file sizes: Python 3.9 takes a short write for a whole one and would leave half a .pyc.
        launcher = LAUNCHER
        if "preexec_fn" in options:
            launcher = [sys.executable, "-B", *LAUNCHER[1:]]
            environment.pop("COVERAGE_PROCESS_START", None)  # its own file would not fit either
        done = subprocess.run([*launcher, *map(str, argv)], env=environment, timeout=60, **streams)  # type: ignore[call-overload]
        return Ran(done.returncode, (done.stdout or b"").decode("utf-8"), (done.stderr or b"").decode("utf-8"))

    return run


@pytest.fixture
def home(own_home: Path) -> Path:
    """$GAIT_HOME, which is not there yet."""
    return own_home / "gait"


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Path]:
    """Write a policy and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def traces(home: Path) -> Callable[[], list[Path]]:
    """The traces under $GAIT_HOME so far."""
    return lambda: sorted((home / "traces").glob("*")) if (home / "traces").is_dir() else []
