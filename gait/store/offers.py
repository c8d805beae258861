"""What may approve a call: the tokens that came with it, and those and the grants that are kept for it.

Invariant: nothing is believed but what an approver signed, and nothing that is revoked or used up.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import GaitError
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..gate import approvals
from ..gate.approval_fields import Approver
from ..gate.approval_tokens import Asked
from ..gate.approvals import Entry, Review
from ..gate.facts import NO_TOKEN, Needs, Proof
from ..gate.intent import IntentRequest
from .approvals import FOLDER, Approvals

if TYPE_CHECKING:
    from .counters import Turn

_NO_KEY = Proof("require_approval", ("approval_key_missing",), ("approval_not_granted",))
_BAD_KEY = Proof("block", ("approval_key_unusable",), ("approval_key_unusable",))
_NO_STORE = Proof("block", ("approval_store_unavailable",), ("approval_store_unavailable",))


class Offers(NamedTuple):
    """The documents for one call, with those whose word would count."""

    intent: IntentRequest
    call: Asked
    needs: Needs
    approvers: tuple[Approver, ...]
    store: Approvals
    tokens: tuple[object, ...]
    grants: tuple[object, ...]

    def review(self, turn: Turn) -> Review:
        """Whether they are enough, at the time and by the counts of a turn.  GaitError: the counts are out of reach."""
        entries = [approvals.of_token(value, self.approvers, self.call, turn.now) for value in self.tokens]
        standing = (approvals.of_grant(value, self.approvers, self.needs, self.call, self.intent, turn.now) for value in self.grants)
        entries += [entry for entry in standing if entry]
        return approvals.review(self.needs, [self._checked(entry, turn) for entry in entries])

    def _checked(self, entry: Entry, turn: Turn) -> Entry:
        """The entry, refused when it is revoked or used up."""
        if entry.code or entry.quota is None:
            return entry
        if self.store.is_revoked(entry.id):
            return approvals.refused(entry, "revoked")
        return entry if entry.quota.allows(turn.used(entry.quota)) else approvals.refused(entry, "used")


def gather(
    home: str, approvers: Callable[[], tuple[Approver, ...]], needs: Needs, policy_digest: str, intent: IntentRequest, tokens: tuple[object, ...]
) -> Offers | Proof:
    """What may approve a call, or the proof that nothing does."""
    try:
        believed = approvers()
    except GaitError:
        return _BAD_KEY
    if not believed:
        return _NO_KEY if tokens else NO_TOKEN
    call = approvals.asked(policy_digest, intent)
    store = Approvals(os.path.join(home, FOLDER))
    try:
        kept = tuple(found.value for found in store.tokens(call.digests))
        grants = tuple(found.value for found in store.grants(intent.tool_name))
    except GaitError:
        return _NO_STORE
    if not (tokens or kept or grants):
        return NO_TOKEN
    return Offers(intent, call, needs, believed, store, (*tokens, *kept), grants)
