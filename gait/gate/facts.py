"""What a decision needs to know beside policy and intent, and what was found out about it.

Invariant: a fact can only make possible what the rule asks for; it never loosens a block that a rule, its dataflow or its
endpoint made.  Without facts (NOTHING) whatever is needed is missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..formats.documents import NamedTuple

WINDOWS = ("minute", "hour", "day")
SCOPES = ("tool", "identity", "tool_identity", "session")
_NO_EVIDENCE: Mapping[str, object] = {}


class RateLimit(NamedTuple):
    """At most `requests` allowed calls in one `window` for each `scope`."""

    requests: int
    window: str
    scope: str


class Budget(NamedTuple):
    """At most `limit` in total of a numeric argument in one `window` for each `scope`."""

    argument: str
    limit: int
    window: str
    scope: str


class Needs(NamedTuple):
    """What must hold before a call may run.

    `approvals` 0: none.  `is_exact`: an approval must name this very call, since its dataflow or endpoint asks for one too; a
    standing grant is not enough.  `needs_credential`: a broker has to issue one, by the reference and scopes given here.
    """

    approvals: int
    distinct_approvers: bool
    is_exact: bool
    rate_limit: RateLimit | None
    budget: Budget | None
    needs_credential: bool
    broker_reference: str
    broker_scopes: tuple[str, ...]


class Proof(NamedTuple):
    """What came of one need: allow, or the verdict that stands without it, with the codes that say why.

    `evidence` goes into the signed record and the answer.
    """

    verdict: str
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...] = ()
    evidence: Mapping[str, object] = _NO_EVIDENCE


NO_TOKEN = Proof("require_approval", ("approval_token_missing",), ("approval_not_granted",))
NO_COUNTER = Proof("block", ("rate_limit_unavailable",), ("rate_limit_unavailable",))
NO_BROKER = Proof("block", ("broker_credential_required",), ("broker_credential_missing",))


class Facts(NamedTuple):
    """A proof for each need.  `limits` answers for the rate limit and the budget together."""

    approval: Proof = NO_TOKEN
    limits: Proof = NO_COUNTER
    credential: Proof = NO_BROKER


NOTHING = Facts()
# Where only the policy is asked about: the call fits its limits and gets its credential, but nobody has approved it.
ASSUMED = Facts(limits=Proof("allow", ()), credential=Proof("allow", ("broker_credential_present",)))


def proofs(needed: Needs, facts: Facts) -> list[Proof]:
    """The proof for each need.  An approval that is missing postpones the rest."""
    found = [facts.approval] if needed.approvals else []
    if found and facts.approval.verdict != "allow":
        return found
    if needed.rate_limit or needed.budget:
        found.append(facts.limits)
    if needed.needs_credential:
        found.append(facts.credential)
    return found
