"""What the listener refuses is in the journal, and fills no disk."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from gait.service import refusals
from gait.service.ledger import Ledger
from gait.service.refusals import BURST, Refusals
from gait.signing import keys
from gait.store.journal.append import Journal
from gait.system.http_request import Refusal
from tests.service.running import records, verify

HEAD = b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\n"
# Name -> bytes of a request, how it is ended, its reason.
REFUSED = {
    "a malformed header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Field: secret\r\n\r\n", "malformed_header"),
    "a body over the limit": (HEAD + b"Content-Length: 999999999\r\n\r\n", "body_too_large"),
    "two ways to read it": (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{}", "ambiguous_length"),
    "a chunk that does not add up": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xy", "malformed_chunk"),
    "a half request": (HEAD + b"Content-Length: 30\r\n\r\n{", "incomplete_request"),
    "another host": (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", "host_not_allowed"),
    "another origin": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n", "origin_not_allowed"),
}


def send(server, data: bytes) -> None:
    with server.client() as client:
        client.sock.sendall(data)
        client.sock.shutdown(socket.SHUT_WR)
        while client.sock.recv(65536):
            pass


def refused(journal) -> list[dict]:
    return [record["details"] for record in records(journal) if record.get("event") == "refused_input"]


def test_each_is_recorded_by_its_digest(serve):
    server = serve()
    for data, _ in REFUSED.values():
        send(server, data)
    assert server.stop() == 0
    expected = [{"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "reason": reason} for data, reason in REFUSED.values()]
    assert refused(server.journal) == expected
    assert verify(server.journal)["ok"]
    assert b"secret" not in b"".join(path.read_bytes() for path in server.journal.rglob("*.jsonl"))


def test_a_client_without_the_token_is_recorded(serve):
    server = serve("--auth-token-env", "GAIT_TEST_TOKEN", env={"GAIT_TEST_TOKEN": "t" * 40})
    send(server, HEAD + b"Content-Length: 2\r\n\r\n{}")
    server.stop()
    assert [details["reason"] for details in refused(server.journal)] == ["unauthorized"]


def test_a_flood_leaves_few_records_and_the_whole_count(serve):
    server = serve("--heartbeat", "3600")
    for _ in range(BURST + 60):
        send(server, b"rubbish\r\n\r\n")
    assert server.stop() == 0
    found = refused(server.journal)
    each = [details for details in found if "sha256" in details]
    assert BURST <= len(each) < BURST + 60
    assert len(each) + sum(details.get("suppressed", 0) for details in found) == BURST + 60


@pytest.fixture
def ledger(tmp_path):
    with Journal.open(str(tmp_path / "journal"), "serve", keys.Keyring("trace", keys.make(bytes(range(32))))) as journal:
        yield Ledger(journal)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(refusals.time, "monotonic", lambda: now[0])
    return now


def rubbish(number: int) -> Refusal:
    refusal = Refusal(400, "malformed_header", "expected a header")
    refusal.seen = b"rubbish %d" % number
    return refusal


def details(ledger) -> list[dict]:
    return refused(Path(ledger.journal.root))


def test_the_rate_is_bounded_and_nothing_is_forgotten(ledger, clock):
    recorder = Refusals(ledger)
    for number in range(BURST + 5):
        recorder.record(rubbish(number))
    assert len(details(ledger)) == BURST
    clock[0] += 2.5  # for two more
    for number in range(5):
        recorder.record(rubbish(number))
    assert [found.get("suppressed") for found in details(ledger)[BURST:]] == [5, None]
    recorder.flush()
    recorder.flush()
    assert details(ledger)[BURST + 2 :] == [{"reason": "suppressed", "suppressed": 3}]
    clock[0] += 1e6
    for number in range(BURST + 5):
        recorder.record(rubbish(number))
    assert len([found for found in details(ledger) if "sha256" in found]) == BURST + 2 + BURST


def test_a_client_of_whom_nothing_came_leaves_no_record(ledger):
    Refusals(ledger).record(Refusal(503, "too_many_connections", "expected fewer"))
    assert details(ledger) == []


def test_what_a_failing_journal_does_not_take_is_counted(ledger, clock):
    recorder = Refusals(ledger)
    moved = ledger.journal.folder + "-moved"
    os.rename(ledger.journal.folder, moved)
    recorder.record(rubbish(1))
    recorder.record(rubbish(2))
    assert ledger.problem
    os.rename(moved, ledger.journal.folder)
    recorder.record(rubbish(3))
    found = details(ledger)
    assert [entry.get("suppressed") for entry in found] == [2] and found[0]["bytes"] == len(b"rubbish 3")
