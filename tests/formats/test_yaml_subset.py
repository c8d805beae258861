"""The YAML subset: the table in fixtures/yaml/cases.jsonl, JSON, positions, hostile sizes, fuzz."""

from __future__ import annotations

import json
import os
import random
import sys
import time

import pytest

from gait.errors import ParseError
from gait.formats.yaml_subset import loads, position

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VECTORS = "/work/shared/vectors/decisions.jsonl"
MIB = 1024 * 1024


def read_lines(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


CASES = read_lines(os.path.join(ROOT, "fixtures", "yaml", "cases.jsonl"))
VALID = [case for case in CASES if "value" in case]
INVALID = [case for case in CASES if "error" in case]


def refusal(data: bytes | str, **options: object) -> ParseError:
    with pytest.raises(ParseError) as caught:
        loads(data, "p.yaml", **options)
    assert caught.value.hint
    return caught.value


def same(left: object, right: object) -> bool:
    """Equal with equal types: True is not 1, 1 is not 1.0, -0.0 is not 0.0."""
    return repr(left) == repr(right)


def name_of(case: dict) -> str:
    return case["name"]


# The table


def test_the_table_is_large_and_names_are_unique() -> None:
    assert len(CASES) >= 170
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", VALID, ids=name_of)
def test_value(case: dict) -> None:
    assert same(loads(case["yaml"]), case["value"])
    assert same(loads(case["yaml"].encode("utf-8")), case["value"])


@pytest.mark.parametrize("case", VALID, ids=name_of)
def test_value_with_other_breaks(case: dict) -> None:
    for line_break in ("\r\n", "\r"):
        text = case["yaml"].replace("\r\n", "\n").replace("\n", line_break)
        assert same(loads(text), case["value"])


@pytest.mark.parametrize("case", INVALID, ids=name_of)
def test_error(case: dict) -> None:
    error, expected = refusal(case["yaml"]), case["error"]
    assert error.where == f"p.yaml:{expected['line']}:{expected['column']}"
    assert expected["contains"] in error.message
    assert len(error.message) < 400


# Bytes


@pytest.mark.parametrize(
    ("data", "where", "byte"),
    [
        (b"a: \xff", "p.yaml:1:4", "0xff"),
        (b"\xff\xfea\x00", "p.yaml:1:1", "0xff"),
        ("ü: 1\n".encode() + b"b: \xc3(", "p.yaml:2:4", "0xc3"),
        (b"a: \xed\xa0\x80", "p.yaml:1:4", "0xed"),
        (b"a: \xc0\x80", "p.yaml:1:4", "0xc0"),
        (b"a: \xe2\x82", "p.yaml:1:4", "0xe2"),
    ],
)
def test_invalid_utf8(data: bytes, where: str, byte: str) -> None:
    error = refusal(data)
    assert error.where == where
    assert "expected UTF-8" in error.message and byte in error.message


def test_a_surrogate_in_text_is_refused() -> None:
    assert refusal("a: '\ud800'").where == "p.yaml:1:5"


def test_byte_order_mark() -> None:
    assert loads(b"\xef\xbb\xbfa: 1") == {"a": 1}
    refusal(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")


def test_the_size_limit_counts_bytes() -> None:
    assert loads("'ü'", max_bytes=4) == "ü"
    for data in ("'ü'", "'ü'".encode()):
        error = refusal(data, max_bytes=3)
        assert "at most 3 bytes, got 4" in error.message and error.where == "p.yaml:1:1"


def test_source_defaults() -> None:
    with pytest.raises(ParseError, match="^<yaml>:1:1: "):
        loads("@")


def test_a_nearly_full_stack_is_a_parse_error() -> None:
    text = "[" * 60 + "]" * 60

    def descend() -> int:
        try:
            loads(text)
        except ParseError as error:
            return "the stack is full" in error.message
        return False

    def deep(levels: int) -> bool:
        return deep(levels - 1) if levels else bool(descend())

    frames = 0
    frame = sys._getframe()
    while frame is not None:
        frames, frame = frames + 1, frame.f_back
    assert deep(sys.getrecursionlimit() - frames - 80)


# JSON


def test_the_policies_of_the_vectors() -> None:
    if not os.path.exists(VECTORS):
        pytest.skip("the shared vectors are not here")
    loaded = 0
    for line in read_lines(VECTORS):
        text = line["policy"]
        try:
            expected = json.loads(text)
        except ValueError:
            expected = None
        try:
            value = loads(text)
        except ParseError:
            assert expected is None
            continue
        assert isinstance(value, dict)
        assert expected is None or same(value, expected)
        loaded += 1
    assert loaded > 1000


CHARACTERS = "ab01 \t\n\r\0\"\\/'#:,-[]{}&*!|>%@`?~é\x7f\x85\xa0\u2028\ufeff\uffff😀"


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice(CHARACTERS) for _ in range(rng.randrange(8)))


def random_json(rng: random.Random, depth: int) -> object:
    kind = rng.randrange(10 if depth else 7)
    if kind < 3:
        return random_text(rng)
    if kind == 3:
        return rng.randint(-(2**53) + 1, 2**53 - 1) >> rng.randrange(54)
    if kind == 4:
        return rng.choice([0.0, -0.0, 1e-7, 5e-324, 1.7976931348623157e308, rng.uniform(-1e6, 1e6)])
    if kind < 7:
        return rng.choice([None, True, False])
    if kind == 7:
        return [random_json(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {random_text(rng): random_json(rng, depth - 1) for _ in range(rng.randrange(5))}


def test_json_texts_are_yaml() -> None:
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "20250101"))
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(fuzz_rounds() // 4):
        value = random_json(rng, 4)
        separators = rng.choice([(",", ":"), (", ", ": "), (" \t,\r\n", "\n\t:\t"), ("\r,\r", "\t : ")])
        indent, ascii_only = rng.choice([None, 0, 2, "\t"]), rng.random() < 0.5
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
        text = rng.choice(["", "\n", "\t", " \t\r\n\t"]) + text + rng.choice(["", "\n", "\t", " \r\n\t\n"])
        assert same(loads(text), json.loads(text)), text
        assert same(loads(text.encode()), value), text


# Positions

POLICY = """\
# a policy
default_verdict: block
rules:
  - name: one
    match: {tools: [a, "b"], 'k':
      1}
  -
    name: two
    list:
    - x
    -
    - - y
  - [p: q]
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), (1, 1)),
        (("default_verdict",), (2, 1)),
        (("rules",), (3, 1)),
        (("rules", 0), (4, 5)),
        (("rules", 0, "name"), (4, 5)),
        (("rules", 0, "match"), (5, 5)),
        (("rules", 0, "match", "tools"), (5, 13)),
        (("rules", 0, "match", "tools", 0), (5, 21)),
        (("rules", 0, "match", "tools", 1), (5, 24)),
        (("rules", 0, "match", "k"), (5, 30)),
        (("rules", 1), (8, 5)),
        (("rules", 1, "list", 0), (10, 7)),
        (("rules", 1, "list", 1), (11, 5)),
        (("rules", 1, "list", 2), (12, 7)),
        (("rules", 1, "list", 2, 0), (12, 9)),
        (("rules", 2, 0, "p"), (13, 6)),
        (("rules", 1, "missing", "deeper"), (8, 5)),
        (("rules", 9), (3, 1)),
        (("rules", -1), (3, 1)),
        (("rules", "name"), (3, 1)),
        (("rules", 0, "name", "deeper"), (4, 5)),
        (("missing",), (1, 1)),
        ((0,), (1, 1)),
    ],
)
def test_position(path: tuple, expected: tuple) -> None:
    assert position(POLICY, path) == expected
    assert position(POLICY.encode(), path) == expected
    assert position(POLICY.replace("\n", "\r\n"), path) == expected


def test_position_in_a_text_that_cannot_be_read() -> None:
    assert position("a: [", ("a",)) == (1, 1)
    assert position(b"\xff", ("a",)) == (1, 1)
    assert position("", ("a",)) == (1, 1)


def test_position_leads_to_every_key_of_the_table() -> None:
    for case in VALID:
        for path in paths(case["value"]):
            line, column = position(case["yaml"], path)
            assert line >= 1 and column >= 1


def paths(value: object) -> list[tuple]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(step, *rest) for step, child in children for rest in [(), *paths(child)]]


# Hostile sizes

HOSTILE = {
    "brackets": lambda: "[" * (4 * MIB),
    "closed brackets": lambda: "[" * 100_000 + "]" * 100_000,
    "flow mappings": lambda: "{a: " * MIB,
    "dashes": lambda: "- " * (2 * MIB),
    "block levels": lambda: "".join(" " * min(level, 40) + f"k{level}:\n" for level in range(100_000)),
    "deeper and deeper": lambda: "".join(" " * level + "k:\n" for level in range(2_000)),
    "alternating levels": lambda: "".join("k%d:\n  a:\n    - b\n" % level for level in range(10_000)),
    "key over the limit": lambda: "k" * 10_000_000 + ": 1",
    "plain key": lambda: "k" * (4 * MIB - 3) + ": 1",
    "quoted key": lambda: '"' + "k" * (4 * MIB - 6) + '": 1',
    "quoted lines": lambda: '"' + "a\n" * (MIB // 4) + '"',
    "quoted blank lines": lambda: "'" + "\n" * (4 * MIB - 2) + "'",
    "quoted open": lambda: "'" + "a\n" * (MIB // 4),
    "backslashes": lambda: '"' + "\\\\" * (MIB // 4) + '"',
    "continuations": lambda: '"' + "\\\n" * (MIB // 4) + '"',
    "plain lines": lambda: "a\n" * (MIB // 4),
    "plain words": lambda: "a " * (2 * MIB),
    "hashes": lambda: "a #" * MIB,
    "comments": lambda: "#\n" * (MIB // 4),
    "blank lines": lambda: "\n" * (4 * MIB),
    "white space": lambda: " \t" * (2 * MIB),
    "literal": lambda: "|\n" + " a\n" * (MIB // 4),
    "literal blank lines": lambda: "|\n" + "\n" * (MIB // 2),
    "folded": lambda: ">\n" + " a\n\n" * (MIB // 4),
    "wide literal": lambda: "|\n" + " " * MIB + "a\n" + "\n" * MIB,
    "items": lambda: "- a\n" * (MIB // 16),
    "digits": lambda: "1" * (4 * MIB),
    "fraction": lambda: "0." + "1" * (4 * MIB - 2),
    "exponent": lambda: "1e" + "9" * (4 * MIB - 2),
    "hexadecimal": lambda: "0x" + "f" * (4 * MIB - 2),
    "empty items": lambda: "[" + "[]," * (MIB // 4) + "]",
    "numbers on one line": lambda: "[" + "1," * (MIB // 8) + "]",
    "outside quotes": lambda: "[" + '"\x7f",' * (MIB // 4) + "]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_size(name: str) -> None:
    text = HOSTILE[name]()
    started = time.perf_counter()
    try:
        loads(text)
    except ParseError as error:
        assert len(str(error)) < 400
    assert time.perf_counter() - started < 20  # far below one second on a quiet machine; quadratic takes minutes


@pytest.mark.parametrize("name", ["brackets", "closed brackets", "flow mappings", "dashes", "deeper and deeper"])
def test_hostile_nesting_is_refused_early(name: str) -> None:
    assert "at most 64 levels" in refusal(HOSTILE[name]()).message


def test_time_grows_with_the_size() -> None:
    """Eight times the text must not take sixty-four times as long."""
    for piece in ("- a\n", "{a: 1},\n", '"a" ,\t', "'x\ny', "):
        times = []
        for count in (4_000, 32_000):
            text = piece * count if piece[0] == "-" else "[" + piece * count + "]"
            started = time.perf_counter()
            loads(text)
            times.append(time.perf_counter() - started)
        assert times[1] < 30 * times[0] + 0.5


# Fuzz

PIECES = ["- ", "-", ": ", ":", "? ", "[", "]", "{", "}", ", ", ",", "'", '"', "#", " #", "|", ">", "|+", ">-"]
PIECES += ["&a ", "*a", "!t ", "%", "@", "`", "\\", "\\x", "\\ud83d", "\t", " ", "  ", "\n", "\r", "\r\n"]
PIECES += ["\n  ", "\n - ", "---\n", "...\n", "<<: ", "\0", "\x7f", "\ufeff", "\u2028", "😀", "0x", "1e999"]
PIECES += [".inf", "~", "null", "9" * 40, "a: b"]


def fuzz_rounds() -> int:
    return int(os.environ.get("GAIT_FUZZ_ROUNDS", "4000"))


def mutate(rng: random.Random, texts: list[str]) -> bytes | str:
    text = rng.choice(texts)
    for _ in range(rng.randint(1, 4)):
        text = rng.choice(MUTATIONS)(rng, text, texts)
    if rng.random() < 0.7:
        return text
    data = bytearray(text.encode("utf-8", "replace"))
    for _ in range(rng.randint(0, 3)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def insert(rng: random.Random, text: str, texts: list[str]) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(PIECES) + text[at:]


def truncate(rng: random.Random, text: str, texts: list[str]) -> str:
    return text[: rng.randint(0, len(text))]


def delete(rng: random.Random, text: str, texts: list[str]) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.randint(1, 3) :]


def splice(rng: random.Random, text: str, texts: list[str]) -> str:
    other = rng.choice(texts)
    return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]


def repeat_line(rng: random.Random, text: str, texts: list[str]) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    return "\n".join(lines[: at + 1] + lines[at:])


def indent_line(rng: random.Random, text: str, texts: list[str]) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([" " + lines[at], "  " + lines[at], lines[at][1:], lines[at].lstrip(), "\t" + lines[at]])
    return "\n".join(lines)


MUTATIONS = [insert, insert, truncate, delete, splice, repeat_line, indent_line, indent_line]


def check_value(value: object, depth: int = 0) -> None:
    assert depth <= 64
    if type(value) is dict:
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if type(value) is list:
        for child in value:
            check_value(child, depth + 1)
    else:
        assert value is None or type(value) in (str, int, float, bool)


def test_fuzz() -> None:
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "20250101"))
    print("seed", seed)
    rng = random.Random(seed)
    texts = [case["yaml"] for case in CASES if len(case["yaml"]) < 2000] + [POLICY]
    for _ in range(fuzz_rounds()):
        data = mutate(rng, texts)
        try:
            check_value(loads(data))
        except ParseError as error:
            line, column = map(int, error.where.split(":")[-2:])
            assert line >= 1 and column >= 1 and error.hint, data
        except BaseException:
            print("input", ascii(data))
            raise
