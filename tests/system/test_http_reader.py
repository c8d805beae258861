"""The reader: however the bytes are split, the same requests and the same refusal come out."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from gait.system.http_reader import Reader
from gait.system.http_request import Limits, Refusal

ROOT = Path(__file__).resolve().parents[2]
LINES = [json.loads(line) for line in (ROOT / "fixtures/http/hostile.jsonl").read_text(encoding="utf-8").splitlines()]
LIMITS = Limits(**LINES[0]["limits"])
SMALL = LIMITS._replace(request_line_bytes=60, header_count=4, header_bytes=150, body_bytes=30)


def sent(case) -> bytes:
    parts = case["send"] if isinstance(case["send"], list) else [case["send"]]
    return b"".join(part.encode("latin-1") if isinstance(part, str) else part[0].encode("latin-1") * part[1] for part in parts)


def outcome(pieces, limits: Limits = LIMITS) -> list[object]:
    """Every request in the pieces, and the refusal or what was left at the end."""
    reader, found, head = Reader(limits), [], None
    for piece in pieces:
        reader.feed(piece)
        try:
            while True:
                if head is None:
                    head = reader.head()
                if head is None:
                    break
                body = reader.body(head.length)
                if body is None:
                    break
                found.append((head, body))
                head = None
        except Refusal as refusal:
            return [*found, (refusal.http_status, refusal.error_code, refusal.message)]
    return [*found, ("incomplete", head is not None, reader.has_begun)]


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 1, 2, 3, 10))))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]


@pytest.mark.parametrize("case", LINES[1:], ids=lambda case: case["name"])
def test_byte_by_byte(case):
    data = sent(case)
    assert outcome([data]) == outcome([data[at : at + 1] for at in range(len(data))])


@pytest.mark.parametrize("case", LINES[1:], ids=lambda case: case["name"])
def test_cut_off(case):
    """Every beginning of an accepted request is incomplete, and refused nowhere but where the whole one is."""
    data = sent(case)
    whole = outcome([data])
    for end in range(0, len(data), max(1, len(data) // 300)):
        part = outcome([data[:end]])
        assert part == whole or part[-1][0] == "incomplete"


@pytest.mark.fuzz
def test_mutations_split_anywhere():
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "20000"))
    print(f"GAIT_FUZZ_SEED={seed} rounds={rounds}")
    rng = random.Random(seed)
    inputs = [sent(case) for case in LINES[1:] if len(sent(case)) < 400]
    for _ in range(rounds):
        data = bytearray(rng.choice(inputs) + rng.choice(inputs))
        for _ in range(rng.choice((0, 1, 1, 2, 5))):
            place = rng.randrange(len(data))
            data[place : place + rng.choice((0, 1, 1, 30))] = rng.choice((b"\r", b"\n", b"\r\n", b"\0", b" ", b"7", b":", b"GET", b"", bytes([rng.randrange(256)])))
            data = data or bytearray(b"x")
        limits = rng.choice((LIMITS, SMALL))
        whole = outcome([bytes(data)], limits)
        assert whole == outcome(pieces(bytes(data), rng), limits), (seed, bytes(data))
        for _, body in [item for item in whole if len(item) == 2]:
            assert len(body) <= limits.body_bytes


def test_has_begun():
    reader = Reader(LIMITS)
    assert not reader.has_begun
    for data, expected in ((b"\r", True), (b"\n", False), (b"GET / HTTP/1.1\r\n", True), (b"Host: a\r\n", True), (b"\r\n", False)):
        reader.feed(data)
        head = reader.head()
        if head:
            assert reader.body(head.length) == b""
        assert reader.has_begun == expected


@pytest.mark.parametrize("spare", [0, 1])
def test_the_request_line_may_have_exactly_so_many_bytes(spare):
    line = b"GET /" + b"a" * (60 - len(b"GET / HTTP/1.1\r\n") + spare) + b" HTTP/1.1\r\n"
    data = line + b"Host: a\r\n\r\n"
    assert len(line) == 60 + spare
    for split in ([data], [data[:30], data[30:]], [data[:-1], data[-1:]]):
        got = outcome(split, SMALL)
        assert got[0][1] == b"" if not spare else got[0][:2] == (414, "target_too_long")


@pytest.mark.parametrize("spare", [0, 1])
def test_the_head_may_have_exactly_so_many_bytes(spare):
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    data = start + b"a" * (150 - len(start) - 4 + spare) + b"\r\n\r\n"
    for split in ([data], [data[:30], data[30:]], [data[:-1], data[-1:]]):
        got = outcome(split, SMALL)
        assert got[0][1] == b"" if not spare else got[0][:2] == (431, "headers_too_large")


@pytest.mark.parametrize("spare", [0, 1])
def test_so_many_fields_are_allowed(spare):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: a\r\n" % number for number in range(3 + spare)) + b"\r\n"
    got = outcome([data], SMALL)
    assert got[0][1] == b"" if not spare else got[0][:2] == (431, "headers_too_large")


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize("size", [1, 7, 30])
def test_a_chunked_body_may_have_exactly_so_many_bytes(size, spare):
    body = b"x" * (30 + spare)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + size]), body[at : at + size]) for at in range(0, len(body), size))
    data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    got = outcome([data], SMALL)
    assert got[0][1] == body if not spare else got[0][:2] == (413, "body_too_large")


def test_chunks_of_one_byte_are_limited_in_number():
    start = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    limits = LIMITS._replace(body_bytes=1 << 20)
    assert outcome([start + b"1\r\nx\r\n" * 16383 + b"0\r\n\r\n"], limits)[0][1] == b"x" * 16383
    assert outcome([start + b"1\r\nx\r\n" * 16385 + b"0\r\n\r\n"], limits)[0][0] == 413


def test_a_long_pipeline():
    data = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n" * 500
    assert len(outcome([data])) == 501
