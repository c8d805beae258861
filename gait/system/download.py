"""One file over HTTPS: bounded, tried again when that may help, and never redirected."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import GaitError
from .http_client import Answer, BadAnswer, Client, Terms
from .origin import Origin

RETRIED = (429, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_RETRY_AFTER = 10.0


class Unavailable(GaitError):
    """The server did not give the file now; it may later."""

    error_code = "download_unavailable"
    category = "network_failure"
    http_status = 502
    retryable = True
    next_step = "try again later"


class Refused(GaitError):
    """The server's answer is not the file, and will not be."""

    error_code = "download_refused"
    category = "network_failure"
    http_status = 502
    next_step = "check the address"


class Patience(NamedTuple):
    """How often and how long.  `pause_seconds` doubles before each further try; `total_seconds` is for the whole of one try."""

    attempts: int = 3
    pause_seconds: float = 0.2
    answer_seconds: float = 30.0
    total_seconds: float = 600.0


def nobody(done_bytes: int, total_bytes: int) -> None:
    """Watches nothing.  `total_bytes` below 0: the server does not say."""


def fetch(
    origin: Origin, tls: ssl.SSLContext, max_bytes: int, patience: Patience = Patience(), watch: Callable[[int, int], None] = nobody
) -> bytes:
    """The file.  Unavailable, Unreachable, Late, BadAnswer: not to be had after all tries.  Refused: no use trying."""
    pause = patience.pause_seconds
    for attempt in range(1, patience.attempts + 1):
        try:
            return _fetch(origin, tls, max_bytes, patience, watch)
        except GaitError as error:
            error.where = error.where or origin.name
            if attempt == patience.attempts or not is_passing(error):
                raise
            time.sleep(max(pause, getattr(error, "retry_seconds", 0.0)))
            pause *= 2
    raise Unavailable("expected one try at least", where=origin.name)


def is_passing(error: GaitError) -> bool:
    """Whether the same request may succeed later: the network or the server failed, and nothing was proven wrong."""
    if error.error_code == "upstream_untrusted":
        return False
    return error.retryable or error.error_code == "upstream_closed"


def _fetch(origin: Origin, tls: ssl.SSLContext, max_bytes: int, patience: Patience, watch: Callable[[int, int], None]) -> bytes:
    deadline = time.monotonic() + patience.total_seconds
    client = Client(origin, Terms(connect_seconds=min(10.0, patience.answer_seconds), answer_seconds=patience.answer_seconds), tls)
    try:
        answer = client.ask("GET", [("Accept", "*/*")])
        try:
            _check_status(answer)
            return _body(answer, max_bytes, patience, deadline, watch)
        finally:
            answer.close()
    finally:
        client.close()


def _check_status(answer: Answer) -> None:
    status = answer.status
    if status == 200:
        return
    if status in RETRIED:
        error = Unavailable(f"expected status 200, got {status}")
        after = answer.headers.get("retry-after", "")
        error.retry_seconds = min(float(after), _MAX_RETRY_AFTER) if after.isdigit() else 0.0  # type: ignore[attr-defined]
        raise error
    if status in _REDIRECTS:
        place = answer.headers.get("location", "")[:200]
        hint = "name that address, and allow its host, if you trust it"
        raise Refused(f"expected the file, got a redirection to {place!r}, which is not followed", hint=hint, code="redirect_refused")
    raise Refused(f"expected status 200, got {status}")


def _body(answer: Answer, max_bytes: int, patience: Patience, deadline: float, watch: Callable[[int, int], None]) -> bytes:
    found: list[bytes] = []
    size, heard = 0, time.monotonic()
    _check_size(answer.length, max_bytes)
    for part in answer.parts():
        now = time.monotonic()
        if part:
            heard, size = now, size + len(part)
            _check_size(size, max_bytes)
            found.append(part)
            watch(size, answer.length)
        if now > deadline or now - heard > patience.answer_seconds:
            raise Unavailable("expected the whole file in time, got a part of it")
    return b"".join(found)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BadAnswer(f"expected a file of at most {max_bytes} bytes, got more", code="download_too_large")
