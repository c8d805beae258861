"""Trace records on disk, one file each.  Nothing is overwritten under $GAIT_HOME and no symlink followed."""

from __future__ import annotations

import json
import os
import re

from ..errors import GaitError, StorageError
from ..system import files
from .keys import home

_TRACE_ID = re.compile("[0-9a-f]{24}")
_MAX_REPEATS = 1 << 24
_MAX_COLLISIONS = 10_000


def save(record: dict[str, object], out: str | None = None) -> str:
    """Write a record and return its path: `out`, replaced atomically, or a new private file under $GAIT_HOME/traces.

    StorageError on any failure; then there is no file, and no allow may be given.
    """
    try:
        data = dumps(record)
        if out is None:
            return _save_new(record.get("trace_id"), data)
        files.write_atomic(out, data)
        return out
    except StorageError:
        raise
    except GaitError as error:
        raise StorageError(error.message, where=error.where, hint=error.hint) from error


def save_in(folder: str, record: dict[str, object]) -> str:
    """Write a journal's record to a new file `trace_<trace_id>_<sequence>.json` in a folder, and return its path.

    Another chain may have had both numbers: nothing is overwritten, a further `_2`, `_3`… tells them apart.
    """
    stem = os.path.join(folder, f"trace_{record['trace_id']}_{record['sequence']}")
    return _save_as(stem, dumps(record))


def dumps(record: dict[str, object]) -> bytes:
    """The text of a trace file.  StorageError: the record is not JSON."""
    try:
        return (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(f"expected a record that is JSON, got one that is not: {error}") from error


def _save_new(trace_id: object, data: bytes) -> str:
    if not isinstance(trace_id, str) or not _TRACE_ID.fullmatch(trace_id):
        raise StorageError("trace_id: must be 24 lowercase hex digits to be part of a file name", where="trace record")
    folder = os.path.join(home(), "traces")
    files.private_directory(folder)
    return _save_as(os.path.join(folder, f"trace_{trace_id}"), data)


def _save_as(stem: str, data: bytes) -> str:
    if _is_written(_name(stem, 1), data):
        return _name(stem, 1)
    first = _first_free(stem)
    for number in range(first, first + _MAX_COLLISIONS):  # past the ones that other processes took meanwhile
        if _is_written(_name(stem, number), data):
            return _name(stem, number)
    raise _too_many(stem)


def _name(stem: str, number: int) -> str:
    return f"{stem}.json" if number == 1 else f"{stem}_{number}.json"


def _is_written(path: str, data: bytes) -> bool:
    try:
        files.write_exclusive(path, data)
    except StorageError as error:
        if error.error_code == "file_exists":
            return False
        raise
    return True


def _first_free(stem: str) -> int:
    """A free number after a used one, in O(log n) look-ups: doubling, then halving the gap."""
    used, free = 1, 2
    while os.path.lexists(_name(stem, free)):
        used, free = free, free * 2
        if free > _MAX_REPEATS:
            raise _too_many(stem)
    while free - used > 1:
        middle = (used + free) // 2
        used, free = (middle, free) if os.path.lexists(_name(stem, middle)) else (used, middle)
    return free


def _too_many(stem: str) -> StorageError:
    hint = "move old traces out of the folder"
    return StorageError("expected a free number for this trace, got none", where=stem, hint=hint, code="too_many_traces")
