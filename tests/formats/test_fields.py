"""Fields: exact types, places in errors, trimming and lower case as the contract defines them."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from gait.errors import InvalidInput
from gait.formats.fields import WHITE_SPACE, Fields, lower, nearest, refuse, show, trim

DOCUMENT = {
    "text": " a\u3000",
    "blank": "\t\u2028 ",
    "number": 7,
    "yes": True,
    "none": None,
    "list": [" B ", "a", "", "b", "B"],
    "words": ["Low", " HIGH "],
    "object": {"x": 1},
    "float": 1.5,
}


def fields() -> Fields:
    return Fields(DOCUMENT)


def message(call: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        call()  # type: ignore[operator]
    assert caught.value.exit_code == 6 and caught.value.path
    return str(caught.value)


def test_white_space_is_the_unicode_property():
    # Of str.isspace's characters only U+001C to U+001F lack White_Space (PropList.txt).
    spaces = {char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()}
    assert spaces - set(map(chr, range(0x1C, 0x20))) == set(WHITE_SPACE)
    assert trim("\x1c a \x1f ") == "\x1c a \x1f"
    assert trim("".join(WHITE_SPACE) + "a b" + WHITE_SPACE) == "a b"
    assert trim("\u200ba\ufeff") == "\u200ba\ufeff"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ABC", "abc"), ("ΟΔΟΣ", "οδοσ"), ("İ", "i"), ("\u212a", "k"), ("ẞ", "ß"), ("É", "é"), ("ｄＤ", "ｄｄ"), ("", ""), ("ß", "ß")],
)
def test_lower_is_simple(text: str, expected: str):
    assert lower(text) == expected


def test_lower_never_changes_the_length():
    every = "".join(char for char in map(chr, range(0x30000)) if unicodedata.category(char) != "Cs")
    assert len(lower(every)) == len(every)


def test_getters():
    found = fields()
    assert (found.text("text"), found.text("blank"), found.text("absent"), found.text("none", "x")) == ("a", "", "", "x")
    assert (found.required("text"), found.integer("number"), found.integer("absent", 3), found.boolean("yes")) == ("a", 7, 3, True)
    assert found.boolean("absent") is False and found.boolean("none", True) is True
    assert found.texts("list") == ("B", "a", "b") and found.texts("list", lowered=True) == ("a", "b")
    assert found.texts("absent") == () and found.items("none") == []
    assert found.words("words", ("low", "high")) == ("high", "low")
    assert found.word("text", ("a", "b")) == "a" and found.word("blank", ("a",), "d") == "d"
    assert found.fields("object").integer("x") == 1 and found.fields("absent").unknown() == []
    assert found.has("text") and not found.has("none") and not found.has("absent")
    assert found.given("none") and not found.given("absent")
    assert found.object("object") == {"x": 1} and found.object("none") == {}
    assert found.raw("float") == 1.5 and found.at("x") == ("x",)
    assert found.integer("number", minimum=7) == 7


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: fields().text("number"), "number: must be text; got a number 7"),
        (lambda: fields().text("yes"), "yes: must be text; got a boolean true"),
        (lambda: fields().text("float"), "float: must be text; got a number 1.5"),
        (lambda: fields().required("absent"), "absent: must be text that is not empty; got null"),
        (lambda: fields().required("blank"), "blank: must be text that is not empty; got '\\t\\u2028 '"),
        (lambda: fields().integer("yes"), "yes: must be a whole number; got a boolean true"),
        (lambda: fields().integer("float"), "float: must be a whole number; got a number 1.5"),
        (lambda: fields().integer("text"), "text: must be a whole number; got ' a\\u3000'"),
        (lambda: fields().integer("number", minimum=8), "number: must be 8 or more; got a number 7"),
        (lambda: fields().boolean("number"), "number: must be true or false; got a number 7"),
        (lambda: fields().boolean("text"), "text: must be true or false; got ' a\\u3000'"),
        (lambda: fields().items("object"), "object: must be a list; got an object"),
        (lambda: fields().items("text"), "text: must be a list; got ' a\\u3000'"),
        (lambda: fields().object("list"), "list: must be an object; got a list"),
        (lambda: fields().fields("list"), "list: must be an object; got a list"),
        (lambda: Fields({"a": [1]}).texts("a"), "a[0]: must be text; got a number 1"),
        (lambda: Fields({"a": ["x", None]}).texts("a"), "a[1]: must be text; got null"),
        (lambda: fields().word("text", ("b", "c")), "text: must be one of b, c; got 'a'"),
        (lambda: Fields({"a": ["x", " LWO "]}, ("p", 3)).words("a", ("x", "low")), "p[3].a[1]: must be one of x, low; got 'lwo' (did you mean 'low'?)"),
    ],
)
def test_errors_name_the_place(call: object, expected: str):
    assert message(call) == expected


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_only_objects_have_fields(value: object):
    with pytest.raises(InvalidInput, match="document: must be an object"):
        Fields(value)


def test_unknown_keys_are_named_with_the_nearest_known_one():
    found = Fields({"efect": 1, "name": "x"}, ("rules", 0))
    found.text("name")
    found.raw("effect")
    assert found.unknown() == ["efect"]
    with pytest.raises(InvalidInput) as caught:
        found.done()
    assert str(caught.value) == "rules[0].efect: unknown key 'efect' (did you mean 'effect'?)"
    assert caught.value.hint == "known keys: effect, name" and caught.value.path == ("rules", 0, "efect")
    found.raw("efect")
    found.done()


def test_long_and_hostile_texts_are_cut():
    error = refuse(("x" * 500, 3), "short", "y" * 10_000)
    assert len(str(error)) < 300
    found = Fields({"k" * 100_000: 1})
    assert len(message(found.done)) < 400
    assert len(str(refuse((), "x", 10**400))) < 200 and str(refuse((), "x", 1)).startswith("document: ")


def test_show_and_nearest():
    assert show(("rules", 0, "match", "tool_names", 2)) == "rules[0].match.tool_names[2]" and show(()) == ""
    assert nearest("macth", ["match"]) == " (did you mean 'match'?)" and nearest("zzz", ["match"]) == ""
