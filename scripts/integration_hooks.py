#!/usr/bin/env python3
"""Prove with the real Claude Code and Codex CLI that a tool does not run unless Gait allows it.  `make integration-hooks`.

    integration_hooks.py [--only claude-code,codex,gastown] [--junit FILE] [--keep FOLDER]

The model is a stand-in on loopback that asks for one shell command, `touch ran`; the proof is whether the file is there.  Each host
runs without Gait first, as a control.  Gas Town is Claude Code with the settings that `gt hooks sync` makes of its base file.
Exit code 0: every scenario went as it must.  1: not so.  77: skipped, because npm does not bring the hosts.

The programs come from npm once, into $GAIT_HOOKS_CACHE or ~/.cache/gait-hooks; no install script of a package is run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import junit
from model_stand_in import serving

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"claude-code": ("@anthropic-ai/claude-code", "2.1.330"), "codex": ("@openai/codex", "0.169.0")}
SKIPPED = 77
SECONDS, INSTALL_SECONDS = 120, 300
BYTES = 1024**3  # what a host takes while npm unpacks it
CALLS = {"claude-code": 'CALL Bash {"command": "touch ran"}', "codex": 'CALL exec_command {"cmd": "touch ran"}'}
POLICY = """\
default_verdict: block
rules:
  - name: shell
    priority: 1
    effect: %s
    match:
      tool_names: [Bash]
"""
CODEX_CONFIG = """\
model = "stand-in"
model_provider = "stand_in"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.stand_in]
name = "stand-in"
base_url = "%s/v1"
wire_api = "responses"
env_key = "STAND_IN_KEY"
[analytics]
enabled = false
"""


class Place(NamedTuple):
    """One scenario's folder: a home, a working folder, a copy of Gait, a policy."""

    host: str
    folder: Path
    model: str
    program: Path

    @property
    def settings(self) -> Path:
        """Where `gait hook install` writes for this host."""
        names = {"claude-code": ".claude/settings.json", "codex": ".codex/hooks.json", "gastown": ".gt/hooks-base.json"}
        return self.folder / "home" / names[self.host]

    def environment(self) -> dict[str, str]:
        """Nothing of the developer's own."""
        home = self.folder / "home"
        found = {"HOME": str(home), "PATH": f"{self.program.parent}:/usr/local/bin:/usr/bin:/bin", "GAIT_HOME": str(self.folder / "gait-home")}
        found.update(ANTHROPIC_BASE_URL=self.model, ANTHROPIC_API_KEY="stand-in", STAND_IN_KEY="stand-in", IS_SANDBOX="1")
        found.update(CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1", CODEX_HOME=str(home / ".codex"))
        if self.host == "gastown":
            found.update(GT_ROLE="rig/polecats/nux", GT_RIG="rig", GT_ROOT=str(self.folder / "work"), BD_ACTOR="rig/polecats/nux")
        return found


# --- scenarios: what is done to an installed hook, and whether the tool may run then ----------------


def _nothing(place: Place) -> None:
    pass


def crash(place: Place) -> None:
    (place.folder / "gait.copy/gait/judge.py").write_text("raise SystemError('as if it were broken')\n")


def killed(place: Place) -> None:
    (place.folder / "gait.copy/gait/judge.py").write_text("import os\nos.kill(os.getpid(), 9)\n")


def missing_gait(place: Place) -> None:
    (place.folder / "gait.copy/gait.py").unlink()


def garbage_policy(place: Place) -> None:
    (place.folder / "policy.yaml").write_text("\x00 not: [a policy")


def full_disk(place: Place) -> None:
    segment = place.folder / "gait-home/journal/oneshot/00000001.jsonl"
    segment.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    segment.unlink(missing_ok=True)
    segment.symlink_to("/dev/full")


def missing_python(place: Place) -> None:
    edit(place, sys_python(), "/nowhere/python3")


def timeout(place: Place) -> None:
    """Another process holds the journal: the hook waits, and its own deadline ends that."""
    import fcntl

    edit(place, " || {", " --deadline 1 || {")
    lock = place.folder / "gait-home/journal/oneshot/lock"
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fcntl.flock(HELD.setdefault(str(lock), open(lock, "w")), fcntl.LOCK_EX)


def fail_open(place: Place) -> None:
    """The control of the line itself: without its end, a host runs the tool when Python is missing."""
    missing_python(place)
    text = place.settings.read_text()
    tail = text[text.index(" || {") : text.index("exit 2") + len("exit 2")]
    place.settings.write_text(text.replace(tail, ""))


HELD: dict[str, object] = {}
Prepare = Callable[[Place], None]
# name -> (the rule's effect, what is broken, does the tool run)
SCENARIOS: dict[str, tuple[str, Prepare, bool]] = {
    "allowed": ("allow", _nothing, True),
    "blocked": ("block", _nothing, False),
    "approval": ("require_approval", _nothing, False),
    "dry_run": ("dry_run", _nothing, False),
    "crash": ("allow", crash, False),
    "killed": ("allow", killed, False),
    "timeout": ("allow", timeout, False),
    "missing_python": ("allow", missing_python, False),
    "missing_gait": ("allow", missing_gait, False),
    "garbage_policy": ("allow", garbage_policy, False),
    "full_disk": ("allow", full_disk, False),
    "control_fail_open_line": ("allow", fail_open, True),
}
# What the host must then have told its model: that it was this that kept the tool from running.
SAID = {
    **{"blocked": "Gait blocked this call", "dry_run": "dry run", "crash": "as if it were broken", "killed": "no answer from the hook"},
    **{"timeout": "within the deadline", "missing_python": "no answer from the hook", "missing_gait": "no answer from the hook"},
    **{"garbage_policy": "policy.yaml", "full_disk": "the call is refused"},
}
# Verdicts of which the journal must tell.
RECORDED = {"allowed": "allow", "blocked": "block", "approval": "require_approval", "dry_run": "dry_run"}


def edit(place: Place, old: str, new: str) -> None:
    """Change the installed command line."""
    text = place.settings.read_text()
    if old not in text:
        raise RuntimeError(f"{place.settings} does not hold {old!r}")
    place.settings.write_text(text.replace(old, new))


def sys_python() -> str:
    named = os.path.join(os.path.dirname(sys.executable), "python3")
    return named if os.path.exists(named) else sys.executable


# --- running ----------------------------------------------------------------------------------------


@contextmanager
def prepared(base: Path, host: str, name: str, effect: str, model: str, program: Path) -> Iterator[Place]:
    """A fresh folder with a policy and a copy of Gait."""
    place = Place(host, base / host / name, model, program)
    for folder in ("home/.codex", "work"):
        (place.folder / folder).mkdir(parents=True)
    (place.folder / "home/.codex/config.toml").write_text(CODEX_CONFIG % model)
    (place.folder / "policy.yaml").write_text(POLICY % effect)
    copy = place.folder / "gait.copy"
    shutil.copytree(ROOT / "gait", copy / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gait.py", copy)
    yield place


def gait(place: Place, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One command of the scenario's own Gait."""
    command = [sys_python(), "-I", str(place.folder / "gait.copy/gait.py"), *words]
    return subprocess.run(command, env={**place.environment(), **variables}, cwd=place.folder / "work", capture_output=True, text=True, timeout=SECONDS)


def turn(place: Place, trusted: bool = True, **variables: str) -> tuple[bool, str]:
    """Let the host take one turn: whether the tool ran, and what the host printed."""
    if place.host == "codex":
        words = ["exec", "--skip-git-repo-check", *(["--dangerously-bypass-hook-trust"] if trusted else []), CALLS["codex"]]
    else:
        words = ["-p", CALLS["claude-code"], "--dangerously-skip-permissions"]
        if place.host == "gastown" and place.settings.exists():
            words += ["--settings", str(synced(place))]
    process = subprocess.Popen(
        [str(place.program), *words], cwd=place.folder / "work", env={**place.environment(), **variables}, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = process.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said = process.communicate()[0] + "\n(no end)"
    return (place.folder / "work/ran").exists(), said


def synced(place: Place) -> Path:
    """The role's settings as `gt hooks sync` writes them: the base under `hooks`, of each hook its type and command."""
    base = json.loads(place.settings.read_text())
    for entry in (entry for entries in base.values() for entry in entries):
        entry["hooks"] = [{"type": hook["type"], "command": hook["command"]} for hook in entry["hooks"]]
    path = place.folder / "polecats.json"
    path.write_text(json.dumps({"hooks": base}))
    return path


def scenario(place: Place, name: str, prepare: Prepare, runs: bool) -> str:
    """What went wrong, empty when nothing did."""
    installed = gait(place, "hook", "install", place.host, "--policy", "../policy.yaml")
    if installed.returncode:
        return f"gait hook install: {installed.stderr}"
    prepare(place)
    ran, said = turn(place)
    if ran is not runs:
        return f"the tool {'ran' if ran else 'did not run'}\n{said}"
    if "FINAL: " not in said and "(no end)" not in said:
        return f"the host did not finish its turn, so nothing is proven\n{said}"
    if SAID.get(name, "") not in said:
        return f"expected {SAID[name]!r} as the reason\n{said}"
    return recorded(place, RECORDED[name]) if name in RECORDED else ""


def recorded(place: Place, verdict: str) -> str:
    """The journal must hold exactly this one decision, about this caller, and verify."""
    verified = gait(place, "journal", "verify", str(place.folder / "gait-home/journal"))
    lines = (place.folder / "gait-home/journal/oneshot/00000001.jsonl").read_text().splitlines()
    found = [(record.get("verdict"), record.get("context", {}).get("identity")) for record in map(json.loads, lines)]
    if verified.returncode or found != [(verdict, place.environment().get("BD_ACTOR", place.host))]:
        return f"expected one {verdict} in the journal, got {found}\n{verified.stdout}{verified.stderr}"
    return ""


def control(place: Place, *_: object) -> str:
    """Without Gait the tool runs: what the others prove is Gait's doing."""
    ran, said = turn(place)
    return "" if ran else f"the tool did not run without Gait\n{said}"


def untrusted(place: Place, *_: object) -> str:
    """Codex skips a hook that nobody trusted; `gait doctor` must say so, and be content once it is trusted."""
    gait(place, "hook", "install", "codex", "--policy", "../policy.yaml")
    ran, said = turn(place, trusted=False)
    told = next(check for check in json.loads(gait(place, "doctor", "--json").stdout)["checks"] if check["name"] == "hook_codex")
    if not ran or told["status"] != "fail" or "untrusted" not in told["detail"]:
        return f"ran: {ran}; doctor: {told}\n{said}"
    return ""


def switched_off(place: Place, *_: object) -> str:
    """One settings file in the worker's worktree switches every hook off; the tool runs, and `gait doctor` must say so."""
    gait(place, "hook", "install", "gastown", "--policy", "../policy.yaml")
    settings = place.folder / "work/.claude/settings.local.json"
    settings.parent.mkdir()
    settings.write_text('{"disableAllHooks": true}')
    return unhooked(place, "settings.local.json")


def bare(place: Place, *_: object) -> str:
    """So do variables that Claude Code itself has."""
    gait(place, "hook", "install", place.host, "--policy", "../policy.yaml")
    return unhooked(place, "CLAUDE_CODE_SIMPLE", CLAUDE_CODE_SIMPLE="1") or unhooked(place, "CLAUDE_CODE_SAFE_MODE", CLAUDE_CODE_SAFE_MODE="1")


def unhooked(place: Place, told: str, **variables: str) -> str:
    """Empty when the tool ran, as it does then, and the doctor says what let it."""
    (place.folder / "work/ran").unlink(missing_ok=True)
    ran, said = turn(place, **variables)
    checks = json.loads(gait(place, "doctor", "--json", **variables).stdout)["checks"]
    check = next(check for check in checks if check["name"] == f"hook_{place.host}")
    return "" if ran and check["status"] == "fail" and told in check["detail"] else f"ran: {ran}; doctor: {check}\n{said}"


def cases(host: str) -> Iterator[tuple[str, str, Callable[[Place], str]]]:
    """(name, the rule's effect, the check) of each scenario of a host."""
    yield "control_without_gait", "block", control
    for name, (effect, prepare, runs) in SCENARIOS.items():
        yield name, effect, lambda place, name=name, prepare=prepare, runs=runs: scenario(place, name, prepare, runs)
    if host == "codex":
        yield "untrusted_is_seen_by_doctor", "block", untrusted
    if host == "gastown":
        yield "switched_off_is_seen_by_doctor", "block", switched_off
    if host != "codex":
        yield "bare_is_seen_by_doctor", "block", bare


# --- the programs ------------------------------------------------------------------------------------


class Unavailable(Exception):
    """What cannot be had here, and why."""


def program_of(host: str) -> Path:
    """The host's native program, from the cache or from npm.  Unavailable: neither has it."""
    package, version = PACKAGES["codex" if host == "codex" else "claude-code"]
    cache = Path(os.environ.get("GAIT_HOOKS_CACHE") or Path.home() / ".cache/gait-hooks") / f"{package.rpartition('/')[2]}@{version}"
    found = native(cache, package)
    if found:
        return found
    if not shutil.which("npm"):
        raise Unavailable("npm is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free < BYTES:
        raise Unavailable(f"less than {BYTES // 1024**3} GiB are free for {package}")
    command = ["npm", "install", "--prefix", str(cache), "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1", f"{package}@{version}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not bring {package}@{version} within {INSTALL_SECONDS} s") from None
    found = native(cache, package)
    if found is None:
        said = [line for line in done.stderr.splitlines() if "npm" in line and "ERR" in line.upper()] or done.stderr.splitlines()
        raise Unavailable(f"npm does not bring {package}@{version} for this system: {' '.join(said[:2])[:300]}")
    return found


def native(cache: Path, package: str) -> Path | None:
    """The program in the package for this platform, which starts without Node."""
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), "other")
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x64"
    folder = cache / "node_modules" / f"{package}-{system}-{machine}"
    name = package.rpartition("/")[2].partition("-")[0]
    return next((path for path in sorted(folder.glob("**/" + name)) if path.is_file() and os.access(path, os.X_OK)), None)


def main(arguments: list[str]) -> int:
    """Run every scenario of every host that is there."""
    parser = argparse.ArgumentParser(description="Prove the hooks' veto with real hosts.")
    parser.add_argument("--only", default="claude-code,codex,gastown", metavar="HOSTS")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="run here, and leave everything")
    options = parser.parse_args(arguments)
    hosts = options.only.split(",")
    try:
        programs = {host: program_of(host) for host in hosts}
    except Unavailable as error:
        print(f"integration-hooks: skipped: {error}")
        junit.write(options.junit, "integration-hooks", [junit.Case(host, "every scenario", skip=str(error)) for host in hosts])
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="gait-hooks-") as folder, serving() as model:
        base = options.keep or Path(folder)
        results = [result for host in hosts for result in run_host(base, host, model, programs[host])]
    junit.write(options.junit, "integration-hooks", results)
    failed = sum(bool(case.problem) for case in results)
    print(f"integration-hooks: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run_host(base: Path, host: str, model: str, program: Path) -> Iterator[junit.Case]:
    """The case of each scenario."""
    version = subprocess.run([program, "--version"], env={"HOME": str(base)}, capture_output=True, text=True).stdout.strip()
    print(f"{host}: {version}", flush=True)
    for name, effect, check in cases(host):
        began = time.monotonic()
        with prepared(base, host, name, effect, model, program) as place:
            problem = check(place)
        seconds = time.monotonic() - began
        print(f"  {'FAILED' if problem else 'ok    '} {name} ({seconds:.1f} s)" + (f"\n{problem}" if problem else ""), flush=True)
        yield junit.Case(f"{host} {version}", name, problem, seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
