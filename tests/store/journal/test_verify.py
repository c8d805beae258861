"""Every damage is found under its own code; what is whole is said to be whole, and how far that is proven."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from gait.errors import InvalidInput, VerificationFailed
from gait.signing.keys import Keyring
from gait.store.journal.append import Journal
from gait.store.journal.findings import MAX_FINDINGS, ChainReport, Finding, Findings
from gait.store.journal.retention import Limits
from gait.store.journal.verify import Audit, verify

from tests.store.journal import damage, sample

CASES = [json.loads(line) for line in (sample.FIXTURES / "tampering.jsonl").read_text().splitlines()]


def shown(report) -> list[str]:
    return [f"{f.code} {f.chain}/{f.segment} {f.sequence}-{f.until}" for f in report.findings]


def chain(report, name: str) -> ChainReport:
    return next(found for found in report.chains if found.chain == name)


def head_of(root, name: str) -> dict:
    return json.loads((Path(root) / name / "head.json").read_text())


def test_the_golden_journal_is_made_byte_for_byte(root, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", sample.EPOCH)
    sample.make(root)
    made = {str(path.relative_to(root)): path.read_bytes() for path in Path(root).glob("*/*") if path.name != "lock"}
    kept = {str(path.relative_to(sample.GOLDEN)): path.read_bytes() for path in sample.GOLDEN.glob("*/*") if path.name != "lock"}
    assert made == kept
    assert json.loads((sample.FIXTURES / "keyring.json").read_text()) == sample.RING.to_value()


def test_the_golden_journal_is_whole(golden):
    report = verify(str(golden), sample.RING)
    assert report.ok and not report.findings
    lines = [line for found in report.chains for line in found.lines()]
    assert lines == [
        "oneshot: 3 records, sequence 1 to 3, segments 1 to 1",
        "  proven up to sequence 3 by head of 2026-02-05T00:00:00Z (stopped)",
        "pruned: 8 records, sequence 17 to 24, segments 4 to 5",
        "  verified from sequence 17 on: what was before it is not here",
        "  proven up to sequence 24 by head of 2026-02-05T00:00:00Z (stopped)",
        "worker-1: 17 records, sequence 1 to 17, segments 1 to 3",
        "  proven up to sequence 17 by head of 2026-02-05T00:00:00Z (stopped)",
        "worker-2: 6 records, sequence 1 to 6, segments 1 to 1",
        "  proven up to sequence 3 by head of 2026-02-05T00:00:00Z (heartbeat); "
        "3 records after it are chained but could have been truncated",
    ]
    assert [gap.code for found in report.chains for gap in found.gaps] == ["not_stopped"]


def test_there_are_enough_cases():
    assert len(CASES) >= 90 and len({case["name"] for case in CASES}) == len(CASES)
    codes = {finding.split()[0] for case in CASES for finding in case["findings"]}
    assert len(codes) >= 22, sorted(codes)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_damage_is_found(golden, case):
    damage.apply(golden, case["damage"])
    report = verify(str(golden), sample.RING)
    assert case["findings"] and shown(report) == case["findings"]
    assert not report.ok and all(finding.message and finding.line() for finding in report.findings)


def test_only_records_without_a_finding_are_given(golden):
    damage.apply(golden, [["edit", "worker-1/00000001.jsonl", 2, '"allow"', '"block"'], ["drop", "worker-1/00000002.jsonl", 3]])
    damage.apply(golden, [["splice", "worker-2/00000001.jsonl", 4, "worker-1/00000003.jsonl", 1]])
    audit = Audit(str(golden), sample.RING)
    lines = [line for record, line in audit if record["chain"] == "worker-1"]
    assert [json.loads(line)["sequence"] for line in lines] == [1, *range(3, 9), *range(10, 18)]
    assert not audit.report().ok


def test_an_old_state_as_a_whole_needs_a_head_kept_elsewhere(golden):
    kept = head_of(golden, "worker-1")
    damage.apply(golden, [["copy", "worker-1/00000002.head.json", "worker-1/head.json"], ["remove", "worker-1/00000003.jsonl"]])
    assert verify(str(golden), sample.RING).ok
    assert shown(verify(str(golden), sample.RING, [kept])) == ["tail_truncated worker-1/2 14-17"]


def test_heads_kept_elsewhere(golden):
    heads = [head_of(golden, name) for name in ("worker-1", "worker-2", "pruned")]
    middle = json.loads((golden / "worker-1/00000001.head.json").read_text())
    below = json.loads((golden / "pruned/00000003.head.json").read_text())
    assert verify(str(golden), sample.RING, [*heads, middle, below]).ok
    damage.remove(golden, "worker-2")
    assert shown(verify(str(golden), sample.RING, heads)) == ["chain_missing worker-2/1 1-3"]


def test_a_journal_that_is_gone_with_a_head_kept(tmp_path, golden):
    (tmp_path / "empty").mkdir()
    assert shown(verify(str(tmp_path / "empty"), sample.RING, [head_of(golden, "oneshot")])) == ["chain_missing oneshot/1 1-3"]


def test_a_head_of_another_history(golden, tmp_path):
    other = str(tmp_path / "other")
    with Journal.open(other, "worker-2", sample.RING) as journal:
        journal.event("armed", {})
        journal.append(sample.record(99))
        head = journal.head()
    assert shown(verify(str(golden), sample.RING, [head])) == ["head_mismatch worker-2/1 2-2"]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"sequence": 999}, "digest_mismatch"), ({"signature": None}, "signature_malformed"), ({}, "")],
)
def test_a_head_that_proves_nothing_is_refused(golden, change, code):
    head = {**head_of(golden, "worker-1"), **change}
    ring = sample.RING if code else sample.OTHER
    with pytest.raises(VerificationFailed) as caught:
        verify(str(golden), ring, [head])
    assert caught.value.error_code == (code or "key_unknown")


def test_a_trace_is_no_head(golden):
    record = json.loads((golden / "worker-1/00000001.jsonl").read_text().splitlines()[1])
    with pytest.raises(VerificationFailed):
        verify(str(golden), sample.RING, [record])


def test_the_wrong_key_is_one_finding_a_segment(golden):
    report = verify(str(golden), sample.OTHER)
    codes = {finding.code for finding in report.findings}
    assert codes == {"key_unknown", "head_invalid", "segment_missing"} and chain(report, "worker-1").records == 0
    assert "key_unknown worker-1/2 7-13" in shown(report)


def test_rotated_keys_verify(golden):
    assert verify(str(golden), Keyring("trace", sample.OTHER.active, (sample.RING.active,))).ok


def test_no_journal(tmp_path):
    for path in (tmp_path / "none", tmp_path / "a\0b", tmp_path):
        with pytest.raises(InvalidInput) as caught:
            verify(str(path), sample.RING)
        assert caught.value.exit_code == 6
    with pytest.raises(InvalidInput):
        verify("", sample.RING)


def test_a_chain_without_records(root):
    Journal.open(root, "worker-1", sample.RING).abandon()
    report = verify(root, sample.RING)
    assert report.ok and chain(report, "worker-1").lines() == ["worker-1: no records"]


def test_a_chain_without_a_head(root):
    journal = Journal.open(root, "worker-1", sample.RING)
    journal.append(sample.record())
    journal.abandon()
    found = chain(verify(root, sample.RING), "worker-1")
    assert found.lines()[1] == "  no head bounds the end: 1 records are chained but could have been truncated"
    assert found.unproven == 1 and found.to_value()["unproven"] == 1


def test_a_signed_trace_with_a_time_that_is_none_is_the_traces_own_affair(root):
    with Journal.open(root, "c", sample.RING) as journal:
        journal.append(sample.record(created_at="x"))
        journal.event("armed", {"heartbeat_seconds": True})
    assert verify(root, sample.RING).ok


# --- gaps --------------------------------------------------------------------------------------


def at(monkeypatch, seconds: int) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(sample.EPOCH) + seconds))


def test_gaps(root, monkeypatch):
    at(monkeypatch, 0)
    journal = Journal.open(root, "w", sample.RING)
    journal.event("armed", {"heartbeat_seconds": 60})
    at(monkeypatch, 120)
    journal.heartbeat()
    at(monkeypatch, 241)
    journal.heartbeat()
    at(monkeypatch, 250)
    journal.close()
    at(monkeypatch, 1000)
    journal = Journal.open(root, "w", sample.RING)
    journal.event("armed", {"heartbeat_seconds": 60})
    journal.append(sample.record(created_at="2026-02-05T00:17:00Z"))
    journal.abandon()
    at(monkeypatch, 2000)
    journal = Journal.open(root, "w", sample.RING)
    journal.event("armed", {"heartbeat_seconds": 0})
    at(monkeypatch, 9000)
    journal.heartbeat()
    report = verify(root, sample.RING)
    gaps = chain(report, "w").gaps
    assert report.ok and [(gap.code, gap.sequence, gap.until, gap.seconds) for gap in gaps] == [
        ("heartbeat_missing", 2, 3, 121.0),
        ("unarmed", 4, 5, 750.0),
        ("killed", 6, 7, 980.0),
        ("not_stopped", 8, 8, 0.0),
    ]
    assert gaps[0].line() == (
        "w after sequence 2: heartbeat_missing: no heartbeat for more than 2 intervals of 60 s; "
        "2026-02-05T00:02:00Z to 2026-02-05T00:04:01Z (121 s)"
    )
    journal.close()
    codes = [gap.code for gap in chain(verify(root, sample.RING), "w").gaps]
    assert codes == ["heartbeat_missing", "unarmed", "killed"]


# --- beside a writer ---------------------------------------------------------------------------

# It pauses: a verification that is measured for coverage is slower than a writer that is not, and would follow it for ever.
WRITER = """
import time
from gait.store.journal.append import Journal
from gait.store.journal.retention import Limits
journal = Journal.open(argv[0], "live", sample.RING, limits=Limits(segment_bytes=60_000, keep_segments=int(argv[1])))
journal.event("armed", {"heartbeat_seconds": 60})
print("ready", flush=True)
while True:
    for number in range(50):
        journal.append(sample.record(number))
    journal.heartbeat()
    time.sleep(0.05)
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 4])
def test_verification_beside_a_writer_that_rotates(root, child, keep):
    writer = child(WRITER, root, keep)
    assert writer.stdout.readline() == b"ready\n"
    end = time.monotonic() + 1.5
    rounds = 0
    while time.monotonic() < end:
        report = verify(root, sample.RING)
        assert report.ok, shown(report)
        rounds += 1
    writer.kill()
    writer.wait()
    assert rounds > 2 and verify(root, sample.RING).ok


def test_half_a_line_after_the_last_head_is_what_a_crash_leaves(root):
    journal = Journal.open(root, "w", sample.RING)
    journal.event("armed", {})
    journal.append(sample.record())
    journal.abandon()
    path = os.path.join(root, "w", "00000001.jsonl")
    os.truncate(path, os.path.getsize(path) - 10)
    report = verify(root, sample.RING)
    assert report.ok and report.chains[0].last_sequence == 1 and report.chains[0].torn_bytes > 800
    assert "bytes of an unfinished line follow" in report.chains[0].lines()[-1]


def test_a_line_that_is_finished_between_two_looks(root, monkeypatch):
    """The writer is in the middle of a line at the first look, and a segment further at the second."""
    from gait.store.journal.walk import Walk

    with Journal.open(root, "w", sample.RING, limits=Limits(segment_bytes=1500)) as journal:
        for number in range(5):
            journal.append(sample.record(number))
    path = os.path.join(root, "w", "00000001.jsonl")
    data = Path(path).read_bytes()
    os.truncate(path, len(data) - 10)
    look = Walk._following

    def finish(walk: Walk, number: int) -> int:
        Path(path).write_bytes(data) if number == 1 else None
        return look(walk, number)

    monkeypatch.setattr(Walk, "_following", finish)
    report = verify(root, sample.RING)
    assert report.ok and report.chains[0].records == 6, shown(report)


# --- bounds ------------------------------------------------------------------------------------


def test_findings_are_bounded_and_counted():
    found = Findings()
    for number in range(MAX_FINDINGS * 2):
        found.add(Finding("a" if number % 2 else "b", "c", 1, number, number, ""))
    assert len(found.items) == MAX_FINDINGS and found.total == MAX_FINDINGS * 2
    run = Findings()
    for number in range(5):
        run.add(Finding("a", "c", 1, number, number, "m"))
    assert run.items == [Finding("a", "c", 1, 0, 4, "m")] and run.total == 5
    assert run.items[0].line() == "c segment 1 sequence 0 to 4: a: m" and run.items[0].to_value()["until"] == 4


def test_memory_does_not_grow_with_the_journal(root, child):
    with Journal.open(root, "big", sample.RING, limits=Limits(segment_bytes=1 << 21)) as journal:
        for number in range(12_000):
            journal.append(sample.record(number))
    code = """
import resource
from gait.store.journal.verify import verify
verify(argv[1], sample.RING)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert verify(argv[0], sample.RING).ok
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = child(code, root, sample.GOLDEN)
    out, errors = done.communicate(timeout=60)
    assert not errors and int(out) < 3000, errors  # kilobytes; the journal has 11,000


def test_verification_is_fast(root):
    """At least 50,000 records a second are asked for; here only that it is not several times slower, on any machine."""
    with Journal.open(root, "big", sample.RING) as journal:
        for number in range(5_000):
            journal.append(sample.record(number))
    started = time.process_time()
    assert verify(root, sample.RING).ok
    assert 5_000 / (time.process_time() - started) > 8_000


def test_retention_beside_a_reader(root):
    """Segments that go while they are being read are no finding: the pruned record tells of them."""
    with Journal.open(root, "w", sample.RING, limits=Limits(segment_bytes=3000)) as journal:
        for number in range(25):
            journal.append(sample.record(number))
    audit = Audit(root, sample.RING)
    seen = iter(audit)
    assert next(seen).record["sequence"] == 1
    with Journal.open(root, "w", sample.RING, limits=Limits(segment_bytes=3000, keep_segments=2)) as journal:
        for number in range(5):
            journal.append(sample.record(number))
    assert not os.path.lexists(os.path.join(root, "w", "00000001.jsonl"))
    numbers = [verified.record["sequence"] for verified in seen]
    assert audit.report().ok, shown(audit.report())
    assert numbers[:2] == [2, 3] and numbers == sorted(numbers)
