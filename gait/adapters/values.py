"""What one text names: paths, URLs and hosts by their shape.  Every scan here takes linear time.

A reader yields (kind, value) pairs; nothing is opened, resolved or decoded further than browsers and shells do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..formats import paths
from ..formats.patterns import lazy
from .targets import MAX_PATH

Pair = tuple[str, str]

_EDGES = "".join(map(chr, range(33)))
_BREAKS = str.maketrans("", "", "\t\n\r")
_SCHEME = lazy(r"[A-Za-z][A-Za-z0-9+.\-]{1,40}:(?=[/\\]{2})")
_SCHEME_RUN = lazy(r"[A-Za-z0-9+.\-]+(:[/\\]{2})?")
_LETTER = lazy("[A-Za-z]")
_SLASHES = lazy(r":[/\\]{2}")
_RUN = lazy(r"[^\s\"'`<>]*")
# Browsers read `http:host` and `http:\host` as they read `http://host` (WHATWG URL, special schemes).
_SPECIAL = lazy(r"(?:https?|wss?|ftp):", re.IGNORECASE)
_FILE = lazy(r"(?<![A-Za-z0-9])file:[^\s\"'`<>]+", re.IGNORECASE)
_EMPTY_AUTHORITY = lazy(r"[A-Za-z][A-Za-z0-9+.\-]{0,40}:[/\\]{2}([/\\].+)")
_ROOTED = lazy(
    r"/|~(?:[/\\]|[A-Za-z_][\w.-]*(?:[/\\]|$)|$)|\.\.(?:[/\\]|$)|\.[/\\]|[A-Za-z]:[\\/]|\\\\|\$[A-Za-z_{(]|%[A-Za-z_]\w*%|`"
)
_DOTTED = lazy(r"(?:^|[/\\])\.{1,2}[A-Za-z_]|[/\\]\.\.(?:[/\\]|$)")
_WITH_EXTENSION = lazy(r"[^\s:]*[/\\][^\s:/\\]*\.[A-Za-z]\w{0,7}")
_IPV4 = lazy(r"(?:0[xX][0-9a-fA-F]+|\d{1,10})(?:\.(?:0[xX][0-9a-fA-F]+|\d{1,10})){3}(?::\d+)?(?:[/?#]\S*)?")
_IPV6 = lazy(r"\[[0-9A-Fa-f:.%]+\](?::\d+)?(?:[/?#]\S*)?|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*")
_HOST = lazy(r"(?:[\w.+-]+@)?([^\W_](?:[\w-]|\.(?=[\w-]))*)\.?(?::\d{1,5})?(?:[/?#]\S*)?")
_SCP = lazy(r"[\w.+-]{1,64}@([\w.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):")
MAX_HOST = 1024
_HOST_SIGN = lazy(r"[.:]|localhost", re.IGNORECASE)  # every host has one: it saves most words the other expressions
# Last labels that make a dotted word a host where nothing else says so; `py`, `md`, `sh`, `rs` are files far more often.
_TOP_LEVELS = frozenset(
    """com net org io dev app ai co internal local localhost localdomain lan corp cloud example test info biz xyz me ru cn de uk
    fr nl eu us ca au jp br ch se site online top gg ly link click live tech store onion arpa gov edu mil zone host run""".split()
)
_WORD = lazy(r"[^\s\"'`(){}\[\]=,;|]+")
_MARKED = lazy(r"[/\\~$%.]")
_PLAIN = lazy("[A-Za-z0-9 _-]*")
_SEVERAL = lazy(r"""[\s,;|=(\["'`]""")
_IPV4_WORD = lazy(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_SEPARATORS = lazy(r"[\s,;:|]+")


def urls(text: str) -> Iterator[Pair]:
    """Each `scheme://…` in the text, one inside another too; `file:` with any number of slashes is a path.

    Only the first URL of a run without spaces is given whole: the host of an inner one comes before its end.
    """
    end, seen = -1, set()
    starts = list(_scheme_starts(text))
    for start, following in zip(starts, [*starts[1:], len(text)]):
        inner = start < end
        if not inner:
            end = _RUN.match(text, start).end()  # type: ignore[union-attr]
        value = text[start : min(end, following) if inner else end]
        if value not in seen:
            seen.add(value)
            yield from _url(value)
    if "file:" in text.lower():
        yield from (("path", match.group()) for match in _FILE.finditer(text))


def _scheme_starts(text: str) -> Iterator[int]:
    if not _SLASHES.search(text):
        return
    for match in _SCHEME_RUN.finditer(text):
        if match.group(1):
            letter = _LETTER.search(text, max(match.start(), match.start(1) - 41), match.start(1) - 1)
            if letter:
                yield letter.start()


def _url(value: str) -> Iterator[Pair]:
    scheme = value.partition(":")[0].lower()
    if scheme.rpartition("+")[2] == "file":
        yield "path", value[scheme.rfind("+") + 1 :]
        return
    yield "url", value
    without_host = _EMPTY_AUTHORITY.fullmatch(value)  # sqlite:////var/x.db
    if without_host:
        yield "path", without_host.group(1)
    if scheme in ("s3", "gs"):
        yield "bucket", value[len(scheme) + 3 :].partition("/")[0] or value


def compact(text: str) -> str:
    """The text as a browser's address bar takes it: no controls or spaces at the ends, no tabs or line ends inside."""
    return text.strip(_EDGES).translate(_BREAKS)


def is_rooted(text: str) -> bool:
    """True for texts that start as a path with a place of its own does: `/`, `~`, `..`, `C:\\`, `\\\\`, `$VAR`, `%VAR%`."""
    return _ROOTED.match(text) is not None


def is_path(text: str) -> bool:
    """True for texts that can only be a path: rooted, with a dot segment or dotfile, or with a `/` and an extension."""
    if is_rooted(text):
        return True
    return (has_dotfile(text) and " " not in text) or _WITH_EXTENSION.fullmatch(text) is not None


def has_dotfile(text: str) -> bool:
    """True for `.env`, `a/.ssh/b` and `a/../b`, with either separator."""
    return _DOTTED.search(text) is not None


def is_host(text: str) -> bool:
    """True for texts that are a host by their shape alone: an address, localhost, a name below a well-known suffix."""
    if len(text) > MAX_HOST or not _HOST_SIGN.search(text):
        return False
    if _IPV4.fullmatch(text) or _is_ipv6(text):
        return True
    found = _HOST.fullmatch(text)
    if not found or "@" in text.partition("/")[0]:
        return False
    head, _, last = found.group(1).lower().rpartition(".")
    return last == "localhost" or bool(head) and last in _TOP_LEVELS


def _is_ipv6(text: str) -> bool:
    """True with `::`, brackets or all eight groups: `12:30:45` is a time."""
    return (text[:1] == "[" or "::" in text or text.count(":") == 7) and _IPV6.fullmatch(text) is not None


def scp_host(text: str) -> str:
    """The host of `user@host:path`, as scp and git take it; empty for other texts."""
    found = _SCP.match(text)
    return found.group(1) if found else ""


def authority(text: str) -> str:
    """`user@host:port/path` without the user and the path."""
    return re.split(r"[/?#]", text, maxsplit=1)[0].rpartition("@")[2] or text


def short_path(text: str) -> str:
    """The text, or its normal form where it is longer than any path; empty when that is too long as well."""
    if len(text) <= MAX_PATH:
        return text
    normal = paths.normalize(text)
    return normal if len(normal) <= MAX_PATH else ""


def of_shape(text: str) -> Iterator[Pair]:
    """What a whole text names by its shape alone.  A `//name/…` is a host and a path."""
    text = text.strip(_EDGES)
    if ":" in text:
        yield from urls(text)
        head = text[:64]
        if compact(head) != head and _SCHEME.match(compact(head)) and not _SCHEME.match(head):
            yield from urls(compact(text))
        if _SPECIAL.match(text) and not _SCHEME.match(text):
            yield "url", text
        if paths.is_file_url(text) or _SCHEME.match(text):
            return
    if is_path(text) and short_path(text):
        yield "path", short_path(text)
        if text[:2] == "//" and text[2:3] not in ("", "/"):
            yield "host", authority(text[2:])
    elif is_host(text):
        yield "host", authority(text)
    elif scp_host(text):
        yield "host", scp_host(text)


def of_prose(text: str) -> Iterator[Pair]:
    """What a file's contents or a message names: something only when the whole of it is one path, URL or host."""
    text = text.strip(_EDGES)
    if len(text.split(None, 1)) == 1 and (_SCHEME.match(text) or paths.is_file_url(text) or _ROOTED.match(text)):
        yield from of_shape(text)


def of_words(text: str) -> Iterator[Pair]:
    """What any word of a longer text names: URLs, rooted paths, dotfiles, IPv4 addresses."""
    yield from urls(text)
    for word in dict.fromkeys(_WORD.findall(text)):
        if _MARKED.search(word) and is_path(word) and word.strip("/$~") and short_path(word) and (word[0] != "$" or "/" in word or "\\" in word):
            yield "path", short_path(word)
    yield from addresses(text)


def addresses(text: str) -> Iterator[Pair]:
    """The dotted IPv4 addresses in a text."""
    return (("host", match.group()) for match in _IPV4_WORD.finditer(text))


def of_path(text: str) -> Iterator[Pair]:
    """What an argument that is a path names: itself, and the rooted parts of a list such as `/a:/b` or `/a, /b`."""
    if ":" in text and (_SCHEME.match(text.lstrip(_EDGES)) or paths.is_file_url(text)):
        yield from of_shape(text)
        return
    yield "path", text
    parts = _SEPARATORS.split(text)
    if len(parts) > 1:
        yield from (("path", part) for part in dict.fromkeys(parts) if part != text and is_path(part) and len(part) > 1)
        yield from urls(text)


def of_url(text: str) -> Iterator[Pair]:
    """What an argument that is a URL names.  One whose host nobody can tell stays a URL and fails every domain list."""
    flat = compact(text)
    if paths.is_file_url(flat):
        yield "url", flat
        yield "path", flat
        return
    found = list(urls(flat if _SCHEME.match(flat) else text))
    if found:
        yield from found
    elif flat[:2] == "//":
        yield "url", flat
        yield "path", flat
    elif is_rooted(flat):
        yield "path", flat
    elif is_bare_host(flat) or scp_host(flat):
        yield "host", scp_host(flat) or authority(flat)
    else:
        yield "url", flat


def is_bare_host(text: str) -> bool:
    """True for `host`, `host:port` and `host/path` with a dot, a number or localhost in front."""
    if is_host(text):
        return True
    found = _HOST.fullmatch(text) if len(text) <= MAX_HOST else None
    return found is not None and "." in found.group(1)


def of_host(text: str) -> Iterator[Pair]:
    """What an argument that is a host names; a URL or a path stays one."""
    flat = compact(text)
    if _SCHEME.match(flat) or paths.is_file_url(flat):
        yield from of_url(flat)
        return
    for part in dict.fromkeys(re.split(r"[\s,;]+", flat.lstrip("/\\"))):
        if part:
            yield "host", authority(part)
    if is_rooted(flat):
        yield "path", flat


def is_plain(text: str) -> bool:
    """True for letters, digits, spaces, `-` and `_` only, and no `localhost`: neither its shape nor a word of it names anything."""
    return _PLAIN.fullmatch(text) is not None and "localhost" not in text.lower()


def has_several_words(text: str) -> bool:
    """True for a text that more than its whole could be read from."""
    return _SEVERAL.search(text) is not None
