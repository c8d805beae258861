"""The scalars of the YAML subset: a cursor over the text, and what it reads without knowing a collection.

Invariants: the text ends in one NUL (no other is accepted), so looking one character ahead is always
safe; line breaks are already `\\n`; the cursor does not go back over what is read, so reading is linear.
Clauses (§) are those of YAML 1.2.2.
"""

from __future__ import annotations

import re

from ..errors import ParseError

MAX_SAFE_INTEGER = 2**53 - 1
MAX_KEY = 1024  # §7.4: an implicit key
WHITE = " \t\n\0"  # what may follow an indicator: white space or the end

BLOCK_STOP = re.compile(r":(?=[ \t\n\0])|[ \t]#|[\n\0]")
FLOW_STOP = re.compile(r":(?=[ \t\n\0,\[\]{}])|[ \t]#|[\n\0,\[\]{}]")
_QUOTED_STOP = {'"': re.compile(r'["\\\n\0]'), "'": re.compile(r"['\n\0]")}
_SPACE = re.compile(r"[ \t\n]*")
# Compiled where a text needs them: a process starts for every tool call, and most policies have none of these.
_BLOCK_HEADER = r"[|>]([-+0-9]*)(?:[ \t]+#[^\n\0]*|[ \t]*)(?=[\n\0])"
_NUMBER = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)

_CONSTANTS: dict[str, object] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CONSTANTS.update({"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False})

_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_ESCAPES.update({"e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0"})
_ESCAPES.update({"L": "\u2028", "P": "\u2029"})
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}

_QUOTE_IT = "quote the value if it is text"
_REFUSED = {  # what cannot begin a plain scalar: what it is, and what to do
    "&": ("an anchor", "anchors are not supported: write the value out where it is needed, or quote the value"),
    "*": ("an alias", "aliases are not supported: quote the value if it is text, such as '*.example.com'"),
    "!": ("a tag", "tags are not supported: leave the tag out, or quote the value if it is text"),
    "%": ("a directive or '%'", "directives are not supported: leave the line out, or quote the value"),
    "@": ("the reserved '@'", _QUOTE_IT),
    "`": ("the reserved '`'", _QUOTE_IT),
    "#": ("a comment with no space before it", "put a space before '#', or quote the value"),
    "|": ("a block scalar", "a block scalar cannot stand inside [ ] or { }: quote the value"),
    ">": ("a block scalar", "a block scalar cannot stand inside [ ] or { }: quote the value"),
    "[": ("a complex key", "a key is one scalar: quote the key if it is text"),
    "{": ("a complex key", "a key is one scalar: quote the key if it is text"),
    "?": ("a complex key '?'", "write 'key: value', or quote the value"),
    "-": ("a sequence item", "start the sequence on a line of its own, or quote the value"),
    ":": ("an empty key", "write a key before ':', or quote the value"),
}
_INDICATORS = frozenset(_REFUSED) | frozenset("]},")


def line_column(text: str, at: int) -> tuple[int, int]:
    """The 1-based line and column (in code points) of an offset."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def find(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The offset of the first match at or after `at`, or of the final NUL, which every stop pattern matches."""
    match = pattern.search(text, at)
    return match.start() if match else len(text) - 1


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def resolve(text: str) -> object:
    """The value of a plain scalar by the core schema (§10.3.2).

    Raises ValueError for a number that no JSON reader must keep: .inf, .nan, a float that overflows,
    an integer outside +-(2^53-1).
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return _number(text) if _is_number(text) else text


def _is_number(text: str) -> bool:
    if text[0] not in "+-.0123456789":
        return False
    return text.isascii() and text.isdigit() or re.fullmatch(_NUMBER, text) is not None


def _number(text: str) -> int | float:
    if text[:2] in ("0x", "0o"):
        return _safe(int(text, 0))
    if text[-1] in "fFnN":
        raise ValueError("is not allowed: JSON has no infinity and no NaN")
    digits = text.lstrip("+-").lstrip("0") or "0"
    if digits.isdigit():
        # Longer texts never reach int(), which refuses them in its own way.
        return _safe(int(digits[:17]) * (-1 if text[0] == "-" else 1))
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError("is too large")
    return value


def _safe(value: int) -> int:
    if abs(value) > MAX_SAFE_INTEGER:
        raise ValueError("is outside +-(2^53-1)")
    return value


def fold_lines(lines: list[str]) -> str:
    """The lines of a folded block scalar joined (§8.1.3); a line that begins with white space keeps its breaks."""
    parts: list[str] = []
    before, breaks = "", 0
    for line in lines:
        if not line:
            breaks += 1
            continue
        keep = line[0] in " \t" or before[:1] in (" ", "\t")
        if before:
            parts.append("\n" * (breaks + 1) if keep else "\n" * breaks or " ")
        else:
            parts.append("\n" * breaks)
        parts.append(line)
        before, breaks = line, 0
    return "".join(parts)


class Scalars:
    """A cursor (`pos`) over one text.  `need` is how many spaces a continuation line must begin with."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text + "\0"
        self.source = source
        self.pos = 0
        self.need = 0
        self.quotes: list[tuple[int, int]] = []

    def fail(self, message: str, at: int, hint: str = "") -> ParseError:
        """The error for the caller to raise."""
        line, column = line_column(self.text, at)
        return ParseError(message, where=f"{self.source}:{line}:{column}", hint=hint)

    def got(self, at: int) -> str:
        """The text at an offset, short, for a message."""
        return repr(self.text[at : at + 24].split("\n")[0].rstrip("\0 \t"))

    def line_end(self, at: int) -> int:
        """The offset of the line break, or of the final NUL, at or after `at`."""
        end = self.text.find("\n", at)
        return end if end >= 0 else len(self.text) - 1

    def skip(self) -> int:
        """Move over white space, breaks and comments (§6.6, §6.7); the start of the new line, 0 on the same."""
        text, start = self.text, self.pos
        pos = _past(_SPACE, text, start)
        while text[pos] == "#" and text[pos - 1] in WHITE:  # before the first character stands the final NUL
            pos = _past(_SPACE, text, self.line_end(pos))
        self.pos = pos
        return text.rfind("\n", start, pos) + 1

    def skip_inline(self) -> str:
        """Move over white space on this line; the character reached."""
        text, pos = self.text, self.pos
        while text[pos] in " \t":
            pos += 1
        self.pos = pos
        return text[pos]

    def at_marker(self, at: int) -> bool:
        """Whether `---` or `...` stands here alone; asked at the start of a line only (§9.1.2)."""
        return self.text.startswith(("---", "..."), at) and self.text[at + 3] in WHITE

    def _indented(self, line: int, pos: int) -> bool:
        """Whether the line that starts at `line`, with text at `pos`, may continue the node."""
        if pos - line < self.need or pos == line and self.at_marker(pos):
            return False
        return self.text.find("\t", line, line + self.need) < 0

    def check_indent(self, line: int) -> None:
        """Refuse a continuation line of a quoted scalar or a flow collection that is not indented enough (§6.9)."""
        if self._indented(line, self.pos) or self.text[self.pos] == "\0":
            return
        if self.text.find("\t", line, self.pos) >= 0:
            raise self.tab(line)
        if self.at_marker(self.pos):
            message = "expected the rest of the value, got a document marker"
            raise self.fail(message, self.pos, "close the quotes or brackets before it")
        message = f"expected an indentation of at least {self.need} spaces, got {self.pos - line}"
        raise self.fail(message, self.pos, "indent by more than the key, closing brackets too")

    def tab(self, line: int) -> ParseError:
        """The error for a tab in the indentation of the line that starts at `line` (§6.1)."""
        at = self.text.find("\t", line)
        return self.fail("expected spaces, got a tab in the indentation", at, "indent with spaces only")

    # Plain scalars, §7.3.3

    def plain(self, stop: re.Pattern[str]) -> object:
        """The value of the plain scalar at the cursor; lines fold (§6.5).  `stop` finds what ends it."""
        start = self.pos
        if self.text[start] in _INDICATORS:
            self.check_plain_start(stop)
        self.pos = find(stop, self.text, start)
        text = self.text[start : self.pos].rstrip(" \t")
        if self.text[self.pos] == "\n":
            text += self._plain_lines(stop)
        try:
            return resolve(text)
        except ValueError as exc:
            message = f"the number {text[:24]!r} {exc}; {_QUOTE_IT}"
            raise self.fail(message, start, _QUOTE_IT) from None

    def check_plain_start(self, stop: re.Pattern[str]) -> None:
        """Refuse what cannot begin a plain scalar (§7.3.3, ns-plain-first)."""
        at = self.pos
        char = self.text[at]
        if char in "-?:":
            flow = ",[]{}" if stop is FLOW_STOP else ""
            if self.text[at + 1] not in WHITE + flow:
                return
        elif char not in _INDICATORS:
            return
        what, hint = _REFUSED.get(char, ("", "write the value, or null"))
        raise self.fail(f"expected a value, got {what and what + ' '}{self.got(at)}; {hint}", at, hint)

    def _plain_lines(self, stop: re.Pattern[str]) -> str:
        """The lines that continue the plain scalar which reaches the break at the cursor."""
        text = self.text
        parts: list[str] = []
        while text[self.pos] == "\n":
            start = self.pos
            pos = _past(_SPACE, text, start)
            if not self._indented(text.rfind("\n", start, pos) + 1, pos) or text[pos] == "#" or stop.match(text, pos):
                break
            self.pos = find(stop, text, pos)
            parts.append("\n" * (text.count("\n", start, pos) - 1) or " ")
            parts.append(text[pos : self.pos].rstrip(" \t"))
        return "".join(parts)

    def plain_key(self, start: int, end: int) -> str:
        """The text of a plain key.  Refused: one that the core schema reads as something else than text, and `<<`."""
        key = self.text[start:end].rstrip(" \t")
        if key == "<<":
            raise self.fail("merge keys '<<' are not supported", start, "write the entries out, or quote the key")
        if len(key) > MAX_KEY:
            raise self.fail(f"a plain key has more than {MAX_KEY} characters", start, "quote this key, or shorten it")
        if key in _CONSTANTS or _is_number(key):
            raise self.fail(f"the key {self.got(start)} is not text; quote this key", start, f'write "{key[:40]}": …')
        return key

    def check_one_line(self, start: int, end: int) -> None:
        """Refuse a key that goes over a line break (§7.4.2, c-s-implicit-json-key)."""
        if self.text.find("\n", start, end) >= 0:
            raise self.fail("expected a key on one line, got several", start, "join its lines, or quote the value")

    # Quoted scalars, §7.3.1 and §7.3.2

    def quoted(self) -> str:
        """The text of the quoted scalar at the cursor."""
        text, start = self.text, self.pos
        quote = text[start]
        stop = _QUOTED_STOP[quote]
        parts = []
        pos = start + 1
        while True:
            end = find(stop, text, pos)
            parts.append(text[pos:end])
            self.pos = end + 1
            if text[end] != quote:
                parts.append(self._quoted_special(end, parts, start))
            elif quote == '"' or text[end + 1] != quote:
                break
            else:
                parts.append(quote)
                self.pos += 1
            pos = self.pos
        self.quotes.append((start, self.pos))
        return "".join(parts)

    def _quoted_special(self, at: int, parts: list[str], start: int) -> str:
        char = self.text[at]
        if char == "\\":
            return self._escape(at)
        if char == "\0":
            message = f"expected a closing {self.text[start]}, got the end of the text"
            raise self.fail(message, start, "close the quotes that begin here")
        parts[-1] = parts[-1].rstrip(" \t")
        return self._fold(at) or " "

    def _fold(self, at: int) -> str:
        """The line feeds that the breaks from `at` on stand for, one fewer than there are (§6.5)."""
        self.pos = _past(_SPACE, self.text, at)
        self.check_indent(self.text.rfind("\n", at, self.pos) + 1)
        return "\n" * (self.text.count("\n", at, self.pos) - 1)

    def _escape(self, at: int) -> str:
        """What the escape sequence at `at` stands for (§5.7)."""
        char = self.text[at + 1]
        if char in _ESCAPES:
            self.pos = at + 2
            return _ESCAPES[char]
        if char in _HEX_ESCAPES:
            return self._character(at)
        if char == "\n":
            return self._fold(at + 1)
        if char == "\0":  # the caller finds it next, and says where the quotes began
            return ""
        message = f"expected an escape, got a backslash and {char!r}"
        raise self.fail(message, at, "write \\\\ for a backslash, or use single quotes")

    def _character(self, at: int) -> str:
        code = self._hex_escape(at)
        if 0xD800 <= code < 0xDC00 and self.text.startswith("\\u", self.pos):  # a pair, as JSON writes it
            low = self._hex_escape(self.pos)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00)
        if 0xD800 <= code < 0xE000:
            raise self.fail("a surrogate stands alone", at, "write the whole pair, or \\U and eight digits")
        if code > 0x10FFFF:
            raise self.fail("an escape is above U+10FFFF", at, "write the code point of one character")
        return chr(code)

    def _hex_escape(self, at: int) -> int:
        count = _HEX_ESCAPES[self.text[at + 1]]
        digits = self.text[at + 2 : at + 2 + count]
        if len(digits) < count or digits.strip("0123456789abcdefABCDEF"):
            message = f"expected {count} hexadecimal digits after \\{self.text[at + 1]}"
            raise self.fail(message, at, "write the digits, or use single quotes")
        self.pos = at + 2 + count
        return int(digits, 16)

    # Block scalars, §8.1

    def block_scalar(self, indent: int) -> str:
        """The text of the `|` or `>` scalar at the cursor, in a node at `indent`; the cursor goes to its last break."""
        folded = self.text[self.pos] == ">"
        width, chomp = self._block_header(indent)
        lines = self._block_lines(width or self._detect(indent))
        body = len(lines)
        while body and not lines[body - 1]:
            body -= 1
        after = "\n" * (len(lines) - body)
        if body == 0:
            return after if chomp == "+" else ""
        content = fold_lines(lines[:body]) if folded else "\n".join(lines[:body])
        if chomp == "-":
            return content
        # §8.1.1.2: the final break is kept where there is one; the text may end without.
        last = "" if self.text[self.pos] == "\0" else "\n"
        return content + last + (after if chomp == "+" else "")

    def _block_header(self, indent: int) -> tuple[int, str]:
        """(indentation or 0 to detect it, chomping): §8.1.1."""
        match = re.compile(_BLOCK_HEADER).match(self.text, self.pos)
        indicators = match[1] if match else "0"
        digit, chomp = indicators.strip("+-"), indicators.strip("0123456789")
        if match is None or "0" in digit or len(digit) > 1 or len(chomp) > 1:
            hint = "after | or > write at most one of + -, one digit 1 to 9, and ' # a comment'; quote other text"
            raise self.fail(f"expected a block scalar header, got {self.got(self.pos)}; {hint}", self.pos, hint)
        self.pos = match.end()
        return (max(indent, 0) + int(digit) if digit else 0), chomp

    def _detect(self, indent: int) -> int:
        """The indentation of the first line with text (§8.1.1.1); past every blank line where there is none."""
        text, start = self.text, self.pos
        pos = _past(re.compile(r"[ \n]*"), text, start)
        ended = text[pos] == "\0"
        line = pos if ended else text.rfind("\n", start, pos) + 1
        widest = max(map(len, text[start:line].split("\n")))
        if ended or pos - line <= indent:
            return max(widest, indent + 1)
        if widest > pos - line:
            raise self.fail("a blank line is indented by more than the text after it", pos, "empty the blank lines")
        return pos - line

    def _block_lines(self, width: int) -> list[str]:
        text, pos = self.text, self.pos
        pad = " " * width
        lines = []
        while text[pos] == "\n":
            start, end = pos + 1, self.line_end(pos + 1)
            line = text[start + width : end] if text.startswith(pad, start) else ""
            if not line and (text[end] == "\0" or text[start:end].strip(" ")):
                break
            if not width and self.at_marker(start):
                break
            lines.append(line)
            pos = end
        self.pos = pos
        return lines
