"""The watch over sockets has teeth, in this process and, in a network namespace, over children."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loopback

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = "192.0.2.1"  # RFC 5737: of documentation, nobody's


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST", "", None, b"localhost", "0.0.0.0", "::1%lo"])
def test_here(host):
    assert loopback.is_here(host)


@pytest.mark.parametrize("host", [ELSEWHERE, "10.0.0.1", "::2", "fe80::1%eth0", "example.org", "localhost.example.org", "127.0.0.1.example.org", b"example.org"])
def test_elsewhere(host):
    assert not loopback.is_here(host)


def attempts():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield "connect", lambda: socket.create_connection((ELSEWHERE, 9), timeout=0.1)
    yield "connect_ex", lambda: udp.connect_ex((ELSEWHERE, 9))
    yield "sendto", lambda: udp.sendto(b"", (ELSEWHERE, 9))
    yield "getaddrinfo", lambda: socket.getaddrinfo("example.org", 80)
    yield "library", lambda: __import__("urllib.request").request.build_opener().open("http://example.org", timeout=0.1)
    udp.close()


def test_every_way_out_is_seen():
    for name, attempt in attempts():
        del loopback.left[:]
        with pytest.raises(OSError):
            attempt()
        assert loopback.left, name
    del loopback.left[:]


def test_a_test_that_leaves_fails_even_when_the_code_takes_the_error(tmp_path):
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    body = f"import socket\ndef test_it():\n    try:\n        socket.create_connection(('{ELSEWHERE}', 9), timeout=0.1)\n    except OSError:\n        pass\n"
    (tmp_path / "test_one.py").write_text(body)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and ELSEWHERE in done.stdout


def can_isolate() -> bool:
    code = "from tests import loopback; loopback.isolate()"
    return sys.platform == "linux" and subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL, timeout=60).returncode == 0


@pytest.mark.parametrize("leaves", [False, True])
def test_a_child_that_leaves_is_counted_in_a_network_of_its_own(leaves, tmp_path):
    """The child is isolated (-I), so no hook could be in it."""
    if not can_isolate():
        pytest.skip("this system allows no network namespace")
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    host = ELSEWHERE if leaves else "127.0.0.1"
    child = f"import socket; socket.socket().connect_ex(('{host}', 9))"
    (tmp_path / "test_one.py").write_text(f"import subprocess, sys\ndef test_it():\n    subprocess.run([sys.executable, '-I', '-c', {child!r}], check=True)\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "GAIT_NETWORK": "none"}, capture_output=True, text=True, timeout=60)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert f"{int(leaves)} packets tried to leave" in done.stdout and done.returncode == int(leaves)


# What may open a connection, and to where: the modules that do, each tested by itself; everything else of Gait cannot.
CONNECTS = {
    "gait/hosts/server.py": "`gait hook --server`: a Unix socket or a loopback address, refused otherwise",
    "gait/service/otlp.py": "`--otlp-endpoint`",
    "gait/system/binding.py": "whether a Unix socket is in use",
    "gait/system/origin.py": "`--upstream`, and registries that are named",
}


def test_only_these_modules_connect():
    """By their own words: a connect, or a library of the standard library's that connects."""
    libraries = {"http.client", "urllib.request", "ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc"}
    found = set()
    for path in sorted((ROOT / "gait").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("connect", "connect_ex", "create_connection", "open_connection", "sendto")
            is_sqlite = is_call and ast.unparse(node.func).startswith("sqlite3.")
            if (is_call and not is_sqlite) or libraries & set(names):
                found.add(str(path.relative_to(ROOT)))
    assert found == set(CONNECTS)
