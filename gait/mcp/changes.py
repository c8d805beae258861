"""What has changed between pinned and listed tool definitions, in words for a person.

Invariant: every line is bounded and safe for a terminal, whatever a server wrote: names are ASCII, other
text is quoted with what is not printable escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from ..formats.documents import NamedTuple
from .lock import Pinned, ServerLock, canonical, digest

MAX_WORDS = 20  # of one tool
_SHOWN = 160
_BEFORE = 30
_LABELS = {"inputSchema": "input schema", "outputSchema": "output schema"}
_ABSENT = object()


class Change(NamedTuple):
    """One tool that is not as the lock has it.  `kind`: changed, renamed, new, gone."""

    tool: str
    kind: str
    words: tuple[str, ...]

    def lines(self) -> list[str]:
        """The words, each after the tool's name."""
        return [f"{named(self.tool)}: {words}" for words in self.words]

    def to_value(self) -> dict[str, object]:
        """The change as a document."""
        return {"tool": self.tool, "kind": self.kind, "words": list(self.words)}


def compare(lock: ServerLock, listed: Mapping[str, Pinned]) -> list[Change]:
    """Every difference between a server's lock and the tools that it lists now, sorted by name."""
    gone = sorted(name for name in lock.tools if name not in listed)
    found = [Change(name, "gone", ("gone: the server lists it no more",)) for name in gone]
    fresh = [pinned for name, pinned in listed.items() if name not in lock.tools]
    if fresh:
        names = {_nameless(lock.tools[name]): name for name in [*lock.tools, *gone]}  # one that is gone stands for its equals
        found += [_new(pinned, names.get(_nameless(pinned)), gone) for pinned in fresh]
    for name, pinned in listed.items():
        known = lock.tools.get(name)
        if known and known.digest != pinned.digest:
            found.append(Change(name, "changed", _bounded(_definition_words(known.definition, pinned.definition))))
    return sorted(found)


def describe(pinned: Pinned) -> str:
    """One line about a tool: its name, what it takes, and its description."""
    schema = pinned.definition.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    takes = ", ".join(islice((named(key) for key in properties), 12)) if isinstance(properties, dict) else ""
    takes = f"({_cut(takes)}{', …' if isinstance(properties, dict) and len(properties) > 12 else ''})"
    return f"{named(pinned.name)}{takes}: {_value(pinned.definition.get('description', ''))}"


def named(name: str) -> str:
    """A name in ASCII, cut: what only looks like another name shows as escapes."""
    text = ascii(name)[1:-1]
    return text if len(text) <= 80 else text[:80] + "…"


def _new(pinned: Pinned, same: str | None, gone: list[str]) -> Change:
    if same is None:
        return Change(pinned.name, "new", (f"new: {describe(pinned)}",))
    words = f"new, same definition as {named(same)}"
    if same in gone:
        return Change(pinned.name, "renamed", (words + ", which is gone: renamed",))
    return Change(pinned.name, "new", (words,))


def _nameless(pinned: Pinned) -> str:
    return digest({key: value for key, value in pinned.definition.items() if key != "name"})


def _bounded(words: Iterator[str]) -> tuple[str, ...]:
    found = tuple(islice(words, MAX_WORDS))
    more = sum(1 for _ in words)
    return (*found, f"and {more} more differences") if more else found


def _definition_words(was: dict[str, object], now: dict[str, object]) -> Iterator[str]:
    for key in sorted({*was, *now}, key=lambda key: (key not in ("title", "description"), key)):
        old, new, label = was.get(key, _ABSENT), now.get(key, _ABSENT), _LABELS.get(key, named(key))
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{label}: {words}" for words in _object_words(old, new, "", key in _LABELS))
        else:
            yield from _words(old, new, label, False)


def _words(was: object, now: object, what: str, is_schema: bool) -> Iterator[str]:
    """`what` is the value's place, in words."""
    if was is _ABSENT:
        yield f"{what} is new: {_value(now)}"
    elif now is _ABSENT:
        yield f"{what} is gone; it was {_value(was)}"
    elif isinstance(was, dict) and isinstance(now, dict):
        yield from _object_words(was, now, what + ": ", is_schema)
    elif canonical(was) != canonical(now):
        yield f"{what} changed: {_change(was, now)}"


def _object_words(was: dict[str, object], now: dict[str, object], place: str, is_schema: bool) -> Iterator[str]:
    for key in sorted({*was, *now}):
        old, new = was.get(key, _ABSENT), now.get(key, _ABSENT)
        if is_schema and key == "required":
            yield from _required_words(old, new, place)
        elif is_schema and key == "properties" and isinstance(old, dict) and isinstance(new, dict):
            yield from _property_words(old, new, place)
        else:
            yield from _words(old, new, place + named(key), is_schema)


def _property_words(was: dict[str, object], now: dict[str, object], place: str) -> Iterator[str]:
    for name in sorted({*was, *now}):
        yield from _words(was.get(name, _ABSENT), now.get(name, _ABSENT), f"{place}property '{named(name)}'", True)


def _required_words(was: object, now: object, place: str) -> Iterator[str]:
    before, after = _texts(was), _texts(now)
    if before is None or after is None:
        yield from _words(was, now, place + "required", False)
        return
    yield from (f"{place}property '{named(name)}' is no longer required" for name in sorted(before - after))
    yield from (f"{place}property '{named(name)}' is now required" for name in sorted(after - before))
    if before == after and (was is _ABSENT or now is _ABSENT or canonical(was) != canonical(now)):
        yield f"{place}required lists the same properties in another way"


def _texts(value: object) -> set[str] | None:
    if value is _ABSENT:
        return set()
    return set(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _change(was: object, now: object) -> str:
    if isinstance(was, str) and isinstance(now, str):
        return _text_change(was, now)
    return f"was {_value(was)}, is {_value(now)}"


def _text_change(was: str, now: str) -> str:
    """Both texts whole when they are short, else from a little before the first difference on."""
    if len(was) <= _SHOWN and len(now) <= _SHOWN:
        return f"was {was!r}, is {now!r}{_code_points(was, now)}"
    start = _first_difference(was, now)
    sizes = f"{len(was)} characters, now {len(now)}; they differ from character {start + 1} on"
    return f"was {_window(was, start)}, is {_window(now, start)} ({sizes}){_code_points(was, now)}"


def _first_difference(was: str, now: str) -> int:
    for index, (old, new) in enumerate(zip(was, now)):
        if old != new:
            return index
    return min(len(was), len(now))


def _window(text: str, start: int) -> str:
    first = max(0, start - _BEFORE)
    shown = repr(text[first : first + _SHOWN])
    return f"{'…' if first else ''}{shown}{'…' if first + _SHOWN < len(text) else ''}"


def _code_points(was: str, now: str) -> str:
    """The two characters by number where they could be taken for each other: at least one is outside ASCII."""
    at = _first_difference(was, now)
    pair = was[at : at + 1], now[at : at + 1]
    if not all(pair) or "".join(pair).isascii():
        return ""
    return f" [U+{ord(pair[0]):04X} became U+{ord(pair[1]):04X}]"


def _value(value: object) -> str:
    """A value in JSON-like text, cut, with its size when it was."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}… ({len(value)} characters)"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in _cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
