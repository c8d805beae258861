"""The files that a patch names: apply_patch envelopes, unified diffs and git's headers."""

from __future__ import annotations

import re

from ..formats.patterns import lazy
from .inferred import Inferred

_ENVELOPE = lazy(r"^[ \t]*\*\*\* (Add File|Update File|Delete File|Move to): *([^\r\n]+)", re.MULTILINE)
_UNIFIED = lazy(r"^(?:\+\+\+|---) +([^\t\r\n]+)", re.MULTILINE)
_GIT = lazy(r"^(?:rename|copy) (from|to) +([^\r\n]+)", re.MULTILINE)
_MARK = lazy(r"^[ \t]*\*\*\* (?:Begin Patch|Add File|Update File|Delete File|Move to)", re.MULTILINE)


def is_patch(text: str) -> bool:
    """True for a text with an apply_patch envelope."""
    return _MARK.search(text) is not None


def scan(found: Inferred, text: str) -> None:
    """Add each file that the patch writes or deletes.  A unified diff's `a/` and `b/` prefixes are given both ways."""
    for action, path in _ENVELOPE.findall(text):
        found.add("path", path.strip(), "delete" if action == "Delete File" else "write")
    for path in _UNIFIED.findall(text):
        found.add("path", path.strip().strip('"'), "write")
        if path[:2] in ("a/", "b/"):
            found.add("path", path[2:].strip(), "write")
    for _, path in _GIT.findall(text):
        found.add("path", path.strip(), "write")
