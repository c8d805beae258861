"""`--server`: a decision of a running service, or none; never an allow out of anything else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from gait.errors import InvalidInput
from gait.hosts.server import ask

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
EVENT = b'{"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "ls"}, "cwd": "/work"}'
GOOD = {"ok": True, "verdict": "allow", "exit_code": 0, "trace_id": "ab", "reason_codes": []}


@pytest.fixture
def served(tmp_path, patience):
    """A real service on a Unix socket, whose policy allows; and its process."""
    (tmp_path / "allow.yaml").write_text("default_verdict: allow\n")
    address = f"unix:{tmp_path}/s"
    command = [*LAUNCHER, "mcp", "serve", "--policy", tmp_path / "allow.yaml", "--listen", address, "--trust-context", "workspace,identity"]
    child = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200 * patience):
        if (tmp_path / "s").exists():
            break
        time.sleep(0.05)
    yield address, child
    child.kill()
    child.wait()


def hook(tmp_path, address):
    """A hook process whose own policy blocks."""
    (tmp_path / "block.yaml").write_text("default_verdict: block\n")
    command = [*LAUNCHER, "hook", "codex", "--policy", tmp_path / "block.yaml", "--server", address]
    return subprocess.run([*map(str, command)], input=EVENT, capture_output=True, timeout=60)


def test_the_server_decides_and_records_while_it_is_there(served, tmp_path, own_home):
    address, child = served
    found = ask(address, "", "claude_code", {"identity": "codex"}, EVENT)
    assert found and found["verdict"] == "allow" and found["sequence"] >= 1
    done = hook(tmp_path, address)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (own_home / "gait/journal/oneshot").exists()
    child.kill()
    child.wait()
    done = hook(tmp_path, address)  # the socket's file is still there, and nobody behind it
    assert done.returncode == 0 and b'"deny"' in done.stdout and (own_home / "gait/journal/oneshot").exists()


def answering(data: bytes, seconds: float = 0.0):
    """A one-shot server on loopback that answers with these bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client:
            client.recv(65536)
            time.sleep(seconds)
            client.sendall(data)

    Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def http(value: object, status: str = "200 OK", length: int | None = None) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


@pytest.mark.parametrize("verdict,code,status", [("allow", 0, "200 OK"), ("block", 3, "403 Forbidden"), ("require_approval", 4, "428 X"), ("dry_run", 9, "200 OK")])
def test_what_is_a_decision(verdict, code, status):
    value = {**GOOD, "verdict": verdict, "exit_code": code}
    assert ask(answering(http(value, status)), "", "claude_code", {}, EVENT) == value
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    assert ask(answering(chunked % (len(json.dumps(value)), json.dumps(value).encode())), "", "claude_code", {}, EVENT) == value


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"HTTP/1.1 200 OK\r\n\r\n", b"allow", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", http(b"[]"), http(b"not json"), http({})),
        *(http({**GOOD, "ok": False}), http({**GOOD, "ok": 1}), http({**GOOD, "exit_code": 3}), http({**GOOD, "exit_code": False})),
        *(http({**GOOD, "verdict": "ALLOW"}), http({**GOOD, "verdict": ["allow"]}), http({**GOOD, "trace_id": ""}), http(GOOD, "403 X")),
        *(http({**GOOD, "simulated_verdict": "block"}), http(GOOD, "500 X"), http(GOOD, length=len(json.dumps(GOOD)) + 1), http(b'{"ok":true,"ok":true}')),
        http(b" " * 3_000_000),
    ],
    ids=lambda answer: answer[-40:].decode().replace("\r\n", " "),
)
def test_what_is_none(answer):
    assert ask(answering(answer), "", "claude_code", {}, EVENT) is None


def test_nobody_there_and_nobody_who_answers_in_time(monkeypatch, tmp_path):
    monkeypatch.setattr("gait.hosts.server._SECONDS", 0.3)
    free = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
    assert ask(address, "", "claude_code", {}, EVENT) is None  # connects, and waits in vain
    free.close()
    assert ask(address, "", "claude_code", {}, EVENT) is None
    assert ask(answering(http(GOOD), 2.0), "", "claude_code", {}, EVENT) is None
    (tmp_path / "file").write_text("")
    assert ask(f"unix:{tmp_path}/file", "", "claude_code", {}, EVENT) is None
    assert ask(f"unix:{tmp_path}/missing", "", "claude_code", {}, EVENT) is None


@pytest.mark.parametrize("address", ["example.com:80", "10.0.0.1:80", "0.0.0.0:80", "nowhere", "unix:relative", "", "127.0.0.1"])
def test_no_other_host(address):
    with pytest.raises(InvalidInput):
        ask(address, "", "claude_code", {}, EVENT)


def test_a_token_that_is_none_is_a_mistake(monkeypatch):
    for text in ("", "two\r\nlines", "\xe9"):
        monkeypatch.setenv("TOKEN", text)
        with pytest.raises(InvalidInput):
            ask("127.0.0.1:1", "TOKEN", "claude_code", {}, EVENT)
    monkeypatch.setenv("TOKEN", "a-token-of-this-test")
    assert ask("127.0.0.1:1", "TOKEN", "claude_code", {}, EVENT) is None and os.environ["TOKEN"]
