"""Spawned processes that share one chain: exact under concurrency, and at a cost that stays the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import perf_counter

import pytest

from gait.errors import StorageError, VerificationFailed
from gait.store.journal import oneshot
from gait.store.journal.append import Journal
from gait.store.journal.oneshot import append_once
from gait.store.journal.retention import Limits
from gait.store.journal.verify import verify

from tests.store.journal import damage, sample

FOREVER = Limits(segment_seconds=0)


def test_every_append_leaves_a_head(root):
    for number in range(3):
        assert append_once(root, sample.record(number), sample.RING)["sequence"] == number + 1
    (found,) = verify(root, sample.RING).chains
    assert found.lines()[-1].startswith("  proven up to sequence 3 by head of ") and found.unproven == 0


@pytest.mark.slow
def test_eight_processes(root, child):
    code = """
from gait.store.journal.oneshot import append_once
from gait.store.journal.retention import Limits
for number in range(200):
    append_once(argv[0], sample.record(int(argv[1]) * 200 + number), sample.RING, limits=Limits(segment_bytes=100_000))
"""
    started = [child(code, root, worker) for worker in range(8)]
    assert [process.communicate(timeout=120)[1] for process in started] == [b""] * 8
    report = verify(root, sample.RING)
    assert report.ok and report.chains[0].records == 1600 and report.chains[0].last_segment > 10
    digests = [json.loads(line)["args_digest"] for path in Path(root).glob("*/*.jsonl") for line in path.open()]
    assert sorted(digests) == sorted(sample.record(number)["args_digest"] for number in range(1600))


@pytest.mark.slow
def test_the_cost_is_flat(root):
    """At 1,000 and at 200,000 records in one segment; the best of several, because others use this machine too."""

    def grow(count: int) -> None:
        with Journal.open(root, "oneshot", sample.RING, limits=FOREVER._replace(segment_bytes=1 << 40)) as journal:
            for number in range(count):
                journal.append(sample.record(number))
        with open(os.path.join(root, "oneshot", "00000001.jsonl"), "rb") as stream:
            os.fsync(stream.fileno())  # or the disk would be busy with it while the clock runs

    def cost() -> float:
        found = []
        for number in range(40):
            started = perf_counter()
            append_once(root, sample.record(number), sample.RING, limits=FOREVER._replace(segment_bytes=1 << 40))
            found.append(perf_counter() - started)
        return min(found)

    grow(1_000)
    small = cost()
    grow(199_000)
    ratio = cost() / small
    print(f"{small * 1e6:.0f} us, ratio {ratio:.2f}")
    assert ratio < 2.0


def test_rotation_and_retention(root):
    limits = Limits(segment_bytes=2000, keep_segments=2)
    for number in range(12):
        append_once(root, sample.record(number), sample.RING, sync=True, limits=limits)
    report = verify(root, sample.RING)
    assert report.ok and report.chains[0].first_sequence > 1
    assert len(list(Path(root).glob("oneshot/*.jsonl"))) == 2


def test_a_process_that_died_in_the_middle(root):
    append_once(root, sample.record(), sample.RING)
    with open(os.path.join(root, "oneshot", "00000001.jsonl"), "a") as stream:
        stream.write('{"half')
    assert append_once(root, sample.record(), sample.RING)["sequence"] == 3
    report = verify(root, sample.RING)
    assert report.ok and report.chains[0].torn_lines == 1


def test_a_damaged_end_is_refused(golden):
    damage.apply(golden, [["drop", "oneshot/00000001.jsonl", 3]])
    with pytest.raises(VerificationFailed) as caught:
        append_once(str(golden), sample.record(), sample.RING)
    assert caught.value.error_code == "tail_truncated"


def test_a_chain_that_somebody_holds(root, monkeypatch):
    monkeypatch.setattr(oneshot, "_LOCK_SECONDS", 0.05)
    with Journal.open(root, "oneshot", sample.RING):
        with pytest.raises(StorageError) as caught:
            append_once(root, sample.record(), sample.RING)
        assert caught.value.error_code == "lock_timeout" and caught.value.retryable
    append_once(root, sample.record(), sample.RING)


def test_a_lock_that_cannot_be_made(root):
    os.makedirs(os.path.join(root, "oneshot", "lock"), 0o700)
    with pytest.raises(StorageError) as caught:
        append_once(root, sample.record(), sample.RING)
    assert caught.value.error_code == "storage_failed"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        append_once(str(tmp_path / "file"), sample.record(), sample.RING)


def test_little_is_imported(root, child):
    """A hook is a process for each tool call."""
    code = """
before = set(sys.modules)
from gait.store.journal.oneshot import append_once
append_once(argv[0], sample.record(), sample.RING)
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("gait")))
"""
    out, errors = child(code, root).communicate(timeout=30)
    heavy = {"socket", "subprocess", "tempfile", "logging", "threading", "pathlib", "dataclasses"}
    assert not errors and not heavy & set(out.decode().split())
