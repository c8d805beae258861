#!/usr/bin/env python3
"""Run the official MCP conformance suite against the fixture server, directly and through `gait mcp serve`.  `make conformance`.

    conformance.py [--only direct,http,stdio] [--suite NAME]... [--junit FILE] [--keep FOLDER]

direct: the fixture alone.  http: `--upstream URL`.  stdio: `--upstream-command`, the fixture as a stdio child.
Exit code 0: every check that passes directly passes through Gait, and the direct counts are what they were.  1: not so.
77: skipped, because the suite is not in the cache and npm does not bring it.

The suite and a Node for it come from npm, once, into $GAIT_CONFORMANCE_CACHE or ~/.cache/gait-conformance; no install script
of a package is run.  Everything listens on loopback only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Optional

import junit

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "conformance" / "fixture_server.py"
PACKAGE = "@modelcontextprotocol/conformance"
NODE_MAJOR, NODE_VERSION = 22, "22.23.3"
WAYS = ("direct", "http", "stdio")
SKIPPED = 77
AT_ONCE = 2
START_SECONDS, SUITE_SECONDS, INSTALL_SECONDS = 20, 180, 300
POLICY = "schema_id: gait.gate.policy\nschema_version: 1.0.0\ndefault_verdict: allow\nrules: []\n"


class Suite(NamedTuple):
    """One run of the suite; `least` is how many checks the fixture passes by itself."""

    name: str
    version: str
    arguments: tuple[str, ...]
    least: int


SUITES = (
    Suite("2026-07-28", "0.2.0-alpha.12", ("--requirements", "2026-07-28"), 197),  # the longest first
    Suite("2025-11-25", "0.2.0-alpha.12", ("--requirements", "2025-11-25"), 84),
    Suite("0.1.16", "0.1.16", ("--suite", "all"), 47),
)

# Scenario, id, name, and which of several with these.
Key = tuple[str, str, str, int]


class Result(NamedTuple):
    """What one run came to; `problem` says why it did not come to an end."""

    suite: Suite
    way: str
    checks: dict[Key, tuple[str, str]]  # status, message
    seconds: float
    problem: str = ""

    def count(self, status: str) -> int:
        return sum(found == status for found, _ in self.checks.values())

    def passed(self) -> set[Key]:
        return {key for key, (status, _) in self.checks.items() if status == "SUCCESS"}


class Unavailable(Exception):
    """npm does not bring what is needed."""


class Broken(Exception):
    """A process did not do what it is there for."""


def main() -> int:
    """0, 1 or 77."""
    options = parsed()
    suites = [suite for suite in SUITES if not options.suite or suite.name in options.suite]
    jobs = [(suite, way) for suite in suites for way in WAYS if way in options.only]
    try:
        node = found_node()
        entries = {suite.version: installed(f"suite-{suite.version}", f"{PACKAGE}@{suite.version}", "dist/index.js") for suite in suites}
    except Unavailable as error:
        print(f"conformance: skipped: {error}")
        junit.write(options.junit, "conformance", [junit.Case("conformance", name_of(suite, way), skip=str(error)) for suite, way in jobs])
        return SKIPPED
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gait-conformance-")))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            runs = [pool.submit(run, suite, way, [str(node), str(entries[suite.version])], folder) for suite, way in jobs]
            results = [future.result() for future in runs]
    return report(results, options.junit)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WAYS), metavar="WAYS", help="of direct, http, stdio; with commas")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES])
    parser.add_argument("--junit", type=Path, metavar="FILE", help="one test case for each suite and way")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave every log and checks.json here")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if not set(options.only) <= set(WAYS):
        parser.error(f"--only takes {', '.join(WAYS)}")
    return options


# --- what npm brings -------------------------------------------------------------------------------


def cache() -> Path:
    return Path(os.environ.get("GAIT_CONFORMANCE_CACHE") or Path.home() / ".cache" / "gait-conformance")


def found_node() -> Path:
    """The system's Node when it is new enough, otherwise npm's."""
    system = shutil.which("node")
    if system:
        told = subprocess.run([system, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        major = re.match(r"v(\d+)\.", told)
        if major and int(major[1]) >= NODE_MAJOR:
            return Path(system)
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    package = f"node-{platform.system().lower()}-{machine}"
    return installed(f"node-{NODE_VERSION}", f"{package}@{NODE_VERSION}", "bin/node")


def installed(name: str, package: str, file: str) -> Path:
    """A file of a package, which is installed when the cache has none.  Unavailable when that cannot be."""
    place = cache() / name
    inside = Path("node_modules", package.rpartition("@")[0], file)
    if (place / inside).is_file():
        return place / inside
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"npm is not installed, and {place} is not there")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache()) as made:  # moved in one step: half an install is none
        fetch(npm, package, Path(made, "packages"))
        if not (Path(made, "packages") / inside).is_file():
            raise Unavailable(f"{package} has no {file}")
        shutil.rmtree(place, ignore_errors=True)
        os.replace(Path(made, "packages"), place)
    return place / inside


def fetch(npm: str, package: str, folder: Path) -> None:
    folder.mkdir()
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=30000")
    command = [npm, "install", *quiet, "--prefix", str(folder), package]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not bring {package} within {INSTALL_SECONDS} s") from None
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if "error" in line and "complete log" not in line]
        raise Unavailable(f"npm does not bring {package}: {' '.join(words[:2]) or done.stdout.strip()[-200:]}")


# --- one run ---------------------------------------------------------------------------------------


def run(suite: Suite, way: str, command: list[str], folder: Path) -> Result:
    """The suite against a server of its own.  Raises nothing that a broken server could cause."""
    place = (folder / f"{suite.name}-{way}").resolve()
    shutil.rmtree(place, ignore_errors=True)
    checks = place / "checks"
    checks.mkdir(parents=True)
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            url = start(stack, way, place)
            with open(place / "suite.txt", "wb") as out:
                arguments = [*command, "server", "--url", url, *suite.arguments, "-o", str(checks)]
                subprocess.run(arguments, cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=SUITE_SECONDS)
        found = read_checks(checks)
        problem = "" if found else f"the suite wrote no checks: {tail(place / 'suite.txt')}"
    except subprocess.TimeoutExpired:
        found, problem = read_checks(checks), f"the suite did not end within {SUITE_SECONDS} s"
    except Broken as error:
        found, problem = {}, str(error)
    return Result(suite, way, found, time.monotonic() - began, problem)


def start(stack: ExitStack, way: str, place: Path) -> str:
    """Start what the way needs; the URL that the suite is given."""
    fixture = [sys.executable, str(FIXTURE), "--log", str(place / "fixture.jsonl")]
    if way == "stdio":
        # A pipe has no stream that the server could cut, as one suite wants to see it (SEP-1699): the bridge cuts its own.
        upstream = ["--upstream-command", shlex.join([*fixture, "--stdio"]), "--close-after-silence", "0.1"]
    else:
        url = stack.enter_context(server([*fixture, "--http", "127.0.0.1:0"], place / "fixture.txt", r"^(http://\S+)"))
        if way == "direct":
            return url
        upstream = ["--upstream", url]
    policy = place / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    gate = [sys.executable, "-I", str(ROOT / "gait.py"), "mcp", "serve", "--policy", str(policy), "--listen", "127.0.0.1:0", *upstream]
    address = stack.enter_context(server(gate, place / "gate.txt", r'"listening".*"address": "([^"]+)"', place / "home"))
    return f"http://{address}/mcp"


@contextmanager
def server(command: list[str], log: Path, pattern: str, home: Optional[Path] = None) -> Iterator[str]:
    """A process that runs; what it printed where the pattern has its group.  Broken when it does not print that."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GAIT_")}
    if home:
        environment["GAIT_HOME"] = str(home)
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    try:
        yield awaited(process, log, pattern)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def awaited(process: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        found = re.search(pattern, log.read_text("utf-8", "replace"), re.MULTILINE)
        if found:
            return found[1]
        if ended:
            raise Broken(f"{log.stem} ended with exit code {process.returncode}: {tail(log)}")
        time.sleep(0.02)
    raise Broken(f"{log.stem} did not start within {START_SECONDS} s: {tail(log)}")


def read_checks(folder: Path) -> dict[Key, tuple[str, str]]:
    """Every check of every scenario, in order; files are server-SCENARIO-TIME/checks.json."""
    found: dict[Key, tuple[str, str]] = {}
    times: Counter[tuple[str, str, str]] = Counter()
    for path in sorted(folder.glob("*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\dZ-]+$", "", path.parent.name)
        for check in json.loads(path.read_text(encoding="utf-8")):
            same = (scenario, str(check.get("id")), str(check.get("name")))
            found[(*same, times[same])] = (str(check.get("status")), str(check.get("errorMessage") or ""))
            times[same] += 1
    return found


def tail(path: Path) -> str:
    return " ".join(path.read_text("utf-8", "replace").split())[-300:]


# --- what it came to ---------------------------------------------------------------------------------


def report(results: list[Result], path: Optional[Path]) -> int:
    """Print the table and what is lost and gained; 0 when nothing is."""
    direct = {result.suite.name: result for result in results if result.way == "direct"}
    print(f"{'suite':<12}{'way':<8}{'passed':>7}{'failed':>7}{'warned':>7}{'skipped':>8}{'lost':>6}{'gained':>7}{'seconds':>9}")
    cases = []
    for result in results:
        lost, gained = compare(direct.get(result.suite.name), result)
        counts = [result.count(status) for status in ("SUCCESS", "FAILURE", "WARNING", "SKIPPED")]
        print("{:<12}{:<8}{:>7}{:>7}{:>7}{:>8}{:>6}{:>7}{:>9.1f}".format(result.suite.name, result.way, *counts, len(lost), len(gained), result.seconds))
        cases.append(junit.Case("conformance", name_of(result.suite, result.way), judged(result, lost), result.seconds))
    for result in results:
        explain(direct.get(result.suite.name), result)
    failed = [case for case in cases if case.problem]
    for case in failed:
        print(f"FAILED {case.name}: {case.problem}")
    junit.write(path, "conformance", cases)
    return 1 if failed or not cases else 0


def compare(direct: Optional[Result], result: Result) -> tuple[list[Key], list[Key]]:
    """The checks that pass directly only, and those that pass through only."""
    if direct is None or direct is result:
        return [], []
    return sorted(direct.passed() - result.passed()), sorted(result.passed() - direct.passed())


def judged(result: Result, lost: list[Key]) -> str:
    """Why a run counts as failed; empty when it does not."""
    if result.problem:
        return result.problem
    if lost:
        return f"{len(lost)} checks that pass directly do not pass through"
    passed, failed = result.count("SUCCESS"), result.count("FAILURE")
    if result.way == "direct" and (failed or passed < result.suite.least):
        return f"{passed} passed and {failed} failed; must be at least {result.suite.least} and 0"
    return ""


def explain(direct: Optional[Result], result: Result) -> None:
    lost, gained = compare(direct, result)
    where = f"{result.suite.name} {result.way}"
    for key in lost if result.checks else ():  # without any, the cause is told once
        status, message = result.checks.get(key, ("not run", ""))
        print(f"lost    {where}: {told(key)}: {status} {message[:300]}")
    for key in gained:
        print(f"gained  {where}: {told(key)}")
    if result.way == "direct":
        for key, (status, message) in result.checks.items():
            if status in ("FAILURE", "WARNING"):
                print(f"{status.lower():<8}{where}: {told(key)}: {message[:300]}")


def told(key: Key) -> str:
    scenario, number, name, nth = key
    return f"{scenario} / {number} ({name}{f', {nth + 1}.' if nth else ''})"


def name_of(suite: Suite, way: str) -> str:
    return f"{suite.name}-{way}"


if __name__ == "__main__":
    sys.exit(main())
