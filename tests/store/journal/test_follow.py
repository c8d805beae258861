"""Following a journal: what is new is seen once, in order, across segments, chains and retention."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gait.errors import InvalidInput
from gait.store.journal import records
from gait.store.journal.append import Journal
from gait.store.journal.follow import Follower
from gait.store.journal.retention import Limits

from tests.store.journal import damage, sample


def sequences(found) -> list[int]:
    return [seen.record["sequence"] for seen in found]


def test_the_last_records(golden):
    with Follower(str(golden), sample.RING, "worker-1") as follower:
        assert sequences(follower.last(1)) == [17]
    with Follower(str(golden), sample.RING, "worker-1") as follower:
        assert sequences(follower.last(6)) == [12, 13, 14, 15, 16, 17]
        assert list(follower.poll()) == []
    with Follower(str(golden), sample.RING) as follower:
        assert len(follower.last(1000)) == 34
    with Follower(str(golden), sample.RING) as follower:
        assert len(follower.last(5)) == 5


def test_what_comes(root):
    limits = Limits(segment_bytes=2000)
    journal = Journal.open(root, "a", sample.RING, limits=limits)
    journal.append(sample.record())
    with Follower(root, sample.RING) as follower:
        assert sequences(follower.last(10)) == [1]
        for number in range(20):
            journal.append(sample.record(number))
            if number % 7 == 6:
                assert sequences(follower.poll()) == list(range(number - 4, number + 3))
        with Journal.open(root, "b", sample.RING) as other:
            other.event("armed", {})
        found = [(seen.chain, seen.record["sequence"]) for seen in follower.poll()]
        assert found == [*(("a", number) for number in range(16, 22)), ("b", 1), ("b", 2)]
        journal.close()
        assert sequences(follower.poll()) == [22]
    assert not follower._places["a"]._fd >= 0


def test_a_line_is_seen_when_it_is_whole(root):
    journal = Journal.open(root, "a", sample.RING)
    journal.append(sample.record())
    path = os.path.join(root, "a", "00000001.jsonl")
    with Follower(root, sample.RING) as follower:
        assert len(follower.last(1)) == 1
        journal.append(sample.record())
        data = Path(path).read_bytes()
        os.truncate(path, len(data) - 7)
        assert list(follower.poll()) == []
        Path(path).write_bytes(data)
        assert sequences(follower.poll()) == [2]
        os.truncate(path, 10)  # a failed append that was taken back
        assert list(follower.poll()) == []
    journal.abandon()


def test_retention_is_faster_than_the_reader(root):
    journal = Journal.open(root, "a", sample.RING, limits=Limits(segment_bytes=1000, keep_segments=2))
    journal.append(sample.record())
    with Follower(root, sample.RING) as follower:
        follower.last(1)
        for number in range(20):
            journal.append(sample.record(number))
        seen = sequences(follower.poll())
        assert seen == sorted(seen) and seen[-1] == journal.tail.sequence
    journal.abandon()


def test_a_chain_that_is_moved_away(root):
    with Journal.open(root, "a", sample.RING) as journal:
        journal.append(sample.record())
    with Follower(root, sample.RING) as follower:
        follower.last(1)
        os.rename(os.path.join(root, "a"), os.path.join(root, ".away"))
        assert list(follower.poll()) == []
        os.rename(os.path.join(root, ".away"), os.path.join(root, "a"))
        assert list(follower.poll()) == []


def test_a_segment_that_cannot_be_read_is_waited_for(root):
    os.makedirs(os.path.join(root, "a"))
    segment = Path(root) / "a" / "00000001.jsonl"
    segment.mkdir()
    with Follower(root, sample.RING) as follower:
        assert list(follower.poll()) == []


def test_what_does_not_verify_is_marked(golden):
    damage.apply(golden, [["edit", "worker-1/00000003.jsonl", 2, "require_approval", "allow"]])
    damage.apply(golden, [["append", "worker-1/00000003.jsonl", "x" * (3 * records.MAX_LINE_BYTES) + "\n"]])
    with Follower(str(golden), sample.RING, "worker-1") as follower:
        assert [seen.problem for seen in follower.last(8)].count("digest_mismatch") == 1
    with Follower(str(golden), sample.RING, "worker-1") as follower:
        problems = [seen.problem for seen in follower.poll()]
        assert problems[:17].count("digest_mismatch") == 1 and set(problems[17:]) == {"line_not_json"}


def test_no_journal(tmp_path):
    with Follower(str(tmp_path / "none"), sample.RING) as follower, pytest.raises(InvalidInput):
        follower.last(1)
