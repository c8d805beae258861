"""One JSON line for each decision, flat, for any log pipeline that reads JSONL."""

from __future__ import annotations

import json

SEVERITIES = {"allow": "info", "dry_run": "info", "require_approval": "warning", "block": "warning"}
_COPIED = (
    "trace_id", "correlation_id", "tool_name", "verdict", "simulated_verdict", "reason_codes", "violations", "matched_rule",
    "policy_digest", "intent_digest", "args_digest", "latency_ms",
)  # fmt: skip


def dumps(record: dict[str, object]) -> str:
    """The line, without its newline.  Text is escaped to ASCII, so that nothing in it can break the line."""
    event: dict[str, object] = {
        "time": record["created_at"],
        "event": "gait.decision",
        "severity": SEVERITIES[str(record["verdict"])],
        "producer_version": record["producer_version"],
    }
    event.update((name, record[name]) for name in _COPIED if name in record)
    for group in ("context", "skill_provenance"):
        event.update((f"{group}_{name}", value) for name, value in dict(record.get(group, {})).items())  # type: ignore[call-overload]
    event["key_id"] = record["signature"]["key_id"]  # type: ignore[index]
    return json.dumps(event, separators=(",", ":"))
