"""The package that all calls of a process come from: every file read each time, its signatures checked when the manifest is another.

Invariant: provenance is given only for files that are, now, what a trusted key has signed.  No time or number of a file says that:
who has mapped it for writing changes it without changing those.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock

from ...errors import GaitError, VerificationFailed
from ...formats.documents import TYPE_CHECKING
from ...gate.skill_provenance import VERIFIED, SkillProvenance
from . import folder as folders

if TYPE_CHECKING:
    from ...registry.manifest import Package
    from ...signing.envelope import Verifier


class Skill:
    """The package in one folder, with the keys that may have signed it.  Safe to use from any thread."""

    def __init__(self, folder: str, keys: Callable[[], Verifier]) -> None:
        self._folder = os.path.abspath(folder)
        self._keys = keys
        self._turn = Lock()
        self._known: tuple[Package, SkillProvenance] | None = None  # what was verified last

    def provenance(self) -> SkillProvenance | None:
        """What its signed manifest says of it, as verified; None where it is not, now, what was signed."""
        with self._turn:
            try:
                return self._current()
            except GaitError:
                return None

    def require(self) -> SkillProvenance:
        """The same.  VerificationFailed, InvalidInput: why not."""
        return self._required()[1]

    def _required(self) -> tuple[Package, SkillProvenance]:
        checked = folders.require(self._folder, self._keys())
        package = checked.package
        if package is None or not (package.publisher and package.source):
            message = "expected a manifest that names its publisher and source, got none"
            raise VerificationFailed(message, where=self._folder, hint="sign it with gait skill sign", code="manifest_invalid")
        about = package.name, package.version, package.source, package.publisher, package.digest
        return package, SkillProvenance(*about, checked.key_id, VERIFIED)

    def _current(self) -> SkillProvenance:
        package = folders.load(self._folder)
        if self._known is None or self._known[0] != package:
            self._known = self._required()
        else:
            for finding in folders.file_findings(self._folder, package):
                raise finding.error(self._folder)
        return self._known[1]
