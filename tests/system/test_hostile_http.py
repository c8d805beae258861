"""fixtures/http/hostile.jsonl and random mutations, over real sockets: the exact answer and fate of every connection."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import threading
from pathlib import Path

import pytest
from gait.system.http_request import Admission
from tests.system.raw_http import SECOND, Running, judge, limits, post, read_all, take_answer

ROOT = Path(__file__).resolve().parents[2]
LINES = [json.loads(line) for line in (ROOT / "fixtures/http/hostile.jsonl").read_text(encoding="utf-8").splitlines()]
SETTINGS, CASES = LINES[0], LINES[1:]
ADMISSION = Admission(frozenset(SETTINGS["hosts"]), frozenset(SETTINGS["origins"]))
KINDS = {"malformed_header", "malformed_request_line", "malformed_chunk", "ambiguous_length", "incomplete_request"}


def rounds(default: int) -> int:
    return int(os.environ.get("GAIT_FUZZ_ROUNDS", str(default)))


@pytest.fixture(scope="module")
def running():
    with Running(admission=ADMISSION, limits=limits(**SETTINGS["limits"]), is_quick=lambda head, data: True) as server:
        yield server


def sent(case) -> bytes:
    parts = case["send"] if isinstance(case["send"], list) else [case["send"]]
    return b"".join(part.encode("latin-1") if isinstance(part, str) else part[0].encode("latin-1") * part[1] for part in parts)


def test_the_table_is_large_and_covers_every_status():
    assert len(CASES) >= 70
    assert {case["status"] for case in CASES} >= {200, 400, 403, 405, 411, 413, 414, 417, 421, 431, 501, 505}


def check(server, case, piece: int) -> None:
    data = sent(case)
    method = data.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")
    before = len(server.refusals)
    got = server.ask(data + SECOND, piece=piece, half_close=case["fate"] == "kept", methods=(method,))
    assert got[0].status == case["status"], got
    reported = [error.error_code for error, _ in server.refusals[before:]]
    if case["fate"] == "closed":
        assert len(got) == 1 and got[0].headers["connection"] == "close"
    else:
        assert [answer.status for answer in got[1:]] == [200] and got[1].value["path"] == "/second", got
        assert "connection" not in got[0].headers or case["name"].startswith("http/1.0")
    assert reported == ([case["code"]] if "code" in case else [])
    if "code" in case:
        check_error(got[0], case["code"], data)


def check_error(answer, code: str, data: bytes) -> None:
    value = answer.value
    assert list(value) == sorted(["ok", "error", "error_code", "error_category", "retryable", "hint"])
    assert value["ok"] is False and value["error_code"] == code and "expected" in value["error"]
    assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "no-store"
    for word in (b"evil.example", b"{\"a\"", b"localhost", b"aaaaaa", b"Traceback"):
        assert word not in answer.body


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_whole(running, case):
    check(running, case, 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_byte_by_byte(running, case):
    check(running, case, 1)


def test_405_says_what_is_allowed(running):
    (answer,) = running.ask(b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=True)
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


# --- mutations ---------------------------------------------------------------------------------

CHUNKED = b'POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n6;x=y\r\n{"a":[\r\n4\r\n1]}\n\r\n0\r\nT: u\r\n\r\n'
VALID = (
    post(b'{"call":{"name":"tool.read","arguments":{"path":"/tmp/a"}}}', "/v1/evaluate", "Content-Type: application/json\r\n"),
    post(b'{"a":1}') + post(b'{"b":2}', "/2") + SECOND,
    CHUNKED,
    CHUNKED + post(b"[]", "/x?y=z", "Connection: keep-alive\r\nAccept: */*\r\n"),
    post(b"[1,2,3]", "/e", "Expect: 100-continue\r\nAuthorization: Bearer abc\r\n"),
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n" + SECOND,
)
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"0\r\n\r\n", b"\r\n\r\n", b"{", b"}", b"-1", b"ffffffff"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil.example\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b" HTTP/1.0", b" HTTP/0.9", b"HEAD", b"\xff\xfe", b"GET / HTTP/1.1\r\n\r\n"),
)


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(VALID))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.choice((1, 1, 2, 5, 40)))
        kind = rng.randrange(5)
        if kind == 0:
            data[place:end] = b""
        elif kind == 1:
            data[place:place] = rng.choice(WORDS)
        elif kind == 2 and place < len(data):
            data[place] = rng.randrange(256)
        elif kind == 3:
            data[place:place] = data[place:end]
        else:
            data[place:end] = rng.choice(WORDS)
    return bytes(data)


def answers_to(server, data: bytes) -> bytes:
    with server.connect() as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has been answered and closed already
        return read_all(sock)


def check_answers(data: bytes, raw: bytes, seen: dict[str, bytes]) -> None:
    """Answers from end to end; each 200 to a POST is for a body that the handler saw, that parses, and that was sent."""
    while raw:
        answer, raw = take_answer(raw, "GET" if not is_bodiless(raw) else "HEAD")
        assert answer.status in (100, 200, 400, 403, 405, 411, 413, 414, 417, 421, 431, 501, 505), (data, answer)
        assert b"Traceback" not in answer.body
        if answer.status == 200 and answer.body and answer.value["method"] == "POST":
            json.loads(seen[answer.value["sha256"]].decode("utf-8"))


def is_bodiless(raw: bytes) -> bool:
    """A HEAD mutated into the request: what follows its head is another head, or nothing."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    return rest == b"" or rest.startswith(b"HTTP/1.1 ")


@pytest.mark.slow
@pytest.mark.fuzz
def test_mutations_over_sockets():
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)
    total = rounds(20000)
    print(f"GAIT_FUZZ_SEED={seed} rounds={total}")
    seen: dict[str, bytes] = {}
    failures: list[str] = []

    def handle(request):
        seen[hashlib.sha256(request.body).hexdigest()] = request.body
        return judge(request)

    def attack(server, part: int) -> None:
        rng = random.Random(f"{seed}/{part}")
        for number in range(total // 2):
            data = mutated(rng)
            try:
                check_answers(data, answers_to(server, data), seen)
            except Exception as error:  # a time-out too: that is a hang
                failures.append(f"{part}/{number} {data!r}: {error!r}")
                return

    with Running(handle, admission=ADMISSION) as server:
        threads = [threading.Thread(target=attack, args=(server, part)) for part in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert not failures, failures
    assert "internal_failure" not in server.codes() and "accept_failed" not in server.codes()
    if total >= 5000:
        assert KINDS <= set(server.codes())
