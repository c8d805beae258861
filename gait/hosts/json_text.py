"""Edits in the text of a JSON document that leave every other byte as it is.  Pure; the text must be strict JSON already."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from ..formats.fields import show

Steps = tuple["str | int", ...]
_SPACE = " \t\r\n"
_raw = json.JSONDecoder().raw_decode


class _Item(NamedTuple):
    """A member or element: where it begins (a member: its key), and where its value is."""

    step: str | int
    begin: int
    start: int
    end: int


def insert(text: str, steps: Steps, value: object) -> str:
    """The text with a value at the end of the list, or as the member, that `steps` lead to; missing objects on the way are made.

    The last step is a new member's name, or -1 for a new element.  InvalidInput: on the way there is something else.
    """
    for count in range(len(steps) - 1):
        if _find(text, steps[: count + 1]) is None:
            return _add(text, steps[:count], steps[count], _wrapped(steps[count + 1 :], value))
    return _add(text, steps[:-1], steps[-1], value)


def replace(text: str, steps: Steps, value: object) -> str:
    """The text with another value at a place that is there, written on one line."""
    item = _there(text, steps)
    return text[: item.start] + json.dumps(value, ensure_ascii=False) + text[item.end :]


def remove(text: str, steps: Steps) -> str:
    """The text without the member or element at a place that is there."""
    items = list(_items(text, _there(text, steps[:-1]).start))
    index = next(number for number, item in enumerate(items) if item.step == steps[-1])
    if len(items) == 1:
        outer = _there(text, steps[:-1])
        return text[: outer.start + 1] + text[outer.end - 1 :]
    if index:
        return text[: items[index - 1].end] + text[items[index].end :]
    return text[: items[0].begin] + text[items[1].begin :]


def _wrapped(steps: Steps, value: object) -> object:
    for step in reversed(steps):
        value = [value] if step == -1 else {step: value}
    return value


def _there(text: str, steps: Steps) -> _Item:
    item = _find(text, steps)
    if item is None:
        raise InvalidInput(f"{show(steps)}: expected something here, got nothing", path=steps)
    return item


def _find(text: str, steps: Steps) -> _Item | None:
    """The value that steps lead to.  InvalidInput: on the way there is no object or list where one has to be."""
    start = _skip(text, 0)
    item: _Item | None = _Item("", start, start, _raw(text, start)[1])
    for count, step in enumerate(steps):
        opening = "[" if isinstance(step, int) else "{"
        if text[item.start] != opening:  # type: ignore[union-attr]
            kind = "a list" if opening == "[" else "an object"
            raise InvalidInput(f"{show(steps[:count]) or 'document'}: must be {kind}", path=steps[:count])
        item = next((found for found in _items(text, item.start) if found.step == step), None)  # type: ignore[union-attr]
        if item is None:
            return None
    return item


def _items(text: str, start: int) -> Iterator[_Item]:
    """What the object or list at `start` holds."""
    is_object = text[start] == "{"
    place, count = _skip(text, start + 1), 0
    while text[place] not in "}]":
        begin, step = place, count
        if is_object:
            step, place = _raw(text, place)
            place = _skip(text, _skip(text, place) + 1)  # past the colon
        end = _raw(text, place)[1]
        yield _Item(step, begin, place, end)
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
        count += 1


def _skip(text: str, place: int) -> int:
    while text[place] in _SPACE:
        place += 1
    return place


def _add(text: str, steps: Steps, step: str | int, value: object) -> str:
    outer = _there(text, steps)
    opening = "[" if step == -1 else "{"
    if text[outer.start] != opening:
        raise InvalidInput(f"{show(steps) or 'document'}: must be {'a list' if step == -1 else 'an object'}", path=steps)
    items = list(_items(text, outer.start))
    name = "" if step == -1 else json.dumps(step, ensure_ascii=False) + ": "
    if not items:
        return _fill(text, outer, name, value)
    first, last = items[0], items[-1]
    lead = text[text.index(",", first.end) + 1 : items[1].begin] if len(items) > 1 else text[outer.start + 1 : first.begin]
    margin = lead[lead.rfind("\n") + 1 :] if "\n" in lead else None
    return text[: last.end] + "," + (lead or " ") + name + _dumps(text, value, margin) + text[last.end :]


def _fill(text: str, outer: _Item, name: str, value: object) -> str:
    """The one item of what was empty."""
    if "\n" not in text.strip(_SPACE) and outer.start > _skip(text, 0):
        return text[: outer.start + 1] + name + _dumps(text, value, None) + text[outer.end - 1 :]
    line = text[text.rfind("\n", 0, outer.start) + 1 : outer.start]
    margin = line[: len(line) - len(line.lstrip(" \t"))]
    inner = margin + _indent(text)
    return text[: outer.start + 1] + f"\n{inner}{name}{_dumps(text, value, inner)}\n{margin}" + text[outer.end - 1 :]


def _dumps(text: str, value: object, margin: str | None) -> str:
    """A value on lines of their own behind a margin, or on one line when there is none."""
    if margin is None:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, indent=_indent(text)).replace("\n", "\n" + margin)


def _indent(text: str) -> str:
    """What one level of this document is indented by."""
    start = _skip(text, 0) + 1
    first = _skip(text, start)
    lead = text[start:first]
    return lead[lead.rfind("\n") + 1 :] or "  " if "\n" in lead and text[first] not in "}]" else "  "
