"""Many clients for long, and slow ones: no error, no growth, and nobody waits for those that do not ask."""

from __future__ import annotations

import os
import threading
import time

import pytest

from tests.service.running import ALLOWED, BLOCKED, percentile, records, verify, wait_for

# 1 is the full size: 50,000 requests over 32 connections and 2,000 fresh connections.
SOAK = float(os.environ.get("GAIT_SOAK", "0.1"))
GROWTH = 10 * 1024 * 1024


def together(count: int, work) -> list:
    """What each of `count` threads found wrong."""
    wrong: list = []

    def run(number: int) -> None:
        try:
            work(number)
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def keep_asking(server, requests: int) -> None:
    with server.client() as client:
        for turn in range(requests):
            answer = client.post(ALLOWED if turn % 2 else BLOCKED)
            assert (answer.status, answer.value["verdict"]) == (200, "allow" if turn % 2 else "block")


def ask_once(server, times: int) -> None:
    for _ in range(times):
        with server.client() as client:
            assert client.post(ALLOWED).value["verdict"] == "allow"


@pytest.mark.slow
def test_soak(serve):
    """RSS is compared with that after a first round of the same kind, when every thread has had its stack and its buffers."""
    server = serve()
    assert together(32, lambda _: keep_asking(server, 25)) == []
    before, descriptors = server.rss(), server.descriptors()
    started = time.monotonic()
    each = int(50_000 * SOAK) // 32
    assert together(32, lambda _: keep_asking(server, each)) == []
    assert together(8, lambda _: ask_once(server, int(2_000 * SOAK) // 8)) == []
    seconds, after = time.monotonic() - started, server.rss()
    print(f"soak: {each * 32} requests over 32 connections and {int(2_000 * SOAK)} fresh ones in {seconds:.1f} s, RSS {before} -> {after}")
    assert after - before < GROWTH
    wait_for(lambda: server.threads() <= 4 and server.descriptors() <= descriptors)
    assert server.stop() == 0
    assert verify(server.journal)["ok"]


@pytest.mark.slow
def test_sequence_numbers_are_unique_and_complete(serve):
    server = serve()
    found: list[int] = []

    def ask(_: int) -> None:
        with server.client() as client:
            found.extend(client.post(ALLOWED).value["sequence"] for _ in range(15))

    assert together(64, ask) == []
    assert sorted(found) == list(range(2, 2 + 64 * 15))
    assert server.stop() == 0
    assert [record["sequence"] for record in records(server.journal)] == list(range(1, 64 * 15 + 3))
    assert verify(server.journal)["ok"]


@pytest.mark.slow
def test_slow_clients_hold_nobody_up(serve, patience):
    """200 connections that send a part of a request; a normal client's p99 stays under 50 ms."""
    server = serve()
    parts = (b"", b"P", b"POST /v1/evaluate HTTP/1.1\r\nHo", b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    slow = [server.client() for _ in range(200)]
    for number, client in enumerate(slow):
        client.sock.sendall(parts[number % len(parts)])
    with server.client() as client:
        assert client.post(ALLOWED).status == 200
        times = []
        for turn in range(400):
            for other in slow[turn % 50 :: 50]:  # a byte now and then, as slowloris sends it
                try:
                    other.sock.send(b"x")
                except OSError:
                    pass
            started = time.perf_counter()
            assert client.post(ALLOWED).status == 200
            times.append(time.perf_counter() - started)
    print(f"slowloris: p50 {percentile(times, 0.5) * 1000:.1f} ms, p99 {percentile(times, 0.99) * 1000:.1f} ms")
    assert percentile(times, 0.99) < 0.05 * patience
    for client in slow:
        client.close()
    assert server.stop() == 0
