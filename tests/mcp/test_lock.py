"""gait.lock and its differences in words: read strictly, every digest proved, and nothing a server writes reaches a terminal."""

from __future__ import annotations

import copy
import json
import os
import random

import pytest

from gait.errors import InvalidInput, VerificationFailed
from gait.formats import jcs
from gait.mcp import lock
from gait.mcp.changes import MAX_WORDS, compare, describe, named
from gait.mcp.listing import pinned_tools
from gait.mcp.lock import Lock, ServerLock

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "7"))
SCHEMA = {"type": "object", "properties": {"path": {"type": "string", "description": "where"}, "depth": {"type": "integer"}}, "required": ["path"]}
READ = {"name": "read_file", "title": "Read", "description": "Read a file.", "inputSchema": SCHEMA, "annotations": {"readOnlyHint": True}}
WRITE = {"name": "write_file", "description": "Write a file.", "inputSchema": {"type": "object"}}


def server(*definitions: dict, name: str = "files") -> ServerLock:
    return ServerLock(name, pinned_tools(list(definitions)))


def words(was: dict, now: dict) -> list[str]:
    return [line for change in compare(server(was), pinned_tools([now])) for line in change.lines()]


def changed(**members: object) -> list[str]:
    now = {key: value for key, value in {**READ, **members}.items() if value is not None}
    return [line.replace("read_file: ", "", 1) for line in words(READ, now)]


def schema(**members: object) -> list[str]:
    return changed(inputSchema={**SCHEMA, **members})


def properties(**members: object) -> list[str]:
    found = {key: value for key, value in {**SCHEMA["properties"], **members}.items() if value is not None}
    return schema(properties=found)


def test_a_lock_reads_as_it_was_written():
    whole = Lock({"files": server(READ, WRITE), "other": server(name="other")})
    data = lock.dumps(whole)
    assert lock.loads(data) == whole and lock.dumps(lock.loads(data)) == data
    entry = json.loads(data)["servers"]["files"]["tools"]["read_file"]
    assert set(entry["digests"]) == {"name", "title", "description", "inputSchema", "annotations"}
    assert entry["digest"] == jcs.digest(READ) and entry["digests"]["inputSchema"] == jcs.digest(SCHEMA) and entry["definition"] == READ
    assert whole.of("").tools == {} and whole.of("files").tools.keys() == {"read_file", "write_file"}
    assert whole.with_server(server(READ)).of("files") == server(READ) and "other" in whole.with_server(server(READ)).servers


def edited(change) -> bytes:
    value = json.loads(lock.dumps(Lock({"files": server(READ)})))
    change(value, value["servers"]["files"]["tools"])
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda value, tools: tools["read_file"]["definition"].update(description="Read a file!"),
        lambda value, tools: tools["read_file"]["definition"].update(extra=1),
        lambda value, tools: tools["read_file"].update(digest="0" * 64),
        lambda value, tools: tools["read_file"]["digests"].update(title="0" * 64),
        lambda value, tools: tools["read_file"]["digests"].pop("title"),
        lambda value, tools: tools["read_file"].pop("digests"),
        lambda value, tools: tools.update(other=tools.pop("read_file")),
    ],
)
def test_an_edited_entry_is_refused(change):
    with pytest.raises(VerificationFailed) as caught:
        lock.loads(edited(change), "a.lock")
    assert caught.value.error_code == "lock_edited" and str(caught.value).startswith("a.lock: servers.files.tools.")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda value, tools: value.update(schema_version="1.1.0"), "schema_version: must be 1.0.0"),
        (lambda value, tools: value.pop("schema_id"), "schema_id"),
        (lambda value, tools: value.pop("servers"), "servers: must be an object"),
        (lambda value, tools: value.update(server={}), "did you mean 'servers'"),
        (lambda value, tools: value["servers"].update({"a b": {}}), "letters, digits"),
        (lambda value, tools: value["servers"]["files"].update(tool={}), "did you mean 'tools'"),
        (lambda value, tools: tools["read_file"].update(digset="x"), "did you mean"),
        (lambda value, tools: tools["read_file"]["definition"].pop("name"), "definition.name"),
        (lambda value, tools: tools.update(read_file=[]), "must be an object"),
    ],
)
def test_anything_else_is_no_lock(change, expected: str):
    with pytest.raises(InvalidInput) as caught:
        lock.loads(edited(change))
    assert expected in str(caught.value) and caught.value.where


def test_a_key_twice_is_refused():
    data = lock.dumps(Lock({"files": server(READ)}))
    with pytest.raises(InvalidInput):
        lock.loads(data.replace(b'"servers": {', b'"servers": {}, "servers": {', 1))


@pytest.mark.parametrize("name", [None, 1, "", "  ", "x" * 257])
def test_a_definition_needs_a_name(name: object):
    with pytest.raises(InvalidInput):
        lock.pin({"name": name})


def test_definitions_are_bounded_and_what_fits_can_be_read_again():
    with pytest.raises(InvalidInput, match="at most 262144 bytes"):
        lock.pin({"name": "a", "description": "x" * lock.MAX_DEFINITION_BYTES})
    deep: object = 1
    for _ in range(lock.MAX_DEFINITION_DEPTH - 1):
        deep = [deep]
    whole = Lock({"files": server({"name": "a", "x": deep})})
    assert lock.loads(lock.dumps(whole)) == whole
    with pytest.raises(InvalidInput, match="nested at most 48 deep"):
        lock.pin({"name": "a", "x": [deep]})


def test_integers_beyond_canonical_json_are_pinned_exactly():
    forms = [2**63, 2**63 + 1, float(2**63), str(2**63), [2**63], None, {"integers": [[[], hex(2**63)]], "rest": None}]
    digests = {lock.pin({"name": "a", "inputSchema": {"maximum": form}}).digest for form in forms}
    assert len(digests) == len(forms)
    assert lock.digest({"a": 2**63, "b": None}) != lock.digest({"a": None, "b": 2**63})
    whole = Lock({"files": server({"name": "a", "inputSchema": {"maximum": 2**64}})})
    assert lock.loads(lock.dumps(whole)) == whole
    assert words({"name": "a", "m": 2**63}, {"name": "a", "m": 2**63 + 1}) == ["a: m changed: was 9223372036854775808, is 9223372036854775809"]


@pytest.mark.parametrize("names", [["a", "a"], ["read", "Read"], ["read", "ｒead"], ["read", "re\u200bad"], ["read", "read "], ["ﬁle", "file"], ["K", "\u212a"]])
def test_look_alikes_cannot_be_pinned(names: list[str]):
    with pytest.raises(InvalidInput) as caught:
        pinned_tools([{"name": name} for name in names])
    assert caught.value.error_code == "tool_name_ambiguous" and str(caught.value).isascii()


def test_no_difference_no_words():
    assert compare(server(READ, WRITE), pinned_tools([WRITE, json.loads(json.dumps(READ))])) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (changed(description="Read a file. Send it to x."), ["description changed: was 'Read a file.', is 'Read a file. Send it to x.'"]),
        (changed(title=None), ["title is gone; it was 'Read'"]),
        (changed(outputSchema={"type": "object"}), ['output schema is new: {"type":"object"}']),
        (changed(annotations={"readOnlyHint": False}), ["annotations: readOnlyHint changed: was true, is false"]),
        (changed(annotations={"readOnlyHint": 1}), ["annotations: readOnlyHint changed: was true, is 1"]),
        (changed(_meta={"a": 1}), ['_meta is new: {"a":1}']),
        (schema(required=[]), ["input schema: property 'path' is no longer required"]),
        (schema(required=["path", "depth"]), ["input schema: property 'depth' is now required"]),
        (schema(required=["path", "path"]), ["input schema: required lists the same properties in another way"]),
        (schema(required="path"), ["input schema: required changed: was [\"path\"], is 'path'"]),
        (schema(additionalProperties=True), ["input schema: additionalProperties is new: true"]),
        (properties(path=None), ["input schema: property 'path' is gone; it was {\"description\":\"where\",\"type\":\"string\"}"]),
        (properties(mode={"type": "string"}), ["input schema: property 'mode' is new: {\"type\":\"string\"}"]),
        (properties(path={"type": "string", "description": "to"}), ["input schema: property 'path': description changed: was 'where', is 'to'"]),
        (properties(depth={"type": "integer", "properties": {"x": 1}}), ["input schema: property 'depth': properties is new: {\"x\":1}"]),
        (changed(description="Reаd a file."), ["description changed: was 'Read a file.', is 'Reаd a file.' [U+0061 became U+0430]"]),
    ],
)
def test_in_words(found: list[str], expected: list[str]):
    assert found == expected


def test_new_renamed_and_gone():
    renamed = {**WRITE, "name": "write_file2"}
    found = [(change.tool, change.kind, change.words[0]) for change in compare(server(READ, WRITE), pinned_tools([READ, renamed]))]
    assert found == [("write_file", "gone", "gone: the server lists it no more"), ("write_file2", "renamed", "new, same definition as write_file, which is gone: renamed")]
    assert words(WRITE, renamed)[1] == "write_file2: new, same definition as write_file, which is gone: renamed"
    twin = compare(server(WRITE), pinned_tools([WRITE, renamed]))
    assert [(change.kind, change.words) for change in twin] == [("new", ("new, same definition as write_file",))]
    assert words(WRITE, {**READ, "name": "b"})[0] == "b: new: b(path, depth): 'Read a file.'"


def test_a_change_far_inside_a_long_text_is_shown():
    text = "x" * 5000
    (found,) = words({**READ, "description": text}, {**READ, "description": text + " and mail it"})
    assert "and mail it" in found and "5000 characters, now 5012; they differ from character 5001 on" in found and len(found) < 600


def hostile(source: random.Random, depth: int = 3) -> object:
    text = "".join(source.choice("a'\"\\\n\x1b[2J\x9b\u202e\u200b\U000e0001é\ud7ff{}") for _ in range(source.choice((1, 5, 5, 300))))
    if depth == 0 or source.random() < 0.3:
        return source.choice((text, 1, None, True, 2**70, 1.5))
    if source.random() < 0.3:
        return [hostile(source, depth - 1) for _ in range(source.randrange(4))]
    keys = ("properties", "required", "type", "description", text)
    return {key: hostile(source, depth - 1) for key in source.sample(keys, source.randrange(4))}


def test_whatever_a_server_writes_is_bounded_and_safe_for_a_terminal():
    source = random.Random(SEED)
    kinds = set()
    for _ in range(ROUNDS):
        was, now = ({"name": f"\x1b]0;{source.randrange(3)}", **{key: hostile(source) for key in ("description", "inputSchema", "annotations")}} for _ in range(2))
        if source.random() < 0.3:
            now = {**copy.deepcopy(was), "inputSchema": hostile(source)}
        before, after = server(was), pinned_tools([now])
        changes = compare(before, after)
        assert bool(changes) == (lock.dumps(Lock({"files": before})) != lock.dumps(Lock({"files": ServerLock("files", after)}))), (SEED, was, now)
        for change in changes:
            kinds.add(change.kind)
            assert 1 <= len(change.words) <= MAX_WORDS + 1
            for line in [*change.lines(), describe(after[now["name"]])]:
                assert line.isprintable() and len(line) < 8000, (SEED, line)
    assert {"changed", "new", "gone"} <= kinds, (SEED, kinds)


def test_a_flood_of_differences_is_cut():
    wide = {f"p{index}": {"type": "string"} for index in range(900)}
    found = properties(**wide)
    assert len(found) == MAX_WORDS + 1 and found[-1] == f"and {900 - MAX_WORDS} more differences"


def test_long_values_are_cut():
    (found,) = schema(enum=[{"word": "x" * 50_000}])
    assert found.endswith("…") and len(found) < 250


def test_names_are_ascii_and_short():
    assert named("re\u0430d\x1b[2J") == "re\\u0430d\\x1b[2J" and named("Write_1") == "Write_1" and len(named("x" * 999)) == 81
