"""The policy in force: read from its file, compiled, and proven to refuse before anything is served by it."""

from __future__ import annotations

import hashlib

from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats.documents import NamedTuple
from ..gate import policy as policies
from ..gate.evaluate import evaluate
from ..gate.intent import read as read_intent
from ..gate.matching import CompiledPolicy, compile_policy
from ..gate.profiles import check_policy
from ..judge import Call, judge
from ..signing import envelope
from ..signing.keys import Keyring
from ..system import clock, files

_PROBE_POLICY = {
    "default_verdict": "allow",
    "rules": [{"name": "probe", "effect": "allow", "endpoint": {"path_denylist": ["/etc/**"]}}],
}
_PROBE = {
    "tool_name": "gait.self_test",
    "targets": [{"kind": "path", "value": "/tmp/../etc/shadow", "operation": "read"}],
    "context": {"identity": "gait", "workspace": "/", "risk_class": "critical"},
}


class Loaded(NamedTuple):
    """A policy that has been in force since `loaded_at`, out of bytes with this fingerprint.

    `waits`: a decision by it may wait for what other processes count, or for a broker.
    """

    compiled: CompiledPolicy
    loaded_at: str
    fingerprint: str
    waits: bool
    profile: str = "standard"


def load(path: str, profile: str = "standard") -> Loaded:
    """The policy of a file.  GaitError: there is none that could be in force under this profile."""
    data = files.read_bounded(path, policies.MAX_BYTES, "policy")
    policy = policies.loads(data, path)
    check_policy(profile, policy)
    compiled = compile_policy(policy)
    _test_policy(compiled)
    waits = any(rule.rate_limit or rule.budget or rule.require_broker_credential for rule in compiled.policy.rules)
    return Loaded(compiled, clock.now_text(), hashlib.sha256(data).hexdigest(), waits, profile)


def fingerprint(path: str) -> str:
    """What changes when the file's bytes do (their SHA-256), or when it comes or goes."""
    try:
        return hashlib.sha256(files.read_bounded(path, policies.MAX_BYTES, "policy")).hexdigest()
    except GaitError as error:
        return error.error_code


def self_test(compiled: CompiledPolicy, ring: Keyring) -> None:
    """Prove that this process can refuse and can prove it.  VerificationFailed: it must not serve."""
    refused = evaluate(compile_policy(policies.read(_PROBE_POLICY)), read_intent(_PROBE))
    if refused.verdict != "block" or "endpoint_path_denied" not in refused.reason_codes:
        raise _broken("a call that must be refused was not")
    signed = envelope.sign({"verdict": refused.verdict}, ring.active, envelope.TRACE)
    envelope.verify(signed, ring, envelope.TRACE)
    try:
        judge(compiled, Call(b'{"name": 7}', {"name": 7}, "self-test", "mcp"), dict)
    except InvalidInput:
        return
    raise _broken("a malformed call was not refused")


def _test_policy(compiled: CompiledPolicy) -> None:
    if "evaluation_failed" in evaluate(compiled, read_intent(_PROBE)).reason_codes:
        raise _broken("the policy cannot be evaluated")


def _broken(what: str) -> VerificationFailed:
    return VerificationFailed(f"self-test: {what}", hint="do not use this installation with this policy", code="self_test_failed")
