"""The quick reader of canonical JSON says yes only where the strict one does."""

from __future__ import annotations

import os
import random

import pytest

from gait.errors import InvalidInput
from gait.formats import canonical, jcs, strict_json

REFUSED = [
    b'{"a":1,"a":2}', b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":NaN}', b'{"a":1e400}', b'{"a":1.0}', b'{"a":-0}', b'{"a":9007199254740993}',
    b'["x"]', b'{"a":"\\ud800"}', b'{"a":"\\u0041"}', b'{"a":1}\n', b"{", b"", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", b"{\xff}",
]  # fmt: skip


@pytest.mark.parametrize("data", REFUSED)
def test_no_answer_where_it_is_not_canonical(data):
    assert canonical.loads_object(data) is None


@pytest.mark.parametrize("value", [{}, {"a": 1, "b": [True, None, "x", {"c": 2**49}]}, {"text": 'a "quoted" \\ \n line'}])
def test_the_value_where_it_is(value):
    assert canonical.loads_object(jcs.dumps(value)) == value


def made(rnd: random.Random, depth: int = 0) -> object:
    kind = rnd.randrange(9)
    if kind == 0:
        return rnd.choice([0, 1, -1, 2**53 - 1, 10**15, -(10**15), 123456789012345])
    if kind == 1:
        return rnd.choice([0.5, 1e21, 1e-7, 1.0, 3.25, 100.125, 1e16])
    if kind == 2:
        return rnd.choice(["", "a", "é", "\U0001f600", "\\ud800", "\u2028", "\x7f", "\x00", "1.5", "[1e5", ":1.0"])
    if kind == 3 or depth > 3:
        return rnd.choice([None, True, False])
    if kind < 6:
        return [made(rnd, depth + 1) for _ in range(rnd.randrange(4))]
    return {rnd.choice(["a", "b", "é", "\ue000", "\U0001f600", "\n", '"']): made(rnd, depth + 1) for _ in range(rnd.randrange(4))}


def test_a_value_only_where_the_strict_reader_agrees():
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "5000"))
    rnd = random.Random(int(os.environ.get("GAIT_FUZZ_SEED", "1")))
    answers = 0
    for _ in range(rounds):
        data = bytearray(jcs.dumps({"k": made(rnd), "l": [made(rnd)]}))
        if rnd.random() < 0.5:
            data[rnd.randrange(len(data))] = rnd.choice(b'0123456789{}[]",:\\ue. n')
        value = canonical.loads_object(bytes(data))
        if value is not None:
            answers += 1
            try:
                assert jcs.dumps(strict_json.loads(bytes(data))) == bytes(data)
            except InvalidInput as error:
                raise AssertionError(bytes(data)) from error
    assert answers > rounds // 20
