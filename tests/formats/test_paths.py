"""Paths in normal form: what each text means, and that normal forms are stable."""

from __future__ import annotations

import os
import posixpath
import random
from time import perf_counter

import pytest

from gait.formats import paths

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "3986"))
PIECES = ("/", "//", "\\", ".", "..", "~", "a", "b c", "C:", "c:", "?", "UNC", "$HOME", "%41", "%2e", "%", "file:", "file://", "localhost", "h", "#", "é", "\t", "<", "URL:", "|", ":", "x.", "`", "%V%")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("/a/b", "/a/b"),
        ("/", "/"),
        ("", "."),
        (".", "."),
        ("./", "."),
        ("..", ".."),
        ("../..", "../.."),
        ("a/..", "."),
        ("a/../..", ".."),
        ("./a//b/./c/", "a/b/c"),
        ("//a", "/a"),
        ("///a//b/", "/a/b"),
        ("/..", "/"),
        ("/a/../../b", "/b"),
        ("/a/..b/...", "/a/..b/..."),
        ("\\a\\b", "/a/b"),
        ("a\\..\\b", "b"),
        ("/.hidden", "/.hidden"),
        ("//./etc", "/etc"),
        ("//?/etc", "/?/etc"),
        ("C:\\a\\..\\b", "C:/b"),
        ("C:\\..\\..\\x", "C:/x"),
        ("C:/", "C:/"),
        ("C:", "C:"),
        ("C:x\\..\\y", "C:x/../y"),
        ("\\\\?\\C:\\a\\b", "C:/a/b"),
        ("\\\\.\\c:", "c:/"),
        ("\\\\?\\UNC\\s\\h\\x", "//s/h/x"),
        ("\\\\?\\unc\\s\\h", "//s/h"),
        ("\\\\s\\h\\x", "//s/h/x"),
        ("\\/s\\h\\x", "//s/h/x"),
        ("\\\\s\\h\\..\\..\\x", "//s/h/x"),
        ("\\\\.\\pipe\\x", "//./pipe/x"),
        ("\\\\?\\Volume{1}\\x\\..\\y", "//./Volume{1}/y"),
        ("~/../x", "~/../x"),
        ("~/a/../x", "~/x"),
        ("./~/../x", "x"),
        ("$HOME/../../x", "$HOME/../../x"),
        ("%USERPROFILE%\\..\\x", "%USERPROFILE%/../x"),
        ("file:///a/b", "/a/b"),
        ("file:/a", "/a"),
        ("file:a", "a"),
        ("file:", "."),
        ("file://", "."),
        ("file://localhost", "."),
        ("FILE://LocalHost/a", "/a"),
        ("file://127.0.0.1/a", "/a"),
        ("file:////a", "/a"),
        ("file://h/a", "//h/a"),
        ("file://h/s/../../a", "//h/s/a"),
        ("file:///a%20b%2Fc/%2e%2e", "/a b"),
        ("file:///%252e", "/%2e"),
        ("file:///a?b#c", "/a"),
        ("file:///a#b?c", "/a"),
        ("file:///%ff", "/\ufffd"),
        ("file:///C:/a", "C:/a"),
        ("file:///C|/a", "C:/a"),
        ("file://C:/a", "C:/a"),
        ("file:///C:", "C:"),
        ("file:C:/a", "C:/a"),
        (" \x00fi\tle:\n///a", "/a"),
        ("file:\\\\\\a", "/a"),
        ("<URL:file:///a>", "/a"),
        ("<file:///a>b", "/a"),
        ("file:///a>b", "/a>b"),
        ("git+file:///a", "/a"),
        ("view-source:file:///a", "/a"),
        ("local_file:///a", "/a"),
        ("profile:///a", "profile:/a"),
        ("http://h/file:/a", "http:/h/file:/a"),
    ],
)
def test_normalize(text: str, normal: str):
    assert paths.normalize(text) == normal


def text(source: random.Random) -> str:
    return "".join(source.choice(PIECES) + source.choice(("", "/", "")) for _ in range(source.randrange(1, 9)))


def test_a_normal_form_has_no_dots_doubled_or_trailing_slashes():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        given = text(source)
        normal = paths.normalize(given)
        assert normal and "\\" not in normal, (SEED, given)
        rest = normal[4:] if normal[:4] == "//./" else normal[2:] if normal[:2] == "//" else normal
        assert "//" not in rest and "." not in (rest.split("/") if normal != "." else ()), (SEED, given, normal)
        assert normal[-1:] != "/" or normal in ("/", "//", "//./") or normal[1:] == ":/", (SEED, given, normal)
        if paths.is_absolute(normal):
            assert ".." not in normal.split("/"), (SEED, given, normal)


def test_plain_paths_equal_posixpath():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        given = "/".join(source.choice(("a", "b.c", "..", ".", "", "...")) for _ in range(source.randrange(1, 9)))
        expected = posixpath.normpath(given)
        assert paths.normalize(given) == (expected[1:] if expected[:2] == "//" else expected), (SEED, given)
        if "\\" not in given and not given.startswith("//"):
            assert paths.normalize(paths.normalize(given)) == paths.normalize(given), (SEED, given)


def test_nothing_raises_and_nothing_is_slow():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        given = text(source)
        paths.fold(paths.normalize(given)), paths.other_readings(given), paths.is_unclear_url(given)
    hostile = ("/" * 10**6, "../" * 10**5, "a+" * 10**5, "file:" * 10**5, "%" * 10**5, "C:/" + ":" * 10**6, "%41" * 10**5, "<" * 10**6, "~" * 10**6)
    for given in hostile:
        started = perf_counter()
        paths.fold(paths.normalize(given)), paths.other_readings(given), paths.place_is_unknown(given)
        assert perf_counter() - started < 1, given[:20]


@pytest.mark.parametrize("text", ["file:/a", "FILE:///a", "\x01file:a", "fi\nle:/a", "URL:file:/a", "<file:/a>", "jar:file:/a", "git+file:/a", "local-file:/a"])
def test_file_urls(text: str):
    assert paths.is_file_url(text)


@pytest.mark.parametrize("text", ["", "file", "file/a", "profile:/a", "http://file:/a", "/file:/a", "a/file:", "filex:/a", "my_file:/a"])
def test_other_texts(text: str):
    assert not paths.is_file_url(text) and not paths.is_unclear_url(text) and paths.from_file_url(text) == text


@pytest.mark.parametrize("text", ["file:///a?b", "file:///a#b", "file:a", "file:", "URL:file:///a", "<file:///a>", "git+file:///a", "\tfile:///a", "file:///a\n#"])
def test_unclear_file_urls(text: str):
    assert paths.is_unclear_url(text)


@pytest.mark.parametrize("text", ["file:///a", "file:/a", "FILE://h/a", "file:\\a", "file:///a\n"])
def test_clear_file_urls(text: str):
    assert paths.is_file_url(text) and not paths.is_unclear_url(text)


@pytest.mark.parametrize("path", ["~", "~/a", "~u/a", "$A", "${A}/b", "$(a)", "%A%/b", "`a`", "C:", "C:a", "c:a/b", "C:/a:b", "C:/a/b::$DATA"])
def test_unknown_places(path: str):
    assert paths.place_is_unknown(path)


@pytest.mark.parametrize("path", ["", ".", "/~", "a~", "a/$b", "%", "%a", "%a/b%", "C:/a", "CC:a", "1:a", "/C:/a:b"])
def test_known_places(path: str):
    assert not paths.place_is_unknown(path)


def test_absolute():
    assert [path for path in ("/", "/a", "C:/", "c:/a", "//s/h") if not paths.is_absolute(path)] == []
    assert [path for path in ("", ".", "a/b", "C:", "C:a", "CC:/", "~/a", "ab/") if paths.is_absolute(path)] == []


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [("/ws", "/ws/a", "a"), ("/ws", "/ws", "."), ("/ws", "/a", "../a"), ("/a/b", "/a/c/d", "../c/d"), ("/", "/a", "a"), ("/ws", "/", "../"), ("/a/b", "/", "../../"), ("C:/a", "C:/b", "../b")],
)
def test_seen_from(root: str, path: str, seen: str):
    assert paths.seen_from(root, path) == seen


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        ("/Etc/A", "/etc/a"),
        ("/É", "/é"),
        ("/E\u0301", "/é"),
        ("/Straße", "/strasse"),
        ("/.g\u200dit", "/.git"),
        ("/\ufeffa", "/a"),
        ("C:/A./b /c:d", "c:/a/b/c"),
        ("C:/.../x", "c:/.../x"),
        ("C:/:x/y", "c:/:x/y"),
        ("//S/h./x", "/s/h/x"),
        ("/a./b:c", "/a./b:c"),
    ],
)
def test_fold(path: str, folded: str):
    assert paths.fold(path) == folded and paths.fold(folded) == folded


def test_percent_decode():
    assert paths.percent_decode("a") == "a" and paths.percent_decode("%41%zz%") == "A%zz%"


def test_join():
    assert paths.join("/ws", "../a") == "/a" and paths.join("C:/ws", "a") == "C:/ws/a" and paths.join(".", "../a") == "../a"
