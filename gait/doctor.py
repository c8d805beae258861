"""Self-checks of an installation: each says what is wrong and the command that mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from . import build
from .formats.documents import NamedTuple
from .errors import GaitError
from .store import keys, usage
from .system import clock, files

OLDEST_PYTHON = (3, 9)
_RELEASED_AT = 1_767_225_600  # 2026-01-01; a clock before that would date every trace wrongly
_SHADOWED = ("json", "hashlib", "hmac", "argparse", "re", "os")


class Check(NamedTuple):
    """One check: status is ok, warn or fail; `fix` is a command or a step, empty when ok."""

    name: str
    status: str
    detail: str
    fix: str = ""

    def to_value(self) -> dict[str, object]:
        """The check's document."""
        return self._asdict()


def check_installation(
    read_policy: Callable[[], str] | None = None, check_hooks: Callable[[], Iterable[tuple[str, str, str, str]]] = tuple
) -> list[Check]:
    """Every check, in a fixed order.  `read_policy` returns a policy's digest, or raises what is wrong with it.

    `check_hooks` returns the name, status, detail and fix of each hook that is installed in a host.
    """
    checks = [_python(), _import_path(), _home(), _dev_key(), _clock()]
    if read_policy:
        checks.append(_policy(read_policy))
    checks += [_usage_log(*found) for found in usage.problems()]
    return checks + [Check(*finding) for finding in check_hooks()]


def _usage_log(variable: str, path: str, problem: str) -> Check:
    if problem:
        return Check("usage_log", "warn", f"{variable}={path}: {problem}; nothing is written there", f"unset {variable}, or name a file of your own")
    return Check("usage_log", "ok", f"{variable}: {path}")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        return Check("python", "ok", version)
    return Check("python", "fail", f"{version} is older than 3.9", "run Gait with python3.9 or later")


def _import_path() -> Check:
    """Whether a json.py in the working directory could have been imported in the standard library's place."""
    library = os.path.join(os.path.dirname(os.path.realpath(os.__file__)), "")
    for name in _SHADOWED:
        origin = os.path.realpath(getattr(sys.modules.get(name), "__file__", None) or os.__file__)
        if not origin.startswith(library):
            return Check("import_path", "fail", f"{name} was imported from {origin}", f"remove {origin}")
    if sys.flags.isolated:
        return Check("import_path", "ok", "isolated (-I)")
    detail = "not isolated: a file in the working directory or PYTHONPATH may shadow a module"
    return Check("import_path", "warn", detail, f"call python3 -I {build.launcher(build.root()) or '-m gait'}")


def _home() -> Check:
    try:
        home = keys.home()
        files.private_directory(home)
        probe = os.path.join(home, f".doctor-{os.urandom(8).hex()}")
        files.write_exclusive(probe, b"probe\n")
        os.unlink(probe)
    except (GaitError, OSError) as error:
        return Check("home", "fail", str(error), getattr(error, "hint", "") or "set GAIT_HOME to a private folder")
    return Check("home", "ok", f"{home} is private and writable")


def _dev_key() -> Check:
    try:
        path = keys.dev_path()
        if not os.path.lexists(path):
            return Check("dev_key", "ok", "none yet: the first decision makes it")
        found = keys.check(path, "trace")
    except GaitError as error:
        return Check("dev_key", "fail", str(error), error.hint)
    if found:
        return Check("dev_key", "fail", found[0].message, found[0].fix)
    return Check("dev_key", "ok", f"{path} is private and readable")


def _clock() -> Check:
    try:
        now = clock.now_text()
        seconds = clock.now()
    except GaitError as error:
        return Check("clock", "fail", str(error), error.hint)
    if "SOURCE_DATE_EPOCH" in os.environ:
        return Check("clock", "warn", f"fixed at {now} by SOURCE_DATE_EPOCH", "unset SOURCE_DATE_EPOCH")
    if seconds < _RELEASED_AT:
        return Check("clock", "fail", f"{now} is before this version was made", "set the clock: sudo date -u -s …")
    return Check("clock", "ok", now)


def _policy(read_policy: Callable[[], str]) -> Check:
    try:
        return Check("policy", "ok", f"valid, digest {read_policy()}")
    except GaitError as error:
        return Check("policy", "fail", str(error), error.hint or "gait policy validate FILE")
