"""Answers as bytes."""

from __future__ import annotations

import json

import pytest
from gait.errors import GaitError, StorageError
from gait.system import http_response
from gait.system.http_response import CLOSE, Response


def test_a_whole_answer():
    response = Response(200, b'{"ok":true}', headers=(("X-Trace", "a b"),))
    expected = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\nX-Trace: a b\r\n\r\n{"ok":true}'
    assert http_response.dumps(response, "GET", "") == expected
    assert http_response.dumps(response, "HEAD", "") == expected[:-11]
    assert b"\r\nConnection: close\r\n" in http_response.dumps(response, "GET", CLOSE)


@pytest.mark.parametrize("status, body", [(204, b""), (304, b"abc")])
def test_answers_without_a_body(status, body):
    data = http_response.dumps(Response(status, body, content_type=""), "GET", "")
    assert data.endswith(b"\r\n\r\n") and b"Content-Type" not in data
    assert (b"Content-Length" in data) == (status == 304)


def test_a_status_without_a_name():
    assert http_response.dumps(Response(299), "GET", "").startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize(
    "header",
    [
        *[("X-A", "a\r\nX-B: c"), ("X-A", "a\nb"), ("X-A", "a\0"), ("X A", "b"), ("", "b"), ("X-A:", "b"), ("X-A", "\u20ac")],
        *[("Content-Length", "3"), ("transfer-encoding", "chunked"), ("Connection", "close"), ("Content-Type", "a/b")],
    ],
)
def test_headers_that_would_change_the_framing(header):
    with pytest.raises(ValueError):
        http_response.dumps(Response(200, headers=(header,)), "GET", "")


@pytest.mark.parametrize("response", [Response(99), Response(101), Response(600), Response(200, content_type="a\r\nb: c")])
def test_responses_that_are_none(response):
    with pytest.raises(ValueError):
        http_response.dumps(response, "GET", "")


def test_an_error_as_an_answer():
    error = StorageError("disk full", where="/journal", hint="make room")
    response = http_response.of_error(error, (("Retry-After", "1"),))
    assert response.status == 503 and response.close and json.loads(response.body) == error.to_value()
    assert dict(response.headers) == {"Retry-After": "1", "Cache-Control": "no-store"}
    assert http_response.of_error(GaitError("x")).status == 500


def test_chunks():
    assert http_response.dump_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
