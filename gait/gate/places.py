"""Where a target is, in the forms that policies are compared with.

The record keeps the value as it was given; only matching sees these forms.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidInput
from ..formats import globs, hosts, paths
from .intent import Target, infer_domain

Test = Callable[[str], bool]

_GLOB = "*?["


def is_path(target: Target) -> bool:
    """True for paths and `file:` URLs."""
    return target.kind == "path" or (target.kind == "url" and paths.is_file_url(target.value))


def path_forms(value: str, workspace: str) -> list[str]:
    """The normal forms of a path: as given, and seen from the workspace when that is absolute."""
    normal = paths.normalize(value)
    root = paths.normalize(workspace)
    if not paths.is_absolute(root):
        return [normal]
    if not paths.is_absolute(normal):
        return [normal, paths.join(root, normal)]
    below = root if root.endswith("/") else root + "/"
    return [normal, normal[len(below) :]] if normal.startswith(below) and normal != below else [normal]


def allowed_forms(forms: list[str]) -> list[str]:
    """Those of `path_forms` that may satisfy an allowlist: none when the place cannot be known."""
    if paths.place_is_unknown(forms[0]):
        return []
    return [form for form in forms if form != ".." and form[:3] != "../"]


def denied_forms(value: str, forms: list[str], workspace: str) -> list[str]:
    """The forms of which any satisfies a denylist: also the text as given and percent-decoded, case folded."""
    found = [*forms] if forms[0] == value else [value, *forms]
    if "%" in value:
        found += path_forms(paths.percent_decode(value), workspace)
    return [paths.fold(form) for form in found]


def path_test(pattern: str) -> Test:
    """The test of an allowlist's path pattern, for normal forms.  InvalidInput: a malformed glob."""
    return globs.compile_path(paths.normalize(pattern))


def folded_path_test(pattern: str) -> Test:
    """The test of a denylist's path pattern, for folded forms."""
    return globs.compile_path(paths.fold(paths.normalize(pattern)))


def domains(target: Target) -> list[str]:
    """The hosts that a host or url target names, canonical: its value's, and the claimed one when that differs.

    The empty text stands for a host that cannot be determined.
    """
    found = [hosts.canonical(_host(target))]
    if target.endpoint_domain and target.endpoint_domain != infer_domain(target.kind, target.value):
        found.append(hosts.canonical(hosts.without_port(target.endpoint_domain)))
    return found


def _host(target: Target) -> str:
    value = target.value
    if target.kind == "url" or "://" in value:
        return hosts.of_url(value)
    for end in "/?#":
        value = value.partition(end)[0]
    return hosts.without_port(value.rpartition("@")[2])


def domain_test(pattern: str) -> Test:
    """The test of a domain pattern, for canonical hosts: exact, `*.x` for any depth below x, or a glob.

    InvalidInput: a pattern that could never match a host.
    """
    if pattern.startswith("*.") and not any(char in pattern[2:] for char in _GLOB):
        suffix = "." + _canonical_pattern(pattern[2:])
        return lambda host: host.endswith(suffix)
    if not any(char in pattern for char in _GLOB):
        return _canonical_pattern(pattern).__eq__
    accepts = globs.compile_text(pattern[:-1] if pattern.endswith(".") else pattern)
    if pattern.strip("0123456789.*?[]-"):
        return accepts
    return lambda host: accepts(host) and not host.strip("0123456789.")  # 10.* is addresses, not 10.evil.example


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
    if target.kind == "path":
        return [target.value, *path_forms(target.value, workspace)]
    if target.kind == "host":
        return [target.value, hosts.canonical(_host(target))]
    return [target.value]


def wanted_forms(value: str) -> list[str]:
    """The texts that a value of target_values or destination_values stands for."""
    return [form for form in (value, paths.normalize(value), hosts.canonical(value)) if form]
