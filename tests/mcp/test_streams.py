"""What waits for one client: bounds, order, and coming back."""

from __future__ import annotations

import threading

import pytest
from gait.mcp.routes import Message, SessionRoutes, SharedRoutes, peek
from gait.mcp.streams import Event, Request, Room, Stream, dumps, read_id

ONE = Request(frozenset({1}))
TIGHT = Room(unsent_bytes=100, sent_bytes=100, patience_seconds=0.0)


def message(text: str) -> Message:
    found = peek(text.encode())
    assert found
    return found[0]


def test_events_come_in_order_and_again_to_who_comes_back() -> None:
    stream = Stream("s", ONE)
    reader = stream.attach()
    for data in (b"a", b"b"):
        assert stream.put(data)
    assert stream.put(b"c", [1]) and stream.is_over and not stream.put(b"d")
    assert stream.take(reader, 0) == [Event(1, b"a"), Event(2, b"b"), Event(3, b"c")]
    assert stream.take(reader, 0) is None
    again = stream.attach(1)
    assert stream.take(reader, 0) is None  # it has been replaced
    assert stream.take(again, 0) == [Event(2, b"b"), Event(3, b"c")]
    assert not stream.detach(reader) and stream.detach(again)
    assert stream.attach(4) == 0


def test_a_request_that_has_no_room_is_broken() -> None:
    stream = Stream("s", ONE, TIGHT)
    stream.attach()
    assert stream.put(b"x" * 200) and not stream.put(b"y")
    assert stream.is_broken and stream.is_over


def test_a_general_stream_without_room_loses_its_oldest() -> None:
    stream = Stream("0", room=TIGHT)
    for number in range(50):
        assert stream.put(b"%050d" % number)
    assert stream.kept_bytes <= 150
    events = stream.take(stream.attach(), 0)
    assert events and [event.number for event in events] == [49, 50]


def test_what_was_read_is_kept_to_a_point() -> None:
    stream = Stream("s", ONE, TIGHT)
    reader = stream.attach()
    for number in range(50):
        assert stream.put(b"%050d" % number) and stream.take(reader, 0)
    assert stream.kept_bytes <= 150
    assert stream.attach(10) == 0 and stream.attach(49)


def test_a_writer_waits_for_its_reader() -> None:
    stream = Stream("s", ONE, Room(unsent_bytes=10, patience_seconds=20))
    reader = stream.attach()
    assert stream.put(b"x" * 10)
    writer = threading.Thread(target=stream.put, args=(b"late",))
    writer.start()
    assert stream.take(reader, 0) == [Event(1, b"x" * 10)]
    writer.join(20)
    assert stream.take(reader, 20) == [Event(2, b"late")]


@pytest.mark.parametrize(("text", "found"), [("12_3", ("12", 3)), ("_3", None), ("a_b", None), ("a", None), ("1_²", None), ("1_" + "9" * 19, None)])
def test_event_ids(text: str, found: object) -> None:
    assert read_id(text) == found


def test_an_event_is_one_line_whatever_is_in_the_message() -> None:
    assert dumps(Event(2, b'{"a":\r1}'), "s") == b'id: s_2\nevent: message\ndata: {"a": 1}\n\n'
    assert dumps(Event(2, b"{}"), "") == b"event: message\ndata: {}\n\n"


PROGRESS = '{"method":"notifications/progress","params":{"progressToken":%s}}'
LOG = '{"method":"notifications/message","params":{}}'
CHANGED = '{"method":"notifications/tools/list_changed"}'


def test_ids_and_tokens_keep_their_type() -> None:
    routes = SharedRoutes()
    one, text = Stream("", Request(frozenset({1}), frozenset({1}))), Stream("", Request(frozenset({"1"}), frozenset({"1"})))
    routes.open(one)
    assert routes.conflict(one, 0.0) is one and routes.conflict(text, 0.0) is False
    routes.open(text)
    assert routes.target(message(PROGRESS % "1")) is one and routes.target(message(PROGRESS % '"1"')) is text
    assert routes.target(message(PROGRESS % "true")) is None and routes.target(message(PROGRESS % "1.0")) is None
    assert routes.answered(1) is one and routes.answered(1) is None


def test_what_could_be_anothers_reaches_nobody() -> None:
    routes = SharedRoutes()
    assert routes.target(message(LOG)) is None
    first, second = Stream("", Request(frozenset({1}))), Stream("", Request(frozenset({2})))
    listening = Stream("", Request(frozenset({"l"}), is_endless=True))
    for stream in (listening, first):
        routes.open(stream)
    assert routes.target(message(LOG)) is first
    routes.open(second)
    assert routes.target(message(LOG)) is None
    tagged = '{"method":"m","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}'
    assert routes.target(message(tagged % '"l"')) is listening and routes.target(message(tagged % "7")) is None


def test_a_cancelled_id_is_free_when_it_is_answered_or_long_after() -> None:
    routes = SharedRoutes()
    stream = Stream("", ONE)
    routes.linger([1], 100.0)
    assert routes.conflict(stream, 101.0) is True and routes.conflict(stream, 200.0) is False
    routes.linger([1], 200.0)
    assert routes.answered(1) is None and routes.conflict(stream, 201.0) is False


def test_in_a_session_every_message_finds_a_stream() -> None:
    general = Stream("0")
    routes = SessionRoutes(general)
    assert routes.target(message(LOG)) is general
    plain, first, second = Stream("1", Request(frozenset({1}), takes_events=False)), Stream("2", Request(frozenset({2}))), Stream("3", Request(frozenset({3})))
    routes.open(plain)
    assert routes.target(message(LOG)) is general
    routes.open(first)
    assert routes.target(message(LOG)) is first and routes.target(message(CHANGED)) is first
    routes.open(second)
    assert routes.target(message(LOG)) is second
    general.attach()
    assert routes.target(message(LOG)) is general and routes.target(message(CHANGED)) is general
