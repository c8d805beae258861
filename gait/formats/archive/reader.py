"""Reads archives that are an attacker's files: what is not of the one form has a finding of its own.

It streams: memory does not grow with what an entry holds or claims to hold.  Stored and deflated data are read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ...errors import StorageError, VerificationFailed
from ..documents import TYPE_CHECKING, NamedTuple
from . import form
from .form import Finding

if TYPE_CHECKING:
    from typing import BinaryIO

_MAX_COMMENT_BYTES = 0xFFFF
_MAX_DIRECTORY_BYTES = 64 * 1024
_CHUNK = 1 << 16


class Entry(NamedTuple):
    """An entry that can be read."""

    name: str
    size_bytes: int
    packed_bytes: int
    crc: int
    method: int
    data_offset: int


class Archive:
    """The entries of a seekable file, and what is wrong with it.  Nothing is trusted before `chunks` is through.

    `entries` maps each name to its entry, or to None where it cannot be read; `findings` is empty for a good archive.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = _size(file)
        self.findings: list[Finding] = []
        self.entries: dict[str, Entry | None] = {}
        end = self._end()
        if end:
            self._read_directory(*end)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """The entry's bytes.  VerificationFailed, at the latest after the last one: they are not what the archive says."""
        crc = size = 0
        for chunk in self._inflated(entry) if entry.method else self._stored(entry):
            size += len(chunk)
            if size > entry.size_bytes:
                raise _damaged("entry_size_mismatch", entry.name, f"expected {entry.size_bytes} bytes, got more")
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if size != entry.size_bytes:
            raise _damaged("entry_size_mismatch", entry.name, f"expected {entry.size_bytes} bytes, got {size}")
        if crc != entry.crc:
            raise _damaged("entry_crc_mismatch", entry.name, f"expected CRC-32 {entry.crc:08x}, got {crc:08x}")

    def _stored(self, entry: Entry) -> Iterator[bytes]:
        offset, left = entry.data_offset, entry.packed_bytes
        while left:
            chunk = self._read(offset, min(left, _CHUNK))
            if not chunk:
                raise _damaged("archive_truncated", entry.name, "expected more bytes, got the end of the file")
            offset, left = offset + len(chunk), left - len(chunk)
            yield chunk

    def _inflated(self, entry: Entry) -> Iterator[bytes]:
        inflate, given = zlib.decompressobj(-zlib.MAX_WBITS), 0
        before, last = None, b""
        for data in self._stored(entry):
            given += len(data)
            full, before, last = True, inflate.copy() if given == entry.packed_bytes else None, data
            while (data or full) and not inflate.eof:
                try:
                    chunk = inflate.decompress(data, _CHUNK)
                except zlib.error:
                    raise _damaged("entry_data_malformed", entry.name, "expected deflated data (RFC 1951), got other bytes") from None
                data, full = inflate.unconsumed_tail, len(chunk) == _CHUNK
                if chunk:
                    yield chunk
            if inflate.eof:
                break
        if not inflate.eof or inflate.unused_data or given != entry.packed_bytes or (before and _has_loose_bits(before, last)):
            raise _damaged("entry_data_malformed", entry.name, "expected deflated data that ends where the entry does, got another end")

    # --- the end record and the directory

    def _add(self, code: str, name: str, message: str) -> None:
        self.findings.append(Finding(code, name, message))

    def _read(self, offset: int, count: int) -> bytes:
        try:
            self._file.seek(offset)
            return self._file.read(count)
        except OSError as error:
            raise StorageError(f"cannot read the archive: {error.strerror}") from error

    def _end(self) -> tuple[int, int, int, int] | None:
        """Where the end record is, and the number of entries, size and offset of the directory that it gives."""
        start = max(0, self._size - form.END.size - _MAX_COMMENT_BYTES)
        tail = self._read(start, self._size - start)
        place = tail.rfind(form.END_SIGN)
        if place < 0 or len(tail) - place < form.END.size:
            begins = self._read(0, 4) in (form.LOCAL_SIGN, form.END_SIGN)
            code = "archive_truncated" if begins else "not_an_archive"
            self._add(code, "", "expected a ZIP archive to its end, got none" if begins else "expected a ZIP archive, got another file")
            return None
        _, disk, first_disk, here, count, size, offset, comment = form.END.unpack_from(tail, place)
        rest = len(tail) - place - form.END.size
        if rest > comment:
            self._add("trailing_junk", "", f"expected nothing after the archive, got {rest - comment} bytes")
        elif rest < comment:
            self._add("archive_truncated", "", "expected the whole comment, got the end of the file")
        if comment:
            self._add("archive_comment", "", f"expected no comment, got one of {comment} bytes")
        if disk or first_disk or here != count:
            self._add("multi_disk", "", "expected one disk, got parts of several")
        end = start + place
        if self._is_zip64(end, count, size, offset):
            self._add("zip64", "", "expected an archive of the 1989 form, got ZIP64 records")
            return None
        return end, count, size, offset

    def _is_zip64(self, end: int, count: int, size: int, offset: int) -> bool:
        before = self._read(max(0, end - 20), 4) if end >= 20 else b""
        return before == form.ZIP64_LOCATOR_SIGN or count == 0xFFFF or form.MAX_32 in (size, offset)

    def _read_directory(self, end: int, count: int, size: int, offset: int) -> None:
        place = end - size  # where it is, whatever `offset` says
        if count > form.MAX_ENTRIES or size > _MAX_DIRECTORY_BYTES:
            self._add("too_many_entries", "", f"expected at most {form.MAX_ENTRIES} entries, got {count} in {size} bytes")
            return
        if place < offset or place < 0:
            self._add("directory_malformed", "", "expected the directory before the end record, got a place that is not there")
            return
        shift = place - offset
        if shift:
            self._add("leading_junk", "", f"expected the archive to begin with its first entry, got {shift} bytes before it")
        found = self._headers(self._read(place, size), count)
        if found is None:
            return
        spans = [span for header in found for span in [self._read_entry(header, shift, place)] if span]
        self._check_layout(spans, shift, place)
        total = sum(header.size_bytes for header in found)
        if total > form.MAX_TOTAL_BYTES:
            self._add("total_too_large", "", f"expected at most {form.MAX_TOTAL_BYTES} bytes in all, got {total}")
            self.entries = dict.fromkeys(self.entries)

    def _headers(self, data: bytes, count: int) -> list[form.Header] | None:
        found, place = [], 0
        while place < len(data):
            if len(data) - place < form.CENTRAL.size or data[place : place + 4] != form.CENTRAL_SIGN:
                break
            fields = form.CENTRAL.unpack_from(data, place)
            lengths, start = fields[10:13], place + form.CENTRAL.size
            place = start + sum(lengths)
            if place > len(data):
                break
            found.append(form.read_header(fields, data[start:place]))
        if place != len(data) or len(found) != count:
            self._add("directory_malformed", "", f"expected {count} entries that fill the directory, got {len(found)} in other bytes")
            return None
        return found

    # --- entries

    def _read_entry(self, header: form.Header, shift: int, limit: int) -> tuple[int, int, str] | None:
        """Where an entry begins and ends, its descriptor included; None where that cannot be known."""
        name = header.name
        before = len(self.findings)
        self.findings += form.check_header(header)
        key = name.lower()
        same = [other for other in self.entries if other.lower() == key]
        if same:
            self._add("entry_repeated", name, "expected each name once, whatever its case, got it twice")
        elif self.entries and name < max(self.entries):
            self._add("entries_unsorted", name, "expected entries sorted by name, got another order")
        unreadable = any(finding.code not in form.READABLE for finding in self.findings[before:])
        for other in same:
            self.entries[other] = None
        start = header.offset + shift
        local = self._local(header, start, limit)
        entry = Entry(name, header.size_bytes, header.packed_bytes, header.crc, header.method, local[0]) if local else None
        self.entries[name] = None if unreadable else entry
        return (start, local[1], name) if local else None

    def _local(self, header: form.Header, start: int, limit: int) -> tuple[int, int] | None:
        """Where the data begins, and where the entry ends; the local header must say what the directory says."""
        data = self._read(start, form.LOCAL.size) if start < limit else b""
        if len(data) < form.LOCAL.size or data[:4] != form.LOCAL_SIGN:
            self._add("entry_header_mismatch", header.name, "expected a local header, got other bytes")
            return None
        fields = form.LOCAL.unpack(data)
        rest = self._read(start + form.LOCAL.size, fields[9] + fields[10])
        name, extra = rest[: fields[9]], rest[fields[9] :]
        data_offset = start + form.LOCAL.size + len(rest)
        end = data_offset + header.packed_bytes
        sizes = (header.crc, header.packed_bytes, header.size_bytes)
        later = header.flags & form.HAS_DESCRIPTOR
        expected = (*header.common, *((0, 0, 0) if later else sizes), header.raw_name, header.extra)
        if (*fields[1:9], name, extra) != expected:
            self._add("entry_header_mismatch", header.name, "expected the same in the local header and in the directory, got two versions")
        if later:
            if self._read(end, form.DESCRIPTOR.size) != form.DESCRIPTOR.pack(form.DESCRIPTOR_SIGN, *sizes):
                self._add("entry_header_mismatch", header.name, "expected sizes after the data as in the directory, got others")
            end += form.DESCRIPTOR.size
        if end > limit:
            self._add("archive_truncated", header.name, "expected the entry's data before the directory, got too little")
            return None
        return data_offset, end

    def _check_layout(self, spans: list[tuple[int, int, str]], cursor: int, limit: int) -> None:
        """Every byte belongs to one entry: nothing is hidden between them, and nothing counts twice."""
        for start, end, name in sorted(spans):
            if start < cursor:
                self._add("entries_overlap", name, "expected bytes of its own, got those of another entry")
                self.entries[name] = None
            elif start > cursor:
                self._add("hidden_bytes", name, f"expected the entry right after the one before, got {start - cursor} bytes between")
            cursor = max(cursor, end)
        if cursor < limit and len(spans) == len(self.entries):
            self._add("hidden_bytes", "", f"expected the directory right after the last entry, got {limit - cursor} bytes between")


def _has_loose_bits(inflate: zlib._Decompress, data: bytes) -> bool:
    """Whether a bit before the lengths of the last, empty block means nothing: a changed archive would verify.

    Gait v1.x ends its data with such a block; the highest bit before its lengths must be the one that calls it the last.
    """
    if data[-4:] != b"\0\0\xff\xff" or len(data) < 5 or not data[-5]:
        return False
    cleared = data[-5] & ~(1 << data[-5].bit_length() - 1)
    rest = data[:-5] + bytes([cleared]) + data[-4:]
    try:
        while rest and not inflate.eof:
            inflate.decompress(rest, _CHUNK)
            rest = inflate.unconsumed_tail
    except zlib.error:
        return False
    return inflate.eof and not inflate.unused_data


def _size(file: BinaryIO) -> int:
    try:
        return file.seek(0, 2)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the archive: {error}") from error


def _damaged(code: str, name: str, message: str) -> VerificationFailed:
    return VerificationFailed(message, where=name, code=code)
