"""Lines: split anywhere they are the same, and one frame is one line for every reader."""

from __future__ import annotations

import io
import json
import os
import random
import re

import pytest
from gait.mcp.lines import Lines, dumps

SEED = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)


def read(pieces, max_bytes: int = 20) -> list[bytes]:
    lines = Lines(max_bytes)
    return [line for piece in pieces for line in lines.feed(piece)] + [b"rest:" + lines.finish()]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"{}\n", [b"{}"]),
        (b"{}\r\n[]\n", [b"{}\r", b"[]"]),
        (b"\n\n", [b"", b""]),
        (b"a\nb", [b"a"]),
        (b"x" * 20 + b"\n", [b"x" * 20]),
        (b"x" * 21 + b"\n" + b"y\n", [b"x" * 21, b"y"]),
        (b"x" * 5000 + b"\n" + b"y\n", [b"x" * 21, b"y"]),
    ],
)
def test_lines(data: bytes, lines: list[bytes]):
    assert read([data])[:-1] == lines


def test_what_follows_the_last_newline_is_kept():
    assert read([b"a\nb", b"c"]) == [b"a", b"rest:bc"]


def test_a_long_line_takes_no_memory():
    lines = Lines(100)
    for _ in range(1000):
        assert lines.feed(b"x" * 1000) == []
    assert len(lines.finish()) == 101


def test_split_anywhere():
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "2000")) // 10
    print(f"GAIT_FUZZ_SEED={SEED}")
    rng = random.Random(SEED)
    for _ in range(rounds):
        data = bytes(rng.choice(b"ab\n\r\x00") for _ in range(rng.randrange(80)))
        places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
        pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]
        assert read(pieces, 7) == read([data], 7) == read([bytes([byte]) for byte in data], 7)


INNER = '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"rm"}}'


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\u0085", "\u2028", "\u2029"])
def test_no_reader_finds_a_second_frame_inside_of_one(end: str):
    """A frame whose text, or whose space between tokens, holds a whole other frame between what some readers take for line ends."""
    inside = end.isascii()
    frame = f'{{"jsonrpc":"2.0","id":1,"method":"ping","params":{end}{INNER}{end}}}' if inside else json.dumps({"a": f"{end}{INNER}{end}"}, ensure_ascii=False)
    sent = dumps(frame.encode())
    assert json.loads(sent) == json.loads(frame)
    assert sent.endswith(b"\n") and sent.count(b"\n") == 1
    assert len(sent.decode().splitlines()) == 1
    assert len(re.split("\r\n|[\n\r\u2028\u2029]", sent.decode())) == 2  # as Node's readline splits
    assert len(list(io.TextIOWrapper(io.BytesIO(sent), encoding="utf-8"))) == 1


def test_other_frames_pass_as_they_are():
    frame = '{"a":"é😀\\u2028 \u2027\u0084","b":\t1}'.encode()
    assert dumps(frame) == frame + b"\n"
