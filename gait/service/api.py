"""The decision API: Request -> Response (docs/serve.md).  Equal input gives equal bytes except trace_path and sequence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from ..errors import GaitError, InvalidInput, UnsafeOperation
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields
from ..judge import MAX_BYTES, Call
from ..system.http_request import Request
from ..system.http_response import Response, of_error
from .engine import Engine
from .metrics import Gauges

SERVICE = "gait.mcp.serve"
# What a client may always say of its context; identity, workspace and risk_class decide, so the operator must name them.
CLIENT_FIELDS = frozenset(("session_id", "request_id"))
TRUSTABLE = frozenset(("identity", "workspace", "risk_class", "auth_context", "credential_scopes", "environment_fingerprint"))
STRICT_STATUSES = {"allow": 200, "block": 403, "require_approval": 428, "dry_run": 409}
_PATHS = ("trace_path", "runpack_out")


class Rules(NamedTuple):
    """What the operator decided about requests."""

    defaults: Mapping[str, str]
    trusted: frozenset[str] = frozenset()
    strict_statuses: bool = False


class State(NamedTuple):
    """What the server knows and the engine does not."""

    in_flight: Callable[[], int]
    is_stopping: Callable[[], bool]
    otlp_dropped: Callable[[], int]


class Api:
    """The endpoints."""

    def __init__(self, engine: Engine, rules: Rules, state: State) -> None:
        self._engine = engine
        self._rules = rules
        self._state = state
        self._routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/healthz"): self._health,
            ("GET", "/readyz"): self._ready,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/v1/policy"): self._policy,
            ("GET", "/v1/journal/head"): self._head,
            ("POST", "/v1/evaluate"): self._evaluate,
            ("POST", "/v1/evaluate/sse"): self._evaluate_sse,
            ("POST", "/v1/evaluate/stream"): self._evaluate_stream,
        }

    def handle(self, request: Request) -> Response:
        """The answer to a request.  Raises nothing that is a GaitError."""
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get((method, request.path))
        try:
            return route(request) if route else self._no_route(request)
        except GaitError as error:
            self._engine.metrics.failed(error.error_code)
            return of_error(error)._replace(close=False)

    def _no_route(self, request: Request) -> Response:
        allowed = sorted(method for method, path in self._routes if path == request.path)
        error = InvalidInput("no such endpoint", hint="see docs/serve.md", code="not_found")
        if allowed:
            error = InvalidInput(f"expected {' or '.join(allowed)} here", code="method_not_allowed")
        error.http_status = 405 if allowed else 404
        self._engine.metrics.failed(error.error_code)
        return of_error(error, (("Allow", ", ".join(allowed)),) if allowed else ())._replace(close=False)

    def _health(self, _: Request) -> Response:
        return _json({"ok": True, "service": SERVICE})

    def _ready(self, _: Request) -> Response:
        engine = self._engine
        value: dict[str, object] = {"ok": True, "policy": "loaded", "journal": "writable"}
        if engine.reload_error:
            value["policy"] = f"the newest policy is invalid, the one before it is in force: {engine.reload_error}"
        if not engine.journal.usable:
            value.update(ok=False, journal="not writable: decisions are refused until it is")
        if self._state.is_stopping():
            value.update(ok=False, server="stopping")
        return _json(value, 200 if value["ok"] else 503)

    def _metrics(self, _: Request) -> Response:
        tail = self._engine.journal.tail
        failed = bool(self._engine.reload_error)
        gauges = Gauges(self._state.in_flight(), tail.size_bytes, tail.sequence, failed, self._state.otlp_dropped())
        return Response(200, self._engine.metrics.dumps(gauges).encode("ascii"), "text/plain; version=0.0.4")

    def _policy(self, _: Request) -> Response:
        compiled, loaded_at = self._engine.loaded
        policy = compiled.policy
        value = {"ok": True, "policy_digest": policy.digest, "rules": len(policy.rules), "default_verdict": policy.default_verdict}
        return _json({**value, "loaded_at": loaded_at})

    def _head(self, _: Request) -> Response:
        return _json(self._engine.journal.head())

    def _evaluate(self, request: Request) -> Response:
        _expect_json(request, "application/json")
        value = self._decide(request.body)
        status = STRICT_STATUSES[str(value["verdict"])] if self._rules.strict_statuses else 200
        return _json(value, status)

    def _evaluate_sse(self, request: Request) -> Response:
        _expect_json(request, "application/json")
        data = f"event: decision\ndata: {json.dumps(self._decide(request.body))}\n\n"
        return Response(200, data.encode("ascii"), "text/event-stream", (("Cache-Control", "no-store"),))

    def _evaluate_stream(self, request: Request) -> Response:
        _expect_json(request, "application/json", "application/x-ndjson")
        lines = [line for line in request.body.split(b"\n") if line.strip()]
        if not lines:
            raise InvalidInput("expected a request a line, got none", where="body")
        return Response(200, self._answers(lines), "application/x-ndjson")

    def _answers(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            try:
                value = self._decide(line)
            except GaitError as error:
                self._engine.metrics.failed(error.error_code)
                value = error.to_value()
            yield json.dumps(value).encode("ascii") + b"\n"

    def _decide(self, data: bytes) -> dict[str, object]:
        """The answer about one request; input that gets no decision is recorded."""
        try:
            call, warnings = self._read(data)
            judged, path = self._engine.decide(call)
        except (InvalidInput, UnsafeOperation) as error:
            self._engine.refuse(data, error)
            raise
        value = judged.to_value(path or None, warnings)
        return {**value, "exit_code": judged.decision.exit_code, "sequence": judged.record["sequence"]}

    def _read(self, data: bytes) -> tuple[Call, tuple[str, ...]]:
        fields = Fields(strict_json.loads(data, "body", MAX_BYTES))
        adapter, run_id = fields.text("adapter", "mcp"), fields.text("run_id")
        value, context = fields.raw("call"), fields.object("context")
        session = {"session_id": fields.text("session_id")} if fields.has("session_id") else {}
        _refuse_paths(fields)
        fields.done()
        if not adapter:
            raise InvalidInput("adapter: must be the name of a framework", where="body", path=("adapter",))
        trusted = CLIENT_FIELDS | self._rules.trusted
        kept = {name: field for name, field in context.items() if name in trusted}
        ignored = sorted(name[:80] for name in context if name not in trusted)
        warnings = (f"context: {', '.join(ignored)} ignored; the operator may --trust-context",) if ignored else ()
        return Call(data, value, "call", adapter, {**self._rules.defaults, **session, **kept}, run_id, trusted), warnings


def _refuse_paths(fields: Fields) -> None:
    for name in _PATHS:
        if fields.has(name):
            message = f"{name}: a client may not choose where this server writes"
            raise UnsafeOperation(message, where="body", hint="leave it out; the operator sets --trace-dir", code="client_path_refused")
    if fields.boolean("emit_runpack"):
        raise UnsafeOperation("emit_runpack: this version makes no runpacks", where="body", hint="leave it out")


def _expect_json(request: Request, *types: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in types:
        error = InvalidInput(f"expected Content-Type {' or '.join(types)}", hint="set the header", code="unsupported_media_type")
        error.http_status = 415
        raise error


def _json(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode("ascii") + b"\n", headers=(("Cache-Control", "no-store"),))
