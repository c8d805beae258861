"""What an allow uses up outside the policy: the one place that every command and service asks.

Invariant: what is used up is on disk before `decide` returns an allow.  A crash in between may lose an allowance, and never
gives one twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import GaitError
from ..formats.documents import TYPE_CHECKING
from ..gate.decision import simulated
from ..gate.evaluate import barred, evaluate
from ..gate.facts import NO_BROKER, NO_COUNTER, NO_TOKEN, NOTHING, Facts, Proof

if TYPE_CHECKING:
    from ..gate.approval_fields import Approver
    from ..gate.decision import Decision
    from ..gate.facts import Needs
    from ..gate.intent import IntentRequest, SkillProvenance
    from ..gate.matching import CompiledPolicy
    from ..gate.quotas import Quota
    from ..signing.keys import Keyring
    from .broker import Broker
    from .counters import Counters, Turn
    from .offers import Offers
    from .stops import Switch
    from .packages.skill import Skill

# stops.FOLDER, and what says that there was one: until they are there, nothing was ever stopped, and the module need not be loaded.
_STOPS = ("stops", "stops.used")
_LATER = Proof("allow", ())  # of a credential: it is asked for when the rest allows the call, and only then can that be the answer
_NO_STORE = Proof("block", ("approval_store_unavailable",), ("approval_store_unavailable",))


def nobody() -> tuple[Approver, ...]:
    """No approvals are believed."""
    return ()


def _may_be_there(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        pass  # the switch says what that means
    return True


class Allowances:
    """Those below one $GAIT_HOME.  Nothing is opened or made before a call needs it.  Safe to use from any thread.

    `ring` gives the keys that verify stops; it is asked only where something was stopped.  `approvers` gives those whose approvals
    are believed; it is asked only for a call that needs one.  `sync` waits for the disk, so that uses outlast a power failure too.
    `broker` is asked for the credentials that rules require; None: there are none.
    `skill` is the package that all calls come from, where the operator names one.  `simulates`: nothing but a stop is enforced,
    nothing is used up, and no broker is asked.
    """

    def __init__(
        self,
        home: str,
        ring: Callable[[], Keyring],
        approvers: Callable[[], tuple[Approver, ...]] = nobody,
        sync: bool = False,
        broker: Broker | None = None,
        skill: Skill | None = None,
        simulates: bool = False,
    ) -> None:
        self._home = home
        self._sync = sync
        self._approvers = approvers
        self._broker = broker
        self._skill = skill
        self._simulates = simulates
        self._ring = ring
        self._stops = tuple(os.path.join(home, name) for name in _STOPS)
        self._switch: Switch | None = None
        self._opened: Counters | None = None

    def decide(self, compiled: CompiledPolicy, intent: IntentRequest, tokens: tuple[object, ...]) -> Decision:
        """The decision with all that is known (see judge.Outside)."""
        stopped = self._stopped(intent)
        if stopped:
            return barred(compiled, intent, *stopped)
        decision = evaluate(compiled, intent)
        if decision.needs:
            decision = self._settled(compiled, intent, decision, tokens)
            stopped = self._stopped(intent)  # a broker, or the turn of others, may have taken seconds
            if stopped:
                return barred(compiled, intent, *stopped)
        return simulated(decision) if self._simulates else decision

    def _stopped(self, intent: IntentRequest) -> tuple[str, ...]:
        """Why the kill switch holds a call back.  Once there is a switch it is always asked: what was stopped stays so without its folder."""
        if self._switch is None:
            if not any(map(_may_be_there, self._stops)):
                return ()
            from .stops import Switch

            self._switch = Switch(self._home, self._ring)
        return self._switch.reasons(intent)

    def require_skill(self) -> None:
        """For what is to run long.  GaitError: the named package does not verify, and every call would be blocked."""
        if self._skill:
            self._skill.require()

    def skill(self) -> tuple[SkillProvenance | None, str]:
        """The verified package (see judge.Outside)."""
        if self._skill is None:
            return None, ""
        found = self._skill.provenance()
        return found, "" if found else "skill_unverified"

    def _settled(self, compiled: CompiledPolicy, intent: IntentRequest, decision: Decision, tokens: tuple[object, ...]) -> Decision:
        """The decision about a call that needs something."""
        needs, offers = decision.needs, None
        if needs and needs.approvals:
            if self._approvers is nobody and not tokens:
                return decision
            from .offers import gather

            found = gather(self._home, self._approvers, needs, decision.policy_digest, intent, tokens)
            if isinstance(found, Proof):  # nothing that a store would have to be opened for
                return decision if found is NO_TOKEN else evaluate(compiled, intent, Facts(approval=found))
            offers = found
        try:
            return self._with_credential(compiled, intent, decision, offers)
        except GaitError as error:
            approval = _NO_STORE if offers else NOTHING.approval
            unavailable = NO_COUNTER._replace(evidence={"unavailable": error.error_code})
            return evaluate(compiled, intent, Facts(approval=approval, limits=unavailable, credential=_LATER))

    def _with_credential(self, compiled: CompiledPolicy, intent: IntentRequest, decision: Decision, offers: Offers | None) -> Decision:
        """The decision, for which a broker is asked only when all else allows it, and while nobody waits for a turn."""
        needs = decision.needs
        if needs is None or self._simulates or not needs.needs_credential:
            return self._claimed(compiled, intent, decision, offers, _LATER, not self._simulates)
        without = self._claimed(compiled, intent, decision, offers, _LATER, False)
        if without.verdict != "allow":
            return without
        return self._claimed(compiled, intent, decision, offers, self._credential(needs, intent, decision.policy_digest), True)

    def _claimed(
        self, compiled: CompiledPolicy, intent: IntentRequest, decision: Decision, offers: Offers | None, credential: Proof, claim: bool
    ) -> Decision:
        """The decision by approvals and counts, which an allow raises in the same turn.  GaitError: they are out of reach."""
        needs = decision.needs
        if not (offers or (needs and (needs.rate_limit or needs.budget))):
            return evaluate(compiled, intent, Facts(credential=credential))
        with self._counters().turn() as turn:
            facts, quotas = self._facts(turn, decision, intent, offers)
            decided = evaluate(compiled, intent, facts._replace(credential=credential))
            if claim and decided.verdict == "allow":
                for quota in quotas:
                    turn.take(quota)
                turn.commit()
            return decided

    def _credential(self, needs: Needs, intent: IntentRequest, policy_digest: str) -> Proof:
        """What the broker says."""
        if self._broker is None:
            return NO_BROKER
        from ..gate import credential
        from ..system import clock

        asked = credential.request(needs, intent, policy_digest)
        try:
            return credential.proof(self._broker.kind, asked, self._broker.issue(asked), clock.now_text())
        except GaitError as error:
            return NO_BROKER._replace(evidence={"broker_error": error.error_code})

    def _facts(self, turn: Turn, decision: Decision, intent: IntentRequest, offers: Offers | None) -> tuple[Facts, list[Quota]]:
        """What is known in a turn, and what an allow would use up."""
        facts, used, needs = NOTHING, [], decision.needs
        if offers:
            reviewed = offers.review(turn)
            facts, used = facts._replace(approval=reviewed.proof), list(reviewed.quotas)
        if needs and (needs.rate_limit or needs.budget):
            from ..gate import quotas

            wanted, problem = quotas.wanted(needs, decision.matched_rule, intent)
            facts, used = facts._replace(limits=quotas.proof(wanted, problem, turn.used, turn.now)), used + wanted
        return facts, used

    def _counters(self) -> Counters:
        if self._opened is None:
            from .counters import FOLDER, Counters

            self._opened = Counters(os.path.join(self._home, FOLDER), self._sync)
        return self._opened
