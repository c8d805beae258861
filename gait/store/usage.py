"""What commands were run, for an operator who asked to have it written down: two logs, off unless their variables are set.

Invariant: a line holds no argument, path, host or user, only words of Gait's own; it goes to the named file and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from .. import __version__
from ..errors import GaitError, InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields
from ..system import clock, files

# The variable -> the schema of its lines.  The adoption log is made to be handed on: its times are days.
LOGS: Mapping[str, str] = {"GAIT_ADOPTION_LOG": "gait.adoption_event", "GAIT_OPERATIONAL_LOG": "gait.operational_event"}
MAX_BYTES = 256 * 1024 * 1024
_MAX_LINE = 4096
_LOCK_SECONDS = 0.5  # the command is over: nobody waits for another process's lock


class Event(NamedTuple):
    """One command that ended.  `command` is noun and verb; the correlation id is the same in both logs, and of this process only."""

    command: str
    exit_code: int
    duration_ms: int
    correlation_id: str

    def to_value(self, schema_id: str, created_at: str) -> dict[str, object]:
        """The line's document; an adoption event keeps the day alone."""
        key, text = ("day", created_at[:10]) if schema_id == LOGS["GAIT_ADOPTION_LOG"] else ("created_at", created_at)
        head = {"schema_id": schema_id, "schema_version": "1.0.0", key: text, "producer_version": __version__}
        return {**head, **self._asdict()}


class Line(NamedTuple):
    """An event as a log gives it, with its day."""

    event: Event
    day: str


def append(event: Event) -> None:
    """Write the event to each log that is asked for; what goes wrong there is `problems`' to say, and nothing here."""
    import json

    for variable, schema_id in LOGS.items():
        path = os.environ.get(variable, "")
        if not path or _misplaced(path):
            continue
        try:
            files.append_line(path, json.dumps(event.to_value(schema_id, clock.now_text())), lock_seconds=_LOCK_SECONDS)
        except (GaitError, OSError):
            pass  # a log never changes what a command said


def problems() -> Iterator[tuple[str, str, str]]:
    """The variable, its path and what is wrong, empty when nothing is, of each log that is asked for."""
    for variable in LOGS:
        path = os.environ.get(variable, "")
        if path:
            yield variable, path, _misplaced(path) or _unwritable(path)


def _misplaced(path: str) -> str:
    return "" if os.path.isabs(path) else "must be an absolute path: commands run in many folders"


def _unwritable(path: str) -> str:
    folder = os.path.dirname(path)
    if not os.path.lexists(path):
        return "" if os.path.isdir(folder) and os.access(folder, os.W_OK) else f"{folder} is no folder that can be written to"
    if os.path.islink(path):
        return "is a symbolic link, and is not followed"
    if os.path.isdir(path) or not os.access(path, os.W_OK):
        return "cannot be written to"
    return ""


def read(line: bytes, where: str) -> Line:
    """One line of either log.  InvalidInput: anything else."""
    fields = Fields(strict_json.loads_object(line, where, _MAX_LINE))
    if fields.text("schema_id") not in LOGS.values():
        raise InvalidInput(f"expected an event of {' or '.join(LOGS)}", where=where, path=("schema_id",))
    day = fields.text("day") or fields.text("created_at")[:10]
    numbers = fields.integer("exit_code"), fields.integer("duration_ms")
    return Line(Event(fields.text("command"), *numbers, fields.text("correlation_id")), day)


def read_log(path: str) -> tuple[list[Line], int]:
    """The events of a log, and how many of its lines are none.  InvalidInput: no file, or one that is too large."""
    lines, unreadable = [], 0
    for number, line in enumerate(files.read_bounded(path, MAX_BYTES, "a log").splitlines(), 1):
        try:
            lines.append(read(line, f"{path}:{number}"))
        except GaitError:
            unreadable += 1
    return lines, unreadable


class Use(NamedTuple):
    """How often a command was run, how often with exit code 0, on how many days, and for how long together."""

    runs: int
    succeeded: int
    days: int
    seconds: float


def used(lines: Sequence[Line], *commands: str) -> Use:
    """The use of some commands; an event that is in both logs counts once."""
    events = {(line.event.correlation_id, line.event): line.day for line in lines if line.event.command in commands}
    found = [event for _, event in events]
    seconds = sum(event.duration_ms for event in found) / 1000
    return Use(len(found), sum(event.exit_code == 0 for event in found), len(set(events.values())), round(seconds, 3))
