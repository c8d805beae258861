"""What approval tokens and standing grants share: whose word they are, when they hold, and how their members are read."""

from __future__ import annotations

import re
import unicodedata

from .. import __version__
from ..errors import GaitError, InvalidInput
from ..formats import timestamps
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse, trim
from ..formats.jcs import MAX_INTEGER
from ..signing import envelope
from ..signing.keys import Keyring

SKEW_SECONDS = 60.0  # how far an approver's clock may be ahead; the end of a window has no such leeway
MAX_BYTES = 64 * 1024
MAX_TEXT = 256

_DIGEST = re.compile("[0-9a-f]{64}")
_ID = re.compile("[0-9a-f]{24}")


class Approver(NamedTuple):
    """A key ring whose approvals are believed.  `identity` not empty: only those in this name."""

    ring: Keyring
    identity: str = ""


class Window(NamedTuple):
    """From when to when, as RFC 3339 text."""

    not_before: str
    expires_at: str

    def problem(self, now: float) -> str:
        """`not_yet_valid`, `expired` or nothing, at `now` in seconds since 1970."""
        if timestamps.loads(self.not_before) > now + SKEW_SECONDS:
            return "not_yet_valid"
        return "expired" if timestamps.loads(self.expires_at) <= now else ""


def same_person(left: str, right: str) -> bool:
    """Whether two identities are one: case, spaces around it and another way to write the same characters make no other person."""
    return person(left) == person(right)


def person(identity: str) -> str:
    """The form in which identities are compared."""
    return trim(unicodedata.normalize("NFKC", identity)).casefold()


def signature_problem(value: dict[str, object], purpose: str, approvers: tuple[Approver, ...], identity: str) -> str:
    """Why a document is not an approver's word: signature_missing, signature_invalid, approver_mismatch; empty when it is."""
    if "signature" not in value:
        return "signature_missing"
    found = "signature_invalid"
    for approver in approvers:
        try:
            envelope.verify(value, approver.ring, purpose)
        except GaitError:
            continue
        if not approver.identity or same_person(approver.identity, identity):
            return ""
        found = "approver_mismatch"
    return found


def head(schema_id: str, schema_version: str) -> dict[str, object]:
    """The first members of a document."""
    return {"schema_id": schema_id, "schema_version": schema_version, "producer_version": __version__}


def check_head(fields: Fields, schema_id: str, schema_version: str) -> None:
    """Refuse another document, or another version of it."""
    for name, expected in (("schema_id", schema_id), ("schema_version", schema_version)):
        if fields.raw(name) != expected:
            raise refuse(fields.at(name), expected, fields.raw(name))
    short_text(fields, "producer_version")


def identifier(fields: Fields, name: str) -> str:
    """The id of an approval."""
    return _matching(fields, name, _ID, "24 lowercase hex digits")


def digest(fields: Fields, name: str) -> str:
    """A digest as records hold it."""
    return _matching(fields, name, _DIGEST, "64 lowercase hex digits")


def _matching(fields: Fields, name: str, form: re.Pattern[str], expected: str) -> str:
    text = fields.required(name)
    if not form.fullmatch(text):
        raise refuse(fields.at(name), expected, text)
    return text


def short_text(fields: Fields, name: str) -> str:
    """Trimmed text of 1 to 256 characters."""
    text = fields.required(name)
    if len(text) > MAX_TEXT:
        raise refuse(fields.at(name), f"at most {MAX_TEXT} characters", text)
    return text


def time(fields: Fields, name: str) -> str:
    """An RFC 3339 time."""
    text = fields.required(name)
    try:
        timestamps.loads(text)
    except InvalidInput:
        raise refuse(fields.at(name), "an RFC 3339 time", text) from None
    return text


def window(fields: Fields, max_seconds: int) -> Window:
    """not_before and expires_at, the one after the other and not too far apart."""
    found = Window(time(fields, "not_before"), time(fields, "expires_at"))
    seconds = timestamps.loads(found.expires_at) - timestamps.loads(found.not_before)
    if not 0 < seconds <= max_seconds:
        raise refuse(fields.at("expires_at"), f"after not_before, by at most {max_seconds // 86400} days", found.expires_at)
    return found


def max_uses(fields: Fields) -> int:
    """How many calls may use it; one where it does not say."""
    uses = fields.integer("max_uses", 1, minimum=1)
    if uses > MAX_INTEGER:
        raise refuse(fields.at("max_uses"), f"at most {MAX_INTEGER}", uses)
    return uses
