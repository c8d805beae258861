"""The package that all calls of a process come from: verified when it is first asked for, and again when its files change.

Invariant: provenance is given only for files that are, now, what a trusted key has signed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Lock

from ...errors import GaitError, VerificationFailed
from ...formats.documents import TYPE_CHECKING
from ...gate.skill_provenance import VERIFIED, SkillProvenance
from . import folder as folders

if TYPE_CHECKING:
    from ...signing.envelope import Verifier

_SETTLED_SECONDS = 1.0  # files that changed later than that ago may change again without another time


class Skill:
    """The package in one folder, with the keys that may have signed it.  Safe to use from any thread."""

    def __init__(self, folder: str, keys: Callable[[], Verifier]) -> None:
        self._folder = os.path.abspath(folder)
        self._keys = keys
        self._turn = Lock()
        self._seen: list[tuple[str, int, int, int, int]] | None = None
        self._verified: SkillProvenance | None = None

    def provenance(self) -> SkillProvenance | None:
        """What its signed manifest says of it, as verified; None where it is not, now, what was signed."""
        with self._turn:
            try:
                return self._current()
            except GaitError:
                self._seen = None
                return None

    def require(self) -> SkillProvenance:
        """The same.  VerificationFailed, InvalidInput: why not."""
        checked = folders.require(self._folder, self._keys())
        package = checked.package
        if package is None or not (package.publisher and package.source):
            message = "expected a manifest that names its publisher and source, got none"
            raise VerificationFailed(message, where=self._folder, hint="sign it with gait skill sign", code="manifest_invalid")
        return SkillProvenance(package.name, package.version, package.source, package.publisher, package.digest, checked.key_id, VERIFIED)

    def _current(self) -> SkillProvenance:
        mark = self._mark()
        if self._verified is None or mark != self._seen:
            self._verified = self.require()
            is_settled = time.time() - max(changed for *_, changed in mark) / 1e9 > _SETTLED_SECONDS
            self._seen = mark if is_settled and mark == self._mark() else None
        return self._verified

    def _mark(self) -> list[tuple[str, int, int, int, int]]:
        """What changes when a file does: only root can set back the last of these."""
        return [(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for path, status in folders.entries(self._folder)]
