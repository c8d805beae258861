"""kill -9 at a random moment under load: what was acknowledged is in the journal, which verifies, and the chain goes on."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from tests.service.running import ALLOWED, BLOCKED, Client, events, gait, records, verify

ROUNDS = int(os.environ.get("GAIT_KILL_ROUNDS", "6"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "20261122"))


class Load:
    """Clients that ask until the server is gone, and keep what it acknowledged."""

    def __init__(self, address: str, clients: int) -> None:
        self.acknowledged: list[tuple[int, str, str]] = []
        self.threads = [threading.Thread(target=self._run, args=(address, number)) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, address: str, number: int) -> None:
        try:
            with Client(address) as client:
                for turn in range(10**9):
                    answer = client.post({**(ALLOWED if (turn + number) % 2 else BLOCKED), "run_id": f"{number}-{turn}"})
                    value = answer.value
                    assert answer.status == 200
                    self.acknowledged.append((value["sequence"], value["trace_id"], f"{number}-{turn}"))
        except OSError:
            pass

    def join(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_kill_9_under_load(durability, serve, tmp_path):
    chance = random.Random(SEED)
    acknowledged: list[tuple[int, str, str]] = []
    rounds = max(1, ROUNDS if durability == "process" else ROUNDS // 3)
    for number in range(rounds):
        server = serve("--durability", durability, "--heartbeat", "0.2")
        load = Load(server.address, 6)
        time.sleep(chance.uniform(0.0, 0.6))
        server.kill()
        load.join()
        acknowledged += load.acknowledged
        check(server, acknowledged, number, f"seed {SEED}")
    assert acknowledged
    server = serve("--durability", durability)
    with server.client() as client:
        assert client.post(ALLOWED).value["sequence"] > max(acknowledged)[0]
    assert server.stop() == 0
    report = verify(server.journal)
    assert events(server.journal).count("armed") == rounds + 1 and events(server.journal)[-1] == "stopped"
    assert [gap["code"] for gap in report["chains"][0]["gaps"] if gap["code"] == "killed"] == ["killed"] * rounds, f"seed {SEED}"


def check(server, acknowledged, number: int, told: str) -> None:
    verify(server.journal)
    found = {(record["sequence"], record["trace_id"], record["correlation_id"]) for record in records(server.journal) if "trace_id" in record}
    assert not set(acknowledged) - found, f"round {number}, {told}"


def test_a_torn_line_is_set_aside(serve):
    server = serve()
    with server.client() as client:
        client.post(ALLOWED)
    server.kill()
    with open(server.journal / "serve" / "00000001.jsonl", "ab") as segment:
        segment.write(b'{"half": ')
    server = serve()
    with server.client() as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
    assert server.stop() == 0
    assert verify(server.journal)["ok"] and "torn_line" in events(server.journal)


def test_a_second_server_of_the_same_chain_does_not_start(serve, tmp_path):
    server = serve()
    other = gait("mcp", "serve", "--policy", server.policy, "--journal", server.journal, "--listen", "127.0.0.1:0", "--json")
    assert other.returncode == 1 and b'"journal_in_use"' in other.stdout
    second = serve("--chain", "other")
    assert (second.stop(), server.stop()) == (0, 0)
    assert len(verify(server.journal)["chains"]) == 2


def test_a_damaged_chain_is_not_continued(serve):
    server = serve()
    with server.client() as client:
        for _ in range(3):
            client.post(ALLOWED)
    assert server.stop() == 0
    path = server.journal / "serve" / "00000001.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-2]))
    done = gait("mcp", "serve", "--policy", server.policy, "--journal", server.journal, "--listen", "127.0.0.1:0", "--json")
    assert done.returncode == 2 and b'"tail_truncated"' in done.stdout
