"""Files as Gait wants them: bounded reads, writes that are whole or absent, private folders, locks.

InvalidInput: the path names the wrong thing (missing, a folder, a device, too large).
StorageError: the system, or the state of the disk, refuses.
"""

from __future__ import annotations

import os
import stat
import time
from types import TracebackType

from ..formats.documents import NamedTuple
from ..errors import InvalidInput, StorageError

# O_NONBLOCK: opening a FIFO must not wait for a writer.  Windows lacks most of these.
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _PLAIN
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | _PLAIN
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _PLAIN
_LOCK = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _PLAIN
_CHUNK = 1 << 20
_LOCK_SECONDS = 10.0


class Finding(NamedTuple):
    """One thing that is wrong with a file or folder, and the command or step that mends it."""

    code: str
    message: str
    fix: str


def read_bounded(path: str, max_bytes: int, what: str = "a file") -> bytes:
    """The bytes of a regular file of at most `max_bytes`; a FIFO or device is refused without waiting on it."""
    fd = _open_regular(path, what)
    try:
        return _read(fd, path, max_bytes, what)
    finally:
        os.close(fd)


def read_private(path: str, max_bytes: int, what: str = "a key file") -> bytes:
    """Like `read_bounded`, for a file that only its owner (this user or root) may read."""
    fd = _open_regular(path, what)
    try:
        require_private(fd, path)
        return _read(fd, path, max_bytes, what)
    finally:
        os.close(fd)


def write_exclusive(path: str, data: bytes, mode: int = 0o600, *, sync: bool = False) -> None:
    """Make a new file.  StorageError `file_exists`: there is something, a symlink included; else nothing is left."""
    _create(path, data, mode, sync, path)


def write_atomic(path: str, data: bytes, mode: int = 0o600, *, sync: bool = False) -> None:
    """Put a whole file in place of whatever file or symlink has the name; the symlink's target stays as it is."""
    _refuse_irreplaceable(path)
    temporary = os.path.join(os.path.dirname(path), f".gait-{os.urandom(8).hex()}.tmp")
    _create(temporary, data, mode, sync, path)
    try:
        os.replace(temporary, path)
        if sync:
            _sync_folder(path)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, (OSError, ValueError)):
            raise _failed(path, "write", error) from error
        raise


def append_line(path: str, line: str, mode: int = 0o600, *, lock_seconds: float = _LOCK_SECONDS) -> None:
    """Add one line (given without its newline) to a file, made when it is not there: the whole line or nothing.

    Writers that use this function never mix their lines.  A symlink in the last place is refused.
    """
    try:
        fd = os.open(path, _APPEND, mode)
    except (OSError, ValueError) as error:
        raise _failed(path, "open for appending", error) from error
    try:
        _append(fd, path, (line + "\n").encode("utf-8", "backslashreplace"), lock_seconds)
    except OSError as error:
        raise _failed(path, "append", error) from error
    finally:
        os.close(fd)


def private_directory(path: str) -> None:
    """Make sure of a folder in which nobody else can plant or swap a file; it and its missing parents become 0700."""
    path = os.path.abspath(path)
    try:
        _make_folders(path)
        status = os.lstat(path)
    except (OSError, ValueError) as error:
        raise _failed(path, "make the folder", error) from error
    for finding in folder_findings(status, path):
        raise _not_private(finding, path)


def remove(path: str) -> None:
    """Take a file away; nothing happens when there is none, or when it cannot be."""
    _remove(path)


def require_private(fd: int, path: str) -> None:
    """StorageError when the open file is another user's, or its group or others may use it.

    The descriptor is asked and not the path: what was checked is what will be read.
    """
    for finding in file_findings(os.fstat(fd), path):
        raise _not_private(finding, path)


def findings(path: str, what: str = "a key file") -> list[Finding]:
    """What makes a file and the folder it is in unfit to hold a secret."""
    fd = _open_regular(path, what)
    try:
        found = file_findings(os.fstat(fd), path)
    finally:
        os.close(fd)
    folder = os.path.dirname(os.path.realpath(path))
    try:
        status = os.lstat(folder)
    except OSError as error:
        raise _failed(folder, "look at the folder", error) from error
    if status.st_mode & stat.S_ISVTX:  # as /tmp: others may add files, but not put one in this one's place
        return found
    return found + [finding for finding in folder_findings(status, folder) if finding.code != "wrong_owner"]


def file_findings(status: os.stat_result, path: str) -> list[Finding]:
    """What makes a file unfit to hold a secret.  Windows has no such modes, and gets no findings."""
    if os.name != "posix":
        return []
    found = _owner_findings(status, path, (os.geteuid(), 0))
    if status.st_mode & 0o077:
        message = f"expected mode 0600, got {stat.S_IMODE(status.st_mode):04o}: other users may use this file"
        found.append(Finding("permissions_too_open", message, f"chmod 600 {_quote(path)}"))
    return found


def folder_findings(status: os.stat_result, path: str) -> list[Finding]:
    """What makes a folder (given its lstat) one that others control."""
    if not stat.S_ISDIR(status.st_mode):
        message = f"expected a folder, got {_kind(status.st_mode)}"
        return [Finding("not_a_folder", message, f"move {_quote(path)} away, or choose another folder")]
    if os.name != "posix":
        return []
    found = _owner_findings(status, path, (os.geteuid(),))
    if status.st_mode & 0o022:
        message = f"expected mode 0700, got {stat.S_IMODE(status.st_mode):04o}: other users may change this folder"
        found.append(Finding("permissions_too_open", message, f"chmod 700 {_quote(path)}"))
    return found


def lock(path: str, timeout_seconds: float = _LOCK_SECONDS) -> Lock:
    """A context manager: inside it, no other process or thread holds the lock of this path.

    The lock file stays; the system frees the lock when a process dies.  StorageError `lock_timeout`.
    """
    return Lock(path, timeout_seconds)


class Lock:
    """See `lock`."""

    __slots__ = ("_path", "_timeout", "_fd")

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path = path
        self._timeout = timeout_seconds
        self._fd = -1

    def __enter__(self) -> Lock:
        try:
            self._fd = os.open(self._path, _LOCK, 0o600)
            _wait_for_lock(self._fd, self._path, self._timeout)
        except BaseException as error:
            self._release()
            if isinstance(error, (OSError, ValueError)):
                raise _failed(self._path, "lock", error) from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._release()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _wait_for_lock(fd: int, path: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    pause = 0.001
    while not _try_lock(fd):
        if time.monotonic() >= deadline:
            message = f"expected the lock within {timeout_seconds:g} s, got none: another process holds it"
            raise StorageError(message, where=path, hint="try again", code="lock_timeout")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _try_lock(fd: int) -> bool:
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        return _try_lock_windows(fd)
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(fd: int) -> bool:
    import msvcrt

    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except PermissionError:
        return False
    return True


def _open_regular(path: str, what: str) -> int:
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        message = f"expected {what}, got no such file"
        raise InvalidInput(message, where=path or "''", hint="check the path", code="file_not_found") from None
    except (OSError, ValueError) as error:
        raise _failed(path, f"open {what}", error) from error
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    message = f"expected {what} in a regular file, got {_kind(mode)}"
    raise InvalidInput(message, where=path, hint="name a regular file; an input that may be - can be piped in", code="not_a_regular_file")


def _read(fd: int, path: str, max_bytes: int, what: str) -> bytes:
    chunks: list[bytes] = []
    left = max_bytes + 1  # one more than allowed tells a file that is too large, even one that grows
    while left > 0:
        try:
            chunk = os.read(fd, min(left, _CHUNK))
        except OSError as error:
            raise _failed(path, f"read {what}", error) from error
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    message = f"expected {what} of at most {max_bytes} bytes, got more"
    raise InvalidInput(message, where=path, hint="name a smaller file", code="file_too_large")


def _create(path: str, data: bytes, mode: int, sync: bool, where: str) -> None:
    try:
        fd = os.open(path, _CREATE, mode)
    except FileExistsError as error:
        raise _failed(where, "make the file", error, "file_exists") from error
    except (OSError, ValueError) as error:
        raise _failed(where, "make the file", error) from error
    try:
        _write_and_close(fd, data, sync)
    except BaseException as error:
        _remove(path)
        if isinstance(error, OSError):
            raise _failed(where, "write", error) from error
        raise


def _append(fd: int, path: str, data: bytes, lock_seconds: float) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe to a log shipper, or a device
        _write_all(fd, data)
        return
    _wait_for_lock(fd, path, lock_seconds)
    size = os.fstat(fd).st_size
    try:
        _write_all(fd, data)
    except BaseException:
        os.ftruncate(fd, size)  # half a line would spoil the next one too
        raise


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _write_and_close(fd: int, data: bytes, sync: bool) -> None:
    try:
        _write_all(fd, data)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)  # may raise too: some file systems report a full disk only here


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # the failure that led here is the one to report


def _refuse_irreplaceable(path: str) -> None:
    """A rename would put a file in place of /dev/null just as well; for root it would succeed."""
    try:
        mode = os.stat(path).st_mode  # follows a link: /dev/stdout may lead to a pipe
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) or os.path.dirname(os.path.abspath(path)) == "/dev":
        got = "a name in /dev" if stat.S_ISREG(mode) else _kind(mode)
        message = f"expected a file or a free name to write to, got {got}"
        raise StorageError(message, where=path, hint="name a regular file", code="not_a_regular_file")


def _sync_folder(path: str) -> None:
    """Make the rename itself durable, where a folder can be opened (not on Windows)."""
    if os.name != "posix":
        return
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | _PLAIN)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folders(path: str) -> None:
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            pass  # another process was faster


def _owner_findings(status: os.stat_result, path: str, accepted: tuple[int, ...]) -> list[Finding]:
    if status.st_uid in accepted:
        return []
    message = f"expected owner {os.geteuid()} (this user), got uid {status.st_uid}"
    return [Finding("wrong_owner", message, f"run as that user, or: chown {os.geteuid()} {_quote(path)}")]


def _not_private(finding: Finding, path: str) -> StorageError:
    error = StorageError(finding.message, where=path, hint=finding.fix, code=finding.code)
    error.retryable = False
    return error


def _failed(path: str, doing: str, error: Exception, code: str = "") -> StorageError:
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
    hint = "check the path, its permissions and the free space"
    return StorageError(f"cannot {doing}: {reason}", where=path or "''", hint=hint, code=code)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFLNK: "a symbolic link", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(mode), "a device or socket")


def _quote(path: str) -> str:
    from shlex import quote

    return quote(path)
