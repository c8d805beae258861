"""The words of a shell command, and what they look like: a net, not a wall.

Nothing is run or looked up.  Quotes, escapes, redirections, substitutions and braces are taken as sh and bash take
them; what only running would show (the value of a variable, the output of a command) becomes a path that
starts with `$`, which satisfies no allowlist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from ..formats.patterns import lazy
from . import values
from .inferred import Inferred
from .targets import MAX_BRACES, MAX_SHELL_DEPTH

_PARTS = lazy(
    r"""(?P<space>[ \t\r\f\v]+)
    |(?P<end>[;&|()\n])
    |(?P<to>>+)|(?P<from><+)
    |\\(?P<escaped>[\s\S]?)
    |'(?P<single>[^']*)'?
    |\$'(?P<ansi>(?:[^'\\]|\\[\s\S])*)'?
    |\$?"(?P<double>(?:[^"\\]|\\[\s\S])*)"?
    |(?P<substitution>`|\$(?=\())
    |(?P<variable>\$(?:\{[^}\s]*\}?|[A-Za-z_]\w*|[0-9@*]|[?$\#!-])?)
    |(?P<plain>[^\s;&|()<>\\'"$`]+)""",
    re.VERBOSE,
)
_DOUBLE_ESCAPE = lazy(r"\\([$`\"\\\n])")
_VARIABLE = lazy(r"\$(?:\{[^}\s]*\}?|[A-Za-z_]\w*|[0-9@*])")
_HARMLESS = frozenset(("$", "$?", "$$", "$#", "$!", "$-"))
_ANSI = lazy(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|0?([0-7]{1,3})|([\s\S]))")
_ANSI_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "E": "\x1b"}
_ENCODED = lazy(r"\\(?:x[0-9A-Fa-f]|0?[0-7]{2}|u[0-9A-Fa-f]|U[0-9A-Fa-f])")
_WINDOWS = lazy(r"(?<![A-Za-z0-9])(?:[A-Za-z]:\\|\\\\[\w.-]{1,64}\\[\w$]|%\w{1,64}%\\|\.\.\\|\$env:\w)[^\s\"'<>|;&]*")
_FRAGMENT = lazy(r"[=:,@'\"()\[\]{}+;|<>`\s]+")
_NESTED = lazy(r"[\s;&|<>()\\'\"$`]")
_NETWORK_PATH = lazy(r"/dev/(?:tcp|udp)/([^/\s]+)")
_BRACES = lazy(r"\{([^{}]*)\}")
_URL = lazy(r"[A-Za-z][A-Za-z0-9+.\-]{1,40}:[/\\]{2}[^\s\"'`<>]*")
_DOTTED_NAME = lazy(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?(?::\d{1,5})?(?:/\S*)?")
_SINGLE_NAME = lazy(r"(?:\w[\w.-]{0,63}@)?[A-Za-z0-9][\w-]{0,62}(?::\d{1,5})?")
_REMOTE = lazy(r"(?:[\w.+-]{1,64}@)?([\w.-]{1,253}):(?!\d+(?:/|$))\S*$")
_NUMBER = lazy(r"(?:0[xX][0-9a-fA-F]+|\d{5,10}|\d+(?=\.))(?:\.(?:0[xX][0-9a-fA-F]+|\d+)){0,3}(?::\d+)?(?:/\S*)?")

_INTERESTING = lazy(r"[{/\\~$.:*?\[@=`]")
_ROOT = lazy(r"[/~]|\.\.")
_OPTION = lazy("-[A-Za-z]")

_FETCHERS = frozenset(
    """curl wget http https httpie xh aria2c lynx w3m links elinks fetch rsync scp socat openssl invoke-webrequest
    invoke-restmethod iwr irm bitsadmin certutil start-bitstransfer youtube-dl yt-dlp nmap traceroute tracepath mtr""".split()
)
_CONNECTORS = frozenset("ssh sftp ftp lftp tftp nc ncat netcat telnet ping ping6 dig nslookup host whois mosh drill getent rlogin rsh finger".split())
# Endings of files that are no top-level domains: the words that are not hosts even beside a fetcher.
_FILE_ENDINGS = frozenset(
    """txt json html htm xml csv log gz tar tgz bz2 xz yaml yml pdf png jpg jpeg gif svg bin out tmp deb rpm whl exe js ts css toml lock
    cfg conf ini pem crt key git jsonl sql iso""".split()
)
_VERBS = {
    **dict.fromkeys("rm rmdir unlink shred del erase rd remove-item ri truncate".split(), "delete"),
    **dict.fromkeys("touch mkdir tee cp mv dd install ln chmod chown chgrp rsync scp patch set-content out-file copy move".split(), "write"),
}


class Word(NamedTuple):
    """One word after quote removal.  `raw` keeps backslashes; `quoted` holds the text of its quotes."""

    text: str
    raw: str
    expands: bool
    quoted: tuple[str, ...]
    redirected: str
    braces: bool = False


_SUBSTITUTION = Word("$(...)", "$(...)", True, (), "")


def scan(found: Inferred, text: str, depth: int = 0) -> None:
    """Add what the words of a command look like.  InvalidInput: too much text, or quotes in quotes too deep."""
    found.charge(text)
    if depth > MAX_SHELL_DEPTH:
        raise InvalidInput(
            f"expected command text quoted at most {MAX_SHELL_DEPTH} deep, got more",
            hint="write the inner command to a script",
            code="command_too_deep",
        )
    for match in _WINDOWS.finditer(text):
        found.add("path", match.group(), "read")
    for command in _commands(text):
        _scan_words(found, command, depth)


def scan_argv(found: Inferred, words: list[str]) -> None:
    """Add what the words of an argument vector look like; a word with spaces is scanned as a command too."""
    for word in words:
        found.charge(word)
    _scan_words(found, [Word(word, word, False, (word,), "") for word in words], 0)


def scan_code(found: Inferred, text: str) -> None:
    """Add what the string literals of a program look like, and URLs anywhere in it."""
    found.charge(text)
    for kind, value in values.urls(text):
        found.add(kind, value, "read")
    for match in _LITERAL.finditer(text):
        literal = decode(match.group(1) or match.group(2) or match.group(3) or "")
        for kind, value in values.of_shape(literal):
            found.add(kind, value, "read")
        if _NESTED.search(literal):
            scan(found, literal, 1)


_LITERAL = lazy(r"""'((?:[^'\\\n]|\\[\s\S])*)'?|"((?:[^"\\\n]|\\[\s\S])*)"?|`((?:[^`\\]|\\[\s\S])*)`?""")


def decode(text: str) -> str:
    r"""Text with the escapes of `$'…'`, printf and most programming languages replaced: `\x2f`, `\057`, `\u002f`."""
    return _ANSI.sub(_decoded, text) if "\\" in text else text


def _decoded(match: re.Match[str]) -> str:
    short, four, eight, octal, other = match.groups()
    if other is not None:
        return _ANSI_LETTERS.get(other, other)
    code = int(octal, 8) if octal else int(short or four or eight, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""


def _commands(text: str) -> Iterator[list[Word]]:
    """The simple commands of a text, each as its words."""
    words: list[Word] = []
    builder = _Builder()
    for match in _PARTS.finditer(text):
        name = match.lastgroup or ""
        if name not in _SEPARATORS:
            builder.take(name, match.group(name))
            continue
        words += builder.finish()
        if name in ("to", "from"):
            builder.redirected = "write" if name == "to" else "read"
        elif name == "substitution":
            words.append(_SUBSTITUTION)
        if name == "end" and words:
            yield words
            words = []
    words += builder.finish()
    if words:
        yield words


_SEPARATORS = frozenset(("space", "end", "to", "from", "substitution"))


class _Builder:
    """Collects the parts of one word."""

    __slots__ = ("text", "raw", "expands", "quoted", "redirected", "braces")

    def __init__(self) -> None:
        self.redirected = ""
        self._clear()

    def _clear(self) -> None:
        self.text: list[str] = []
        self.raw: list[str] = []
        self.quoted: list[str] = []
        self.expands = self.braces = False

    def take(self, name: str, part: str) -> None:
        """Add one part, its quotes removed."""
        raw = part
        if name == "escaped":
            part, raw = part.replace("\n", ""), "\\" + part
        elif name == "double":
            part = _DOUBLE_ESCAPE.sub(lambda match: match.group(1).replace("\n", ""), part)
        elif name == "ansi":
            part = decode(part)
        if name in ("single", "double", "ansi"):
            self.quoted.append(part)
        self.expands = self.expands or (name == "variable" and part not in _HARMLESS)
        self.braces = self.braces or (name == "plain" and "{" in part)
        self.text.append(part)
        self.raw.append(raw)

    def finish(self) -> list[Word]:
        """The word collected so far, if there is one."""
        if not self.text:
            return []
        text, raw = "".join(self.text), "".join(self.raw)
        word = Word(text, raw, self.expands, tuple(self.quoted), self.redirected, self.braces)
        self.redirected = ""
        self._clear()
        return [word]


def _scan_words(found: Inferred, words: list[Word], depth: int) -> None:
    """Add what the words of one simple command look like, and scan what they quote."""
    operation, reach, previous = "read", "", ""
    for word in words:
        if word is _SUBSTITUTION:
            found.add("path", word.text, "read")
            continue
        name = _program(word.text)
        operation = _VERBS.get(name, operation)
        if name in _FETCHERS or name in _CONNECTORS:
            reach = "connector" if name in _CONNECTORS else "fetcher"
        elif reach:
            reach = _host_word(found, word.text, reach, previous)
        if word.redirected or word.expands or _INTERESTING.search(word.raw):
            _classify(found, word, word.redirected or operation, depth)
        for quoted in word.quoted:
            if _NESTED.search(quoted):
                scan(found, quoted, depth + 1)
        previous = word.text


def _program(text: str) -> str:
    """The name of a program as it is looked up: `/usr/bin/curl` and `CURL.EXE` are curl."""
    if len(text) > 200:
        return ""
    name = re.split(r"[/\\]", text)[-1].lower()
    return name[:-4] if name.endswith(".exe") else name


def _host_word(found: Inferred, text: str, reach: str, previous: str) -> str:
    """Add a host that stands beside a network command; what is left to expect after it."""
    if text[:1] in "-/.$~" or "://" in text:
        return reach
    if _SINGLE_NAME.fullmatch(text) and (reach == "connector" or "@" in text):
        found.add("host", values.authority(text), "")
        return reach if _OPTION.fullmatch(previous) else "fetcher"
    remote = _REMOTE.match(text)
    if remote:  # host:path, as scp and rsync take it
        found.add("host", remote.group(1), "")
    name = values.authority(text)
    ending = name.partition(":")[0].rstrip(".").rpartition(".")[2].lower()
    dotted = _DOTTED_NAME.fullmatch(name) and ending not in _FILE_ENDINGS and not ending.isdigit()
    if dotted or _NUMBER.fullmatch(text):
        found.add("host", name, "")
    return reach


def _classify(found: Inferred, word: Word, operation: str, depth: int) -> None:
    """Add what one word looks like, whole and in parts."""
    forms = expand_braces(word.text, depth) if word.braces else [word.text]
    if _ENCODED.search(word.raw):
        forms.append(decode(word.raw))
    for form in forms:
        _classify_text(found, form, operation)
    if "\\" in word.raw and values.has_dotfile(word.raw):  # on Windows a backslash escapes nothing
        found.add("path", word.raw, operation)
    if word.expands or "`" in word.text:
        _classify_expansion(found, word.text, operation)
    if word.redirected and not word.text.isdigit():
        found.add("path", word.text, operation)


def _classify_expansion(found: Inferred, text: str, operation: str) -> None:
    """A word with a variable: a place that nobody knows, and what is left when the variable is empty."""
    start = text.find("$")
    found.add("path", text[max(start, 0) :] if start >= 0 else "$" + text, operation)
    rest = _VARIABLE.sub("", text)
    _classify_text(found, rest, operation)
    for part in _VARIABLE.split(text):
        if values.is_path(part):
            found.add("path", part, operation)


def _classify_text(found: Inferred, text: str, operation: str) -> None:
    """Add a word and the parts of it behind `=`, `:`, `,`, `@` or an option's letter that look like something."""
    if "//" in text or "\\\\" in text or "file:" in text.lower():
        for kind, value in values.urls(text):
            found.add(kind, value, operation if kind == "path" else "")
        text = _URL.sub(" ", text)
    _classify_part(found, text, operation)
    if text[:1] == "-" or "=" in text:
        tail = text.partition("=")[2] if "=" in text else text[2:]
        _classify_part(found, tail, operation)
        rooted = _ROOT.search(text)
        if rooted:
            _classify_part(found, text[rooted.start() :], operation)
    parts = _FRAGMENT.split(text)
    if len(parts) > 1:
        for part in parts:
            _classify_part(found, part.lstrip("-"), operation)


def _classify_part(found: Inferred, text: str, operation: str) -> None:
    if not text or text in _HARMLESS:
        return
    network = _NETWORK_PATH.match(text)
    if network:
        found.add("host", network.group(1), "")
    host = values.scp_host(text)
    if host or values.is_host(text):
        found.add("host", host or values.authority(text), "")
    if text[0] != "-" and (values.is_path(text) or ("/" in text and " " not in text) or _has_glob(text)):
        short = values.short_path(text)
        if short:
            found.add("path", short, operation)


def _has_glob(text: str) -> bool:
    return "*" in text or "?" in text or ("[" in text and "]" in text)


def expand_braces(text: str, depth: int) -> list[str]:
    """`/etc/{a,b}` as both words.  Over the limit the word is refused, or, where only a nested shell would expand it, unknown."""
    done, pending = [], [text]
    while pending:
        word = pending.pop()
        group = next((group for group in _BRACES.finditer(word) if "," in group.group(1)), None)
        if not group:
            done.append(word)
        elif len(done) + len(pending) + group.group(1).count(",") >= MAX_BRACES:
            return _too_many_braces(text, depth)
        else:
            pending += [word[: group.start()] + part + word[group.end() :] for part in group.group(1).split(",")]
    return done


def _too_many_braces(text: str, depth: int) -> list[str]:
    if depth:
        return [text, "$" + text]
    raise InvalidInput(
        f"expected a word with at most {MAX_BRACES} brace alternatives, got more",
        hint="write the alternatives out",
        code="too_many_alternatives",
    )
