"""The desk: quick requests of all clients in one thread, and no client that holds it up."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest
from gait.system import desk
from gait.system.connection import Connection
from gait.system.http_response import Response
from tests.system.raw_http import GET, SECOND, Running, answers, ask, descriptors, judge, limits, post, read_all, take_answer, wait_for

pytestmark = pytest.mark.skipif(not desk.IS_POSSIBLE, reason="this system has no epoll, and so no desk: every client has a thread")
HALF_HEAD = b"GET /half HTTP/1.1\r\nHost: loc"
HALF_BODY = post(b"[1, 2, 3]")[:-3]
LARGE = b"x" * (8 << 20)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = (threading.active_count(), descriptors())
    yield
    wait_for(lambda: (threading.active_count(), descriptors()) <= before, 5)


def who(request):
    """Says which thread answers."""
    return Response(200, threading.current_thread().name.encode())


def at_desk(handle=who, **settings) -> Running:
    return Running(handle, is_quick=lambda head, data: head.target != "/slow", **settings)


def receive(sock: socket.socket) -> bytes:
    """The body of one answer that comes whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        assert more, f"ended after {data!r}"
        data += more
    return take_answer(data)[0].body


def asked(sock: socket.socket, data: bytes = GET) -> str:
    sock.sendall(data)
    return receive(sock).decode()


@pytest.mark.parametrize(("is_quick", "threads"), [(lambda head, data: True, 1), (None, 8)])
def test_one_thread_answers_all_clients(is_quick, threads):
    with Running(who, is_quick=is_quick) as server:
        clients = [server.connect() for _ in range(8)]
        assert len({asked(sock) for sock in clients for _ in range(3)}) == threads
        assert server.listener.connections == 8
        for sock in clients:
            sock.close()
        wait_for(lambda: server.listener.connections == 0)


def test_a_request_that_may_wait_gets_a_thread_for_the_rest_of_its_connection():
    with at_desk() as server, server.connect() as sock, server.connect() as other:
        assert asked(sock) == "gait-desk"
        own = asked(sock, GET.replace(b"/", b"/slow", 1))
        assert own.startswith("gait-client ")
        assert asked(sock) == own
        assert asked(other) == "gait-desk"
        assert server.listener.connections == 2


def test_what_decides_sees_the_head_and_what_came_with_it():
    seen = []
    with Running(judge, is_quick=lambda head, data: seen.append((head.target, data)) or True) as server, server.connect() as sock:
        asked(sock, post(b"[1]", "/a"))
        asked(sock, post(b"[2]", "/b"))
    assert seen == [("/a", post(b"[1]", "/a")), ("/b", post(b"[2]", "/b"))]


@pytest.mark.parametrize("part", [HALF_HEAD, HALF_BODY, post(b"", more="Expect: 100-continue\r\n")[:-1]], ids=["head", "body", "expect"])
def test_a_client_that_sends_half_a_request_holds_up_nobody(part):
    with at_desk() as server, server.connect() as slow, server.connect() as other:
        slow.sendall(part)
        for _ in range(20):
            assert asked(other) == "gait-desk"


def in_parts(sock: socket.socket, *parts: bytes) -> str:
    for part in parts[:-1]:
        sock.sendall(part)
        time.sleep(0.05)
    return asked(sock, parts[-1])


@pytest.mark.parametrize("data", [GET, post(b"[1, 2, 3]"), b"\r\n" + GET], ids=["head", "body", "empty line"])
def test_two_parts_are_one_request_at_the_desk_and_three_need_a_thread(data):
    """Many clients send head and body one after the other."""
    for place in (1, len(data) // 2, data.index(b"\r\n\r\n"), len(data) - 1):
        with at_desk() as server, server.connect() as sock:
            for _ in range(3):
                assert in_parts(sock, data[:place], data[place:]) == "gait-desk"
            assert asked(sock, data) == "gait-desk"
            assert in_parts(sock, data[:10], data[10:20], data[20:]).startswith("gait-client ")


def test_the_other_half_that_does_not_come_gets_a_thread_and_no_more_time():
    with at_desk(limits=limits(body_seconds=0.3)) as server, server.connect() as sock:
        sock.sendall(HALF_BODY)
        wait_for(lambda: len(server.listener._server.workers) == 1, 3)
        assert b" 408 " in read_all(sock).partition(b"\r\n")[0]
    with at_desk() as server, server.connect() as sock:
        sock.sendall(HALF_BODY)
        sock.shutdown(socket.SHUT_WR)
        assert b" 400 " in read_all(sock).partition(b"\r\n")[0]


@pytest.mark.parametrize(("half", "name"), [(HALF_HEAD, "header_seconds"), (HALF_BODY, "body_seconds")], ids=["head", "body"])
def test_the_time_of_a_half_request_begins_with_its_first_part(half, name, monkeypatch):
    """Its moment at the desk is no time more: here it uses all of it up."""
    deadlines = []
    until = Connection._until
    monkeypatch.setattr(Connection, "_until", lambda self, step, deadline: deadlines.append((self.half_at, deadline)) or until(self, step, deadline))
    with at_desk(limits=limits(**{name: 0.25})) as server, server.connect() as sock:
        asked(sock)
        sock.sendall(half)
        assert b" 408 " in read_all(sock).partition(b"\r\n")[0]
    ((began, deadline),) = deadlines
    assert began > 0 and deadline == began + 0.25


def test_what_decides_sees_both_halves():
    seen = []
    with Running(judge, is_quick=lambda head, data: seen.append(data) or b"slow" not in data) as server, server.connect() as sock:
        data = post(b"[1, 2, 3]")
        in_parts(sock, data[:-4], data[-4:])
        assert seen == [data[:-4], data] and not server.listener._server.workers
        data = post(b'["slow"]')
        in_parts(sock, data[:-4], data[-4:])
        assert seen[2:] == [data[:-4], data] and len(server.listener._server.workers) == 1


WHOLE = {
    "two": GET + SECOND,
    "three": post(b"[1]") + GET + SECOND,
    "empty line": b"\r\n" + GET,
    "long": post(b"x" * 20000, "/long"),
    "chunked": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n",
    "malformed chunk": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]x",
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=list(WHOLE))
@pytest.mark.parametrize("piece", [0, 7, 1000])
def test_answers_are_those_of_a_thread_however_the_bytes_come(data, piece):
    with at_desk(judge) as quick, Running(judge) as threads:
        assert quick.ask(data, piece=piece, half_close=True) == threads.ask(data, piece=piece, half_close=True)


def test_a_refusal_is_said_and_its_client_lingered_for_elsewhere():
    with at_desk() as server, server.connect() as sock, server.connect() as other:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Field: x\r\n\r\n")
        assert receive(sock)
        assert asked(other) == "gait-desk"
        assert len(server.listener._server.workers) == 1  # the refused one is given a second to read its answer
        assert server.codes() == ["malformed_header"]


def test_a_client_that_does_not_read_holds_up_nobody():
    with at_desk(lambda request: Response(200, LARGE if request.path == "/second" else b"small")) as server:
        with server.connect() as slow, server.connect() as other:
            slow.sendall(SECOND)
            wait_for(lambda: len(server.accesses) == 1)
            for _ in range(20):
                assert asked(other) == "small"
            slow.sendall(GET)  # and it is still in step
            data = b""
            while len(data) < len(LARGE):
                data += slow.recv(1 << 20)
            while not data.endswith(b"small"):
                data += slow.recv(1 << 20)
            assert [len(answer.body) for answer in answers(data)] == [len(LARGE), 5]


def test_a_client_that_never_reads_is_ended():
    with at_desk(lambda request: Response(200, LARGE), limits=limits(write_seconds=0.3)) as server, server.connect() as slow:
        slow.sendall(GET)
        wait_for(lambda: server.listener.connections == 0, 5)


def test_a_client_that_says_nothing_is_closed_without_a_word():
    with at_desk(limits=limits(header_seconds=0.3, idle_seconds=0.6)) as server:
        with server.connect() as silent, server.connect() as idle:
            started = time.monotonic()
            asked(idle)
            assert read_all(silent) == b""
            assert read_all(idle) == b""
            assert 0.6 <= time.monotonic() - started < 10
        assert server.codes() == []


def test_a_first_head_has_its_deadline_from_the_beginning():
    with at_desk(limits=limits(header_seconds=0.4)) as server, server.connect() as sock:
        time.sleep(0.2)
        sock.sendall(HALF_HEAD)
        started = time.monotonic()
        assert b" 408 " in read_all(sock).partition(b"\r\n")[0]
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("how", ["http/1.0", "close"])
def test_the_last_answer_of_a_connection(how):
    last = {"http/1.0": b"GET / HTTP/1.0\r\n\r\n", "close": GET[:-2] + b"Connection: close\r\n\r\n"}[how]
    with at_desk() as server, server.connect() as sock:
        assert [answer.status for answer in ask(sock, last)] == [200]


def test_an_exception_in_the_handler_ends_the_connection_and_not_the_desk():
    def fail(request):
        return 1 / 0 if request.path == "/second" else who(request)

    with at_desk(fail) as server, server.connect() as other:
        assert [answer.status for answer in server.ask(SECOND)] == [500]
        assert asked(other) == "gait-desk"


def test_a_question_that_fails_ends_the_connection_and_not_the_desk():
    def ask_badly(head, data):
        return 1 / 0 if head.target == "/second" else True

    with Running(who, is_quick=ask_badly) as server, server.connect() as other:
        assert server.ask(SECOND) == []
        assert asked(other) == "gait-desk"
        assert isinstance(server.refusals[0][0].__cause__, ZeroDivisionError)


def test_no_thread_for_a_client_that_needs_one(monkeypatch):
    def no_more(thread):
        raise RuntimeError("can't start new thread")

    with at_desk() as server, server.connect() as other:
        assert asked(other) == "gait-desk"
        monkeypatch.setattr(threading.Thread, "start", no_more)
        assert server.ask(HALF_HEAD) == []
        assert asked(other) == "gait-desk"
        monkeypatch.undo()
        assert [str(error.__cause__) for error, _ in server.refusals] == ["can't start new thread"]


def test_a_client_that_cannot_be_watched_is_let_go_and_the_desk_stays():
    class Full:
        """The system's limit of watched descriptors is reached for one client."""

        def __init__(self, poll):
            self.register, self.unregister, self.poll, self.close = self.refuse, poll.unregister, poll.poll, poll.close
            self.then = poll.register

        def refuse(self, *words):
            self.register = self.then
            raise OSError(28, "No space left on device")

    with at_desk(limits=limits(header_seconds=0.2)) as server:
        desk_ = server.listener._server._desk
        desk_._poll = Full(desk_._poll)
        assert server.ask(GET) == []
        time.sleep(0.4)  # longer than it might have said nothing
        with server.connect() as other:
            assert asked(other) == "gait-desk"


def test_clients_that_vanish():
    with at_desk(limits=limits(connections=4)) as server:
        for number in range(40):
            with server.connect() as sock:
                if number % 2:
                    asked(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            wait_for(lambda: server.listener.connections == 0)


def test_beyond_the_cap():
    with at_desk(limits=limits(connections=2)) as server:
        with server.connect() as one, server.connect() as two:
            asked(one)
            asked(two)
            with server.connect() as three:
                assert take_answer(read_all(three))[0].status == 503


def test_the_end_finishes_the_answer_under_way_and_closes_idle_clients_at_once():
    begun, go = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go.wait(20)
        return Response(200, b"done")

    with at_desk(slow, grace=20) as server:
        with server.connect() as idle, server.connect() as busy:
            wait_for(lambda: server.listener.connections == 2)
            busy.sendall(GET)
            assert begun.wait(10)
            assert server.listener.in_flight == 1
            server.listener.stop(20)
            wait_for(lambda: all(connection._is_last for connection in server.listener._server.clients()))
            go.set()
            answer, rest = take_answer(read_all(busy))
            assert (answer.body, answer.headers["connection"], rest) == (b"done", "close", b"")
            assert read_all(idle) == b""


def test_a_handler_that_hangs_is_counted():
    go = threading.Event()
    server = at_desk(lambda request: go.wait(20) and Response(200), grace=0.1)
    server.thread.start()
    with server.connect() as sock:
        sock.sendall(GET)
        wait_for(lambda: server.listener.in_flight == 1)
        server.stop()
        assert server.left == 1
        go.set()
        wait_for(lambda: server.listener.connections == 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MSG_DONTWAIT and epoll as Linux has them")
def test_over_a_unix_socket(tmp_path):
    with at_desk(address=f"unix:{tmp_path}/s") as server, server.connect() as sock:
        assert asked(sock) == asked(sock) == "gait-desk"
