"""The listener on real sockets: protocol, deadlines, the cap, TLS, Unix, streams, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import ssl
import stat
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gait.errors import InvalidInput, StorageError
from gait.system import binding
from gait.system.channel import tls_context
from gait.system.http_request import Admission
from gait.system.http_response import Response
from gait.system.listener import Listener
from tests.system.raw_http import GET, SECOND, Running, answers, descriptors, judge, limits, post, read_all, take_answer, take_chunks, wait_for

ROOT = Path(__file__).resolve().parents[2]
TLS = ROOT / "fixtures/http/tls"
CLOSE = "Connection: close\r\n"


def closed_get(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def receive_answer(sock: socket.socket) -> bytes:
    """The bytes up to and with the first whole answer."""
    data = b""
    while True:
        more = sock.recv(65536)
        assert more, f"ended with {data!r}"
        data += more
        try:
            take_answer(data)
            return data
        except AssertionError:
            continue


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = (threading.active_count(), descriptors())
    yield
    wait_for(lambda: (threading.active_count(), descriptors()) <= before, 5)


@pytest.fixture
def running():
    with Running() as server:
        yield server


# --- protocol ----------------------------------------------------------------------------------


def test_requests_on_one_connection(running):
    with running.connect() as sock:
        for number in range(5):
            sock.sendall(post(b"[%d]" % number, f"/{number}"))
            answer, _ = take_answer(receive_answer(sock))
            assert answer.status == 200 and answer.value["path"] == f"/{number}"
    assert not running.refusals


def test_a_pipeline_is_answered_in_order(running):
    data = b"".join(post(b"{}", f"/{number}") for number in range(50)) + closed_get("/last")
    got = running.ask(data)
    assert [answer.value["path"] for answer in got] == [*(f"/{number}" for number in range(50)), "/last"]


def test_what_the_handler_sees(running):
    seen = []
    with Running(lambda request: seen.append(request) or Response(204)) as server:
        (answer,) = server.ask(post(b"{}", "/a?b=c&d", CLOSE + "X-Thing: 1\r\n"))
    assert answer.status == 204 and "content-length" not in answer.headers
    (request,) = seen
    assert request[:4] == ("POST", "/a?b=c&d", "/a", "b=c&d") and request.body == b"{}" and request.headers["x-thing"] == "1"
    assert request.peer.startswith("127.0.0.1:")


def test_head(running):
    got = running.ask(b"HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n" + closed_get("/b"), methods=("HEAD",))
    assert int(got[0].headers["content-length"]) == len(got[1].body) + len("HEAD") - len("GET") and got[1].value["path"] == "/b"


def test_http_1_0(running):
    got = running.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert [answer.headers["connection"] for answer in got] == ["keep-alive", "close"]


def test_100_continue(running):
    with running.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        assert take_answer(receive_answer(sock))[0].status == 200


def test_no_100_for_a_body_that_is_there_or_refused(running):
    assert [a.status for a in running.ask(post(b"{}", more="Expect: 100-continue\r\n" + CLOSE))] == [200]
    refused = running.ask(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    assert [a.status for a in refused] == [413]


def test_a_refused_client_that_sends_on_still_gets_its_answer(running):
    """Without lingering, the unread megabytes would reset the connection and take the answer with them."""
    got = running.ask(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
    assert [a.status for a in got] == [413]


def test_an_exception_in_the_handler(running):
    def handle(request):
        raise RuntimeError("secret of the server")

    with Running(handle) as server:
        (answer,) = server.ask(GET + SECOND)
        assert answer.status == 500 and answer.headers["connection"] == "close"
        assert answer.value["error_code"] == "internal_failure" and b"secret" not in answer.body
        ((error, peer),) = server.refusals
        assert isinstance(error.__cause__, RuntimeError) and peer.startswith("127.0.0.1:")
        wait_for(lambda: server.accesses)
        assert server.accesses[0].status == 500


@pytest.mark.parametrize("response", [None, Response(200, headers=(("X-A", "a\r\nb"),)), Response(42), Response(200, "text")])
def test_what_is_no_response_is_a_failure(response):
    with Running(lambda request: response) as server:
        assert [a.status for a in server.ask(GET)] == [500]
        assert server.codes() == ["internal_failure"]


def test_a_handler_may_close(running):
    with Running(lambda request: Response(404, b"{}", close=True)) as server:
        assert [(a.status, a.headers["connection"]) for a in server.ask(GET + GET)] == [(404, "close")]


def test_the_access_log():
    with Running() as server:
        server.ask(post(b"{}", "/a?secret=1") + closed_get("/b"))
        server.ask(b"BREW / HTTP/1.1\r\n\r\n")
        server.ask(b"GET /c HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    found = [(access.method, access.path, access.status) for access in server.accesses]
    assert found == [("POST", "/a", 200), ("GET", "/b", 200), ("", "", 501), ("GET", "/c", 421)]
    assert all(access.sent_bytes > 50 and access.seconds >= 0 and access.peer.startswith("127.") for access in server.accesses)


def test_reports_that_fail_do_no_harm():
    def fail(*_):
        raise RuntimeError

    with Running(on_refusal=fail, access_log=None, limits=limits(connections=1)) as server:
        assert [a.status for a in server.ask(b"x\r\n")] == [400]
        wait_for(lambda: not server.listener.connections)
        with server.connect() as first:
            first.sendall(GET)
            receive_answer(first)
            assert [a.status for a in server.ask(b"")] == [503]
    with Running(access_log=fail) as server:
        assert [a.status for a in server.ask(GET)] == [200]
        assert server.codes() == ["internal_failure"]


def test_authentication_comes_before_the_body():
    with Running(admission=Admission(token=b"s3cret")) as server:
        (answer,) = server.ask(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
        assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert [a.status for a in server.ask(post(b"{}", more="Authorization: Bearer s3cret\r\n" + CLOSE))] == [200]


def test_many_clients_at_once(running):
    failures = []

    def client(number: int) -> None:
        with running.connect() as sock:
            for turn in range(40):
                path = f"/{number}/{turn}"
                sock.sendall(post(json.dumps([number, turn]).encode(), path))
                if take_answer(receive_answer(sock))[0].value["path"] != path:
                    failures.append(path)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(24)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures and not running.refusals


# --- deadlines ---------------------------------------------------------------------------------

QUICK = dict(header_seconds=0.3, body_seconds=0.4, idle_seconds=0.3, write_seconds=0.4)


def timed(function) -> tuple[object, float]:
    started = time.monotonic()
    return function(), time.monotonic() - started


def drip(server, data: bytes, pause: float = 0.05) -> list:
    """One byte after the other, so that no single wait is long."""
    with server.connect() as sock:
        try:
            for at in range(len(data)):
                sock.sendall(data[at : at + 1])
                if select.select([sock], [], [], pause)[0]:
                    break
        except OSError:
            pass
        return answers(read_all(sock))


def test_a_slow_head_is_ended_by_an_absolute_deadline():
    with Running(limits=limits(**QUICK)) as server:
        got, seconds = timed(lambda: drip(server, GET))
        assert [a.status for a in got] == [408] and 0.2 < seconds < 1.5 and server.codes() == ["request_timeout"]


def test_a_slow_body_is_ended_by_an_absolute_deadline():
    with Running(limits=limits(**QUICK)) as server:
        with server.connect() as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
            started = time.monotonic()
            for _ in range(40):
                sock.sendall(b"x")
                if select.select([sock], [], [], 0.05)[0]:
                    break
            assert 0.3 < time.monotonic() - started < 1.5
            assert [a.status for a in answers(read_all(sock))] == [408]


def test_a_client_that_says_nothing_is_closed_without_a_word():
    with Running(limits=limits(**QUICK)) as server:
        with server.connect() as sock:
            data, seconds = timed(lambda: read_all(sock))
        assert data == b"" and 0.2 < seconds < 1.5 and not server.refusals


def test_an_idle_connection_is_closed():
    with Running(limits=limits(**{**QUICK, "header_seconds": 5})) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            receive_answer(sock)
            data, seconds = timed(lambda: read_all(sock))
        assert data == b"" and 0.2 < seconds < 1.5


def test_each_head_has_a_deadline_of_its_own():
    with Running(limits=limits(**{**QUICK, "idle_seconds": 5})) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            receive_answer(sock)
            time.sleep(0.5)
            sock.sendall(GET)
            receive_answer(sock)
            sock.sendall(b"GET /")
            assert [a.status for a in answers(read_all(sock))] == [408]


def test_a_client_that_does_not_read_is_ended():
    done = threading.Event()
    with Running(lambda request: Response(200, b"x" * 30_000_000), limits=limits(**QUICK), access_log=lambda access: done.set()) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            assert done.wait(5)
            wait_for(lambda: not server.listener.connections)
            with pytest.raises(AssertionError):
                answers(read_all(sock))


def test_a_large_answer_to_a_client_that_reads():
    body = os.urandom(3_000_000)
    with Running(lambda request: Response(200, body, "application/octet-stream")) as server:
        assert server.ask(closed_get())[0].body == body


def test_half_a_request_and_then_the_end(running):
    assert [a.status for a in running.ask(b"GET / HT", half_close=True)] == [400]
    assert [a.status for a in running.ask(post(b"{}")[:-1], half_close=True)] == [400]
    assert running.codes() == ["incomplete_request"] * 2


def test_an_empty_line_after_a_request_starts_no_other():
    """Some clients send one after a body; their idle connection is not a slow head."""
    with Running(limits=limits(**{**QUICK, "idle_seconds": 1})) as server, server.connect() as sock:
        sock.sendall(post(b"{}") + b"\r\n")
        receive_answer(sock)
        time.sleep(0.6)
        sock.sendall(closed_get())
        assert [a.status for a in answers(read_all(sock))] == [200]


def test_a_client_that_vanishes(running):
    for data in (b"", b"GET", post(b"{}")[:-1], GET * 3, b"x y z\r\n"):
        sock = running.connect()
        sock.sendall(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    assert running.ask(closed_get())[0].status == 200
    assert "internal_failure" not in running.codes()


@pytest.mark.slow
def test_slow_loris():
    """200 half-open connections cost a normal client nothing.  (On a busy machine this takes longer than five seconds.)"""
    with Running(limits=limits(header_seconds=120)) as server, ExitStack() as stack:
        open_ones = [stack.enter_context(server.connect()) for _ in range(200)]
        for sock in open_ones:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        wait_for(lambda: server.listener.connections == 200)
        p99 = min(normal_p99(server, open_ones) for _ in range(3))  # of three: other programs use this machine too
        assert not server.refusals
    assert p99 < 0.05


def normal_p99(server, open_ones) -> float:
    times = []
    with server.connect() as sock:
        for number in range(300):
            started = time.perf_counter()
            sock.sendall(post(b"{}"))
            receive_answer(sock)
            times.append(time.perf_counter() - started)
            open_ones[number % 200].send(b"a")
    wait_for(lambda: server.listener.connections == 200)
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"p50 {statistics.median(times) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms beside 200 half-open connections")
    return p99


# --- the cap, and when the system has no more --------------------------------------------------


def test_beyond_the_cap():
    with Running(limits=limits(connections=3)) as server:
        first = [server.connect() for _ in range(3)]
        for sock in first:
            sock.sendall(GET)
            receive_answer(sock)
        for data in (b"", GET, post(b"x" * 50000)):
            (answer,) = server.ask(data)
            assert answer.status == 503 and answer.headers["retry-after"] == "1" and answer.value["error_code"] == "too_many_connections"
        assert server.codes() == ["too_many_connections"] * 3
        first.pop().close()
        wait_for(lambda: server.listener.connections == 2)
        assert server.ask(closed_get())[0].status == 200
        [sock.close() for sock in first]


def test_a_crowd_beyond_the_cap_holds_few_descriptors():
    with Running(limits=limits(connections=1)) as server:
        with server.connect() as first:
            first.sendall(GET)
            receive_answer(first)
            before = descriptors()
            crowd = [server.connect() for _ in range(150)]
            wait_for(lambda: len(server.refusals) == 150)
            assert descriptors() - before - len(crowd) <= 64
            first.sendall(GET)
            assert take_answer(receive_answer(first))[0].status == 200
            [sock.close() for sock in crowd]
            wait_for(lambda: descriptors() <= before)


CHILD = """
import resource, sys, threading, time
sys.path.insert(0, sys.argv[1])
from gait.system.http_response import Response
from gait.system.listener import Listener

errors = []
listener = Listener("127.0.0.1:0", lambda request: Response(200), on_refusal=lambda error, peer: errors.append(error))
thread = threading.Thread(target=listener.serve)
thread.start()
print(listener.address, flush=True)
"""


def child(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD + code, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_out_of_descriptors():
    """Accepting backs off, says so once, does not spin, and goes on when there are descriptors again."""
    code = "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\nsys.stdin.read(1)\nlistener.stop(1)\nthread.join()\n"
    code += "print(len(errors), errors[0].error_code, 'open files' in errors[0].message, time.process_time() < 1, flush=True)"
    with child(code) as process:
        host, port = process.stdout.readline().strip().split(":")
        socks = [socket.create_connection((host, int(port)), 10) for _ in range(60)]
        time.sleep(0.5)
        [sock.close() for sock in socks]
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(closed_get())
            assert answers(read_all(sock))[0].status == 200
        assert process.communicate("x", 20)[0].split() == ["1", "accept_failed", "True", "True"]


def test_out_of_threads():
    """A stack that does not fit into memory stands for a system that has no further thread."""
    code = "threading.stack_size(1 << 45)\nprint(flush=True)\nsys.stdin.read(1)\nthreading.stack_size(0)\nprint(flush=True)\nsys.stdin.read(1)\n"
    code += "listener.stop(1)\nthread.join()\nprint(len(errors), errors[0].error_code, listener.connections)"
    with child(code) as process:
        host, port = process.stdout.readline().strip().split(":")
        process.stdout.readline()
        with socket.create_connection((host, int(port)), 10) as sock:
            assert read_all(sock) == b""
        process.stdin.write("x")
        process.stdin.flush()
        process.stdout.readline()
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(closed_get())
            assert answers(read_all(sock))[0].status == 200
        assert process.communicate("x", 20)[0].split() == ["1", "accept_failed", "0"]


# --- TLS ---------------------------------------------------------------------------------------


def server_tls() -> ssl.SSLContext:
    return tls_context(str(TLS / "certificate.pem"), str(TLS / "key.pem"))


def client_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(TLS / "certificate.pem"))


def tls_connect(server, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    return (context or client_tls()).wrap_socket(server.connect(), server_hostname="localhost")


def test_tls():
    with Running(tls=server_tls()) as server:
        with tls_connect(server) as sock:
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            sock.sendall(post(b"[1]") + post(b"x" * 100_000))
            data = receive_answer(sock)
            sock.sendall(closed_get("/last"))
            got = answers(data + read_all(sock))
            assert [a.status for a in got] == [200, 400, 200] and got[2].value["path"] == "/last"


def test_tls_ends_with_a_farewell():
    with Running(tls=server_tls()) as server:
        with client_tls().wrap_socket(server.connect(), server_hostname="localhost", suppress_ragged_eofs=False) as sock:
            sock.sendall(closed_get())
            assert answers(read_all(sock))[0].status == 200  # SSLEOFError without the farewell


def test_old_tls_is_refused():
    old = client_tls()
    with pytest.warns(DeprecationWarning) if sys.version_info >= (3, 10) else pytest.MonkeyPatch.context():
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with Running(tls=server_tls()) as server:
        with pytest.raises(OSError):
            tls_connect(server, old)
        assert server.ask(b"GET / HTTP/1.1\r\n\r\n") == []


def test_a_tls_handshake_has_a_deadline_and_blocks_nobody():
    with Running(tls=server_tls(), limits=limits(header_seconds=0.5)) as server:
        silent = [server.connect() for _ in range(5)]
        with tls_connect(server) as sock:
            sock.sendall(closed_get())
            assert answers(read_all(sock))[0].status == 200
        data, seconds = timed(lambda: [read_all(sock) for sock in silent])
        assert data == [b""] * 5 and seconds < 2
        [sock.close() for sock in silent]
        assert server.ask(GET) == []  # no TLS at all


def test_tls_deadlines():
    done = threading.Event()
    with Running(lambda r: Response(200, b"x" * 30_000_000), tls=server_tls(), limits=limits(**QUICK), access_log=lambda a: done.set()) as server:
        with tls_connect(server) as sock:
            sock.sendall(GET[:-2])
            assert answers(read_all(sock))[0].status == 408
        done.clear()
        with tls_connect(server) as sock:
            sock.sendall(GET)
            assert done.wait(5)
        with tls_connect(server) as sock:
            assert read_all(sock) == b""


def test_tls_beyond_the_cap_is_closed_at_once():
    with Running(tls=server_tls(), limits=limits(connections=1)) as server:
        with tls_connect(server) as first:
            with pytest.raises(OSError):
                tls_connect(server)
            first.sendall(closed_get())
            assert answers(read_all(first))[0].status == 200
        assert server.codes() == ["too_many_connections"]


def test_a_tls_client_that_leaves_at_once():
    with Running(tls=server_tls()) as server:
        for _ in range(20):
            sock = server.connect()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        with tls_connect(server) as sock:
            sock.sendall(closed_get())
            assert answers(read_all(sock))[0].status == 200
        assert not server.refusals


@pytest.mark.parametrize("certificate, key", [("none.pem", "key.pem"), ("certificate.pem", "none.pem"), ("README.md", "key.pem"), ("certificate.pem", "encrypted_key.pem")])
def test_tls_files_that_cannot_be_used(certificate, key):
    with pytest.raises(InvalidInput) as caught:
        tls_context(str(TLS / certificate), str(TLS / key))
    assert caught.value.error_code == "tls_files_unusable"


# --- Unix sockets and sockets of others --------------------------------------------------------


def test_unix(tmp_path):
    path = str(tmp_path / "gait.sock")
    with Running(address=f"unix:{path}") as server:
        assert server.listener.address == f"unix:{path}" and stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert [a.status for a in server.ask(post(b"{}") + closed_get())] == [200, 200]
        assert server.accesses[0].peer == "unix"
        with pytest.raises(StorageError):
            Listener(f"unix:{path}", judge, on_refusal=print)
    assert not os.path.exists(path)


def test_a_slow_reader_on_a_unix_socket(tmp_path):
    done = threading.Event()
    with Running(lambda r: Response(200, b"x" * 3_000_000), f"unix:{tmp_path}/s", limits=limits(**QUICK), access_log=lambda a: done.set()) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            assert done.wait(10)


def test_ipv6():
    try:
        server = Running(address="[::1]:0")
    except StorageError:
        pytest.skip("no IPv6 here")
    with server:
        assert server.listener.address.startswith("[::1]:")
        assert server.ask(closed_get())[0].status == 200
        assert server.accesses[0].peer.startswith("[::1]:")


def test_two_listeners_on_one_socket():
    """As `--workers 2`, but for the processes."""
    bound = binding.bind(binding.read_address("127.0.0.1:0"), 128)
    second = socket.socket(fileno=os.dup(bound.socket.fileno()))
    with Running(address=bound.socket) as one, Running(address=second) as two:
        assert one.listener.address == two.listener.address
        for _ in range(200):
            assert one.ask(closed_get())[0].status == 200
        assert len(one.accesses) + len(two.accesses) == 200


# --- clients that do not let go ----------------------------------------------------------------


def test_a_refused_client_is_lingered_for_one_second():
    with Running() as server:
        with server.connect() as quiet, server.connect() as busy:
            for sock in (quiet, busy):
                sock.sendall(b"x\r\n")
                assert take_answer(receive_answer(sock))[0].status == 400
            started = time.monotonic()
            with pytest.raises(OSError):
                while time.monotonic() - started < 5:
                    busy.sendall(b"x")
                    time.sleep(0.02)
            assert 0.5 < time.monotonic() - started < 3
            wait_for(lambda: not server.listener.connections, 2)


def test_the_end_does_not_wait_for_a_refused_client():
    with Running() as server, server.connect() as sock:
        sock.sendall(b"x\r\n")
        receive_answer(sock)
        assert server.stop(0) < 0.6


def test_a_client_beyond_the_cap_that_leaves_at_once():
    with Running(limits=limits(connections=1)) as server, server.connect() as first:
        first.sendall(GET)
        receive_answer(first)
        for _ in range(20):
            sock = server.connect()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        wait_for(lambda: len(server.refusals) == 20)
        assert set(server.codes()) == {"too_many_connections"}


def test_a_slow_head_over_tls():
    with Running(tls=server_tls(), limits=limits(**QUICK)) as server, tls_connect(server) as sock:
        for at in range(20):
            sock.sendall(GET[at : at + 1])
            if select.select([sock], [], [], 0.05)[0]:
                break
        assert [a.status for a in answers(read_all(sock))] == [408]


# --- streams -----------------------------------------------------------------------------------


class Parts:
    """An iterator that tells when it is closed."""

    def __init__(self, parts):
        self.parts = iter(parts)
        self.closed = threading.Event()
        self.given = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.given += 1
        return next(self.parts)

    def close(self):
        self.closed.set()


def streaming(parts):
    return lambda request: Response(200, parts, "text/event-stream") if request.path == "/" else judge(request)


def test_a_stream_is_chunked_and_the_connection_kept():
    parts = Parts([b"a", b"", b"b" * 100_000, b"c"])
    with Running(streaming(parts)) as server:
        got = server.ask(GET + closed_get("/second"))
        assert got[0].headers["transfer-encoding"] == "chunked" and got[0].body == b"a" + b"b" * 100_000 + b"c"
        assert got[1].value["path"] == "/second" and parts.closed.is_set()


def test_a_stream_to_http_1_0_ends_with_the_connection():
    with Running(streaming(Parts([b"a", b"b"]))) as server:
        (answer,) = server.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + SECOND)
        assert answer.headers["connection"] == "close" and answer.body == b"ab"


def test_head_of_a_stream():
    parts = Parts([b"a"])
    with Running(streaming(parts)) as server:
        got = server.ask(GET.replace(b"GET", b"HEAD") + closed_get("/2"), methods=("HEAD",))
        assert [a.status for a in got] == [200, 200] and parts.closed.is_set() and parts.given == 0


def test_a_stream_is_not_held_back():
    more = threading.Event()

    def parts():
        yield b"one"
        assert more.wait(10)
        yield b"two"

    with Running(streaming(parts())) as server, server.connect() as sock:
        sock.sendall(closed_get())
        data = b""
        while b"one" not in data:
            data += sock.recv(1000)
        more.set()
        assert answers(data + read_all(sock))[0].body == b"onetwo"


def test_a_plain_iterator_will_do():
    with Running(streaming(iter([b"a"]))) as server:
        assert server.ask(closed_get())[0].body == b"a"


def test_a_stream_that_fails_is_seen_to_be_cut_off():
    def parts():
        yield b"a"
        raise OSError("upstream is gone")

    with Running(streaming(parts())) as server, server.connect() as sock:
        sock.sendall(GET)
        data = read_all(sock)
        assert b"1\r\na\r\n" in data and not data.endswith(b"0\r\n\r\n") and b"upstream" not in data
        with pytest.raises(AssertionError, match="cut off"):
            take_chunks(data.partition(b"\r\n\r\n")[2])
        wait_for(lambda: server.refusals)
        assert isinstance(server.refusals[0][0].__cause__, OSError)


def endless(part: bytes, pause: float):
    while True:
        time.sleep(pause)
        yield part


@pytest.mark.parametrize("part", [b"data", b""])
def test_a_client_that_leaves_closes_the_stream(part):
    """With an empty part nothing is sent: the listener looks."""
    parts = Parts(endless(part, 0.01))
    with Running(streaming(parts)) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            sock.recv(100)
        assert parts.closed.wait(5)


def test_a_client_that_leaves_a_tls_stream():
    parts = Parts(endless(b"", 0.01))
    with Running(streaming(parts), tls=server_tls()) as server:
        with tls_connect(server) as sock:
            sock.sendall(GET)
            sock.recv(100)
        assert parts.closed.wait(5)


def test_a_pipelined_request_does_not_look_like_a_client_that_left():
    with Running(streaming(Parts([b"a", *[b""] * 50, b"b"]))) as server:
        got = server.ask(GET + closed_get("/2"))
        assert got[0].body == b"ab" and got[1].status == 200


def test_a_slow_reader_slows_the_stream():
    """Backpressure: what the client does not read is not made."""
    parts = Parts(b"x" * 10_000 for _ in range(100_000))
    with Running(streaming(parts)) as server:
        with server.connect() as sock:
            sock.sendall(GET)
            time.sleep(0.3)
            given = parts.given
            time.sleep(0.3)
            assert parts.given == given < 2000
        assert parts.closed.wait(5)


def test_a_handler_can_ask_for_its_client():
    seen, entered, left = [], threading.Event(), threading.Event()

    def handle(request):
        seen.append(request.is_connected())
        entered.set()
        left.wait(5)
        wait_for(lambda: not request.is_connected())
        seen.append(request.is_connected())
        return Response(200)

    with Running(handle) as server:
        with server.connect() as sock:
            sock.sendall(GET + b"more")
            assert entered.wait(5)
        left.set()
        wait_for(lambda: len(seen) == 2)
    assert seen == [True, False]


def test_the_client_of_a_request_that_is_over_is_gone():
    requests = []
    with Running(lambda request: requests.append(request) or Response(200)) as server:
        server.ask(closed_get())
    assert not requests[0].is_connected()


# --- the end -----------------------------------------------------------------------------------


def test_stop_closes_idle_connections_at_once():
    with Running(grace=20) as server:
        idle = [server.connect() for _ in range(10)]
        for sock in idle[:5]:
            sock.sendall(GET)
            receive_answer(sock)
        wait_for(lambda: server.listener.connections == 10)
        assert server.stop() < 2
        assert [read_all(sock) for sock in idle] == [b""] * 10
        with pytest.raises(OSError):
            server.connect()
        [sock.close() for sock in idle]


def test_stop_finishes_what_is_in_flight():
    entered, go = threading.Event(), threading.Event()

    def handle(request):
        entered.set()
        assert go.wait(10)
        return Response(200, b"{}")

    with Running(handle, grace=20) as server, server.connect() as sock:
        sock.sendall(GET + SECOND)
        assert entered.wait(5) and server.listener.in_flight == 1 and not server.listener.is_stopping
        server.listener.stop(20)
        assert server.listener.is_stopping
        time.sleep(0.3)
        go.set()
        (answer,) = answers(read_all(sock))
        assert answer.status == 200 and answer.headers["connection"] == "close"


def test_stop_waits_for_half_a_request():
    with Running(grace=20) as server, server.connect() as sock:
        sock.sendall(post(b"{}")[:-1])
        wait_for(lambda: server.listener.connections == 1)
        time.sleep(0.1)
        server.listener.stop(20)
        time.sleep(0.3)
        sock.sendall(b"}")
        assert [a.status for a in answers(read_all(sock))] == [200]


@pytest.mark.parametrize("tls", [False, True])
def test_stop_cuts_what_outlasts_the_grace(tls):
    parts = Parts(endless(b"x", 0.02))
    with Running(streaming(parts), tls=server_tls() if tls else None) as server:
        sock = tls_connect(server) if tls else server.connect()
        with sock:
            sock.sendall(GET)
            sock.recv(100)
            assert 0.3 < server.stop(0.4) < 2
    assert parts.closed.is_set()


def test_stop_cuts_a_client_in_its_handshake():
    with Running(tls=server_tls()) as server, server.connect():
        wait_for(lambda: server.listener.connections == 1)
        assert server.stop(0.1) < 2


def test_a_second_stop_shortens_the_grace():
    with Running(streaming(endless(b"x", 0.02))) as server, server.connect() as sock:
        sock.sendall(GET)
        sock.recv(100)
        server.listener.stop(60)
        time.sleep(0.2)
        server.listener.stop(100)
        assert server.thread.is_alive()
        assert server.stop(0) < 2


def test_a_handler_that_hangs_is_counted():
    go = threading.Event()
    server = Running(lambda request: go.wait(20) and Response(200))
    server.thread.start()
    with server.connect() as sock:
        sock.sendall(GET)
        wait_for(lambda: server.listener.in_flight == 1)
        server.stop(0.1)
    assert server.left == 1
    go.set()


def test_stop_before_serve():
    listener = Listener("127.0.0.1:0", judge, on_refusal=print)
    listener.stop(1)
    assert listener.serve() == 0


def test_a_signal_handler_may_stop(tmp_path):
    code = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from gait.system.http_response import Response
from gait.system.listener import Listener
listener = Listener("127.0.0.1:0", lambda request: Response(200), on_refusal=print)
signal.signal(signal.SIGTERM, lambda *_: listener.stop(5))
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
print(listener.address, flush=True)
try:
    print(listener.serve())
except KeyboardInterrupt:
    print("interrupted", listener.connections)
"""
    for more, expected in (([], "0"), (["interrupt"], "interrupted 0")):
        with subprocess.Popen([sys.executable, "-c", code, str(ROOT), *more], stdout=subprocess.PIPE, text=True) as process:
            host, port = process.stdout.readline().strip().split(":")
            with socket.create_connection((host, int(port)), 10) as sock:
                sock.sendall(GET)
                receive_answer(sock)
                time.sleep(0.2)  # a handler that raises is safe only while the thread waits for a client
                process.terminate()
                assert process.communicate(timeout=10)[0].strip() == expected
        assert process.returncode == 0


@pytest.mark.slow
def test_2000_fresh_connections_leave_nothing(running):
    for _ in range(50):
        running.ask(closed_get())
    wait_for(lambda: running.listener.connections == 0)
    before = (threading.active_count(), descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    for _ in range(2000):
        assert running.ask(closed_get())[0].status == 200
    wait_for(lambda: (threading.active_count(), descriptors()) == before[:2])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[2]
    print(f"peak memory grew by {grown / (1024 if sys.platform != 'darwin' else 1 << 20):.0f} KiB")


# --- a look at the speed, not asserted ---------------------------------------------------------


class Stock(BaseHTTPRequestHandler):
    """What http.server does by itself, at its best."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"ok":true}')

    def log_message(self, *_):
        pass


LOAD = """
import selectors, socket, sys, time
host, port, clients, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
body = b"x" * 300
request = b"POST / HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: 300\\r\\n\\r\\n" + body
chooser = selectors.DefaultSelector()
for _ in range(clients):
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    chooser.register(sock, selectors.EVENT_READ)
    sock.sendall(request)
done, started = 0, time.perf_counter()
while time.perf_counter() - started < seconds:
    for key, _ in chooser.select():
        assert key.fileobj.recv(65536).endswith(b"true}")
        key.fileobj.sendall(request)
        done += 1
print(round(done / (time.perf_counter() - started)))
"""


def load(port: int, clients: int) -> int:
    done = subprocess.run([sys.executable, "-c", LOAD, "127.0.0.1", str(port), str(clients), "0.7"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
from gait.system.http_response import Response
from gait.system.listener import Listener
listener = Listener("127.0.0.1:0", lambda request: Response(200, b'{"ok":true}'), on_refusal=print)
print(listener.address, flush=True)
listener.serve()
"""

SERVE_STOCK = """
import sys
sys.path.insert(0, sys.argv[1])
from http.server import ThreadingHTTPServer
from tests.system.test_listener import Stock
server = ThreadingHTTPServer(("127.0.0.1", 0), Stock)
server.request_queue_size = 128
server.socket.listen(128)
server.daemon_threads = True
print("127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.slow
def test_speed(capsys):
    rates = {}
    for name, code in (("gait", SERVE), ("stock", SERVE_STOCK)):
        with subprocess.Popen([sys.executable, "-c", code, str(ROOT)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            port = int(process.stdout.readline().rpartition(":")[2])
            rates[name] = [load(port, clients) for clients in (1, 8, 32)]
            process.kill()
    with capsys.disabled():
        print()
        for clients, ours, stock in zip((1, 8, 32), rates["gait"], rates["stock"]):
            print(f"  {clients:2} keep-alive connections: {ours} requests/s, stock http.server {stock}: {ours / stock:.2f} times as many")
