"""Write docs/schemas/*.schema.json (JSON Schema 2020-12), or with --check compare them and change nothing.

    schemas.py [--check]
    schemas.py --validate     hold them, and the documents in fixtures/, against the package jsonschema, where it is installed

A schema describes a document in its normal form: what Gait writes, and what it reads without a word.  Vocabularies and limits are the
code's own, so they cannot fall behind it.  What a schema cannot say (digests, signatures, order, uniqueness by one member) is the
reader's to check, and its description says so.  Documents that are read strictly refuse unknown members; evidence may have more,
since its versions are additive.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait.gate import approval_fields, approval_grants, approval_tokens, credential, decision, facts, intent, policy, skill_provenance, stops  # noqa: E402
from gait.guard import pack as guard  # noqa: E402
from gait.mcp import lock as mcp_lock  # noqa: E402
from gait.mcp import unwrap as mcp_gateway  # noqa: E402
from gait.registry import manifest as registry  # noqa: E402
from gait.regress import fixture as regress  # noqa: E402
from gait.regress import graders, result  # noqa: E402
from gait.runpack import model  # noqa: E402
from gait.runpack import record as run_record  # noqa: E402
from gait.signing import keys  # noqa: E402
from gait.store import config, usage  # noqa: E402
from gait.store.journal import outcomes, records  # noqa: E402

FOLDER = ROOT / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict

# --- the words of the language -------------------------------------------------------------------

TEXT: Schema = {"type": "string"}
SOME_TEXT: Schema = {"type": "string", "minLength": 1}
BOOL: Schema = {"type": "boolean"}
ANY: Schema = {}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TRACE_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
KEY_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
BASE64: Schema = {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$"}
VERDICT: Schema = {"enum": list(decision.VERDICTS)}
RUN_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}


def words(*allowed: str) -> Schema:
    return {"enum": list(allowed)}


def number(minimum: float = 0, kind: str = "integer", **more: object) -> Schema:
    return {"type": kind, "minimum": minimum, **more}


def listed(items: Schema, least: int = 0, most: int | None = None, unique: bool = False) -> Schema:
    found: Schema = {"type": "array", "items": items}
    if least:
        found["minItems"] = least
    if most is not None:
        found["maxItems"] = most
    return {**found, "uniqueItems": True} if unique else found


def shape(required: dict, optional: dict | None = None, strict: bool = False, **more: object) -> Schema:
    """An object; `strict` refuses members that are not named."""
    found: Schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}
    return {**found, "additionalProperties": False} if strict else found


def head(schema_id: str, version: str = "1.0.0") -> dict:
    return {"schema_id": {"const": schema_id}, "schema_version": {"const": version}}


def document(title: str, schema_id: str, required: dict, optional: dict | None = None, strict: bool = False, version: Schema | None = None, **more: object) -> Schema:
    """A document with schema_id and schema_version."""
    first = head(schema_id)
    if version:
        first["schema_version"] = version
    return {"title": title, **shape({**first, **required}, optional, strict, **more)}


PUBLISHED_VERSION: Schema = {"type": "string", "pattern": r"^1\.[0-9]{1,9}\.[0-9]{1,9}$"}
SIGNATURE = shape({"alg": {"const": "hmac-sha256"}, "key_id": KEY_ID, "sig": BASE64, "signed_digest": DIGEST}, strict=True)
ANY_SIGNATURE = shape({"alg": words("hmac-sha256", "ed25519"), "key_id": SOME_TEXT, "sig": BASE64, "signed_digest": DIGEST})
TEXTS = listed(TEXT)
UNIQUE_TEXTS = listed(SOME_TEXT, unique=True)

# --- intents and policies ------------------------------------------------------------------------

TARGET = shape(
    {"kind": words(*intent.TARGET_KINDS), "value": SOME_TEXT},
    {
        **{"operation": TEXT, "sensitivity": TEXT, "endpoint_class": words(*intent.ENDPOINT_CLASSES), "endpoint_domain": TEXT},
        **{"destructive": BOOL, "inferred": BOOL},
    },
)
ARG_PROVENANCE = shape({"arg_path": SOME_TEXT, "source": words(*intent.PROVENANCE_SOURCES)}, {"source_ref": TEXT, "integrity_digest": DIGEST})
_SKILL, _SKILL_MORE = {"skill_name": SOME_TEXT, "source": SOME_TEXT, "publisher": SOME_TEXT}, {"skill_version": TEXT, "digest": DIGEST, "signature_key_id": TEXT}
SKILL = shape(_SKILL, _SKILL_MORE)
RECORDED_SKILL = shape(_SKILL, {**_SKILL_MORE, "trust": words(skill_provenance.VERIFIED)})  # which nobody but Gait can say
CONTEXT = shape(
    {"identity": SOME_TEXT, "workspace": SOME_TEXT, "risk_class": words(*intent.RISK_CLASSES)},
    {"session_id": TEXT, "request_id": TEXT, "auth_context": OBJECT, "credential_scopes": UNIQUE_TEXTS, "environment_fingerprint": TEXT},
)
INTENT_BODY = {"targets": listed(TARGET), "context": CONTEXT}
INTENT_MORE = {"arg_provenance": listed(ARG_PROVENANCE), "skill_provenance": SKILL}
INTENT_REQUEST = document(
    *("Intent request: one tool call, as policies see it", intent.SCHEMA_ID, {"tool_name": SOME_TEXT, "context": CONTEXT}),
    {
        **{"created_at": TIME, "producer_version": TEXT, "args": OBJECT, "args_digest": DIGEST, "intent_digest": DIGEST},
        **{"targets": listed(TARGET), **INTENT_MORE},
    },
    description="The normal form. Gait also takes texts with spaces around them and words in upper case; unknown members are ignored with a warning.",
)

_SOME = listed(SOME_TEXT, 1)


def some(*allowed: str) -> Schema:
    return listed(words(*allowed), 1)


MATCH = shape(
    {},
    {
        **{name: _SOME for name in policy.Match._fields},
        **{"risk_classes": some(*intent.RISK_CLASSES), "target_kinds": some(*intent.TARGET_KINDS), "destination_kinds": some(*intent.TARGET_KINDS)},
        **{"endpoint_classes": some(*intent.ENDPOINT_CLASSES), "provenance_sources": some(*intent.PROVENANCE_SOURCES)},
        **{"skill_trust": some(*policy.SKILL_TRUST)},
    },
    strict=True,
)
ENDPOINT = shape(
    {},
    {
        **{"enabled": BOOL, "path_allowlist": TEXTS, "path_denylist": TEXTS, "domain_allowlist": TEXTS, "domain_denylist": TEXTS},
        **{"egress_classes": listed(words(*policy.EGRESS_CLASSES)), "action": words(*policy.STRICTER), "destructive_action": words(*policy.STRICTER)},
        **{"reason_code": TEXT, "violation": TEXT},
    },
    strict=True,
)
DATAFLOW = shape(
    {},
    {
        **{"enabled": BOOL, "tainted_sources": listed(words(*intent.PROVENANCE_SOURCES)), "destination_kinds": listed(words(*intent.TARGET_KINDS))},
        **{"destination_values": TEXTS, "destination_operations": TEXTS, "action": words(*policy.STRICTER), "reason_code": TEXT, "violation": TEXT},
    },
    strict=True,
)
_WINDOW = {"window": words(*facts.WINDOWS), "scope": words(*facts.SCOPES)}
RULE = shape(
    {"name": SOME_TEXT, "effect": VERDICT},
    {
        **{"priority": {"type": "integer"}, "match": MATCH, "endpoint": ENDPOINT, "dataflow": DATAFLOW, "reason_codes": TEXTS, "violations": TEXTS},
        **{"min_approvals": number(), "require_distinct_approvers": BOOL, "require_broker_credential": BOOL, "broker_reference": TEXT},
        **{"broker_scopes": TEXTS, "rate_limit": shape({}, {"requests": number(), **_WINDOW}, strict=True)},
        **{"budget": shape({"argument": SOME_TEXT, "limit": number(1, maximum=policy.MAX_BUDGET)}, _WINDOW, strict=True)},
    },
    strict=True,
)
FAIL_CLOSED = shape({}, {"enabled": BOOL, "risk_classes": listed(words(*intent.RISK_CLASSES)), "required_fields": listed(words(*policy.REQUIRED_FIELDS))}, strict=True)
POLICY = {
    "title": "Policy",
    **shape({}, {**head(policy.SCHEMA_ID), "default_verdict": VERDICT, "fail_closed": FAIL_CLOSED, "rules": listed(RULE)}, strict=True),
    "description": "YAML or JSON. An unknown or repeated key is an error.",
}

# --- evidence ------------------------------------------------------------------------------------

ANSWERED = {"verdict": VERDICT, "reason_codes": TEXTS, "policy_digest": DIGEST, "intent_digest": DIGEST}
APPROVAL_ENTRY = shape(
    {"valid": BOOL},
    {
        **{"token_id": TEXT, "grant_id": TEXT, "approver_identity": TEXT, "reason_code": TEXT, "expires_at": TEXT, "error_code": SOME_TEXT},
        **{"document_digest": DIGEST},
    },
)
AUDIT = document(
    *("Approval audit: what was offered for a decision, and what counted", "gait.gate.approval_audit_record"),
    {"required_approvals": number(1), "valid_approvals": number(), "approved": BOOL, "approvers": UNIQUE_TEXTS, "entries": listed(APPROVAL_ENTRY)},
)
BROKER_RECORD = document(
    *("Broker credential record: a reference to what was issued, never the secret", credential.RECORD),
    {
        **{"created_at": TIME, "broker": words(*credential.BROKERS[1:]), "reference": TEXT, "scopes": TEXTS},
        **{"intent_digest": DIGEST, "policy_digest": DIGEST, "credential_ref": SOME_TEXT},
    },
    {"expires_at": TIME},
)
PROOFS = {
    **{"approval_audit": AUDIT, "approval_token_ref": SOME_TEXT, "approval_grant_ref": SOME_TEXT, "approval_digest": DIGEST},
    **{"broker_credential": BROKER_RECORD},
}
TRACE_CONTEXT = shape({"identity": TEXT, "workspace": TEXT, "risk_class": TEXT}, {"session_id": TEXT, "request_id": TEXT})
CAPTURED = shape(INTENT_BODY, {**INTENT_MORE, "args": OBJECT})
LINKS = {"chain": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"}, "sequence": number(1), "prev_digest": DIGEST}
TRACE = document(
    *("Trace record: the signed evidence of one decision", "gait.gate.trace"),
    {
        **{"created_at": TIME, "producer_version": TEXT, "trace_id": TRACE_ID, "intent_digest": DIGEST, "policy_digest": DIGEST, "verdict": VERDICT},
        **{"signature": ANY_SIGNATURE},
    },
    {
        **{"tool_name": TEXT, "args_digest": DIGEST, "reason_codes": TEXTS, "violations": TEXTS, "matched_rule": TEXT, "latency_ms": number(kind="number")},
        **{"correlation_id": TEXT, "upstream": TEXT, "skill_provenance": RECORDED_SKILL, "context": TRACE_CONTEXT, "intent": CAPTURED},
        **{"intent_digest_basis": words("raw"), "approval_token_ref": TEXT, "simulated_verdict": VERDICT, "would_have_blocked": BOOL, **PROOFS, **LINKS},
    },
    version=PUBLISHED_VERSION,
    description="chain, sequence and prev_digest are there in a journal. Traces of the published Gait have an ed25519 signature.",
)
_EVENTS: dict = {
    "armed": shape({}, {"policy_digest": DIGEST, "heartbeat_seconds": number(kind="number"), "self_test": words("passed")}),
    "heartbeat": OBJECT,
    "stopped": OBJECT,
    "policy_reloaded": shape({"old_policy_digest": DIGEST, "new_policy_digest": DIGEST}),
    "policy_reload_failed": shape({"policy_digest": DIGEST, "reason": SOME_TEXT}),
    "refused_input": shape({"sha256": DIGEST, "bytes": number(), "reason": SOME_TEXT}),
    "torn_line": shape({"sha256": DIGEST, "bytes": number()}),
    "pruned": OBJECT,
    "outcome": shape(
        {"upstream": TEXT, "call_sequence": number(1), "trace_id": TRACE_ID, "status": words(*outcomes.STATUSES)},
        {"result_digest": DIGEST, "result_bytes": number(), "duration_ms": number(kind="number")},
    ),
    "stop": shape({"scope": SOME_TEXT, "value": TEXT, "reason": TEXT, "sequence": number()}),
    "resume": shape({"scope": SOME_TEXT, "value": TEXT, "reason": TEXT, "sequence": number()}),
}
JOURNAL_EVENT = document(
    *("Journal event: what happened beside decisions", records.EVENT),
    {"created_at": TIME, "event": words(*records.EVENTS), "details": OBJECT, **LINKS, "signature": SIGNATURE},
    strict=True,
    anyOf=[{"properties": {"event": {"const": name}, "details": _EVENTS[name]}} for name in records.EVENTS],
)
JOURNAL_HEAD = document(
    *("Journal head: a signed statement of where a chain ended", records.HEAD),
    {
        **{"chain": LINKS["chain"], "segment": number(1), "segment_bytes": number(), "sequence": number(), "record_digest": DIGEST},
        **{"created_at": TIME, "reason": words(*records.REASONS), "signature": SIGNATURE},
    },
    strict=True,
)
SIEM = {
    "title": "SIEM line: one decision, flat",
    **shape(
        {"time": TIME, "event": {"const": "gait.decision"}, "severity": SOME_TEXT, "trace_id": TRACE_ID, "verdict": VERDICT, "policy_digest": DIGEST},
        {"reason_codes": TEXTS, "violations": TEXTS, "tool_name": TEXT, "matched_rule": TEXT, "intent_digest": DIGEST, "args_digest": DIGEST, "key_id": TEXT},
    ),
}

# --- runpacks and regressions --------------------------------------------------------------------

FILES = listed(shape({"path": SOME_TEXT, "sha256": DIGEST}))
PACK_HEAD = {"created_at": TIME, "run_id": RUN_ID}
PACK_MORE = {"producer_version": TEXT}
MANIFEST = document(
    *("Runpack manifest", model.MANIFEST, {**PACK_HEAD, "capture_mode": words(*model.CAPTURE_MODES), "files": FILES, "manifest_digest": DIGEST}),
    {**PACK_MORE, "signatures": listed(ANY_SIGNATURE)},
    version=PUBLISHED_VERSION,
)
_ENV = shape({}, {"os": TEXT, "arch": TEXT, "runtime": TEXT})
_TIMELINE = listed(shape({"event": SOME_TEXT, "ts": TIME}, {"ref": TEXT}))
RUN = document("Runpack run", model.RUN, {**PACK_HEAD, "env": _ENV, "timeline": _TIMELINE}, PACK_MORE, version=PUBLISHED_VERSION)
_PACKED_INTENT = shape(INTENT_BODY, INTENT_MORE)
_STEP = {**PACK_MORE, "redactions": TEXTS}
INTENT_LINE = document(
    *("Runpack intent: a line of intents.jsonl", model.INTENT, {**PACK_HEAD, "intent_id": {**SOME_TEXT, "maxLength": model.MAX_ID}, "tool_name": SOME_TEXT, "args_digest": DIGEST}),
    {**_STEP, "args": OBJECT, "intent": _PACKED_INTENT, "intent_digest": DIGEST, "intent_digest_basis": TEXT},
    version=PUBLISHED_VERSION,
)
_DECISION = shape({"verdict": VERDICT}, {"reason_codes": TEXTS, "violations": TEXTS, "matched_rule": TEXT, "policy_digest": DIGEST, "intent_digest": DIGEST, "trace_id": TEXT})
RESULT_LINE = document(
    *("Runpack result: a line of results.jsonl", model.RESULT, {**PACK_HEAD, "intent_id": {**SOME_TEXT, "maxLength": model.MAX_ID}, "status": SOME_TEXT, "result_digest": DIGEST}),
    {**_STEP, "result": ANY, "decision": _DECISION, "outcome": OBJECT, "source": OBJECT},
    version=PUBLISHED_VERSION,
)
RECEIPT = shape(
    {
        **{"ref_id": SOME_TEXT, "source_type": SOME_TEXT, "source_locator": SOME_TEXT, "query_digest": DIGEST, "content_digest": DIGEST},
        **{"retrieved_at": TIME, "redaction_mode": SOME_TEXT},
    },
    {"sensitivity_label": TEXT, "retrieval_params": OBJECT},
)
REFS = document("Runpack refs: receipts of what was read", model.REFS, {**PACK_HEAD, "receipts": listed(RECEIPT)}, _STEP, version=PUBLISHED_VERSION)
_RECORD_STEP = shape(
    {},
    {
        **{"intent_id": {"type": "string", "maxLength": model.MAX_ID}, "created_at": TIME, "intent": OBJECT, "call": OBJECT, "adapter": SOME_TEXT},
        **{"context": OBJECT, "decision": OBJECT, "result": OBJECT},
    },
    strict=True,
)
RECORD = {
    "title": "Run record: what gait run record --input reads",
    **shape(
        {"steps": listed(_RECORD_STEP)},
        {
            **head(run_record.SCHEMA_ID),
            **{"run_id": TEXT, "created_at": TIME, "env": {**_ENV, "additionalProperties": False}, "timeline": _TIMELINE, "refs": listed(RECEIPT)},
        },
        strict=True,
    ),
}
_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
REGRESS_CONFIG = {
    "title": "Regression config: gait.yaml",
    **shape(
        {},
        {
            **head(regress.CONFIG_ID),
            **{"fixture_set": {"type": "string", "maxLength": regress.MAX_TEXT}, "policy": {"type": "string", "maxLength": regress.MAX_TEXT}},
            **{"fixtures": listed(shape({"name": _NAME}, {"run_id": TEXT, "runpack": SOME_TEXT}, strict=True), most=regress.MAX_FIXTURES)},
        },
        strict=True,
    ),
}
_ANSWER = shape({"verdict": SOME_TEXT}, {"matched_rule": TEXT, "reason_codes": TEXTS}, strict=True)
_SHORT: Schema = {"type": "string", "minLength": 1, "maxLength": regress.MAX_TEXT}
ACCEPTED = shape(
    {
        **{"recorded": _ANSWER, "answered": _ANSWER, "recorded_digest": DIGEST, "answered_digest": DIGEST, "accepted_by": _SHORT},
        **{"accepted_at": _SHORT, "reason": _SHORT},
    },
    {"calls": TEXTS},
    strict=True,
)
REGRESS_FIXTURE = {
    "title": "Regression fixture: fixtures/NAME/fixture.json",
    **shape(
        {"name": _NAME, "run_id": _SHORT},
        {
            **head(regress.FIXTURE_ID),
            **{"runpack": SOME_TEXT, "manifest_digest": DIGEST, "expected_replay_exit_code": number(), "not_evaluable_allowed": number()},
            **{"candidate_runpack": TEXT, "diff_allow_fields": listed(words(*regress.DIFF_FIELDS)), "accepted": listed(ACCEPTED)},
            **{"trajectory": shape({}, {"order": words(*regress.ORDERS), "tools": TEXTS, "verdicts": TEXTS}, strict=True)},
        },
        strict=True,
    ),
}
_PASS_FAIL = words(graders.PASS, graders.FAIL)
GRADER = shape({"name": SOME_TEXT, "status": _PASS_FAIL, "reason_codes": TEXTS, "details": OBJECT})
REGRESS_RESULT = document(
    *("Regression result", result.SCHEMA_ID, {"created_at": TIME, "producer_version": TEXT, "fixture_set": TEXT, "status": _PASS_FAIL, "graders": listed(GRADER)})
)

# --- evidence packs ------------------------------------------------------------------------------

GUARD_HEAD = {"created_at": TIME, "producer_version": TEXT, "run_id": RUN_ID}
GUARD_MANIFEST = document(
    *("Evidence pack manifest", guard.MANIFEST),
    {
        **{**GUARD_HEAD, "kind": words(*guard.KINDS), "template": TEXT, "run_manifest_digest": DIGEST, "files": FILES, "manifest_digest": DIGEST},
        **{"signatures": listed(SIGNATURE, 1)},
    },
)
GUARD_JOURNAL = document(
    "Evidence pack: journal.json", guard.JOURNAL, {**GUARD_HEAD, "chains": {"type": ["array", "null"], "items": OBJECT}, "heads": listed(JOURNAL_HEAD)}
)
GUARD_APPROVALS = document("Evidence pack: approvals.json", guard.APPROVALS, {**GUARD_HEAD, "approvals": listed(OBJECT)})
GUARD_SUMMARY = document("Evidence pack: summary.json", guard.SUMMARY, {**GUARD_HEAD, "kind": words(*guard.KINDS)})

# --- keys, approvals, stops ----------------------------------------------------------------------

KEYRING = document(
    *("Key ring: secret, mode 0600", keys.SCHEMA_ID),
    {
        **{"purpose": words(*keys.FAMILIES), "active": KEY_ID},
        **{"keys": listed(shape({"key_id": KEY_ID, "secret": BASE64}, {"created_at": TIME}, strict=True), 1, keys.MAX_KEYS)},
    },
    strict=True,
    description="key_id must follow from the secret, and active be one of the keys.",
)
_APPROVAL_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": approval_fields.MAX_TEXT}
_APPROVAL = {
    **{"producer_version": _APPROVAL_TEXT, "approver_identity": _APPROVAL_TEXT, "reason_code": _APPROVAL_TEXT, "created_at": TIME},
    **{"not_before": TIME, "expires_at": TIME},
}
_MAX_USES = {"max_uses": number(1, maximum=2**53 - 1)}
APPROVAL_TOKEN = document(
    *("Approval token: one person's yes to one call", approval_tokens.SCHEMA_ID),
    {
        **{"token_id": TRACE_ID, **_APPROVAL, "intent_digest": DIGEST, "policy_digest": DIGEST},
        **{"scope": listed(_APPROVAL_TEXT, 1, approval_tokens.MAX_SCOPES, unique=True), "signature": SIGNATURE},
    },
    _MAX_USES,
    strict=True,
)
_CONSTRAINT = shape({"argument": _APPROVAL_TEXT, "test": words(*approval_grants.TESTS), "value": ANY}, strict=True)
APPROVAL_GRANT = document(
    *("Standing grant: one person's yes to calls of a kind", approval_grants.SCHEMA_ID),
    {
        **{"grant_id": TRACE_ID, **_APPROVAL, "tool_name": _APPROVAL_TEXT, "identity": _APPROVAL_TEXT},
        **{"arg_constraints": listed(_CONSTRAINT, most=approval_grants.MAX_CONSTRAINTS), "signature": SIGNATURE},
    },
    {"policy_digest": DIGEST, **_MAX_USES},
    strict=True,
)
APPROVAL_REVOCATION = document(
    "Approval revocation: its name in the store is what revokes", "gait.gate.approval_revocation", {"id": TRACE_ID, "created_at": TIME, "revoked_by": TEXT, "reason_code": TEXT}
)
BROKER_REQUEST = document(
    *("Broker credential request: what a broker's command reads", credential.REQUEST),
    {
        **{"reference": TEXT, "scopes": TEXTS, "tool_name": SOME_TEXT, "identity": SOME_TEXT, "workspace": SOME_TEXT},
        **{"risk_class": words(*intent.RISK_CLASSES), "session_id": TEXT, "args_digest": DIGEST, "intent_digest": DIGEST, "policy_digest": DIGEST},
    },
    strict=True,
)
BROKER_ANSWER = {
    "title": "Broker credential answer: what a broker's command prints",
    **shape(
        {"credential_ref": {"type": "string", "pattern": "^[a-z][a-z0-9+-]{0,31}:[A-Za-z0-9._/@#?=&%~+:-]{1,200}$"}}, {"expires_at": TIME}, strict=True
    ),
}
_STOPPED: Schema = {"type": "string", "maxLength": stops.MAX_TEXT}
STOPS = document(
    *("Stops: the state of the kill switch", stops.SCHEMA_ID),
    {
        **{"sequence": number(1), "created_at": TIME, "signature": SIGNATURE},
        **{
            "stops": listed(
                shape({"scope": words(*stops.SCOPES), "value": _STOPPED, "reason": {**_STOPPED, "minLength": 1}, "created_at": TIME}, strict=True),
                most=stops.MAX_STOPS,
            )
        },
    },
    strict=True,
)

CONFIG = {
    "title": "Project config: .gait/config.yaml",
    **shape(
        {},
        {
            **head(config.SCHEMA_ID),
            **{name: SOME_TEXT for name in (*config.FILES, *config.TEXTS)},
            **{name: words(*allowed) for name, allowed in config.WORDS.items()},
            config.APPROVERS: listed(SOME_TEXT),
        },
        strict=True,
    ),
    "description": "YAML or JSON. It counts only after `gait config trust`.",
}
CONFIG_TRUST = document(
    *("Trusted projects: $GAIT_HOME/trusted_projects.json", config.TRUST_ID, {"projects": {"type": "object", "additionalProperties": DIGEST}}), strict=True
)

# --- MCP, the service, commands ------------------------------------------------------------------

_PINNED = shape(
    {"digest": DIGEST, "digests": shape({"name": DIGEST}, {part: DIGEST for part in mcp_lock.PARTS}, strict=True), "definition": shape({"name": SOME_TEXT})},
    strict=True,
)
_SERVER = shape({}, {"tools": {"type": "object", "additionalProperties": _PINNED}}, strict=True)
MCP_LOCK = document(
    *("gait.lock: the tool definitions that a person has accepted", mcp_lock.SCHEMA_ID),
    {"servers": {"type": "object", "additionalProperties": _SERVER, "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}}},
    strict=True,
    description="Every digest must be that of its definition.",
)
_KEYS: Schema = {"anyOf": [SOME_TEXT, listed(SOME_TEXT, 1)]}
MCP_GATEWAY = document(
    *("Gateway config: meta-tools to look into", mcp_gateway.SCHEMA_ID, {}),
    {
        "unwrap": listed(
            shape(
                {"tool": SOME_TEXT, "name_path": _KEYS, "arguments_path": _KEYS},
                {"arguments_encoding": words(*mcp_gateway.ENCODINGS), "other_keys": TEXTS},
                strict=True,
            )
        )
    },
    strict=True,
)
EVALUATE_REQUEST = {
    "title": "Decision API: the body of POST /v1/evaluate",
    **shape(
        {"call": ANY},
        {
            **{"adapter": SOME_TEXT, "run_id": TEXT, "session_id": TEXT, "trace_path": SOME_TEXT, "runpack_out": SOME_TEXT, "emit_runpack": BOOL},
            **{"context": OBJECT, "approval_tokens": listed(OBJECT)},
        },
        strict=True,
    ),
}
ANSWER = {
    "title": "Answer: one decision, as commands with --json and the decision API give it",
    **shape(
        {**{"ok": {"const": True}}, **ANSWERED, "violations": TEXTS, "matched_rule": TEXT, "required_approvals": number(), "trace_id": TRACE_ID},
        {
            **{"tool_name": TEXT, "args_digest": DIGEST, "trace_path": {"type": ["string", "null"]}, "key_id": KEY_ID, "warnings": TEXTS},
            **{"exit_code": number(maximum=9), "sequence": number(1), "chain": TEXT, "tried": listed(OBJECT), **PROOFS},
            **{"run_id": TEXT, "runpack_path": TEXT, "ticket_footer": TEXT, "simulated_verdict": VERDICT, "would_have_blocked": BOOL},
        },
    ),
}
ERROR = {
    "title": "Error: no answer could be made",
    **shape(
        {"ok": {"const": False}, "error": SOME_TEXT, "error_code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}, "error_category": SOME_TEXT, "retryable": BOOL, "hint": TEXT},
        {"exit_code": number(1, maximum=9)},
    ),
}
_EVENT = {"producer_version": TEXT, "command": SOME_TEXT, "exit_code": number(), "duration_ms": number(), "correlation_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"}}
ADOPTION_EVENT = document(
    "Adoption event: a line of GAIT_ADOPTION_LOG", usage.LOGS["GAIT_ADOPTION_LOG"], {"day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, **_EVENT}, strict=True
)
OPERATIONAL_EVENT = document("Operational event: a line of GAIT_OPERATIONAL_LOG", usage.LOGS["GAIT_OPERATIONAL_LOG"], {"created_at": TIME, **_EVENT}, strict=True)

# --- packages and the index ----------------------------------------------------------------------

_PLAIN: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$"}
_PACK_FILES = listed(shape({"path": SOME_TEXT, "sha256": DIGEST}), 1, registry.MAX_FILES)
REGISTRY_PACK = document(
    *("Registry pack: registry_pack.json", registry.PACK, {"pack_name": _PLAIN, "pack_version": _PLAIN, "artifacts": _PACK_FILES}),
    {
        **{"created_at": TIME, "producer_version": TEXT, "pack_type": SOME_TEXT, "publisher": SOME_TEXT, "source": SOME_TEXT, "risk_class": TEXT},
        **{"use_case": TEXT, "signatures": listed(ANY_SIGNATURE)},
    },
    version=PUBLISHED_VERSION,
)
SKILL_MANIFEST = {
    "title": "Skill manifest: skill_manifest.json",
    **shape(
        {
            **{"schema_id": words(registry.SKILL, registry.OPENCLAW_SKILL), "schema_version": PUBLISHED_VERSION, "name": _PLAIN, "version": _PLAIN},
            **{"files": _PACK_FILES, "package_digest": DIGEST},
        },
        {
            **{"publisher": TEXT, "source": TEXT, "framework": TEXT, "entrypoint": TEXT, "plugin": OBJECT, "requires": OBJECT},
            **{"signatures": listed(ANY_SIGNATURE)},
        },
    ),
    "description": "package_digest must be that of the files. That of OpenClaw's package names its plugin too.",
}
OPENCLAW_INSTALL = document(
    *("OpenClaw install record: install.json", "gait.openclaw.install"),
    {"made_folders": TEXTS, "made_config": TEXTS, "policy_sha256": TEXT, "plugin_dir": TEXT},
)
COMMUNITY_INDEX = document(
    *("Community index: docs/ecosystem/community_index.json", "gait.ecosystem.community_index"),
    {"version": SOME_TEXT, "entries": listed(shape({"name": SOME_TEXT, "kind": SOME_TEXT, "title": SOME_TEXT, "by": SOME_TEXT, "status": SOME_TEXT}))},
    strict=True,
)

SCHEMAS: dict[str, Schema] = {
    **{"intent_request": INTENT_REQUEST, "policy": POLICY, "trace": TRACE, "journal_event": JOURNAL_EVENT, "journal_head": JOURNAL_HEAD},
    **{"siem_line": SIEM, "runpack_manifest": MANIFEST, "runpack_run": RUN, "runpack_intent": INTENT_LINE, "runpack_result": RESULT_LINE},
    **{"runpack_refs": REFS, "run_record": RECORD, "regress_config": REGRESS_CONFIG, "regress_fixture": REGRESS_FIXTURE},
    **{"regress_result": REGRESS_RESULT, "guard_manifest": GUARD_MANIFEST, "guard_journal_proof": GUARD_JOURNAL, "guard_approvals": GUARD_APPROVALS},
    **{"guard_summary": GUARD_SUMMARY, "keyring": KEYRING, "approval_token": APPROVAL_TOKEN, "approval_grant": APPROVAL_GRANT},
    **{"approval_revocation": APPROVAL_REVOCATION, "approval_audit_record": AUDIT, "broker_credential_request": BROKER_REQUEST},
    **{"broker_credential_answer": BROKER_ANSWER, "broker_credential_record": BROKER_RECORD, "stops": STOPS, "mcp_lock": MCP_LOCK},
    **{"mcp_gateway": MCP_GATEWAY, "evaluate_request": EVALUATE_REQUEST, "answer": ANSWER, "error": ERROR, "adoption_event": ADOPTION_EVENT},
    **{"operational_event": OPERATIONAL_EVENT, "registry_pack": REGISTRY_PACK, "skill_manifest": SKILL_MANIFEST, "openclaw_install": OPENCLAW_INSTALL},
    **{"community_index": COMMUNITY_INDEX, "config": CONFIG, "config_trust": CONFIG_TRUST},
}


def texts() -> dict[str, str]:
    """File name -> text."""
    found = {f"{name}.schema.json": json.dumps({"$schema": DIALECT, "$id": f"gait:{name}:1.0.0", **schema}, indent=2) + "\n" for name, schema in sorted(SCHEMAS.items())}
    rows = [f"| [{name}]({name}.schema.json) | {schema['title']} |" for name, schema in sorted(SCHEMAS.items())]
    return {**found, "README.md": INDEX + "\n".join(rows) + "\n"}


INDEX = """# Schemas

<!-- made by `make docs`: do not edit -->

JSON Schema 2020-12 of every document that Gait reads or writes, in its normal form; the words and limits in them are the code's own. Each schema stands alone. A document may satisfy
its schema and still be refused: digests, signatures, times in order and ids that must differ are for the reader. Tests hold every document in `fixtures/`, and what
commands write, against them; `make schemas-check` does so with the package jsonschema.

| schema | document |
| --- | --- |
"""


def main(arguments: list[str]) -> int:
    """0, or 1 with what differs."""
    if "--validate" in arguments:
        return validate()
    made = texts()
    there = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*")} if FOLDER.is_dir() else {}
    different = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
    if "--check" in arguments:
        print("\n".join(f"docs/schemas/{name}: run make docs" for name in different) or f"docs/schemas: {len(SCHEMAS)} schemas are as the code says")
        return 1 if different else 0
    FOLDER.mkdir(exist_ok=True)
    for name in different:
        if name in made:
            (FOLDER / name).write_text(made[name], "utf-8")
        else:
            (FOLDER / name).unlink()
        print(f"wrote docs/schemas/{name}")
    return 0


def validate() -> int:
    """By a full validator: each schema against the dialect, and each document of the tests."""
    try:
        import jsonschema
    except ImportError:
        print("schemas-check: jsonschema is not installed: skipped; python3 -m pip install jsonschema")
        return 0
    from tests import schema_documents

    wrong = 0
    for name in SCHEMAS:
        schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        good, bad = schema_documents.good(name), schema_documents.bad(name)
        refused = [place for place, value in good if not validator.is_valid(value)]
        taken = [place for place, value in bad if validator.is_valid(value)]
        wrong += len(refused) + len(taken)
        print(f"{name}: {len(good)} documents valid, {len(bad)} refused" if not refused + taken else f"{name}: FAILED: refused {refused[:5]}, taken {taken[:5]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
