"""Every framework's shape, and what is refused; the rules for large integers, given targets and context."""

from __future__ import annotations

import copy
import json
import pathlib
import subprocess
import sys

import pytest

from gait import adapters
from gait.adapters import ADAPTERS, call, to_intent
from gait.errors import InvalidInput
from gait.gate import intent

ROOT = pathlib.Path(__file__).parents[2]
SHAPES = [json.loads(line) for line in (ROOT / "fixtures" / "adapters" / "shapes.jsonl").read_text("utf-8").splitlines()]
VALID = [case for case in SHAPES if "error" not in case]
INVALID = [case for case in SHAPES if "error" in case]
DEFAULTS = {"identity": "tester", "workspace": "/workspace", "risk_class": "high"}


def ids(cases: list) -> list:
    return [f"{case['adapter']}: {case['note']}" for case in cases]


def flat(args: dict, **more: object):
    return to_intent("mcp", {"name": "read", "args": args, **more}, DEFAULTS)


@pytest.mark.parametrize("case", VALID, ids=ids(VALID))
def test_valid_shape(case):
    before = copy.deepcopy(case["call"])
    made = to_intent(case["adapter"], case["call"], DEFAULTS)
    assert (made.tool_name, made.args) == (case["tool"], case["args"])
    for name, value in case.get("context", {}).items():
        assert getattr(made.context, name) == value
    assert case["call"] == before


@pytest.mark.parametrize("case", INVALID, ids=ids(INVALID))
def test_invalid_shape(case):
    before = copy.deepcopy(case["call"])
    with pytest.raises(InvalidInput) as error:
        to_intent(case["adapter"], case["call"], DEFAULTS)
    assert error.value.error_code in ("invalid_call", "unknown_adapter")
    assert [word for word in case["error"] if word not in str(error.value)] == [], str(error.value)
    if error.value.error_code == "invalid_call":
        assert "; expected {" in str(error.value)
    assert case["call"] == before


def test_the_tables_are_large_enough():
    assert len(INVALID) >= 60
    assert {case["adapter"].replace("-", "_") for case in VALID} >= set(ADAPTERS)


def test_one_call_at_a_time_is_said():
    with pytest.raises(InvalidInput) as error:
        to_intent("openai", {"tool_calls": [{}, {}]}, DEFAULTS)
    assert error.value.hint == "send one call at a time"


def test_large_integers_stay_apart_and_the_call_stays_whole():
    args = {"a": 2**53, "b": [{"c": -(2**63)}], "d": 2**53 - 1, "e": True, "f": 1.5, "path": "x"}
    before = copy.deepcopy(args)
    made = flat(args)
    assert args == before
    assert made.args == {"a": {"$int": str(2**53)}, "b": [{"c": {"$int": str(-(2**63))}}], "d": 2**53 - 1, "e": True, "f": 1.5, "path": "x"}
    assert made.args_digest != flat({**args, "a": 2**53 + 1}).args_digest


@pytest.mark.parametrize("args", [{"$int": "1"}, {"a": [{"b": {"$int": "9007199254740993"}}]}, {" $int ": 1}])
def test_the_reserved_key_is_refused(args):
    with pytest.raises(InvalidInput, match=r"\$int"):
        flat(args)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value,words",
    [
        (float("nan"), "JSON value"), (float("inf"), "JSON value"), ((1, 2), "JSON value"), ({1: 2}, "keys are text"), (b"x", "JSON value"),
        (10**5000, "4300 digits"), (nested(70), "nested at most"),
    ],
    ids=["NaN", "infinity", "tuple", "numeric key", "bytes", "5000 digits", "70 deep"],
)  # fmt: skip
def test_values_outside_json_are_refused(value, words):
    with pytest.raises(InvalidInput, match=words):
        flat({"a": value})


def targets(made) -> list:
    return [(target.kind, target.value, target.operation, target.endpoint_class, target.inferred) for target in made.targets]


def test_given_targets_are_joined_by_inferred_ones():
    made = flat({"path": "/etc/shadow"}, targets=[{"kind": "path", "value": "/tmp/ok", "operation": "read"}])
    assert targets(made) == [
        ("path", "/etc/shadow", "read", "fs.read", True),
        ("path", "/tmp/ok", "read", "fs.read", False),
    ]


def test_a_given_target_that_says_the_same_is_enough():
    same = {"kind": " Path", "value": "/a ", "operation": "READ"}
    assert targets(flat({"path": "/a"}, targets=[same])) == [("path", "/a", "read", "fs.read", False)]
    for more in ({"sensitivity": "secret"}, {"destructive": True}, {"operation": None}):
        assert len(flat({"path": "/a"}, targets=[{**same, **more}]).targets) == 2


def test_claims_about_class_and_domain_are_dropped():
    claim = {"kind": "url", "value": "https://evil.net/", "endpoint_class": "fs.read", "endpoint_domain": "good.example", "destructive": False, "inferred": True}
    target = to_intent("mcp", {"name": "tool", "targets": [claim]}, DEFAULTS).targets[0]
    assert (target.endpoint_class, target.endpoint_domain, target.destructive, target.inferred) == ("net.http", "evil.net", False, False)
    destructive = {"kind": "path", "value": "/a", "operation": "read", "destructive": True}
    assert flat({}, targets=[destructive]).targets[0].destructive


@pytest.mark.parametrize("target", [None, "x", {"kind": "path"}, {"kind": 1, "value": "x"}, {"kind": "path", "value": "x", "destructive": "yes"}])
def test_malformed_targets_are_refused(target):
    with pytest.raises(InvalidInput, match=r"targets\[0\]"):
        flat({"path": "x"}, targets=[target])


def test_context_takes_the_place_of_defaults_field_by_field():
    made = flat({}, context={"identity": "other", "auth_context": {"k": "v"}})
    assert (made.context.identity, made.context.workspace, made.context.auth_context) == ("other", "/workspace", {"k": "v"})


def test_only_trusted_fields_take_the_place_of_defaults():
    event = {"hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {}, "cwd": "/", "session_id": "s"}
    document = adapters.to_document("claude_code", event, DEFAULTS, frozenset(("session_id",)))
    assert document["context"] == {**DEFAULTS, "session_id": "s"}


def test_read_gives_the_call_id():
    assert adapters.read("anthropic", {"type": "tool_use", "id": "toolu_1", "name": "x", "input": {}}).call_id == "toolu_1"


def test_inferred_is_part_of_the_digest_only_when_true():
    given = flat({"x": 1}, targets=[{"kind": "path", "value": "/a"}])
    assert "inferred" not in given.to_value()["targets"][0]
    assert flat({"path": "/a"}).to_value()["targets"][0]["inferred"] is True


def test_a_call_without_name_in_an_intent_is_refused():
    with pytest.raises(InvalidInput, match="tool_name"):
        intent.read(call.make_document(call.ToolCall("", {}), DEFAULTS, None))


def test_only_the_module_needed_is_imported():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); from gait.adapters import to_intent;"
        "to_intent('claude_code', {'hook_event_name': 'PreToolUse', 'tool_name': 'Write', 'tool_input': {'file_path': '/a', 'content': 'x'}},"
        "{'identity': 'i', 'workspace': '/w', 'risk_class': 'high'});"
        "print(' '.join(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT)], stdout=subprocess.PIPE, check=True)
    loaded = set(run.stdout.decode().split())
    assert "gait.adapters.claude_code" in loaded
    assert not loaded & {f"gait.adapters.{name}" for name in set(ADAPTERS) - {"claude_code"}}
    assert not loaded & {"urllib", "urllib.parse", "shlex", "ipaddress", "pathlib", "dataclasses", "typing", "subprocess", "socket"}
