"""Host names and URL authorities in the one form in which they are compared.

The empty text means that the host cannot be determined; callers treat that as a denial.
"""

from __future__ import annotations

import re

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
# Schemes whose `//x` is not a host to connect to, or is so for some readers only.
_NO_HOST = frozenset("file javascript vbscript data blob about view-source jar filesystem".split())
_UNDETERMINED = r"[\x00-\x20\x7f-\x9f\\\s]"
# RFC 3986 section 3.2, without what readers take apart differently: a second `@`, other brackets, a port that is no number.
_AUTHORITY = r"(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?(\[[0-9A-Fa-f:.]+\]|[^\[\]@:]+)(?::[0-9]*)?"
_LABELS = r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*"
_NUMBER = r"0[xX][0-9a-fA-F]*|[0-9]+"
_MAX_NAME = 253
# Characters that IDNA 2003 and UTS 46 (section 7) map differently; the last are Cherokee.
_DEVIATIONS = "[\u00df\u03c2\u1e9e\u200c\u200d\u13a0-\u13fd\uab70-\uabbf]"


def of_url(url: str) -> str:
    """The lower-cased host name of a URL (RFC 3986 section 3.2.2), without port, user or brackets, as records show it.

    A network-path reference `//host/x` counts; a URL without an authority, or with white space,
    controls or a backslash in it, has no determined host.
    """
    return _without_port(_authority(url).rpartition("@")[2]).lower()


def _authority(url: str) -> str:
    """What stands between `//` and the next `/`, `?` or `#`."""
    scheme = re.match(_SCHEME, url)
    rest = url[scheme.end() :] if scheme else url
    if not rest.startswith("//") or re.search(_UNDETERMINED, url):
        return ""
    return re.split("[/?#]", rest[2:], maxsplit=1)[0]


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0] if authority.count(":") == 1 else authority


def agreed(url: str) -> str:
    """The canonical host that every reader of the URL connects to; empty where readers differ."""
    scheme, colon, _ = url.partition(":")
    if colon and scheme.lower() in _NO_HOST:
        return ""
    return _agreed(_authority(url), url.partition("//")[2])


def of_host(text: str) -> str:
    """The canonical host of `host`, `host:port`, `user@host`, `[v6]:port` or `v6`, with or without a path behind it."""
    if re.search(_UNDETERMINED, text):
        return ""
    authority = re.split("[/?#]", text, maxsplit=1)[0]
    if authority.count(":") > 1 and "[" not in authority:
        return canonical(authority)
    return "" if ":" in authority.rpartition("@")[0] else _agreed(authority, text)


def _agreed(authority: str, text: str) -> str:
    """The authority's host, where the text begins with it.  Old readers look for an `@` beyond `?` and `#` too."""
    match = re.fullmatch(_AUTHORITY, authority)
    if match is None or "@" in text.partition("/")[0][len(authority) :]:
        return ""
    return canonical(match[1])


def same_url(url: str) -> str:
    """The URL with its scheme, host and port in one spelling and without a user; as it is where readers differ."""
    host = agreed(url)
    if not host:
        return url
    scheme, _, rest = url.partition("//")
    authority = _authority(url)
    port = re.search(r":([0-9]+)$", authority)
    number = port[1].lstrip("0") if port else ""
    shown = "" if number in ("", _PORTS.get(scheme.lower())) else f":{number}"
    return f"{scheme.lower()}//{host}{shown}{rest[len(authority) :] or '/'}"


_PORTS = {"http:": "80", "https:": "443"}


def canonical(host: str) -> str:
    """One spelling of a host: lower case, no trailing dot, A-labels (RFC 5890), dotted IPv4, compressed IPv6.

    Numeric IPv4 spellings (`0x7f.1`, `2130706433`) and IPv4-mapped IPv6 give the dotted address.
    """
    if re.search(_UNDETERMINED, host) or "%" in host or "@" in host:
        return ""
    if not host.isascii():
        host = _ascii(host)
    host = host.lower()
    if ":" in host or host.startswith("["):
        return _ipv6(host)
    host = host[:-1] if host.endswith(".") else host
    if len(host) > _MAX_NAME or not re.fullmatch(_LABELS, host):
        return ""
    last = host.rpartition(".")[2]
    return _ipv4(host) if last[0].isdigit() and re.fullmatch(_NUMBER, last) else host


def _ascii(host: str) -> str:
    """The A-labels on which IDNA 2003 (RFC 3490, Unicode 3.2) and today's browsers (UTS 46) agree, or nothing."""
    if len(host) > _MAX_NAME or re.search(_DEVIATIONS, host):
        return ""
    from stringprep import in_table_a1
    from unicodedata import normalize as compose

    today = compose("NFKC", compose("NFKC", host).casefold())
    if any(map(in_table_a1, host)):
        return ""
    try:
        found = host.encode("idna")
        return found.decode("ascii") if today.encode("idna") == found else ""
    except UnicodeError:
        return ""


def _ipv4(host: str) -> str:
    """The WHATWG URL standard's IPv4 parser: one to four decimal, octal or hexadecimal numbers."""
    parts = host.split(".")
    if len(parts) > 4 or not all(re.fullmatch(_NUMBER, part) for part in parts) or len(host) > 60:
        return ""
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return ""
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
        return ""
    value = sum(number << (8 * (3 - place)) for place, number in enumerate(numbers)) + last
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text[0] == "0" else int(text)


def _ipv6(host: str) -> str:
    from ipaddress import IPv6Address

    try:
        address = IPv6Address(host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host)
    except ValueError:
        return ""
    return str(address.ipv4_mapped or address)
