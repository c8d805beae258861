#!/usr/bin/env python3
"""Prove with the real openai-agents, langchain, langgraph and autogen that a tool does not run unless Gait allows it.

    integration_frameworks.py [--only openai_agents,langchain,langgraph,autogen] [--junit FILE] [--keep FOLDER]

The models are scripted and ask for a tool that appends to a file; the proof is what is in the file.  framework_turns.py has the
scenarios, each sync and async, with a control in which the tool runs without Gait; the packages' quickstarts run in the same
environments.  Exit code 0: every scenario went as it must.  1: not so.  77: skipped, because PyPI does not bring the packages or
this Python is older than theirs.

The packages come from PyPI once, into virtual environments in $GAIT_FRAMEWORKS_CACHE or ~/.cache/gait-frameworks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import junit

ROOT = Path(__file__).resolve().parent.parent
SKIPPED, AT_ONCE = 77, 2
SECONDS, INSTALL_SECONDS = 180, 600
SUITE = "integration-frameworks"


class Framework(NamedTuple):
    """What PyPI brings for it, and its package in skills/, if it has one."""

    requirement: str
    package: str = ""


FRAMEWORKS = {
    "openai_agents": Framework("openai-agents==0.24.0", "openai_agents"),
    "langchain": Framework("langchain==1.4.7", "langchain"),
    "langgraph": Framework("langchain==1.4.7"),
    "autogen": Framework("autogen-agentchat==0.7.5", "autogen"),
}


class Unavailable(Exception):
    """Why an environment could not be made."""


def environment_of(requirement: str) -> Path:
    """The Python of an environment with this package, made once.  Unavailable: PyPI does not bring it."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    cache = Path(os.environ.get("GAIT_FRAMEWORKS_CACHE") or Path.home() / ".cache" / "gait-frameworks")
    folder = cache / f"{requirement.replace('==', '@')}-python{version}"
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", "--retries", "1", "--timeout", "30", requirement]
        for command in ([sys.executable, "-m", "venv", "--clear", folder], pip):
            _run(command)
        done.touch()
    return python


def _run(command: list[object]) -> None:
    try:
        ended = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
    if ended.returncode:
        raise Unavailable("PyPI does not bring it: " + next((line for line in reversed(ended.stderr.splitlines()) if line.strip()), "no reason given"))


def turns(name: str, python: Path, folder: Path) -> Iterator[junit.Case]:
    """The scenarios of a framework, in one process of its environment."""
    words = [str(python), str(ROOT / "scripts" / "framework_turns.py"), name, str(folder / name)]
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
        ended = subprocess.run(words, env=_clean(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, timeout=SECONDS)
    version, *results = map(json.loads, ended.stdout.splitlines() or ['{"version": "unknown"}'])
    group = f"{name} {version['version']}"
    for result in results:
        yield junit.Case(group, result["name"], result["problem"], result["seconds"])
    said = (folder / f"{name}.log").read_text("utf-8")
    yield junit.Case(group, "all_scenarios_ran", "" if ended.returncode == 0 and results else f"exit code {ended.returncode}\n{said[-3000:]}")


def quickstarts(package: str, python: Path, folder: Path) -> Iterator[junit.Case]:
    """The quickstart of a package with its framework there."""
    folder.mkdir(parents=True)
    for scenario in ("allow", "block", "require_approval"):
        began = time.monotonic()
        words = [str(python), str(ROOT / "skills" / package / "quickstart.py"), "--scenario", scenario]
        ended = subprocess.run(words, cwd=folder, env=_clean(folder), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
        told = folder / f"gait-out/integrations/{package}/executor_{scenario}.json"
        host = json.loads(told.read_text("utf-8"))["host"] if told.exists() else "nothing"
        is_right = ended.returncode == 0 and "function" not in host
        yield junit.Case(package, f"quickstart_{scenario}", "" if is_right else f"{host}: {ended.stdout}{ended.stderr}", time.monotonic() - began)


def _clean(folder: Path) -> dict[str, str]:
    """Nothing of the developer's own."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "GAIT_HOME": str(folder / "gait-home"), "OPENAI_API_KEY": "none"}


def main(arguments: list[str]) -> int:
    """Make the environments, run everything, print and report."""
    parser = argparse.ArgumentParser(description="Prove the veto in real Python frameworks.")
    parser.add_argument("--only", default=",".join(FRAMEWORKS), metavar="NAMES")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="run here, and leave everything")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if not set(names) <= set(FRAMEWORKS):
        parser.error(f"--only takes {', '.join(FRAMEWORKS)}")
    try:
        pythons = environments(names)
    except Unavailable as error:
        print(f"{SUITE}: skipped: {error}")
        junit.write(options.junit, SUITE, [junit.Case(SUITE, name, skip=str(error)) for name in names])
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="gait-frameworks-") as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            cases = [case for found in pool.map(lambda name: list(cases_of(name, pythons[name], folder)), names) for case in found]
    for case in cases:
        print(f"{'FAILED' if case.problem else 'ok    '} {case.group}: {case.name} ({case.seconds:.1f} s)" + (f"\n{case.problem}" if case.problem else ""))
    junit.write(options.junit, SUITE, cases)
    failed = sum(bool(case.problem) for case in cases)
    print(f"{SUITE}: {len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def environments(names: list[str]) -> dict[str, Path]:
    """The Python of each framework.  Unavailable: one cannot be made."""
    if sys.version_info < (3, 10):
        raise Unavailable("the frameworks need Python 3.10 or later, this one is {}.{}".format(*sys.version_info[:2]))
    requirements = sorted({FRAMEWORKS[name].requirement for name in names})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pythons = dict(zip(requirements, pool.map(environment_of, requirements)))
    return {name: pythons[FRAMEWORKS[name].requirement] for name in names}


def cases_of(name: str, python: Path, folder: Path) -> Iterator[junit.Case]:
    """Every case of one framework."""
    yield from turns(name, python, folder)
    if FRAMEWORKS[name].package:
        yield from quickstarts(FRAMEWORKS[name].package, python, folder / f"{name}-quickstart")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
