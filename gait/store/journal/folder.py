"""The files of a journal: DIR/<chain>/<8 digits>.jsonl, a head for each finished segment, head.json, lock, torn-<n>.bin."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import lru_cache

from ...errors import GaitError, InvalidInput, StorageError, VerificationFailed
from ...formats import jcs, strict_json
from ...signing.keys import Keyring
from ...system import files
from . import records
from .records import Head

LOCK = "lock"
_HEAD = "head.json"
_MAX_HEAD_BYTES = 16 * 1024
_CHUNK = 1 << 16
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a link or a pipe in place of a segment must neither lead nor hang


@lru_cache(maxsize=64)  # the writer asks for its own with every record
def segment_path(folder: str, segment: int) -> str:
    """The path of a segment in a chain's folder."""
    return os.path.join(folder, f"{segment:08d}.jsonl")


def head_path(folder: str, segment: int = 0) -> str:
    """The path of a finished segment's head, without a number of the chain's last head."""
    return os.path.join(folder, f"{segment:08d}.{_HEAD}" if segment else _HEAD)


def torn_path(folder: str, sequence: int) -> str:
    """Where the bytes go that the `torn_line` record of this sequence tells of."""
    return os.path.join(folder, f"torn-{sequence}.bin")


def chains(root: str) -> list[str]:
    """The names of a journal's chains, sorted.  InvalidInput: no such folder."""
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if records.is_chain(entry.name) and entry.is_dir(follow_symlinks=False))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "give the folder that holds the chains' folders"
        raise InvalidInput(f"expected a journal's folder: {reason}", where=root or "''", hint=hint, code="file_not_found") from error


def segments(folder: str) -> list[int]:
    """The numbers of the segments in a chain's folder, in order."""
    return _numbered(folder, ".jsonl")


def heads(folder: str) -> list[int]:
    """The numbers of the finished segments that have a head, in order."""
    return _numbered(folder, "." + _HEAD)


def _numbered(folder: str, ending: str) -> list[int]:
    names = (name[: -len(ending)] for name in _names(folder) if name.endswith(ending))
    return sorted(int(name) for name in names if len(name) == 8 and name.isascii() and name.isdigit() and int(name))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise failed(folder, "list the folder", error) from error


def open_segment(path: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file.  StorageError `segment_missing`, `segment_unreadable`."""
    try:
        fd = os.open(path, flags | _FLAGS, 0o600)
    except OSError as error:
        code = "segment_missing" if isinstance(error, FileNotFoundError) else "segment_unreadable"
        raise failed(path, "open the segment", error, code) from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    hint = "move it away"
    raise StorageError("expected a segment in a regular file, got something else", where=path, hint=hint, code="segment_unreadable")


def last_line(fd: int, end: int) -> bytes:
    """The line that ends right before offset `end`, without its newline, read backwards; longer than any line: its end only."""
    data = b""
    start = end
    while start > 0 and len(data) <= records.MAX_LINE_BYTES + 1:
        size = min(_CHUNK, start)
        start -= size
        data = os.pread(fd, size, start) + data
        cut = data.rfind(b"\n", 0, len(data) - 1)
        if cut >= 0:
            return data[cut + 1 : -1]
    return data[:-1]


def end_of_lines(fd: int, size: int) -> int:
    """The offset after the last newline, 0 when there is none."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        cut = os.pread(fd, end - start, start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0


def first_line(fd: int) -> bytes:
    """The first line without its newline, empty when there is none."""
    data = b""
    while len(data) <= records.MAX_LINE_BYTES:
        chunk = os.pread(fd, _CHUNK, len(data))
        cut = chunk.find(b"\n")
        if cut >= 0 or not chunk:
            return data + chunk[:cut] if chunk else b""
        data += chunk
    return b""


def digest_of(fd: int, start: int, end: int) -> str:
    """Lowercase hex SHA-256 of a stretch of a file."""
    found = hashlib.sha256()
    while start < end:
        chunk = os.pread(fd, min(_CHUNK, end - start), start)
        if not chunk:
            break
        found.update(chunk)
        start += len(chunk)
    return found.hexdigest()


def read_head(path: str, chain: str, ring: Keyring, segment: int = 0) -> Head | None:
    """The head in a file, None when there is no such file.  VerificationFailed `head_invalid`: it proves nothing here."""
    try:
        head = records.read_head(strict_json.loads_object(files.read_bounded(path, _MAX_HEAD_BYTES, "a head"), path), ring)
    except GaitError as error:
        if error.error_code == "file_not_found":
            return None
        raise _head_invalid(path, f"{error.message} ({error.error_code})") from error
    if head.chain != chain:
        raise _head_invalid(path, f"expected a head of chain {chain}, got one of {head.chain}")
    if segment and head.tail.segment != segment:
        raise _head_invalid(path, f"expected a head of segment {segment}, got one of {head.tail.segment}")
    return head


def _head_invalid(path: str, message: str) -> VerificationFailed:
    return VerificationFailed(message, where=path, hint="see what happened: gait journal verify", code="head_invalid")


def write_head(path: str, head: dict[str, object], sync: bool) -> None:
    """Put a head in place of the one before."""
    files.write_atomic(path, jcs.dumps(head) + b"\n", sync=sync)


def tidy(folder: str) -> None:
    """Remove what a writer that was killed left of a head that it was about to put in place."""
    for name in _names(folder):
        if name.startswith(".gait-") and name.endswith(".tmp"):
            remove(os.path.join(folder, name))


def remove(path: str) -> str:
    """Remove a file and return "", or why it is still there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable.  OSError when the system refuses."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def failed(path: str, doing: str, error: OSError, code: str = "") -> StorageError:
    """The error for what the system refused."""
    hint = "check the path, its permissions and the free space; Gait goes on when the disk does"
    return StorageError(f"cannot {doing}: {error.strerror or error}", where=path, hint=hint, code=code)
