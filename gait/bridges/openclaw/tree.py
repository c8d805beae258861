"""Folders that are replaced whole: built beside the old one, then renamed into its place.

Invariant: at the target's name there is always a whole version of it or nothing, and with nothing there the plugin vetoes every call.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ...errors import StorageError
from ...system import files
from .package import EDITABLE, EXECUTABLE, RECORD, compile_all, is_module

_PRIVATE = (*EDITABLE, RECORD)


@contextmanager
def turn(parent: str) -> Iterator[None]:
    """Hold a folder against other installers until the end, which the system gives back when this process dies."""
    import fcntl
    import time

    try:
        descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _failed(parent, error) from error
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StorageError("another installer holds this folder", where=parent, hint="try again", code="lock_timeout") from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def make_parents(path: str) -> list[str]:
    """Make the missing folders above a path; those that were made, outermost first."""
    missing: list[str] = []
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    for folder in missing:
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass  # another installer
        except OSError as error:
            raise _failed(folder, error) from error
    return missing


def repair(path: str) -> bool:
    """Clear away what an installer that was interrupted has left; True when there was something."""
    stage, old = _stage(path), _old(path)
    found = os.path.lexists(stage) or os.path.lexists(old)
    if os.path.lexists(old) and not os.path.lexists(path):
        os.rename(old, path)
    remove(stage)
    remove(old)
    return found


def replace(path: str, contents: Mapping[str, bytes], compiled: bool) -> None:
    """Put a folder with these files in place of what is there.  StorageError: it is as it was."""
    stage, old = _stage(path), _old(path)
    try:
        os.mkdir(stage, 0o755)
        for name, data in contents.items():
            target = os.path.join(stage, name)
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            files.write_exclusive(target, data, mode_of(name))
            os.chmod(target, mode_of(name))  # whatever the umask
        if compiled:
            compile_all(stage, filter(is_module, contents))
        for folder, _, _ in os.walk(stage):
            os.chmod(folder, 0o755)
        if os.path.lexists(path):
            os.rename(path, old)
        os.rename(stage, path)
    except BaseException as error:
        repair(path)
        if isinstance(error, OSError):
            raise _failed(path, error) from error
        raise
    remove(old)


def mode_of(name: str) -> int:
    """The mode of a file of the package."""
    return 0o755 if name in EXECUTABLE else 0o600 if name in _PRIVATE else 0o644


def remove(path: str) -> None:
    """Remove a folder; a symlink only itself."""
    try:
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.lexists(path):
            shutil.rmtree(path)
    except OSError as error:
        raise _failed(path, error) from error


def remove_empty(folders: list[str]) -> None:
    """Remove those of the folders, outermost first, that are empty."""
    for folder in reversed(folders):
        try:
            os.rmdir(folder)
        except OSError:
            pass  # somebody else's things are in it


def is_same(path: str, contents: Mapping[str, bytes]) -> bool:
    """Whether a folder holds these files with their modes."""
    try:
        for name, data in contents.items():
            target = os.path.join(path, name)
            if files.read_bounded(target, len(data) + 1) != data or os.lstat(target).st_mode & 0o7777 != mode_of(name):
                return False
    except Exception:  # whatever is wrong with it, it is not the same
        return False
    return True


def _stage(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.stage")


def _old(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.old")


def _failed(path: str, error: OSError) -> StorageError:
    return StorageError(f"cannot be written: {error.strerror or error}", where=path, hint="check its permissions and the free space, or name another folder")
