"""What happened to this process, one JSON line each on standard error, and the access log.

Invariant: nothing here raises; a log that cannot be written must not stop a decision.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from ..errors import GaitError
from ..formats.documents import TYPE_CHECKING
from ..system import clock, files

if TYPE_CHECKING:
    from ..system.connection import Access


def say(event: str, **details: object) -> None:
    """One line on standard error.  ASCII, so that no text in it can make a second line."""
    line = json.dumps({"time": clock.now_text(), "event": event, "pid": os.getpid(), **details})
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # closed, full, or a reader that left: there is nobody to tell


def place_of(error: BaseException | None) -> dict[str, str]:
    """The type of an exception and the line that raised it: what a report needs, and no value that a secret could be in."""
    if error is None:
        return {}
    found = {"cause": type(error).__name__}
    trace = error.__traceback__
    while trace is not None:
        found["at"] = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def access_log(path: str) -> Callable[[Access], None] | None:
    """A writer of one line for each answer, None without a path.  The file may be moved away at any time."""
    return _AccessLog(path).write if path else None


class _AccessLog:
    def __init__(self, path: str) -> None:
        self._path = path
        self._has_failed = False

    def write(self, access: Access) -> None:
        line = json.dumps({"time": clock.now_text(), **access._asdict(), "seconds": round(access.seconds, 6)})
        try:
            files.append_line(self._path, line)
        except GaitError as error:
            if not self._has_failed:  # said once, not for every request
                say("access_log_failed", error=str(error))
            self._has_failed = True
        else:
            self._has_failed = False
