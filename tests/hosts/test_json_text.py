"""Edits in the text of JSON: the value changes as asked, and every other byte stays."""

from __future__ import annotations

import json
import os
import random

import pytest

from gait.errors import InvalidInput
from gait.hosts import settings_files
from gait.hosts.json_text import insert, remove, replace

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))


@pytest.mark.parametrize(
    "text,steps,value,expected",
    [
        ("{}\n", ("a",), 1, '{\n  "a": 1\n}\n'),
        ('{"a":1}', ("b",), 2, '{"a":1, "b": 2}'),
        ('{"a":1,"b":2}', ("c",), 3, '{"a":1,"b":2, "c": 3}'),
        ('{\n\t"a": 1\n}', ("b", "c", -1), 2, '{\n\t"a": 1,\n\t"b": {\n\t\t"c": [\n\t\t\t2\n\t\t]\n\t}\n}'),
        ('[1, 2]', (-1,), 3, "[1, 2, 3]"),
        ('{"a":[]}', ("a", -1), {"x": "ü"}, '{"a":[{"x": "ü"}]}'),
        ('{\n    "a": []\n}', ("a", -1), 1, '{\n    "a": [\n        1\n    ]\n}'),
        (' { "a" : { "}" : "]" } } ', ("a", "b"), None, ' { "a" : { "}" : "]", "b": null } } '),
    ],
)
def test_insert(text, steps, value, expected):
    assert insert(text, steps, value) == expected
    json.loads(expected)


def test_remove_and_replace():
    assert remove('{"a": 1, "b": 2, "c": 3}', ("b",)) == '{"a": 1, "c": 3}'
    assert remove('{"a": 1, "b": 2}', ("a",)) == '{"b": 2}'
    assert remove('{"a": [1, [2]]}', ("a", 1)) == '{"a": [1]}'
    assert remove('{"a": 1 }', ("a",)) == "{}"
    assert replace('{"a": [1, {"x": 2}] }', ("a", 1), "y") == '{"a": [1, "y"] }'


@pytest.mark.parametrize("text,steps", [("[]", ("a",)), ('{"a": 1}', ("a", "b")), ('{"a": {}}', ("a", -1)), ('{"a": []}', ("a", "b")), ("1", (-1,))])
def test_another_shape_is_refused(text, steps):
    with pytest.raises(InvalidInput):
        insert(text, steps, 1)


def some_value(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(7 if depth < 3 else 5)
    if kind == 5:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice("abcdefg") + rng.choice(['"', "{", "\\", ""]): some_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice([None, True, 1.5, -3, "te\"x\\t", "ä,]}", "", "\u2028"])


def some_settings(rng: random.Random, host: str) -> dict:
    """A settings file of somebody else: hooks of many shapes, or none."""
    value: object = [
        {"matcher": rng.choice(["", "Bash", "*"]), "hooks": [{"type": "command", "command": f"other {n}"} for n in range(1 + rng.randrange(3))]}
        for _ in range(rng.randrange(3))
    ]
    for step in reversed(settings_files.SHAPES[host].event):
        value = {step: value} if rng.random() < 0.8 else {}
    assert isinstance(value, dict)
    around = {f"k{n}": some_value(rng) for n in range(rng.randrange(3))}
    return {**around, **value} if rng.random() < 0.5 else {**value, **around}


@pytest.mark.parametrize("host", sorted(settings_files.SHAPES))
def test_installing_and_removing_gives_the_same_bytes(host):
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "6"))
    rng = random.Random(f"{seed} {host}")
    line = f"/usr/bin/python3 -I '/a b/gait.py' hook {host} --policy /p || exit 2"
    for _ in range(ROUNDS):
        value = some_settings(rng, host)
        text = json.dumps(value, indent=rng.choice([None, 2, 4, "\t"]), ensure_ascii=rng.random() < 0.5, separators=rng.choice([None, (",", ":")]))
        if host == "copilot":
            text = text if "version" in value else json.dumps({"version": 1, **value})
        new = settings_files.with_hook(host, text, json.loads(text), line)
        found = list(settings_files.hooks_in(host, json.loads(new)))
        assert len(found) == 1 and found[0].fires_always, (seed, text)
        assert settings_files.with_hook(host, new, json.loads(new), line) == new, (seed, text)
        back = settings_files.without_hooks(host, new, json.loads(new))
        assert back == text or without_empty(json.loads(back)) == without_empty(json.loads(text)), (seed, text)
        if not has_empty(json.loads(text)):
            assert back == text, (seed, text)


def without_empty(value: object) -> object:
    if isinstance(value, dict):
        kept = {name: without_empty(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in ({}, [])}
    return value


def has_empty(value: object) -> bool:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return value in ({}, []) or any(map(has_empty, items))
