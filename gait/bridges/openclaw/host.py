"""OpenClaw itself: its command line, whichever flags it knows, and its openclaw.json, edited only where that is safe."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable

from ...errors import GaitError, UnsafeOperation
from ...formats import strict_json
from ...formats.documents import NamedTuple
from ...system import files
from .package import NAME
from .places import Places

_MAX_BYTES = 4 * 1024 * 1024
_SECONDS = 180.0
ENTRY = ("plugins", "entries", NAME)
# What may have to be made around the entries, innermost first.
_CONTAINERS = (("plugins", "load", "paths"), ("plugins", "load"), ("plugins", "entries"), ("plugins",))
_BY_HAND = f'add to it: plugins: {{ entries: {{ "{NAME}": {{ enabled: true }} }} }}, then run this again with --verify'

Insert = Callable[[str, "tuple[str | int, ...]", object], str]
Remove = Callable[[str, "tuple[str | int, ...]"], str]


class Edits(NamedTuple):
    """Edits of a JSON text that leave every other byte as it is."""

    insert: Insert
    replace: Insert
    remove: Remove


class Said(NamedTuple):
    """What the openclaw command answered."""

    code: int
    text: str


# --- the command line ----------------------------------------------------------------------------


def call(cli: str, *words: str) -> Said:
    """Run openclaw without a terminal; code 127 when it does not run or end."""
    environment = {**os.environ, "NO_COLOR": "1", "CI": "1"}
    try:
        done = subprocess.run([cli, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return Said(127, str(getattr(error, "strerror", None) or error))
    return Said(done.returncode, (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace"))


def with_known_flags(cli: str, words: tuple[str, ...], flags: tuple[str, ...]) -> Said:
    """Run a command with as many of these flags, from the front, as this version of openclaw knows."""
    for count in range(len(flags), -1, -1):
        said = call(cli, *words, *flags[:count])
        if said.code == 0 or not re.search(r"unknown option|unrecognized (option|argument)|unexpected argument", said.text, re.IGNORECASE):
            return said
    return said


def version(cli: str) -> tuple[int, ...]:
    """The version of openclaw, () when it does not say."""
    found = re.search(r"\b(20\d\d)\.(\d+)\.(\d+)\b", call(cli, "--version").text)
    return tuple(map(int, found.groups())) if found else ()


def last_line(said: Said) -> str:
    """What an error is about."""
    lines = [line.strip() for line in said.text.splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit code {said.code}")[:300]


def is_loaded(cli: str) -> tuple[bool, str]:
    """Whether the host itself says that it has loaded the plugin, and its words."""
    said = call(cli, "plugins", "inspect", NAME, "--runtime", "--json")
    if said.code and "unknown option" in said.text:
        said = call(cli, "plugins", "inspect", NAME, "--json")
    start = said.text.find("{")
    try:
        value = json.JSONDecoder().raw_decode(said.text[start:])[0] if start >= 0 else {}
    except ValueError:
        value = {}
    plugin = value.get("plugin", value) if isinstance(value, dict) else {}
    status = plugin.get("status") if isinstance(plugin, dict) else None
    return status == "loaded", f"status {status}" if status else last_line(said)


# --- openclaw.json -------------------------------------------------------------------------------


def read_config(path: str) -> tuple[str, dict[str, object]]:
    """The text and value of openclaw.json; empty text when there is none.  UnsafeOperation: it is not strict JSON, or a symlink."""
    if os.path.islink(path):
        raise UnsafeOperation("this file is a symlink and is left as it is", where=path, hint=_BY_HAND, code="config_left_alone")
    try:
        data = files.read_bounded(path, _MAX_BYTES, "OpenClaw's settings")
    except GaitError as error:
        if error.error_code != "file_not_found":
            raise
        return "", {}
    try:
        return data.decode("utf-8"), strict_json.loads_object(data, path)
    except (GaitError, UnicodeDecodeError):
        message = "this file has comments or is otherwise no strict JSON, and is left as it is"
        raise UnsafeOperation(message, where=path, hint=_BY_HAND, code="config_left_alone") from None


def at(value: object, *steps: str) -> object:
    """What these keys lead to, None when there is nothing."""
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def needs(value: dict[str, object], load_path: str) -> list[tuple[tuple[str | int, ...], object]]:
    """What openclaw.json lacks for the plugin to be loaded, as inserts."""
    found: list[tuple[tuple[str | int, ...], object]] = []
    if at(value, *ENTRY, "enabled") is not True:
        found.append(((*ENTRY, "enabled"), True))
    allowed = at(value, "plugins", "allow")
    if isinstance(allowed, list) and NAME not in allowed:
        found.append((("plugins", "allow", -1), NAME))
    paths = at(value, "plugins", "load", "paths")
    if load_path and load_path not in (paths if isinstance(paths, list) else []):
        found.append((("plugins", "load", "paths", -1), load_path))
    return found


def forbids(value: dict[str, object]) -> str:
    """What in openclaw.json keeps the plugin from being loaded although it is enabled; empty when nothing does."""
    denied = at(value, "plugins", "deny")
    if isinstance(denied, list) and NAME in denied:
        return f"plugins.deny holds {NAME}"
    return "plugins.enabled is false" if at(value, "plugins", "enabled") is False else ""


class Enabled(NamedTuple):
    """Whether openclaw.json had to be changed, and which parts were made in it (`file`: the file itself)."""

    is_changed: bool
    parts: list[str]


def enable(places: Places, edits: Edits) -> Enabled:
    """Enable the plugin in openclaw.json.  UnsafeOperation: that is not safe, or something else there forbids the plugin."""
    text, value = read_config(places.config)
    if forbids(value):
        hint = "change that and run this again"
        raise UnsafeOperation(f"{forbids(value)}: the plugin would not be loaded", where=places.config, hint=hint, code="config_forbids")
    wanted = needs(value, load_path(places))
    changed = text or "{}\n"
    for steps, item in wanted:
        there = at(value, *map(str, steps)) is not None
        changed = (edits.replace if there else edits.insert)(changed, steps, item)
    if wanted:
        strict_json.loads_object(changed, places.config)
        write_config(places.config, changed)
    made = [".".join(steps) for steps in _CONTAINERS if at(value, *steps) is None]
    return Enabled(bool(wanted), ([] if text else ["file"]) + made if wanted else [])


def load_path(places: Places) -> str:
    """What plugins.load.paths has to hold: the plugin's folder, where OpenClaw would not look for it by itself."""
    return "" if places.plugin == places.extensions else places.plugin


def write_config(path: str, text: str) -> None:
    """Put another text in place of openclaw.json, with the mode it had; 0600 for a new one."""
    mode = os.lstat(path).st_mode & 0o777 if os.path.lexists(path) else 0o600
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    files.write_atomic(path, text.encode("utf-8"), mode, sync=True)


def disable(places: Places, edits: Edits, made: list[str]) -> bool:
    """Take the plugin, and the parts that were made for it, out of openclaw.json; True when that changed it."""
    text, value = read_config(places.config)
    changed = text
    if at(value, *ENTRY) is not None:
        changed = edits.remove(changed, ENTRY)
    for steps, item in (("plugins", "allow"), NAME), (("plugins", "load", "paths"), places.plugin):
        items = at(value, *steps)
        if isinstance(items, list) and item in items:
            changed = edits.remove(changed, (*steps, items.index(item)))
    for container in _CONTAINERS:
        if ".".join(container) in made and at(_loaded(changed), *container) in ({}, []):
            changed = edits.remove(changed, container)
    if "file" in made and text and _loaded(changed) == {}:
        os.unlink(places.config)
    elif changed != text:
        write_config(places.config, changed)
    return changed != text


def _loaded(text: str) -> dict[str, object]:
    return strict_json.loads_object(text or "{}", "openclaw.json")
