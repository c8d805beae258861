"""`gait doctor adoption --from FILE`: how often and how well Gait was used, by the logs that operators hand in."""

from __future__ import annotations

import argparse

from ..errors import InvalidInput
from ..store import usage
from . import shared

# The plan's names -> what they count, and the commands that show it.
ADOPTION = {
    "A1": ("OpenClaw installs", ("openclaw install",)),
    "A2": ("Gas Town hooks answered", ("hook gastown",)),
    "A3": ("mcp serve runs", ("mcp serve",)),
}


def run(args: argparse.Namespace) -> int:
    """Print the counts; exit code 0, or 6 without a log, or for a log that holds no event at all."""
    if not (args.what and args.logs):
        raise InvalidInput("adoption and --from FILE go together", where="gait doctor", hint="see gait doctor --help", code="invalid_usage")
    lines: list[usage.Line] = []
    unreadable = 0
    for path in args.logs:
        found, bad = usage.read_log(path)
        if bad and not found:
            raise InvalidInput("expected a log of commands, found no event in it", where=path, hint="name a file that GAIT_ADOPTION_LOG named", code="log_invalid")
        lines += found
        unreadable += bad
    counts = {name: usage.used(lines, *commands) for name, (_, commands) in ADOPTION.items()}
    commands = {name: usage.used(lines, name) for name in sorted({line.event.command for line in lines})}
    value: dict[str, object] = {"ok": True, "events": sum(use.runs for use in commands.values()), "unreadable_lines": unreadable}
    value.update({name: use._asdict() for name, use in counts.items()})
    value["commands"] = {name: use._asdict() for name, use in commands.items()}
    shared.emit(args, value, _lines(counts, commands, unreadable))
    return 0


def _lines(counts: dict[str, usage.Use], commands: dict[str, usage.Use], unreadable: int) -> list[str]:
    named = [(name, f"{ADOPTION[name][0]}: {_said(use)}") for name, use in counts.items()]
    return shared.rows([*named, *((shared.plain(name[:80]), _said(use)) for name, use in commands.items()), ("unreadable", f"{unreadable} lines" if unreadable else "")])


def _said(use: usage.Use) -> str:
    return f"{use.runs} runs, {use.succeeded} with exit code 0, on {use.days} days, {use.seconds:.1f} s"
