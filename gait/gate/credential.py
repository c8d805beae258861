"""What a credential broker is asked, and the evidence of what it issued: references only, never a secret."""

from __future__ import annotations

import re

from ..errors import InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse
from ..formats.timestamps import loads as read_time
from .facts import Needs, Proof
from .intent import IntentRequest

REQUEST = "gait.gate.broker_credential_request"
RECORD = "gait.gate.broker_credential_record"
VERSION = "1.0.0"
BROKERS = ("off", "stub", "env", "command")
# `scheme:name`: a bare token, which a broker might give by mistake, has not this form.
_REFERENCE = re.compile(r"[a-z][a-z0-9+-]{0,31}:[A-Za-z0-9._/@#?=&%~+:-]{1,200}")


class Issued(NamedTuple):
    """A broker's answer: the name of what it issued, and until when that is good (RFC 3339; empty: it does not say)."""

    credential_ref: str
    expires_at: str = ""


def request(needs: Needs, intent: IntentRequest, policy_digest: str) -> dict[str, object]:
    """What a broker is told: for what, for whom, and for which call, whose arguments it gets as a digest."""
    context = intent.context
    return {
        "schema_id": REQUEST,
        "schema_version": VERSION,
        "reference": needs.broker_reference,
        "scopes": list(needs.broker_scopes),
        "tool_name": intent.tool_name,
        "identity": context.identity,
        "workspace": context.workspace,
        "risk_class": context.risk_class,
        "session_id": context.session_id,
        "args_digest": intent.args_digest,
        "intent_digest": intent.intent_digest,
        "policy_digest": policy_digest,
    }


def read_answer(data: bytes) -> Issued:
    """The answer of a broker's command.  InvalidInput, which quotes nothing of it: not exactly a reference."""
    try:
        fields = Fields(strict_json.loads(data, "the broker's answer"))
        issued = Issued(fields.required("credential_ref"), fields.text("expires_at"))
        if not _REFERENCE.fullmatch(issued.credential_ref):
            raise refuse(("credential_ref",), "scheme:name", None)
        if issued.expires_at:
            read_time(issued.expires_at)
        fields.done()
    except InvalidInput:
        raise InvalidInput("expected an answer with a credential_ref, got something else", code="broker_answer_invalid") from None
    return issued


def proof(broker: str, asked: dict[str, object], issued: Issued, created_at: str) -> Proof:
    """A credential is there; its record goes into the trace."""
    record: dict[str, object] = {
        "schema_id": RECORD,
        "schema_version": VERSION,
        "created_at": created_at,
        "broker": broker,
        **{name: asked[name] for name in ("reference", "scopes", "intent_digest", "policy_digest")},
        "credential_ref": issued.credential_ref,
    }
    if issued.expires_at:
        record["expires_at"] = issued.expires_at
    return Proof("allow", ("broker_credential_present",), (), {"broker_credential": record})
