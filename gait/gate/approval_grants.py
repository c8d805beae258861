"""Standing grant (`gait.gate.approval_grant` 1.0.0): one person's yes to every call of a kind, for a time and a number of uses.

Invariant: a Grant exists only verified: signed for this purpose, which is no token's, by an approver's own key.  It names one tool
and one caller; what it says of arguments must hold, and an argument that it does not name is free.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..formats import jcs
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, lower, refuse
from ..signing import envelope
from ..signing.keys import Key
from . import approval_fields as members
from . import places
from .approval_fields import Approver, Window, same_person
from .intent import IntentRequest

SCHEMA_ID = "gait.gate.approval_grant"
SCHEMA_VERSION = "1.0.0"
MAX_SECONDS = 90 * 86400
MAX_CONSTRAINTS = 32
# What can be asked of an argument.  `path`: a policy's path pattern, which the normal form of the argument must match.
TESTS = ("equals", "at_most", "at_least", "path")


class Constraint(NamedTuple):
    """One thing that must hold of an argument; `a.b` is member b of the object a."""

    argument: str
    test: str
    value: object

    def holds(self, intent: IntentRequest) -> bool:
        """False also for an argument that is missing or of another type."""
        found: object = intent.args
        for name in self.argument.split("."):
            if type(found) is not dict or name not in found:
                return False
            found = found[name]
        if self.test == "equals":
            return jcs.dumps(found) == jcs.dumps(self.value)
        if self.test == "path":
            return type(found) is str and _is_below(found, str(self.value), intent.context.workspace)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not isinstance(self.value, (int, float)):
            return False
        return found <= self.value if self.test == "at_most" else found >= self.value


class Grant(NamedTuple):
    """What is approved beforehand, for whom, and by whom.  `policy_digest` empty: under any policy."""

    grant_id: str
    approver_identity: str
    reason_code: str
    tool_name: str
    identity: str
    arg_constraints: tuple[Constraint, ...]
    policy_digest: str
    created_at: str
    not_before: str
    expires_at: str
    max_uses: int = 1

    def to_value(self) -> dict[str, object]:
        """The document, not signed."""
        value = {**members.head(SCHEMA_ID, SCHEMA_VERSION), **self._asdict()}
        value["arg_constraints"] = [constraint._asdict() for constraint in self.arg_constraints]
        if not self.policy_digest:
            del value["policy_digest"]
        return value

    def is_for(self, intent: IntentRequest) -> bool:
        """Whether it speaks of such a call at all."""
        is_called = self.tool_name == intent.tool_name and self.identity == intent.context.identity
        return is_called and all(constraint.holds(intent) for constraint in self.arg_constraints)


def sign(grant: Grant, key: Key) -> dict[str, object]:
    """The signed document.  InvalidInput: a member is not acceptable."""
    return envelope.sign(_read(grant.to_value()).to_value(), key, envelope.APPROVAL_GRANT)


def read(value: object, approvers: tuple[Approver, ...]) -> tuple[Grant | None, str]:
    """The grant of a document, or why there is none: invalid, signature_missing, signature_invalid or approver_mismatch."""
    if type(value) is not dict:
        return None, "invalid"
    try:
        grant = _read({name: field for name, field in value.items() if name != "signature"})
    except InvalidInput:
        return None, "invalid"
    problem = members.signature_problem(value, envelope.APPROVAL_GRANT, approvers, grant.approver_identity)
    return (None, problem) if problem else (grant, "")


def problem(grant: Grant, policy_digest: str, is_exact: bool, now: float) -> str:
    """Why a grant for such a call does not hold, in one word; empty when it does.

    `is_exact`: dataflow or endpoint ask for an approval, which must be of the very call.
    """
    if is_exact:
        return "not_exact"
    if grant.policy_digest and grant.policy_digest != policy_digest:
        return "policy_mismatch"
    if same_person(grant.approver_identity, grant.identity):
        return "self_approved"
    return Window(grant.not_before, grant.expires_at).problem(now)


def read_constraint(text: str) -> Constraint:
    """The constraint in `NAME=VALUE`, `NAME<=N`, `NAME>=N` or `NAME~PATH_PATTERN`; VALUE is JSON, or else text.  InvalidInput: none."""
    from ..formats import strict_json

    for mark, test in (("<=", "at_most"), (">=", "at_least"), ("~", "path"), ("=", "equals")):
        name, found, given = text.partition(mark)
        if found and not {"<", ">", "~", "="}.intersection(name):
            break
    else:
        raise InvalidInput(f"expected NAME=VALUE, NAME<=N, NAME>=N or NAME~PATTERN, got {text[:80]!r}", code="invalid_usage")
    value: object = given
    if test != "path":
        try:
            value = strict_json.loads(given, "constraint", members.MAX_BYTES)
        except InvalidInput:
            pass  # text without quotes
    return _constraint(Fields({"argument": name, "test": test, "value": value}))


def _is_below(text: str, pattern: str, workspace: str) -> bool:
    test = places.path_test(pattern)
    return any(test(form) for form in places.allowed_forms(text, places.path_forms(text, workspace)))


def _read(value: dict[str, object]) -> Grant:
    """A grant's members, its signature aside.  InvalidInput: one is missing, unknown or not acceptable."""
    fields = Fields(value)
    members.check_head(fields, SCHEMA_ID, SCHEMA_VERSION)
    items = fields.items("arg_constraints")
    if len(items) > MAX_CONSTRAINTS:
        raise refuse(fields.at("arg_constraints"), f"at most {MAX_CONSTRAINTS}", items)
    grant = Grant(
        members.identifier(fields, "grant_id"),
        members.short_text(fields, "approver_identity"),
        members.short_text(fields, "reason_code"),
        lower(members.short_text(fields, "tool_name")),
        members.short_text(fields, "identity"),
        tuple(_constraint(Fields(item, (*fields.at("arg_constraints"), index))) for index, item in enumerate(items)),
        members.digest(fields, "policy_digest") if fields.has("policy_digest") else "",
        members.time(fields, "created_at"),
        *members.window(fields, MAX_SECONDS),
        members.max_uses(fields),
    )
    fields.done()
    return grant


def _constraint(fields: Fields) -> Constraint:
    argument, test, value = members.short_text(fields, "argument"), fields.word("test", TESTS), fields.raw("value")
    if not test:
        raise refuse(fields.at("test"), f"one of {', '.join(TESTS)}", fields.raw("test"))
    if test == "path":
        if type(value) is not str or not value or "\0" in value:
            raise refuse(fields.at("value"), "a path pattern", value)
        places.path_test(value)
    elif test != "equals" and type(value) not in (int, float):
        raise refuse(fields.at("value"), "a number", value)
    fields.done()
    return Constraint(argument, test, value)
