"""Approval token (`gait.gate.approval_token` 1.0.0): one person's yes to one call, under one policy, for a time.

Invariant: a Token exists only verified: signed for this purpose by an approver's own key.  Whether it fits a call, and now, is for
`problem` to say.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse
from ..signing import envelope
from ..signing.keys import Key
from . import approval_fields as members
from .approval_fields import Approver, Window, same_person

SCHEMA_ID = "gait.gate.approval_token"
SCHEMA_VERSION = "1.0.0"
MAX_SECONDS = 30 * 86400
MAX_SCOPES = 32


class Asked(NamedTuple):
    """The call that approvals are looked at for.  `digests`: of the intent with and without its request_id."""

    digests: tuple[str, ...]
    policy_digest: str
    tool_name: str
    identity: str


class Token(NamedTuple):
    """What was approved, and by whom.  `scope`: the tools it is for, as `tool:NAME` or `NAME`."""

    token_id: str
    approver_identity: str
    reason_code: str
    intent_digest: str
    policy_digest: str
    scope: tuple[str, ...]
    created_at: str
    not_before: str
    expires_at: str
    max_uses: int = 1

    def to_value(self) -> dict[str, object]:
        """The document, not signed."""
        return {**members.head(SCHEMA_ID, SCHEMA_VERSION), **self._asdict(), "scope": list(self.scope)}


def sign(token: Token, key: Key) -> dict[str, object]:
    """The signed document.  InvalidInput: a member is not acceptable."""
    return envelope.sign(_read(token.to_value()).to_value(), key, envelope.APPROVAL_TOKEN)


def read(value: object, approvers: tuple[Approver, ...]) -> tuple[Token | None, str]:
    """The token of a document, or why there is none: invalid, signature_missing, signature_invalid or approver_mismatch."""
    if type(value) is not dict:
        return None, "invalid"
    try:
        token = _read({name: field for name, field in value.items() if name != "signature"})
    except InvalidInput:
        return None, "invalid"
    problem = members.signature_problem(value, envelope.APPROVAL_TOKEN, approvers, token.approver_identity)
    return (None, problem) if problem else (token, "")


def problem(token: Token, asked: Asked, now: float) -> str:
    """Why a token is not for this call at this time, in one word; empty when it is."""
    if token.intent_digest not in asked.digests:
        return "intent_mismatch"
    if token.policy_digest != asked.policy_digest:
        return "policy_mismatch"
    if not {asked.tool_name, f"tool:{asked.tool_name}"}.intersection(token.scope):
        return "scope_mismatch"
    if same_person(token.approver_identity, asked.identity):
        return "self_approved"
    return Window(token.not_before, token.expires_at).problem(now)


def _read(value: dict[str, object]) -> Token:
    """A token's members, its signature aside.  InvalidInput: one is missing, unknown or not acceptable."""
    fields = Fields(value)
    members.check_head(fields, SCHEMA_ID, SCHEMA_VERSION)
    token = Token(
        members.identifier(fields, "token_id"),
        members.short_text(fields, "approver_identity"),
        members.short_text(fields, "reason_code"),
        members.digest(fields, "intent_digest"),
        members.digest(fields, "policy_digest"),
        _scope(fields),
        members.time(fields, "created_at"),
        *members.window(fields, MAX_SECONDS),
        members.max_uses(fields),
    )
    fields.done()
    return token


def _scope(fields: Fields) -> tuple[str, ...]:
    scope = fields.texts("scope", lowered=True)
    if not 1 <= len(scope) <= MAX_SCOPES or any(len(text) > members.MAX_TEXT for text in scope):
        raise refuse(fields.at("scope"), f"1 to {MAX_SCOPES} tool names", fields.raw("scope"))
    return scope
