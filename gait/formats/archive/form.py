"""The one form: sorted names, 1980-01-01, mode 0644, no comments, no gaps; each deviation has a finding of its own."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from ..documents import NamedTuple

MAX_ENTRY_BYTES = 512 * 1024 * 1024
MAX_TOTAL_BYTES = 2 * 1024 * 1024 * 1024  # under 4 GiB no archive needs ZIP64
MAX_ENTRIES = 256

# APPNOTE.TXT 4.3.7, 4.3.9, 4.3.12 and 4.3.16
LOCAL = struct.Struct("<4sHHHHHIIIHH")
DESCRIPTOR = struct.Struct("<4sIII")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
LOCAL_SIGN, DESCRIPTOR_SIGN, CENTRAL_SIGN, END_SIGN = b"PK\3\4", b"PK\7\x08", b"PK\1\2", b"PK\5\6"
ZIP64_LOCATOR_SIGN = b"PK\6\7"

MADE_BY = 3 << 8 | 20  # Unix, 2.0
NEEDED = 20
TIME, DATE = 0, 0x21  # 1980-01-01T00:00:00, the first moment of the format
MODE = 0o100644
# The published implementation adds its date once more (Info-ZIP's extended timestamp), and a descriptor after the data.
EXTRAS = (b"", b"UT\x05\x00\x01\x00\xa6\xce\x12")
STORED, DEFLATED = 0, 8
HAS_DESCRIPTOR = 8
ENCRYPTED = 0x1 | 0x40 | 0x2000
ZIP64_ID = b"\1\0"
MAX_32 = 0xFFFFFFFF

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
MAX_NAME = 255


class Finding(NamedTuple):
    """One thing that is wrong, with the entry it is about; an empty name is the archive itself."""

    code: str
    name: str
    message: str


class Header(NamedTuple):
    """One entry as the directory gives it; `common` are the fields that the local header repeats."""

    name: str
    raw_name: bytes
    made_by: int
    common: tuple[int, ...]
    crc: int
    packed_bytes: int
    size_bytes: int
    extra: bytes
    comment: bytes
    disk: int
    internal: int
    external: int
    offset: int

    @property
    def flags(self) -> int:
        return self.common[1]

    @property
    def method(self) -> int:
        return self.common[2]


def read_header(fields: tuple[int, ...], rest: bytes) -> Header:
    name_end, extra_end = fields[10], fields[10] + fields[11]
    raw = rest[:name_end]
    shown = raw.decode("latin-1")  # for a name that is refused: any byte has a text
    crc, packed_bytes, size_bytes = fields[7:10]
    disk, internal, external, offset = fields[13:17]
    extra, comment = rest[name_end:extra_end], rest[extra_end:]
    return Header(shown, raw, fields[1], tuple(fields[2:7]), crc, packed_bytes, size_bytes, extra, comment, disk, internal, external, offset)


# Findings that leave no doubt about what the entry's bytes are.
READABLE = ("entry_metadata", "entry_comment", "entries_unsorted")


def check_header(header: Header) -> Iterator[Finding]:
    name = header.name
    problem = name_problem(name)
    if problem:
        yield Finding(problem[0], name, problem[1])
    yield from _check_kind(header)
    if header.flags & ENCRYPTED:
        yield Finding("entry_encrypted", name, "expected plain bytes, got encrypted ones")
    elif header.flags & ~HAS_DESCRIPTOR:
        yield Finding("entry_flags_unknown", name, f"expected no flags but 0x8, got 0x{header.flags:x}")
    if header.method not in (STORED, DEFLATED):
        yield Finding("entry_compression_unknown", name, f"expected stored or deflated, got method {header.method}")
    elif header.method == STORED and header.packed_bytes != header.size_bytes:
        yield Finding("entry_size_mismatch", name, "expected one size for a stored entry, got two")
    if header.extra[:2] == ZIP64_ID or MAX_32 in (header.packed_bytes, header.size_bytes, header.offset):
        yield Finding("zip64", name, "expected an entry of the 1989 form, got ZIP64 sizes")
    elif header.extra not in EXTRAS:
        yield Finding("entry_extra_field", name, "expected no extra field but its time, got another")
    if header.size_bytes > MAX_ENTRY_BYTES:
        yield Finding("entry_too_large", name, f"expected at most {MAX_ENTRY_BYTES} bytes, got {header.size_bytes}")
    if header.comment:
        yield Finding("entry_comment", name, "expected no comment, got one")


def _check_kind(header: Header) -> Iterator[Finding]:
    """A plain file of mode 0644 and of 1980, or what it is instead."""
    name, kind = header.name, header.external >> 16 & 0o170000
    if kind == 0o120000:
        yield Finding("entry_symlink", name, "expected a file, got a symbolic link")
    elif name.endswith("/"):
        pass  # its name has the finding
    elif kind == 0o040000 or header.external & 0x10:
        yield Finding("entry_directory", name, "expected a file, got a folder")
    elif kind not in (0o100000, 0):
        yield Finding("entry_not_a_file", name, "expected a file, got a device, pipe or socket")
    elif header.external != MODE << 16:
        yield Finding("entry_metadata", name, f"expected mode 0644, got {header.external >> 16:o}")
    if (header.common[0], header.common[3], header.common[4], header.made_by, header.internal, header.disk) != (NEEDED, TIME, DATE, MADE_BY, 0, 0):
        yield Finding("entry_metadata", name, "expected version 2.0 and the time 1980-01-01T00:00:00, got others")


def name_problem(name: str) -> tuple[str, str] | None:
    """Why a name could mean another file than it says, None for a plain relative one."""
    if "\\" in name:
        return "entry_path_backslash", "expected / between folders, got a backslash"
    if name.startswith("/"):
        return "entry_path_absolute", "expected a relative name, got an absolute one"
    if re.match("[A-Za-z]:", name):
        return "entry_path_drive", "expected a relative name, got one with a drive letter"
    if ".." in name.split("/"):
        return "entry_path_traversal", "expected a name inside the archive, got one with .."
    if name.endswith("/"):
        return "entry_directory", "expected a file, got the name of a folder"
    if len(name) > MAX_NAME or not SAFE_NAME.fullmatch(name):
        return "entry_name_invalid", "expected letters, digits, . _ - and /, got another name"
    return None
