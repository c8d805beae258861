"""What a matched rule demands of the call's targets: endpoint constraints and dataflow.

A constraint can only make a verdict more restrictive.
"""

from __future__ import annotations


from ..formats.documents import NamedTuple
from ..formats import paths
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
    """An Endpoint with its patterns compiled.  `climbs` is true when a denied path begins with `..`."""

    endpoint: Endpoint
    path_allowed: tuple[places.Test, ...]
    path_denied: tuple[places.Test, ...]
    domain_allowed: tuple[places.Test, ...]
    domain_denied: tuple[places.Test, ...]
    climbs: bool


def compile_endpoint(endpoint: Endpoint) -> EndpointTest:
    """Compile the patterns once."""
    return EndpointTest(
        endpoint,
        tuple(map(places.path_test, endpoint.path_allowlist)),
        tuple(map(places.denied_path_test, endpoint.path_denylist)),
        tuple(map(places.domain_test, endpoint.domain_allowlist)),
        tuple(map(places.denied_domain_test, endpoint.domain_denylist)),
        any(paths.normalize(pattern)[:2] == ".." for pattern in endpoint.path_denylist),
    )


def endpoint_findings(test: EndpointTest, intent: IntentRequest) -> list[Finding]:
    """Every endpoint constraint that the intent's targets break, and the rule's own codes when there is one."""
    endpoint = test.endpoint
    codes: set[str] = set()
    for target in intent.targets:
        if places.is_path(target):
            _path_codes(test, target, intent.context.workspace, codes)
        if test.domain_allowed or test.domain_denied:
            _domain_codes(test, target, codes)
        if endpoint.egress_classes and target.endpoint_class.startswith("net."):
            if target.endpoint_class not in endpoint.egress_classes:
                codes.add("endpoint_egress_class_not_allowed")
    found = [Finding(code, code, endpoint.action) for code in sorted(codes)]
    if endpoint.destructive_action and any(target.destructive for target in intent.targets):
        found.append(Finding("endpoint_destructive_operation", "destructive_operation", endpoint.destructive_action))
    if found:
        found.append(Finding(endpoint.reason_code, endpoint.violation, endpoint.action))
    return found


def _path_codes(test: EndpointTest, target: Target, workspace: str, codes: set[str]) -> None:
    forms = places.path_forms(target.value, workspace)
    if test.path_denied:
        denied = places.denied_forms(target.value, forms, workspace)
        if test.climbs:
            denied = denied + places.climbing_forms(denied, workspace)
        if _any(test.path_denied, denied):
            codes.add("endpoint_path_denied")
    if test.path_allowed and not _any(test.path_allowed, places.allowed_forms(target.value, forms)):
        codes.add("endpoint_path_not_allowlisted")


def _any(tests: tuple[places.Test, ...], forms: list[str]) -> bool:
    for test in tests:
        for form in forms:
            if test(form):
                return True
    return False


def _domain_codes(test: EndpointTest, target: Target, codes: set[str]) -> None:
    for domain in places.domains(target):
        if not domain:
            codes.add("endpoint_domain_unknown")
        elif _any(test.domain_denied, [domain]):
            codes.add("endpoint_domain_denied")
        elif test.domain_allowed and not _any(test.domain_allowed, [domain]):
            codes.add("endpoint_domain_not_allowlisted")


def dataflow_findings(dataflow: Dataflow, intent: IntentRequest) -> list[Finding]:
    """The finding that tainted arguments reach a destination, or none."""
    if not any(entry.source in dataflow.tainted_sources for entry in intent.arg_provenance):
        return []
    if not any(_is_destination(dataflow, target, intent.context.workspace) for target in intent.targets):
        return []
    return [Finding(dataflow.reason_code, dataflow.violation, dataflow.action)]


def _is_destination(dataflow: Dataflow, target: Target, workspace: str) -> bool:
    kinds, values, operations = dataflow.destination_kinds, dataflow.destination_values, dataflow.destination_operations
    if not (kinds or values or operations):
        return target.kind in _DESTINATIONS
    if (kinds and target.kind not in kinds) or (operations and target.operation not in operations):
        return False
    return not values or places.is_named(target, values, workspace)
