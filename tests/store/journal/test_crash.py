"""kill -9 of a writer, again and again: what was acknowledged is there, what is there verifies, and the next one goes on."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from gait.store.journal.verify import verify

from tests.store.journal import sample

ROUNDS = 50
WRITER = """
import os, threading
from gait.store.journal.append import Journal
from gait.store.journal.retention import Limits
journal = Journal.open(argv[0], "w", sample.RING, durability=argv[1], limits=Limits(segment_bytes=60_000, keep_segments=int(argv[2])))
journal.event("armed", {"heartbeat_seconds": 60})
os.write(1, b"ready\\n")

def work(worker):
    for number in range(1 << 30):
        record = journal.append(sample.record(number))
        os.write(1, b"%d %s\\n" % (record["sequence"], record["signature"]["sig"].encode()))
        if worker == 0 and number % 50 == 49:
            journal.heartbeat()

for worker in range(3):
    threading.Thread(target=work, args=(worker,)).start()
"""


@pytest.mark.slow
def test_kill_9_at_any_moment(tmp_path, child):
    seed = os.environ.get("GAIT_FUZZ_SEED") or str(random.randrange(1 << 32))
    print("seed", seed)
    rng = random.Random(seed)
    total = 0
    for number in range(ROUNDS):
        root = tmp_path / f"journal-{number // 5}"
        keep = 0 if number // 5 % 2 else 5
        pipe = open(tmp_path / "out", "w+b")
        writer = child(WRITER, root, ["process", "power"][number // 5 % 3 == 0], keep, stdout=pipe)
        while b"ready" not in (tmp_path / "out").read_bytes():
            assert writer.poll() is None, writer.stderr.read().decode()
            time.sleep(0.005)
        time.sleep(rng.random() * 0.15)
        writer.kill()
        writer.wait()
        acknowledged = [line.split() for line in (tmp_path / "out").read_bytes().split(b"\n")[1:-1]]
        pipe.close()
        report = verify(str(root), sample.RING)
        assert report.ok, [finding.line() for finding in report.findings]
        records = [json.loads(line) for path in sorted(Path(root).glob("w/*.jsonl")) for line in path.read_bytes().split(b"\n")[:-1]]
        there = {str(record["sequence"]).encode(): record["signature"]["sig"].encode() for record in records}
        first = report.chains[0].first_sequence
        assert all(there[sequence] == sig for sequence, sig in acknowledged if int(sequence) >= first)
        total += len(acknowledged)
    print(total, "acknowledged")
    assert total > ROUNDS
