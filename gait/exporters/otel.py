"""OTLP/JSON log records (OpenTelemetry protocol 1.x, `ExportLogsServiceRequest`), one request a line.

Attribute names are the OpenTelemetry GenAI conventions' where they exist, `gait.*` otherwise.
"""

from __future__ import annotations

import json

from ..formats import timestamps

# OpenTelemetry logs data model, SeverityNumber: INFO is 9, WARN is 13.
_SEVERITIES = {"allow": (9, "INFO"), "dry_run": (9, "INFO"), "require_approval": (13, "WARN"), "block": (13, "WARN")}
_COPIED = ("verdict", "simulated_verdict", "trace_id", "matched_rule", "policy_digest", "intent_digest", "args_digest", "latency_ms",
           "correlation_id", "reason_codes", "violations")  # fmt: skip


def dumps(record: dict[str, object]) -> str:
    """The line, without its newline: one resource, one scope, one log record."""
    scope = {"name": "gait", "version": record["producer_version"]}
    logs = {"scope": scope, "logRecords": [_log_record(record)]}
    resource = {"attributes": [_attribute("service.name", "gait")]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [logs]}]}, separators=(",", ":"))


def _log_record(record: dict[str, object]) -> dict[str, object]:
    verdict = str(record["verdict"])
    number, text = _SEVERITIES[verdict]
    time = str(round(timestamps.loads(str(record["created_at"])) * 1_000_000) * 1000)  # fixed64 is text in OTLP/JSON
    return {
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": text,
        "body": {"stringValue": f"gait {verdict}: {record.get('tool_name', 'a call without a normal form')}"},
        "attributes": _attributes(record),
    }


def _attributes(record: dict[str, object]) -> list[dict[str, object]]:
    named: dict[str, object] = {"event.name": "gait.decision", "gen_ai.operation.name": "execute_tool"}
    if "tool_name" in record:
        named["gen_ai.tool.name"] = record["tool_name"]
    named.update((f"gait.{name}", record[name]) for name in _COPIED if name in record)
    for group in ("context", "skill_provenance"):
        named.update((f"gait.{group}.{name}", value) for name, value in dict(record.get(group, {})).items())  # type: ignore[call-overload]
    named["gait.key_id"] = record["signature"]["key_id"]  # type: ignore[index]
    return [_attribute(name, value) for name, value in named.items()]


def _attribute(name: str, value: object) -> dict[str, object]:
    return {"key": name, "value": _any_value(value)}


def _any_value(value: object) -> dict[str, object]:
    """An AnyValue of opentelemetry/proto/common/v1: text, double or an array of texts."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}
