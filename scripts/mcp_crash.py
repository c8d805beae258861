"""kill -9 of the upstream, the gate or a client at random, under load through the MCP gateway.  Part of scripts/integration_mcp.py.

    mcp_crash.py URL NAME     one client: calls until it is killed, one line of standard output for each call that was answered

What must hold after every kill: nobody waits in vain, nothing of what was killed is left, and the service goes on.  At the end: every
call in the upstream's own log has an allow in the journal and got there once, and every answer that a client has seen has its outcome.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "conformance" / "fixture_server.py"
BLOCKED = "test_error_handling"
TOOLS = ("test_simple_text", "test_tool_with_progress", BLOCKED)
POLICY = f"default_verdict: allow\nrules:\n  - name: never\n    priority: 1\n    effect: block\n    match: {{tool_names: [{BLOCKED}]}}\n"
CLIENTS = 3
PATIENCE = 15.0  # seconds in which an answer must come, a process be gone, the service go on


class Broken(Exception):
    """Something that must hold did not."""


# --- one client --------------------------------------------------------------------------------------


class Client:
    """What an MCP client does over HTTP, and nothing more; it begins a new session whenever the old one is no good."""

    def __init__(self, url: str, name: str) -> None:
        self.address = urlsplit(url)
        self.name = name
        self.number = 0

    def run(self) -> None:
        while True:
            try:
                self._session()
            except TimeoutError:  # socket.timeout before Python 3.10 is another, and an OSError too
                print(f"hang {self.name}-{self.number}", flush=True)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if "timed out" in str(error):
                    print(f"hang {self.name}-{self.number}", flush=True)
                time.sleep(0.02)

    def _session(self) -> None:
        line = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=PATIENCE)
        try:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": self.name, "version": "1"}}
            session, _ = self._post(line, "", {"id": 0, "method": "initialize", "params": params})
            self._post(line, session, {"method": "notifications/initialized"})
            while True:
                self._call(line, session)
        finally:
            line.close()

    def _call(self, line: http.client.HTTPConnection, session: str) -> None:
        self.number += 1
        name = TOOLS[self.number % len(TOOLS)]
        call = f"{self.name}-{self.number}"
        params = {"name": name, "arguments": {"call": call}, "_meta": {"progressToken": call}}
        _, answer = self._post(line, session, {"id": self.number, "method": "tools/call", "params": params})
        refused = "dev.gait/decision" in answer.get("result", {}).get("_meta", {})
        print("refused" if refused else "ok" if "result" in answer else "error", call, flush=True)

    def _post(self, line: http.client.HTTPConnection, session: str, message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The session id and the response with this message's id; ValueError: there was none."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if session:
            headers.update({"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"})
        line.request("POST", self.address.path, json.dumps({"jsonrpc": "2.0", **message}), headers)
        response = line.getresponse()
        body = response.read()
        if response.status == 202:
            return session, {}
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        for data in re.findall(rb"^data: ?(\{.*)$", body, re.MULTILINE) or [body]:
            value = json.loads(data)
            if value.get("id") == message.get("id") and "method" not in value:
                return response.getheader("Mcp-Session-Id") or session, value
        raise ValueError("the stream ended without the answer")


# --- the service, and who kills it ---------------------------------------------------------------------


class Service:
    """A gate with its upstream, over HTTP or as the gate's own child over stdio; started again at the same addresses."""

    def __init__(self, way: str, folder: Path) -> None:
        self.way = way
        self.folder = folder
        self.log = folder / "upstream.jsonl"
        self._address, self._upstream_address = "127.0.0.1:0", "127.0.0.1:0"
        self.gate: Optional[subprocess.Popen[bytes]] = None
        self.upstream: Optional[subprocess.Popen[bytes]] = None
        (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://{self._address}/mcp"

    def start(self) -> None:
        """Whatever does not run."""
        fixture = [sys.executable, str(FIXTURE), "--log", str(self.log)]
        if self.way == "http" and self.upstream is None:
            self.upstream, found = self._started("fixture", [*fixture, "--http", self._upstream_address], r"^http://([\d.:]+)/mcp")
            self._upstream_address = found
        if self.gate is None:
            told = ["--upstream", f"http://{self._upstream_address}/mcp"] if self.way == "http" else ["--upstream-command", shlex.join([*fixture, "--stdio"])]
            gate = [sys.executable, "-I", str(ROOT / "gait.py"), "mcp", "serve", "--policy", "policy.yaml", "--listen", self._address, "--heartbeat", "1"]
            self.gate, self._address = self._started("gate", [*gate, "--journal", "journal", *told], r'"listening".*"address": "([^"]+)"')

    def _started(self, name: str, command: list[str], pattern: str) -> tuple[subprocess.Popen[bytes], str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GAIT_")}
        log = self.folder / f"{name}.txt"
        with open(log, "wb") as out:
            process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**environment, "GAIT_HOME": str(self.folder / "home")})
        found = until(lambda: re.search(pattern, log.read_text("utf-8", "replace"), re.MULTILINE), lambda: f"{name} did not start: {log.read_text('utf-8', 'replace')[-300:]}")
        return process, found[1]

    def kill(self, victim: str, chance: random.Random) -> None:
        if victim == "upstream" and self.way == "stdio":
            children = self.children()
            if children:
                os.kill(chance.choice(children), signal.SIGKILL)
            return
        process = self.gate if victim == "gate" else self.upstream
        if process:
            process.kill()
            process.wait()
        if victim == "gate":
            self.gate = None
            until(lambda: not self.children(), lambda: f"a killed gate has left {len(self.children())} servers")
        else:
            self.upstream = None

    def children(self) -> list[int]:
        """The stdio servers: processes with this scenario's log on their command line, which the gate itself may have too."""
        listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], stdout=subprocess.PIPE, text=True).stdout
        found = [line.split(None, 1) for line in listing.splitlines() if str(self.log) in line and "--stdio" in line and "mcp serve" not in line]
        return [int(pid) for pid, _ in found]

    def stop(self) -> None:
        for process, name in ((self.gate, "gate"), (self.upstream, "upstream")):
            if process:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise Broken(f"the {name} did not end within {PATIENCE:.0f} s of SIGTERM") from None
        self.gate = self.upstream = None


class Load:
    """The clients; `lines` is all that they have said."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._started = 0
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self) -> None:
        while len(self._running) < CLIENTS:
            self._started += 1
            log = self._folder / f"client-{self._started}.txt"
            with open(log, "wb") as out, open(self._folder / "clients.txt", "ab") as err:
                process = subprocess.Popen([sys.executable, __file__, self._url, f"c{self._started}"], stdout=out, stderr=err)
            self._running.append((process, log))

    def kill(self, chance: random.Random) -> None:
        process, _ = self._running.pop(chance.randrange(len(self._running)))
        process.kill()
        process.wait()

    def await_progress(self) -> None:
        """Every client that runs is served again."""
        before = {log: log.read_text().count("ok ") for _, log in self._running}
        until(
            lambda: all(log.read_text().count("ok ") > count for log, count in before.items()),
            lambda: f"after a kill, clients got no answer within {PATIENCE:.0f} s",
        )

    def said(self, word: str) -> list[str]:
        text = "".join(path.read_text() for path in sorted(self._folder.glob("client-*.txt")))
        return re.findall(rf"^{word} (\S+)\n", text, re.MULTILINE)

    def stop(self) -> None:
        for process, _ in self._running:
            process.kill()
            process.wait()
        self._running = []


def run(way: str, folder: Path, rounds: int, seed: int) -> str:
    """What was done, in words.  Broken: what did not hold."""
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    service = Service(way, folder)
    killed: Counter[str] = Counter()
    try:
        service.start()
        load = Load(service.url, folder)
        try:
            load.start()
            for _ in range(rounds):
                load.await_progress()
                time.sleep(chance.uniform(0.0, 0.3))
                victim = chance.choice(("upstream", "gate", "client"))
                killed[victim] += 1
                load.kill(chance) if victim == "client" else service.kill(victim, chance)
                time.sleep(chance.choice((0.0, 0.1)))
                service.start()
                load.start()
            load.await_progress()
        finally:
            load.stop()
    finally:
        service.stop()
    until(lambda: not service.children(), lambda: "servers are left after the gate's end")
    return f"{', '.join(f'{count} x {victim}' for victim, count in sorted(killed.items()))}; {checked(service, load)}"


def checked(service: Service, load: Load) -> str:
    """Compare what the clients saw, what the upstream got, and what the journal has."""
    expect(not load.said("hang"), f"clients waited in vain: {load.said('hang')[:5]}")
    verify = [sys.executable, "-I", str(ROOT / "gait.py"), "journal", "verify", str(service.folder / "journal"), "--json"]
    done = subprocess.run(verify, env={**os.environ, "GAIT_HOME": str(service.folder / "home")}, stdout=subprocess.PIPE, text=True)
    expect(done.returncode == 0, f"the journal does not verify: {done.stdout[-500:]}")
    seen = [line["arguments"]["call"] for line in lines_of(service.log) if line.get("method") == "tools/call"]
    records = [line for path in sorted((service.folder / "journal").glob("*/*.jsonl")) for line in lines_of(path)]
    allowed = {line["args_digest"]: line["sequence"] for line in records if line.get("verdict") == "allow"}
    blocked = {line["args_digest"] for line in records if line.get("verdict") == "block"}
    ended = {line["details"]["call_sequence"] for line in records if line.get("event") == "outcome"}
    expect(len(seen) == len(set(seen)), f"calls reached the upstream twice: {[call for call, count in Counter(seen).items() if count > 1][:5]}")
    expect(not [call for call in seen if digest(call) not in allowed], "calls reached the upstream that have no allow in the journal")
    answered, refused = load.said("ok"), load.said("refused")
    expect(bool(answered and refused), "the clients got no answers")
    expect(not set(answered) - set(seen), "answers of the upstream's to calls that it never got")
    expect(not [call for call in answered if allowed[digest(call)] not in ended], "answers were seen that have no outcome in the journal")
    expect(not [call for call in refused if digest(call) not in blocked], "refusals were seen that the journal does not have")
    return f"{len(seen)} calls reached the upstream, {len(answered)} answers and {len(refused)} refusals seen, {len(allowed) - len(ended)} without outcome"


def digest(call: str) -> str:
    return hashlib.sha256(json.dumps({"call": call}, separators=(",", ":")).encode()).hexdigest()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """JSON lines; what a killed writer left unfinished is not one."""
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            pass
    return found


def until(condition: Callable[[], Any], complaint: Callable[[], str]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Broken(complaint())
        time.sleep(0.02)


def expect(condition: bool, complaint: str) -> None:
    if not condition:
        raise Broken(complaint)


if __name__ == "__main__":
    Client(sys.argv[1], sys.argv[2]).run()
