#!/usr/bin/env python3
"""Measure `gait mcp serve` as a client sees it.  `make bench-serve` runs it; docs/performance.md explains it.

A real server process answers real requests over keep-alive connections, each with full evaluation, signature and journal
write; this process only drives.  Everything that is compared takes turns within a round, so that a busy moment of the machine
hits all of it; a figure is the median of the rounds, with the least and the greatest.  What gates is a ratio, and the objective of
docs/slo.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait import judge as judging  # noqa: E402
from gait.gate import matching, policy  # noqa: E402
from gait.signing import keys  # noqa: E402
from gait.store.journal.append import Journal  # noqa: E402

RULES = 100
SIZES = (10, 10_000)  # rules
UNNAMED = 10  # rules without tool_names, which every call has to try
CONNECTIONS = (1, 8, 32)
ASKED = 200  # requests of a turn by http.client
MAX_ECHO = 2.0  # p50 of a decision / p50 of a stock http.server echo, as http.client sees them, at 1 connection
MAX_P95_MS = 15.0  # the objective of docs/slo.md, at 8 connections
AIMS = (
    ("requests/s, 1 process, 8 connections", "1 process, 8 connections", "requests_per_second", ">=", 4000),
    ("p99 ms, 1 process, 8 connections", "1 process, 8 connections", "p99_ms", "<=", 15),
)
AIM_WORKERS = 1.4
MAX_GROWTH = 2.0  # p50 with 10,000 rules / 10, and at record 1,000,000 / 1,000
SECRET = bytes(range(32))
# Stock but for one switch: with Nagle's algorithm, its two small writes would wait 40 ms for each other.  Its log goes to the null device.
ECHO = """
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
print("http://127.0.0.1:%d" % server.server_port, file=sys.stderr, flush=True)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
server.serve_forever()
"""
UNNAMED_MATCHES = (
    {"risk_classes": ["critical"]},
    {"target_kinds": ["bucket", "table"]},
    {"identities": ["root"]},
    {"endpoint_classes": ["proc.exec"]},
    {"provenance_sources": ["external"]},
)
TEXT = "def total(rows):\n    return sum(row.amount for row in rows if row.is_open)  # see ticket 4711\n\n"
READ = {"path": "/work/src/billing/report.py", "encoding": "utf-8", "limit": 2000, "reason": (TEXT * 3)[:230]}
WRITE = {"file_path": "/work/src/billing/total.py", "content": (TEXT * 3)[:250]}
CALLS: tuple[tuple[str, dict[str, object]], ...] = (
    ("mcp", {"name": "files.read", "arguments": READ}),
    ("mcp", {"jsonrpc": "2.0", "id": 17, "method": "tools/call", "params": {"name": "files.read", "arguments": READ}}),
    ("openai", {"id": "call_81", "type": "function", "function": {"name": "files.read", "arguments": json.dumps(READ)}}),
    (
        "claude_code",
        {"hook_event_name": "PreToolUse", "tool_name": "Write", "tool_input": WRITE, "cwd": "/work", "session_id": "s-1", "tool_use_id": "t-1"},
    ),
)


class Load(NamedTuple):
    """One run of requests: how many a second, and latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Client:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("socket", "expected", "data", "size", "sent_at")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.size = 0  # of the whole answer; 0: its head is not all here
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has come.  True when the answer is whole; SystemExit when it is not a 200."""
        part = self.socket.recv(65536)
        self.data += part
        if not self.size:
            end = self.data.find(b"\r\n\r\n")
            if end >= 0:
                self.size = end + 4 + int(_LENGTH.search(self.data, 0, end + 2)[1])  # type: ignore[index]
        if self.size and len(self.data) >= self.size:
            if not self.data.startswith(b"HTTP/1.1 200 ") or len(self.data) > self.size:
                raise SystemExit(f"bench-serve: expected one answer 200, got {self.data[:400]!r}")
            self.data, self.size = b"", 0
            return True
        if not part:
            raise SystemExit(f"bench-serve: the server closed a connection after {self.data[:400]!r}")
        return False


_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Measure, print, write; 5 when --check is given and a gate fails."""
    parser = argparse.ArgumentParser(description="Measure gait mcp serve.")
    parser.add_argument("--out", default="bench_serve.json", metavar="FILE", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, requests and journal records, for CI")
    parser.add_argument("--check", action="store_true", help="exit 5 when a ratio is over its limit")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything takes its turn (default 9; quick 3)")
    parser.add_argument("--only", choices=("serve", "rules", "journal"), help="one part alone")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (3 if options.quick else 9)
    requests, records = (500, (1_000, 20_000)) if options.quick else (4_000, (1_000, 1_000_000))
    report: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    report["load_before"] = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory(prefix="gait-bench-") as name:
        folder = Path(name)
        (folder / "key").write_text(keys.base64_dumps(SECRET) + "\n")
        (folder / "key").chmod(0o600)
        if options.only in (None, "serve"):
            report["serve"] = measure_serve(folder, rounds, requests)
        if options.only in (None, "rules"):
            report["rules"] = measure_rules(folder, rounds, requests)
        if options.only in (None, "journal"):
            report["journal"] = measure_journal(folder, rounds, requests, records)
    report["load_after"] = round(os.getloadavg()[0], 2)
    report["gates"] = gates(report)
    Path(options.out).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(report)))
    failed = any(not gate["ok"] for gate in report["gates"])  # type: ignore[attr-defined]
    return 5 if options.check and failed else 0


def rules(count: int) -> list[dict[str, object]]:
    """Ten rules for every tool, tried before those that match; the others are for tools of their own."""
    reading = {
        "name": "read-workspace",
        "priority": 50,
        "effect": "allow",
        "match": {"tool_names": ["files.read"], "endpoint_classes": ["fs.read"]},
        "endpoint": {"path_allowlist": ["/work/**"], "path_denylist": ["**/.env", "**/.ssh/**"]},
    }
    writing = {**reading, "name": "write-workspace", "effect": "require_approval", "match": {"tool_names": ["write"]}}
    unnamed = [
        {"name": f"any-{index}", "priority": index, "effect": "block", "match": UNNAMED_MATCHES[index % 5]}
        for index in range(UNNAMED)
    ]
    named = [
        {**reading, "name": f"tool-{index}", "priority": index % 100, "match": {"tool_names": [f"tool.{index}"]}}
        for index in range(count - UNNAMED)
    ]
    return [*unnamed, *named, reading, writing]


def requests_of(path: str = "/v1/evaluate") -> list[bytes]:
    """The whole requests, ready to be sent."""
    bodies = [json.dumps({"adapter": adapter, "call": call, "session_id": "s-1"}).encode() for adapter, call in CALLS]
    head = "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return [head.format(path, len(body)).encode() + body for body in bodies]


@contextmanager
def served(folder: Path, count: int = RULES, workers: int = 1, journal: str = "") -> Iterator[tuple[str, int]]:
    """A server of its own with `count` rules; its address."""
    policy_path = folder / f"policy-{count}.json"
    policy_path.write_text(json.dumps({"default_verdict": "block", "rules": rules(count)}))
    journal = journal or tempfile.mkdtemp(prefix="journal-", dir=folder)
    words = ["mcp", "serve", "--policy", str(policy_path), "--listen", "127.0.0.1:0", "--journal", journal]
    words += ["--key-mode", "prod", "--private-key", str(folder / "key"), "--workspace", "/work", "--workers", str(workers)]
    with process([sys.executable, "-I", str(ROOT / "gait.py"), *words], folder, workers) as address:
        yield address


@contextmanager
def process(words: list[str], folder: Path, workers: int = 1) -> Iterator[tuple[str, int]]:
    """A server that tells its address on standard error, once for each worker.  It must end well."""
    environment = {**os.environ, "GAIT_HOME": str(folder / "home")}
    child = subprocess.Popen(words, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        addresses = [_address(child) for _ in range(workers)]
        yield addresses[0]
    finally:
        child.send_signal(signal.SIGTERM)
        rest = child.communicate(timeout=30)[1]
    if child.returncode not in (0, -signal.SIGTERM) or "failed" in rest:
        raise SystemExit(f"bench-serve: {' '.join(words)} exited {child.returncode}: {rest[-400:]}")


def _address(child: subprocess.Popen[str]) -> tuple[str, int]:
    for line in child.stderr:  # type: ignore[union-attr]
        found = re.search(r"127\.0\.0\.1:([0-9]+)", line)
        if found:
            return "127.0.0.1", int(found[1])
    raise SystemExit(f"bench-serve: a server did not start: exit code {child.wait()}")


def drive(address: tuple[str, int], connections: int, count: int, requests: list[bytes]) -> Load:
    """`count` requests over keep-alive connections, each with its next one sent as soon as the last is answered."""
    clients = {client.socket.fileno(): client for client in (Client(address) for _ in range(connections))}
    poll = select.poll()
    for fd in clients:
        poll.register(fd, select.POLLIN)
    gc.collect()
    gc.disable()
    try:
        _run(clients, poll, min(count // 4, 400), requests)
        started = perf_counter()
        taken = _run(clients, poll, count, requests)
        seconds = perf_counter() - started
    finally:
        gc.enable()
        for client in clients.values():
            client.socket.close()
    taken.sort()
    p50, p95, p99 = (round(taken[len(taken) * part // 100] * 1000, 4) for part in (50, 95, 99))
    return Load(round(count / seconds, 1), p50, p95, p99)


def _run(clients: dict[int, Client], poll: select.poll, count: int, requests: list[bytes]) -> list[float]:
    """The seconds that each request took."""
    taken: list[float] = []
    sent = 0
    for client in clients.values():
        client.send(requests[sent % len(requests)])
        sent += 1
    while len(taken) < count:
        for fd, _ in poll.poll(10_000) or _no_answer():
            client = clients[fd]
            if client.receive():
                taken.append(perf_counter() - client.sent_at)
                if sent < count:
                    client.send(requests[sent % len(requests)])
                    sent += 1
    return taken


def _no_answer() -> list[tuple[int, int]]:
    raise SystemExit("bench-serve: no answer for 10 seconds")


def ask(address: tuple[str, int], count: int) -> float:
    """The p50 in milliseconds that a Python program sees, which asks one thing after the other by http.client."""
    bodies = [request.partition(b"\r\n\r\n")[2] for request in requests_of()]
    client = HTTPConnection(*address, timeout=10)
    taken = []
    for number in range(count + 50):
        started = perf_counter()
        client.request("POST", "/v1/evaluate", bodies[number % len(bodies)], {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        taken.append(perf_counter() - started)
        if answer.status != 200:
            raise SystemExit(f"bench-serve: expected 200, got {answer.status}")
    client.close()
    return statistics.median(taken[50:]) * 1000


def measure_serve(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """The loads of each round, and the ratios within a round."""
    loads: dict[str, list[Load]] = {}
    requests = requests_of()
    with ExitStack() as stack:
        one, two = (stack.enter_context(served(folder, workers=workers)) for workers in (1, 2))
        echo = stack.enter_context(process([sys.executable, "-I", "-c", ECHO], folder))
        turns = [("echo, 1 connection", echo, 1)]
        turns += [(f"1 process, {number} connection{'s' * (number > 1)}", one, number) for number in CONNECTIONS]
        turns += [(f"2 workers, {number} connections", two, number) for number in CONNECTIONS[1:]]
        asked: list[tuple[float, float]] = []
        for _ in range(rounds):
            for name, address, connections in turns:
                loads.setdefault(name, []).append(drive(address, connections, count, requests))
            asked += [(ask(echo, ASKED), ask(one, ASKED)) for _ in range(5)]  # short turns: which core a process gets changes
    echoes, ones = loads["echo, 1 connection"], loads["1 process, 1 connection"]
    pairs = zip(loads["1 process, 8 connections"], loads["2 workers, 8 connections"])
    return {
        "loads": {name: summary(found) for name, found in loads.items()},
        "asked_p50_ms": {"echo": spread([stock for stock, _ in asked]), "1 process": spread([gait for _, gait in asked])},
        "echo_ratio": spread([gait / stock for stock, gait in asked]),
        "bare_echo_ratio": spread([gait.p50_ms / stock.p50_ms for stock, gait in zip(echoes, ones)]),
        "workers_ratio": spread([two.requests_per_second / one.requests_per_second for one, two in pairs]),
    }


def measure_rules(folder: Path, rounds: int, count: int) -> dict[str, object]:
    """p50 at 1 connection under small and large policies, and the ratio."""
    loads: dict[int, list[Load]] = {size: [] for size in SIZES}
    with ExitStack() as stack:
        addresses = {size: stack.enter_context(served(folder, size)) for size in SIZES}
        for _ in range(rounds):
            for size, address in addresses.items():
                loads[size].append(drive(address, 1, count, requests_of()))
    small, large = loads.values()
    return {
        "loads": {f"{size:,} rules, 1 connection": summary(found) for size, found in loads.items()},
        "ratio": spread([after.p50_ms / before.p50_ms for before, after in zip(small, large)]),
    }


def measure_journal(folder: Path, rounds: int, count: int, records: tuple[int, int]) -> dict[str, object]:
    """Microseconds of a recorded decision in a short and in a long chain, and records verified per second."""
    compiled = matching.compile_policy(policy.read({"default_verdict": "block", "rules": rules(RULES)}))
    adapter, call = CALLS[0]
    defaults = {**judging.DEFAULTS, "workspace": "/work", "session_id": "s-1"}
    asked = judging.read(json.dumps(call).encode(), "bench", adapter, defaults)
    ring = keys.Keyring("trace", keys.make(SECRET))
    taken: dict[int, list[float]] = {size: [] for size in records}
    with ExitStack() as stack:
        chains = {size: stack.enter_context(Journal.open(str(folder / f"of-{size}"), "bench", ring)) for size in records}
        for size, journal in chains.items():
            fill(journal, size, judging.judge(compiled, asked, lambda record: record).record)
        for _ in range(rounds):
            for size, journal in chains.items():
                taken[size].append(_median_us(lambda: judging.judge(compiled, asked, journal.append), count))  # noqa: B023
    verified = [verify_rate(folder, f"of-{records[1]}", records[1] + rounds * count) for _ in range(min(rounds, 3))]
    short, long = taken.values()
    return {
        "p50_us": {f"{size:,}": spread(found) for size, found in taken.items()},
        "ratio": spread([after / before for before, after in zip(short, long)]),
        "verified_per_second": spread(verified),
    }


def fill(journal: Journal, count: int, record: dict[str, object]) -> None:
    """Bring a chain to `count` records of decisions."""
    for _ in range(count):
        journal.append(record)


def _median_us(run: object, count: int) -> float:
    taken = []
    for _ in range(count):
        started = perf_counter()
        run()  # type: ignore[operator]
        taken.append(perf_counter() - started)
    return statistics.median(taken) * 1e6


def verify_rate(folder: Path, journal: str, least: int) -> float:
    """Records per second of `gait journal verify`, its start included."""
    words = [sys.executable, "-I", str(ROOT / "gait.py"), "journal", "verify", str(folder / journal), "--json"]
    words += ["--key-mode", "prod", "--private-key", str(folder / "key")]
    started = perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False, env={**os.environ, "GAIT_HOME": str(folder / "home")})
    seconds = perf_counter() - started
    if done.returncode:
        raise SystemExit(f"bench-serve: journal verify exited {done.returncode}: {done.stdout[-400:]!r}")
    return least / seconds


def spread(values: list[float]) -> dict[str, float]:
    """The median of the rounds between the least and the greatest."""
    least, middle, most = (float(f"{value:.5g}") for value in (min(values), statistics.median(values), max(values)))
    return {"min": least, "median": middle, "max": most}


def summary(loads: list[Load]) -> dict[str, dict[str, float]]:
    """The spread of each figure."""
    return {name: spread([getattr(load, name) for load in loads]) for name in Load._fields}


def gates(report: dict[str, object]) -> list[dict[str, object]]:
    """The ratios and their limits; the median of the rounds counts."""
    parts = (("serve", "echo_ratio", "p50 of a decision / stock http.server echo, http.client", MAX_ECHO),)
    parts += (("rules", "ratio", "p50 of a decision: 10,000 rules / 10 rules", MAX_GROWTH),)  # type: ignore[assignment]
    parts += (("journal", "ratio", "recorded decision: long chain / short chain", MAX_GROWTH),)  # type: ignore[assignment]
    found = [(name, report[part][ratio], limit) for part, ratio, name, limit in parts if part in report]  # type: ignore[index]
    if "serve" in report:
        p95 = report["serve"]["loads"]["1 process, 8 connections"]["p95_ms"]  # type: ignore[index]
        found.insert(0, ("p95 of a decision at 8 connections, ms", p95, MAX_P95_MS))
    return [{"gate": name, **ratio, "limit": limit, "ok": ratio["median"] <= limit} for name, ratio, limit in found]


def aims(serve: dict[str, object]) -> list[str]:
    """What is to be reached on two idle cores, and whether it was; the medians of the rounds."""
    loads: dict[str, dict[str, dict[str, float]]] = serve["loads"]  # type: ignore[assignment]
    rows = [(name, loads[load][figure]["median"], sign, limit) for name, load, figure, sign, limit in AIMS]
    rows.append(("2 workers / 1 process, 8 connections", serve["workers_ratio"]["median"], ">=", AIM_WORKERS))  # type: ignore[index]
    rows.append(("p50 of a decision / echo, http.client", serve["echo_ratio"]["median"], "<=", MAX_ECHO))  # type: ignore[index]
    lines = [f"{'aim, on two idle cores':44}"]
    for name, value, sign, limit in rows:
        reached = value >= limit if sign == ">=" else value <= limit
        lines.append(f"{name:44}{value:9.2f}  {sign} {limit:<6}{'reached' if reached else 'not reached'}")
    return lines


def table(report: dict[str, object]) -> list[str]:
    """The report, aligned; three numbers are least, median and greatest of the rounds."""
    lines = [f"Python {report['python']} on {report['machine']}, {report['cores']} cores, load {report['load_before']} to {report['load_after']}"]
    lines += ["", f"{'':26}{'requests/s':>22}{'p50 ms':>21}{'p95 ms':>21}{'p99 ms':>21}"]
    for part in ("serve", "rules"):
        for name, load in report.get(part, {"loads": {}})["loads"].items():  # type: ignore[attr-defined]
            rate, *times = load.values()
            lines.append(f"{name:26}{shown(rate, '7.0f'):>22}" + "".join(f"{shown(time, '6.2f'):>21}" for time in times))
    serve, journal = report.get("serve"), report.get("journal")
    lines.append("")
    if serve:
        for name, found in serve["asked_p50_ms"].items():  # type: ignore[index]
            lines.append(f"{f'{name}, asked by http.client, p50 ms':44}{shown(found, '7.2f'):>24}")
        lines.append(f"{'decision / echo, p50, by bare sockets':44}{shown(serve['bare_echo_ratio'], '7.2f'):>24}")  # type: ignore[index]
        lines.append(f"{'2 workers / 1 process, 8 connections':44}{shown(serve['workers_ratio'], '7.2f'):>24}")  # type: ignore[index]
    if journal:
        for size, found in journal["p50_us"].items():  # type: ignore[index]
            lines.append(f"{f'recorded decision after {size} records, µs':44}{shown(found, '7.1f'):>24}")
        lines.append(f"{'journal verify, records/s':44}{shown(journal['verified_per_second'], '7.0f'):>24}")  # type: ignore[index]
    lines += ["", *aims(serve)] if serve else []  # type: ignore[arg-type]
    lines += ["", f"{'gate':58}{'ratio':>21}{'limit':>8}"]
    for gate in report["gates"]:  # type: ignore[attr-defined]
        lines.append(f"{gate['gate']:58}{shown(gate, '6.2f'):>21}{gate['limit']:>8.2f}  {'ok' if gate['ok'] else 'FAILED'}")
    return lines


def shown(figure: dict[str, float], form: str) -> str:
    """Three numbers in a row."""
    return " ".join(format(figure[name], form) for name in ("min", "median", "max"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
