"""gait.yaml and fixture.json: what is read, what is written, and what an attacker's is refused for."""

from __future__ import annotations

import json

import pytest

from gait.errors import InvalidInput
from gait.gate.simulate import Answer
from gait.regress import fixture as documents
from gait.regress.fixture import Accepted, Config, Entry, Fixture, Trajectory
from tests.regress import runs

HOSTILE = json.loads((runs.FIXTURES / "hostile.json").read_text("utf-8"))
READ = {"config": documents.read_config, "fixture": documents.read_fixture}
ALLOW, BLOCK = Answer("allow", "r", ("b", "c")), Answer("block", "", ("default_block",))


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case["error"][:40])
def test_hostile_documents(case):
    with pytest.raises(InvalidInput) as caught:
        READ[case["kind"]](case["document"])
    assert str(caught.value).startswith(case["error"]) and len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_config_is_read_as_it_is_written():
    config = Config("set", "ops/policy.yaml", (Entry("a", "run_1", "runpack.zip"), Entry("b", "", "runpack.zip")))
    assert documents.read_config(json.loads(documents.dumps(config.to_value()))) == config
    assert documents.read_config({}) == Config("default", "policy.yaml", ())
    assert documents.read_config({"fixtures": [{"name": "b"}, {"name": "a"}]}).fixtures[0].name == "a"


def test_fixture_is_read_as_it_is_written():
    accepted = Accepted(ALLOW, BLOCK, ("intent_1", "intent_7"), "me", "2026-02-05T00:00:00Z", "TICKET-7")
    whole = Fixture("a", "run_1", "runpack.zip", "f" * 64, 2, 3, "candidate.zip", ("status",), Trajectory("subsequence", ("x", "y"), None), (accepted,))
    for fixture in (whole, Fixture("a", "run_1")):
        assert documents.read_fixture(json.loads(documents.dumps(fixture.to_value()))) == fixture


def test_published_fixture_is_read():
    """What Gait v1.x writes for a run without a session and without context."""
    head = {"schema_id": "gait.regress.fixture", "schema_version": "1.0.0", "name": "run_demo", "run_id": "run_demo"}
    fixture = documents.read_fixture({**head, "runpack": "runpack.zip", "expected_replay_exit_code": 0})
    assert fixture == Fixture("run_demo", "run_demo")


@pytest.mark.parametrize("run_id,name", [("run_demo", "run_demo"), ("Run 7/..", "run-7"), ("..", "fixture"), ("a..b", "a.b"), ("x" * 100, "x" * 64), ("-.É", "fixture")])
def test_name_of_a_run(run_id, name):
    assert documents.name_of(run_id) == name and documents.check_name(name) == name


def test_an_edited_answer_is_no_accepted_one():
    value = Accepted(ALLOW, BLOCK, ("intent_1",), "me", "now", "why").to_value()
    for name in ("recorded", "answered"):
        edited = {**value, name: {**value[name], "verdict": "dry_run"}}
        with pytest.raises(InvalidInput, match="the digest of the answer"):
            documents.read_fixture({"name": "a", "run_id": "b", "accepted": [edited]})
