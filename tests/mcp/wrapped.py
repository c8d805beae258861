"""`gait mcp wrap` as a process of its own, with the client's ends of its pipes, and a look at the processes it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Iterable

from tests.service.running import POLICY, ROOT, wait_for

from gait.store import keys
from gait.store.journal.verify import Audit

PYTHON = [sys.executable, "-I"]
GAIT = [*PYTHON, str(ROOT / "gait.py")]
SERVER = [*PYTHON, str(ROOT / "tests" / "mcp" / "stdio_server.py")]


def call(id_: object, name: str = "read_file", **arguments: object) -> bytes:
    if name in ("read_file", "write_file"):
        arguments.setdefault("path", "/work/a.py")
    value = {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    return json.dumps(value).encode() + b"\n"


def request(id_: object, method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).encode() + b"\n"


class Wrapped:
    """A session.  `log`: the frames that the server got.  `words` are the server's; `command` stands in its place."""

    def __init__(
        self, folder: Path, *words: object, options: Iterable[object] = (), policy: str = POLICY, command: list[str] | None = None, before: Iterable[str] = (), **how: Any
    ) -> None:
        self.folder = folder
        (folder / "policy.yaml").write_text(policy, "utf-8")
        self.log_path = folder / "server.log"
        self.stderr_path = folder / "stderr.log"
        server = command or [*SERVER, str(self.log_path), *map(str, words)]
        gait = [*GAIT, "mcp", "wrap", "--policy", str(folder / "policy.yaml"), "--journal", str(folder / "journal"), *map(str, options)]
        with open(self.stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                [*before, *gait, "--", *server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0, **how
            )
        self.output = os.fdopen(os.dup(self.process.stdout.fileno()), "rb")

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, *lines: bytes) -> None:
        for line in lines:
            left = memoryview(line)
            while left:
                left = left[self.process.stdin.write(left) :]

    def read(self) -> Any:
        line = self.output.readline()
        assert line.endswith(b"\n"), (line, self.stderr)
        return json.loads(line)

    def ask(self, line: bytes) -> Any:
        self.send(line)
        return self.read()

    def hello(self) -> Any:
        """The handshake; after it, the server and its group are there."""
        return self.ask(request("hello", "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={}))

    def close(self) -> int:
        """End the session as a client does; the exit code."""
        self.process.stdin.close()
        return self.wait()

    def wait(self, seconds: float = 30) -> int:
        code = self.process.wait(seconds)
        assert "Traceback" not in self.stderr and "internal error" not in self.stderr, self.stderr
        return code

    def kill(self) -> None:
        """For the end of a test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.output):
            stream.close()

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text("utf-8", "replace")

    @property
    def log(self) -> bytes:
        return self.log_path.read_bytes() if self.log_path.exists() else b""

    def frames(self, method: str = "tools/call") -> list[Any]:
        """What the server got, whole lines only."""
        values = [json.loads(line) for line in self.log.split(b"\n")[:-1]]
        return [value for value in values if value.get("method") == method]

    def records(self) -> list[dict]:
        """The verified records of all chains; AssertionError unless they all verify."""
        return verified(self.folder / "journal")

    def allowed(self) -> list[dict]:
        return [record for record in self.records() if record.get("verdict") == "allow"]

    def outcomes(self) -> list[str]:
        return [record["details"]["status"] for record in self.records() if record.get("event") == "outcome"]

    def group(self) -> int:
        """The number of the server's process group."""
        found = {group for _, parent, group, _ in processes() if parent == self.pid}
        assert len(found) == 1, found
        return found.pop()

    def server(self) -> int:
        """The server's process."""
        group = self.group()
        return next(number for number, parent, its, _ in processes() if parent == self.pid and its == group and number != group)

    def rss(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def verified(journal: Path) -> list[dict]:
    audit = Audit(str(journal), keys.dev_keyring()[0])
    found = [dict(item.record) for item in audit]
    report = audit.report()
    assert not report.findings, report.findings
    return found


def processes() -> list[tuple[int, int, int, str]]:
    """(process, parent, group, state) of every process."""
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(int(pid), int(parent), int(group), state) for pid, parent, group, state in rows]


def living(group: int) -> list[int]:
    """The processes of a group that still run; a zombie does not."""
    return [number for number, _, its, state in processes() if its == group and not state.startswith("Z")]


def gone(group: int, seconds: float = 20) -> None:
    wait_for(lambda: not living(group), seconds)


class Background(threading.Thread):
    """Runs a function; `join` gives what it raised."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        super().__init__(daemon=True)
        self._function, self._arguments, self._error = function, arguments, None
        self.start()

    def run(self) -> None:
        try:
            self._function(*self._arguments)
        except BaseException as error:
            self._error = error

    def join(self, timeout: float | None = 60) -> None:
        super().join(timeout)
        assert not self.is_alive()
        if self._error:
            raise self._error
