"""A part of a file as a file of its own: an archive that lies stored in another one is read where it is."""

from __future__ import annotations

import io

from ..formats.documents import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


class Section(io.RawIOBase):
    """`size` bytes of a seekable file from `start` on, to be read."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place; none is before the start."""
        self._place = max(0, (0, self._place, self._size)[whence] + offset)
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill the buffer as far as the section goes."""
        count = max(0, min(len(buffer), self._size - self._place))
        self._file.seek(self._start + self._place)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
