"""The HTTP client against sockets that say all kinds of things."""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time

import pytest
from gait.errors import InvalidInput
from gait.system import origin
from gait.system.channel import tls_context
from gait.system.http_answer import AnswerReader, Malformed
from gait.system.http_client import Answer, BadAnswer, Client, Late, Terms
from gait.system.http_response import Response
from gait.system.origin import Origin, Unreachable, Unwanted, client_tls, read_url
from tests.system.raw_upstream import CHUNKED, OK, TLS, Upstream, tls_server
from tests.system.raw_http import Running, descriptors, limits, wait_for



@pytest.fixture(autouse=True)
def nothing_is_left():
    before = (threading.active_count(), descriptors())
    yield
    wait_for(lambda: (threading.active_count(), descriptors()) <= before, 5)


def ask(client: Client, method: str = "POST", body: bytes = b"{}") -> tuple[int, bytes]:
    answer = client.ask(method, [("accept", "application/json")], body)
    return answer.status, answer.read(1 << 20)


# --- answers as bytes --------------------------------------------------------------------------

GOOD = {
    OK: b"ok",
    b"HTTP/1.1 200 \r\nContent-Length:2\r\n\r\nok": b"ok",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok": b"ok",
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK: b"ok",
    b"HTTP/1.1 204 No Content\r\n\r\n": b"",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n": b"",
    b"HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n": b"",
    CHUNKED + b"2\r\nok\r\n0\r\n\r\n": b"ok",
    CHUNKED + b"1;a=b\r\no\r\n0001\r\nk\r\n0\r\nX-Trailer: 1\r\n\r\n": b"ok",
    CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n": b"0123456789",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end": b"until the end",
    b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nuntil the end": b"until the end",
}

BAD = [
    b"",
    b"\r\n" + OK,
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 999 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"<html>no http at all</html>",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 17 + OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\nb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nMcp-Session-Id: a\r\nMcp-Session-Id: b\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    CHUNKED,
    CHUNKED + b"2\r\nok\r\n",
    CHUNKED + b"2\r\nok\r\n0\r\n",
    CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
    CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    CHUNKED + b"\r\nok\r\n0\r\n\r\n",
    CHUNKED + b"2\nok\n0\n\n",
    CHUNKED + b"2;" + b"x" * 2000 + b"\r\nok\r\n0\r\n\r\n",
    CHUNKED + b"f" * 16 + b"\r\n",
    CHUNKED + b"0\r\n" + b"X: " + b"x" * 900 + b"\r\n" + (b"X: " + b"x" * 900 + b"\r\n") * 40 + b"\r\n",
    CHUNKED + b"0\r\nno trailer\r\n\r\n",
]


def read_pieces(pieces: list[bytes]) -> tuple[int, bytes]:
    reader = AnswerReader("POST")
    status, body = 0, b""
    for piece in [*pieces, None]:
        if piece is None:
            if not reader.is_done:
                reader.end()
            break
        if reader.is_done:
            continue
        reader.feed(piece)
        if not status:
            head = reader.head()
            if head is None:
                continue
            status = head.status
        body += reader.take()
    return status, body


@pytest.mark.parametrize("data", GOOD, ids=range(len(GOOD)))
def test_an_answer_in_any_pieces(data):
    whole = read_pieces([data])
    assert whole[1] == GOOD[data]
    assert read_pieces([data[i : i + 1] for i in range(len(data))]) == whole
    for cut in range(1, len(data)):
        assert read_pieces([data[:cut], data[cut:]]) == whole


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_is_no_answer_in_any_pieces(data):
    random_ = random.Random(len(data))
    cuts = {random_.randrange(1, len(data) + 1) for _ in range(30)} if data else set()
    for pieces in [[data], [data[i : i + 1] for i in range(len(data))], *([data[:cut], data[cut:]] for cut in cuts)]:
        with pytest.raises(Malformed):
            read_pieces(pieces)


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_is_no_answer_on_a_socket(data):
    with Upstream(data, keep=False) as upstream:
        client = upstream.client()
        with pytest.raises(BadAnswer) as caught:
            ask(client)
        assert caught.value.http_status == 502 and "x" * 50 not in str(caught.value)
        assert len(upstream.requests) == 1  # it was not sent again
        client.close()


def test_nothing_is_read_after_an_answers_end():
    with Upstream(OK + OK, OK) as upstream:
        client = upstream.client()
        assert ask(client) == ask(client) == (200, b"ok")
        assert upstream.connections == 2  # what came too much is no answer to the next request
        client.close()


# --- connections -------------------------------------------------------------------------------


def test_a_connection_is_kept():
    with Upstream(OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", OK) as upstream:
        client = upstream.client()
        assert [ask(client)[1] for _ in range(4)] == [b"ok", b"ok", b"", b"ok"]
        assert upstream.connections == 1
        assert upstream.requests[0] == (
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\n"
            b"accept: application/json\r\n\r\n{}" % upstream.port
        )
        client.close()


@pytest.mark.parametrize("field", [b"Connection: close", b"Connection: x, Close", b"Keep-Alive: timeout=1"])
def test_a_connection_is_not_kept(field):
    answer = OK.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")
    with Upstream(answer, answer) as upstream:
        client = upstream.client()
        assert ask(client) == ask(client)
        assert upstream.connections == 2
        client.close()


def test_an_idle_connection_grows_old():
    with Upstream(OK, OK) as upstream:
        client = upstream.client(idle_seconds=0.05)
        ask(client)
        time.sleep(0.1)
        ask(client)
        assert upstream.connections == 2
        client.close()


def test_idle_connections_are_bounded():
    with Upstream(*[OK] * 6) as upstream:
        client = upstream.client(idle_connections=2)
        answers = [client.ask("POST", [], b"{}") for _ in range(6)]
        assert [answer.read(10) for answer in answers] == [b"ok"] * 6
        assert len(client._idle._lines) == 2
        client.close()


def test_a_connection_that_ended_while_idle_is_not_used():
    with Upstream(OK, OK, OK, keep=False) as upstream:
        client = upstream.client()
        for _ in range(3):
            assert ask(client) == (200, b"ok")
            time.sleep(0.02)
        assert len(upstream.requests) == 3
        client.close()


def end_unanswered(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("method, tries", [("POST", 2), ("DELETE", 2), ("GET", 3)])
def test_only_a_get_is_sent_twice_after_it_was_sent_whole(method, tries):
    """The kept connection ends when the second request is there: the upstream may have done what it says."""
    with Upstream(OK, end_unanswered, OK) as upstream:
        client = upstream.client()
        ask(client)
        if method == "GET":
            assert ask(client, method, b"") == (200, b"ok")
        else:
            with pytest.raises(BadAnswer) as caught:
                ask(client, method, b"")
            assert caught.value.error_code == "upstream_closed" and caught.value.where == f"127.0.0.1:{upstream.port}"
        assert len(upstream.requests) == tries
        client.close()


def test_an_answer_before_the_request_was_read():
    def refuse(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with Upstream() as upstream:
        upstream.answers.append(b"")
        upstream.read = lambda sock: refuse(sock) or False  # type: ignore[method-assign]
        client = upstream.client()
        assert ask(client, body=b"x" * 5_000_000) == (413, b"")
        client.close()


def test_an_upstream_that_takes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = Client(Origin("127.0.0.1", listening.getsockname()[1], False, "/"), Terms(write_seconds=0.2))
        with pytest.raises(Late):
            ask(client, body=b"x" * 20_000_000)


# --- waiting -----------------------------------------------------------------------------------


def test_a_head_that_does_not_come():
    with Upstream(lambda sock: sock.recv(1)) as upstream:
        began = time.monotonic()
        with pytest.raises(Late) as caught:
            ask(upstream.client(answer_seconds=0.3))
        assert 0.25 < time.monotonic() - began < 1 and caught.value.http_status == 504


def trickle(sock: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
        sock.sendall(bytes([byte]))
        time.sleep(0.02)


def test_a_head_that_trickles():
    with Upstream(trickle) as upstream:
        began = time.monotonic()
        with pytest.raises(Late):
            ask(upstream.client(answer_seconds=0.3))
        assert time.monotonic() - began < 1


def test_a_body_that_stops():
    with Upstream(CHUNKED + b"2\r\nok\r\n") as upstream:
        with pytest.raises(Late):
            ask(upstream.client(answer_seconds=0.3))


@pytest.mark.parametrize("begin", [b"", CHUNKED + b"2\r\nok\r\n"])
def test_nobody_wants_the_answer(begin):
    with Upstream(lambda sock: sock.sendall(begin) or sock.recv(1)) as upstream:  # type: ignore[func-returns-value]
        began = time.monotonic()
        with pytest.raises(Unwanted):
            upstream.client().ask("POST", [], b"", lambda: False).read(100, lambda: False)
        assert time.monotonic() - began < 1.5


def test_a_body_over_the_limit():
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\nok", CHUNKED + b"fffffff\r\n" + b"x" * 100_000):
        with Upstream(answer) as upstream:
            with pytest.raises(BadAnswer) as caught:
                upstream.client().ask("POST", []).read(50_000)
            assert caught.value.error_code == "upstream_answer_too_large"


def slowly(sock: socket.socket) -> None:
    sock.sendall(CHUNKED)
    for number in range(3):
        time.sleep(0.7)
        sock.sendall(b"1\r\n%d\r\n" % number)
    sock.sendall(b"0\r\n\r\n")


def test_a_stream_comes_as_it_is_sent_and_a_wait_gives_signs_of_life():
    with Upstream(slowly, OK) as upstream:
        client = upstream.client()
        parts = list(client.ask("POST", []).parts())
        assert parts == [b"", b"0", b"", b"1", b"", b"2"]
        assert ask(client) == (200, b"ok") and upstream.connections == 1
        client.close()


def test_abort_from_another_thread():
    with Upstream(CHUNKED + b"2\r\nok\r\n") as upstream:
        answer = upstream.client().ask("POST", [])
        threading.Timer(0.1, answer.abort).start()
        began = time.monotonic()
        with pytest.raises(BadAnswer):
            list(answer.parts())
        assert time.monotonic() - began < 0.45


def test_an_answer_that_is_closed_ends_its_connection():
    ended = threading.Event()

    def stream(sock: socket.socket) -> None:
        sock.sendall(CHUNKED + b"2\r\nok\r\n")
        if not sock.recv(1):
            ended.set()

    with Upstream(stream) as upstream:
        answer: Answer = upstream.client().ask("POST", [])
        parts = answer.parts()
        assert next(parts) == b"ok"
        answer.close()
        assert ended.wait(2)


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\x00", "\u20ac", "a\x7f"])
def test_headers_that_would_change_the_request(value):
    client = Client(Origin("127.0.0.1", 1, False, "/"))
    for field in (("x", value), (value, "x")):
        with pytest.raises(InvalidInput):
            client.ask("POST", [field])


# --- where it goes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://127.0.0.1:3000/mcp", Origin("127.0.0.1", 3000, False, "/mcp")),
        ("http://localhost", Origin("localhost", 80, False, "/")),
        ("http://[::1]:8080/a?b=c", Origin("::1", 8080, False, "/a?b=c")),
        ("https://Example.org/mcp/", Origin("example.org", 443, True, "/mcp/")),
        ("https://example.org:8443?k=v", Origin("example.org", 8443, True, "/?k=v")),
    ],
)
def test_a_url(url, expected):
    assert read_url(url, "--upstream") == expected


@pytest.mark.parametrize(
    "url",
    """http://example.org/mcp http://127.0.0.1.evil.org/ ftp://localhost/ localhost:3000 http:///mcp http://u:p@localhost/ http://@localhost/
    http://localhost/#f http://localhost:99999/ http://localhost:0/ http://[::1/ http://localhost:x/ https://b\u00fccher.example/
    http://localhost/\u00e9 http://0.0.0.0/""".split()
    + ["", "http://localhost/a b", "http://localhost/a\r\nb", "http://local\thost/", " http://localhost/", "http://localhost\\.evil.org/"],
)
def test_what_is_no_url_of_an_upstream(url):
    with pytest.raises(InvalidInput):
        read_url(url, "--upstream")


def test_plain_http_to_another_host_only_where_it_is_allowed():
    assert read_url("http://mcp.internal/x", "--upstream", may_be_plain=True) == Origin("mcp.internal", 80, False, "/x")


def test_host_names():
    assert Origin("::1", 80, False, "/").name == "[::1]" and Origin("a", 80, True, "/").name == "a:80" and Origin("a", 443, True, "/").name == "a"


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-name.invalid"])
def test_unreachable(host, asks_elsewhere):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        ask(Client(Origin(host, port, False, "/")))
    assert caught.value.http_status == 502 and caught.value.retryable


def full_socket() -> socket.socket:
    """One that takes no further connection."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    return listening


def test_a_connect_that_hangs_has_an_end_and_can_be_given_up():
    with full_socket() as listening:
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
            fillers.append(filler)
        time.sleep(0.05)
        place = Origin("127.0.0.1", listening.getsockname()[1], False, "/")
        with pytest.raises(Unreachable, match="too slow"):
            origin.connect(place, None, 0.2, lambda: True)
        with pytest.raises(Unwanted):
            origin.connect(place, None, 20, lambda: False)
        for filler in fillers:
            filler.close()


def test_redirects_are_answers():
    with Upstream(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as upstream:
        client = upstream.client()
        assert ask(client) == (307, b"")
        client.close()


# --- TLS ---------------------------------------------------------------------------------------


def tls_origin(server: Running, host: str = "localhost") -> Origin:
    return Origin(host, int(server.listener.address.rpartition(":")[2]), True, "/")


def test_tls():
    with tls_server() as server:
        client = Client(tls_origin(server), tls=client_tls(str(TLS / "certificate.pem")))
        for _ in range(3):
            assert ask(client, body=b"x" * 100_000) == (200, b"x" * 100_000)
        assert server.listener.connections == 1
        client.close()


def test_tls_streams():
    def handle(request):
        return Response(200, iter([b"a", b"", b"b" * 70000]))

    with tls_server(handle) as server:
        client = Client(tls_origin(server), tls=client_tls(str(TLS / "certificate.pem")))
        assert ask(client)[1] == b"a" + b"b" * 70000
        client.close()


def test_a_certificate_that_proves_nothing():
    with tls_server() as server:
        with pytest.raises(Unreachable) as caught:
            ask(Client(tls_origin(server)))
        assert caught.value.error_code == "upstream_untrusted"


def test_a_certificate_of_another_name(monkeypatch):
    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: found("127.0.0.1", *a, **k))
    with tls_server() as server:
        with pytest.raises(Unreachable) as caught:
            ask(Client(tls_origin(server, "other.example"), tls=client_tls(str(TLS / "certificate.pem"))))
        assert caught.value.error_code == "upstream_untrusted"


def test_an_upstream_without_tls():
    with Running(limits=limits(header_seconds=0.5)) as server:
        with pytest.raises(Unreachable):
            ask(Client(tls_origin(server)))


def test_a_tls_answer_that_is_cut_off():
    """Without a farewell, an answer that ends with its connection may be half of one."""
    context = tls_context(str(TLS / "certificate.pem"), str(TLS / "key.pem"))

    def answer(sock: socket.socket) -> None:
        with context.wrap_socket(sock.dup(), server_side=True) as wrapped:
            wrapped.recv(65536)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            time.sleep(0.1)
            socket.socket.shutdown(wrapped, socket.SHUT_RDWR)

    with Upstream() as upstream:
        upstream.answers.append(b"")
        upstream.read = lambda sock: answer(sock) or False  # type: ignore[method-assign]
        client = Client(Origin("localhost", upstream.port, True, "/"), tls=client_tls(str(TLS / "certificate.pem")))
        with pytest.raises(BadAnswer):
            ask(client)


@pytest.mark.parametrize("path", ["/nowhere.pem", str(TLS / "README.md")])
def test_a_ca_file_that_cannot_be_used(path):
    with pytest.raises(InvalidInput):
        client_tls(path)


def test_the_context_verifies():
    context = client_tls()
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
