"""A typed reader for one object of a parsed document.

Types are exact (`true` is not 1), and an error names the place: `rules[0].match.target_kinds[1]`.
"""

from __future__ import annotations

from ..errors import InvalidInput
from .strict_json import type_name

Path = tuple["str | int", ...]

# The characters of the Unicode White_Space property; str.strip() would also take U+001C to U+001F.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def trim(text: str) -> str:
    """Text without White_Space characters at its ends."""
    return text.strip(WHITE_SPACE)


def lower(text: str) -> str:
    """Each character's simple lower case: final sigma gives U+03C3 and U+0130 gives i."""
    return text.lower() if text.isascii() else "".join(char.lower()[0] for char in text)


def show(path: Path) -> str:
    """A path as text: ("rules", 0, "name") is `rules[0].name`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step[:80]}" for step in path)
    return text.lstrip(".")


def refuse(path: Path, expected: str, got: object, hint: str = "") -> InvalidInput:
    """The error for a field that is not what it must be."""
    shown = repr(got if len(got) <= 80 else got[:80] + "…") if isinstance(got, str) else type_name(got)
    if type(got) in (int, float, bool):
        shown = f"{type_name(got)} {str(got)[:40].lower() if type(got) is bool else str(got)[:40]}"
    return InvalidInput(f"{show(path) or 'document'}: must be {expected}; got {shown}", hint=hint, path=path)


class Fields:
    """One object of a document.  Every getter returns its default when the key is absent or null."""

    __slots__ = ("path", "_value", "_asked")

    def __init__(self, value: object, path: Path = ()) -> None:
        if type(value) is not dict:
            raise refuse(path, "an object", value)
        self._value: dict[str, object] = value
        self._asked: set[str] = set()
        self.path = path

    def raw(self, name: str) -> object:
        """The value as it stands, None when absent."""
        self._asked.add(name)
        return self._value.get(name)

    def has(self, name: str) -> bool:
        """True when the key is there with a value other than null."""
        self._asked.add(name)
        return self._value.get(name) is not None

    def has_only(self, names: frozenset[str]) -> bool:
        """True when no other keys than these are there."""
        return self._value.keys() <= names

    def first(self, *names: str) -> str:
        """The first of these keys that is there with a value other than null; empty when none is."""
        self._asked.update(names)
        for name in names:
            if self._value.get(name) is not None:
                return name
        return ""

    def given(self, name: str) -> bool:
        """True when the key is there, also with null."""
        self._asked.add(name)
        return name in self._value

    def at(self, name: str) -> Path:
        """The path of a field, for errors."""
        return (*self.path, name)

    def text(self, name: str, default: str = "") -> str:
        """Trimmed text."""
        self._asked.add(name)
        value = self._value.get(name)
        if value is None:
            return default
        if type(value) is not str:
            raise refuse(self.at(name), "text", value)
        return value.strip(WHITE_SPACE)

    def required(self, name: str) -> str:
        """Trimmed text that is not empty."""
        value = self.text(name)
        if not value:
            raise refuse(self.at(name), "text that is not empty", self._value.get(name))
        return value

    def word(self, name: str, words: tuple[str, ...], default: str = "") -> str:
        """One lower-cased word of a fixed vocabulary; empty text counts as absent."""
        value = lower(self.text(name))
        if value in words:
            return value
        if value:
            raise unknown_word(self.at(name), words, value)
        return default

    def integer(self, name: str, default: int = 0, minimum: int | None = None) -> int:
        """A whole number."""
        value = self.raw(name)
        if value is None:
            return default
        if type(value) is not int:
            raise refuse(self.at(name), "a whole number", value)
        if minimum is not None and value < minimum:
            raise refuse(self.at(name), f"{minimum} or more", value)
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        """true or false."""
        value = self.raw(name)
        if value is None:
            return default
        if type(value) is not bool:
            raise refuse(self.at(name), "true or false", value)
        return value

    def items(self, name: str) -> list[object]:
        """A list of anything, [] when absent."""
        value = self.raw(name)
        if value is None:
            return []
        if type(value) is not list:
            raise refuse(self.at(name), "a list", value)
        return value

    def fields(self, name: str) -> Fields:
        """A nested object, an empty one when absent."""
        value = self.raw(name)
        return Fields({} if value is None else value, self.at(name))

    def object(self, name: str) -> dict[str, object]:
        """A nested object as it stands, {} when absent."""
        value = self.raw(name)
        if value is None:
            return {}
        if type(value) is not dict:
            raise refuse(self.at(name), "an object", value)
        return value

    def texts(self, name: str, *, lowered: bool = False) -> tuple[str, ...]:
        """A set of trimmed texts: empty ones dropped, unique, sorted by code point."""
        if not self.has(name):
            return ()
        found = set()
        for index, item in enumerate(self.items(name)):
            if type(item) is not str:
                raise refuse((*self.at(name), index), "text", item)
            found.add(trim(lower(item) if lowered else item))
        return tuple(sorted(found - {""}))

    def words(self, name: str, words: tuple[str, ...]) -> tuple[str, ...]:
        """A set of lower-cased words of a fixed vocabulary."""
        found = self.texts(name, lowered=True)
        for word in found:
            if word not in words:
                items = [lower(trim(str(item))) for item in self.items(name)]
                raise unknown_word((*self.at(name), items.index(word)), words, word)
        return found

    def unknown(self) -> list[str]:
        """Keys that no getter has asked for."""
        if self._asked.issuperset(self._value):
            return []
        return [key for key in self._value if key not in self._asked]

    def done(self) -> None:
        """Refuse keys that no getter has asked for, naming the nearest known one."""
        for key in self.unknown():
            near = nearest(key, sorted(self._asked))
            message = f"{show((*self.path, key))}: unknown key {key[:80]!r}{near}"
            raise InvalidInput(message, hint=f"known keys: {', '.join(sorted(self._asked))}", path=(*self.path, key))


def unknown_word(path: Path, words: tuple[str, ...], got: str) -> InvalidInput:
    """The error for a word outside a fixed vocabulary."""
    return InvalidInput(
        f"{show(path)}: must be one of {', '.join(words)}; got {got[:80]!r}{nearest(got, list(words))}", path=path
    )


def nearest(word: str, known: list[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word[:80].lower(), known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
