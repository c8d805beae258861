"""Policy (`gait.gate.policy` 1.0.0): the rules, read strictly and normalised, with their digest.

Invariant: an unknown or repeated key, an unknown word, or a match list that is given but
empty is an error, never a rule that means something else than its author wrote.
"""

from __future__ import annotations


from ..formats.documents import NamedTuple
from ..errors import InvalidInput
from ..formats import jcs
from ..formats.fields import Fields, refuse, show
from . import places
from .decision import VERDICTS
from .facts import SCOPES, WINDOWS, Budget, RateLimit
from .intent import ENDPOINT_CLASSES, PROVENANCE_SOURCES, RISK_CLASSES, TARGET_KINDS

SCHEMA_ID = "gait.gate.policy"
SCHEMA_VERSION = "1.0.0"
MAX_BYTES = 4 * 1024 * 1024
REQUIRED_FIELDS = ("targets", "arg_provenance", "endpoint_class")
EGRESS_CLASSES = ("net.http", "net.dns")
MAX_BUDGET = 9_000_000_000_000  # its millionths fit into 63 bits
STRICTER = ("block", "require_approval")
SKILL_TRUST = ("verified", "claimed")


class FailClosed(NamedTuple):
    """Risk classes for which what is missing or unknown blocks."""

    enabled: bool
    risk_classes: tuple[str, ...]
    required_fields: tuple[str, ...]


class Match(NamedTuple):
    """What a rule applies to; every list that is not empty must hold."""

    tool_names: tuple[str, ...]
    risk_classes: tuple[str, ...]
    target_kinds: tuple[str, ...]
    target_values: tuple[str, ...]
    endpoint_classes: tuple[str, ...]
    skill_publishers: tuple[str, ...]
    skill_sources: tuple[str, ...]
    data_classes: tuple[str, ...]
    destination_kinds: tuple[str, ...]
    destination_values: tuple[str, ...]
    destination_operations: tuple[str, ...]
    provenance_sources: tuple[str, ...]
    identities: tuple[str, ...]
    workspace_prefixes: tuple[str, ...]
    skill_trust: tuple[str, ...]


class Endpoint(NamedTuple):
    """Constraints on the places that a matched call would touch."""

    path_allowlist: tuple[str, ...]
    path_denylist: tuple[str, ...]
    domain_allowlist: tuple[str, ...]
    domain_denylist: tuple[str, ...]
    egress_classes: tuple[str, ...]
    action: str
    destructive_action: str
    reason_code: str
    violation: str


class Dataflow(NamedTuple):
    """What happens when tainted arguments would reach a destination."""

    tainted_sources: tuple[str, ...]
    destination_kinds: tuple[str, ...]
    destination_values: tuple[str, ...]
    destination_operations: tuple[str, ...]
    action: str
    reason_code: str
    violation: str


class Rule(NamedTuple):
    """One rule in normal form."""

    name: str
    priority: int
    effect: str
    match: Match
    endpoint: Endpoint | None
    dataflow: Dataflow | None
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]
    min_approvals: int
    require_distinct_approvers: bool
    require_broker_credential: bool
    broker_reference: str
    broker_scopes: tuple[str, ...]
    rate_limit: RateLimit | None
    budget: Budget | None


class Policy(NamedTuple):
    """A whole policy in normal form, rules in the order in which they are tried."""

    default_verdict: str
    fail_closed: FailClosed
    rules: tuple[Rule, ...]
    digest: str

    def to_value(self) -> dict[str, object]:
        """The whole document in normal form; reading it gives the same policy and digest again."""
        head = {"schema_id": SCHEMA_ID, "schema_version": SCHEMA_VERSION, "default_verdict": self.default_verdict}
        fail_closed = {"fail_closed": _plain(self.fail_closed)} if any(self.fail_closed) else {}
        return {**head, **fail_closed, "rules": [_plain(rule) for rule in self.rules]}


def loads(data: bytes | str, source: str = "policy") -> Policy:
    """The policy in a YAML or JSON text of at most 4 MiB.  Errors name `source:line:column`."""
    from ..formats import yaml_subset

    value = yaml_subset.loads(data, source, MAX_BYTES)
    try:
        return read(value)
    except InvalidInput as error:
        line, column = yaml_subset.position(data, error.path)
        raise InvalidInput(
            error.message, where=f"{source}:{line}:{column}", hint=error.hint, code="invalid_policy", path=error.path
        ) from error


def read(value: object) -> Policy:
    """Normalise a policy document."""
    fields = Fields(value)
    _constant(fields, "schema_id", SCHEMA_ID)
    _constant(fields, "schema_version", SCHEMA_VERSION)
    default_verdict = fields.word("default_verdict", VERDICTS, "require_approval")
    fail_closed = _fail_closed(fields.fields("fail_closed"))
    items = fields.items("rules")
    rules = [_rule(Fields(item, (*fields.at("rules"), index))) for index, item in enumerate(items)]
    fields.done()
    ordered = tuple(sorted(rules, key=lambda rule: (rule.priority, rule.name)))
    return Policy(default_verdict, fail_closed, ordered, _digest(default_verdict, fail_closed, ordered))


def _plain(document: NamedTuple) -> dict[str, object]:
    """A document without its empty members; endpoint and dataflow are there only when enabled, and say so."""
    value: dict[str, object] = {"enabled": True} if isinstance(document, (Endpoint, Dataflow)) else {}
    for name, field in zip(document._fields, document):
        if hasattr(field, "_fields"):
            field = _plain(field)
        if field:
            value[name] = list(field) if isinstance(field, tuple) else field
    return value


def _constant(fields: Fields, name: str, expected: str) -> None:
    given = fields.text(name)
    if given not in ("", expected):
        raise refuse(fields.at(name), expected, given)


def _fail_closed(fields: Fields) -> FailClosed:
    enabled = fields.boolean("enabled")
    risk_classes = fields.words("risk_classes", RISK_CLASSES)
    required = fields.words("required_fields", REQUIRED_FIELDS)
    fields.done()
    return FailClosed(enabled, risk_classes or (("critical", "high") if enabled else ()), required)


def _rule(fields: Fields) -> Rule:
    min_approvals = fields.integer("min_approvals", minimum=0)
    effect = fields.word("effect", VERDICTS)
    if not effect:
        raise refuse(fields.at("effect"), f"one of {', '.join(VERDICTS)}", fields.raw("effect"))
    rule = Rule(
        name=fields.required("name"),
        priority=fields.integer("priority"),
        effect=effect,
        match=_match(fields.fields("match")),
        endpoint=_endpoint(fields.fields("endpoint")),
        dataflow=_dataflow(fields.fields("dataflow")),
        reason_codes=fields.texts("reason_codes"),
        violations=fields.texts("violations"),
        min_approvals=min_approvals,
        require_distinct_approvers=fields.boolean("require_distinct_approvers") or min_approvals > 1,
        require_broker_credential=fields.boolean("require_broker_credential"),
        broker_reference=fields.text("broker_reference"),
        broker_scopes=fields.texts("broker_scopes", lowered=True),
        rate_limit=_rate_limit(fields.fields("rate_limit")),
        budget=_budget(fields.fields("budget")) if fields.has("budget") else None,
    )
    fields.done()
    return rule


def _match(fields: Fields) -> Match:
    match = Match(
        tool_names=fields.texts("tool_names", lowered=True),
        risk_classes=fields.words("risk_classes", RISK_CLASSES),
        target_kinds=fields.words("target_kinds", TARGET_KINDS),
        target_values=fields.texts("target_values"),
        endpoint_classes=fields.words("endpoint_classes", ENDPOINT_CLASSES),
        skill_publishers=fields.texts("skill_publishers", lowered=True),
        skill_sources=fields.texts("skill_sources", lowered=True),
        data_classes=fields.texts("data_classes", lowered=True),
        destination_kinds=fields.words("destination_kinds", TARGET_KINDS),
        destination_values=fields.texts("destination_values"),
        destination_operations=fields.texts("destination_operations", lowered=True),
        provenance_sources=fields.words("provenance_sources", PROVENANCE_SOURCES),
        identities=fields.texts("identities"),
        workspace_prefixes=fields.texts("workspace_prefixes"),
        skill_trust=fields.words("skill_trust", SKILL_TRUST),
    )
    for name, values in zip(match._fields, match):
        if fields.given(name) and not values:
            hint = "an empty list would match everything"
            raise refuse(fields.at(name), "left out, or a list that is not empty", fields.raw(name), hint)
    fields.done()
    return match


_TESTS = {
    "path_allowlist": places.path_test,
    "path_denylist": places.denied_path_test,
    "domain_allowlist": places.domain_test,
    "domain_denylist": places.denied_domain_test,
}


def _patterns(fields: Fields, name: str) -> tuple[str, ...]:
    """The patterns of one list, each of which could match something."""
    patterns = fields.texts(name, lowered=name.startswith("domain"))
    for pattern in patterns:
        try:
            _TESTS[name](pattern)
        except InvalidInput as error:
            raise InvalidInput(f"{show(fields.at(name))}: {error.message}", hint=error.hint, path=fields.at(name)) from None
        if "\0" in pattern:
            raise refuse(fields.at(name), "patterns without NUL", pattern)
    return patterns


def _endpoint(fields: Fields) -> Endpoint | None:
    enabled = fields.boolean("enabled")
    paths = _patterns(fields, "path_allowlist"), _patterns(fields, "path_denylist")
    domains = _patterns(fields, "domain_allowlist"), _patterns(fields, "domain_denylist")
    egress = fields.words("egress_classes", EGRESS_CLASSES)
    action, destructive = fields.word("action", STRICTER, "block"), fields.word("destructive_action", STRICTER)
    reason = fields.text("reason_code") or "endpoint_constraint_violation"
    violation = fields.text("violation") or "endpoint_constraint_violation"
    fields.done()
    if not (enabled or any(paths) or any(domains) or egress or destructive):
        return None
    return Endpoint(*paths, *domains, egress, action, destructive, reason, violation)


def _dataflow(fields: Fields) -> Dataflow | None:
    enabled = fields.boolean("enabled")
    tainted = fields.words("tainted_sources", PROVENANCE_SOURCES)
    kinds = fields.words("destination_kinds", TARGET_KINDS)
    values = fields.texts("destination_values")
    operations = fields.texts("destination_operations", lowered=True)
    action = fields.word("action", STRICTER, "require_approval")
    reason = fields.text("reason_code") or "dataflow_tainted_destination"
    violation = fields.text("violation") or "tainted_dataflow"
    fields.done()
    if not (enabled or tainted or kinds or values or operations):
        return None
    return Dataflow(tainted or ("external", "tool_output"), kinds, values, operations, action, reason, violation)


def _rate_limit(fields: Fields) -> RateLimit | None:
    requests = fields.integer("requests", minimum=0)
    window = fields.word("window", WINDOWS, "minute")
    scope = fields.word("scope", SCOPES, "tool_identity")
    fields.done()
    return RateLimit(requests, window, scope) if requests else None


def _budget(fields: Fields) -> Budget:
    budget = Budget(
        argument=fields.required("argument"),
        limit=fields.integer("limit", minimum=1),
        window=fields.word("window", WINDOWS, "minute"),
        scope=fields.word("scope", SCOPES, "tool_identity"),
    )
    if not fields.has("limit") or budget.limit > MAX_BUDGET:
        raise refuse(fields.at("limit"), f"1 or more, up to {MAX_BUDGET:,}", fields.raw("limit"))
    fields.done()
    return budget


def _digest(default_verdict: str, fail_closed: FailClosed, rules: tuple[Rule, ...]) -> str:
    return jcs.digest(
        {
            "SchemaID": SCHEMA_ID,
            "SchemaVersion": SCHEMA_VERSION,
            "DefaultVerdict": default_verdict,
            "FailClosed": _go(fail_closed),
            "Rules": [_digested_rule(rule) for rule in rules],
        }
    )


# Members that the digest leaves out when they are empty, so that policies without them keep their published digest.
_WHEN_SET = frozenset(
    "min_approvals require_distinct_approvers require_broker_credential broker_reference broker_scopes rate_limit budget "
    "dataflow endpoint endpoint_classes skill_publishers skill_sources data_classes destination_kinds destination_values "
    "destination_operations skill_trust".split()
)
_GO_NAMES = {"destination_operations": "DestinationOps"}


def _go(document: NamedTuple, names: dict[str, str] = _GO_NAMES) -> dict[str, object]:
    """A document with the published implementation's member names."""
    value: dict[str, object] = {}
    for name, field in zip(document._fields, document):
        if field or name not in _WHEN_SET:
            camel = "".join(part.capitalize() for part in name.split("_"))
            value[names.get(name, camel)] = field
    return value


def _digested_rule(rule: Rule) -> dict[str, object]:
    value = _go(rule)
    value["Match"] = _go(rule.match)
    if rule.endpoint:
        value["Endpoint"] = {"Enabled": True, **_go(rule.endpoint)}
    if rule.dataflow:
        value["Dataflow"] = {"Enabled": True, **_go(rule.dataflow, {})}
    if rule.rate_limit:
        value["RateLimit"] = _go(rule.rate_limit)
    if rule.budget:
        value["Budget"] = _go(rule.budget)
    return value
