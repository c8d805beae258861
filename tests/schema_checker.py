"""The part of JSON Schema 2020-12 that docs/schemas uses, and nothing else: an unknown keyword is an error, never ignored."""

from __future__ import annotations

import re
from typing import Iterator

ANNOTATIONS = frozenset(("$schema", "$id", "title", "description"))
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class UnknownKeyword(Exception):
    """A schema uses a word that this checker does not know."""


def problems(schema: dict, value: object, path: str = "$") -> Iterator[str]:
    """What is wrong with a value, with its place."""
    for word, said in schema.items():
        if word in ANNOTATIONS:
            continue
        check = _WORDS.get(word)
        if check is None:
            raise UnknownKeyword(f"{path}: {word}")
        yield from check(said, value, path, schema)


def _type(said, value, path, _):
    if not any(_is(name, value) for name in ([said] if isinstance(said, str) else said)):
        yield f"{path}: must be {said}; got {type(value).__name__}"


def _is(name: str, value: object) -> bool:
    if name in ("number", "integer"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and (name == "number" or float(value).is_integer())  # type: ignore[arg-type]
    return isinstance(value, TYPES[name])


def same(left: object, right: object) -> bool:
    """Equal as JSON values: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _enum(said, value, path, _):
    if not any(same(item, value) for item in said):
        yield f"{path}: must be one of {said}; got {value!r}"


def _const(said, value, path, _):
    if not same(said, value):
        yield f"{path}: must be {said!r}; got {value!r}"


def _pattern(said, value, path, _):
    # A `$` of ECMAScript ends the text; that of Python takes a newline before the end too.
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", said), value):
        yield f"{path}: must match {said}; got {value[:80]!r}"


def _length(least: bool):
    def check(said, value, path, _):
        if isinstance(value, str) and (len(value) < said if least else len(value) > said):
            yield f"{path}: must have {'at least' if least else 'at most'} {said} characters"

    return check


def _bound(least: bool):
    def check(said, value, path, _):
        if _is("number", value) and (value < said if least else value > said):
            yield f"{path}: must be {'at least' if least else 'at most'} {said}; got {value}"

    return check


def _count(least: bool):
    def check(said, value, path, _):
        if isinstance(value, list) and (len(value) < said if least else len(value) > said):
            yield f"{path}: must have {'at least' if least else 'at most'} {said} items"

    return check


def _unique(said, value, path, _):
    if said and isinstance(value, list) and any(same(item, other) for place, item in enumerate(value) for other in value[:place]):
        yield f"{path}: must have no item twice"


def _items(said, value, path, _):
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from problems(said, item, f"{path}[{place}]")


def _required(said, value, path, _):
    if isinstance(value, dict):
        yield from (f"{path}: must have {name}" for name in said if name not in value)


def _properties(said, value, path, _):
    if isinstance(value, dict):
        for name in said.keys() & value.keys():
            yield from problems(said[name], value[name], f"{path}.{name}")


def _additional(said, value, path, schema):
    if isinstance(value, dict):
        for name in value.keys() - schema.get("properties", {}).keys():
            if said is False:
                yield f"{path}: must have no {name}"
            else:
                yield from problems(said, value[name], f"{path}.{name}")


def _names(said, value, path, _):
    if isinstance(value, dict):
        for name in value:
            yield from problems(said, name, f"{path}: the name {name!r}")


def _any_of(said, value, path, _):
    found = [list(problems(schema, value, path)) for schema in said]
    if all(found):
        yield f"{path}: must be one of {len(said)} forms; nearest: {min(found, key=len)[0]}"


_WORDS = {
    **{"type": _type, "enum": _enum, "const": _const, "pattern": _pattern, "minLength": _length(True), "maxLength": _length(False)},
    **{"minimum": _bound(True), "maximum": _bound(False), "minItems": _count(True), "maxItems": _count(False), "uniqueItems": _unique},
    **{"items": _items, "required": _required, "properties": _properties, "additionalProperties": _additional, "propertyNames": _names},
    **{"anyOf": _any_of},
}
