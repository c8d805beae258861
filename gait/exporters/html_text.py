"""Text in HTML.  Invariant: whatever an agent wrote stays text, in its place, and every character of it can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from unicodedata import category

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
# Printable by Unicode's categories, and yet nothing to see: joiners, fillers, variation selectors (Default_Ignorable_Code_Point).
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_MAX_SAME = 3
_MAX_MARKS = 2  # on one letter: more of them cover the lines around it


def escape(value: str) -> str:
    """Text for an element or a quoted attribute; characters that cannot be seen become their escapes."""
    if value.isascii() and value.isprintable():
        return value.translate(_ENTITIES)
    return "".join(_named(text) if hidden else text.translate(_ENTITIES) for hidden, text in _runs(value))


def agent(value: str) -> str:
    """The same for text that an agent chose: set apart from the direction of the text around it, hidden characters marked."""
    if value.isascii() and value.isprintable():
        return f"<bdi>{value.translate(_ENTITIES)}</bdi>"
    shown = "".join(f'<i class="u">{_counted(text)}</i>' if hidden else text.translate(_ENTITIES) for hidden, text in _runs(value))
    return f"<bdi>{shown}</bdi>"


def table(caption: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are HTML already; it scrolls by itself where the screen is narrow."""
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">\n<table><caption>{escape(caption)}</caption>\n<thead><tr>'
    yield "".join(f'<th scope="col" class="{kind}">{name}</th>' if kind else f'<th scope="col">{name}</th>' for name, kind in columns)
    yield "</tr></thead>\n<tbody>\n"
    for row in rows:
        cells = (f'<td class="{kind}">{cell}</td>' if kind else f"<td>{cell}</td>" for cell, (_, kind) in zip(row, columns))
        yield f"<tr>{''.join(cells)}</tr>\n"
    yield "</tbody></table></div>\n"


def _runs(value: str) -> Iterator[tuple[bool, str]]:
    """(hidden or not, characters)."""
    for hidden, run in groupby(zip(value, _hidden(value)), lambda pair: pair[1]):
        yield hidden, "".join(char for char, _ in run)


def _hidden(value: str) -> list[bool]:
    flags, marks = [], 0
    for char in value:
        marks = marks + 1 if category(char) in ("Mn", "Me") else 0
        flags.append(not char.isprintable() or marks > _MAX_MARKS or _INVISIBLE.match(char) is not None)
    return flags


def _counted(text: str) -> str:
    """The escapes, of one and the same character only the number."""
    same = len(text) > _MAX_SAME and text == text[0] * len(text)
    return f"{_named(text[0])} ×{len(text)}" if same else _named(text)


def _named(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
