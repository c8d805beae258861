"""`gait config`: a project's defaults for one-shot commands, and whether they are believed."""

from __future__ import annotations

import argparse
import os

from ..formats.documents import TYPE_CHECKING
from . import shared
from .decide import decision_options

if TYPE_CHECKING:
    from ..store.config import Config

_EXAMPLE = "gait config show --identity agent-7"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    show = shared.verb(verbs, "show", "show each value with its source: a flag, .gait/config.yaml or the default", _EXAMPLE)
    show.add_argument("--policy", metavar="FILE", help="the policy, YAML or JSON")
    shared.adapter_options(show)
    decision_options(show)
    show.later = None  # type: ignore[attr-defined]
    show.set_defaults(usual={action.dest: action.default for action in show._actions})
    for action in show._actions:
        action.default = argparse.SUPPRESS  # so that only what was given is in the arguments
    show.set_defaults(json=False)
    trust = shared.verb(verbs, "trust", "believe this folder's .gait/config.yaml as it is now", "cd project && gait config trust")
    trust.add_argument("--remove", action="store_true", help="believe this folder's no longer")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    return _show(args) if args.verb == "show" else _trust(args)


def _show(args: argparse.Namespace) -> int:
    from ..store import config

    found, warning = config.load(os.getcwd())
    values = {name: _value(args, found, name) for name in config.NAMES}
    value: dict[str, object] = {"ok": True, "values": values, "warnings": [warning] if warning else []}
    lines = shared.rows([(name, f"{_text(shown['value'])}  ({shown['source']})") for name, shown in values.items()])
    shared.emit(args, value, lines + shared.rows([("warning", warning)]))
    return 0


def _value(args: argparse.Namespace, found: Config | None, name: str) -> dict[str, object]:
    """The value of an option, and where it comes from."""
    if hasattr(args, name):
        return {"value": getattr(args, name), "source": "flag"}
    if found and name in found.values:
        return {"value": found.values[name], "source": found.path}
    return {"value": args.usual[name], "source": "default"}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _trust(args: argparse.Namespace) -> int:
    from ..store import config

    if args.remove:
        was_there = config.distrust(os.getcwd())
        shared.emit(args, {"ok": True, "removed": was_there}, ["no longer trusted" if was_there else "was not trusted"])
        return 0
    found = config.trust(os.getcwd())
    lines = [f"trusted {shared.plain(found.path)}", *shared.rows([(name, _text(value)) for name, value in found.values.items()])]
    pinned = config.pinned(found)
    lines += shared.rows([("pinned", f"{name} {path}: trust again after a change") for name, path in pinned])
    value = {"ok": True, "path": found.path, "sha256": found.digest, "values": found.values}
    shared.emit(args, {**value, "pinned": [{"option": name, "path": path} for name, path in pinned]}, lines)
    return 0
