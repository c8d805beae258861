"""Values replaced by salted digests: they say nothing, and whoever holds the salt can prove each one later by itself.

A value's own salt is HMAC-SHA256(salt, intent id ‖ 0x00 ‖ path); giving that away proves one value and no other.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from ..errors import InvalidInput
from ..formats import jcs
from ..formats.documents import NamedTuple

SALT_BYTES = 32
MARK = "redacted:sha256:"


class Redaction(NamedTuple):
    """What is replaced: members of these (lower-cased) names with all that is in them, and texts that a pattern matches."""

    keys: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    salt: bytes

    def apply(self, value: object, place: str, intent_id: str) -> tuple[object, list[str]]:
        """The value with its secrets replaced, and their paths; `place` is the path of the value itself."""
        found: list[str] = []
        return self._value(value, place, intent_id, found), found

    def _value(self, value: object, place: str, intent_id: str, found: list[str]) -> object:
        if isinstance(value, dict):
            return {name: self._member(name, item, f"{place}.{name}", intent_id, found) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, f"{place}[{index}]", intent_id, found) for index, item in enumerate(value)]
        if isinstance(value, str) and any(pattern.search(value) for pattern in self.patterns):
            return self._replaced(value, place, intent_id, found)
        return value

    def _member(self, name: str, value: object, place: str, intent_id: str, found: list[str]) -> object:
        if name.lower() in self.keys:
            return self._replaced(value, place, intent_id, found)
        return self._value(value, place, intent_id, found)

    def _replaced(self, value: object, place: str, intent_id: str, found: list[str]) -> str:
        found.append(place)
        return mark(value, value_salt(self.salt, intent_id, place))


def read(words: list[str], salt: bytes) -> Redaction:
    """The redaction of `key=NAME` and `pattern=REGEX` words.  InvalidInput: another word, or no regular expression."""
    keys, patterns = set(), []
    for word in words:
        kind, _, text = word.partition("=")
        if kind not in ("key", "pattern") or not text:
            raise InvalidInput(f"expected key=NAME or pattern=REGEX, got {word[:80]!r}", where="--redact", code="invalid_usage")
        if kind == "key":
            keys.add(text.lower())
            continue
        try:
            patterns.append(re.compile(text))
        except (re.error, RecursionError, OverflowError) as error:
            raise InvalidInput(f"expected a regular expression, got {text[:80]!r}: {error}", where="--redact", code="invalid_usage") from error
    return Redaction(frozenset(keys), tuple(patterns), salt)


def value_salt(salt: bytes, intent_id: str, path: str) -> bytes:
    """The salt of one value."""
    return hmac.digest(salt, f"{intent_id}\0{path}".encode("utf-8"), "sha256")


def mark(value: object, own_salt: bytes) -> str:
    """The text that stands in a value's place: the digest of its own salt and its canonical bytes."""
    return MARK + hashlib.sha256(own_salt + jcs.dumps(value)).hexdigest()


def marks(value: object, place: str) -> dict[str, str]:
    """The path of each mark in a value that was redacted."""
    if isinstance(value, dict):
        return {path: text for name, item in value.items() for path, text in marks(item, f"{place}.{name}").items()}
    if isinstance(value, list):
        return {path: text for index, item in enumerate(value) for path, text in marks(item, f"{place}[{index}]").items()}
    return {place: value} if isinstance(value, str) and value.startswith(MARK) else {}
