"""The streamable HTTP gateway: requests of clients judged, passed on to an upstream, and its answers passed back.

Invariants: no body goes to an upstream but as ToUpstream of the Interceptor; what the upstream answers comes back with its status
and its bytes, unless the Interceptor says otherwise; every allowed call gets its outcome.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from ..errors import GaitError, InvalidInput
from ..system.http_client import Client
from ..system.http_request import Request
from ..system.http_response import Response, of_error
from .catalog import Catalog
from .effects import Effect, Outcome, Refused, Terms, ToClient, ToUpstream
from .exchange import Exchange, Side
from .gate import Gate
from .interceptor import Interceptor
from .relist import Lister
from .sessions import Sessions

ROOT = "/mcp"
_METHODS = ("DELETE", "GET", "OPTIONS", "POST")
_PASSED = frozenset(
    """accept content-type last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id traceparent
    tracestate""".split()
)
_PARAM = "mcp-param-"
# Any other charset could be another text to a server that goes by it.
_JSON = re.compile(r'application/json(\s*;\s*charset="?utf-?8"?)?', re.IGNORECASE).fullmatch


class Upstream(NamedTuple):
    """One upstream, mounted at /mcp/`name`, or at /mcp without a name.

    `authorization`: the value of the header that is sent to it; without one the client's own is passed on if
    `passes_authorization`, which must be False where the listener asks clients for a token: that one is Gait's.
    """

    name: str
    client: Client
    gate: Gate
    catalog: Catalog
    terms: Terms = Terms()
    authorization: str = ""
    passes_authorization: bool = False

    def mount(self, is_stopping: Callable[[], bool]) -> Mounted:
        """What answers its requests."""
        return _Mount(self, is_stopping)


class Mounted(Protocol):
    """Answers the requests for one path, whatever stands behind it."""

    def handle(self, request: Request) -> Response:
        """The answer; a GaitError becomes an error document."""

    def close(self) -> None:
        """After the listener's end."""


class Mountable(Protocol):
    """An upstream of any kind: this module's, or the bridge's."""

    @property
    def name(self) -> str:
        """Its path is /mcp/`name`, or /mcp without one."""

    def mount(self, is_stopping: Callable[[], bool]) -> Mounted:
        """What answers its requests."""


class Gateway:
    """All upstreams.  `handle` may be called from many threads; `is_stopping`: the listener has begun to end."""

    def __init__(self, upstreams: Iterable[Mountable], is_stopping: Callable[[], bool]) -> None:
        self._mounts = {_path(upstream.name): upstream.mount(is_stopping) for upstream in upstreams}

    def handle(self, request: Request) -> Response:
        """The answer to a request for /mcp or a path below it.  Raises nothing that is a GaitError."""
        mount = self._mounts.get(request.path)
        if mount is None:
            known = ", ".join(sorted(self._mounts))
            return _refusal(InvalidInput("no such upstream", hint=f"this gateway has {known}", code="not_found"), 404)
        try:
            return mount.handle(request)
        except GaitError as error:
            return of_error(error)._replace(close=False)

    def close(self) -> None:
        """After the listener's end: the calls that were left open get their outcome, and idle connections end."""
        for mount in self._mounts.values():
            mount.close()


class _Mount:
    """One upstream with its sessions."""

    def __init__(self, upstream: Upstream, is_stopping: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._gate = upstream.gate
        self._sessions = Sessions(self._interceptor, upstream.gate.outcome)
        self._lister = Lister(upstream.client, upstream.catalog, upstream.terms)
        self._side = Side(upstream.client, upstream.gate, self._sessions, upstream.terms.max_frame_bytes, is_stopping)

    def handle(self, request: Request) -> Response:
        if request.method == "POST":
            return self._post(request)
        if request.method in ("GET", "DELETE"):
            interceptor = self._sessions.interceptor(_session(request))
            return Exchange(self._side, interceptor, self._headers(request), (), request).run(request.method)
        allow = (("Allow", ", ".join(_METHODS)),)
        if request.method == "OPTIONS":  # a page of another origin has been refused before it came here
            return Response(204, b"", "", allow)
        return _refusal(InvalidInput(f"expected {', '.join(_METHODS)}", code="method_not_allowed"), 405, allow)

    def close(self) -> None:
        self._sessions.close()
        self._upstream.client.close()

    def _interceptor(self, session_id: str) -> Interceptor:
        return Interceptor(self._upstream.terms, self._gate.decide, self._upstream.catalog, session_id)

    def _post(self, request: Request) -> Response:
        headers = request.headers
        if not _JSON(headers.get("content-type", "")) or headers.get("content-encoding", "identity") != "identity":
            error = InvalidInput("expected Content-Type: application/json in UTF-8", where="request", code="unsupported_media_type")
            self._gate.refused(request.body, error)
            return _refusal(error, 415)
        interceptor = self._sessions.interceptor(_session(request))
        passed = self._headers(request)
        self._lister.prepare(request.body, passed, request.is_connected)
        forward, answer = self._judged(interceptor.from_client(request.body, headers))
        if forward is None:
            return answer
        return Exchange(self._side, interceptor, passed, forward.ids, request).run("POST", forward.data)

    def _judged(self, effects: list[Effect]) -> tuple[ToUpstream | None, Response]:
        """What is to be forwarded, or else the answer."""
        forward = None
        answer = Response(202, b"", "")
        for effect in effects:
            if isinstance(effect, ToUpstream):
                forward = effect
            elif isinstance(effect, ToClient):
                answer = Response(effect.http_status, effect.data, "application/json" if effect.data else "")
            elif isinstance(effect, Refused):
                self._gate.refused(effect.data, effect.error)
            elif isinstance(effect, Outcome):
                self._gate.outcome(effect)
        return forward, answer

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        """What an upstream is told: only what the protocol names, and never a token that was meant for Gait."""
        upstream = self._upstream
        found = [(name, value) for name, value in request.headers.items() if name in _PASSED or name.startswith(_PARAM)]
        authorization = upstream.authorization
        if not authorization and upstream.passes_authorization:
            authorization = request.headers.get("authorization", "")
        if authorization:
            found.append(("authorization", authorization))
        return found


def _path(name: str) -> str:
    return f"{ROOT}/{name}" if name else ROOT


def _session(request: Request) -> str:
    return request.headers.get("mcp-session-id", "")


def _refusal(error: InvalidInput, status: int, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    error.http_status = status
    return of_error(error, headers)._replace(close=False)
