"""What a broker is asked, and what of its answer is believed and kept."""

from __future__ import annotations

import json

import pytest

from gait.errors import InvalidInput
from gait.formats import jcs
from gait.gate import credential
from gait.gate import policy as policies
from gait.gate.credential import Issued
from gait.gate.evaluate import evaluate
from gait.gate.matching import compile_policy

from tests.gate.test_stops import intent_of

SECRET = "s3cr3t-" + "0123456789abcdef"


def needs():
    rule = {"name": "a", "effect": "allow", "require_broker_credential": True, "broker_reference": "egress", "broker_scopes": ["Write", "read"]}
    return evaluate(compile_policy(policies.read({"rules": [rule]})), intent_of(session="s1")).needs


def test_a_request_holds_digests_and_no_arguments():
    intent = intent_of(session="s1")
    assert credential.request(needs(), intent, "p" * 64) == {
        "schema_id": "gait.gate.broker_credential_request",
        "schema_version": "1.0.0",
        "reference": "egress",
        "scopes": ["read", "write"],
        "tool_name": "bank.pay",
        "identity": "ann",
        "workspace": "/w",
        "risk_class": "low",
        "session_id": "s1",
        "args_digest": intent.args_digest,
        "intent_digest": intent.intent_digest,
        "policy_digest": "p" * 64,
    }


def test_the_record_holds_the_reference():
    asked = credential.request(needs(), intent_of(), "p" * 64)
    found = credential.proof("command", asked, Issued("vault:lease/7", "2026-03-01T00:00:00Z"), "2026-02-01T00:00:00Z")
    assert (found.verdict, found.reason_codes, found.violations) == ("allow", ("broker_credential_present",), ())
    assert found.evidence["broker_credential"] == {
        "schema_id": "gait.gate.broker_credential_record",
        "schema_version": "1.0.0",
        "created_at": "2026-02-01T00:00:00Z",
        "broker": "command",
        "reference": "egress",
        "scopes": ["read", "write"],
        "intent_digest": asked["intent_digest"],
        "policy_digest": "p" * 64,
        "credential_ref": "vault:lease/7",
        "expires_at": "2026-03-01T00:00:00Z",
    }
    jcs.dumps(found.evidence)


@pytest.mark.parametrize("expires_at", ["", "2026-03-01T00:00:00Z"])
def test_an_answer(expires_at):
    value = {"credential_ref": " vault:lease/7 ", **({"expires_at": expires_at} if expires_at else {})}
    assert credential.read_answer(json.dumps(value).encode()) == Issued("vault:lease/7", expires_at)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        SECRET,
        f'"{SECRET}"',
        f'["{SECRET}"]',
        "{}",
        f'{{"credential_ref": "vault:a", "secret": "{SECRET}"}}',
        f'{{"credential_ref": "vault:a", "{SECRET}": 1}}',
        f'{{"credential_ref": "{SECRET}"}}',
        f'{{"credential_ref": "vault:{"a" * 201}"}}',
        '{"credential_ref": "vault:a b"}',
        '{"credential_ref": "Vault:a"}',
        '{"credential_ref": 7}',
        '{"credential_ref": "vault:a", "credential_ref": "vault:b"}',
        f'{{"credential_ref": "vault:a", "expires_at": "{SECRET}"}}',
        '{"credential_ref": "vault:a\\u0000"}',
        '{"credential_ref": "vault:a"} ' + SECRET,
        '{"credential_ref": "vault:a", "expires_at": ' + "[" * 70 + "]" * 70 + "}",
    ],
)
def test_anything_else_is_refused_and_not_quoted(answer):
    with pytest.raises(InvalidInput) as caught:
        credential.read_answer(answer.encode())
    error = caught.value
    assert error.error_code == "broker_answer_invalid"
    assert SECRET not in json.dumps(error.to_value()) and error.__cause__ is None
