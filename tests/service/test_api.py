"""Every endpoint of the decision API, on a real server: statuses, forms, refusals, and what the journal holds afterwards."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.service.running import ALLOWED, BLOCKED, Server, records, verify

FIELDS = {
    *("ok", "verdict", "tool_name", "reason_codes", "violations", "matched_rule", "required_approvals", "policy_digest"),
    *("intent_digest", "args_digest", "trace_id", "trace_path", "key_id", "exit_code", "sequence"),
}
CASES = {
    "allow": (ALLOWED, 0, 200),
    "block": (BLOCKED, 3, 403),
    "require_approval": ({"call": {"name": "write_file", "arguments": {"path": "/work/a"}}}, 4, 428),
    "dry_run": ({"call": {"name": "rehearse", "arguments": {}}}, 9, 409),
}
# What is refused -> status, error_code.  Each leaves a refused_input record.
REFUSED = {
    "not json": (b"{", 400, "parse_error"),
    "empty": (b"", 400, "parse_error"),
    "twice a key": (b'{"call": {"name": "a"}, "call": {"name": "b"}}', 400, "parse_error"),
    "NaN": (b'{"call": {"name": "a", "arguments": {"x": NaN}}}', 400, "parse_error"),
    "no utf-8": (b'{"call": {"name": "\xff"}}', 400, "parse_error"),
    "trailing": (b'{"call": {"name": "a"}} x', 400, "parse_error"),
    "deep": (b'{"call": ' + b"[" * 100 + b"]" * 100 + b"}", 400, "parse_error"),
    "a list": (b"[]", 400, "invalid_input"),
    "no call": (b"{}", 400, "invalid_call"),
    "call is text": (b'{"call": "rm"}', 400, "invalid_call"),
    "unknown key": (b'{"cal": {"name": "a"}}', 400, "invalid_input"),
    "unknown adapter": (b'{"adapter": "mpc", "call": {"name": "a"}}', 400, "unknown_adapter"),
    "empty adapter": (b'{"adapter": "", "call": {"kind": "x"}}', 400, "invalid_input"),
    "adapter is a number": (b'{"adapter": 1, "call": {"name": "a"}}', 400, "invalid_input"),
    "context is a list": (b'{"context": [], "call": {"name": "a"}}', 400, "invalid_input"),
    "session is a number": (b'{"context": {"session_id": 7}, "call": {"name": "a"}}', 400, "invalid_input"),
    "trace_path": (b'{"trace_path": "/tmp/x", "call": {"name": "a"}}', 403, "client_path_refused"),
    "runpack_out": (b'{"runpack_out": "/tmp/x", "call": {"name": "a"}}', 403, "client_path_refused"),
    "emit_runpack": (b'{"emit_runpack": true, "call": {"name": "a"}}', 403, "runpack_refused"),
    "emit_runpack is text": (b'{"emit_runpack": "no", "call": {"name": "a"}}', 400, "invalid_input"),
    "run_id too large": (json.dumps({"run_id": "x" * 2_000_000, **ALLOWED}).encode(), 400, "record_too_large"),
}
SAMPLE = re.compile(r"([a-z_]+)\{([a-z]+=\"[^\"\\\n]*\"(?:,[a-z]+=\"[^\"\\\n]*\")*)\} (\S+)")


@pytest.mark.parametrize("name", CASES)
def test_each_verdict(name, shared):
    request, code, _ = CASES[name]
    with shared.client() as client:
        answer = client.post(request)
    value = answer.value
    assert (answer.status, value["verdict"], value["exit_code"]) == (200, name, code)
    assert set(value) == FIELDS and value["trace_path"] is None
    record = next(record for record in records(shared.journal) if record["sequence"] == value["sequence"])
    for field in ("verdict", "reason_codes", "matched_rule", "policy_digest", "intent_digest", "args_digest", "trace_id"):
        assert record[field] == value[field]


def test_strict_statuses(serve):
    server = serve("--http-verdict-status", "strict")
    with server.client() as client:
        for name, (request, code, status) in CASES.items():
            answer = client.post(request)
            assert (answer.status, answer.value["verdict"], answer.value["exit_code"]) == (status, name, code)
        assert client.post(BLOCKED, "/v1/evaluate/sse").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("name", REFUSED)
def test_refused_input_is_recorded(name, shared):
    body, status, code = REFUSED[name]
    with shared.client() as client:
        before = client.get("/v1/journal/head").value["sequence"]
        answer = client.post(body)
        assert (answer.status, answer.value["error_code"]) == (status, code)
        assert client.get("/healthz").status == 200, "the connection goes on"
    found = [record for record in records(shared.journal) if record["sequence"] > before and record.get("event") == "refused_input"]
    assert [record["details"] for record in found] == [{"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "reason": code}]


def test_equal_input_gives_equal_bytes(shared):
    with shared.client() as client:
        bodies = {re.sub(rb'"sequence": \d+', b"", client.post(ALLOWED).body) for _ in range(3)}
        other = re.sub(rb'"sequence": \d+', b"", client.post(json.dumps(ALLOWED, indent=3).encode()).body)
    assert bodies == {other}


def test_sse(shared):
    with shared.client() as client:
        answer = client.post(ALLOWED, "/v1/evaluate/sse")
        assert answer.headers["content-type"] == "text/event-stream"
        first, second, *rest = answer.body.decode().split("\n")
        assert (first, rest) == ("event: decision", ["", ""])
        assert json.loads(second[len("data: ") :])["verdict"] == "allow"
        refused = client.post(b"{", "/v1/evaluate/sse")
        assert (refused.status, refused.headers["content-type"]) == (400, "application/json")


def test_stream_answers_many_calls_in_order(shared):
    lines = [ALLOWED, BLOCKED, {"cal": 1}, ALLOWED]
    body = b"\n\n".join(json.dumps(line).encode() for line in lines) + b"\n{\n"
    with shared.client() as client:
        answer = client.post(body, "/v1/evaluate/stream", Content_Type="application/x-ndjson; charset=utf-8")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
        assert [line["exit_code"] for line in answer.lines] == [0, 3, 6, 0, 6]
        sequences = [line["sequence"] for line in answer.lines if line["ok"]]
        assert sequences == sorted(sequences)
        pretty = client.post(json.dumps(ALLOWED, indent=2).encode(), "/v1/evaluate/stream")
        assert [line["verdict"] for line in pretty.lines] == ["allow"], "application/json is one document, over any number of lines"


@pytest.mark.parametrize("body", [b"", b"\n \n", b"1\n" * 10_001])
def test_stream_of_no_or_too_many_lines(body, shared):
    with shared.client() as client:
        before = client.get("/v1/journal/head").value["sequence"]
        answer = client.post(body, "/v1/evaluate/stream", Content_Type="application/x-ndjson")
        assert (answer.status, answer.value["error_code"]) == (400, "invalid_line_count")
        assert client.get("/v1/journal/head").value["sequence"] == before


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/evaluate", 405, "method_not_allowed"),
        ("HEAD", "/v1/evaluate", 405, ""),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("DELETE", "/v1/policy", 405, "method_not_allowed"),
        ("GET", "/healthz/", 404, "not_found"),
        ("GET", "/%68ealthz", 404, "not_found"),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/healthz?x=1", 200, ""),
    ],
)
def test_routes(method, path, status, code, shared):
    with shared.client() as client:
        answer = client.ask(method, path)
        assert answer.status == status
        if status == 405:
            assert answer.headers["allow"] in ("GET", "POST")
        if code:
            assert answer.value["error_code"] == code and answer.value["ok"] is False


@pytest.mark.parametrize("path", ["/v1/evaluate", "/v1/evaluate/sse", "/v1/evaluate/stream"])
@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_other_media_types(path, kind, shared):
    """A page of another origin can send these without asking first."""
    with shared.client() as client:
        answer = client.post(ALLOWED, path, Content_Type=kind)
        assert (answer.status, answer.value["error_code"]) == (415, "unsupported_media_type")


def test_probes(shared):
    with shared.client() as client:
        assert client.get("/healthz").value == {"ok": True, "service": "gait.mcp.serve"}
        ready = client.get("/readyz")
        expected = {"ok": True, "policy": "loaded", "key": "usable", "self_test": "passed", "journal": "writable"}
        assert (ready.status, ready.value) == (200, expected)
        policy = client.get("/v1/policy").value
        assert (policy["rules"], policy["default_verdict"], len(policy["policy_digest"])) == (3, "block", 64)
        assert client.get("/v1/policy").body == client.get("/v1/policy").body
        head = client.get("/v1/journal/head").value
        assert (head["schema_id"], head["chain"]) == ("gait.journal.head", "serve")


def test_metrics_are_an_exposition(shared):
    with shared.client() as client:
        client.post(ALLOWED)
        client.post(b"{")
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values, types = exposition(answer.body.decode())
    assert values['gait_decisions_total{chain="serve",verdict="allow"}'] >= 1
    assert values['gait_errors_total{chain="serve",code="parse_error"}'] >= 1
    assert values['gait_in_flight{chain="serve"}'] == 1
    buckets = [value for name, value in values.items() if name.startswith("gait_decision_seconds_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == values['gait_decision_seconds_count{chain="serve"}']
    assert types["gait_decision_seconds"] == "histogram" and types["gait_otlp_dropped_total"] == "counter"


def exposition(text: str) -> tuple[dict, dict]:
    """The samples and types of a scrape; AssertionError where it is no text of the format 0.0.4."""
    assert text.endswith("\n")
    values, types, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped and name not in types and kind in ("counter", "gauge", "histogram")
            types[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            family = re.sub("_(bucket|sum|count)$", "", found[1])
            assert family in types or found[1] in types, line
            assert line.rpartition(" ")[0] not in values
            values[line.rpartition(" ")[0]] = float(found[3])
    return values, types


@pytest.fixture(scope="module")
def shared(tmp_path_factory, request):
    """One server for the tests that only ask it."""
    folder: Path = tmp_path_factory.mktemp("shared")
    environment = {"HOME": str(folder), "GAIT_HOME": str(folder / "gait")}
    server = Server(folder, env=environment)
    yield server
    assert server.stop() == 0
    monkey = pytest.MonkeyPatch()
    for name, text in environment.items():
        monkey.setenv(name, text)
    assert verify(server.journal)["ok"]
    monkey.undo()
