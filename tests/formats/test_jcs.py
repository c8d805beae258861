"""RFC 8785: its own examples, ECMAScript's numbers, and the two paths of the encoder against each other."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import struct
from pathlib import Path

import pytest

from gait.errors import InvalidInput
from gait.formats import jcs, strict_json

FIXTURES = Path(__file__).parents[2] / "fixtures/jcs"
RFC = json.loads((FIXTURES / "rfc8785.json").read_text(encoding="utf-8"))
NODE = json.loads((FIXTURES / "numbers.json").read_text(encoding="utf-8"))
ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "8785"))
CHARACTERS = [*map(chr, range(0x30)), '"', "\\", "a", "é", "\x7f", "\x80", "\u2028", "\ud7ff", "\ue000", "\ufb33", "\uffff", "\U00010000", "😀"]


def double(hexadecimal: str) -> float:
    return struct.unpack(">d", bytes.fromhex(hexadecimal))[0]


@pytest.mark.parametrize("case", RFC["examples"], ids=lambda case: case["name"])
def test_the_examples_of_the_rfc(case: dict):
    canonical = jcs.dumps(strict_json.loads(case["input"]))
    assert canonical.decode("utf-8") == case["canonical"]
    assert canonical.hex() == case.get("hex", canonical.hex())
    assert jcs.dumps(strict_json.loads(canonical)) == canonical


@pytest.mark.parametrize(("bits", "text"), RFC["appendix_b"], ids=lambda value: str(value))
def test_appendix_b(bits: str, text: str | None):
    if text is None:
        with pytest.raises(InvalidInput, match="finite"):
            jcs.dumps(double(bits))
    else:
        assert jcs.number(double(bits)) == text


def test_numbers_print_as_ecmascript_prints_them():
    """300 doubles as Node's JSON.stringify printed them, by both paths."""
    assert len(NODE) == 300
    for bits, text in NODE:
        assert jcs.number(double(bits)) == text, bits
        assert jcs.dumps({"n": [double(bits)]}).decode() == '{"n":[' + text + "]}", bits
        assert struct.pack(">d", float(text)) == struct.pack(">d", double(bits) + 0.0), bits


def test_a_float_that_is_a_whole_number_is_the_integer():
    assert jcs.dumps([1.0, -0.0, 0, 1e20]) == b"[1,0,0,100000000000000000000]"
    assert jcs.digest(1.0) == jcs.digest(1) == hashlib.sha256(b"1").hexdigest()


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**30, 10**5000, [1, {"a": 2**53}], {"a": (2**63,)}, {"😀": 2**53, "\ufb33": 1}], ids=list("abcdefg"))
def test_integers_that_two_doubles_share_are_refused(value: object):
    with pytest.raises(InvalidInput) as caught:
        jcs.dumps(value)
    assert caught.value.error_code == "integer_out_of_range"


def test_the_largest_integers():
    assert jcs.dumps([2**53 - 1, -(2**53) + 1, 0]) == b"[9007199254740991,-9007199254740991,0]"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": -math.inf}])
def test_what_is_no_number_is_refused(value: object):
    with pytest.raises(InvalidInput, match="finite"):
        jcs.dumps(value)


@pytest.mark.parametrize("value", [b"x", {1}, object(), [object()], {"a": b""}, {1: 2}, {None: 1}, {("a",): 1}, {True: 1}, 1j])
def test_what_is_no_json_is_refused(value: object):
    with pytest.raises(InvalidInput):
        jcs.dumps(value)


@pytest.mark.parametrize("value", ["\ud800", ["a\udfff"], {"\ud800": 1}, {"a": "\udc00\ud800"}])
def test_lone_surrogates_are_refused(value: object):
    with pytest.raises(InvalidInput, match="surrogate"):
        jcs.dumps(value)


def test_nesting_beyond_the_stack_is_refused():
    for deep in ([], {}, ""):
        for _ in range(200_000):
            deep = [deep]
        with pytest.raises(InvalidInput, match="nesting"):
            jcs.dumps(deep)
        with pytest.raises(InvalidInput, match="nesting"):
            jcs.dumps({"late": 1e300, "value": deep})
        while isinstance(deep, list) and deep:  # freeing it must not recurse either
            deep = deep.pop()


def test_a_cycle_is_refused():
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(InvalidInput, match="nesting"):
        jcs.dumps(cycle)


def test_subclasses_are_encoded_by_their_value():
    class Text(str):
        def __str__(self) -> str:
            return "another"

    class Number(float):
        def __repr__(self) -> str:
            return "Number(1.5)"

    class Whole(int):
        def __str__(self) -> str:
            return "another"

    class Table(dict):
        pass

    value = Table({Text("k"): [Text("v"), Number(1.5), Whole(7)]})
    assert jcs.dumps(value) == b'{"k":["v",1.5,7]}'


def test_booleans_are_not_numbers():
    assert jcs.dumps([True, 1, False, 0, None]) == b"[true,1,false,0,null]"
    assert jcs.dumps([True, 1e300]) == b"[true,1e+300]"
    assert jcs.dumps([False, None, 1e300]) == b"[false,null,1e+300]"


def text(source: random.Random) -> str:
    return "".join(source.choice(CHARACTERS) for _ in range(source.randrange(6)))


def number(source: random.Random) -> object:
    pick = source.randrange(5)
    if pick == 0:
        return source.randrange(-(2**53) + 1, 2**53)
    if pick == 1:
        return source.uniform(-1e6, 1e6)
    if pick == 2:
        return math.ldexp(source.random(), source.randrange(-1074, 1024))
    if pick == 3:
        return source.choice([0.0, -0.0, 1e16, 9999999999999998.0, 1e15, 1e-4, 9.999e-5, 1e21, 1e20, 123456.5, 1e-7])
    return round(source.uniform(-1000, 1000), source.randrange(4))


def value(source: random.Random, depth: int = 0) -> object:
    """Any JSON value."""
    pick = source.randrange(8 if depth < 4 else 5)
    if pick < 2:
        return text(source)
    if pick < 4:
        return number(source)
    if pick == 4:
        return source.choice([None, True, False])
    if pick == 5:
        return [value(source, depth + 1) for _ in range(source.randrange(4))]
    return {text(source): value(source, depth + 1) for _ in range(source.randrange(5))}


def test_both_paths_agree():
    """The C encoder, wherever it is said to be canonical, prints what the slow path prints."""
    source = random.Random(SEED)
    fast = 0
    for _ in range(ROUNDS):
        any_value = value(source)
        slow = jcs._encode(any_value)
        if jcs._fast_path_is_canonical(any_value):
            fast += 1
            assert jcs._encode_fast(any_value) == slow, (SEED, any_value)
        assert jcs.dumps(any_value) == slow.encode("utf-8"), (SEED, any_value)
        again = json.loads(slow, parse_int=lambda digits: int(digits) if len(digits) < 16 else float(digits))
        assert jcs._encode(again) == slow, (SEED, any_value)
    assert ROUNDS / 10 < fast < ROUNDS


def test_keys_sort_by_utf_16_code_units():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 10):
        keys = {text(source) for _ in range(8)}
        found = list(json.loads(jcs.dumps(dict.fromkeys(keys, 1.5))))
        assert found == sorted(keys, key=lambda key: key.encode("utf-16-be")), (SEED, keys)


def test_texts_alone_take_the_short_way():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 10):
        made = {"kind": text(source), "list": [text(source), True], "inner": {"value": text(source), "no": False}}
        try:
            expected = jcs.dumps(made)
        except InvalidInput:
            with pytest.raises(InvalidInput, match="surrogate"):
                jcs.dumps_texts(made)
        else:
            assert jcs.dumps_texts(made) == expected, (SEED, made)
    with pytest.raises(InvalidInput, match="surrogate"):
        jcs.dumps_texts({"kind": "\udc00"})
