"""The rules for a request that the table of hostile requests does not show."""

from __future__ import annotations

import pytest
from gait.errors import GaitError
from gait.system.http_request import CHUNKED, Admission, Head, Limits, Refusal, Request, RequestLine, add_field, read_head, read_request_line


def head(**headers: str) -> Head:
    return Head("GET", "/", headers, 1, 0, True, False)


def code(function, *arguments) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        function(*arguments)
    return caught.value.http_status, caught.value.error_code


def test_a_request_line():
    assert read_request_line("GET /a/b?c=d&e=%20 HTTP/1.1") == RequestLine("GET", "/a/b?c=d&e=%20", 1)
    assert read_request_line("OPTIONS * HTTP/1.0") == RequestLine("OPTIONS", "*", 0)


def test_a_path_is_not_decoded():
    """`/v1/%65valuate` is not `/v1/evaluate`: one place has one name."""
    assert read_request_line("GET /v1/%65valuate HTTP/1.1").target == "/v1/%65valuate"


def test_fields():
    fields: dict[str, str] = {}
    for line in ("Host: localhost:1", "Accept:a/b", "accept: c/d", "Cookie: a=b", "Cookie: c=d"):
        add_field(fields, line)
    assert fields == {"host": "localhost:1", "accept": "a/b, c/d", "cookie": "a=b; c=d"}


def test_a_long_run_of_spaces_costs_nothing():
    """A pattern that strips by itself needs quadratic time here."""
    line = "X-A: " + " \t" * 200_000 + "\x01"
    assert code(add_field, {}, line) == (400, "malformed_header")


def test_heads():
    first = RequestLine("POST", "/", 1)
    assert read_head(first, {"host": "a", "transfer-encoding": "chunked"}, 10).length == CHUNKED
    found = read_head(first, {"host": "a", "content-length": "10", "expect": "100-Continue", "connection": "close"}, 10)
    assert (found.length, found.expects_continue, found.keep_alive) == (10, True, False)
    assert not read_head(first, {"host": "a", "content-length": "0", "expect": "100-continue"}, 10).expects_continue
    old = read_head(RequestLine("POST", "/", 0), {"content-length": "1", "expect": "x"}, 10)
    assert (old.expects_continue, old.keep_alive) == (False, False)


def test_a_refusal_is_one_of_gaits_errors():
    refusal = Refusal(503, "busy", "expected less, got more")
    assert isinstance(refusal, GaitError) and refusal.exit_code == 6 and refusal.retryable
    assert refusal.to_value()["error_code"] == "busy" and refusal.to_value()["hint"]
    assert not Refusal(400, "bad", "expected good, got bad").retryable


# --- admission ---------------------------------------------------------------------------------


def test_loopback_names_are_the_default():
    for name in ("localhost", "127.0.0.1:8787", "[::1]", "LocalHost:1"):
        Admission().check(head(host=name))
    assert code(Admission().check, head(host="evil.example")) == (421, "host_not_allowed")
    assert code(Admission(frozenset({"gait.example"})).check, head(host="localhost")) == (421, "host_not_allowed")


def test_origins():
    admission = Admission(origins=frozenset({"https://app.example"}))
    admission.check(head(host="localhost:80", origin="https://APP.example"))
    admission.check(head(host="LOCALHOST:80", origin="http://localhost:80"))
    for origin in ("http://app.example", "https://app.example.evil", "localhost:80", "null", "", "http://localhost"):
        assert code(admission.check, head(host="localhost:80", origin=origin)) == (403, "origin_not_allowed")
    assert code(admission.check, head(origin="null")) == (403, "origin_not_allowed")
    assert code(admission.check, head(origin="http://")) == (403, "origin_not_allowed")


@pytest.mark.parametrize("given", ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret "])
def test_the_right_token(given):
    Admission(token=b"s3cret").check(head(host="localhost", authorization=given))


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "Basic s3cret", "s3cret", "Bearer s3cret x", "Bearer \xe9"])
def test_another_token(given):
    headers = {"host": "localhost", "authorization": given} if given else {"host": "localhost"}
    with pytest.raises(Refusal) as caught:
        Admission(token=b"s3cret").check(head(**headers))
    assert caught.value.http_status == 401 and ("WWW-Authenticate", 'Bearer realm="gait"') in caught.value.headers
    assert "s3cre" not in str(caught.value.to_value())


def test_an_empty_token_admits_nobody_without_one():
    assert code(Admission(token=b"").check, head(host="localhost")) == (401, "unauthorized")


def test_defaults():
    assert Limits().connections == 512 and Limits().header_seconds == 5
    assert Request("GET", "/", "/", "", {}).is_connected()
