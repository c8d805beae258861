"""Which command this process was, in words of Gait's own, for the logs that an operator asked for (store/usage.py)."""

from __future__ import annotations

import os

from ..store import usage
from . import COMMANDS, parser_of, verbs_of


def record(words: list[str], exit_code: int, seconds: float) -> None:
    """Write the command that ended to each log that is asked for.  Raises nothing that is an Exception."""
    try:
        usage.append(usage.Event(command_of(words), exit_code, round(seconds * 1000), os.urandom(8).hex()))
    except Exception:
        pass  # the exit code and the answer are out already, and stay what they are


def command_of(words: list[str]) -> str:
    """Noun and verb: `mcp serve`; `unknown` for what is no command.  Never a word that Gait does not have itself."""
    rest = [word for word in words[:3] if word != "--json"]
    name = "version" if rest[:1] == ["--version"] else rest[0] if rest else ""
    if name not in COMMANDS:
        return "unknown"
    verb = rest[1] if len(rest) > 1 else ""
    return f"{name} {verb}" if verb in verbs_of(parser_of(name)) else name
