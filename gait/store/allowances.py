"""What an allow uses up outside the policy: the one place that every command and service asks.

Invariant: what is used up is on disk before `decide` returns an allow.  A crash in between may lose an allowance, and never
gives one twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import GaitError
from ..formats.documents import TYPE_CHECKING
from ..gate.evaluate import barred, evaluate
from .stops import Switch

if TYPE_CHECKING:
    from ..gate.decision import Decision
    from ..gate.intent import IntentRequest
    from ..gate.matching import CompiledPolicy
    from ..signing.keys import Keyring
    from .counters import Counters


class Allowances:
    """Those below one $GAIT_HOME.  Nothing is opened or made before a call needs it.  Safe to use from any thread.

    `ring` gives the keys that verify stops; it is asked only where something was stopped.  `sync` waits for the disk.
    """

    def __init__(self, home: str, ring: Callable[[], Keyring], sync: bool = False) -> None:
        self._home = home
        self._sync = sync
        self._switch = Switch(home, ring)
        self._opened: Counters | None = None

    def decide(self, compiled: CompiledPolicy, intent: IntentRequest, tokens: tuple[object, ...]) -> Decision:
        """The decision with all that is known (see judge.Outside)."""
        stopped = self._switch.reasons(intent)
        if stopped:
            return barred(compiled, intent, *stopped)
        decision = evaluate(compiled, intent)
        if decision.needs and (decision.needs.rate_limit or decision.needs.budget):
            return self._counted(compiled, intent, decision)
        return decision

    def _counted(self, compiled: CompiledPolicy, intent: IntentRequest, decision: Decision) -> Decision:
        """The decision by the counts, which it raises in the same turn when it is allow."""
        from ..gate import facts, quotas

        needs = decision.needs
        if needs is None:
            return decision
        wanted, problem = quotas.wanted(needs, decision.matched_rule, intent)
        try:
            with self._counters().turn() as turn:
                proof = quotas.proof(wanted, problem, turn.used)
                decided = evaluate(compiled, intent, facts.Facts(limits=proof))
                if decided.verdict == "allow":
                    for quota in wanted:
                        turn.take(quota)
                    turn.commit()
                return decided
        except GaitError as error:
            unavailable = facts.NO_COUNTER._replace(evidence={"unavailable": error.error_code})
            return evaluate(compiled, intent, facts.Facts(limits=unavailable))

    def _counters(self) -> Counters:
        if self._opened is None:
            from .counters import FOLDER, Counters

            self._opened = Counters(os.path.join(self._home, FOLDER), self._sync)
        return self._opened
