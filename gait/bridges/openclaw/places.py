"""Where OpenClaw keeps its things, as its own programs find them, and where Gait's go."""

from __future__ import annotations

import os
import re
import shutil

from ... import build
from ...errors import InvalidInput, UnsafeOperation
from ...formats.documents import NamedTuple
from .package import MANIFEST, NAME


class Places(NamedTuple):
    """Absolute paths.  `plugin` is empty for a skill without its plugin; `cli` is empty where there is no openclaw."""

    root: str
    state: str
    config: str
    skill: str
    plugin: str
    workspace: str
    cli: str

    @property
    def extensions(self) -> str:
        """Where OpenClaw itself puts the plugin."""
        return os.path.join(self.state, "extensions", NAME)


def find(target: str | None, plugin: str | None, has_plugin: bool = True) -> Places:
    """The places for these options.  InvalidInput: there is no home folder, or an option is empty."""
    state = _state()
    config = _given("OPENCLAW_CONFIG_PATH") or os.path.join(state, "openclaw.json")
    skill = _option("--target-dir", target) or os.path.join(state, "skills", NAME)
    folder = _option("--plugin-dir", plugin) or os.path.join(state, "extensions", NAME)
    workspace = os.path.join(state, "workspace")
    return Places(build.root(), state, os.path.abspath(config), skill, folder if has_plugin else "", workspace, shutil.which("openclaw") or "")


def _state() -> str:
    given = _given("OPENCLAW_STATE_DIR")
    if given:
        return os.path.abspath(given)
    home = _given("OPENCLAW_HOME") or os.path.expanduser("~")
    if not os.path.isabs(home) or (os.environ.get("HOME") == "" and not os.environ.get("OPENCLAW_HOME")):
        raise InvalidInput("expected a home folder, got none", where="HOME", hint="set HOME or OPENCLAW_STATE_DIR", code="home_missing")
    profile = os.environ.get("OPENCLAW_PROFILE", "").strip()
    if profile and profile.lower() != "default":
        if not re.fullmatch("[A-Za-z0-9_-]+", profile):
            raise InvalidInput("expected letters, digits, _ and -", where="OPENCLAW_PROFILE", code="invalid_usage")
        return os.path.join(home, f".openclaw-{profile}")
    return os.path.join(home, ".openclaw")


def _given(name: str) -> str:
    value = os.environ.get(name, "").strip()
    return os.path.expanduser(value) if value else ""


def _option(name: str, value: str | None) -> str:
    if value is None:
        return ""
    if not value.strip() or "\0" in value:
        raise InvalidInput("must be a folder; got none", where=name, hint="name a folder", code="invalid_usage")
    return os.path.abspath(value)


def check_folder(path: str, marker: str) -> None:
    """UnsafeOperation unless a folder may be made, replaced or removed: nothing is there, it is empty, or it holds the marker of ours."""
    for protected in (os.path.expanduser("~"), os.sep, os.getcwd()):
        if os.path.realpath(path) == os.path.realpath(protected):
            raise _unsafe(path, "this folder is not the installer's to replace")
    if os.path.islink(path):
        raise _unsafe(path, "a symlink is not followed and not replaced")
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise _unsafe(path, "expected a folder, found something else")
    if os.listdir(path) and not is_ours(path, marker):
        raise _unsafe(path, f"this folder holds something else than {NAME}")


def is_ours(path: str, marker: str = MANIFEST) -> bool:
    """Whether a folder says that it is the skill, or the plugin."""
    try:
        with open(os.path.join(path, marker), encoding="utf-8") as file:
            return bool(re.search(r'"(name|id)"\s*:\s*"gait-gate"', file.read(65536)))
    except (OSError, UnicodeDecodeError):
        return False


def _unsafe(path: str, message: str) -> UnsafeOperation:
    return UnsafeOperation(message, where=path, hint="name another folder, or move this one away", code="target_refused")
