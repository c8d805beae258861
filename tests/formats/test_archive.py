"""Archives: one form for each content, and a reader that takes nothing else.  fixtures/runpacks/tampered has the table."""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
import zlib

import pytest

from gait.errors import GaitError, InvalidInput, StorageError, VerificationFailed
from gait.formats.archive import form, reader, writer

from tests.runpack.sample import FIXTURES, fixtures

CONTENT = {"b.json": b"{}", "a.jsonl": b"line\n" * 30_000, "empty.jsonl": b"", "folder/c.txt": b"c"}


def built(content: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    writer.write(out, [writer.measure(name, lambda data=data: (data,)) for name, data in content.items()])
    return out


def read(archive: reader.Archive) -> dict[str, bytes]:
    return {name: b"".join(archive.chunks(entry)) for name, entry in archive.entries.items() if entry}


def codes(data: bytes) -> list[str]:
    return [finding.code for finding in reader.Archive(io.BytesIO(data)).findings]


def test_round_trip():
    archive = reader.Archive(built(CONTENT))
    assert archive.findings == [] and read(archive) == CONTENT


def test_other_programs_read_it():
    with zipfile.ZipFile(built(CONTENT)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(CONTENT)
        for info in archive.infolist():
            assert (info.date_time, info.external_attr >> 16, info.compress_type) == ((1980, 1, 1, 0, 0, 0), 0o100644, zipfile.ZIP_STORED)
            assert archive.read(info) == CONTENT[info.filename]


def test_order_and_time_do_not_matter():
    assert built(CONTENT).getvalue() == built(dict(reversed(list(CONTENT.items())))).getvalue()


def test_what_is_written_is_known_byte_for_byte():
    data = built({"a": b"x"}).getvalue()
    assert data == (
        b"PK\3\4\x14\0\0\0\0\0\0\0!\0" + struct.pack("<III", zlib.crc32(b"x"), 1, 1) + b"\1\0\0\0ax"
        b"PK\1\2\x14\3\x14\0\0\0\0\0\0\0!\0" + struct.pack("<III", zlib.crc32(b"x"), 1, 1) + b"\1\0\0\0\0\0\0\0\0\0\0\0\xa4\x81\0\0\0\0a"
        b"PK\5\6\0\0\0\0\1\0\1\0\x2f\0\0\0\x20\0\0\0\0\0"
    )


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a\\b", "C:a", "a\0", "é", "a/", "./a", "a//b", "-a", "a b", "a" * 256])
def test_unsafe_names_are_not_written(name):
    with pytest.raises(InvalidInput):
        writer.measure(name, lambda: (b"",))


def test_names_that_one_file_system_takes_for_one_are_not_written():
    with pytest.raises(InvalidInput, match="different names"):
        built({"a": b"", "A": b""})


def test_an_entry_over_the_limit_is_not_written(monkeypatch):
    monkeypatch.setattr(form, "MAX_ENTRY_BYTES", 10)
    with pytest.raises(InvalidInput) as caught:
        writer.measure("a", lambda: (b"12345", b"678901"))
    assert caught.value.error_code == "entry_too_large"


def test_content_that_changes_between_measuring_and_writing_is_found():
    given = iter([(b"one",), (b"two",)])
    content = writer.measure("a", lambda: next(given))
    with pytest.raises(StorageError) as caught:
        writer.write(io.BytesIO(), [content])
    assert caught.value.error_code == "content_changed"


@pytest.mark.parametrize("name", ["runpack_unsigned.zip", "runpack_mcp_block.zip"])
def test_published_archives(name):
    data = (FIXTURES / "published" / name).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        expected = {info.filename: archive.read(info) for info in archive.infolist()}
    assert codes(data) == [] and read(reader.Archive(io.BytesIO(data))) == expected


@pytest.mark.parametrize("name", ["runpack_unsigned.zip", "runpack_mcp_block.zip"])
def test_no_bit_of_a_published_archive_can_change(name):
    """The bits before the lengths of a last empty block mean nothing to inflate; they are refused all the same."""
    data = (FIXTURES / "published" / name).read_bytes()
    for place in range(len(data)):
        for bit in range(8) if place % 20 == 0 or data[place + 1 : place + 5] == b"\0\0\xff\xff" else (place % 8,):
            other = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            archive = reader.Archive(io.BytesIO(other))
            if archive.findings:
                continue
            try:
                assert read(archive) != read(reader.Archive(io.BytesIO(data))), (place, bit)
            except VerificationFailed:
                pass


def test_deflated_data_of_many_chunks():
    body = os.urandom(200_000) + bytes(400_000)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(body) + packer.flush()
    data = fixtures.zipped([fixtures.Part(b"a", packed, size=len(body), method=8, crc=zlib.crc32(body))])
    archive = reader.Archive(io.BytesIO(data))
    assert archive.findings == [] and read(archive) == {"a": body}


def test_a_bomb_ends_at_its_declared_size():
    packed = fixtures.bomb(200_000)  # 325 KB that inflate to 50 MB
    data = fixtures.zipped([fixtures.Part(b"a", packed, size=1000, method=8)])
    archive = reader.Archive(io.BytesIO(data))
    given = 0
    with pytest.raises(VerificationFailed) as caught:
        for chunk in archive.chunks(archive.entries["a"]):
            given += len(chunk)
    assert caught.value.error_code == "entry_size_mismatch" and given <= 1000


def test_two_readers_of_one_file_do_not_disturb_each_other():
    archive = reader.Archive(built({"a": b"a" * 200_000, "b": b"b" * 200_000}))
    pairs = list(zip(archive.chunks(archive.entries["a"]), archive.chunks(archive.entries["b"])))
    assert len(pairs) > 2 and all(set(left) == {97} and set(right) == {98} for left, right in pairs)


def test_too_many_entries():
    assert codes(fixtures.zipped([fixtures.Part(b"%d" % number, b"") for number in range(10, 280)])) == ["too_many_entries"]


def test_total_over_the_limit():
    size = 500 * 1024 * 1024
    parts = [fixtures.Part(b"%d" % number, b"", size=size, method=8) for number in range(5)]
    data = fixtures.zipped(parts)
    assert codes(data) == ["total_too_large"]
    assert set(reader.Archive(io.BytesIO(data)).entries.values()) == {None}


def test_a_file_that_cannot_be_read(tmp_path):
    with open(tmp_path, "rb") if os.name == "nt" else open(os.devnull, "rb") as file:
        assert [finding.code for finding in reader.Archive(file).findings] == ["not_an_archive"]
    closed = io.BytesIO(b"")
    closed.close()
    with pytest.raises(StorageError):
        reader.Archive(closed)


def test_mutations_never_pass_and_never_break():
    """A mutation of what Gait writes is a finding or an error of Gait's, whatever it is."""
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "2000"))
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "1"))
    rnd = random.Random(seed)
    good = built({"a.json": b"{}", "b.jsonl": b"line\n" * 20}).getvalue()
    for number in range(rounds):
        data = bytearray(good)
        for _ in range(rnd.choice((1, 1, 2, 4))):
            place = rnd.randrange(len(data))
            if rnd.random() < 0.6:
                data[place] ^= 1 << rnd.randrange(8)
            elif rnd.random() < 0.5:
                del data[place : place + rnd.randrange(1, 20)]
            else:
                data[place:place] = bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 8)))
            if not data:
                break
        if bytes(data) == good:
            continue
        archive = reader.Archive(io.BytesIO(bytes(data)))
        if archive.findings:
            continue
        with pytest.raises(GaitError):
            read(archive)
            raise AssertionError(f"seed {seed}, round {number} passed")
