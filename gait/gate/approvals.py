"""Whether the approvals that were found are enough for a call: the chain, its refusals, and the audit of both.

Invariant: nothing of a document that is not an approver's word is repeated in the audit.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import GaitError
from ..formats import jcs, timestamps
from ..formats.documents import NamedTuple
from . import approval_grants as grants
from . import approval_tokens as tokens
from .approval_fields import Approver, person
from .facts import NO_TOKEN, Needs, Proof
from .intent import IntentRequest, approval_digest
from .quotas import Quota

AUDIT_ID = "gait.gate.approval_audit_record"
AUDIT_VERSION = "1.0.0"
MAX_OFFERED = 16  # tokens that come with a call
STANDING = "approval_standing_grant"  # the reason code of a decision that a grant has helped to allow

_NOT_GRANTED = ("approval_not_granted",)
_TOKEN, _GRANT = "token", "grant"


class Entry(NamedTuple):
    """One approval that was looked at.  `code` is the reason code of its refusal, empty when it counts."""

    kind: str
    id: str
    approver: str
    code: str
    quota: Quota | None = None
    reason_code: str = ""
    expires_at: str = ""
    document_digest: str = ""

    def to_value(self) -> dict[str, object]:
        """Its line in the audit; `document_digest` stands for a document that nobody vouches for."""
        value: dict[str, object] = {"valid": not self.code, f"{self.kind}_id": self.id, "approver_identity": self.approver}
        value.update(reason_code=self.reason_code, expires_at=self.expires_at, error_code=self.code, document_digest=self.document_digest)
        return {name: field for name, field in value.items() if field != ""}


class Review(NamedTuple):
    """What came of all of them: the proof, and the uses that an allow takes."""

    proof: Proof
    quotas: tuple[Quota, ...] = ()


def asked(policy_digest: str, intent: IntentRequest) -> tokens.Asked:
    """The call, as tokens name it; the digest without request_id comes first."""
    digests = tuple(dict.fromkeys((approval_digest(intent), intent.intent_digest)))
    return tokens.Asked(digests, policy_digest, intent.tool_name, intent.context.identity)


def of_token(value: object, approvers: tuple[Approver, ...], call: tokens.Asked, now: float) -> Entry:
    """The entry of a token document, as far as the document alone says."""
    token, problem = tokens.read(value, approvers)
    if token is None:
        return Entry(_TOKEN, "", "", f"approval_token_{problem}", document_digest=_digest(value))
    problem = tokens.problem(token, call, now)
    code = f"approval_token_{problem}" if problem else ""
    quota = quota_of(_TOKEN, token.token_id, token.max_uses, timestamps.loads(token.expires_at))
    return Entry(_TOKEN, token.token_id, token.approver_identity, code, quota, token.reason_code, token.expires_at)


def of_grant(value: object, approvers: tuple[Approver, ...], needs: Needs, call: tokens.Asked, intent: IntentRequest, now: float) -> Entry | None:
    """The entry of a grant document; None when it speaks of other calls."""
    grant, problem = grants.read(value, approvers)
    if grant is None:
        return Entry(_GRANT, "", "", f"approval_grant_{problem}", document_digest=_digest(value))
    if not grant.is_for(intent):
        return None
    problem = grants.problem(grant, call.policy_digest, needs.is_exact, now)
    code = f"approval_grant_{problem}" if problem else ""
    quota = quota_of(_GRANT, grant.grant_id, grant.max_uses, timestamps.loads(grant.expires_at))
    return Entry(_GRANT, grant.grant_id, grant.approver_identity, code, quota, grant.reason_code, grant.expires_at)


def quota_of(kind: str, id_: str, uses: int, expires_at: float) -> Quota:
    """The count of a `token`'s or `grant`'s uses, which may be forgotten at `expires_at` (seconds since 1970)."""
    return Quota(jcs.digest([f"approval_{kind}", id_]), uses, expires_at=expires_at)


def refused(entry: Entry, problem: str) -> Entry:
    """An entry that counts no longer, such as one that is used or revoked."""
    return entry._replace(code=f"approval_{entry.kind}_{problem}")


def review(needs: Needs, entries: Iterable[Entry]) -> Review:
    """Whether they are enough.  An id counts once; of those that count no more are used than are needed, tokens first."""
    found = list({(entry.kind, entry.id, entry.document_digest): entry for entry in entries}.values())
    if not found:
        return Review(NO_TOKEN)
    valid = sorted((entry for entry in found if not entry.code), key=lambda entry: (entry.kind == _GRANT, entry.expires_at, entry.id))
    chosen = _distinct(valid) if needs.distinct_approvers else valid
    is_enough = len(chosen) >= needs.approvals
    chosen = chosen[: needs.approvals] if is_enough else []
    evidence = _evidence(needs, found, valid, chosen)
    if is_enough:
        standing = {STANDING for entry in chosen if entry.kind == _GRANT}
        quotas = tuple(entry.quota for entry in chosen if entry.quota)
        return Review(Proof("allow", ("approval_granted", *standing), evidence=evidence), quotas)
    codes = {entry.code for entry in found if entry.code}
    if len(valid) >= needs.approvals:
        codes.add("approval_distinct_approvers_required")
    elif valid:
        codes.add("approval_chain_insufficient")
    return Review(Proof("require_approval", tuple(sorted(codes)), _NOT_GRANTED, evidence))


def _distinct(entries: list[Entry]) -> list[Entry]:
    """The first entry of each person."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(person(entry.approver), entry)
    return list(found.values())


def _evidence(needs: Needs, found: list[Entry], valid: list[Entry], chosen: list[Entry]) -> dict[str, object]:
    audit: dict[str, object] = {
        "schema_id": AUDIT_ID,
        "schema_version": AUDIT_VERSION,
        "required_approvals": needs.approvals,
        "valid_approvals": len(valid),
        "approved": bool(chosen),
        "approvers": sorted({entry.approver for entry in (chosen or valid)}),
        "entries": [entry.to_value() for entry in found],
    }
    evidence: dict[str, object] = {}
    for kind in (_TOKEN, _GRANT):
        ids = [entry.id for entry in chosen if entry.kind == kind]
        if ids:
            evidence[f"approval_{kind}_ref"] = ",".join(ids)
    return {**evidence, "approval_audit": audit}


def _digest(value: object) -> str:
    """Of a document; empty when it has no canonical form."""
    try:
        return jcs.digest(value)
    except GaitError:
        return ""
