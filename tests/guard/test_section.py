"""A part of a file as a file."""

from __future__ import annotations

import io

from gait.guard.section import Section


def test_it_is_a_file_of_its_own():
    section = Section(io.BytesIO(b"0123456789"), 2, 5)
    assert section.readable() and section.seekable() and section.read() == b"23456"
    assert section.seek(-2, 2) == 3 and section.read(9) == b"56" and section.read(1) == b""
    assert section.seek(1) == 1 and section.seek(1, 1) == 2 and section.tell() == 2 and section.read(1) == b"4"
    assert section.seek(-9) == 0 and section.seek(99) == 99 and section.read() == b""
