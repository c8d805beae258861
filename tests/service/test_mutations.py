"""Valid requests, damaged at random: never a 200 for what cannot be read, never a hang, never a traceback."""

from __future__ import annotations

import json
import os
import random
import re
import socket

import pytest

from tests.service.running import ALLOWED, BLOCKED, verify, wait_for

ROUNDS = int(os.environ.get("GAIT_MUTATIONS", "1500"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "20261122"))
_HEAD = "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
WORDS = (b"\r\n", b"\n", b"\0", b"{", b"}", b"[", b'"', b"\xff", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b" ", b":", b"0", b"99999999999", b"\\ud800", b"NaN", b"-")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def valid(chance: random.Random) -> bytes:
    body = json.dumps(chance.choice((ALLOWED, BLOCKED, {**ALLOWED, "run_id": "r", "context": {"session_id": "é"}}))).encode()
    path = chance.choice(("/v1/evaluate", "/v1/evaluate/sse", "/v1/evaluate/stream"))
    head = _HEAD.format(path=path, kind="application/json").encode()
    if chance.random() < 0.3:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def damaged(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 40)))
        put = chance.choice((b"", bytes([chance.randrange(256)]), chance.choice(WORDS), data[start:end] * 2, data[start:end][::-1]))
        data = data[:start] + put + data[end:] or b"x"
    return data


def exchange(server, data: bytes) -> bytes:
    """Everything that the server answers to the bytes and the end of them; it must end too."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), 20) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        found = b""
        while True:
            try:
                part = sock.recv(65536)
            except ConnectionResetError:
                return found
            if not part:
                return found
            found += part


def readable(data: bytes) -> bool:
    """Whether some part of the request is a JSON text that asks for a decision: only then may there be an allow."""
    text = re.sub(rb"\r\n[0-9A-Fa-f]+[^\r\n]*\r\n", b"\r\n", data)
    for place in re.finditer(rb"\{", text):
        try:
            value, _ = json.JSONDecoder().raw_decode(text[place.start() :].decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            continue
        if type(value) is dict and "call" in value:
            return True
    return False


@pytest.mark.slow
@pytest.mark.fuzz
def test_mutated_requests(serve):
    server = serve("--max-connections", "64")
    chance = random.Random(SEED)
    allowed = refused = 0
    for number in range(ROUNDS):
        data = damaged(valid(chance), chance)
        answer = exchange(server, data)
        told = f"seed {SEED}, round {number}: {data!r} -> {answer[:300]!r}"
        if answer:
            assert _STATUS.match(answer), told
            assert b"Traceback" not in answer and not answer.startswith(b"HTTP/1.1 500"), told
        if b'"verdict": "allow"' in answer:
            allowed += 1
            assert readable(data), told
        refused += answer[9:10] == b"4"
    assert refused > ROUNDS // 4, f"seed {SEED}"
    with server.client() as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
    wait_for(lambda: server.threads() <= 4)
    assert server.stop() == 0 and not server.events("internal_failure")
    assert verify(server.journal)["ok"]
    print(f"mutations: {ROUNDS} sent, {allowed} still allowed, {refused} refused")
