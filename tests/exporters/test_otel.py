"""OTLP/JSON lines, field by field as opentelemetry-proto's logs/v1 and common/v1 map to JSON."""

from __future__ import annotations

import json

import pytest

from gait.exporters import otel
from gait.formats import timestamps

RECORD = {
    **{"schema_id": "gait.gate.trace", "schema_version": "1.0.0", "created_at": "2026-02-05T00:00:00.123456Z", "producer_version": "1.8.0"},
    **{"trace_id": "ab" * 12, "correlation_id": "run-1", "tool_name": "read", "args_digest": "aa", "intent_digest": "bb", "policy_digest": "cc"},
    **{"verdict": "block", "reason_codes": ["a", "b"], "violations": ["v"], "matched_rule": "r", "latency_ms": 0.25},
    "skill_provenance": {"skill_name": "s"},
    "context": {"identity": "alice", "workspace": "/w", "risk_class": "low"},
    "signature": {"alg": "hmac-sha256", "key_id": "0123456789abcdef", "sig": "secret?", "signed_digest": "dd"},
}


def text(value):
    return {"stringValue": value}


def test_every_field():
    assert json.loads(otel.dumps(RECORD)) == {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": text("gait")}]},
                "scopeLogs": [
                    {
                        "scope": {"name": "gait", "version": "1.8.0"},
                        "logRecords": [
                            {
                                "timeUnixNano": "1770249600123456000",
                                "observedTimeUnixNano": "1770249600123456000",
                                "severityNumber": 13,
                                "severityText": "WARN",
                                "body": text("gait block: read"),
                                "attributes": [
                                    {"key": "event.name", "value": text("gait.decision")},
                                    {"key": "gen_ai.operation.name", "value": text("execute_tool")},
                                    {"key": "gen_ai.tool.name", "value": text("read")},
                                    {"key": "gait.verdict", "value": text("block")},
                                    {"key": "gait.trace_id", "value": text("ab" * 12)},
                                    {"key": "gait.matched_rule", "value": text("r")},
                                    {"key": "gait.policy_digest", "value": text("cc")},
                                    {"key": "gait.intent_digest", "value": text("bb")},
                                    {"key": "gait.args_digest", "value": text("aa")},
                                    {"key": "gait.latency_ms", "value": {"doubleValue": 0.25}},
                                    {"key": "gait.correlation_id", "value": text("run-1")},
                                    {"key": "gait.reason_codes", "value": {"arrayValue": {"values": [text("a"), text("b")]}}},
                                    {"key": "gait.violations", "value": {"arrayValue": {"values": [text("v")]}}},
                                    {"key": "gait.context.identity", "value": text("alice")},
                                    {"key": "gait.context.workspace", "value": text("/w")},
                                    {"key": "gait.context.risk_class", "value": text("low")},
                                    {"key": "gait.skill_provenance.skill_name", "value": text("s")},
                                    {"key": "gait.key_id", "value": text("0123456789abcdef")},
                                ],
                            }
                        ],
                    }
                ],
            }
        ]
    }


def log_record(record):
    return json.loads(otel.dumps(record))["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]


@pytest.mark.parametrize(
    "verdict,number,name", [("allow", 9, "INFO"), ("dry_run", 9, "INFO"), ("require_approval", 13, "WARN"), ("block", 13, "WARN")]
)
def test_severity(verdict, number, name):
    found = log_record({**RECORD, "verdict": verdict})
    assert (found["severityNumber"], found["severityText"]) == (number, name)


@pytest.mark.parametrize("created_at", ["1970-01-01T00:00:00Z", "2026-02-05T00:00:00.999999Z", "2099-12-31T23:59:59.000001Z"])
def test_times_are_text_and_exact(created_at):
    time = log_record({**RECORD, "created_at": created_at})["timeUnixNano"]
    assert isinstance(time, str) and time.isdigit()  # fixed64, which JSON's numbers cannot hold
    seconds, nanoseconds = divmod(int(time), 10**9)
    assert seconds == int(timestamps.loads(created_at[:19] + "Z")) and nanoseconds == int((created_at[20:-1] or "0").ljust(6, "0")) * 1000


def test_a_call_without_a_normal_form():
    kept = ("created_at", "producer_version", "trace_id", "verdict", "reason_codes", "policy_digest", "intent_digest", "signature")
    found = log_record({name: RECORD[name] for name in kept})
    assert found["body"] == text("gait block: a call without a normal form")
    assert not [entry for entry in found["attributes"] if entry["key"].startswith(("gen_ai.tool.name", "gait.context"))]


def test_no_text_breaks_the_line():
    nasty = 'x"\n{"resourceLogs": []}\r\n\u2028\u2029\x85\x1b[2J\x00\u202e\U0001f600'
    line = otel.dumps({**RECORD, "tool_name": nasty, "context": {"identity": nasty}, "violations": [nasty]})
    assert line.isascii() and line.isprintable() and len(line.splitlines()) == 1
    assert json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"] == text(f"gait block: {nasty}")
