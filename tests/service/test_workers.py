"""Several processes on one socket: a chain each, started again when they die, ended together."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.service.running import ALLOWED, POLICY, events, gait, verify, wait_for

BAD = "rules: [{name: x, efect: allow}]\n"


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ask(server, count: int) -> list[dict]:
    found = []
    for _ in range(count):
        with server.client() as client:
            found.append(client.post(ALLOWED).value)
    return found


def test_each_worker_has_a_chain(serve, tmp_path):
    server = serve("--workers", "2", "--trace-dir", tmp_path / "traces")
    values = []
    threads = [threading.Thread(target=lambda: values.extend(ask(server, 40))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [value["verdict"] for value in values] == ["allow"] * 160
    assert len({value["trace_path"] for value in values}) == 160
    assert server.stop() == 0
    report = verify(server.journal)
    assert sorted(chain["chain"] for chain in report["chains"]) == ["serve-1", "serve-2"]
    for chain in ("serve-1", "serve-2"):
        found = events(server.journal, chain)
        assert (found[0], found[-1]) == ("armed", "stopped")
    assert sum(chain["records"] for chain in report["chains"]) == 160 + 4


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again(serve):
    server = serve("--workers", "2", "--listen", "127.0.0.1:0")
    first, second = sorted(children(server.pid))
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(server.events("listening")) == 3, 20)
    assert server.events("worker_ended")[0]["exit_code"] == -9
    assert second in children(server.pid) and first not in children(server.pid)
    assert {value["verdict"] for value in ask(server, 20)} == {"allow"}
    os.kill(second, signal.SIGTERM)
    wait_for(lambda: len(server.events("listening")) == 4, 20)
    assert server.stop() == 0
    report = verify(server.journal)
    assert sorted(gap["code"] for chain in report["chains"] for gap in chain["gaps"]) == ["killed", "unarmed"]


@pytest.mark.slow
def test_a_bad_policy_later_does_not_end_the_workers_that_are_well(serve):
    server = serve("--workers", "2")
    server.policy.write_text(BAD)
    first, second = sorted(children(server.pid))
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: len(server.events("worker_failed")) >= 2, 20)
    assert {value["verdict"] for value in ask(server, 5)} == {"allow"}
    server.policy.write_text(POLICY)
    wait_for(lambda: len(server.events("listening")) == 3, 20)
    assert server.stop() == 0


def test_all_reload_on_one_signal(serve):
    server = serve("--workers", "3")
    server.policy.write_text(POLICY.replace("default_verdict: block", "default_verdict: dry_run"))
    server.signal(signal.SIGHUP)
    wait_for(lambda: len({event["pid"] for event in server.events("policy_reloaded")}) == 3)
    assert server.stop() == 0


def test_none_can_start(serve, tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "file").write_text("")
    done = gait("mcp", "serve", "--policy", tmp_path / "policy.yaml", "--journal", tmp_path / "file", "--workers", "2", "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and done.stderr.count(b"worker_failed") >= 2 and b"Traceback" not in done.stderr


def test_a_group_signal_is_no_second_one(serve):
    """systemd and a terminal signal every process of the group."""
    server = serve("--workers", "2", "--grace", "20")
    processes = children(server.pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        for process in processes:
            os.kill(process, number)
        if number == signal.SIGINT:
            os.kill(server.pid, number)
    assert server.wait() == 0
    assert {events(server.journal, chain)[-1] for chain in ("serve-1", "serve-2")} == {"stopped"}


@pytest.mark.slow
def test_a_second_signal_ends_all_at_once(serve):
    server = serve("--workers", "2", "--grace", "60")
    clients = [server.client() for _ in range(6)]
    for client in clients:
        client.sock.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    time.sleep(0.5)
    processes = children(server.pid)
    server.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert server.process.poll() is None
    server.signal(signal.SIGTERM)
    assert server.wait(5) == 1
    wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    for client in clients:
        client.close()


@pytest.mark.slow
def test_workers_do_not_outlive_their_parent(serve):
    server = serve("--workers", "2")
    processes = children(server.pid)
    server.kill()
    wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in processes), 10)
    assert {events(server.journal, chain)[-1] for chain in ("serve-1", "serve-2")} == {"stopped"}


def test_a_unix_socket_is_shared_and_removed(serve, tmp_path):
    server = serve("--workers", "2", "--listen", f"unix:{tmp_path}/s")
    os.kill(children(server.pid)[0], signal.SIGKILL)
    wait_for(lambda: len(server.events("listening")) == 3, 20)
    assert (tmp_path / "s").exists() and {value["verdict"] for value in ask(server, 5)} == {"allow"}
    assert server.stop() == 0
    assert not (tmp_path / "s").exists()


def test_connections_are_shared_evenly(serve):
    server = serve("--workers", "2")
    clients = []
    for _ in range(16):
        clients.append(server.client())
        assert clients[-1].get("/healthz").status == 200
    chains = [re.search(rb'chain="([^"]+)"', client.get("/metrics").body)[1] for client in clients]
    counts = sorted(chains.count(chain) for chain in set(chains))
    assert len(counts) == 2 and counts[0] >= 3, counts
    for client in clients:
        client.close()
