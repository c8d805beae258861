"""Installs and removes the command line that makes a host ask Gait before each tool call."""

from __future__ import annotations

import os
import shlex
import sys

from .. import build
from ..errors import GaitError, InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..store import keys
from ..system.binding import is_loopback, read_address
from . import settings_files
from .options import OPTIONS, Options, absolute
from .process import check_ready

# A shell's own last word: Python may be missing, be killed, or die before Gait runs.  Codex and Gemini run the tool at a 2
# without a reason, so there is one; `false`, because an echo that fails must not stand for a success.
FAIL_CLOSED = " || { echo 'gait: no answer from the hook, so the call is refused' >&2; false; } || exit 2"
_NEXT = {
    "codex": "Codex skips a hook until a person has trusted it: start codex, open /hooks and trust this one; again after each change",
    "gastown": "run `gt hooks sync`, which writes the hook into every role's settings; then `gait doctor`",
    "gemini": "project hooks need a trusted folder, and every Gemini needs hooksConfig.enabled left as it is",
    "copilot": "commit .github/hooks/gait.json where the hook should hold for everybody who works in the repository",
}


class Done(NamedTuple):
    """What an installation or removal did.  `backup` is empty when none was made."""

    host: str
    path: str
    changed: bool
    command: str = ""
    backup: str = ""
    next_step: str = ""

    def to_value(self) -> dict[str, object]:
        """The document that the command prints."""
        return {"ok": True, **self._asdict()}


def install(options: Options, scope: str) -> Done:
    """Put one hook of Gait in the host's settings file; nothing changes when it is there already.

    GaitError: a call would be refused with these options, or the file cannot be edited safely; nothing was written.
    """
    host, path = options.host.name, settings_files.path_of(options.host.name, scope)
    command = command_line(options)
    _check(options)
    if not settings_files.is_ours(host, command):
        raise InvalidInput("a hook of this file would not be found again", where=build.root(), hint="rename it so that its name ends in .pyz", code="python_unknown")
    with settings_files.lock():
        text, value = settings_files.load(path)
        new = _edited(host, path, text, value, command)
        if new == text and os.path.lexists(path):
            return Done(host, path, False, command)
        backup = settings_files.save(host, path, text, new)
    return Done(host, path, True, command, backup, _NEXT.get(host, ""))


def uninstall(host: str, scope: str) -> Done:
    """Take Gait's hooks out of the host's settings file again."""
    path = settings_files.path_of(host, scope)
    with settings_files.lock():
        text, value = settings_files.load(path)
        new = settings_files.without_hooks(host, text, value)
        if new == text:
            return Done(host, path, False)
        settings_files.save(host, path, text, new)
    return Done(host, path, True, next_step="run `gt hooks sync`" if host == "gastown" else "")


def command_line(options: Options) -> str:
    """The line for the host's settings: absolute paths, and a refusal whatever happens to the process."""
    words = [*launcher(), "hook", options.host.name]
    for name in OPTIONS:
        text = getattr(options, name)
        if name == "home":
            text = text or keys.home()  # the host may run without this shell's variables
        if name == "policy":
            text = text or os.path.join(options.home or keys.home(), "policy.yaml")
        if text and text != Options._field_defaults.get(name):
            words += ["--" + name.replace("_", "-"), absolute(name, text)]
    return shlex.join(words) + FAIL_CLOSED


def launcher() -> list[str]:
    """This Python, isolated, with the launcher beside the package or the zip application; an installed package is run by its name."""
    named = os.path.join(os.path.dirname(sys.executable), "python3")
    python = named if os.path.exists(named) else sys.executable
    script = build.launcher(build.root())
    return [python, "-I", script] if script else [python, "-I", "-m", "gait"]


def _check(options: Options) -> None:
    """Refuse what would make every call fail."""
    if not sys.executable:
        raise InvalidInput("this Python does not know where it is", hint="run it by its path", code="python_unknown")
    if options.server:
        place = read_address(options.server)
        if place.host and not is_loopback(place.host):
            raise InvalidInput("must be unix:/path or a loopback host:port", where="--server", code="invalid_address")
    try:
        check_ready(options)
    except InvalidInput as error:
        if error.error_code == "file_not_found" and not options.policy:
            error.hint = f"make one: gait policy init baseline-highrisk --out {shlex.quote(error.where)}; or name one with --policy"
        raise


def _edited(host: str, path: str, text: str, value: object, command: str) -> str:
    try:
        new = settings_files.with_hook(host, text, value, command)
        strict_json.loads(new, path)
    except GaitError as error:
        error.where = path
        raise
    return new
