"""Approval tokens by themselves: what is read, and that no mutation of one is."""

from __future__ import annotations

import json
import os
import random

import pytest

from gait.errors import GaitError, InvalidInput
from gait.formats import strict_json
from gait.gate import approval_tokens
from gait.gate.approval_fields import Approver, Window, same_person
from gait.gate.approval_tokens import Asked, Token
from gait.signing.keys import Keyring, make

KEY = make(bytes(range(32)))
APPROVERS = (Approver(Keyring("approval", KEY)),)
TOKEN = Token(
    *("a" * 24, "bob", "ticket", "d" * 64, "e" * 64, ("tool:pay",), "2026-02-05T00:00:00Z"),
    *("2026-02-05T00:00:00Z", "2026-02-05T00:15:00Z"),
)
ASKED = Asked(("d" * 64,), "e" * 64, "pay", "alice")
ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "1500"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "20261129"))


def test_a_token_is_read_again_as_it_was():
    document = approval_tokens.sign(TOKEN._replace(max_uses=3), KEY)
    assert approval_tokens.read(document, APPROVERS) == (TOKEN._replace(max_uses=3), "")
    assert approval_tokens.problem(TOKEN, ASKED, 1770249600.0) == ""


def test_max_uses_may_be_left_out():
    from gait.signing import envelope

    value = {name: field for name, field in TOKEN.to_value().items() if name != "max_uses"}
    assert approval_tokens.read(envelope.sign(value, KEY, envelope.APPROVAL_TOKEN), APPROVERS) == (TOKEN, "")


@pytest.mark.parametrize("fields", [{"scope": ()}, {"scope": tuple(map(str, range(33)))}, {"scope": ("x" * 257,)}, {"token_id": "../x"}, {"created_at": "x"}, {"max_uses": 0}])
def test_what_is_not_signed(fields):
    with pytest.raises(InvalidInput):
        approval_tokens.sign(TOKEN._replace(**fields), KEY)


@pytest.mark.parametrize("at, problem", [(-61, "not_yet_valid"), (-60, ""), (0, ""), (899.9, ""), (900, "expired")])
def test_a_window_is_lenient_about_its_beginning_alone(at, problem):
    assert Window(TOKEN.not_before, TOKEN.expires_at).problem(1770249600 + at) == problem


@pytest.mark.parametrize("left, right, one", [("bob", " BOB\t", True), ("Straße", "STRASSE", True), ("é", "e\u0301", True), ("ｂｏｂ", "bob", True), ("bob", "rob", False)])
def test_who_is_one_person(left, right, one):
    assert same_person(left, right) is one


def test_no_mutation_of_a_token_is_one():
    """Bytes, members and types of a signed token; whatever is still read is the very same token."""
    print(f"seed {SEED}")
    source = random.Random(SEED)
    document = approval_tokens.sign(TOKEN, KEY)
    text = json.dumps(document)
    for _ in range(ROUNDS):
        try:
            value = strict_json.loads(_mutated(source, text))
        except GaitError:
            continue
        token, problem = approval_tokens.read(value, APPROVERS)
        assert (token is None) == bool(problem)
        assert token is None or (token == TOKEN and value == document), value


def _mutated(source, text):
    if source.random() < 0.5:
        place = source.randrange(len(text))
        return text[:place] + source.choice('0123456789abcdef"{}[],:x ') + text[place + source.randrange(3) :]
    value = json.loads(text)
    at = value if source.random() < 0.8 else value["signature"]
    name = source.choice(list(at))
    other = source.choice([None, True, 0, 1, -1, 2**53, 1.5, "", "x", "x" * 5000, [], {}, ["tool:pay"], [1], at[source.choice(list(at))]])
    if source.random() < 0.2:
        del at[name]
    else:
        at[name if source.random() < 0.8 else name + "x"] = other
    return json.dumps(value)
