"""Which package a call comes from: claimed by whoever writes the call, or verified by Gait itself (docs/contracts/skill_provenance.md)."""

from __future__ import annotations

from itertools import compress

from ..formats.documents import NamedTuple
from ..formats.fields import Fields, lower, refuse
from ..formats.patterns import lazy

VERIFIED = "verified"

_DIGEST = lazy("[0-9a-f]{64}")


class SkillProvenance(NamedTuple):
    """The package that a call comes from.  `trust` is VERIFIED when Gait itself has checked that, and empty for a claim."""

    skill_name: str
    skill_version: str
    source: str
    publisher: str
    digest: str
    signature_key_id: str
    trust: str = ""

    def to_value(self) -> dict[str, object]:
        """The document; empty fields are left out."""
        return dict(compress(zip(self._fields, self), self))


def read(fields: Fields) -> SkillProvenance | None:
    """What an intent's document claims; a trust that it claims is not read."""
    if not fields.has("skill_provenance"):
        return None
    skill = fields.fields("skill_provenance")
    return SkillProvenance(
        skill_name=skill.required("skill_name"),
        skill_version=skill.text("skill_version"),
        source=lower(skill.required("source")),
        publisher=skill.required("publisher"),
        digest=hex64(skill, "digest"),
        signature_key_id=skill.text("signature_key_id"),
    )


def hex64(fields: Fields, name: str) -> str:
    """A digest, lower-cased; empty when absent."""
    text = lower(fields.text(name))
    if text and not _DIGEST.fullmatch(text):
        raise refuse(fields.at(name), "64 hex digits", text)
    return text


def recorded(value: object) -> SkillProvenance | None:
    """The package of a recorded intent that Gait called verified when it decided, to decide it again; None for a claim.

    Only for evidence: what a record says is not what a caller may say.
    """
    fields = Fields(value)
    if not fields.has("skill_provenance") or fields.fields("skill_provenance").text("trust") != VERIFIED:
        return None
    claimed = read(fields)
    return claimed and claimed._replace(trust=VERIFIED)


def warnings(fields: Fields, claimed: SkillProvenance, verified: SkillProvenance | None) -> tuple[str, ...]:
    """What of a claim is ignored."""
    if verified:
        is_same = claimed._replace(trust=verified.trust) == verified
        return () if is_same else ("the claimed skill_provenance ignored: this process speaks for a verified package",)
    has_trust = fields.fields("skill_provenance").has("trust")
    return ("skill_provenance.trust ignored: only Gait calls a package verified",) if has_trust else ()
