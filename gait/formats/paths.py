"""Path texts in the one form in which they are compared.  Lexical only: no file is looked at."""

from __future__ import annotations

import re

# A Windows path to a server (`\\?\UNC\server`), a drive (`\\?\C:\`) or a device.
_DEVICE = r"(?i://[?.]/(UNC/|[A-Z]:(?=/|$))?)"
# `~`, `~user`, `$VAR`, `%VAR%`, a backtick; `C:x`, which starts in drive C's own current folder; `C:/x:stream`.
_UNKNOWN_PLACE = r"(?s)~|\$|%[^%/]+%|`|[A-Za-z]:(?:(?!/)|.*:)"
# Readers drop or look through what stands before: `URL:` and `<` (Python), `view-source:`, `git+`, `local_`.
_FILE_URL = r"(?i:<?(?:[a-z0-9.+:-]*[:+]|)(?:local[_-])?file:(//[^/?#]*)?)"
_LOCAL = ("", "localhost", "127.0.0.1", "[::1]")
_SPACE_OR_CONTROL = "".join(map(chr, range(33)))
# Format characters that HFS+ leaves out when it compares names.
_IGNORED = "[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]"


def normalize(path: str) -> str:
    """The path with `/` separators and without `//`, `.`, `..` or a trailing `/`.

    A relative path keeps a leading `..`; the empty path is `.`.  `file:` URLs (RFC 8089) give
    their path.  `\\\\server\\share` is `//server/share`, `\\\\?\\C:\\x` is `C:/x`.  No `..` leads out of a
    root, a share, or a place that somebody else expands (`~/../x` stays as it is).
    """
    if _is_normal(path):
        return path
    root, rest = _split_root(from_file_url(path))
    floor = 2 if root == "//" else 1 if not root and place_is_unknown(rest) else 0
    kept: list[str] = []
    for segment in rest.split("/"):
        if segment == ".." and len(kept) > floor and kept[-1] != "..":
            kept.pop()
        elif segment == ".." and root:
            continue
        elif segment and segment != ".":
            kept.append(segment)
    return root + "/".join(kept) or "."


def _is_normal(path: str) -> bool:
    """True for most paths at little cost: an absolute one in which nothing could need a change."""
    return path[:1] == "/" and path[-1] != "/" and "//" not in path and "/." not in path and "\\" not in path


def _split_root(path: str) -> tuple[str, str]:
    """The root (`/`, `C:/`, `//` of a server, `//./` of a device, or none) and the rest, with `/` separators.

    Two slashes name a server or a device only with a backslash among them; in POSIX, `//./etc` is `/etc`.
    """
    slashed = path.replace("\\", "/")
    if slashed[:2] == "//" and "\\" in path[:2]:
        device = re.match(_DEVICE, slashed)
        start, name = (device.end(), device[1] or "") if device else (2, "server")
        return (name + "/" if name[1:] == ":" else "//" if name else "//./"), slashed[start:]
    if slashed[:1] == "/":
        return "/", slashed
    return (slashed[:2] + "/", slashed[3:]) if _is_drive(slashed) and slashed[2:3] == "/" else ("", slashed)


def _is_drive(path: str) -> bool:
    """True for `C:` and `C:/…`; without a regular expression, which each process would have to compile."""
    return path[1:2] == ":" and path[2:3] in ("", "/") and path[0].isascii() and path[0].isalpha()


def is_file_url(text: str) -> bool:
    """True for `file:` URLs in any case, also wrapped ones that some readers unwrap (`URL:file:`, `git+file:`)."""
    return _file_url(text) is not None


def _file_url(text: str) -> re.Match[str] | None:
    """The match for scheme and host, without controls and spaces around, tabs and line breaks (WHATWG URL 4.4)."""
    if ":" not in text:
        return None
    return re.match(_FILE_URL, re.sub("[\t\n\r]", "", text.strip(_SPACE_OR_CONTROL).replace("\\", "/")))


def is_unclear_url(text: str) -> bool:
    """True for a `file:` URL that readers take apart differently: wrapped, relative, or with `?` or `#`."""
    return is_file_url(text) and re.match(r"(?i)file:[/\\][^?#]*\Z", text) is None


def from_file_url(text: str) -> str:
    """The percent-decoded path of a `file:` URL (RFC 8089); any other text as it is.

    A host other than localhost stays in front as `\\\\host`: the file is not on this machine.
    """
    match = _file_url(text)
    if match is None:
        return text
    host, rest = (match[1] or "")[2:], match.string[match.end() :]
    path = percent_decode(re.split("[?#>]" if match.string[0] == "<" else "[?#]", rest, maxsplit=1)[0])
    if re.fullmatch("[A-Za-z][:|]", host):  # WHATWG URL, file host state: `file://C:/x`
        host, path = "", f"/{host}{path}"
    if re.match("/[A-Za-z][:|](/|$)", path):
        path = f"{path[1]}:{path[3:]}"
    return path if host.lower() in _LOCAL else f"\\\\{host}{path}"


def percent_decode(text: str) -> str:
    """RFC 3986 section 2.1, decoded once; bytes that are not UTF-8 become U+FFFD."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def other_readings(path: str) -> list[str]:
    """Paths that some other reader may take this text for; a denial asks for all of them."""
    found = [percent_decode(path)] if "%" in path else []
    if path[:2] == "//":  # Windows reads a server or a device
        found.append("\\\\" + path[2:])
    if is_file_url(path):  # `?` and `#` may be part of the name, the host may be ignored, and `file:x` be `/x`
        found.append(path.replace("?", "%3f").replace("#", "%23"))
        found += [re.sub(r"(?i)(file:)([/\\]{2}[^/\\?#]*)?[/\\]?", r"\1///", text, count=1) for text in (path, found[-1])]
    return found


def is_absolute(path: str) -> bool:
    """True for `/…` and `C:/…` in normal form."""
    return path[:1] == "/" or path[2:3] == "/" and _is_drive(path)


def place_is_unknown(path: str) -> bool:
    """True when what comes first is expanded by somebody else (`~`, `$VAR`, `%VAR%`, `C:x`), or a `C:/x:stream`."""
    return (path[:1] in "~$%`" or path[1:2] == ":") and re.match(_UNKNOWN_PLACE, path) is not None


def join(workspace: str, path: str) -> str:
    """A relative path in normal form, placed below a workspace; normalised again."""
    return normalize(f"{workspace}/{path}")


def seen_from(root: str, path: str) -> str:
    """An absolute path as a relative one (`../x`), both in normal form."""
    here, there = root.rstrip("/").split("/"), path.split("/")
    same = 0
    while same < min(len(here), len(there)) and here[same] == there[same]:
        same += 1
    return "/".join([".."] * (len(here) - same) + there[same:]) or "."


def fold(path: str) -> str:
    """The form in which denials compare: without case, composed (NFC), and as the file systems of Windows and macOS
    read names (no trailing dots, streams or ignorable characters); a server's name is an ordinary first segment.
    """
    if _is_drive(path) or path[:2] == "//":
        first, *rest = path.split("/")
        path = "/".join([first, *(segment.partition(":")[0].rstrip(" .") or segment for segment in rest)])
        path = path[1:] if path[:2] == "//" else path
    if path.isascii():
        return path.lower()
    from unicodedata import normalize as compose

    return compose("NFC", compose("NFC", re.sub(_IGNORED, "", path)).casefold())
