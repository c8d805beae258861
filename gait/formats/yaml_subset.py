"""YAML text to values: a strict subset of YAML 1.2.2 with the core schema, and all of JSON.

Refused, because two readers may disagree on them or a policy has no use for them: anchors, aliases,
tags, directives, merge keys, complex keys, several documents, duplicate keys, plain keys that are not
text, tabs in indentation, .inf and .nan, numbers that JSON readers lose, control characters, lone
surrogates, nesting over 64.  Clauses (§) are those of YAML 1.2.2.
"""

from __future__ import annotations

import re

from ..errors import ParseError
from .yaml_scalars import BLOCK_STOP, FLOW_STOP, MAX_KEY, WHITE, Scalars, find, line_column

MAX_DEPTH = 64
MAX_BYTES = 4 * 1024 * 1024

_CONTROL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f]")  # nowhere (§5.1)
# Compiled where a text needs them.
_QUOTED_ONLY = r"[\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]"  # JSON has them in strings (nb-json, §5.1)
_QUOTED_KEY = r"""(?:"(?:[^"\\\n]|\\.){0,1024}"|'(?:[^'\n]|''){0,1024}')[ \t]*(?=:[ \t\n\0])"""

_ONE_SCALAR = "a key is one scalar: quote the key if it is text"


def loads(data: bytes | str, source: str = "<yaml>", max_bytes: int = MAX_BYTES) -> object:
    """The value of one YAML document, of dict (text keys), list, str, int, float, bool and None.

    Bytes are UTF-8, with or without a byte order mark.  ParseError (`source:line:column`) on everything else.
    """
    return _read(_Reader(_text(data, source, max_bytes), source))


def position(data: bytes | str, path: tuple[str | int, ...]) -> tuple[int, int]:
    """The 1-based line and column of the key, or of the list item, that `path` leads to.

    The text is read again: this is for error messages.  Where the path ends early, the deepest
    ancestor that exists; (1, 1) for the document itself and for a text that cannot be read.
    """
    try:
        reader = _Reader(_text(data, "", len(data) * 4), "")
        reader.marking = True
        value = _read(reader)
    except ParseError:
        return 1, 1
    at = 0
    for step in path:
        marks = reader.marks.get(id(value))
        if isinstance(value, dict) and isinstance(marks, dict) and step in value:
            at, value = marks[str(step)], value[step]
        elif isinstance(value, list) and isinstance(marks, list) and step in range(len(value)):
            at, value = marks[int(step)], value[int(step)]
        else:
            break
    return line_column(reader.text, at)


def _read(reader: _Reader) -> object:
    try:
        return reader.document()
    except RecursionError:  # the depth is bounded, but the caller may stand near the limit of its own stack
        raise ParseError("expected less nesting: the stack is full", where=reader.source, hint="nest less") from None


def _text(data: bytes | str, source: str, max_bytes: int) -> str:
    """The text with `\\n` for every break (§5.4) and no byte order mark."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")  # a surrogate is refused below, as three bytes
    if len(data) > max_bytes:
        message = f"expected at most {max_bytes} bytes, got {len(data)}"
        raise ParseError(message, where=f"{source}:1:1", hint="split the document")
    text = _decode(data, source).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    bad = _CONTROL.search(text)
    if bad:
        message = f"the character U+{ord(bad[0]):04X} is not allowed"
        hint = "delete it, or write it as an escape in double quotes"
        raise Scalars(text, source).fail(message, bad.start(), hint)
    return text


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, got the byte 0x{data[error.start]:02x}"
        before = data[: error.start].decode("utf-8")
        raise Scalars(before, source).fail(message, len(before), "save the file as UTF-8") from None


class _Reader(Scalars):
    """Collections and the document.

    Between block nodes the cursor is on the first character of a line's text and `col` is its column from 0,
    -1 at the end of the document.  `indent` is always the parent's.  `marks` maps the id of each collection
    (all live as long as the document) to the offsets of its keys or items.
    """

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text, source)
        self.marking = False
        self.col = 0
        self.depth = 0
        self.opened = 0
        self.marks: dict[int, dict[str, int] | list[int]] = {}

    def document(self) -> object:
        """The value of the only document (§9)."""
        value = self._root()
        if self.col >= 0:
            message = f"expected the end of the document, got {self.got(self.pos)}"
            raise self.fail(message, self.pos, "correct the indentation, or delete the text")
        self._end()
        if not self.text.isascii() or "\x7f" in self.text:
            self._check_unquoted()
        return value

    def _root(self) -> object:
        line = self.skip()
        if "\t" in self.text[line : self.pos] and self._json_starts():
            return self._leaf(-1)
        self.pos = 0
        self._next_token()
        if self.col == -1 and self.text.startswith("---", self.pos):
            self.pos += 3
            return self._value(-1)
        return self._block_node(-1) if self.col >= 0 else None

    def _json_starts(self) -> bool:
        """JSON may be indented by tabs, block collections may not."""
        return self.text[self.pos] in '[{"-0123456789tfn' and not self._at_item() and self._colon() < 0

    def _end(self) -> None:
        """Refuse anything but one `...` and comments after the document (§9.1)."""
        if self.text.startswith("---", self.pos):
            message = "expected one document, got a second '---'"
            raise self.fail(message, self.pos, "put each document into a file of its own")
        if self.text[self.pos] == ".":
            self.pos += 3
            self._end_line()
            if self.text[self.pos] != "\0":
                message = f"expected nothing after '...', got {self.got(self.pos)}"
                raise self.fail(message, self.pos, "delete the text after '...'")

    def _check_unquoted(self) -> None:
        pattern = re.compile(_QUOTED_ONLY)
        pos = 0
        for start, end in [*self.quotes, (len(self.text), 0)]:
            bad = pattern.search(self.text, pos, start)
            if bad:
                message = f"the character U+{ord(bad[0]):04X} is not allowed outside quotes"
                raise self.fail(message, bad.start(), "delete it, or write it as an escape in double quotes")
            pos = end

    # Lines

    def _next_token(self) -> None:
        """Go to the next line with text: sets `col`."""
        line = self.skip()
        self.col = self.pos - line
        if self.text[self.pos] == "\0" or self.col == 0 and self.at_marker(self.pos):
            self.col = -1
        elif self.text.find("\t", line, self.pos) >= 0:
            raise self.tab(line)

    def _end_line(self) -> None:
        """Refuse text after a node on its last line, then go to the next line with text."""
        char = self.skip_inline()
        if char not in "\n\0" and not (char == "#" and self.text[self.pos - 1] in WHITE):
            raise self._trailing(self.pos, char)
        self._next_token()

    def _trailing(self, at: int, char: str) -> ParseError:
        if char == ":" and self.text[at - 1] in "]}":
            return self.fail("expected a value, got a complex key", at, _ONE_SCALAR)
        hint = "quote the whole value; a comment needs a space before it"
        if char == ":":
            hint = f"quote the value, or correct the indentation (a key has one line and at most {MAX_KEY} characters)"
        return self.fail(f"expected the end of the value, got {self.got(at)}; {hint}", at, hint)

    def _enter(self, collection: object, marks: dict[str, int] | list[int]) -> None:
        if self.marking:
            self.marks[id(collection)] = marks
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"expected at most {MAX_DEPTH} levels of nesting, got more", self.pos, "nest less")

    # Block collections, §8.2

    def _block_node(self, indent: int) -> object:
        """The node at the cursor, where a block collection may begin."""
        if self._at_item():
            return self._sequence(self.col)
        if self._colon() >= 0:
            return self._mapping(self.col)
        return self._leaf(indent)

    def _leaf(self, indent: int) -> object:
        """The scalar or flow collection at the cursor, to the end of its last line."""
        self.need = indent + 1
        char = self.text[self.pos]
        self.opened = self.pos
        if char in "|>":
            value: object = self.block_scalar(indent)
        else:
            value = self._flow_node() if char in "[{\"'" else self.plain(BLOCK_STOP)
        self._end_line()
        return value

    def _at_item(self) -> bool:
        return self.text[self.pos] == "-" and self.text[self.pos + 1] in WHITE

    def _colon(self) -> int:
        """The offset of the `:` after the key at the cursor; -1 where no key stands (§7.4, §8.2.2)."""
        char = self.text[self.pos]
        if char in "[{|>":
            return -1
        if char in "\"'":
            match = re.compile(_QUOTED_KEY).match(self.text, self.pos)
            return match.end() if match else -1
        stop = find(BLOCK_STOP, self.text, self.pos)
        return stop if self.text[stop] == ":" else -1

    def _mapping(self, col: int) -> dict[str, object]:
        mapping: dict[str, object] = {}
        marks: dict[str, int] = {}
        self._enter(mapping, marks)
        while self.col == col:
            key = self._key(marks)
            mapping[key] = self._value(col)
        self._close(col)
        return mapping

    def _key(self, marks: dict[str, int]) -> str:
        """The key at the cursor, which goes after the `:`."""
        start, colon = self.pos, self._colon()
        if colon < 0:
            hint = "write 'key: value', with a space after ':', and indent items and values by more than their key"
            raise self.fail(f"expected 'key: value', got {self.got(start)}", start, hint)
        if self.text[start] in "\"'":
            key = self.quoted()
        else:
            self.check_plain_start(BLOCK_STOP)
            key = self.plain_key(start, colon)
        self.pos = colon + 1
        self._mark(key, start, marks)
        return key

    def _mark(self, key: str, at: int, marks: dict[str, int]) -> None:
        if key in marks:
            line = line_column(self.text, marks[key])[0]
            raise self.fail(f"duplicate key {key[:80]!r}, first on line {line}", at, "remove one of the two")
        marks[key] = at

    def _close(self, col: int) -> None:
        self.depth -= 1
        if self.col > col:
            message = f"expected an indentation of {col} spaces or fewer, got {self.col}"
            raise self.fail(message, self.pos, "give the lines of one mapping or sequence the same indentation")

    def _value(self, indent: int) -> object:
        """The value after a `:` or `---`: on this line a leaf, on the next lines any node or none."""
        if self.skip_inline() not in "#\n\0":
            return self._leaf(indent)
        self._next_token()
        if self.col > indent:
            return self._block_node(indent)
        if self.col == indent and self._at_item():
            return self._sequence(indent)  # §8.2.2: the `-` counts as indentation
        return None

    def _sequence(self, col: int) -> list[object]:
        items: list[object] = []
        marks: list[int] = []
        self._enter(items, marks)
        while self.col == col and self._at_item():
            marks.append(self.pos)
            items.append(self._item(col, marks))
        self._close(col)
        return items

    def _item(self, indent: int, marks: list[int]) -> object:
        """The node after a `-`, which may be a compact collection (§8.2.1); its first character is marked."""
        self.pos = after = self.pos + 1
        if self.skip_inline() in "#\n\0":
            self._next_token()
            if self.col <= indent:
                return None
        else:
            self.col = indent + 1 + self.pos - after
            if "\t" in self.text[after : self.pos] and (self._at_item() or self._colon() >= 0):
                raise self.tab(after)
        marks[-1] = self.pos
        return self._block_node(indent)

    # Flow collections, §7.4

    def _flow_space(self) -> str:
        """Move over white space, breaks and comments inside brackets; the character reached."""
        char = self.text[self.pos]
        if char not in " \t\n#\0":
            return char
        line = self.skip()
        if self.text[self.pos] == "\0":
            message = f"expected the bracket that closes '{self.text[self.opened]}', got the end of the text"
            raise self.fail(message, self.opened, "close it")
        if line:
            self.check_indent(line)
        return self.text[self.pos]

    def _flow_node(self) -> object:
        char = self.text[self.pos]
        if char in "\"'":
            return self.quoted()
        if char == "[":
            return self._flow_sequence()
        if char == "{":
            return self._flow_mapping()
        return self.plain(FLOW_STOP)

    def _flow_sequence(self) -> list[object]:
        items: list[object] = []
        marks: list[int] = []
        self._enter(items, marks)
        self.pos += 1
        char = self._flow_space()
        while char != "]":
            marks.append(self.pos)
            items.append(self._flow_item())
            char = self._separator("]")
        self.depth -= 1
        self.pos += 1
        return items

    def _flow_mapping(self) -> dict[str, object]:
        mapping: dict[str, object] = {}
        marks: dict[str, int] = {}
        self._enter(mapping, marks)
        self.pos += 1
        char = self._flow_space()
        while char != "}":
            key = self._flow_key(marks)
            mapping[key] = self._flow_value(marks[key])
            char = self._separator("}")
        self.depth -= 1
        self.pos += 1
        return mapping

    def _separator(self, closer: str) -> str:
        """Move over a comma; the character after it, or the closing bracket itself."""
        char = self._flow_space()
        if char == ",":
            self.pos += 1
            return self._flow_space()
        if char != closer:
            hint = "separate entries with ',', close the bracket, or quote a value that contains : # , [ ] { }"
            raise self.fail(f"expected ',' or '{closer}', got {self.got(self.pos)}", self.pos, hint)
        return char

    def _flow_item(self) -> object:
        """An item, or the only entry of a mapping without braces: `[a: b]` is `[{a: b}]`."""
        start = self.pos
        value = self._flow_node()
        end = self.pos
        if self.text[end] not in ": \t" or self.skip_inline() != ":":
            return value
        if self.text[start] in "[{":
            raise self.fail("expected a value, got a complex key", start, _ONE_SCALAR)
        key = str(value) if self.text[start] in "\"'" else self.plain_key(start, end)
        self.check_one_line(start, end)
        pair: dict[str, object] = {}
        self._enter(pair, {key: start})
        pair[key] = self._flow_value(start)
        self.depth -= 1
        return pair

    def _flow_key(self, marks: dict[str, int]) -> str:
        """The key at the cursor, which goes to the `:`; JSON lets the `:` stand on a later line."""
        start = self.pos
        if self.text[start] in "\"'":
            key = self.quoted()
        else:
            self.check_plain_start(FLOW_STOP)
            self.pos = find(FLOW_STOP, self.text, start)
            key = self.plain_key(start, self.pos)
        self.check_one_line(start, self.pos)
        self._mark(key, start, marks)
        if self._flow_space() != ":":
            message = f"expected ':' after the key {key[:80]!r}, got {self.got(self.pos)}"
            raise self.fail(message, self.pos, "write 'key: value', with a space after ':', or 'key: null'")
        return key

    def _flow_value(self, key: int) -> object:
        """The value or none after the `:` at the cursor; `key` is where its key begins (§7.4.2)."""
        self.pos += 1
        if self.text[self.pos] not in WHITE + ",]}" and self.text[key] not in "\"'":
            raise self.fail(f"expected a space after ':', got {self.got(self.pos)}", self.pos, "write 'key: value'")
        if self._flow_space() in ",}]":
            return None
        return self._flow_node()
