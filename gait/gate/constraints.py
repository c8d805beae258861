"""What a matched rule demands of the call's targets: endpoint constraints and dataflow.

A constraint can only make a verdict more restrictive.
"""

from __future__ import annotations


from ..formats.documents import NamedTuple
from . import places
from .intent import IntentRequest, Target
from .policy import Dataflow, Endpoint

_DESTINATIONS = frozenset(("host", "url", "bucket", "queue", "topic"))


class Finding(NamedTuple):
    """A constraint that triggered: its own reason code and violation, and the verdict it asks for."""

    reason_code: str
    violation: str
    action: str


class EndpointTest(NamedTuple):
    """An Endpoint with its patterns compiled."""

    endpoint: Endpoint
    path_allowed: tuple[places.Test, ...]
    path_denied: tuple[places.Test, ...]
    domain_allowed: tuple[places.Test, ...]
    domain_denied: tuple[places.Test, ...]


def compile_endpoint(endpoint: Endpoint) -> EndpointTest:
    """Compile the patterns once."""
    return EndpointTest(
        endpoint,
        tuple(map(places.path_test, endpoint.path_allowlist)),
        tuple(map(places.folded_path_test, endpoint.path_denylist)),
        tuple(map(places.domain_test, endpoint.domain_allowlist)),
        tuple(map(places.domain_test, endpoint.domain_denylist)),
    )


def endpoint_findings(test: EndpointTest, intent: IntentRequest) -> list[Finding]:
    """Every endpoint constraint that the intent's targets break, and the rule's own codes when there is one."""
    endpoint = test.endpoint
    codes: set[str] = set()
    for target in intent.targets:
        if places.is_path(target):
            codes |= _path_codes(test, target, intent.context.workspace)
        if target.kind in ("host", "url"):
            codes |= _domain_codes(test, target)
        if endpoint.egress_classes and target.endpoint_class.startswith("net."):
            if target.endpoint_class not in endpoint.egress_classes:
                codes.add("endpoint_egress_class_not_allowed")
    found = [Finding(code, code, endpoint.action) for code in sorted(codes)]
    if endpoint.destructive_action and any(target.destructive for target in intent.targets):
        found.append(Finding("endpoint_destructive_operation", "destructive_operation", endpoint.destructive_action))
    if found:
        found.append(Finding(endpoint.reason_code, endpoint.violation, endpoint.action))
    return found


def _path_codes(test: EndpointTest, target: Target, workspace: str) -> set[str]:
    codes = set()
    forms = places.path_forms(target.value, workspace)
    if test.path_denied and _any(test.path_denied, places.denied_forms(target.value, forms, workspace)):
        codes.add("endpoint_path_denied")
    if test.path_allowed and not _any(test.path_allowed, places.allowed_forms(forms)):
        codes.add("endpoint_path_not_allowlisted")
    return codes


def _any(tests: tuple[places.Test, ...], forms: list[str]) -> bool:
    for test in tests:
        for form in forms:
            if test(form):
                return True
    return False


def _domain_codes(test: EndpointTest, target: Target) -> set[str]:
    if not (test.domain_denied or test.domain_allowed):
        return set()
    codes = set()
    for domain in places.domains(target):
        if not domain:
            codes.add("endpoint_domain_unknown")
        elif _any(test.domain_denied, [domain]):
            codes.add("endpoint_domain_denied")
        elif test.domain_allowed and not _any(test.domain_allowed, [domain]):
            codes.add("endpoint_domain_not_allowlisted")
    return codes


def dataflow_findings(dataflow: Dataflow, intent: IntentRequest) -> list[Finding]:
    """The finding that tainted arguments reach a destination, or none."""
    if not any(entry.source in dataflow.tainted_sources for entry in intent.arg_provenance):
        return []
    if not any(_is_destination(dataflow, target) for target in intent.targets):
        return []
    return [Finding(dataflow.reason_code, dataflow.violation, dataflow.action)]


def _is_destination(dataflow: Dataflow, target: Target) -> bool:
    lists = dataflow.destination_kinds, dataflow.destination_values, dataflow.destination_operations
    if not any(lists):
        return target.kind in _DESTINATIONS
    fields = target.kind, target.value, target.operation
    return all(not wanted or field in wanted for wanted, field in zip(lists, fields))
