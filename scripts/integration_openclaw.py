#!/usr/bin/env python3
"""Prove with the real OpenClaw that a tool does not run unless Gait allows it.  `make integration-openclaw`.

    integration_openclaw.py [--version 2026.9.6[,2026.3.28]] [--thorough] [--all-versions] [--junit FILE] [--keep FOLDER]

OpenClaw and a Node for it come from npm once, into $GAIT_OPENCLAW_CACHE or ~/.cache/gait-openclaw; no install script of a package is
run.  The model is a stand-in on loopback that asks for chosen tool calls, several in one turn; the proof is whether `touch FILE` has
made the file.  Each path runs without Gait first and last, as a control.  Exit code 0: as it must be.  1: not so.  77: skipped, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import junit

ROOT = Path(__file__).resolve().parent.parent
NEWEST, OLDEST = "2026.9.6", "2026.3.28"
NODE = "26.10.0"
SKIPPED = 77
SECONDS, INSTALL_SECONDS = 180, 600
BYTES = 2 * 1024**3  # what a version takes while npm unpacks it
TOKEN = "integration"
POLICY = """\
default_verdict: block
rules:
  - name: canary
    priority: 1
    effect: block
    match: {{tool_names: [exec], target_values: ["rm -rf / # the canary of gait, which nothing runs"]}}
  - name: allowed
    priority: 2
    effect: allow
    match: {{tool_names: [exec], target_values: ["touch {allowed}"]}}
  - name: allowed-probe
    priority: 3
    effect: allow
    match: {{tool_names: [probe_touch], target_values: ["{allowed}"]}}
"""

PROBE = """\
import { writeFileSync } from "node:fs";
const parameters = { type: "object", properties: { path: { type: "string" } }, required: ["path"], additionalProperties: false };
export default {
  id: "probe", name: "probe",
  register(api) {
    api.registerTool({
      name: "probe_touch", label: "touch", description: "Makes a file.", parameters,
      async execute(id, { path }) { writeFileSync(path, ""); return { content: [{ type: "text", text: "made" }] }; },
    });
  },
};
"""


# --- the stand-in for a model -----------------------------------------------------------------------


class Model(BaseHTTPRequestHandler):
    """As much of OpenAI's chat completions as OpenClaw needs: each `CALL name {json}` in the last user message becomes a tool call."""

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"object": "list", "data": [{"id": "stand-in", "object": "model"}]}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        delta, reason = self._turn(body.get("messages", []))
        whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stand-in"}
        if not body.get("stream"):
            choice = {"index": 0, "message": delta, "finish_reason": reason}
            self._send("application/json", json.dumps({**whole, "object": "chat.completion", "choices": [choice]}).encode())
            return
        chunks = [{**whole, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
        chunks.append({**whole, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        chunks.append({**whole, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
        self._send("text/event-stream", ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n").encode())

    def _turn(self, messages: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
        asked, place = [], -1
        for index, message in enumerate(messages):
            found = re.findall(r"CALL (\w+) (\{.*?\})\s*$", said(message), re.MULTILINE) if message.get("role") == "user" else []
            if found:
                asked, place = found, index
        results = [said(message)[:800] for message in messages[place + 1 :] if message.get("role") == "tool"]
        if asked and not results:
            calls = [
                {"index": number, "id": f"call_{number}_{time.time_ns()}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for number, (name, arguments) in enumerate(asked)
            ]
            return {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
        return {"role": "assistant", "content": "FINAL: " + ("\n".join(results) or "nothing")}, "stop"

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def said(message: dict[str, Any]) -> str:
    """The text of a message."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


@contextmanager
def model() -> Iterator[int]:
    """The port of a running stand-in."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --- one home with one OpenClaw -----------------------------------------------------------------------


Calls = Callable[..., str]  # the commands to call exec with -> what was said


class Lab:
    """A fresh home, the program, and what is done with them."""

    def __init__(self, folder: Path, version: str, node: Path, program: Path, port: int) -> None:
        self.folder, self.version, self.program = folder, tuple(map(int, version.split("."))), program
        self.home, self.work = folder / "home", folder / "work"
        for made in (self.home / ".openclaw", self.work, folder / "bin"):
            made.mkdir(parents=True)
        command = folder / "bin/openclaw"
        command.write_text(f'#!/bin/sh\nexec "{node}" "{program}" "$@"\n')
        command.chmod(0o755)
        (folder / "bin/node").symlink_to(node)
        self.port = free_port()
        (self.home / ".openclaw/openclaw.json").write_text(json.dumps(self._settings(port), indent=2) + "\n")
        self.gateway: subprocess.Popen[bytes] | None = None
        self.count = 0

    def _settings(self, port: int) -> dict[str, Any]:
        model = {"id": "stand-in", "name": "stand-in", "reasoning": False, "input": ["text"], "contextWindow": 128000, "maxTokens": 4096}
        model["cost"] = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
        provider = {"baseUrl": f"http://127.0.0.1:{port}/v1", "apiKey": "stand-in", "api": "openai-completions", "models": [model]}
        gateway = {"mode": "local", "port": self.port, "bind": "loopback", "auth": {"mode": "token", "token": TOKEN}}
        return {
            "models": {"providers": {"stand_in": provider}},
            "agents": {"defaults": {"model": {"primary": "stand_in/stand-in"}}},
            "tools": {"exec": {"host": "gateway", "security": "full", "ask": "off"}},
            "gateway": gateway,
        }

    def install_probe(self) -> None:
        """A plugin with one tool that makes a file: what /tools/invoke can be proven with, since exec is not offered there."""
        folder = self.folder / "probe"
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"name": "probe", "version": "1.0.0", "type": "module", "openclaw": {"extensions": ["./index.js"]}}))
        manifest = {"id": "probe", "name": "probe", "configSchema": {"type": "object", "additionalProperties": False, "properties": {}}}
        (folder / "openclaw.plugin.json").write_text(json.dumps({**manifest, "contracts": {"tools": ["probe_touch"]}, "activation": {"onStartup": True}}))
        (folder / "index.js").write_text(PROBE)
        code, text = self.openclaw("plugins", "install", folder, "--force", "--accept-capabilities")
        if code:
            code, text = self.openclaw("plugins", "install", folder)
        print("  probe: " + ("installed" if code == 0 else text[-400:]), flush=True)

    def environment(self) -> dict[str, str]:
        """Nothing of the developer's own."""
        path = f"{self.folder / 'bin'}:{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin"
        compiled = str(self.program.parents[2] / "compiled")  # V8's code, kept beside the program: half of a start
        found = {"HOME": str(self.home), "PATH": path, "NO_COLOR": "1", "CI": "1", "LANG": "C.UTF-8", "NODE_COMPILE_CACHE": compiled}
        return {**found, "OPENCLAW_SKIP_CHANNELS": "1"}

    def run(self, *words: object, seconds: int = SECONDS) -> tuple[int, str]:
        """One command in the home, in a process group of its own: its exit code and what it printed."""
        process = subprocess.Popen(
            list(map(str, words)), cwd=self.work, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            text = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text = process.communicate()[0] + b"\n(no end)"
        return process.returncode, text.decode("utf-8", "replace")

    def openclaw(self, *words: object) -> tuple[int, str]:
        return self.run(self.folder / "bin/openclaw", *words)

    @property
    def skill(self) -> Path:
        return self.home / ".openclaw/skills/gait-gate"

    def gait(self, *words: object) -> tuple[int, str]:
        return self.run(sys.executable, "-I", self.skill / "gait.py", *words)

    # --- the paths on which tools can be called; each makes these calls, and returns what was said ---

    def local(self, *commands: str) -> str:
        self.count += 1
        self.stop_gateway()  # OpenClaw runs no second agent in the same home
        words = ("agent", "--local", "--agent", "main", "--session-id", f"s{self.count}", "--message", asking(*commands), "--json")
        return self.openclaw(*words)[1]

    def exec_(self, *commands: str) -> str:
        return self.openclaw("agent", "exec", asking(*commands), "--json", "--cwd", self.work)[1]

    def turn(self, *commands: str) -> str:
        self.count += 1
        self.start_gateway()
        return self.openclaw("agent", "--agent", "main", "--session-id", f"g{self.count}", "--message", asking(*commands), "--json")[1]

    def invoke(self, *commands: str) -> str:
        self.start_gateway()
        return "\n".join(map(self._invoke, commands))

    def _invoke(self, command: str) -> str:
        body = json.dumps({"tool": "probe_touch", "args": {"path": command.partition(" ")[2]}}).encode()  # this path has no exec
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/tools/invoke", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return f"{response.status} {response.read().decode()}"
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode()}"
        except OSError as error:
            return f"no answer: {error}"

    def paths(self) -> dict[str, Calls]:
        """Every path of this version."""
        found: dict[str, Calls] = {"agent_local": self.local, "gateway_turn": self.turn, "tools_invoke": self.invoke}
        return {**found, "agent_exec": self.exec_} if self.version >= (2026, 9) else found

    def start_gateway(self) -> None:
        if self.gateway and self.gateway.poll() is None:
            return
        log = open(self.folder / "gateway.log", "ab")
        words = [str(self.folder / "bin/openclaw"), "gateway", "run", "--port", str(self.port)]
        self.gateway = subprocess.Popen(words, cwd=self.work, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(1)
                    return
            time.sleep(0.3)

    def stop_gateway(self) -> None:
        if self.gateway:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.gateway.pid, number)
                    self.gateway.wait(8)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
            self.gateway = None

    def settings(self, **changed: object) -> None:
        """Change the skill's own settings."""
        path = self.skill / "skill_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}, indent=2) + "\n")


def asking(*commands: str) -> str:
    """A prompt that makes the stand-in call exec, once for each command."""
    return "\n".join("CALL exec " + json.dumps({"command": command}) for command in commands)


# --- scenarios ------------------------------------------------------------------------------------------

Scenario = tuple[str, Callable[[], str]]
BLOCKED, UNDECIDED = "Gait blocked this call", "no decision"


def ran(lab: Lab, calls: Calls, told: str = "", **expected: bool) -> str:
    """What went wrong, empty when nothing did: each file must be there or not after its call, and the reason must have been told."""
    marks = {name: lab.work / name for name in expected}
    for mark in marks.values():
        mark.unlink(missing_ok=True)
    text = calls(*(f"touch {mark}" for mark in marks.values()))
    for name, mark in marks.items():
        if mark.exists() is not expected[name]:
            return f"{name}: the tool {'did not run' if expected[name] else 'RAN'}\n{text[-3000:]}"
    return "" if told in text else f"expected {told!r} as the reason\n{text[-3000:]}"


def decided(lab: Lab, calls: Calls) -> str:
    """With Gait in order: of two calls, one turn where the host takes turns, only the allowed one runs."""
    return ran(lab, calls, BLOCKED, refused=False, allowed=True)


def scenarios(lab: Lab, thorough: bool) -> Iterator[Scenario]:
    """Every scenario in order; each builds on those before.  A path has a control before or after, when thorough both."""
    for name, calls in lab.paths().items():
        if thorough or name != "agent_exec":
            yield f"control_before_{name}", lambda calls=calls: ran(lab, calls, refused=True, allowed=True)
    lab.stop_gateway()
    yield "one_command_installs", lambda: install(lab)
    yield "second_run_changes_nothing", lambda: again(lab)
    yield "skill_is_eligible", lambda: eligible(lab)
    yield "plugins_doctor_is_clean", lambda: expect(*lab.openclaw("plugins", "doctor"), 0)
    yield "gait_openclaw_doctor", lambda: doctor(lab)
    for name, calls in lab.paths().items():
        yield from _of_path(lab, name, calls, thorough)
    yield "journal_verifies", lambda: expect(*lab.gait("journal", "verify", lab.home / ".gait/journal"), 0, "ok:")
    yield "uninstall_leaves_no_trace", lambda: uninstall(lab)
    for name, calls in lab.paths().items():
        if thorough or name in ("tools_invoke", "agent_exec"):
            yield f"control_after_{name}", lambda calls=calls: ran(lab, calls, refused=True, allowed=True)
    yield "journal_still_verifies", lambda: expect(
        *lab.run(sys.executable, "-I", ROOT / "gait.py", "journal", "verify", lab.home / ".gait/journal"), 0, "ok:"
    )


def _of_path(lab: Lab, name: str, calls: Calls, thorough: bool) -> Iterator[Scenario]:
    """What is decided on one path, and what comes of a Gait that is broken.  A turn goes through the gateway that /tools/invoke asks."""
    yield f"forbidden_and_allowed_{name}", lambda: decided(lab, calls)
    if thorough or name in ("tools_invoke", "agent_exec"):
        yield f"corrupt_policy_{name}", lambda: with_policy(lab, "\0 not: [a policy", lambda: ran(lab, calls, UNDECIDED, allowed=False))
    if thorough or name == "tools_invoke":
        yield f"gait_gone_{name}", lambda: without_gait(lab, lambda: ran(lab, calls, UNDECIDED, allowed=False))
    if name in ("agent_local", "tools_invoke"):
        yield f"service_{name}", lambda: service(lab, calls, thorough or name == "tools_invoke")


def expect(code: int, text: str, wanted: int, word: str = "") -> str:
    return "" if code == wanted and word in text else f"exit code {code}, expected {wanted} and {word!r}\n{text[-3000:]}"


def copy_checkout(folder: Path) -> None:
    """What the installer needs, in a place where nobody edits it meanwhile."""
    shutil.copytree(ROOT / "gait", folder / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "skills/openclaw", folder / "skills/openclaw")
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/install_openclaw_skill.sh", folder / "scripts")
    shutil.copy(ROOT / "gait.py", folder)


def installer(lab: Lab, *words: str) -> tuple[int, str]:
    return lab.run(lab.folder / "checkout/scripts/install_openclaw_skill.sh", *words)


def install(lab: Lab) -> str:
    policy = lab.folder / "policy.yaml"
    policy.write_text(POLICY.format(allowed=lab.work / "allowed"))
    return expect(*installer(lab, "--policy", str(policy)), 0, "loaded")


def again(lab: Lab) -> str:
    return expect(*installer(lab, "--policy", str(lab.folder / "policy.yaml"), "--json"), 0, '"result": "unchanged"')


def doctor(lab: Lab) -> str:
    """It must be content, and say which of this version's paths are gated."""
    said = "agent exec" if lab.version >= (2026, 9) else "commands that load no plugins are not gated"
    code, text = lab.gait("openclaw", "doctor")
    return expect(code, text, 0, "loaded") or expect(code, text, 0, said)


def eligible(lab: Lab) -> str:
    code, text = lab.openclaw("skills", "info", "gait-gate", "--json")
    start = text.find("{")
    value = json.JSONDecoder().raw_decode(text[start:])[0] if code == 0 and start >= 0 else {}
    return "" if value.get("eligible") is True else f"exit code {code}\n{text[-2000:]}"


def with_policy(lab: Lab, text: str, check: Callable[[], str]) -> str:
    path = lab.skill / "policy.yaml"
    before = path.read_text()
    path.write_text(text)
    try:
        return check()
    finally:
        path.write_text(before)


def without_gait(lab: Lab, check: Callable[[], str]) -> str:
    (lab.skill / "gait.py").rename(lab.skill / "gait.away")
    try:
        return check()
    finally:
        (lab.skill / "gait.away").rename(lab.skill / "gait.py")


def service(lab: Lab, calls: Calls, thorough: bool) -> str:
    """Through a running service; then it is killed: with `server_required` every call is vetoed, without, the policy still decides.

    Not thorough: only the veto of a killed service.
    """
    address = f"unix:{lab.folder / 'gait.sock'}"
    journal = lab.folder / "service-journal"
    words = [sys.executable, "-I", str(lab.skill / "gait.py"), "mcp", "serve", "--policy", str(lab.skill / "policy.yaml"), "--listen", address, "--journal", str(journal)]
    process = subprocess.Popen(words, env=lab.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lab.settings(server=address, server_required=True)
    try:
        until = time.monotonic() + 20
        while not (lab.folder / "gait.sock").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        problem = decided(lab, calls) if thorough else ""
        if problem or process.poll() is not None:
            return f"with the service: {problem}\n{process.stderr.read().decode() if process.poll() is not None and process.stderr else ''}"
        process.kill()
        process.wait()
        problem = ran(lab, calls, "no answer from the Gait service", allowed=False)
        lab.settings(server_required=False)
        return problem or (decided(lab, calls) if thorough else "")
    finally:
        process.kill()
        process.wait()
        lab.settings(server="", server_required=False)
        (lab.folder / "gait.sock").unlink(missing_ok=True)


def uninstall(lab: Lab) -> str:
    lab.stop_gateway()
    code, text = installer(lab, "--uninstall")
    left = [str(path) for path in (lab.home / ".openclaw").rglob("*gait*")]
    settings = (lab.home / ".openclaw/openclaw.json").read_text()
    is_named = "gait-gate" in settings  # not "gait": older versions note the folder that the probe came from
    if code or left or is_named:
        return f"exit code {code}; left: {left}; {'named in openclaw.json' if is_named else ''}\n{text[-2000:]}"
    return "" if "gait-gate" not in lab.openclaw("plugins", "list", "--json")[1] else "openclaw still lists the plugin"


# --- the programs ---------------------------------------------------------------------------------------


class Unavailable(Exception):
    """What cannot be had here, and why."""


def fetched(package: str, version: str, inner: str) -> Path:
    """A file of an npm package, from the cache or from npm.  Unavailable: neither has it."""
    cache = Path(os.environ.get("GAIT_OPENCLAW_CACHE") or Path.home() / ".cache/gait-openclaw") / f"{package}@{version}"
    path = cache / "node_modules" / package / inner
    if path.exists():
        return path
    if not shutil.which("npm"):
        raise Unavailable("npm is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free < BYTES:
        raise Unavailable(f"less than {BYTES // 1024**3} GiB are free for {package}")
    words = ["npm", "install", "--prefix", str(cache), "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1", f"{package}@{version}"]
    try:
        done = subprocess.run(words, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm did not bring {package}@{version} within {INSTALL_SECONDS} s") from None
    if path.exists():
        return path
    said = [line for line in done.stderr.splitlines() if "npm" in line and "ERR" in line.upper()] or done.stderr.splitlines()
    raise Unavailable(f"npm does not bring {package}@{version}: {' '.join(said[:2])[:300]}")


def node() -> Path:
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), "other")
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x64"
    return fetched(f"node-{system}-{machine}", NODE, "bin/node")


def run_version(base: Path, version: str, node_path: Path, program: Path, port: int, thorough: bool) -> Iterator[junit.Case]:
    """The case of each scenario."""
    print(f"OpenClaw {version}", flush=True)
    lab = Lab(base / version, version, node_path, program, port)
    try:
        copy_checkout(lab.folder / "checkout")
        lab.install_probe()
        for name, check in scenarios(lab, thorough):
            began = time.monotonic()
            try:
                problem = check()
            except (OSError, ValueError) as error:
                problem = f"{type(error).__name__}: {error}"
            seconds = time.monotonic() - began
            print(f"  {'FAILED' if problem else 'ok    '} {name} ({seconds:.1f} s)" + (f"\n{problem}" if problem else ""), flush=True)
            yield junit.Case(f"openclaw {version}", name, problem, seconds)
    finally:
        lab.stop_gateway()


def main(arguments: list[str]) -> int:
    """Run every scenario with each version."""
    parser = argparse.ArgumentParser(description="Prove the veto with the real OpenClaw.")
    parser.add_argument("--version", default=NEWEST, metavar="VERSIONS", help=f"default {NEWEST}; separated by commas")
    parser.add_argument("--all-versions", action="store_true", help=f"the same as --version {NEWEST},{OLDEST} --thorough")
    parser.add_argument("--thorough", action="store_true", help="every scenario on every path; without, about half as many, in under four minutes")
    parser.add_argument("--junit", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="run here, and leave everything")
    options = parser.parse_args(arguments)
    thorough = options.thorough or options.all_versions
    versions = [NEWEST, OLDEST] if options.all_versions else options.version.split(",")
    try:
        node_path = node()
        programs = {version: fetched("openclaw", version, "openclaw.mjs") for version in versions}
    except Unavailable as error:
        print(f"integration-openclaw: skipped: {error}")
        junit.write(options.junit, "integration-openclaw", [junit.Case(f"openclaw {version}", "every scenario", skip=str(error)) for version in versions])
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="gait-openclaw-", ignore_cleanup_errors=True) if sys.version_info >= (3, 10) else tempfile.TemporaryDirectory() as folder, model() as port:
        base = options.keep or Path(folder)
        results = [result for version in versions for result in run_version(base, version, node_path, programs[version], port, thorough)]
    junit.write(options.junit, "integration-openclaw", results)
    failed = sum(bool(case.problem) for case in results)
    print(f"integration-openclaw: {len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
