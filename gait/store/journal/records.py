"""The documents of a journal: records in a chain, events among them, and heads that say how far a chain goes.

A record is a trace (`gait.gate.trace`) or an event (`gait.journal.event`), with `chain`, `sequence` and
`prev_digest` added before it is signed, so that a line of a journal verifies on its own too.
"""

from __future__ import annotations

from ...errors import GaitError, InvalidInput, VerificationFailed
from ...formats.documents import NamedTuple
from ...formats.fields import Fields, refuse
from ...formats.patterns import lazy
from ...formats.timestamps import loads as read_time
from ...gate import trace
from ...signing import envelope
from ...signing.keys import Key, Keyring

EVENT = "gait.journal.event"
HEAD = "gait.journal.head"
VERSION = "1.0.0"
EVENTS = (
    "armed", "heartbeat", "stopped", "policy_reloaded", "policy_reload_failed", "refused_input", "torn_line", "pruned",
    "outcome", "stop", "resume",
)  # fmt: skip
# The events after which the writer signs a head.
SIGNS_OF_LIFE = ("armed", "heartbeat", "stopped")
REASONS = ("rotation", "heartbeat", "stopped")
# What each kind of record is signed for.
PURPOSE_OF = {trace.SCHEMA_ID: envelope.TRACE, EVENT: envelope.JOURNAL}
LINKS = ("chain", "sequence", "prev_digest")

FIRST_DIGEST = "0" * 64
MAX_LINE_BYTES = 1024 * 1024
MAX_DEPTH = 64

_CHAIN = lazy("[a-z0-9-]{1,64}")
_DIGEST = lazy("[0-9a-f]{64}")
_EVENT_NAMES = {"schema_id", "schema_version", "created_at", "event", "details", "signature", *LINKS}


class Tail(NamedTuple):
    """Where a chain ends: in which segment, at which byte, with which record (64 zeros: none yet)."""

    segment: int = 1
    size_bytes: int = 0
    sequence: int = 0
    digest: str = FIRST_DIGEST


class Head(NamedTuple):
    """A signed statement of where a chain ended at a moment."""

    chain: str
    tail: Tail
    created_at: str
    reason: str


def check_chain(name: str) -> str:
    """The name itself.  InvalidInput: a chain's name is 1 to 64 of a-z, 0-9 and -."""
    if _CHAIN.fullmatch(name):
        return name
    raise refuse(("chain",), "1 to 64 characters of a-z, 0-9 and -", name, "choose another name, for example worker-1")


def is_chain(name: str) -> bool:
    """True when a folder's name is that of a chain."""
    return _CHAIN.fullmatch(name) is not None


def event(name: str, created_at: str, details: dict[str, object]) -> dict[str, object]:
    """An event record, not yet linked and signed.  InvalidInput: an unknown event."""
    if name not in EVENTS:
        raise refuse(("event",), f"one of {', '.join(EVENTS)}", name)
    return {"schema_id": EVENT, "schema_version": VERSION, "created_at": created_at, "event": name, "details": details}


def check_record(record: dict[str, object]) -> None:
    """VerificationFailed `record_malformed` unless the fields that a chain needs are there, and an event is exact."""
    try:
        fields = Fields(record)
        fields.integer("sequence", minimum=1)
        if not _DIGEST.fullmatch(fields.text("prev_digest")):
            raise refuse(fields.at("prev_digest"), "64 lowercase hex digits", record.get("prev_digest"))
        check_chain(fields.required("chain"))
        read_time(fields.required("created_at"))
        if record["schema_id"] == EVENT:
            _check_event(record, fields)
    except InvalidInput as error:
        raise VerificationFailed(error.message, code="record_malformed", hint="do not trust this record") from error


def _check_event(record: dict[str, object], fields: Fields) -> None:
    if set(record) != _EVENT_NAMES:
        raise refuse((), f"an event with exactly {', '.join(sorted(_EVENT_NAMES))}", ", ".join(sorted(record)))
    if record["schema_version"] != VERSION:
        raise refuse(("schema_version",), VERSION, record["schema_version"])
    fields.word("event", EVENTS)
    fields.fields("details")


def head(chain: str, tail: Tail, created_at: str, reason: str, key: Key) -> dict[str, object]:
    """A signed head document."""
    value: dict[str, object] = {
        "schema_id": HEAD,
        "schema_version": VERSION,
        "chain": chain,
        "segment": tail.segment,
        "segment_bytes": tail.size_bytes,
        "sequence": tail.sequence,
        "record_digest": tail.digest,
        "created_at": created_at,
        "reason": reason,
    }
    return envelope.sign(value, key, envelope.JOURNAL_HEAD)


def read_head(value: dict[str, object], ring: Keyring) -> Head:
    """The head of a document.  VerificationFailed: not signed by this ring, or not exactly a head."""
    envelope.verify(value, ring, envelope.JOURNAL_HEAD)
    try:
        return _read_head(Fields({name: item for name, item in value.items() if name != "signature"}))
    except GaitError as error:
        raise VerificationFailed(error.message, code="head_malformed", hint="name a head of this journal") from error


def _read_head(fields: Fields) -> Head:
    fields.word("schema_id", (HEAD,))
    fields.word("schema_version", (VERSION,))
    segment = fields.integer("segment", minimum=1)
    size_bytes = fields.integer("segment_bytes", minimum=0)
    tail = Tail(segment, size_bytes, fields.integer("sequence", minimum=0), fields.required("record_digest"))
    found = Head(check_chain(fields.required("chain")), tail, fields.required("created_at"), fields.word("reason", REASONS))
    fields.done()
    return found
