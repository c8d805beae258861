"""Where a target is: the forms of paths and hosts, and the tests of patterns."""

from __future__ import annotations

import os
import random

import pytest

from gait.errors import InvalidInput
from gait.gate import places
from gait.gate.intent import Target

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "12"))


@pytest.mark.parametrize(
    ("value", "workspace", "forms"),
    [
        ("/ws/a", "/ws", ["/ws/a", "a"]),
        ("/ws", "/ws", ["/ws"]),
        ("/ws/", "/ws/", ["/ws"]),
        ("/wsx/a", "/ws", ["/wsx/a"]),
        ("a", "/ws", ["a", "/ws/a"]),
        ("../a", "/ws", ["../a", "/a"]),
        (".", "/ws", [".", "/ws"]),
        ("a", "ws", ["a"]),
        ("/a", ".", ["/a"]),
        ("/a", "/", ["/a", "a"]),
        ("/", "/", ["/"]),
        ("~/a", "/ws", ["~/a"]),
        ("C:\\ws\\a", "C:\\ws", ["C:/ws/a", "a"]),
        ("a", "C:/ws", ["a", "C:/ws/a"]),
        ("/a", "C:/ws", ["/a"]),
        ("file:///ws/a", "/ws", ["/ws/a", "a"]),
    ],
)
def test_path_forms(value: str, workspace: str, forms: list[str]):
    assert places.path_forms(value, workspace) == forms


@pytest.mark.parametrize(
    ("value", "workspace", "allowed"),
    [
        ("/ws/a", "/ws", ["/ws/a", "a"]),
        ("a", "/ws", ["a", "/ws/a"]),
        ("../a", "/ws", ["/a"]),
        ("..", "/ws", ["/"]),
        ("../a", "ws", []),
        ("~", "/ws", []),
        ("C:a", "/ws", []),
        ("a:b", "D:/ws", []),
        ("x.exe:a", "D:/ws", []),
        ("D:/ws/a:b", "D:/ws", []),
        ("file:a", "/ws", []),
        ("file:///ws/a?b", "/ws", []),
        ("file:///ws/a", "/ws", ["/ws/a", "a"]),
    ],
)
def test_allowed_forms(value: str, workspace: str, allowed: list[str]):
    assert places.allowed_forms(value, places.path_forms(value, workspace)) == allowed


@pytest.mark.parametrize(
    ("value", "workspace", "denied"),
    [
        ("/ws/a", "/ws", {"/ws/a", "a"}),
        ("/WS/A", "/ws", {"/WS/A", "/ws/a", "a"}),
        ("/ws/A", "/Ws", {"/ws/A", "/ws/a", "a"}),
        ("/É", "/ws", {"/É", "/é"}),
        ("/Straße", "/ws", {"/Straße", "/straße", "/strasse"}),
        ("a/../B", "/ws", {"a/../B", "a/../b", "B", "b", "/ws/B", "/ws/b"}),
        ("/%41", "/ws", {"/%41", "/A", "/a"}),
        ("~/../a", "/ws", {"~/../a", "/ws/a", "a"}),
        ("//S/h", "/ws", {"//S/h", "/S/h", "/s/h", "//S/h"}),
        ("a", ".", {"a", "./a"} - {"./a"}),
    ],
)
def test_denied_forms(value: str, workspace: str, denied: set[str]):
    assert set(places.denied_forms(value, places.path_forms(value, workspace), workspace)) == denied


def test_every_allowed_form_is_a_denied_form():
    """A denylist that names all that an allowlist accepts leaves nothing."""
    source = random.Random(SEED)
    pieces = ("/", "//", "\\", "..", ".", "a", "B", "~", "C:", "%2e", "file:", "//h", "é", "?", "#", "ws")
    for _ in range(ROUNDS):
        value = "".join(source.choice(pieces) + source.choice(("", "/")) for _ in range(source.randrange(1, 7)))
        workspace = source.choice(("/ws", "/", ".", "C:\\ws", "/Ws/a", "ws"))
        forms = places.path_forms(value, workspace)
        allowed = places.allowed_forms(value, forms)
        assert set(allowed) <= set(places.denied_forms(value, forms, workspace)), (SEED, value, workspace)
        for form in allowed:
            assert places.denied_path_test("**")(form) and form.split("/")[0] != "..", (SEED, value, workspace)


def test_climbing_forms():
    assert places.climbing_forms(["/etc/x", "a", "/ws/b"], "/ws") == ["../etc/x", "b"]
    assert places.climbing_forms(["/etc/x"], ".") == []


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("path", "x", True), ("url", "file:///x", True), ("url", "x", True), ("url", "//h/x", True), ("url", "c:/x", True), ("url", "https://h", False), ("url", "mailto:x", False), ("host", "file:///x", False), ("other", "/x", False)],
)
def test_is_path(kind: str, value: str, expected: bool):
    assert places.is_path(Target(kind, value)) is expected


@pytest.mark.parametrize(
    ("target", "domains"),
    [
        (Target("host", "H:80"), ["h"]),
        (Target("host", "https://H/x"), ["h"]),
        (Target("url", "https://u@H./x"), ["h"]),
        (Target("url", "nothing"), [""]),
        (Target("url", "https://h/x", endpoint_domain="h"), ["h"]),
        (Target("url", "https://h/x", endpoint_domain="g:443"), ["h", "g"]),
        (Target("url", "https://h/x", endpoint_domain="g h"), ["h", ""]),
        (Target("bucket", "b"), []),
        (Target("bucket", "b", endpoint_domain="s3.example"), ["s3.example"]),
    ],
)
def test_domains(target: Target, domains: list[str]):
    assert places.domains(target) == domains


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("example.com", ["example.com"], ["a.example.com", "xexample.com"]),
        ("Example.com.", ["example.com"], []),
        ("*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "xexample.com"]),
        ("*.example.com.", ["a.example.com"], ["example.com"]),
        ("*.bücher.example", ["a.xn--bcher-kva.example"], []),
        ("api-?.example.*", ["api-1.example.com"], ["api-12.example.com"]),
        ("*", ["a", "a.b", "1.2.3.4", "::1"], []),
        ("*.*", ["a.b", "1.2.3.4"], ["a"]),
        ("*.7", ["10.0.0.7"], ["7.example"]),
        ("0x7f.1", ["127.0.0.1"], []),
        ("::FFFF:1.2.3.4", ["1.2.3.4"], []),
        ("[2001:db8::1]", ["2001:db8::1"], ["2", ":"]),
        ("2001:db8:*", ["2001:db8:1::"], ["a"]),
        ("h[0-9].example", ["h1.example"], ["h.example"]),
        ("*.example.", ["a.example"], []),
        ("a*.example.", ["ab.example"], ["ab.example."]),
    ],
)
def test_domain_patterns(pattern: str, yes: list[str], no: list[str]):
    for test in (places.domain_test(pattern.lower()), places.denied_domain_test(pattern.lower())):
        assert [host for host in yes if not test(host)] == [] and [host for host in no if test(host)] == []


def test_an_address_pattern_allows_addresses_only():
    assert places.domain_test("10.*")("10.1.2.3") and not places.domain_test("10.*")("10.evil.example")
    assert places.denied_domain_test("10.*")("10.evil.example")


@pytest.mark.parametrize("pattern", ["", ".", "*.", "https://h", "h:80", "*:80", "h/x", "a b", "*.a b", "*.::1", "*é*", "a@b", "[a", "[z-a]", "h[", "1.2.3.4.5", "%", "*.%"])
def test_patterns_that_match_no_host_are_refused(pattern: str):
    with pytest.raises(InvalidInput):
        places.domain_test(pattern)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/Etc/**", ["/etc/x", "/Etc/x"], ["/tmp"]),
        ("/x/[A-z]*", ["/x/_a", "/x/a", "/x/Z"], ["/x/1"]),
        ("//s/h/**", ["/s/h/x", "//s/h/x"], []),
        ("\\\\s\\h\\**", ["/s/h/x", "//s/h/x"], []),
        ("~/.ssh/**", ["~/.ssh/id"], ["/.ssh/id"]),
        ("file:///etc/*", ["/etc/x"], []),
    ],
)
def test_denied_path_patterns(pattern: str, yes: list[str], no: list[str]):
    test = places.denied_path_test(pattern)
    assert [path for path in yes if not test(path)] == [] and [path for path in no if test(path)] == []


def test_allowed_path_patterns():
    assert places.path_test("//s/h/**")("/s/h/x") and places.path_test("//s/h/**")("//s/h/x")
    assert places.path_test("\\\\s\\h\\**")("//s/h/x") and not places.path_test("\\\\s\\h\\**")("/s/h/x")
    assert not places.path_test("/Tmp/**")("/tmp/x")


@pytest.mark.parametrize(
    ("target", "wanted", "expected"),
    [
        (Target("path", "a/../b"), "/ws/b", True),
        (Target("path", "b"), "b/", True),
        (Target("path", "/b"), "/B", False),
        (Target("url", "file:///b"), "/b", True),
        (Target("url", "HTTPS://H:443/x"), "https://h/x", True),
        (Target("url", "https://h/x"), "h", False),
        (Target("host", "H:80"), "h", True),
        (Target("host", "h:80"), "h:80", True),
        (Target("host", "a b"), "c d", False),
        (Target("table", "T"), "T", True),
        (Target("table", "T"), "t", False),
    ],
)
def test_named_targets(target: Target, wanted: str, expected: bool):
    assert places.is_named(target, ("zzz", wanted), "/ws") is expected
