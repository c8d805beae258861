"""Strict JSON: the table of fixtures/json/strict.jsonl, and documents mutated at random.

A case has text, hex or parts (texts with a count); it gives its value, or an error that contains a text.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from time import perf_counter

import pytest

from gait.errors import ParseError
from gait.formats import strict_json

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = [json.loads(line) for line in (FIXTURES / "json/strict.jsonl").read_text(encoding="utf-8").splitlines()]
ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "8259"))
SEEDS = (
    b'{"method":"tools/call","params":{"name":"x","arguments":{"a":[1,2.5,-0,1e3,null,true,false]}},"id":1}',
    '{"k\\u00e9y":"v\\ud83d\\ude00é","n":[[],{},[{}]],"z":"\\"\\\\\\/\\b\\n"}'.encode(),
    b'[0,-1,12345678901234567890,1.7976931348623157e308,1e-400,"",{"":""}]',
)
WORDS = (b'"', b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"NaN", b"-", b"0", b"\xff", b"\xc0\xaf", b"\0", b"\xef\xbb\xbf", b'"a":1,', b"\xed\xa0\x80", b"null", b" ")


def data(case: dict) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "parts" in case:
        return b"".join(text.encode("utf-8") * count for text, count in case["parts"])
    return case["text"].encode("utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_table(case: dict):
    started = perf_counter()
    if "error" in case:
        with pytest.raises(ParseError) as caught:
            strict_json.loads(data(case), "call")
        error = caught.value
        assert case["error"] in error.message, str(error)
        assert error.where.partition(":")[0] == "call" and error.exit_code == 6 and len(str(error)) < 300
    else:
        value = strict_json.loads(data(case), "call")
        assert "parts" in case or (repr(value), type(value)) == (repr(case["value"]), type(case["value"]))
    assert perf_counter() - started < 2


def test_the_table_is_long_enough():
    assert len(CASES) >= 60 and len({case["name"] for case in CASES}) == len(CASES)


def test_an_error_names_its_place():
    with pytest.raises(ParseError) as caught:
        strict_json.loads(b'{\n  "a": 1,\n  "b": x\n}', "policy.json")
    assert caught.value.where == "policy.json:3:8"


def test_text_is_read_like_bytes():
    assert strict_json.loads('{"é": "😀"}') == strict_json.loads('{"é": "😀"}'.encode())
    for text in ("\ud800", '"\ud800"', '{"a":"\udc80"}', "\ufeff1"):
        with pytest.raises(ParseError):
            strict_json.loads(text)


def test_the_callers_limit():
    assert strict_json.loads(b"[1]", max_bytes=3) == [1]
    with pytest.raises(ParseError, match="at most 2 bytes, got 3"):
        strict_json.loads(b"[1]", max_bytes=2)


@pytest.mark.parametrize(("text", "got"), [("[]", "a list"), ("1", "a number"), ("1.5", "a number"), ('"x"', "text"), ("null", "null"), ("true", "a boolean")])
def test_an_object_is_asked_for(text: str, got: str):
    with pytest.raises(ParseError, match=f"JSON object, got {got}"):
        strict_json.loads_object(text)


def test_an_object_is_given():
    assert strict_json.loads_object(b'{"a":[1]}') == {"a": [1]}


def test_names_of_other_types():
    assert strict_json.type_name({}) == "an object" and strict_json.type_name(b"") == "bytes"


def mutated(source: random.Random, text: bytes) -> bytes:
    """A document with some bytes changed, dropped, doubled or put in."""
    found = bytearray(text)
    for _ in range(source.randrange(1, 5)):
        at = source.randrange(len(found) + 1)
        pick = source.randrange(5)
        if pick == 0:
            found[at : at + 1] = bytes([source.randrange(256)])
        elif pick == 1:
            del found[at : at + source.randrange(1, 9)]
        elif pick == 2:
            found[at:at] = source.choice(WORDS) * source.choice((1, 1, 2, 70))
        elif pick == 3:
            found[at:at] = found[at : at + source.randrange(1, 40)]
        else:
            found[at:at] = source.choice(SEEDS)[: source.randrange(20)]
    return bytes(found)


def test_a_mutated_document_gives_a_value_or_a_parse_error():
    source = random.Random(SEED)
    values = 0
    for _ in range(ROUNDS):
        text = mutated(source, source.choice(SEEDS))
        try:
            value = strict_json.loads(text)
        except ParseError as error:
            assert str(error) and error.where, (SEED, text)
            continue
        values += 1
        assert value == json.loads(text), (SEED, text)
        assert strict_json.loads(json.dumps(value)) == value, (SEED, text)
    assert ROUNDS / 100 < values < ROUNDS, (SEED, values)
