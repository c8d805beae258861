"""Install each artifact of dist/ into an empty folder and run the demo there, with no checkout in reach.

    vendor_check.py [FOLDER]

For each: the sums hold, the demo ends with exit code 0, `verify run_demo` verifies what it left, a refused call ends with 3, bad usage with
6, a hook that cannot decide with 2, and the build digest is that of every other.  The wheel and the sdist need pip; without it, it says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parent.parent
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
INTENT = {
    **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", "producer_version": "check"},
    **{"tool_name": "shell", "args": {}, "targets": [], "context": {"identity": "a", "workspace": "/w", "risk_class": "high"}},
}


class Failed(Exception):
    """What was expected and what came."""


class Installed(NamedTuple):
    """An artifact's name and the words that run it."""

    name: str
    command: Sequence[str]


def main(arguments: list[str]) -> int:
    """0 when every artifact that could be installed holds what it should; 1 with the reason otherwise."""
    folder = Path(arguments[0] if arguments else ROOT / "dist").resolve()
    digests = {}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            compare_sums(folder, folder / "SHA256SUMS")
            for artifact in sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS"):
                place = Path(scratch) / artifact.name
                place.mkdir()
                for installed in install(artifact, place):
                    digests[installed.name] = check(installed, place / "work")
                    print(f"{installed.name}: demo, verify, exit codes 0, 2, 3, 6, build {digests[installed.name][:16]}")
            if not {"gait.pyz", "vendor"} <= set(digests):
                raise Failed(f"expected gait.pyz and the vendored copy in {folder}, found {', '.join(digests) or 'nothing'}; run make dist")
            if len(set(digests.values())) != 1:
                raise Failed(f"the artifacts are not of one build: {digests}; run make dist")
        except (Failed, OSError) as error:
            print(f"vendor-check: {error}")
            return 1
    return 0


def compare_sums(folder: Path, sums: Path) -> None:
    """Failed: a file is missing, another one, or not listed."""
    listed = dict(reversed(line.split("  ", 1)) for line in sums.read_text("utf-8").splitlines())
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path != sums}
    if found != set(listed):
        raise Failed(f"{sums}: these are listed or there, not both: {sorted(found ^ set(listed))}")
    for name, expected in listed.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise Failed(f"{folder / name}: not the bytes that {sums.name} lists")


def install(artifact: Path, place: Path) -> Iterator[Installed]:
    """The artifact, ready to run from `place`."""
    if artifact.suffix == ".pyz":
        (place / artifact.name).write_bytes(artifact.read_bytes())
        yield Installed(artifact.name, (sys.executable, "-I", str(place / artifact.name)))
    elif artifact.name.endswith("-vendor.tar.gz"):
        top = unpacked(artifact, place)
        compare_sums(top, top / "SHA256SUMS")
        yield Installed("vendor", (sys.executable, "-I", str(top / "gait.py")))
    elif importlib.util.find_spec("pip") is None or importlib.util.find_spec("ensurepip") is None:
        print(f"{artifact.name}: skipped: this Python has no pip")
    elif artifact.suffix == ".whl":
        yield wheel(artifact, place, "wheel")
    else:
        top, built = unpacked(artifact, place), place / "built"
        built.mkdir()
        run([sys.executable, "-c", f"import setuptools.build_meta as hooks; hooks.build_wheel({str(built)!r})"], top, 0)
        yield wheel(next(built.glob("*.whl")), place, "sdist")


def unpacked(artifact: Path, place: Path) -> Path:
    """The one folder that the archive makes; its members are Gait's own, and plain."""
    with tarfile.open(artifact) as archive:
        for member in archive.getmembers():
            if member.name.startswith("/") or ".." in member.name.split("/") or not (member.isfile() or member.isdir()):
                raise Failed(f"{artifact.name}: {member.name} is no plain file below the folder")
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # the oldest patch releases lack it; the names were looked at
        archive.extractall(place, **safe)
    return next(path for path in place.iterdir() if path.is_dir())


def wheel(artifact: Path, place: Path, name: str) -> Installed:
    """A virtual environment with the wheel, with no index in reach."""
    run([sys.executable, "-m", "venv", str(place / "venv")], place, 0)
    python = place / "venv" / "bin" / "python"
    run([str(python), *PIP, str(artifact)], place, 0)
    return Installed(name, (str(place / "venv" / "bin" / "gait"),))


def check(installed: Installed, work: Path) -> str:
    """The build digest.  Failed: a command did not end as it should."""
    work.mkdir()
    (work / "policy.yaml").write_text("default_verdict: block\n", encoding="ascii")
    (work / "intent.json").write_text(json.dumps(INTENT), encoding="ascii")
    gait = list(installed.command)
    run([*gait, "demo"], work, 0)
    run([*gait, "verify", "run_demo"], work, 0)
    run([*gait, "gate", "eval", "--policy", "policy.yaml", "--intent", "intent.json"], work, 3)
    run([*gait, "gate", "evaluate"], work, 6)
    run([*gait, "hook", "claude-code", "--policy", "nowhere.yaml"], work, 2)
    version = json.loads(run([*gait, "version", "--json"], work, 0))
    digest: str = version["build_digest"]
    return digest


def run(command: list[str], folder: Path, code: int) -> str:
    """What the command prints.  Failed: it ended with another code.  Its home and Gait's are `folder`, and PYTHONPATH leads nowhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GAIT_", "PYTHON"))}
    environment = {**inherited, "HOME": str(folder), "GAIT_HOME": str(folder / "home"), "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if done.returncode != code:
        raise Failed(f"{' '.join(command)}: expected exit code {code}, got {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
