"""Events: split anywhere they are the same, and their raw bytes are the stream."""

from __future__ import annotations

import os
import random

import pytest
from gait.errors import ParseError
from gait.mcp.sse import Event, Events, dumps

SEED = int(os.environ.get("GAIT_FUZZ_SEED", "0")) or random.randrange(1 << 30)


def read(pieces, max_bytes: int = 1000) -> tuple[list[Event], bytes | None]:
    """Every event, and the rest; None after an event that is too long."""
    events, found = Events(max_bytes), []
    try:
        for piece in pieces:
            for event in events.feed(piece):
                found.append(event)
        found += events.finish()
    except ParseError:
        return found, None
    return found, events.rest


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: {}\n\n", [(b"{}", None, "")]),
        (b"event: message\nid: 7\ndata:{}\n\n", [(b"{}", "7", "message")]),
        (b"data: a\r\ndata: b\r\n\r\n", [(b"a\nb", None, "")]),
        (b"data: a\rdata: b\r\r", [(b"a\nb", None, "")]),
        (b"data: a\n\rdata: b\r\n\n", [(b"a", None, ""), (b"b", None, "")]),
        (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [(b"a", None, ""), (b"b", None, "")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [(None, None, "")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"a", None, ""), (None, None, "")]),
        (b": ping\n\n", [(None, None, "")]),
        (b"retry: 500\nid: 1\ndata\n\n", [(b"", "1", "")]),
        (b"id: 1\ndata:\n\n", [(b"", "1", "")]),
        (b"id\ndata:  x\n\n", [(b" x", "", "")]),
        (b"id: a\0b\ndata: x\n\n", [(b"x", None, "")]),
        (b"data: x:y: z\nother: 1\n\n", [(b"x:y: z", None, "")]),
        (b"Data: x\n data: y\n\n", [(None, None, "")]),
        (b"\n\r\n\r\n", [(None, None, "")] * 3),
        (b"data: \xff\n\n", [(b"\xff", None, "")]),
        (b"event: \xff\n\n", [(None, None, "\ufffd")]),
        (b"data: unfinished\n", []),
    ],
)
def test_events(data: bytes, events: list[tuple]):
    for pieces in ([data], [bytes([byte]) for byte in data]):
        found, rest = read(pieces)
        assert [event[1:] for event in found] == events
        assert b"".join(event.raw for event in found) + rest == data


def test_an_event_comes_as_soon_as_it_is_whole():
    events = Events(100)
    assert list(events.feed(b"id: 1\ndata: a\n")) == []
    assert [event.data for event in events.feed(b"\n")] == [b"a"]
    assert [event.data for event in events.feed(b"data: b\r\n\r\n")] == [b"b"]


def test_a_long_event_is_refused_after_the_ones_before_it():
    data = b"data: a\n\n" + b"data: " + b"x" * 30
    assert read([data], 30)[1] is None
    assert [event.data for event in read([data], 30)[0]] == [b"a"]
    assert read([b"data: " + b"x" * 22 + b"\n\n"], 30)[1] == b""
    assert read([b"data: " + b"x" * 23 + b"\n\n"], 30) == ([], None)


def test_many_pieces_of_one_line_are_not_read_again_and_again():
    events = Events(10_000_000)
    for _ in range(50_000):
        assert list(events.feed(b"x" * 100)) == []  # quadratic time would be minutes


def test_other_data_in_the_same_event():
    event = read([b"\xef\xbb\xbf: c\r\nid: 5\r\ndata: {\r\ndata: }\r\nretry: 9\r\n\r\n"])[0][0]
    made = dumps(event, b'{"a":\n1}')
    (again,), rest = read([made])
    assert (again.data, again.id, rest) == (b'{"a": 1}', "5", b"")
    assert b"retry: 9\n" in made and b": c\n" in made


def test_split_anywhere():
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000")) // 10
    print(f"GAIT_FUZZ_SEED={SEED}")
    rng = random.Random(SEED)
    words = (b"\n", b"\r", b"\r\n", b"\n\n", b"data: x", b"data:", b"id: 1", b":", b" ", b"\0", b"\xef\xbb\xbf", b"event: e", b"\xff", b"x" * 9)
    for _ in range(rounds):
        data = b"".join(rng.choice(words) for _ in range(rng.randrange(30)))
        places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
        pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]
        for limit in (12, 1000):
            whole = read([data], limit)
            assert read(pieces, limit) == whole == read([bytes([byte]) for byte in data], limit)
            if whole[1] is not None:
                assert b"".join(event.raw for event in whole[0]) + whole[1] == data
                assert [event for raw in whole[0] for event in read([raw.raw])[0]] == whole[0] or data.count(b"\xef\xbb\xbf")
