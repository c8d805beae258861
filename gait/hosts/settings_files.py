"""The hosts' own settings files: where they are, which hooks of Gait are in them, and edits that keep everything else.

Invariant: a file is replaced whole or not at all, and only by a text that differs from the old one in Gait's own hooks.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping

from ..errors import GaitError, InvalidInput, StorageError, UnsafeOperation
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..store import keys
from ..system import files
from . import json_text

BACKUP = ".before-gait"
_MAX_BYTES = 4 * 1024 * 1024
_EVERY = ("", "*", ".*")  # matchers that fire for every tool


class Shape(NamedTuple):
    """How a host writes hooks down.  `event` leads to their list; `timeout` is the member for its limit, in units of a second."""

    user: str
    project: str
    event: tuple[str, ...]
    command: str = "command"
    timeout: str = "timeout"
    units: int = 1
    is_flat: bool = False  # the list holds hooks themselves, not entries with a matcher


# Where a variable is set, it stands in for the folder before the "/".
SHAPES: Mapping[str, Shape] = {
    "claude-code": Shape("CLAUDE_CONFIG_DIR=~/.claude/settings.json", ".claude/settings.json", ("hooks", "PreToolUse")),
    "codex": Shape("CODEX_HOME=~/.codex/hooks.json", ".codex/hooks.json", ("hooks", "PreToolUse")),
    "gemini": Shape("=~/.gemini/settings.json", ".gemini/settings.json", ("hooks", "BeforeTool"), units=1000),
    "copilot": Shape(
        *("COPILOT_HOME=~/.copilot/hooks/gait.json", ".github/hooks/gait.json", ("hooks", "preToolUse")),
        **{"command": "bash", "timeout": "timeoutSec", "is_flat": True},  # type: ignore[arg-type]
    ),
    # `gt hooks sync` keeps nothing of a hook but its type and command.
    "gastown": Shape("GT_HOME=~/.gt/hooks-base.json", "", ("PreToolUse",), timeout=""),
}
TIMEOUT_SECONDS = 60  # well above the hook's own deadline: most hosts run the tool when theirs passes


class Hook(NamedTuple):
    """One hook of Gait in a file: the steps that lead to it, the matcher of its entry, and itself."""

    steps: tuple[str | int, ...]
    matcher: object
    value: dict[str, object]

    @property
    def fires_always(self) -> bool:
        """True when its matcher takes every tool."""
        return self.matcher is None or self.matcher in _EVERY


def path_of(host: str, scope: str) -> str:
    """The absolute path of a host's settings file.  InvalidInput: the host has none of this scope."""
    shape = SHAPES[host]
    if scope == "project":
        if not shape.project:
            raise InvalidInput(f"{host} has no settings of a project", where="--scope", hint="leave it out", code="invalid_usage")
        return os.path.abspath(shape.project)
    variable, _, path = shape.user.partition("=")
    given = os.environ.get(variable) if variable else None
    if given:
        folder, _, name = path[2:].partition("/")
        path = os.path.join(given, folder, name) if host == "gastown" else os.path.join(given, name)
    path = os.path.expanduser(path)
    if not os.path.isabs(path) or os.environ.get("HOME") == "":
        raise InvalidInput("expected a home folder, got none", where="HOME", hint="set HOME", code="home_missing")
    return path


def load(path: str) -> tuple[str, object]:
    """A settings file's text and value; without one, an empty object.

    UnsafeOperation `settings_not_json`: it is no strict JSON (comments, trailing commas, keys given twice), and is left alone.
    """
    try:
        data = files.read_bounded(path, _MAX_BYTES, "a settings file")
    except InvalidInput as error:
        if error.error_code != "file_not_found":
            raise
        data = b""
    if not data.strip():
        return "{}\n", {}
    try:
        return data.decode("utf-8"), strict_json.loads(data, path)
    except (GaitError, UnicodeDecodeError) as error:
        message = f"this file is left as it is, since it is not strict JSON: {error}"
        hint = "add the hook by hand (docs/hooks.md shows where), or remove the comments and run this again"
        raise UnsafeOperation(message, where=path, hint=hint, code="settings_not_json") from None


def hooks_in(host: str, value: object) -> Iterator[Hook]:
    """The hooks of Gait for a host in a settings file's value.  What has another shape holds none."""
    shape = SHAPES[host]
    for step in shape.event:
        value = value.get(step) if type(value) is dict else None
    for index, entry in enumerate(value if type(value) is list else ()):
        if type(entry) is not dict:
            continue
        if shape.is_flat:
            if is_ours(host, entry.get(shape.command)):
                yield Hook((*shape.event, index), entry.get("matcher"), entry)
            continue
        inner = entry.get("hooks")
        for place, hook in enumerate(inner if type(inner) is list else ()):
            if type(hook) is dict and is_ours(host, hook.get(shape.command)):
                yield Hook((*shape.event, index, "hooks", place), entry.get("matcher"), hook)


def is_ours(host: str, command: object) -> bool:
    """True for a command line that runs `gait hook HOST`."""
    words = words_of(command)
    return any(_is_gait(words[at - 1]) and words[at + 1] == host for at in _places(words))


def _is_gait(word: str) -> bool:
    """A launcher, the installed command or module, or a zip application of whatever name."""
    name = word.rpartition("/")[2]
    return name in ("gait", "gait.py") or name.endswith(".pyz")


def words_of(command: object) -> list[str]:
    """The words of a command line up to its first `||`; none when it cannot be taken apart."""
    try:
        words = shlex.split(command) if type(command) is str else []
    except ValueError:
        return []
    return words[: words.index("||")] if "||" in words else words


def _places(words: list[str]) -> Iterator[int]:
    return (at for at in range(1, len(words) - 1) if words[at] == "hook")


def with_hook(host: str, text: str, value: object, command: str) -> str:
    """The text with exactly one hook of Gait, with this command, in an entry that fires for every tool."""
    new = hook_value(host, command)
    found = list(hooks_in(host, value))
    if len(found) == 1 and found[0].fires_always:
        return text if found[0].value == new else json_text.replace(text, found[0].steps, new)
    text = without_hooks(host, text, value)
    if host == "copilot" and type(value) is dict and "version" not in value:
        text = json_text.insert(text, ("version",), 1)
    return json_text.insert(text, *_place(host, strict_json.loads(text, "settings"), new))


def hook_value(host: str, command: str) -> dict[str, object]:
    """The hook as the host writes it down."""
    shape = SHAPES[host]
    value: dict[str, object] = {"name": "gait"} if host == "gemini" else {}
    value.update({"type": "command", shape.command: command})
    if shape.timeout:
        value[shape.timeout] = TIMEOUT_SECONDS * shape.units
    return value


def _place(host: str, value: object, new: dict[str, object]) -> tuple[tuple[str | int, ...], object]:
    """Where the hook goes, and what goes there: a list of hooks, or the entry that every tool fires, made when it is not there."""
    shape = SHAPES[host]
    if shape.is_flat:
        return (*shape.event, -1), new
    for step in shape.event:
        value = value.get(step) if type(value) is dict else None
    for index, entry in enumerate(value if type(value) is list else ()):
        if type(entry) is dict and entry.get("matcher") == "" and type(entry.get("hooks")) is list:
            return (*shape.event, index, "hooks", -1), new
    return (*shape.event, -1), {"matcher": "", "hooks": [new]}


def without_hooks(host: str, text: str, value: object) -> str:
    """The text without Gait's hooks, and without what is empty once they are gone."""
    event = SHAPES[host].event
    for found in reversed(list(hooks_in(host, value))):
        text = json_text.remove(text, found.steps)
        entry = found.steps[: len(event) + 1]
        emptied = [] if len(entry) == len(found.steps) else [entry]
        for steps in [*emptied, *(event[:count] for count in range(len(event), 0, -1))]:
            if not _is_bare(_at(strict_json.loads(text, "settings"), steps)):
                break
            text = json_text.remove(text, steps)
    return text


def _is_bare(value: object) -> bool:
    """True for an empty list or object, and for an entry that holds no hook and nothing but a matcher."""
    return value in ([], {}) or (type(value) is dict and value.get("hooks") == [] and set(value) <= {"matcher", "hooks"})


def _at(value: object, steps: tuple[str | int, ...]) -> object:
    for step in steps:
        value = value[step]  # type: ignore[index]
    return value


def save(host: str, path: str, old: str, new: str) -> str:
    """Put a text in a settings file's place, behind a link too, with its mode; the backup's path, empty when none was made.

    A file without a hook of Gait is copied to FILE.before-gait first; the copy goes when the file is again what it was, and a file
    that was not there before goes with the last hook.  UnsafeOperation: the texts differ in more than Gait's hooks.
    """
    if _rest(host, old) != _rest(host, new):
        raise UnsafeOperation("the edit would change more than Gait's own hook; nothing was written", where=path, code="edit_refused")
    path = os.path.realpath(path)
    try:
        return _save(host, path, old, new)
    except OSError as error:
        raise StorageError(f"cannot change the file: {error.strerror}", where=error.filename or path) from error


def _save(host: str, path: str, old: str, new: str) -> str:
    backup, is_there = path + BACKUP, os.path.lexists(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = os.stat(path).st_mode & 0o777 if is_there else 0o600
    is_last = not list(hooks_in(host, strict_json.loads(new, "settings")))
    if is_last and not os.path.lexists(backup) and _rest(host, new) == {}:
        os.unlink(path)
        return ""
    is_first = is_there and not list(hooks_in(host, strict_json.loads(old, "settings")))
    if is_first:
        files.write_atomic(backup, files.read_bounded(path, _MAX_BYTES), mode)
    files.write_atomic(path, new.encode("utf-8"), mode, sync=True)
    if is_last and os.path.lexists(backup) and files.read_bounded(backup, _MAX_BYTES) == new.encode("utf-8"):
        os.unlink(backup)
    return backup if is_first else ""


def _rest(host: str, text: str) -> object:
    """Everything but Gait's hooks, and what only holds them."""
    value = strict_json.loads(text, "settings")
    for steps in [found.steps for found in hooks_in(host, value)][::-1]:
        del _at(value, steps[:-1])[steps[-1]]  # type: ignore[attr-defined]
    event = SHAPES[host].event
    for count in range(len(event), 0, -1):
        outer = value
        for step in event[: count - 1]:
            outer = outer.get(step) if type(outer) is dict else None
        inner = outer.get(event[count - 1]) if type(outer) is dict else None
        if type(inner) is list:
            inner[:] = [entry for entry in inner if not _is_bare(entry)]
        if inner in ([], {}) and type(outer) is dict:
            del outer[event[count - 1]]
    if host == "copilot" and type(value) is dict:
        value.pop("version", None)
    return value


def lock() -> files.Lock:
    """Held while a settings file is changed, so that two installers do not overwrite each other."""
    folder = keys.home()
    files.private_directory(folder)
    return files.lock(os.path.join(folder, "hooks.lock"))
