"""TraceRecord: each field, which are left out, and the id that names the decision."""

from __future__ import annotations

import hashlib
import json

from gait import __version__
from gait.gate import intent, trace
from gait.gate.decision import Decision

DOCUMENT = {"tool_name": "Read", "args": {"path": "/a"}, "context": {"identity": "alice", "workspace": "/repo", "risk_class": "low"}}
BLOCK = Decision("block", ("a", "b"), ("v",), "rule", "aa" * 32, "bb" * 32)


def test_the_whole_record():
    skill = {"skill_name": "s", "source": "Git", "publisher": "acme", "digest": "cc" * 32}
    context = {**DOCUMENT["context"], "session_id": "s1", "request_id": "r1", "environment_fingerprint": "not recorded"}
    found = intent.read({**DOCUMENT, "skill_provenance": skill, "context": context})
    record = trace.build(BLOCK, found, "2026-02-05T00:00:00Z", 0.125, "run-1")
    assert record == {
        "schema_id": "gait.gate.trace",
        "schema_version": "1.0.0",
        "created_at": "2026-02-05T00:00:00Z",
        "producer_version": __version__,
        "trace_id": hashlib.sha256(f"{'aa' * 32}:{'bb' * 32}:block".encode()).hexdigest()[:24],
        "correlation_id": "run-1",
        "tool_name": "read",
        "args_digest": found.args_digest,
        "intent_digest": "bb" * 32,
        "policy_digest": "aa" * 32,
        "verdict": "block",
        "reason_codes": ["a", "b"],
        "violations": ["v"],
        "matched_rule": "rule",
        "latency_ms": 0.125,
        "skill_provenance": {"skill_name": "s", "source": "git", "publisher": "acme", "digest": "cc" * 32},
        "context": {"identity": "alice", "workspace": "/repo", "risk_class": "low", "session_id": "s1", "request_id": "r1"},
    }
    json.dumps(record)


def test_what_is_empty_is_left_out():
    decision = Decision("allow", ("default_allow",), (), "", "aa" * 32, "bb" * 32)
    record = trace.build(decision, intent.read(DOCUMENT), "2026-02-05T00:00:00Z")
    assert not {"correlation_id", "violations", "matched_rule", "latency_ms", "skill_provenance"} & set(record)
    assert record["context"] == DOCUMENT["context"] and record["reason_codes"] == ["default_allow"]


def test_a_call_without_a_normal_form():
    record = trace.build_invalid(BLOCK, "2026-02-05T00:00:00Z", "run-1")
    assert record["intent_digest_basis"] == "raw" and record["correlation_id"] == "run-1"
    assert not {"tool_name", "args_digest", "context", "latency_ms"} & set(record)
    assert "correlation_id" not in trace.build_invalid(BLOCK, "2026-02-05T00:00:00Z")


def test_the_id_names_the_decision():
    ids = {
        trace.trace_id(decision)
        for decision in (BLOCK, BLOCK._replace(reason_codes=()), BLOCK._replace(verdict="allow"), BLOCK._replace(policy_digest="cc" * 32))
    }
    assert len(ids) == 3 and all(len(text) == 24 for text in ids)
