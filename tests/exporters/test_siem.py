"""SIEM lines: every field, and that nothing in a record can make a second line."""

from __future__ import annotations

import json

import pytest

from gait.exporters import siem

RECORD = {
    **{"schema_id": "gait.gate.trace", "schema_version": "1.0.0", "created_at": "2026-02-05T00:00:00Z", "producer_version": "1.8.0"},
    **{"trace_id": "ab" * 12, "correlation_id": "run-1", "tool_name": "read", "args_digest": "aa", "intent_digest": "bb", "policy_digest": "cc"},
    **{"verdict": "block", "reason_codes": ["a", "b"], "violations": ["v"], "matched_rule": "r", "latency_ms": 0.25},
    "skill_provenance": {"skill_name": "s", "publisher": "p"},
    "context": {"identity": "alice", "workspace": "/w", "risk_class": "low", "session_id": "s1"},
    "signature": {"alg": "hmac-sha256", "key_id": "0123456789abcdef", "sig": "secret?", "signed_digest": "dd"},
}


def test_every_field():
    assert json.loads(siem.dumps(RECORD)) == {
        **{"time": "2026-02-05T00:00:00Z", "event": "gait.decision", "severity": "warning", "producer_version": "1.8.0"},
        **{"trace_id": "ab" * 12, "correlation_id": "run-1", "tool_name": "read", "verdict": "block"},
        **{"reason_codes": ["a", "b"], "violations": ["v"], "matched_rule": "r", "policy_digest": "cc", "intent_digest": "bb"},
        **{"args_digest": "aa", "latency_ms": 0.25, "context_identity": "alice", "context_workspace": "/w", "context_risk_class": "low"},
        **{"context_session_id": "s1", "skill_provenance_skill_name": "s", "skill_provenance_publisher": "p", "key_id": "0123456789abcdef"},
    }
    assert "secret?" not in siem.dumps(RECORD)


@pytest.mark.parametrize("verdict,severity", [("allow", "info"), ("dry_run", "info"), ("require_approval", "warning"), ("block", "warning")])
def test_severity(verdict, severity):
    assert json.loads(siem.dumps({**RECORD, "verdict": verdict}))["severity"] == severity


def test_a_record_without_its_optional_fields():
    kept = ("created_at", "producer_version", "trace_id", "verdict", "reason_codes", "policy_digest", "intent_digest", "signature")
    value = json.loads(siem.dumps({name: RECORD[name] for name in kept}))
    assert "tool_name" not in value and "context_identity" not in value and value["key_id"]


NASTY = 'x"\n{"event": "gait.decision", "verdict": "allow"}\r\n\u2028\u2029\x85\x0b\x0c\x1b[2J\x00\u202e\U0001f600\\'


def test_no_text_breaks_the_line():
    nasty = {**RECORD, "tool_name": NASTY, "correlation_id": NASTY, "reason_codes": [NASTY], "context": {"identity": NASTY}, "matched_rule": NASTY}
    line = siem.dumps(nasty)
    assert line.isascii() and line.isprintable() and len(line.splitlines()) == 1
    value = json.loads(line)
    assert value["tool_name"] == value["context_identity"] == NASTY and value["verdict"] == "block"
