"""yaml_writer: what it writes, yaml_subset reads back as the same value."""

from __future__ import annotations

import os
import random

import pytest

from gait.formats import yaml_subset
from gait.formats.yaml_writer import dumps

SEED = int(os.environ.get("GAIT_FUZZ_SEED") or 20260205)
ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS") or 400)
NASTY = [
    *("", " ", "a", "null", "Null", "~", "true", "no", "Off", "y", "1", "1.0", "1e3", "0x1f", "0o7", ".inf", ".nan", "-", "--", "---", "...", "?"),
    *(":", "a:", "a: b", "a :b", "#", "a #b", "a#b", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "[", "]", "{", "}", ",", "'", '"', "\\", "''"),
    *(" a", "a ", "\t", "\n", "a\nb", "a\r\nb", "\r", "\x00", "\x07", "\x1b[2J", "\x7f", "\x80", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff"),
    *("\u202e", "\ufffe", "\uffff", "é", "漢字", "😀", "😀\n", "\U000e0001", "\U0010ffff", "<<", "=", "2026-02-05", "12:30:45", "_", "a/b.c-d_e"),
    *("key: [1]", "- a", "? a", "x" * 5000, "é" * 900, "\\u0041", "//", "**/.ssh/**", "*.example.com"),
]


def a_value(random_: random.Random, depth: int) -> object:
    kind = random_.randrange(8 if depth else 6)
    if kind == 6:
        return [a_value(random_, depth - 1) for _ in range(random_.randrange(4))]
    if kind == 7:
        return a_mapping(random_, depth - 1)
    numbers = [0, -1, 2**53 - 1, -(2**53) + 1, 0.5, -1.5e-7, 1e21, 123456.789]
    return random_.choice([None, True, False, random_.choice(numbers), *(a_text(random_) for _ in range(4))])


def a_text(random_: random.Random) -> str:
    if random_.random() < 0.7:
        return random_.choice(NASTY)
    ranges = [(0, 0x7F), (0x20, 0x7E), (0x80, 0xFF), (0x100, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    return "".join(chr(random_.randint(*random_.choice(ranges))) for _ in range(random_.randrange(12)))


def a_mapping(random_: random.Random, depth: int) -> dict[str, object]:
    return {a_text(random_)[:900]: a_value(random_, depth) for _ in range(random_.randrange(5))}


def same(left: object, right: object) -> bool:
    """Equal with equal types: 1 is not True and not 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.fuzz
def test_what_is_written_is_read_back() -> None:
    random_ = random.Random(SEED)
    for round_ in range(ROUNDS):
        value = a_mapping(random_, 4)
        text = dumps(value)
        assert same(yaml_subset.loads(text), value), f"seed {SEED}, round {round_}: {value!r}\n{text}"
        assert dumps(yaml_subset.loads(text)) == text


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_nasty_texts_as_value_item_and_key(text: str) -> None:
    for value in ({"a": text}, {"a": [text, text]}, {"a": [{"b": text}]}, {"a": [[text], {}]}, {"a": [[{text[:900]: text}]]}, {text[:900]: {text[:900]: 1}}):
        assert same(yaml_subset.loads(dumps(value)), value), dumps(value)


def test_layout() -> None:
    value = {"a": 1, "b": [], "c": {}, "d": {"e": None, "f": [1, "x y", True]}, "g": [{"h": 1, "i": [{"j": {}}]}, 2, [3, [4, {"k": 5}]], {}]}
    assert dumps(value) == (
        "a: 1\nb: []\nc: {}\nd:\n  e: null\n  f: [1, \"x y\", true]\ng:\n  - h: 1\n    i:\n      - j: {}\n  - 2\n"
        "  - [3, [4, {\"k\": 5}]]\n  - {}\n"
    )
    assert dumps({}) == "{}\n" and yaml_subset.loads("{}\n") == {}


def test_escapes_are_those_of_yaml_12() -> None:
    assert dumps({"a": "😀\n\x85\u2028\U000e0001é"}) == 'a: "😀\\n\\u0085\\u2028\\U000e0001é"\n'
