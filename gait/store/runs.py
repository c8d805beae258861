"""Runpacks on disk: `$GAIT_HOME/runs/runpack_<run_id>.zip`, and what a run's name means.

Nothing under $GAIT_HOME is overwritten.  A pack that is written is whole or absent.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from ..errors import InvalidInput, StorageError
from ..runpack import model
from ..runpack.pack import Packed
from ..system import files
from .keys import home

OUT = "gait-out"  # in the current directory, where integrations put their packs

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 20

Scratch = Callable[[], BinaryIO]


class Place(NamedTuple):
    """Where a run is; `run_id` is the one that its pack must have, empty when it was named by its path."""

    path: str
    run_id: str


class Saved(NamedTuple):
    """A pack that was written, and where."""

    packed: Packed
    path: str


def folder() -> str:
    """Where packs are kept."""
    return os.path.join(home(), "runs")


def path_of(run_id: str) -> str:
    """Where the pack of a run is kept by default."""
    return os.path.join(folder(), model.archive_name(run_id))


def resolve(name: str) -> Place:
    """The pack that a run id or a path names.  InvalidInput: there is none, or two that differ.

    A run's id goes before a file of that name: $GAIT_HOME/runs first, then gait-out/ in the current directory.
    """
    if not _may_be_run_id(name):
        return Place(name, "")
    found = [path for path in (path_of(name), os.path.join(OUT, model.archive_name(name))) if os.path.lexists(path)]
    if len(found) == 2 and not _are_equal(*found):
        message = f"expected one run {name}, got two that differ: {found[0]} and {found[1]}"
        raise InvalidInput(message, where=name, hint="name one of them by its path", code="run_ambiguous")
    if found:
        return Place(found[0], name)
    if os.path.lexists(name):
        return Place(name, "")
    hint = f"looked in {folder()} and {OUT}/; name the pack by its path"
    raise InvalidInput("expected a run's id or a path, got neither", where=name, hint=hint, code="file_not_found")


def open_pack(path: str) -> BinaryIO:
    """A pack, opened for reading.  InvalidInput: no regular file; StorageError: it cannot be read."""
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        raise InvalidInput("expected a runpack, got no such file", where=path or "''", hint="check the path", code="file_not_found") from None
    except (OSError, ValueError) as error:
        raise _failed(path, "open the runpack", error) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InvalidInput("expected a runpack in a regular file, got none", where=path, hint="name a file", code="not_a_regular_file")
    return os.fdopen(fd, "rb")


def save(make: Callable[[BinaryIO, Scratch], Packed], out: str = "") -> Saved:
    """Write the pack that `make` makes into a file, with scratch files where it needs some.

    `out` is replaced; without it a new file under $GAIT_HOME/runs is made.  A pack of the same bytes may be there already.
    StorageError: the disk refuses, or `file_exists`: another pack of this run is there.
    """
    target = os.path.dirname(os.path.abspath(out)) if out else folder()
    if out:
        _refuse_irreplaceable(out)
    else:
        files.private_directory(target)
    temporary = os.path.join(target, f".gait-{os.urandom(8).hex()}.tmp")
    try:
        packed = _make(make, temporary, target)
        path = out or path_of(packed.run_id)
        if out:
            os.replace(temporary, path)
        else:
            _place(temporary, path)
    except (OSError, ValueError) as error:
        raise _failed(out or target, "write the runpack", error) from error
    finally:
        _remove(temporary)
    return Saved(packed, path)


def _make(make: Callable[[BinaryIO, Scratch], Packed], path: str, target: str) -> Packed:
    from tempfile import TemporaryFile

    opened: list[BinaryIO] = []

    def scratch() -> BinaryIO:
        opened.append(TemporaryFile(dir=target))
        return opened[-1]

    try:
        with os.fdopen(os.open(path, _CREATE, 0o600), "w+b") as file:
            packed = make(file, scratch)
            file.flush()
            os.fsync(file.fileno())
            return packed
    finally:
        for spool in opened:
            spool.close()


def _place(temporary: str, path: str) -> None:
    """Give the file its name unless another has it; a link is made or not, so that no one is overwritten in between."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not _are_equal(temporary, path):
            message = f"expected no other pack of this run, got {path}"
            raise StorageError(message, where=path, hint="give the run another id, or name a file with --out", code="file_exists") from None
    except OSError:
        if os.path.lexists(path):
            raise
        os.rename(temporary, path)  # a file system without links


def _are_equal(left: str, right: str) -> bool:
    with open_pack(left) as first, open_pack(right) as second:
        while True:
            chunk = first.read(_CHUNK)
            if chunk != second.read(_CHUNK):
                return False
            if not chunk:
                return True


def _may_be_run_id(name: str) -> bool:
    return model.is_run_id(name) and not name.endswith((".zip", ".json", ".jsonl"))


def _refuse_irreplaceable(path: str) -> None:
    """A rename would put a file in place of a device just as well; for root it would succeed."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) or os.path.dirname(os.path.abspath(path)) == "/dev":
        message = "expected a file or a free name to write to, got something else"
        raise StorageError(message, where=path, hint="name a regular file", code="not_a_regular_file")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it was renamed, or the failure that led here is the one to report


def _failed(path: str, doing: str, error: Exception) -> StorageError:
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return StorageError(f"cannot {doing}: {reason}", where=path or "''")
