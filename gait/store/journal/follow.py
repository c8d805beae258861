"""The newest records of a journal, and those that come: across segments, and across chains that are new."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple

from ...errors import StorageError, VerificationFailed
from ...signing.keys import Keyring
from . import folder as names
from . import records
from .seals import Opener

_CHUNK = 2 * records.MAX_LINE_BYTES


class Seen(NamedTuple):
    """One line: its record, or why it is none (`problem` is then an error code)."""

    chain: str
    record: dict[str, object]
    problem: str = ""


class Follower:
    """`last` gives what is there, `poll` what has come since.  Signatures are verified, links are not (see verify)."""

    def __init__(self, root: str, ring: Keyring, chain: str = "") -> None:
        self._root = root
        self._opener = Opener(ring)
        self._only = chain
        self._places: dict[str, _Place] = {}

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        for place in self._places.values():
            place.close()

    def last(self, count: int) -> list[Seen]:
        """The newest `count` records of the journal, oldest first; `poll` goes on after them."""
        found: list[Seen] = []
        for name in self._names():
            place = self._places[name] = _Place(os.path.join(self._root, name))
            found += [self._seen(name, line) for line in place.last(count)]
        found.sort(key=lambda seen: str(seen.record.get("created_at", "")))
        return found[len(found) - count :] if len(found) > count else found

    def poll(self) -> Iterator[Seen]:
        """The records that came since."""
        for name in self._names():
            if name not in self._places:
                self._places[name] = _Place(os.path.join(self._root, name))
            for line in self._places[name].new():
                yield self._seen(name, line)

    def _names(self) -> list[str]:
        return [name for name in names.chains(self._root) if self._only in ("", name)]

    def _seen(self, chain: str, line: bytes) -> Seen:
        try:
            return Seen(chain, self._opener.open(line))
        except VerificationFailed as error:
            return Seen(chain, {}, error.error_code)


class _Place:
    """How far one chain has been read."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._segment = 0
        self._offset = 0
        self._fd = -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def last(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        for number in reversed(names.segments(self._folder)):
            fd = names.open_segment(names.segment_path(self._folder, number))
            end = names.end_of_lines(fd, os.fstat(fd).st_size)
            if not self._segment:
                self._segment, self._offset, self._fd = number, end, os.dup(fd)
            try:
                found = _lines_before(fd, end, count - len(found)) + found
            finally:
                os.close(fd)
            if len(found) >= count:
                break
        return found

    def new(self) -> Iterator[bytes]:
        """Complete lines only.  A segment is left when there is a next one and nothing more in it."""
        while True:
            if self._fd >= 0:
                yield from self._rest()
            following = [number for number in self._numbers() if number > self._segment]
            if not following:
                return
            if self._fd >= 0:
                yield from self._rest()  # what was written between the two looks
            if not self._open(following[0]):
                return

    def _numbers(self) -> list[int]:
        try:
            return names.segments(self._folder)
        except StorageError:  # removed, or moved for now
            return []

    def _open(self, number: int) -> bool:
        try:
            fd = names.open_segment(names.segment_path(self._folder, number))
        except StorageError:  # retention was faster
            return False
        self.close()
        self._fd, self._segment, self._offset = fd, number, 0
        return True

    def _rest(self) -> Iterator[bytes]:
        self._offset = min(self._offset, os.fstat(self._fd).st_size)  # a failed append was taken back
        while True:
            data = os.pread(self._fd, _CHUNK, self._offset)
            cut = data.rfind(b"\n")
            if cut < 0 and len(data) < _CHUNK:
                return
            self._offset += cut + 1 or len(data)
            yield from data[:cut].split(b"\n")


def _lines_before(fd: int, end: int, count: int) -> list[bytes]:
    found: list[bytes] = []
    while end > 0 and len(found) < count:
        line = names.last_line(fd, end)
        found.append(line)
        end -= len(line) + 1
    return found[::-1]
