"""Endpoint constraints and dataflow: which findings they make.  Paths and hosts have their own tests."""

from __future__ import annotations

import pytest

from gait.gate import constraints, intent, policy

CONTEXT = {"identity": "alice", "workspace": "/ws", "risk_class": "low"}


def request(targets: list[dict], provenance: tuple[str, ...] = ()) -> intent.IntentRequest:
    entries = [{"arg_path": "x", "source": source} for source in provenance]
    return intent.read({"tool_name": "t", "targets": targets, "arg_provenance": entries, "context": CONTEXT})


def rule(**members: object) -> policy.Rule:
    return policy.read({"rules": [{"name": "r", "effect": "allow", **members}]}).rules[0]


def found(endpoint: dict, *targets: dict) -> list[tuple[str, str, str]]:
    test = constraints.compile_endpoint(rule(endpoint=endpoint).endpoint)
    return [tuple(finding) for finding in constraints.endpoint_findings(test, request(list(targets)))]


OWN = ("endpoint_constraint_violation", "endpoint_constraint_violation", "block")


def own(code: str, action: str = "block") -> list[tuple[str, str, str]]:
    return [(code, code, action), (OWN[0], OWN[1], action)]


def path(value: str, **fields: object) -> dict:
    return {"kind": "path", "value": value, **fields}


@pytest.mark.parametrize(
    ("endpoint", "targets", "expected"),
    [
        ({"enabled": True}, [path("/x")], []),
        ({"path_allowlist": ["/tmp/**"]}, [], []),
        ({"path_allowlist": ["/tmp/**"]}, [path("/tmp/a"), {"kind": "table", "value": "/etc"}], []),
        ({"path_allowlist": ["/tmp/**"]}, [path("/tmp/a"), path("/etc")], own("endpoint_path_not_allowlisted")),
        ({"path_denylist": ["/etc/**"]}, [path("/etc")], own("endpoint_path_denied")),
        ({"path_allowlist": ["/etc/**"], "path_denylist": ["/etc/**"]}, [path("/etc")], own("endpoint_path_denied")),
        ({"path_allowlist": ["/a"], "path_denylist": ["/b"]}, [path("/b")], [("endpoint_path_denied",) * 2 + ("block",), *own("endpoint_path_not_allowlisted")]),
        ({"path_denylist": ["/b"], "action": "require_approval"}, [path("/b")], own("endpoint_path_denied", "require_approval")),
        ({"path_denylist": ["/b"], "reason_code": "r", "violation": "v"}, [path("/b")], [("endpoint_path_denied",) * 2 + ("block",), ("r", "v", "block")]),
        ({"domain_denylist": ["h"]}, [{"kind": "host", "value": "h"}], own("endpoint_domain_denied")),
        ({"domain_allowlist": ["h"], "domain_denylist": ["h"]}, [{"kind": "host", "value": "h"}], own("endpoint_domain_denied")),
        ({"domain_allowlist": ["h"]}, [{"kind": "host", "value": "g"}], own("endpoint_domain_not_allowlisted")),
        ({"domain_denylist": ["h"]}, [{"kind": "host", "value": "a b"}], own("endpoint_domain_unknown")),
        ({"domain_denylist": ["h"]}, [{"kind": "host", "value": "g"}, path("/h")], []),
        ({"egress_classes": ["net.dns"]}, [{"kind": "host", "value": "h"}], own("endpoint_egress_class_not_allowed")),
        ({"egress_classes": ["net.http"]}, [{"kind": "host", "value": "h"}, path("/x")], []),
        ({"destructive_action": "require_approval"}, [path("/x", destructive=True)], [("endpoint_destructive_operation", "destructive_operation", "require_approval"), OWN]),
        ({"destructive_action": "block"}, [path("/x")], []),
    ],
)
def test_endpoint_findings(endpoint: dict, targets: list[dict], expected: list):
    assert found(endpoint, *targets) == expected


@pytest.mark.parametrize(
    ("dataflow", "targets", "provenance", "hit"),
    [
        ({"enabled": True}, [{"kind": "host", "value": "h"}], ("external",), True),
        ({"enabled": True}, [{"kind": "host", "value": "h"}], ("tool_output", "user"), True),
        ({"enabled": True}, [{"kind": "host", "value": "h"}], ("user", "system"), False),
        ({"enabled": True}, [{"kind": "host", "value": "h"}], (), False),
        ({"enabled": True}, [path("/x")], ("external",), False),
        ({"enabled": True}, [], ("external",), False),
        *[({"enabled": True}, [{"kind": kind, "value": "v"}], ("external",), True) for kind in ("url", "bucket", "queue", "topic")],
        *[({"enabled": True}, [{"kind": kind, "value": "v"}], ("external",), False) for kind in ("repo", "table", "other")],
        ({"tainted_sources": ["user"]}, [{"kind": "host", "value": "h"}], ("user",), True),
        ({"destination_kinds": ["path"]}, [path("/x")], ("external",), True),
        ({"destination_kinds": ["table"]}, [path("/x")], ("external",), False),
        ({"destination_operations": ["write"]}, [path("/x", operation="write")], ("external",), True),
        ({"destination_operations": ["write"]}, [path("/x", operation="read")], ("external",), False),
        ({"destination_values": ["/ws/x"]}, [path("x")], ("external",), True),
        ({"destination_values": ["/x"]}, [path("/y")], ("external",), False),
        ({"destination_kinds": ["path"], "destination_operations": ["write"]}, [path("/x"), {"kind": "host", "value": "h", "operation": "write"}], ("external",), False),
    ],
)
def test_dataflow_findings(dataflow: dict, targets: list[dict], provenance: tuple, hit: bool):
    findings = constraints.dataflow_findings(rule(dataflow=dataflow).dataflow, request(targets, provenance))
    assert findings == ([("dataflow_tainted_destination", "tainted_dataflow", "require_approval")] if hit else [])


def test_the_forms_of_a_target_are_not_changed_by_a_climbing_pattern():
    """`../**` is compared with more forms; none of them may satisfy the allowlist."""
    endpoint = {"path_denylist": ["../nothing"], "path_allowlist": ["../**"]}
    assert found(endpoint, path("/etc/x")) == own("endpoint_path_not_allowlisted")
