"""`gait mcp serve` as a process of its own, and a client that speaks to it over a raw socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterable, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
POLICY = """\
default_verdict: block
rules:
  - name: read-work
    priority: 10
    effect: allow
    match: {endpoint_classes: [fs.read]}
    endpoint: {path_allowlist: ["/work/**"]}
  - name: write-work
    priority: 20
    effect: require_approval
    match: {endpoint_classes: [fs.write]}
    endpoint: {path_allowlist: ["/work/**"]}
  - name: try-it
    priority: 30
    effect: dry_run
    match: {tool_names: [rehearse]}
"""
ALLOWED = {"call": {"name": "read_file", "arguments": {"path": "/work/a.py"}}}
BLOCKED = {"call": {"name": "read_file", "arguments": {"path": "/work/../etc/shadow"}}}


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list:
        return [json.loads(line) for line in self.body.splitlines()]


class Client:
    """One keep-alive connection.  OSError when the server is gone."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None, timeout: float = 60) -> None:
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address[5:])
        else:
            host, _, port = address.rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"] if "Host" not in headers else [f"{method} {path} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def read(self, method: str = "POST") -> Answer:
        first = self.file.readline()
        if not first:
            raise ConnectionResetError("closed")
        headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            if not line:
                raise ConnectionResetError("closed in the head")
            name, _, text = line.decode("latin-1").rstrip("\r\n").partition(": ")
            headers[name.lower()] = text
        return Answer(int(first.split(b" ")[1]), headers, self._body(method, headers))

    def _body(self, method: str, headers: dict) -> bytes:
        if method == "HEAD":
            return b""
        if headers.get("transfer-encoding") != "chunked":
            length = int(headers.get("content-length", 0))
            body = self.file.read(length)
            if len(body) < length:
                raise ConnectionResetError("closed in the body")
            return body
        body = b""
        while True:
            size = self.file.readline()
            if not size:
                raise ConnectionResetError("closed in a chunk")
            part = self.file.read(int(size, 16))
            self.file.readline()
            if not part:
                return body
            body += part

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        self.send(method, path, body, **headers)
        return self.read(method)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, value: object, path: str = "/v1/evaluate", **headers: str) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers.setdefault("Content_Type", "application/json")
        return self.ask("POST", path, body, **headers)


class Server:
    """A server that has started.  `stop` expects an orderly end and nothing like a traceback in its log."""

    def __init__(self, folder: Path, *options: object, policy: str = POLICY, env: dict | None = None, before: Iterable[str] = ()) -> None:
        self.policy = folder / "policy.yaml"
        if not self.policy.exists():
            self.policy.write_text(policy, "utf-8")
        self.journal = folder / "journal"
        self.log = folder / "stderr.log"
        words = [str(word) for word in options]
        if "--listen" not in words:
            words += ["--listen", "127.0.0.1:0"]
        if "--journal" not in words:
            words += ["--journal", str(self.journal)]
        self.journal = Path(words[words.index("--journal") + 1])
        argv = [*before, *LAUNCHER, "mcp", "serve", "--policy", str(self.policy), *words]
        with open(self.log, "ab") as log:
            self.start = log.tell()
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        self.workers = int(words[words.index("--workers") + 1]) if "--workers" in words else 1
        wait_for(lambda: self.process.poll() is not None or len(self.events("listening")) >= self.workers, 30)
        assert self.process.poll() is None, self.text()
        self.address = self.events("listening")[-1]["address"]

    @property
    def pid(self) -> int:
        return self.process.pid

    def text(self) -> str:
        with open(self.log, "rb") as log:
            log.seek(self.start)
            return log.read().decode("utf-8", "replace")

    def events(self, name: str = "") -> list[dict]:
        found = [json.loads(line) for line in self.text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in found if not name or event["event"] == name]

    def client(self, **how: Any) -> Client:
        return Client(self.address, **how)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def stop(self) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        assert "Traceback" not in self.text(), self.text()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def rss(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))


def gait(*words: object, stdin: bytes = b"", env: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([*LAUNCHER, *map(str, words)], input=stdin, capture_output=True, env={**os.environ, **(env or {})}, timeout=120)


def verify(journal: Path) -> dict:
    """The report of `gait journal verify`; AssertionError unless all of it verifies."""
    done = gait("journal", "verify", journal, "--json")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return json.loads(done.stdout)


def records(journal: Path, chain: str = "serve") -> list[dict]:
    """What the segments of a chain hold, torn last line left out."""
    found = []
    for path in sorted((journal / chain).glob("*.jsonl")):
        found += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return found


def events(journal: Path, chain: str = "serve") -> list[str]:
    return [record["event"] for record in records(journal, chain) if "event" in record]


def wait_for(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
