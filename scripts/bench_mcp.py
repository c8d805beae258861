#!/usr/bin/env python3
"""Measure what the MCP gate adds to a tools/call.  `make bench-mcp` runs it; docs/performance.md explains it.

The same calls go to one small upstream directly and through the gate, in turns within each round; what counts is the difference.
Each gated call is evaluated, signed and written to the journal, and so is its outcome.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench_serve import READ, RULES, Client, Load, drive, keys, process, rules, shown, spread

ROOT = Path(__file__).resolve().parent.parent
SECRET = bytes(range(32))
CALL = {"jsonrpc": "2.0", "id": 17, "method": "tools/call", "params": {"name": "files.read", "arguments": READ}}
# As small as upstreams get: what it takes itself would hide what the gate takes.
ANSWER = '{"jsonrpc":"2.0","id":17,"result":{"content":[{"type":"text","text":"' + "x" * 200 + '"}],"isError":false}}'
HTTP_UPSTREAM = f"""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ANSWER = {ANSWER!r}.encode()
class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    def log_message(self, *arguments):
        pass
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)
server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
print("http://127.0.0.1:%d" % server.server_port, file=sys.stderr, flush=True)
server.serve_forever()
"""
STDIO_UPSTREAM = f"""
import os, sys
ANSWER = {ANSWER!r}.encode() + b"\\n"
for line in iter(sys.stdin.buffer.readline, b""):
    os.write(1, ANSWER)
"""


class Taken(NamedTuple):
    """Milliseconds of a call."""

    p50_ms: float
    p99_ms: float


def main(arguments: list[str]) -> int:
    """Measure, print, write; 5 when --check is given and a figure is over its limit."""
    parser = argparse.ArgumentParser(description="Measure what the MCP gate adds to a tools/call.")
    parser.add_argument("--out", default="bench_mcp.json", metavar="FILE", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls, for CI")
    parser.add_argument("--check", action="store_true", help="exit 5 when a figure is over its limit")
    options = parser.parse_args(arguments)
    rounds, count = (3, 400) if options.quick else (9, 1500)
    report: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    report["load_before"] = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory(prefix="gait-bench-") as name:
        folder = Path(name)
        (folder / "policy.json").write_text(json.dumps({"default_verdict": "block", "rules": rules(RULES)}))
        (folder / "key").write_text(keys.base64_dumps(SECRET) + "\n")
        (folder / "key").chmod(0o600)
        report["http"] = measure_http(folder, rounds, count)
        report["stdio"] = measure_stdio(folder, rounds, count)
    report["load_after"] = round(os.getloadavg()[0], 2)
    Path(options.out).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(report)))
    return 5 if options.check and any(not row["ok"] for row in goals(report)) else 0


def gait(folder: Path, verb: str, *more: str) -> list[str]:
    """A command line of Gait's with the policy and the key."""
    words = [sys.executable, "-I", str(ROOT / "gait.py"), "mcp", verb, "--policy", str(folder / "policy.json")]
    words += ["--key-mode", "prod", "--private-key", str(folder / "key"), "--workspace", "/work"]
    return [*words, "--journal", tempfile.mkdtemp(prefix="journal-", dir=folder), *more]


def measure_http(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """1 connection directly and through the gate, and 8 through it."""
    body = json.dumps(CALL).encode()
    head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    request = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body]
    loads: list[Load] = []
    taken: dict[str, list[Taken]] = {"direct": [], "gated": []}
    with ExitStack() as stack:
        upstream = stack.enter_context(process([sys.executable, "-I", "-c", HTTP_UPSTREAM], folder))
        words = gait(folder, "serve", "--listen", "127.0.0.1:0", "--upstream", f"http://127.0.0.1:{upstream[1]}/mcp")
        gate = stack.enter_context(process(words, folder))
        for _ in range(rounds):
            for name, address in (("direct", upstream), ("gated", gate)):
                taken[name].append(ask(Client(address), request[0], count))
            loads.append(drive(gate, 8, count, request))
        rss = rss_of(words[-1])
    return {**added(taken), "calls_per_second_8": spread([load.requests_per_second for load in loads]), "rss_mb": rss}


def measure_stdio(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """One client that makes a call after the other, directly and through `gait mcp wrap`."""
    upstream = [sys.executable, "-I", "-c", STDIO_UPSTREAM]
    taken: dict[str, list[Taken]] = {"direct": [], "gated": []}
    with ExitStack() as stack:
        direct = stack.enter_context(piped(upstream, folder))
        gated = stack.enter_context(piped(gait(folder, "wrap", "--", *upstream), folder))
        for _ in range(rounds):
            taken["direct"].append(talk(direct, count))
            taken["gated"].append(talk(gated, count))
        rss = resident_mb(gated.pid)
    return {**added(taken), "rss_mb": rss}


def added(taken: dict[str, list[Taken]]) -> dict[str, object]:
    """What the gate adds within each round."""
    pairs = list(zip(taken["direct"], taken["gated"]))
    return {
        "direct_p50_ms": spread([direct.p50_ms for direct, _ in pairs]),
        "added_p50_ms": spread([gated.p50_ms - direct.p50_ms for direct, gated in pairs]),
        "added_p99_ms": spread([gated.p99_ms - direct.p99_ms for direct, gated in pairs]),
    }


def ask(client: Client, request: bytes, count: int) -> Taken:
    """`count` calls over one connection, each after the answer to the one before."""
    taken = []
    for _ in range(count + 100):
        client.send(request)
        while not client.receive():
            pass
        taken.append((perf_counter() - client.sent_at) * 1000)
    client.socket.close()
    return percentiles(taken[100:])


def percentiles(taken: list[float]) -> Taken:
    """p50 and p99."""
    taken = sorted(taken)
    return Taken(taken[len(taken) // 2], taken[len(taken) * 99 // 100])


@contextmanager
def piped(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program behind two pipes."""
    environment = {**os.environ, "GAIT_HOME": str(folder / "home")}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0) as child:
        yield child
        child.stdin.close()  # type: ignore[union-attr]


def talk(child: subprocess.Popen[bytes], count: int) -> Taken:
    """`count` calls, each after the answer to the one before."""
    frame = json.dumps(CALL).encode() + b"\n"
    stdin, stdout = child.stdin.fileno(), child.stdout.fileno()  # type: ignore[union-attr]
    taken = []
    for number in range(count + 100):
        started = perf_counter()
        os.write(stdin, frame)
        answer = os.read(stdout, 65536)
        while not answer.endswith(b"\n"):
            answer += os.read(stdout, 65536) or sys.exit("bench-mcp: the server has ended")
        if number >= 100:
            taken.append((perf_counter() - started) * 1000)
        if b'"isError":false' not in answer:
            raise SystemExit(f"bench-mcp: expected the upstream's answer, got {answer[:400]!r}")
    return percentiles(taken)


def rss_of(word: str) -> float:
    """MB of the process with this word in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                return resident_mb(int(folder.name))
        except OSError:
            continue
    return 0.0


def resident_mb(process_id: int) -> float:
    """MB that a process holds, 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0.0
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def goals(report: dict[str, object]) -> list[dict[str, object]]:
    """Each figure with its limit; medians of the rounds."""
    http, stdio = report["http"], report["stdio"]
    rows = [
        ("HTTP: added p50, ms", http["added_p50_ms"]["median"], "<=", 0.5),  # type: ignore[index]
        ("HTTP: added p99, ms", http["added_p99_ms"]["median"], "<=", 2.0),  # type: ignore[index]
        ("HTTP: calls/s, 8 connections", http["calls_per_second_8"]["median"], ">=", 1000),  # type: ignore[index]
        ("HTTP: resident MB", http["rss_mb"], "<=", 40),  # type: ignore[index]
        ("stdio: added p50, ms", stdio["added_p50_ms"]["median"], "<=", 0.3),  # type: ignore[index]
        ("stdio: resident MB", stdio["rss_mb"], "<=", 40),  # type: ignore[index]
    ]
    return [
        {"name": name, "value": value, "limit": f"{sign} {limit}", "ok": value <= limit if sign == "<=" else value >= limit}
        for name, value, sign, limit in rows
    ]


def table(report: dict[str, object]) -> list[str]:
    """The report, aligned; three numbers are least, median and greatest of the rounds."""
    lines = [f"Python {report['python']} on {report['machine']}, {report['cores']} cores, load {report['load_before']} to {report['load_after']}", ""]
    for part in ("http", "stdio"):
        for name, figure in report[part].items():  # type: ignore[attr-defined]
            lines.append(f"{part + ' ' + name:28}{shown(figure, '9.3f') if isinstance(figure, dict) else format(figure, '9.1f')}")
    lines.append("")
    for row in goals(report):
        lines.append(f"{row['name']:32}{row['value']:9.3f}  {row['limit']:8}  {'ok' if row['ok'] else 'not reached'}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
