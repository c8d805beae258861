"""The state of the kill switch: exact when read, and which calls it holds back."""

from __future__ import annotations

import pytest

from gait.errors import InvalidInput
from gait.gate import intent as intents
from gait.gate import stops
from gait.gate.stops import Stop, Stops

NOW = "2026-03-01T00:00:00Z"


def intent_of(tool="bank.pay", identity="ann", session=""):
    context = {"identity": identity, "workspace": "/w", "risk_class": "low", "session_id": session}
    head = {"schema_id": intents.SCHEMA_ID, "schema_version": "1.0.0", "created_at": NOW, "producer_version": "t"}
    return intents.read({**head, "tool_name": tool, "args": {}, "targets": [], "context": context})


def stop(scope, value=""):
    return stops.make(scope, value, "because", NOW)


@pytest.mark.parametrize(
    "scope, value, held",
    [
        ("all", "", True),
        ("tool", "bank.pay", True),
        ("tool", " Bank.Pay ", True),
        ("tool", "bank", False),
        ("tool", "ann", False),
        ("identity", "ann", True),
        ("identity", "Ann", False),
        ("session", "s1", True),
        ("session", "s2", False),
    ],
)
def test_what_a_stop_holds_back(scope, value, held):
    state = Stops(1, NOW, (stop(scope, value),))
    assert state.reasons(intent_of(session="s1")) == (("stopped", "stopped_" + scope) if held else ())


def test_every_scope_that_holds_is_named_once():
    state = Stops(1, NOW, (stop("tool", "bank.pay"), stop("all"), stop("identity", "bob")))
    assert state.reasons(intent_of()) == ("stopped", "stopped_all", "stopped_tool")


def test_a_call_without_a_session_is_no_session():
    assert Stops(1, NOW, (stop("session", "s1"),)).reasons(intent_of()) == ()


def value(**members):
    return {**Stops(7, NOW, (stop("tool", "x"), stop("all"))).to_value(), **members}


def test_a_state_is_read_as_it_was_written():
    assert stops.read(value()) == Stops(7, NOW, (stop("tool", "x"), stop("all")))


ENTRY = {"scope": "tool", "value": "x", "reason": "r", "created_at": NOW}


@pytest.mark.parametrize(
    "document, expected",
    [
        ([], "document: must be an object"),
        (value(schema_id="gait.other"), "schema_id: must be gait.stops"),
        (value(schema_version="2.0.0"), "schema_version: must be 1.0.0"),
        (value(sequence=0), "sequence: must be 1 or more"),
        (value(sequence=True), "sequence: must be a whole number"),
        (value(created_at="today"), "expected an RFC 3339 time"),
        (value(stops={}), "stops: must be a list"),
        (value(more=1), "more: unknown key"),
        (value(stops=[ENTRY, ENTRY]), "stops: must be stops of different things"),
        (value(stops=[ENTRY] * 1001), "stops: must be at most 1000 stops"),
        (value(stops=[{**ENTRY, "scope": "tol"}]), "scope: must be one of"),
        (value(stops=[{**ENTRY, "scope": ""}]), "scope: must be one of"),
        (value(stops=[{**ENTRY, "value": ""}]), "value: must be the tool to stop"),
        (value(stops=[{**ENTRY, "scope": "all"}]), "value: must be empty for the scope all"),
        (value(stops=[{**ENTRY, "reason": " "}]), "reason: must be text that is not empty"),
        (value(stops=[{**ENTRY, "reason": "r" * 501}]), "reason: must be at most 500 characters"),
        (value(stops=[{**ENTRY, "value": "v" * 501}]), "value: must be at most 500 characters"),
        (value(stops=[{**ENTRY, "created_at": "x"}]), "expected an RFC 3339 time"),
        (value(stops=[{**ENTRY, "extra": "x"}]), "unknown key 'extra'"),
    ],
)
def test_anything_else_is_refused(document, expected):
    with pytest.raises(InvalidInput) as caught:
        stops.read(document)
    assert expected in str(caught.value)


def test_find():
    state = stops.read(value())
    assert state.find("all", "") == stop("all")
    assert state.find("tool", "y") is None
    assert isinstance(state.find("tool", "x"), Stop)
