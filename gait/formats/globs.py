"""Shell globs in linear space and O(pattern x text) time, whatever the text's author chose.

Within a segment `*` is any run of characters, `?` one character, `[a-e]` and `[^a-e]` a set.
In a path pattern `**` as a whole segment is any number of segments, none included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import InvalidInput

_STAR = object()
Token = object
Test = Callable[[str], bool]


def compile_text(pattern: str) -> Test:
    """A test for one text (a path segment, a domain).  InvalidInput: an unclosed or empty `[…]`."""
    if not _has_glob(pattern):
        return pattern.__eq__
    tokens = _tokens(pattern)
    return lambda text: _match(tokens, text)


def compile_path(pattern: str) -> Test:
    """A test for a normalised path (formats.paths); `X/**` is X and all below."""
    if not _has_glob(pattern):
        return pattern.__eq__
    head, tail = pattern.startswith("**/"), pattern.endswith("/**") and len(pattern) > 3
    middle = pattern[3 * head : len(pattern) - 3 * tail]
    if (head or tail) and not _has_glob(middle) and pattern != "**/**":
        return _around(head, middle, tail)
    tokens = [_STAR if segment == "**" else compile_text(segment) for segment in pattern.split("/")]
    return lambda path: _match(tokens, path.split("/"))


def _has_glob(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern or "[" in pattern


def _around(head: bool, middle: str, tail: bool) -> Test:
    """The test for `**/middle`, `middle/**` and `**/middle/**`, the commonest patterns by far."""
    if head and tail:
        return lambda path: f"/{middle}/" in f"/{path}/"
    if head:
        return lambda path: path == middle or path.endswith("/" + middle)
    return lambda path: path == middle or path.startswith(middle + "/")


def _tokens(pattern: str) -> list[Token]:
    tokens: list[Token] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "[":
            test, index = _set(pattern, index + 1)
            tokens.append(test)
            continue
        tokens.append(_STAR if char == "*" else _any if char == "?" else char.__eq__)
        index += 1
    return tokens


def _any(_: str) -> bool:
    return True


def _set(pattern: str, index: int) -> tuple[Test, int]:
    """The test for `[…]` whose content starts at index, and the index after its `]`."""
    negated = pattern[index : index + 1] in ("^", "!")
    end = pattern.find("]", index + negated + 1)
    content = pattern[index + negated : end]
    if end < 0 or not content:
        raise InvalidInput(f"expected a closed set such as [a-e] in the pattern, got {pattern[:80]!r}", hint="close it with ]")
    ranges, singles = _ranges(content)

    def accepts(char: str) -> bool:
        return (char in singles or any(low <= char <= high for low, high in ranges)) != negated

    return accepts, end + 1


def _ranges(content: str) -> tuple[list[tuple[str, str]], str]:
    ranges, singles, index = [], "", 0
    while index < len(content):
        if content[index + 1 : index + 2] == "-" and index + 2 < len(content):
            if content[index] > content[index + 2]:
                raise InvalidInput(f"expected a range such as a-e in the pattern, got {content[index : index + 3]!r}")
            ranges.append((content[index], content[index + 2]))
            index += 3
        else:
            singles += content[index]
            index += 1
    return ranges, singles


def _match(tokens: Sequence[Token], items: Sequence[str]) -> bool:
    """Greedy matching that only ever returns to the last star."""
    token = item = 0
    star, mark = -1, 0
    while item < len(items):
        if token < len(tokens) and tokens[token] is _STAR:
            star, mark = token, item
            token += 1
        elif token < len(tokens) and tokens[token](items[item]):  # type: ignore[operator]
            token += 1
            item += 1
        elif star >= 0:
            mark += 1
            token, item = star + 1, mark
        else:
            return False
    return all(rest is _STAR for rest in tokens[token:])
