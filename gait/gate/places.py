"""Where a target is, in the forms that policies are compared with.

The record keeps the value as it was given; only matching sees these forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ..errors import InvalidInput
from ..formats import globs, hosts, paths
from .intent import Target, infer_domain

Test = Callable[[str], bool]

# The characters of canonical names and IPv4 addresses, or of IPv6 addresses, and of globs; `*:22` would be a port.
_DOMAIN_GLOB = r"[a-z0-9_.*?!^\[\]-]+|(?!\*:[0-9]+$)[0-9a-f:*?!^\[\]-]+"


def is_path(target: Target) -> bool:
    """True for paths, `file:` URLs and URLs without a scheme, which some tools open as files."""
    if target.kind != "url":
        return target.kind == "path"
    return not re.match("[A-Za-z][A-Za-z0-9+.-]+:", target.value) or paths.is_file_url(target.value)


def path_forms(value: str, workspace: str) -> list[str]:
    """The normal forms of a path: as given, and seen from the workspace when that is absolute."""
    normal = paths.normalize(value)
    root = paths.normalize(workspace)
    if not paths.is_absolute(root):
        return [normal]
    if not paths.is_absolute(normal):
        return [normal] if paths.place_is_unknown(normal) else [normal, paths.join(root, normal)]
    below = root if root.endswith("/") else root + "/"
    return [normal, normal[len(below) :]] if normal.startswith(below) and normal != below else [normal]


def allowed_forms(value: str, forms: list[str]) -> list[str]:
    """Those of `path_forms` that may satisfy an allowlist: none when the place cannot be known."""
    if forms[0] is not value and paths.is_unclear_url(value):
        return []
    if forms[0][:1] == "/":
        return forms
    if paths.place_is_unknown(forms[0]) or paths.place_is_unknown(forms[-1]):
        return []
    return [form for form in forms if form != ".." and form[:3] != "../"]


def denied_forms(value: str, forms: list[str], workspace: str) -> list[str]:
    """The forms of which any satisfies a denylist: every reading of the text, with and without case folded."""
    readings = forms
    if forms[0] is value and "%" not in value and value.isascii() and (value + workspace).islower():
        return forms
    if forms[0] is not value or "%" in value:
        readings = [value, *forms]
        for reading in paths.other_readings(value):
            readings += path_forms(reading, workspace)
        if value[:1] != "/":  # in POSIX, `~`, `C:` and `file:` can be names of folders
            readings.append(paths.join(workspace, value))
    root = paths.normalize(workspace)
    below = paths.fold(root).rstrip("/") + "/" if paths.is_absolute(root) else ""
    found = dict.fromkeys(readings)
    for reading in readings:
        folded = paths.fold(reading)
        found[folded] = None
        if below and folded.startswith(below):
            found[folded[len(below) :]] = None
        if not reading.isascii():  # some file systems fold one character into several, some do not
            found[reading.lower()] = None
    return list(found)


def climbing_forms(forms: list[str], workspace: str) -> list[str]:
    """The absolute ones among `denied_forms` as the workspace sees them, for patterns such as `../**`."""
    root = paths.fold(paths.normalize(workspace))
    return [paths.seen_from(root, form) for form in forms if paths.is_absolute(form) and paths.is_absolute(root)]


def path_test(pattern: str) -> Test:
    """The test of an allowlist's path pattern, for normal forms.  InvalidInput: a malformed glob."""
    return _either([globs.compile_path(normal) for normal in _pattern_forms(pattern)])


def denied_path_test(pattern: str) -> Test:
    """The test of a denylist's path pattern, for `denied_forms`."""
    normal = _pattern_forms(pattern)
    return _either([globs.compile_path(form) for form in dict.fromkeys([*normal, *map(paths.fold, normal)])])


def _pattern_forms(pattern: str) -> list[str]:
    """`//x/**` in a pattern is `/x/**`, and Windows' server x too."""
    forms = [paths.normalize(pattern)]
    return [*forms, paths.normalize("\\\\" + pattern[2:])] if pattern[:2] == "//" else forms


def _either(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda text: any(test(text) for test in tests)


def domains(target: Target) -> list[str]:
    """The hosts that a target names, canonical: a host's or url's own, and a claimed one when that differs.

    The empty text stands for a host that cannot be determined.
    """
    found = [_host(target)] if target.kind in ("host", "url") else []
    if target.endpoint_domain and target.endpoint_domain != infer_domain(target.kind, target.value):
        found.append(hosts.of_host(target.endpoint_domain))
    return found


def _host(target: Target) -> str:
    is_url = target.kind == "url" or "://" in target.value
    return hosts.agreed(target.value) if is_url else hosts.of_host(target.value)


def domain_test(pattern: str) -> Test:
    """The test of an allowlist's domain pattern, for canonical hosts: `denied_domain_test`, and `10.*` is addresses only.

    InvalidInput: a pattern that could never match a host.
    """
    accepts = denied_domain_test(pattern)
    if pattern.strip("0123456789.*?[]-") or not any(char.isdigit() for char in pattern):
        return accepts
    return lambda host: accepts(host) and not host.strip("0123456789.")  # not 10.evil.example


def denied_domain_test(pattern: str) -> Test:
    """The test of a denylist's domain pattern: exact, `*.x` for any depth below x, or a glob."""
    if pattern[:2] == "*." and not _is_glob(pattern[2:]) and not pattern.rpartition(".")[2].isdigit():
        suffix = "." + _canonical_pattern(pattern[2:])
        _canonical_pattern("x" + suffix)  # nothing is below an address
        return lambda name: name.endswith(suffix)
    if hosts.canonical(pattern) or not _is_glob(pattern) or not re.fullmatch(_DOMAIN_GLOB, pattern):
        return _canonical_pattern(pattern).__eq__
    return globs.compile_text(pattern[:-1] if pattern.endswith(".") else pattern)


def _is_glob(pattern: str) -> bool:
    return any(char in pattern for char in "*?[")


def _canonical_pattern(pattern: str) -> str:
    host = hosts.canonical(pattern)
    if not host:
        raise InvalidInput(
            f"must be a host name, an address or a pattern such as *.example.com; got {pattern[:80]!r}",
            hint="leave out scheme, port and path",
        )
    return host


def target_forms(target: Target, workspace: str) -> list[str]:
    """The texts of which any may stand in target_values or destination_values."""
    if is_path(target):
        return [target.value, *path_forms(target.value, workspace)]
    if target.kind == "host":
        return [target.value, _host(target)]
    return [target.value, hosts.same_url(target.value)] if target.kind == "url" else [target.value]


def wanted_forms(value: str) -> list[str]:
    """The texts that a value of target_values or destination_values stands for."""
    return [form for form in (value, paths.normalize(value), hosts.canonical(value), hosts.same_url(value)) if form]


def is_named(target: Target, values: tuple[str, ...], workspace: str) -> bool:
    """True when a list of target values names the target in any of its forms."""
    forms = target_forms(target, workspace)
    return any(form in forms for value in values for form in wanted_forms(value))
