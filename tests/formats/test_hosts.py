"""Hosts: one form for each, and none where readers differ.  `node` marks what Node's WHATWG parser gave."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
from time import perf_counter

import pytest

from gait.formats import hosts

ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "3000"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "5891"))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Api.Example.com/x", "api.example.com"),
        ("https://user:pw@files.example.org:8443/a", "files.example.org"),
        ("https://[2001:DB8::1]:444/x", "2001:db8::1"),
        ("//Host/x", "host"),
        ("ftp://h", "h"),
        ("https://h?x#y", "h"),
        ("https://a@b@c/", "c"),
        ("http:h", ""),
        ("h/x", ""),
        ("", ""),
        ("https:///x", ""),
        ("https://a b/", ""),
        ("https://a\\b/", ""),
        ("https://a/\u2003", ""),
        ("https://::1/", "::1"),
    ],
)
def test_of_url_is_what_records_show(url: str, host: str):
    assert hosts.of_url(url) == host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Api.Example.com./x", "api.example.com"),
        ("https://u:p@h.example:1/", "h.example"),
        ("https://h.example:/", "h.example"),
        ("https://[::1]:80/", "::1"),
        ("https://h/@x", "h"),
        ("https://h/?a@b#c@d", "h"),
        ("//h", "h"),
        ("ssh://git@h/x", "h"),
        ("https://h?x@y", ""),
        ("https://h#x@y", ""),
        ("https://a@b@c/", ""),
        ("https://[h]x/", ""),
        ("https://[::1]x/", ""),
        ("https://[::1", ""),
        ("https://]h/", ""),
        ("https://h:x/", ""),
        ("https://h:1:2/", ""),
        ("https://::1/", ""),
        ("https://\uff20h/", ""),
        ("https://ü@h/", ""),
        ("https://<h>/", ""),
        ("https://@/", ""),
        ("https://:80/", ""),
        ("file://h/x", ""),
        ("FILE://h/x", ""),
        ("JavaScript://h/%0aalert(1)", ""),
        ("data://h/x", ""),
        ("view-source://h", ""),
        ("https://%68/", ""),
    ],
)
def test_agreed(url: str, host: str):
    assert hosts.agreed(url) == host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("H.Example", "h.example"),
        ("h:80", "h"),
        ("git@h", "h"),
        ("[::1]:80", "::1"),
        ("::1", "::1"),
        ("fe80::1:80", "fe80::1:80"),
        ("h/x", "h"),
        ("h/@x", "h"),
        ("h?@x", ""),
        ("h#@x", ""),
        ("u:p@h", ""),
        ("h:80@x", ""),
        ("a@b@c", ""),
        ("a\\@h", ""),
        ("a @h", ""),
        ("[::1", ""),
        ("", ""),
        ("/h", ""),
    ],
)
def test_of_host(text: str, host: str):
    assert hosts.of_host(text) == host


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("a_b-c.example", "a_b-c.example"),
        ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("ｅxample。com", "example.com"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("İ.example", "xn--i-9bb.example"),
        ("\u212aelvin.example", "kelvin.example"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x.0x.0", "0.0.0.0"),
        ("0", "0.0.0.0"),
        ("00000000000000000000000000000000000000001.1", "1.0.0.1"),
        ("4294967295", "255.255.255.255"),
        ("1.2.3.4.", "1.2.3.4"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::ffff:102:304", "1.2.3.4"),
        ("::1.2.3.4", str(ipaddress.ip_address("::1.2.3.4"))),
    ],
)
def test_canonical(given: str, host: str):
    assert hosts.canonical(given) == host
    assert hosts.canonical(host) == host


@pytest.mark.parametrize(
    "given",
    ["", ".", "..", "a..b", ".a", "a..", "a b", "a\tb", "a\u00a0b", "a\\b", "a/b", "a:b", "a@b", "a%41", "fe80::1%eth0", "[::1", "::1]", "[a]", "[]", ":", ":::", "1.2.3.4.5", "256.1.1.1", "1.16777216",
     "1.2.3.256", "08.8.8.8", "4294967296", "0x100000000", "a.1", "1.a.2", "a.0x1", "straße.de", "οδος.gr", "ẞ.de", "a\u200db", "a\u200cb", "ꮓ.com", "🄴vil.com", "a" * 64, "a." * 130 + "a",
     "ü" * 64, "ü" * 300, "\u0378.com", "xn--\u00fc.com", "０x7f.1" + "0" * 60, "é" + "." * 3, "a!b", "*", "a,b", "℀.com", "a／b"],
)
def test_what_is_no_host(given: str):
    assert hosts.canonical(given) == ""


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://Evil.example/Hook?a=B", "https://evil.example/Hook?a=B"),
        ("HTTPS://u:p@evil.example.:443", "https://evil.example/"),
        ("http://0x7f.1:0080/x", "http://127.0.0.1/x"),
        ("http://[::1]:8080/x", "http://::1:8080/x"),
        ("https://h:80/x", "https://h:80/x"),
        ("ftp://h:21/x", "ftp://h:21/x"),
        ("//H/x", "//h/x"),
        ("https://h?x", "https://h?x"),
        ("http:h", "http:h"),
        ("/etc/passwd", "/etc/passwd"),
        ("", ""),
    ],
)
def test_same_url(url: str, same: str):
    assert hosts.same_url(url) == same


def test_ipv4_equals_inet_aton():
    """Where both read an address, it is the same one; inet_aton is what connects."""
    source = random.Random(SEED)
    forms = ("{}", "0x{:x}", "0{:o}")
    agreed = 0
    for _ in range(ROUNDS):
        count = source.randrange(1, 5)
        parts = [source.choice(forms).format(source.choice((source.randrange(256), source.randrange(2**32)))) for _ in range(count)]
        text = ".".join(parts)
        found = hosts.canonical(text)
        try:
            expected = socket.inet_ntoa(socket.inet_aton(text))
        except OSError:
            expected = ""
        assert found in ("", expected) or not expected, (SEED, text, found, expected)
        agreed += found == expected != ""
    assert agreed > ROUNDS / 10


def test_ipv6_has_one_spelling():
    source = random.Random(SEED)
    for _ in range(ROUNDS // 3):
        address = ipaddress.IPv6Address(source.choice((source.randrange(2**128), source.randrange(2**16), 0xFFFF << 32 | source.randrange(2**32))))
        spellings = {str(address), address.exploded, address.exploded.upper(), f"[{address}]"}
        assert len({hosts.canonical(text) for text in spellings}) == 1 and hosts.canonical(str(address)), (SEED, address)


def test_canonical_is_stable_and_total():
    source = random.Random(SEED)
    for _ in range(ROUNDS):
        text = "".join(source.choice("aA0x1.:[]@%-_ üß。é\u200b\u0301") for _ in range(source.randrange(12)))
        found = hosts.canonical(text)
        assert hosts.canonical(found) == found and found.isascii(), (SEED, text)
        assert hosts.agreed(f"https://{text}/").isascii() and hosts.of_host(text).isascii(), (SEED, text)


@pytest.mark.parametrize("text", ["a" * 10**6, "ü" * 10**5, "1" * 10**6, "0x" + "f" * 10**6, "1." * 10**5, ":" * 10**6, "[" * 10**6, "@" * 10**6, "a:" * 10**5, "%" * 10**6, "a." * 10**5 + "!", "!" * 10**6])
def test_hostile_texts_cost_little(text: str):
    started = perf_counter()
    assert hosts.canonical(text) == "" and hosts.of_host(text) == "" and hosts.agreed(f"http://{text}/") == ""
    hosts.same_url(f"http://{text}/"), hosts.of_url(f"http://{text}/")
    assert perf_counter() - started < 1
