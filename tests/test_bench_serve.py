"""scripts/bench_serve.py: that it measures what it says, and refuses to measure a server that answers wrongly."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
import threading
from pathlib import Path

import pytest

from gait.gate import evaluate, intent, matching, policy
from gait import adapters

ROOT = Path(__file__).resolve().parent.parent


def load():
    spec = importlib.util.spec_from_file_location("bench_serve", ROOT / "scripts" / "bench_serve.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = load()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def answering():
    """Starts servers that give these parts for each request, and then close when told to."""
    listeners = []

    def start(*parts: bytes, close: bool = False) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client:
                while client.recv(65536):
                    for part in parts:
                        client.sendall(part)
                    if close:
                        return

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 8])
def test_drive_counts_whole_answers(answering, connections):
    load = bench.drive(answering(OK[:20], OK[20:]), connections, 100, [b"x"])
    assert load.requests_per_second > 0
    assert 0 < load.p50_ms <= load.p95_ms <= load.p99_ms


@pytest.mark.parametrize(
    "answer", [OK.replace(b"200", b"503"), OK + b"x"], ids=["another status", "more than one answer"]
)
def test_drive_refuses_wrong_answers(answering, answer):
    with pytest.raises(SystemExit, match="expected one answer 200"):
        bench.drive(answering(answer), 1, 10, [b"x"])


def test_drive_refuses_a_server_that_closes(answering):
    with pytest.raises(SystemExit, match="closed a connection"):
        bench.drive(answering(OK[:20], close=True), 1, 10, [b"x"])


def test_ask_counts_and_refuses_as_a_client_of_the_library_does(answering):
    assert bench.ask(answering(OK), 3) > 0
    with pytest.raises(SystemExit, match="expected 200, got 503"):
        bench.ask(answering(OK.replace(b"200", b"503")), 3)


@pytest.mark.parametrize("count", [20, 200])
def test_every_call_is_decided_by_a_rule(count):
    compiled = matching.compile_policy(policy.read({"default_verdict": "block", "rules": bench.rules(count)}))
    defaults = {"identity": "mcp-proxy", "workspace": "/work", "risk_class": "high"}
    asked = [intent.read(adapters.to_document(adapter, call, defaults)) for adapter, call in bench.CALLS]
    decided = [evaluate.evaluate(compiled, one) for one in asked]
    assert [decision.verdict for decision in decided] == ["allow", "allow", "allow", "require_approval"]
    assert {decision.matched_rule for decision in decided} == {"read-workspace", "write-workspace"}
    assert all(250 <= len(json.dumps(one.args)) <= 400 for one in asked)


def test_gates_judge_the_median():
    ratio = {"min": 0.9, "median": 1.9, "max": 2.4}
    loads = {"1 process, 8 connections": {"p95_ms": {"min": 2.0, "median": 16.0, "max": 17.0}}}
    report = {"serve": {"echo_ratio": ratio, "loads": loads}, "rules": {"ratio": {**ratio, "median": 2.1}}}
    assert [(gate["median"], gate["ok"]) for gate in bench.gates(report)] == [(16.0, False), (1.9, True), (2.1, False)]


def test_aims_say_whether_they_were_reached():
    load = {"requests_per_second": {"median": 4100.0}, "p99_ms": {"median": 15.1}}
    serve = {"loads": {"1 process, 8 connections": load}, "workers_ratio": {"median": 1.4}, "echo_ratio": {"median": 2.01}}
    assert [line.endswith("not reached") for line in bench.aims(serve)[1:]] == [False, True, False, True]


def measure(folder: Path, *arguments: str) -> dict:
    out = folder / "out.json"
    bench.main([*arguments, "--quick", "--rounds", "1", "--out", str(out)])
    return json.loads(out.read_text())


@pytest.mark.slow
def test_a_quick_run_measures_real_servers(tmp_path, capsys):
    report = measure(tmp_path, "--only", "serve")
    loads = report["serve"]["loads"]
    assert list(loads) == [
        "echo, 1 connection",
        "1 process, 1 connection",
        "1 process, 8 connections",
        "1 process, 32 connections",
        "2 workers, 8 connections",
        "2 workers, 32 connections",
    ]
    assert all(load["requests_per_second"]["median"] > 0 for load in loads.values())
    asked = report["serve"]["asked_p50_ms"]
    assert 0 < asked["echo"]["median"] and 0 < asked["1 process"]["median"]
    shown = capsys.readouterr().out
    assert "stock http.server echo" in shown and "by bare sockets" in shown


def test_the_echo_is_stock_but_for_one_switch():
    """Its log too is what the standard library makes it."""
    assert "log_message" not in bench.ECHO and "log_request" not in bench.ECHO and "wbufsize" not in bench.ECHO
    assert bench.ECHO.count(" = True") == 1 and "disable_nagle_algorithm = True" in bench.ECHO


@pytest.mark.slow
def test_a_quick_run_measures_the_journal(tmp_path, capsys):
    journal = measure(tmp_path, "--only", "journal")["journal"]
    assert list(journal["p50_us"]) == ["1,000", "20,000"]
    assert journal["verified_per_second"]["median"] > 1000
    assert "journal verify, records/s" in capsys.readouterr().out


@pytest.mark.slow
def test_check_exits_5_when_a_gate_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "MAX_ECHO", 0.0)
    arguments = ["--quick", "--rounds", "1", "--only", "serve", "--out", str(tmp_path / "out.json")]
    assert bench.main([*arguments, "--check"]) == 5
    assert "FAILED" in capsys.readouterr().out
