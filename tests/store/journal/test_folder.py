"""The files of a chain: names, lines read from either end, heads."""

from __future__ import annotations

import hashlib
import os

import pytest

from gait.errors import StorageError, VerificationFailed
from gait.store.journal import folder, records, retention
from gait.store.journal.follow import _Place
from gait.store.journal.records import Tail

from tests.store.journal import sample


@pytest.fixture
def fd(tmp_path):
    def opened(data: bytes) -> int:
        path = tmp_path / "file"
        path.write_bytes(data)
        fds.append(os.open(path, os.O_RDONLY))
        return fds[-1]

    fds: list[int] = []
    yield opened
    for each in fds:
        os.close(each)


LONG = b"x" * 200_000


@pytest.mark.parametrize("lines", [[b"a"], [b"a", b""], [b"", b"b"], [LONG, b"b"], [b"a", LONG], [LONG, LONG]])
def test_lines_from_either_end(fd, lines):
    data = b"".join(line + b"\n" for line in lines)
    opened = fd(data + b"torn")
    assert folder.end_of_lines(opened, len(data) + 4) == len(data)
    assert folder.last_line(opened, len(data)) == lines[-1]
    assert folder.first_line(opened) == lines[0]
    assert folder.digest_of(opened, 0, len(data) + 99) == hashlib.sha256(data + b"torn").hexdigest()


def test_lines_that_are_none(fd):
    assert folder.end_of_lines(fd(LONG), len(LONG)) == 0
    assert folder.first_line(fd(b"")) == folder.first_line(fd(b"x")) == b""
    endless = fd(b"x" * (records.MAX_LINE_BYTES + 100_000))
    assert folder.first_line(endless) == b"" and len(folder.last_line(endless, os.fstat(endless).st_size)) > records.MAX_LINE_BYTES


def test_only_numbered_files_are_segments(tmp_path):
    for name in ("00000002.jsonl", "00000010.jsonl", "00000000.jsonl", "1.jsonl", "0000000a.jsonl", "00000001.jsonl.bak", "00000003.head.json", "head.json"):
        (tmp_path / name).write_text("")
    assert folder.segments(str(tmp_path)) == [2, 10] and folder.heads(str(tmp_path)) == [3]


def test_only_folders_with_a_chains_name_are_chains(tmp_path):
    for name in ("b", "a-1", "A", ".x"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert folder.chains(str(tmp_path)) == ["a-1", "b"]


def test_what_is_not_there(tmp_path):
    missing = str(tmp_path / "none")
    with pytest.raises(StorageError):
        folder.segments(missing)
    with pytest.raises(StorageError) as caught:
        folder.open_segment(missing)
    assert caught.value.error_code == "segment_missing"
    assert folder.read_head(missing, "c", sample.RING) is None and folder.remove(missing) == ""
    assert retention._size(missing) == 0 and list(_Place(missing).new()) == []


def test_heads_of_another_chain_or_segment(tmp_path):
    path = str(tmp_path / "head.json")
    head = records.head("c", Tail(3, 10, 5, "a" * 64), "2026-02-05T00:00:00Z", "rotation", sample.RING.active)
    folder.write_head(path, head, True)
    found = folder.read_head(path, "c", sample.RING, 3)
    assert found == records.Head("c", Tail(3, 10, 5, "a" * 64), "2026-02-05T00:00:00Z", "rotation")
    for chain, segment in (("d", 3), ("c", 4)):
        with pytest.raises(VerificationFailed) as caught:
            folder.read_head(path, chain, sample.RING, segment)
        assert caught.value.error_code == "head_invalid"
