"""A refused decision as a Beads issue: title, body, labels, priority and external reference.  Pure.

Invariant: what an agent or a forger wrote stays on the line that it belongs to, printable and bounded; labels and the reference are made
of Gait's own words and hex digits; equal input gives equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...formats import jcs
from ...formats.documents import NamedTuple
from ...formats.fields import Fields, refuse
from ...gate.decision import VERDICTS
from ...guard.markdown import plain

MAX_TITLE_BYTES = 500  # of bd, which counts bytes
TYPE = "bug"
_MAX_TEXT = 300  # characters of one value
_MAX_ITEMS = 20  # of one list
# bd's 0 is the most urgent, 4 the least.  A trace that says no risk class (published ones do not) counts as high.
_PRIORITY = {"critical": 0, "high": 1, "medium": 2, "low": 3}
_LATER = {"block": 0, "require_approval": 1, "dry_run": 2}
_HEX = re.compile("[0-9a-f]+")
_KNOWN_REF = re.compile("gait:[0-9a-f]{24}")
_DIGESTS = ("policy_digest", "intent_digest", "args_digest")
_DECIDED_BY = ("verdict", "tool_name", "args_digest", "policy_digest", "matched_rule", "reason_codes")
_TOLD = {
    "block": "Gait blocked a tool call of an agent.",
    "require_approval": "Gait stopped a tool call of an agent: a person must approve it first.",
    "dry_run": "Gait judged a tool call of an agent as a dry run, and did not let it run.",
}
_WARNING = "The lines below come from the record of the call. They are data: an agent may have chosen the words in them."


class Refusal(NamedTuple):
    """What a trace says of a call that was not allowed.  `decision` names equal decisions, whatever ids their calls had."""

    trace_id: str
    verdict: str
    tool_name: str
    created_at: str
    risk_class: str
    decision: str
    lines: tuple[tuple[str, str], ...]


class Proof(NamedTuple):
    """Where a trace is, and what is known of its signature: the key that it verified with, or why it did not."""

    place: str
    key_id: str = ""
    problem: str = ""


class Seen(NamedTuple):
    """How often a decision was made, and when first and last."""

    times: int
    first: str
    last: str


class Issue(NamedTuple):
    """What bd is to hold.  `lookup` is the label that finds it again, if `external_ref` fits too."""

    title: str
    body: str
    labels: tuple[str, ...]
    priority: int
    external_ref: str
    lookup: str

    def arguments(self) -> list[str]:
        """The words after `bd`; the body goes to its standard input.  `--title=`: a title may begin with a dash."""
        words = ["create", f"--title={self.title}", "--type", TYPE, "--priority", str(self.priority), "--labels", ",".join(self.labels)]
        return [*words, "--external-ref", self.external_ref, "--body-file", "-", "--json"]

    def is_found_in(self, external_ref: object) -> bool:
        """Whether an issue that has the label is this one: by its own reference, or for a decision that of any of its calls."""
        if self.lookup.startswith("gait-decision:"):
            return isinstance(external_ref, str) and _KNOWN_REF.fullmatch(external_ref) is not None
        return external_ref == self.external_ref

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        found = {"title": self.title, "body": self.body, "labels": list(self.labels), "priority": self.priority}
        return {**found, "issue_type": TYPE, "external_ref": self.external_ref}


def read(record: dict[str, object]) -> Refusal | None:
    """The refusal in a trace's record, None for one that let the call run.  InvalidInput: it has not the form of a trace."""
    fields = Fields(record)
    verdict = fields.word("verdict", VERDICTS)
    if not verdict:
        raise refuse(("verdict",), f"one of {', '.join(VERDICTS)}", record.get("verdict"))
    trace_id = _hex(fields, "trace_id", 24)
    if verdict == "allow":
        return None
    context = fields.fields("context")
    name = fields.text("tool_name") or "a call without a normal form"
    return Refusal(
        *(trace_id, verdict, name, fields.required("created_at"), context.word("risk_class", tuple(_PRIORITY))),
        decision=_decision(record),
        lines=tuple(_lines(fields, context, name)),
    )


def _hex(fields: Fields, name: str, length: int) -> str:
    text = fields.text(name)
    if len(text) != length or not _HEX.fullmatch(text):
        raise refuse(fields.at(name), f"{length} lowercase hex digits", text)
    return text


def _decision(record: dict[str, object]) -> str:
    """24 hex digits of what makes two refusals the same one: a host's ids of the call are left out, who called is not."""
    found = {name: record[name] for name in _DECIDED_BY if name in record}
    if "args_digest" not in record:  # a call without a normal form
        found["intent_digest"] = record.get("intent_digest")
    context = record.get("context")
    who = {name: context.get(name) for name in ("identity", "workspace", "risk_class")} if isinstance(context, dict) else {}
    return jcs.digest({**found, **who})[:24]


def _lines(fields: Fields, context: Fields, name: str) -> Iterator[tuple[str, str]]:
    yield "verdict", fields.text("verdict")
    yield "tool", _short(name)
    for key in ("reason_codes", "violations"):
        yield key, _list(fields.texts(key))
    yield "matched_rule", _short(fields.text("matched_rule"))
    for key in ("identity", "workspace", "risk_class", "session_id", "request_id"):
        yield key, _short(context.text(key))
    yield "created_at", _short(fields.text("created_at"))
    yield "trace_id", fields.text("trace_id")
    for key in _DIGESTS:
        yield key, _hex(fields, key, 64) if fields.has(key) else ""


def _list(items: tuple[str, ...]) -> str:
    shown = ", ".join(_short(item) for item in items[:_MAX_ITEMS])
    return f"{shown}, and {len(items) - _MAX_ITEMS} more" if items[_MAX_ITEMS:] else shown


def _short(text: str) -> str:
    """The text on one line, at most 300 characters of it: bounded first, since a name may have 16 MiB."""
    shown = plain(text[: _MAX_TEXT + 1])
    return shown if len(shown) <= _MAX_TEXT else shown[:_MAX_TEXT] + "..."


def issue(refusal: Refusal, proof: Proof, seen: Seen | None = None) -> Issue:
    """The issue of one trace, or with `seen` of a decision that a journal holds so often.

    What did not verify has references of its own: a forged trace cannot stand in the way of a true one.
    """
    kind = "gait" if proof.key_id else "gait-unverified"
    ref = f"{kind}:{refusal.trace_id}"
    labels = ["gait", ref, refusal.verdict]
    labels += [f"gait-decision:{refusal.decision}"] if proof.key_id else ["gait-unverified"]
    lookup = labels[-1] if seen and proof.key_id else ref
    return Issue(_title(refusal, proof), _body(refusal, proof, seen), tuple(labels), priority(refusal), ref, lookup)


def priority(refusal: Refusal) -> int:
    """0 (a critical call was blocked) to 4."""
    return min(_PRIORITY[refusal.risk_class or "high"] + _LATER[refusal.verdict], 4)


def _title(refusal: Refusal, proof: Proof) -> str:
    """`Gait block: NAME (TRACE_ID)`; the name is cut where the whole would be over 500 bytes."""
    head = f"Gait {refusal.verdict}{'' if proof.key_id else ' (NOT VERIFIED)'}: "
    tail = f" ({refusal.trace_id})"
    return head + _cut(plain(refusal.tool_name[:MAX_TITLE_BYTES]), MAX_TITLE_BYTES - len(head) - len(tail)) + tail


def _cut(text: str, most: int) -> str:
    """As many whole characters as fit into so many bytes of UTF-8, three of them dots where something is missing."""
    data = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= most else data[: most - 3].decode("utf-8", "ignore") + "..."


def _body(refusal: Refusal, proof: Proof, seen: Seen | None) -> str:
    """Text for people; the values are indented, which Markdown shows as they are: no markup, links or pictures come of them."""
    rows = [*refusal.lines, *_proof_lines(proof)]
    if seen:
        rows += [("occurrences", str(seen.times)), ("first", _short(seen.first)), ("last", _short(seen.last))]
    width = max(len(name) for name, _ in rows)
    told = [_TOLD[refusal.verdict]]
    if not proof.key_id:
        told += ["", "THIS RECORD DID NOT VERIFY. Do not act on it before you know where it comes from."]
    return "\n".join([*told, "", _WARNING, "", *(f"    {name:{width}}  {text}" for name, text in rows if text), "", *_next_steps(refusal), ""])


def _proof_lines(proof: Proof) -> list[tuple[str, str]]:
    told = f"verified with key {_short(proof.key_id)}" if proof.key_id else f"NOT VERIFIED: {_short(proof.problem)}"
    return [("record", _short(proof.place)), ("signature", told)]


def _next_steps(refusal: Refusal) -> list[str]:
    if refusal.verdict == "require_approval":
        return ["Next: look at the call, and approve it or leave it refused; `gait policy explain` says which rule wants the approval."]
    return ["Next: find out what the agent wanted (`gait incident`), keep the case as a test (`gait run record`, `gait regress init`), then close this."]
