"""What a standing grant says of arguments, and which documents are grants."""

from __future__ import annotations

import pytest

from gait.errors import InvalidInput
from gait.gate import approval_grants, approvals
from gait.gate.approval_fields import Approver
from gait.gate.approval_grants import Grant, read_constraint
from gait.gate.facts import Needs
from gait.gate.intent import read
from gait.signing import envelope
from gait.signing.keys import Keyring, make

KEY = make(bytes(range(32)))
APPROVERS = (Approver(Keyring("approval", KEY)),)
GRANT = Grant(
    "a" * 24, "bob", "small", "pay", "alice", (), "", "2026-02-05T00:00:00Z", "2026-02-05T00:00:00Z", "2026-02-06T00:00:00Z"
)  # fmt: skip
NEEDS = Needs(1, False, False, None, None, False, "", ())


def intent(args, workspace="/work", tool="pay", identity="alice"):
    return read({"tool_name": tool, "args": args, "context": {"identity": identity, "workspace": workspace, "risk_class": "low"}})


@pytest.mark.parametrize(
    "text, holds, fails",
    [
        ("amount<=10", [10, 0, -3, 9.5], [10.01, 11, "5", True, None, [5], {"a": 1}]),
        ("amount>=1", [1, 2.5], [0.99, "5", True]),
        ("amount=5", [5, 5.0], [6, "5", True]),
        ('amount="5"', ["5", " 5 "], [5]),
        ("amount=EUR", ["EUR"], ["eur", "EUR,USD"]),
        ("amount=true", [True], [1, "true"]),
        ("amount=null", [None], [0, "null"]),
        ('amount={"a": [1, 2]}', [{"a": [1, 2]}], [{"a": [2, 1]}, {"a": [1, 2], "b": 1}]),
        ("amount=NaN", ["NaN"], [0]),
        ("amount=a<=b", ["a<=b"], ["a"]),
    ],
)
def test_a_constraint(text, holds, fails):
    constraint = read_constraint(text)
    assert all(constraint.holds(intent({"amount": value})) for value in holds)
    assert not any(constraint.holds(intent({"amount": value})) for value in fails)
    assert not constraint.holds(intent({})) and not constraint.holds(intent({"Amount": holds[0]}))


def test_a_member_of_an_object():
    constraint = read_constraint("pay.amount<=10")
    assert constraint.holds(intent({"pay": {"amount": 5}}))
    for args in ({"pay": 5}, {"pay": [{"amount": 5}]}, {"amount": 5}, {"pay.amount": 5}):
        assert not constraint.holds(intent(args))


@pytest.mark.parametrize("path", ["/srv/data/x", "/srv/data/a/../b", "data/x", "./data/x", "/srv//data/x"])
def test_a_path_below(path):
    assert read_constraint("path~/srv/data/**").holds(intent({"path": path}, "/srv"))


@pytest.mark.parametrize(
    "path", ["/srv/data/../../etc/passwd", "/srv/database", "data/../../x", "~/data/x", "$HOME/x", "/srv/data\\..\\..\\etc", 5, ["/srv/data/x"], "file:///etc/passwd"]
)
def test_a_path_that_is_not(path):
    """`..` is taken out first; as text the first one would match."""
    assert not read_constraint("path~/srv/data/**").holds(intent({"path": path}, "/srv"))


@pytest.mark.parametrize("text", ["", "amount", "<=5", "=5", "amount<=", "amount<=x", "amount>=true", "path~", "path~a\0", "path~[", f"{'a' * 300}=1"])
def test_what_is_no_constraint(text):
    with pytest.raises(InvalidInput):
        read_constraint(text)


def test_a_grant_is_read_again_as_it_was():
    grant = GRANT._replace(arg_constraints=(read_constraint("a<=1"), read_constraint("b~/x/**")), policy_digest="b" * 64, max_uses=7)
    assert approval_grants.read(approval_grants.sign(grant, KEY), APPROVERS) == (grant, "")
    assert approval_grants.read(approval_grants.sign(GRANT, KEY), APPROVERS) == (GRANT, "")


BAD = {
    "an unknown member": {"anything": 1},
    "another version": {"schema_version": "2.0.0"},
    "another schema": {"schema_id": "gait.gate.approval_token"},
    "an id that is none": {"grant_id": "A" * 24},
    "no tool": {"tool_name": ""},
    "no identity": {"identity": None},
    "constraints that are none": {"arg_constraints": "amount<=10"},
    "an unknown test": {"arg_constraints": [{"argument": "a", "test": "matches", "value": 1}]},
    "no test": {"arg_constraints": [{"argument": "a", "value": 1}]},
    "an unknown part": {"arg_constraints": [{"argument": "a", "test": "equals", "value": 1, "not": True}]},
    "a limit that is text": {"arg_constraints": [{"argument": "a", "test": "at_most", "value": "1"}]},
    "a policy that is none": {"policy_digest": "x"},
    "a time that is none": {"expires_at": "tomorrow"},
    "an end before the beginning": {"expires_at": "2026-02-04T00:00:00Z"},
    "no uses": {"max_uses": 0},
    "uses that are text": {"max_uses": "7"},
    "uses that are true": {"max_uses": True},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_grant_although_an_approver_signed_it(case):
    document = envelope.sign({**GRANT.to_value(), **BAD[case]}, KEY, envelope.APPROVAL_GRANT)
    assert approval_grants.read(document, APPROVERS) == (None, "invalid")
    entry = approvals.of_grant(document, APPROVERS, NEEDS, approvals.asked("c" * 64, intent({})), intent({}), 0.0)
    assert entry.code == "approval_grant_invalid" and entry.quota is None


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_document(value):
    assert approval_grants.read(value, APPROVERS) == (None, "invalid")


def test_a_document_without_a_canonical_form_is_only_refused():
    entry = approvals.of_token({"x": float("nan")}, APPROVERS, approvals.asked("c" * 64, intent({})), 0.0)
    assert entry.to_value() == {"valid": False, "error_code": "approval_token_invalid"}


@pytest.mark.parametrize("key, purpose, code", [(make(bytes(range(1, 33))), envelope.APPROVAL_GRANT, "signature_invalid"), (KEY, envelope.APPROVAL_TOKEN, "signature_invalid")])
def test_a_signature_that_is_no_grants(key, purpose, code):
    assert approval_grants.read(envelope.sign(GRANT.to_value(), key, purpose), APPROVERS) == (None, code)
    assert approval_grants.read(GRANT.to_value(), APPROVERS) == (None, "signature_missing")


def test_of_a_grant_and_a_token_the_token_is_used():
    needs = NEEDS._replace(approvals=1)
    grant = approvals.Entry("grant", "a" * 24, "bob", "", approvals.quota_of("grant", "a" * 24, 1, 9.0), expires_at="2026-01-01T00:00:00Z")
    token = approvals.Entry("token", "b" * 24, "carol", "", approvals.quota_of("token", "b" * 24, 1, 9.0), expires_at="2027-01-01T00:00:00Z")
    review = approvals.review(needs, [grant, token])
    assert review.quotas == (token.quota,) and review.proof.evidence["approval_token_ref"] == "b" * 24
    assert "approval_grant_ref" not in review.proof.evidence and review.proof.reason_codes == ("approval_granted",)
    both = approvals.review(needs._replace(approvals=2, distinct_approvers=True), [grant, token])
    assert both.quotas == (token.quota, grant.quota) and both.proof.evidence["approval_audit"]["approvers"] == ["bob", "carol"]
