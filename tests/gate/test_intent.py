"""IntentRequest: the normal form, what is inferred, what is refused, and hostile documents."""

from __future__ import annotations

import copy
import json
import os
import random
from time import perf_counter

import pytest

from gait.errors import InvalidInput, ParseError
from gait.formats import jcs, strict_json
from gait.gate import intent, skill_provenance

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "100"))
CONTEXT = {"identity": "alice", "workspace": "/ws", "risk_class": "low"}
FULL = {
    "schema_id": "gait.gate.intent_request",
    "schema_version": "1.0.0",
    "created_at": "2026-02-05T00:00:00Z",
    "producer_version": "1",
    "tool_name": " Tool.READ ",
    "args": {" path ": " /x ", "list": [" a ", {" k ": "\u3000v"}], "n": 1.5, "yes": True, "none": None},
    "targets": [
        {"kind": " PATH ", "value": " /x ", "operation": " READ "},
        {"kind": "url", "value": "https://U:p@Api.Example.com:8443/a"},
        {"kind": "path", "value": "/x", "operation": "read"},
    ],
    "arg_provenance": [
        {"arg_path": " $.b ", "source": " User "},
        {"arg_path": "$.a", "source": "external", "source_ref": "r", "integrity_digest": "A" * 64},
        {"arg_path": "$.b", "source": "user"},
    ],
    "skill_provenance": {"skill_name": "s", "source": " GIT ", "publisher": " Acme ", "digest": "B" * 64},
    "context": {
        "identity": " alice ",
        "workspace": "C:\\work",
        "risk_class": " HIGH ",
        "auth_context": {" a ": [" b "]},
        "credential_scopes": ["b", " a ", "b", ""],
    },
}


def document(**changes: object) -> dict[str, object]:
    return {"tool_name": "tool", "args": {}, "targets": [], "context": CONTEXT, **changes}


def target(**fields: object) -> intent.Target:
    tool_name = fields.pop("tool_name", "tool")
    return intent.read(document(tool_name=tool_name, targets=[fields])).targets[0]


def test_the_normal_form():
    found = intent.read(FULL)
    assert found.tool_name == "tool.read"
    assert found.args == {"path": "/x", "list": ["a", {"k": "v"}], "n": 1.5, "yes": True, "none": None}
    assert found.targets == (
        intent.Target("path", "/x", "read", "", "fs.read", "", False),
        intent.Target("url", "https://U:p@Api.Example.com:8443/a", "", "", "net.http", "api.example.com", False),
    )
    assert [entry.arg_path for entry in found.arg_provenance] == ["$.a", "$.b"]
    assert found.arg_provenance[0].integrity_digest == "a" * 64
    assert found.skill_provenance == intent.SkillProvenance("s", "", "git", "Acme", "b" * 64, "")
    assert found.context.workspace == "C:/work" and found.context.risk_class == "high"
    assert found.context.auth_context == {"a": ["b"]} and found.context.credential_scopes == ("a", "b")
    assert found.warnings == ()


def test_reading_it_again_changes_nothing():
    found = intent.read(FULL)
    value = found.to_value()
    assert intent.read(json.loads(json.dumps(value))) == found
    assert value["args_digest"] == jcs.digest(found.args) and list(value)[:2] == ["schema_id", "schema_version"]
    assert intent.read({**FULL, "args_digest": found.args_digest, "intent_digest": found.intent_digest}) == found


def test_reading_leaves_the_document_alone():
    before = copy.deepcopy(FULL)
    intent.read(FULL)
    assert FULL == before


def test_the_digest_covers_what_decides_and_nothing_else():
    base = intent.read(document())
    assert base.intent_digest == jcs.digest({"tool_name": "tool", "args": {}, "targets": [], "context": CONTEXT})
    assert base.to_value().keys() == {"schema_id", "schema_version", "tool_name", "args", "targets", "context", "args_digest", "intent_digest"}
    same = [{"created_at": "2026-02-05T00:00:00Z"}, {"producer_version": "x"}, {"unknown": 1}, {"arg_provenance": []}, {"targets": None}, {"args": None}, {"schema_id": ""}]
    assert {intent.read(document(**change)).intent_digest for change in same} == {base.intent_digest}
    other = [
        {"tool_name": "tool2"},
        {"args": {"a": 1}},
        {"targets": [{"kind": "path", "value": "/x"}]},
        {"arg_provenance": [{"arg_path": "a", "source": "user"}]},
        {"skill_provenance": {"skill_name": "s", "source": "git", "publisher": "p"}},
        {"context": {**CONTEXT, "risk_class": "high"}},
        {"context": {**CONTEXT, "session_id": "s"}},
        {"context": {**CONTEXT, "auth_context": {"a": 1}}},
        {"context": {**CONTEXT, "environment_fingerprint": "e"}},
        {"context": {**CONTEXT, "credential_scopes": ["x"]}},
    ]
    assert len({intent.read(document(**change)).intent_digest for change in other} | {base.intent_digest}) == len(other) + 1


def test_unknown_fields_are_named():
    assert intent.read(document(**{"k" * 200: 1, "extra": 2})).warnings == (f"unknown field {'k' * 80!r} ignored", "unknown field 'extra' ignored")


@pytest.mark.parametrize(
    ("fields", "endpoint_class", "destructive"),
    [
        ({"kind": "path", "value": "/x", "operation": "cat"}, "fs.read", False),
        ({"kind": "path", "value": "/x", "operation": "rename"}, "fs.write", False),
        ({"kind": "path", "value": "/x", "operation": "rmdir"}, "fs.delete", True),
        ({"kind": "path", "value": "/x", "operation": "frob"}, "other", False),
        ({"kind": "path", "value": "/x", "tool_name": "delete/read_file"}, "fs.read", False),
        ({"kind": "path", "value": "/x", "tool_name": "fs/update"}, "fs.write", False),
        ({"kind": "path", "value": "/x", "tool_name": "fs/rm_rf"}, "fs.delete", True),
        ({"kind": "path", "value": "/x", "operation": "exec"}, "other", True),
        ({"kind": "host", "value": "h", "operation": "lookup"}, "net.dns", False),
        ({"kind": "url", "value": "https://h", "operation": "get"}, "net.http", False),
        ({"kind": "url", "value": "https://h", "operation": "delete"}, "net.http", True),
        ({"kind": "other", "value": "ls", "operation": "shell"}, "proc.exec", True),
        ({"kind": "other", "value": "ls", "tool_name": "run_it"}, "proc.exec", True),
        ({"kind": "other", "value": "x"}, "other", False),
        ({"kind": "bucket", "value": "x", "operation": "exec"}, "other", True),
        ({"kind": "table", "value": "x", "destructive": True}, "other", True),
        ({"kind": "path", "value": "/x", "endpoint_class": " UI.Click "}, "ui.click", False),
        ({"kind": "path", "value": "/x", "endpoint_class": "fs.delete", "destructive": False}, "fs.delete", True),
    ],
)
def test_endpoint_classes(fields: dict, endpoint_class: str, destructive: bool):
    found = target(**fields)
    assert (found.endpoint_class, found.destructive) == (endpoint_class, destructive)


@pytest.mark.parametrize(
    ("kind", "value", "domain"),
    [
        ("host", "Example.com:443/x", "example.com"),
        ("host", "https://Example.com/x", "example.com"),
        ("host", "http://https://h/x", "h"),
        ("url", "https://[2001:DB8::1]:444/x", "2001:db8::1"),
        ("url", "nothing", ""),
        ("path", "/x", ""),
        ("bucket", "h", ""),
    ],
)
def test_endpoint_domains(kind: str, value: str, domain: str):
    assert target(kind=kind, value=value).endpoint_domain == domain
    assert target(kind=kind, value=value, endpoint_domain=" Claimed ").endpoint_domain == "claimed"


def test_targets_are_sorted_and_unique():
    given = [{"kind": "path", "value": value, "destructive": flag} for value in "ba" for flag in (True, False, None)]
    found = intent.read(document(targets=given)).targets
    assert [(one.value, one.destructive) for one in found] == [("a", False), ("a", True), ("b", False), ("b", True)]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"tool_name": None}, "tool_name"),
        ({"tool_name": ["x"]}, "tool_name"),
        ({"args": "x"}, "args"),
        ({"args": {"a": {"b": [{"": 1}]}}}, "args.a.b[0]."),
        ({"args": {"a": 2**53}}, "args.a"),
        ({"args": {1: 2}}, "args: must be an object with text keys"),
        ({"targets": [{"kind": "path", "value": "/x"}, {"kind": "x", "value": "y"}]}, "targets[1].kind"),
        ({"targets": [{"kind": "", "value": "y"}]}, "targets[0].kind"),
        ({"targets": [{"kind": "path", "value": "/x", "sensitivity": 1}]}, "targets[0].sensitivity"),
        ({"targets": [{"kind": "path", "value": "/x", "inferred": "no"}]}, "targets[0].inferred"),
        ({"arg_provenance": [{"arg_path": "", "source": "user"}]}, "arg_provenance[0].arg_path"),
        ({"arg_provenance": [{"arg_path": "a"}]}, "arg_provenance[0].source"),
        ({"arg_provenance": [{"arg_path": "a", "source": "user", "integrity_digest": "zz"}]}, "integrity_digest"),
        ({"arg_provenance": [{"arg_path": "a", "source": "user", "integrity_digest": "a" * 63 + "\n"}]}, "integrity_digest"),
        ({"skill_provenance": {}}, "skill_provenance.skill_name"),
        ({"skill_provenance": False}, "skill_provenance"),
        ({"skill_provenance": {"skill_name": "s", "source": "git"}}, "skill_provenance.publisher"),
        ({"context": None}, "context"),
        ({"context": {**CONTEXT, "workspace": ""}}, "context.workspace"),
        ({"context": {**CONTEXT, "risk_class": None}}, "context.risk_class"),
        ({"context": {**CONTEXT, "auth_context": []}}, "context.auth_context"),
        ({"context": {**CONTEXT, "credential_scopes": "x"}}, "context.credential_scopes"),
        ({"schema_id": "x"}, "schema_id"),
        ({"schema_version": "1.0"}, "schema_version"),
        ({"schema_version": "1.0.0\n0"}, "schema_version"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"args_digest": "0" * 64}, "args_digest"),
        ({"intent_digest": "x"}, "intent_digest"),
    ],
)
def test_what_is_refused(changes: dict, place: str):
    with pytest.raises(InvalidInput) as caught:
        intent.read(document(**changes))
    assert place in str(caught.value) and caught.value.exit_code == 6


@pytest.mark.parametrize("value", [None, [], "x", 1, True, [FULL]])
def test_an_intent_is_an_object(value: object):
    with pytest.raises(InvalidInput):
        intent.read(value)
    assert intent.risk_class_of(value) == ""


def test_the_risk_class_of_anything():
    assert intent.risk_class_of({"context": {"risk_class": " HIGH\u3000"}}) == "high"
    for value in ({}, {"context": []}, {"context": {"risk_class": 1}}, {"context": {"risk_class": None}}):
        assert intent.risk_class_of(value) == ""


def nested(levels: int, opening: str, closing: str) -> object:
    return json.loads(opening * levels + "1" + closing * levels)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth(opening: str, closing: str):
    intent.read(document(args={"a": nested(30, opening, closing)}))
    for where in ("args", "auth"):
        value = {"a": nested(70, opening, closing)}
        changes = {"args": value} if where == "args" else {"context": {**CONTEXT, "auth_context": value}}
        with pytest.raises(InvalidInput, match="nested at most 64"):
            intent.read(document(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tool_name": "T" * 10**6},
        {"args": {"k" * 10**6: "v" * 10**6}},
        {"args": {str(index): index for index in range(20_000)}},
        {"args": {"list": [" x "] * 100_000}},
        {"targets": [{"kind": "path", "value": f"/{index}"} for index in range(5_000)]},
        {"targets": [{"kind": "path", "value": "../" * 200_000}]},
        {"targets": [{"kind": "url", "value": "file:" + "%41" * 200_000}]},
        {"targets": [{"kind": "url", "value": "https://" + "a." * 200_000}]},
        {"targets": [{"kind": "host", "value": "ü" * 100_000}]},
        {"arg_provenance": [{"arg_path": str(index), "source": "user"} for index in range(5_000)]},
        {"context": {**CONTEXT, "credential_scopes": [str(index) for index in range(20_000)]}},
        {"".join(["u", str(index)]): 1 for index in range(20_000)},
    ],
    ids=range(12),
)
def test_hostile_sizes(changes: dict):
    data = json.dumps(document(**changes)).encode()
    started = perf_counter()
    intent.read(strict_json.loads(data))
    assert perf_counter() - started < 2


VALUES = (None, True, 0, -1, 2**53, 1.5, 1e308, "", " ", "x", "path", "/x", "high", "user", "\0", "é", "0" * 64, [], {}, [None], {"": 1}, {"a": " b "}, [{"kind": "path", "value": "/x"}], "https://h/", "file:///%00")


def changed(source: random.Random, value: object, depth: int = 0) -> object:
    """The document with one place in it replaced, dropped or added."""
    if isinstance(value, dict) and value and depth < 4 and source.random() < 0.85:
        key = source.choice(list(value))
        pick = source.randrange(8)
        if pick == 0:
            return {name: item for name, item in value.items() if name != key}
        if pick == 1:
            return {**value, source.choice(("x", " " + key, key.upper())): source.choice(VALUES)}
        return {**value, key: changed(source, value[key], depth + 1)}
    if isinstance(value, list) and value and source.random() < 0.85:
        at = source.randrange(len(value))
        return [*value[:at], changed(source, value[at], depth + 1), *value[at + 1 :]]
    return source.choice(VALUES)


def test_any_document_gives_an_intent_or_invalid_input():
    source = random.Random(SEED)
    read = 0
    for _ in range(ROUNDS):
        value: object = FULL
        for _ in range(source.randrange(1, 4)):
            value = changed(source, value)
        try:
            found = intent.read(value)
        except InvalidInput as error:
            assert str(error), (SEED, value)
            continue
        read += 1
        again = intent.read(strict_json.loads(json.dumps(found.to_value())))
        assert again == found._replace(warnings=()), (SEED, value)
    assert ROUNDS / 20 < read < ROUNDS, (SEED, read)


def test_bytes_to_intent():
    with pytest.raises(ParseError):
        intent.read(strict_json.loads(b'{"tool_name": "a", "tool_name": "b"}'))


SKILL = {"skill_name": "s", "source": "git", "publisher": "acme"}
MINIMAL = {"tool_name": "t", "context": CONTEXT}


def test_trust_is_gaits_to_give():
    """A claim changes neither the intent nor its digest; what Gait has verified is in both."""
    plain = intent.read({**MINIMAL, "skill_provenance": SKILL})
    claimed = intent.read({**MINIMAL, "skill_provenance": {**SKILL, "trust": "verified"}})
    assert claimed.skill_provenance == plain.skill_provenance and claimed.intent_digest == plain.intent_digest
    assert claimed.warnings == ("skill_provenance.trust ignored: only Gait calls a package verified",) and plain.warnings == ()
    verified = intent.read({**MINIMAL, "skill_provenance": SKILL}, plain.skill_provenance._replace(trust="verified"))
    assert verified.skill_provenance.to_value()["trust"] == "verified" and verified.intent_digest != plain.intent_digest
    assert verified.warnings == ()
    other = intent.read({**MINIMAL, "skill_provenance": {**SKILL, "publisher": "evil"}}, verified.skill_provenance)
    assert other.intent_digest == verified.intent_digest and "claimed skill_provenance ignored" in other.warnings[0]
    with pytest.raises(InvalidInput):
        intent.read({**MINIMAL, "skill_provenance": {"trust": "verified"}}, verified.skill_provenance)  # a claim must be well-formed all the same


def test_recorded_trust():
    verified = skill_provenance.recorded({"skill_provenance": {**SKILL, "trust": "verified"}})
    assert verified and verified.trust == "verified" and verified.publisher == "acme"
    for value in ({}, {"skill_provenance": None}, {"skill_provenance": SKILL}, {"skill_provenance": {**SKILL, "trust": "claimed"}}):
        assert skill_provenance.recorded(value) is None
