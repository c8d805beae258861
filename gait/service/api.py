"""The decision API: Request -> Response (docs/serve.md).  Equal input gives equal bytes except trace_path and sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..errors import GaitError, InvalidInput, UnsafeOperation
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields
from ..gate.approval_fields import MAX_BYTES as MAX_TOKEN_BYTES
from ..gate.approvals import MAX_OFFERED
from ..judge import CLIENT_FIELDS, MAX_BYTES, Call
from ..signing.keys import base64_loads
from ..system.http_request import Head, Request
from ..system.http_response import Response, of_error
from .engine import Engine, Wanted
from .metrics import Gauges

SERVICE = "gait.mcp.serve"
TRUSTABLE = frozenset(("identity", "workspace", "risk_class", "auth_context", "credential_scopes", "environment_fingerprint"))
# Endpoints with one answer each, for which nobody is waited for unless the call says so (Api.is_quick).
_QUICK = frozenset(("/healthz", "/readyz", "/metrics", "/v1/policy", "/v1/evaluate", "/v1/evaluate/sse"))
STRICT_STATUSES = {"allow": 200, "block": 403, "require_approval": 428, "dry_run": 409}
# Each line of a stream leaves a record: a body of line ends must not fill the disk.
MAX_LINES = 10_000
TOKEN_HEADER = "gait-approval-token"
_NAMED = 8
_NO_STORE = (("Cache-Control", "no-store"),)
_JSON, _NDJSON = "application/json", "application/x-ndjson"


class Rules(NamedTuple):
    """What the operator decided about requests."""

    defaults: Mapping[str, str]
    trusted: frozenset[str] = frozenset()
    strict_statuses: bool = False
    has_runpack_dir: bool = False


class State(NamedTuple):
    """What the server knows and the engine does not."""

    in_flight: Callable[[], int]
    is_stopping: Callable[[], bool]
    otlp_dropped: Callable[[], int]


class Asked(NamedTuple):
    """One request to decide."""

    call: Call
    wanted: Wanted
    warnings: tuple[str, ...]


class Api:
    """The endpoints."""

    def __init__(self, engine: Engine, rules: Rules, state: State) -> None:
        self._engine = engine
        self._rules = rules
        self._state = state
        self._trusted = CLIENT_FIELDS | rules.trusted
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

    def is_quick(self, head: Head, data: bytes) -> bool:
        """Whether a request that begins with this data is answered without waiting for another process or a slow disk: an approval
        is used up on the disk, and some policies count or ask a broker."""
        if head.target not in _QUICK or self._engine.loaded.waits:
            return False
        # An escape of ASCII, such as \u0061, may be a letter of that name.
        return TOKEN_HEADER not in head.headers and b"approval_tokens" not in data and b"\\u00" not in data

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
        """What a supervisor acts on.  Codes only: the texts of errors may quote the policy, and go to the operator's log."""
        engine = self._engine
        value: dict[str, object] = {"ok": True, "policy": "loaded", "key": "usable", "self_test": "passed", "journal": "writable"}
        if engine.reload_error:
            value["policy"] = f"the newest file is refused ({engine.reload_error.error_code}); the policy before it is in force"
        if engine.ledger.problem:
            value["journal"] = f"not writable ({engine.ledger.problem.error_code}); no call is allowed until it is"
            value["ok"] = False
        if self._state.is_stopping():
            value.update(ok=False, server="stopping")
        return _json(value, 200 if value["ok"] else 503)

    def _metrics(self, _: Request) -> Response:
        ledger, tail = self._engine.ledger, self._engine.ledger.journal.tail
        failed, stale = bool(ledger.problem), bool(self._engine.reload_error)
        gauges = Gauges(self._state.in_flight(), tail.size_bytes, tail.sequence, failed, stale, self._state.otlp_dropped())
        text = self._engine.metrics.dumps(gauges)
        return Response(200, text.encode("ascii"), "text/plain; version=0.0.4; charset=utf-8", _NO_STORE)

    def _policy(self, _: Request) -> Response:
        policy, loaded_at = self._engine.loaded.compiled.policy, self._engine.loaded.loaded_at
        value = {"ok": True, "policy_digest": policy.digest, "rules": len(policy.rules), "default_verdict": policy.default_verdict}
        return _json({**value, "loaded_at": loaded_at})

    def _head(self, _: Request) -> Response:
        return _json(self._engine.ledger.journal.head())

    def _evaluate(self, request: Request) -> Response:
        _expect(request, _JSON)
        value = self._decide(request.body, _header_tokens(request))
        return _json(value, STRICT_STATUSES[str(value["verdict"])] if self._rules.strict_statuses else 200)

    def _evaluate_sse(self, request: Request) -> Response:
        _expect(request, _JSON)
        data = f"event: decision\ndata: {strict_json.dumps(self._decide(request.body, _header_tokens(request)))}\n\n"
        return Response(200, data.encode("ascii"), "text/event-stream", _NO_STORE)

    def _evaluate_stream(self, request: Request) -> Response:
        lines = [request.body]
        if _expect(request, _JSON, _NDJSON) == _NDJSON:
            lines = [line for line in request.body.split(b"\n") if line.strip()]
        if not 0 < len(lines) <= MAX_LINES:
            message = f"expected 1 to {MAX_LINES} requests, one a line; got {len(lines)}"
            raise InvalidInput(message, where="body", hint="send fewer at a time", code="invalid_line_count")
        return Response(200, self._answers(lines), _NDJSON, _NO_STORE)

    def _answers(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            try:
                value = self._decide(line)
            except GaitError as error:
                self._engine.metrics.failed(error.error_code)
                value = {**error.to_value(), "exit_code": error.exit_code}
            yield strict_json.dumps(value).encode("ascii") + b"\n"

    def _decide(self, data: bytes, tokens: tuple[str, ...] = ()) -> dict[str, object]:
        """The answer about one request; input that gets no decision is recorded.  `tokens`: as they were in the header."""
        try:
            asked = self._read(data, tuple(map(_token, tokens)))
            decided = self._engine.decide(asked.call, asked.wanted)
        except (InvalidInput, UnsafeOperation) as error:
            self._engine.refuse(data, error)
            raise
        judged = decided.judged
        value = judged.to_value(decided.trace_path or None, asked.warnings)
        if decided.runpack:
            value.update(run_id=decided.runpack.run_id, runpack_path=decided.runpack_path, ticket_footer=decided.runpack.footer)
        return {**value, "exit_code": judged.decision.exit_code, "sequence": judged.record["sequence"]}

    def _read(self, data: bytes, tokens: tuple[object, ...]) -> Asked:
        fields = Fields(strict_json.loads(data, "body", MAX_BYTES))
        adapter, run_id, value = fields.text("adapter", "mcp"), fields.text("run_id"), fields.raw("call")
        if not adapter:
            raise InvalidInput("adapter: must be the name of a framework", where="body", path=("adapter",))
        context = {**fields.object("context"), **_session(fields)}
        wanted = self._wanted(fields)
        tokens = (*tokens, *fields.items("approval_tokens"))
        if len(tokens) > MAX_OFFERED:
            raise InvalidInput(f"expected at most {MAX_OFFERED} approval tokens, got {len(tokens)}", where="body", code="too_many_approvals")
        fields.done()
        kept = {name: field for name, field in context.items() if name in self._trusted}
        defaults = {**self._rules.defaults, **kept}
        call = Call(data, value, "call", adapter, defaults, run_id, self._trusted, capture=self._engine.capture, tokens=tokens)
        return Asked(call, wanted, self._warnings([*context, *_claimed(value)]))

    def _wanted(self, fields: Fields) -> Wanted:
        """The files that the client asks for; whether it may have those paths is for the engine to say."""
        runpack = fields.required("runpack_out") if fields.has("runpack_out") else None
        if fields.boolean("emit_runpack") and runpack is None:
            if not self._rules.has_runpack_dir:
                message = "emit_runpack: this server was started without --runpack-dir"
                raise UnsafeOperation(message, where="body", hint="leave it out; the journal holds the decision", code="runpack_refused")
            runpack = ""
        return Wanted(fields.required("trace_path") if fields.has("trace_path") else "", runpack)

    def _warnings(self, given: list[str]) -> tuple[str, ...]:
        ignored = sorted(set(given) - self._trusted)
        if not ignored:
            return ()
        shown = ", ".join(name[:40] for name in ignored[:_NAMED]) + (", …" if len(ignored) > _NAMED else "")
        return (f"context: {shown} ignored; the operator decides it, or names it in --trust-context",)


def _header_tokens(request: Request) -> tuple[str, ...]:
    """The approval tokens of a request's header, each still base64."""
    given = request.headers.get(TOKEN_HEADER, "")
    return tuple(text.strip() for text in given.split(",") if text.strip())


def _token(text: str) -> object:
    """The document in one header value.  InvalidInput: it is not base64 of JSON."""
    try:
        data = base64_loads(text)
    except ValueError:
        raise InvalidInput("must be base64 of a token's JSON", where=f"header {TOKEN_HEADER}", code="approval_token_malformed") from None
    return strict_json.loads(data, f"header {TOKEN_HEADER}", MAX_TOKEN_BYTES)


def _session(fields: Fields) -> dict[str, object]:
    return {"session_id": fields.text("session_id")} if fields.has("session_id") else {}


def _claimed(call: object) -> list[str]:
    """The names of what a call says about its own context: the adapters read a `context` object and a hook's `cwd`."""
    if type(call) is not dict:
        return []
    own = call.get("context")
    return [*(own if type(own) is dict else ()), *(["workspace"] if call.get("cwd") else [])]


def _expect(request: Request, *types: str) -> str:
    """The request's media type.  InvalidInput, 415: none of these."""
    given = request.headers.get("content-type", "")
    if given not in types:
        given = given.partition(";")[0].strip().lower()
    if given in types:
        return given
    error = InvalidInput(f"expected Content-Type {' or '.join(types)}", hint="set the header", code="unsupported_media_type")
    error.http_status = 415
    raise error


def _json(value: object, status: int = 200) -> Response:
    return Response(status, strict_json.dumps(value).encode("ascii") + b"\n", headers=_NO_STORE)
