"""Which build of Gait this is: the files of the package that runs, in a folder or in a zip application, and one digest over them.

Invariant: the digest depends on the names and bytes of those files alone, so a checkout, a vendored copy, a wheel and gait.pyz of one version share it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from .registry.sums import digest_of as digest_of

_SKIPPED = ("__pycache__", ".mypy_cache", ".pytest_cache")
_LEFT_BY_TOOLS = (".pyc", ".tmp")


def root() -> str:
    """The absolute path of the folder that holds gait/, or of the zip application."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def launcher(place: str) -> str:
    """What Python is to be given to run the Gait at `place`: the zip application itself, or gait.py beside gait/.  Empty: neither is there."""
    if os.path.isfile(place):
        return place
    script = os.path.join(place, "gait.py")
    return script if os.path.isfile(script) else ""


def own_files(folder: str) -> Iterator[str]:
    """The paths below a folder, with `/`, sorted by folder, without what tools leave there."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(names):
            if not name.endswith(_LEFT_BY_TOOLS) and not name.startswith("."):
                yield os.path.relpath(os.path.join(here, name), folder).replace(os.sep, "/")


def digest() -> str:
    """The digest of the package that runs.  OSError: a file of it cannot be read."""
    place = root()
    contents = _zipped(place) if os.path.isfile(place) else _unpacked(os.path.join(place, "gait"))
    return digest_of({path: hashlib.sha256(data).hexdigest() for path, data in contents})


def _unpacked(folder: str) -> Iterator[tuple[str, bytes]]:
    for path in own_files(folder):
        with open(os.path.join(folder, path), "rb") as file:
            yield path, file.read()


def _zipped(archive: str) -> Iterator[tuple[str, bytes]]:
    import zipfile

    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name.startswith("gait/"):
                yield name[len("gait/") :], opened.read(name)
