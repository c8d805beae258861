"""Asks a running `gait mcp serve` on this host for a decision.

Invariant: whatever is not exactly a decision is None, and the caller decides itself; nothing here turns into an allow.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Mapping
from time import monotonic

from ..errors import GaitError, InvalidInput
from ..formats import strict_json
from ..gate.decision import EXIT_CODES
from ..system.binding import Address, is_loopback, read_address
from ..system.http_answer import AnswerReader, Malformed

_SECONDS = 3.0  # in all, so that there is time left to decide without the server
_MAX_BYTES = 1024 * 1024
_STATUSES = {"allow": (200,), "block": (200, 403), "require_approval": (200, 428), "dry_run": (200, 409)}


def ask(address: str, token_env: str, adapter: str, context: Mapping[str, object], raw: bytes) -> dict[str, object] | None:
    """The server's decision on the event `raw` (the bytes of one JSON value), None when it gave none.

    InvalidInput: the address is none, or not of this host.
    """
    place = read_address(address)
    if place.host and not is_loopback(place.host):
        message = f"expected unix:/path or a loopback host:port, got {address[:80]!r}"
        raise InvalidInput(message, where="--server", hint="a decision by another host could be forged on the way", code="invalid_address")
    head = json.dumps({"adapter": adapter, "context": context})[:-1]
    request = _request(place, token_env, head.encode("ascii") + b', "call": ' + raw + b"}")
    try:
        status, body = _exchange(place, request, monotonic() + _SECONDS)
        return _decision(status, strict_json.loads_object(body, "answer", _MAX_BYTES))
    except (OSError, ValueError, GaitError, Malformed):
        return None


def _request(place: Address, token_env: str, body: bytes) -> bytes:
    name = f"[{place.host}]" if ":" in place.host else place.host or "localhost"
    token = os.environ.get(token_env, "") if token_env else ""
    if token_env and not (token.isascii() and token.isprintable() and token):
        raise InvalidInput("expected a bearer token in this environment variable, got none", where="--token-env", code="token_missing")
    lines = [
        *("POST /v1/evaluate HTTP/1.1", f"Host: {name}:{place.port}" if place.port else f"Host: {name}", "Connection: close"),
        *("Content-Type: application/json", f"Content-Length: {len(body)}"),
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _exchange(place: Address, request: bytes, deadline: float) -> tuple[int, bytes]:
    with _connect(place, deadline) as sock:
        sock.sendall(request)
        reader = AnswerReader("POST")
        head, body = reader.head(), b""
        while not reader.is_done:
            sock.settimeout(max(deadline - monotonic(), 0.001))
            data = sock.recv(65536)
            if data:
                reader.feed(data)
            else:
                reader.end()
            head = head or reader.head()
            body += reader.take() if head else b""
            if len(body) > _MAX_BYTES:
                raise ValueError("an answer that is too long")
        if head is None:
            raise ValueError("no answer")
        return head.status, body


def _connect(place: Address, deadline: float) -> socket.socket:
    if place.path:
        status = os.lstat(place.path)
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid not in (os.geteuid(), 0):
            raise ValueError("somebody else's socket")
    sock = socket.socket(socket.AF_UNIX if place.path else socket.AF_INET6 if ":" in place.host else socket.AF_INET)
    try:
        sock.settimeout(max(deadline - monotonic(), 0.001))
        host = "127.0.0.1" if place.host == "localhost" else place.host
        sock.connect(place.path or (host, place.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _decision(status: int, value: dict[str, object]) -> dict[str, object] | None:
    verdict = value.get("verdict")
    if type(verdict) is not str or value.get("ok") is not True or "simulated_verdict" in value:
        return None
    exit_code = value.get("exit_code")
    is_one = status in _STATUSES.get(verdict, ()) and type(exit_code) is int and exit_code == EXIT_CODES.get(verdict)
    return value if is_one and value.get("trace_id") else None
