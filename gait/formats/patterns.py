"""Regular expressions that are compiled at their first use.

A process starts for each tool call and needs few of them; compiling all would take a quarter of its time.
"""

from __future__ import annotations

import re


class _Lazy:
    """Stands for a compiled pattern.  An attribute that was asked for once is an ordinary one from then on."""

    def __init__(self, text: str, flags: int) -> None:
        self._source = text, flags

    def __getattr__(self, name: str) -> object:
        found = getattr(re.compile(*self._source), name)
        setattr(self, name, found)
        return found


def lazy(text: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, for its methods only.  A pattern that is none is found out when it is used."""
    return _Lazy(text, flags)  # type: ignore[return-value]
