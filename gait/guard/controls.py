"""What an auditor asks, and which of the facts in a pack answer it.  The words are Gait's own: no standard is quoted.

A control is shown, partly shown or not shown by the facts that it needs; nobody is certified by that.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..formats.documents import NamedTuple

# What can be true of a pack; summary.facts says which are.
FACTS = {
    "decided": "every call has a recorded decision",
    "traced": "every decision has its signed trace in this pack",
    "policy_named": "every decision names the digest of the policy that made it",
    "identity_named": "every call names who asked for it",
    "refusals_held": "no call that was not allowed is recorded as executed",
    "outcomes_known": "what became of every allowed call is recorded",
    "run_signed": "the run is signed and the signature was verified",
    "journal_verified": "the journal was given and all of it verified",
    "end_proven": "signed heads prove that no chain of the journal was cut off at its end",
    "approvals_kept": "every approval that a decision rests on is in this pack",
}


class Control(NamedTuple):
    """One question: its name where it comes from, what evidence like this can say to it, and what it cannot."""

    control_id: str
    title: str
    shows: str
    leaves_open: str
    needs: tuple[str, ...]


_INCIDENT = (
    Control("what_happened", "What did the agent try?", "The calls in order, with tool, target and decision.", "What the agent did without calling a tool.", ("decided",)),
    Control("what_ran", "What was executed?", "The outcome that was recorded for each allowed call.", "What a tool did besides what it answered.", ("decided", "outcomes_known")),
    Control("what_was_stopped", "What was stopped?", "The calls that were not allowed, and that none of them is recorded as executed.", "Calls that never came to Gait.", ("decided", "refusals_held")),
    Control("who_asked", "Who asked for it?", "The identity that came with each call.", "Whether that identity was the person's own.", ("identity_named",)),
    Control("which_policy", "Which rules applied?", "The digest of the policy behind each decision.", "Whether that was the policy the team wanted.", ("policy_named", "traced")),
    Control("can_it_be_trusted", "Was the evidence changed afterwards?", "Signatures over the run and every decision, and a journal in which nothing is missing.", "Changes by somebody who holds the signing key.", ("run_signed", "traced", "journal_verified", "end_proven")),
)  # fmt: skip

_SOC2 = (
    Control("CC6.1", "Access is limited to what is allowed", "Each call was decided by a policy before it could run.", "That the policy itself is narrow enough.", ("decided", "policy_named", "refusals_held")),
    Control("CC6.3", "Access follows roles and approvals", "Who asked, and the approvals behind allowed calls.", "How identities and approvers are chosen.", ("identity_named", "approvals_kept")),
    Control("CC7.2", "Unusual activity is noticed", "Every call that was not allowed, with its reasons.", "That somebody looks at them.", ("decided", "traced")),
    Control("CC7.3", "Incidents can be examined", "A run whose every decision can be verified again.", "The conclusions that were drawn.", ("run_signed", "traced", "journal_verified")),
    Control("CC8.1", "Changes are controlled", "The digest of the policy that was in force for each call.", "Who changed the policy and who reviewed it.", ("policy_named", "traced")),
)  # fmt: skip

_PCI = (
    Control("7", "Access by need to know", "Each call was decided by rules, and what they did not allow did not run.", "That the rules match the need.", ("decided", "refusals_held")),
    Control("8", "Users are identified", "The identity that came with each call.", "How the identity was proven to the agent's host.", ("identity_named",)),
    Control("10.2", "Actions leave a log", "A signed record for every decision: who, what, when, result.", "Logs of systems other than Gait.", ("decided", "identity_named", "traced")),
    Control("10.3", "Logs cannot be altered unseen", "Chained, signed records with signed heads.", "Protection from whoever holds the signing key; keep it elsewhere.", ("run_signed", "journal_verified", "end_proven")),
    Control("12.10", "Incidents are answered", "Evidence that can be handed over and verified offline.", "The response plan and its exercise.", ("run_signed", "traced")),
)  # fmt: skip

TEMPLATES = {"incident_response": _INCIDENT, "soc2": _SOC2, "pci": _PCI}
NAMES = tuple(TEMPLATES)
STATUSES = ("shown", "partly shown", "not shown")


def answer(template: str, facts: Mapping[str, bool]) -> list[dict[str, object]]:
    """Each control of a template with its status, and the facts that it lacks."""
    return [_answer(control, facts) for control in TEMPLATES[template]]


def _answer(control: Control, facts: Mapping[str, bool]) -> dict[str, object]:
    lacks = [name for name in control.needs if not facts[name]]
    status = STATUSES[0] if not lacks else STATUSES[2] if len(lacks) == len(control.needs) else STATUSES[1]
    return {**control._asdict(), "needs": list(control.needs), "status": status, "lacks": lacks}
