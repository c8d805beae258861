"""Writes archives stored: equal entries give equal bytes, on every Python."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable

from ...errors import InvalidInput, StorageError
from ..documents import TYPE_CHECKING, NamedTuple
from . import form

if TYPE_CHECKING:
    from typing import BinaryIO


class Content(NamedTuple):
    """An entry that is to be written; `chunks` gives the same bytes each time it is called."""

    name: str
    size_bytes: int
    crc: int
    sha256: str
    chunks: Callable[[], Iterable[bytes]]


def measure(name: str, chunks: Callable[[], Iterable[bytes]]) -> Content:
    """An entry with its size and digests.  InvalidInput: a name that is not safe, or more than 512 MiB."""
    problem = form.name_problem(name)
    if problem:
        raise InvalidInput(f"expected a plain entry name, got {name[:80]!r}: {problem[1]}", code=problem[0])
    sha256, crc, size = hashlib.sha256(), 0, 0
    for chunk in chunks():
        sha256.update(chunk)
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        if size > form.MAX_ENTRY_BYTES:
            message = f"expected an entry of at most {form.MAX_ENTRY_BYTES} bytes, got more in {name}"
            raise InvalidInput(message, hint="record less in one pack", code="entry_too_large")
    return Content(name, size, crc, sha256.hexdigest(), chunks)


def write(out: BinaryIO, contents: Iterable[Content]) -> None:
    """Write an archive of measured entries.  StorageError: an entry's bytes are not those that were measured."""
    entries = sorted(contents)
    names = {entry.name.lower() for entry in entries}
    if len(names) != len(entries) or len(entries) > form.MAX_ENTRIES or sum(entry.size_bytes for entry in entries) > form.MAX_TOTAL_BYTES:
        raise InvalidInput(f"expected at most {form.MAX_ENTRIES} entries of different names and {form.MAX_TOTAL_BYTES} bytes in all, got others")
    directory, offset = b"", 0
    for entry in entries:
        name = entry.name.encode("ascii")
        sizes = (entry.crc, entry.size_bytes, entry.size_bytes, len(name), 0)
        head = (form.NEEDED, 0, form.STORED, form.TIME, form.DATE, *sizes)
        directory += form.CENTRAL.pack(form.CENTRAL_SIGN, form.MADE_BY, *head, 0, 0, 0, form.MODE << 16, offset) + name
        out.write(form.LOCAL.pack(form.LOCAL_SIGN, *head) + name)
        _copy(entry, out)
        offset += form.LOCAL.size + len(name) + entry.size_bytes
    out.write(directory + form.END.pack(form.END_SIGN, 0, 0, len(entries), len(entries), len(directory), offset, 0))


def _copy(entry: Content, out: BinaryIO) -> None:
    crc = size = 0
    for chunk in entry.chunks():
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        out.write(chunk)
    if (crc, size) != (entry.crc, entry.size_bytes):
        raise StorageError("expected the bytes that were measured, got others", where=entry.name, code="content_changed")
