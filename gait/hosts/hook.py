"""What each host's hook protocol takes for an answer.  Pure: a decision in, the text for standard output out.

Invariant: only the verdict `allow` gives an answer that lets the tool run; everything else, known or not, is a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..formats.documents import NamedTuple
from ..gate.decision import approval_command

_MAX_REASON = 1000
NEXT = "Do not try it again unchanged; tell the operator."


class Host(NamedTuple):
    """One host.  `approval` is what it is told when a person has to approve; `can_approve`: an allow may skip its own prompts.

    `ask` only where every version that has hooks puts the question to a person: Codex runs the tool, older Gemini and Copilot
    ignore the word, and in Gas Town's unattended panes a nudge (text and Enter) would answer the question.
    """

    name: str
    adapter: str
    approval: str = "deny"
    can_approve: bool = False


HOSTS: Mapping[str, Host] = {
    host.name: host
    for host in (
        Host("claude-code", "claude_code", approval="ask", can_approve=True),
        Host("codex", "claude_code"),
        Host("gemini", "gemini"),
        Host("copilot", "gastown"),
        Host("openclaw", "openclaw"),
        Host("gastown", "gastown"),
    )
}


def answer(host: Host, event: object, value: Mapping[str, object], approve: bool = False) -> str:
    """The text for the host's standard output; empty says nothing, so that the host's own prompts stay.

    `value` is a decision as `Judged.to_value` and the decision API give it; `approve` lets an allow skip the host's prompts.
    """
    verdict = value["verdict"]
    if verdict == "allow":
        word = "allow" if approve and host.can_approve else ""
    else:
        # The host's prompt is one person's answer: where more are needed it is none.
        is_asked = verdict == "require_approval" and value.get("required_approvals", 1) in (0, 1)
        word = host.approval if is_asked else "deny"
    text = reason(value)
    if host.name == "openclaw":
        return json.dumps({"block": True, "blockReason": text} if word else {"block": False})
    if not word:
        return ""
    if host.name == "gemini":
        return json.dumps({"decision": word, "reason": text})
    decision = {"permissionDecision": word, "permissionDecisionReason": text}
    if _is_copilot(event):
        return json.dumps(decision)
    return json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}})


def _is_copilot(event: object) -> bool:
    """True for the one event shape whose answer is not nested, as the adapter of both shapes tells them apart."""
    return type(event) is dict and event.get("toolName") is not None and event.get("hook_event_name") is None


def reason(value: Mapping[str, object]) -> str:
    """Why, for the model and its operator.  Never empty: Codex runs a tool that was denied without a reason."""
    verdict = value["verdict"]
    if verdict == "allow":
        said = ["Gait allowed this call"]
    elif verdict == "require_approval":
        said = [f"Gait: a person must approve this call first (approvals needed: {value.get('required_approvals')})"]
    elif verdict == "dry_run":
        said = ["Gait refused this call: the policy only simulates it (dry run), so it was not executed"]
    else:
        said = ["Gait blocked this call"]
    codes = list(dict.fromkeys([*_texts(value.get("reason_codes")), *_texts(value.get("violations"))]))
    if value.get("matched_rule"):
        said.append(f"rule {value['matched_rule']}")
    if codes:
        said.append("because of " + ", ".join(codes))
    if value.get("trace_id"):
        said.append(f"trace {value['trace_id']}")
    text = "; ".join(said)[:_MAX_REASON] + "."
    return text if verdict == "allow" else f"{text} {_next(value)}"


def _next(value: Mapping[str, object]) -> str:
    """What to do now."""
    digests = [value.get("approval_digest") or value.get("intent_digest"), value.get("policy_digest")]
    if value["verdict"] != "require_approval" or not all(digests):
        return NEXT
    command = approval_command(str(digests[0]), str(digests[1]), str(value.get("tool_name", "")))
    return f"Ask a person to run `{command}`, then make the same call again."


def _texts(codes: object) -> list[str]:
    return [str(code) for code in codes] if isinstance(codes, (list, tuple)) else []
