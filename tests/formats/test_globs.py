"""Globs against a slow reference that follows the definition, and patterns and texts made to be slow."""

from __future__ import annotations

import os
import random
from time import perf_counter

import pytest

from gait.errors import InvalidInput
from gait.formats import globs

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "42"))


def matches(pattern: str, text: str) -> bool:
    """The definition, by trying everything: one segment."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    if pattern[0] == "[":
        close = pattern.index("]", 3 if pattern[1] in "^!" else 2)
        content = pattern[1:close]
        return bool(text) and in_set(content, text[0]) and matches(pattern[close + 1 :], text[1:])
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


def in_set(content: str, char: str) -> bool:
    negated = content[0] in "^!"
    content = content[negated:]
    found = False
    while content:
        if content[1:2] == "-" and len(content) > 2:
            found, content = found or content[0] <= char <= content[2], content[3:]
        else:
            found, content = found or content[0] == char, content[1:]
    return found != negated


def path_matches(pattern: list[str], path: list[str]) -> bool:
    """The definition for paths: `**` is any number of segments."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(path_matches(pattern[1:], path[start:]) for start in range(len(path) + 1))
    return bool(path) and matches(pattern[0], path[0]) and path_matches(pattern[1:], path[1:])


SEGMENTS = ("a", "b", "ab", "", "*", "?", "a*", "*b", "*a*", "[a-b]", "[^a]", "[!b]*", "a?", "**", "a**", "[]a]", "[a-]", "[-a]", "[^]]")


def test_segments_equal_the_reference():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        pattern = "".join(source.choice(("a", "b", "*", "?", "[a]", "[^a-b]", "[a-c]", "-", "]")) for _ in range(source.randrange(7)))
        text = "".join(source.choice("abc-]") for _ in range(source.randrange(8)))
        assert globs.compile_text(pattern)(text) == matches(pattern, text), (SEED, pattern, text)


def test_paths_equal_the_reference():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        pattern = "/".join(source.choice(SEGMENTS) for _ in range(source.randrange(1, 5)))
        path = "/".join(source.choice(("a", "b", "ab", "", "ba", "]", "-")) for _ in range(source.randrange(1, 6)))
        expected = path_matches(pattern.split("/"), path.split("/"))
        assert globs.compile_path(pattern)(path) == expected, (SEED, pattern, path)


def test_a_large_alphabet_of_stars():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 3):
        pattern = "/".join(source.choice(("**", "*", "a", "b")) for _ in range(6))
        path = "/".join(source.choice("ab") for _ in range(source.randrange(1, 8)))
        assert globs.compile_path(pattern)(path) == path_matches(pattern.split("/"), path.split("/")), (SEED, pattern, path)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/tmp/**", ["/tmp", "/tmp/a", "/tmp/a/b"], ["/tmpa", "/", "tmp/a", "/a/tmp/b"]),
        ("**/.ssh/**", ["/home/u/.ssh", "/.ssh/id", ".ssh", "a/.ssh/b"], ["/home/u/ssh/x", "/a.ssh/b", "/.sshx"]),
        ("**/.env", ["/.env", ".env", "/a/b/.env"], ["/.env/a", "/a.env"]),
        ("/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], ["/az", "/a/zz", "/b/a/z"]),
        ("**", ["", "/", "a", "/a/b"], []),
        ("**/**", ["", "a", "/a"], []),
        ("/**", ["/", "/a", "/a/b"], ["a", "a/b"]),
        ("*.md", ["a.md", ".md"], ["a/b.md", "a.mdx"]),
        ("/home/*/.ssh/**", ["/home/u/.ssh", "/home/u/.ssh/id"], ["/home/.ssh/id", "/home/u/v/.ssh"]),
        ("/[a-e]*/x", ["/a/x", "/each/x"], ["/f/x", "/x"]),
        ("plain", ["plain"], ["plai", "plainn", "Plain"]),
        ("a/**/**/b", ["a/b", "a/x/b"], ["a"]),
    ],
)
def test_examples(pattern: str, yes: list[str], no: list[str]):
    test = globs.compile_path(pattern)
    assert [path for path in yes if not test(path)] == [] and [path for path in no if test(path)] == []


@pytest.mark.parametrize("pattern", ["[", "a[b", "[]", "[^]", "[!]", "x[", "*[a", "[z-a]", "[a-b-a-0-]"])
def test_malformed_sets_are_refused(pattern: str):
    with pytest.raises(InvalidInput):
        globs.compile_text(pattern)
    with pytest.raises(InvalidInput):
        globs.compile_path("/x/" + pattern + "/**")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*a*a*a*b", "a" * 100_000),
        ("*a*a*a*a*a*a*a*a*[b]", "a" * 100_000),
        ("/" + "*a" * 50 + "b", "/" + "a" * 20_000),
        ("**/a/**/a/**/a/**/b", "a/" * 50_000 + "a"),
        ("**/*a*a*b/**/x", "/" + "/".join(["a" * 50] * 2_000)),
        ("?" * 1_000 + "*b", "a" * 100_000),
        ("**/" * 30 + "b", "a/" * 2_000 + "a"),
        ("**/.ssh/**", "/" * 100_000),
    ],
)
def test_hostile_texts_cost_little(pattern: str, path: str):
    test = globs.compile_path(pattern)
    started = perf_counter()
    assert test(path) is False
    assert perf_counter() - started < 1
