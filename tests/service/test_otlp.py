"""OTLP/HTTP: every decision reaches a collector; one that is slow, gone or refuses costs records and no decision."""

from __future__ import annotations

import re
import socket
import time

import pytest

from gait.errors import InvalidInput
from gait.service.otlp import OtlpSender, check_endpoint
from tests.service.collector import Collector
from tests.service.running import ALLOWED, BLOCKED, records, wait_for

LINE = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"n":%d}]}]}]}'


def dropped(client) -> int:
    return int(re.search(r"^gait_otlp_dropped_total\{.*\} (\d+)$", client.get("/metrics").body.decode(), re.M)[1])


def test_every_decision_is_posted(serve):
    with Collector() as collector:
        server = serve("--otlp-endpoint", f"{collector.url}/v1/logs")
        with server.client() as client:
            for number in range(100):
                client.post(ALLOWED if number % 2 else BLOCKED)
            client.post(b"{")
            assert dropped(client) == 0
        assert server.stop() == 0  # what waits is sent first
        assert collector.texts("gait.verdict") == ["block", "allow"] * 50
        ids = [record["trace_id"] for record in records(server.journal) if "trace_id" in record]
        assert collector.texts("gait.trace_id") == ids
        assert collector.paths == {"/v1/logs"}


def test_a_collector_that_refuses_and_one_that_is_gone(serve):
    with Collector() as collector:
        collector.status = 500
        server = serve("--otlp-endpoint", collector.url)
        with server.client() as client:
            assert client.post(ALLOWED).value["verdict"] == "allow"
            wait_for(lambda: dropped(client) == 1)
            collector.status = 200
            client.post(ALLOWED)
            wait_for(lambda: len(collector.records) == 1)
            assert collector.paths == {"/v1/logs"}
    with server.client() as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
        wait_for(lambda: dropped(client) == 2)
        with Collector(int(collector.url.rpartition(":")[2])) as again:
            client.post(ALLOWED)
            wait_for(lambda: len(again.records) == 1)
    assert server.stop() == 0


def test_a_collector_that_never_answers_holds_nothing_up(serve):
    silent = socket.create_server(("127.0.0.1", 0))
    server = serve("--otlp-endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}")
    with server.client() as client:
        started = time.monotonic()
        for _ in range(200):
            assert client.post(ALLOWED).value["verdict"] == "allow"
        assert time.monotonic() - started < 5
    silent.close()
    assert server.stop() == 0


def test_the_queue_is_bounded(monkeypatch):
    silent = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr("gait.service.otlp._WAITING", 5)
    monkeypatch.setattr("gait.service.otlp._SECONDS", 0.3)
    sender = OtlpSender(f"http://127.0.0.1:{silent.getsockname()[1]}")
    for number in range(20):
        sender.send(LINE % number)
    assert sender.dropped >= 14
    started = time.monotonic()
    sender.close()
    assert time.monotonic() - started < 3
    silent.close()
    sender._thread.join(5)
    assert not sender._thread.is_alive() or sender.dropped < 20


def test_lines_are_sent_together():
    with Collector() as collector:
        sender = OtlpSender(collector.url)
        lines = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":"n","value":{"stringValue":"%d"}}]}]}]}]}'
        for number in range(1000):
            sender.send(lines % number)
        sender.close()
        assert (collector.texts("n"), sender.dropped) == ([str(number) for number in range(1000)], 0)
        assert collector.requests < 500


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:4318", "http://collector.example", "ftp://127.0.0.1", "127.0.0.1:4318", "http://u:p@127.0.0.1", "http://127.0.0.1:99999",
            "http://127.0.0.1:x", "http://", "https://", "http://127.0.0.1/?a=b", "http://127.0.0.1.evil.example", "file:///etc/passwd", "http://[::1"],
)  # fmt: skip
def test_endpoints_that_are_refused(url):
    with pytest.raises(InvalidInput) as error:
        check_endpoint(url)
    assert error.value.error_code == "invalid_usage"


@pytest.mark.parametrize("url", ["http://127.0.0.1:4318/v1/logs", "http://localhost", "http://[::1]:4318", "https://collector.example/x"])
def test_endpoints_that_are_taken(url):
    assert check_endpoint(url).hostname


def test_https_is_spoken_and_the_certificate_checked():
    """The fixture's certificate is nobody's: the record is dropped, not sent."""
    import ssl
    import threading

    from tests.service.test_server import TLS

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        for _ in range(2):
            sock, _ = listening.accept()
            try:
                context.wrap_socket(sock, server_side=True).close()
            except OSError:
                sock.close()

    thread = threading.Thread(target=accept)
    thread.start()
    sender = OtlpSender(f"https://127.0.0.1:{listening.getsockname()[1]}")
    sender.send(LINE % 1)
    sender.close()
    thread.join()
    listening.close()
    assert sender.dropped == 1
