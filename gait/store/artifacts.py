"""Files that a client asks a server to write, inside folders that the operator gave free.

Invariant: every folder on the way is opened by itself and never through a symbolic link, so that nobody who may write
there can lead the server elsewhere between a check and the opening; nothing that exists is overwritten.  POSIX only.
"""

from __future__ import annotations

import os

from ..errors import StorageError, UnsafeOperation

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Reserved:
    """A new, empty, private file under the client's name, held open until `write` or `cancel`."""

    __slots__ = ("_path", "_folder", "_fd")

    def __init__(self, path: str, folder: int, fd: int) -> None:
        self._path = path
        self._folder = folder
        self._fd = fd

    def write(self, data: bytes) -> str:
        """Fill the file, and return its path.  StorageError: it is not whole; then `cancel`."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise StorageError(f"cannot write the file: {error.strerror}", where="trace_path") from error
        self._close()
        return self._path

    def cancel(self) -> None:
        """Remove the file again.  Nothing when it was written."""
        if self._fd < 0:
            return
        try:
            os.unlink(os.path.basename(self._path), dir_fd=self._folder)
        except OSError:
            pass  # somebody was faster
        self._close()

    def _close(self) -> None:
        os.close(self._fd)
        os.close(self._folder)
        self._fd = self._folder = -1


def reserve(folders: tuple[str, ...], path: str) -> Reserved:
    """The file that a client names by an absolute path, made now.

    UnsafeOperation `client_path_refused`: it is in none of the folders, there already, or behind a link or `..`.
    """
    for folder in folders:
        inside = folder.rstrip("/") + "/"
        if path.startswith(inside):
            return _reserve(inside, path[len(inside) :], path)
    if folders:
        raise _refused("it is in no folder that the operator allows")
    raise _refused("a client may not choose where this server writes", "leave it out; the operator sets --trace-dir")


def _reserve(folder: str, rest: str, path: str) -> Reserved:
    *steps, name = rest.split("/")
    if "\0" in rest or not name or any(step in ("", ".", "..") for step in (*steps, name)):
        raise _refused("expected plain names below the folder, got another form")
    try:
        fd = _walk(folder, steps)
    except OSError as error:
        raise _refused(f"its folder cannot be used: {error.strerror}", "make the folder first; links are not followed") from error
    try:
        return Reserved(path, fd, os.open(name, _NEW, 0o600, dir_fd=fd))
    except OSError as error:
        os.close(fd)
        if isinstance(error, FileExistsError):
            raise _refused("there is something of this name, and nothing is overwritten", "choose another name") from error
        raise StorageError(f"cannot make the file: {error.strerror}", where="trace_path") from error


def _walk(folder: str, steps: list[str]) -> int:
    """The last folder on the way, opened."""
    fd = os.open(folder, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))  # the operator's own choice may be a link
    for step in steps:
        try:
            below = os.open(step, _FOLDER, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _refused(message: str, hint: str = "choose a new name in an allowed folder") -> UnsafeOperation:
    return UnsafeOperation(message, where="trace_path", hint=hint, code="client_path_refused")
