"""A chain of a long-running process: threads, rotation, retention, and what happens when the system refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from gait.errors import GaitError, InvalidInput, StorageError, VerificationFailed
from gait.signing import envelope
from gait.store.journal import records
from gait.store.journal.append import Journal
from gait.store.journal.records import Tail
from gait.store.journal.retention import Limits
from gait.store.journal.verify import verify

from tests.store.journal import damage, sample

SEGMENT = "00000001.jsonl"


def opened(root: str, **options: object) -> Journal:
    return Journal.open(root, "w", sample.RING, **options)


def segment(root: str, number: int = 1) -> Path:
    return Path(root) / "w" / f"{number:08d}.jsonl"


def lines(root: str) -> list[dict]:
    found = sorted((Path(root) / "w").glob("*.jsonl"))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def whole(root: str, **options: object):
    report = verify(root, sample.RING, **options)
    assert report.ok, [finding.line() for finding in report.findings]
    return report.chains[0]


def fails(journal: Journal, code: str = "") -> StorageError:
    with pytest.raises(StorageError) as caught:
        journal.append(sample.record())
    assert caught.value.retryable and caught.value.http_status == 503
    assert not code or caught.value.error_code == code, caught.value
    return caught.value


# --- appending ---------------------------------------------------------------------------------


def test_a_record_is_linked_signed_and_returned(root):
    with opened(root) as journal:
        first = journal.append(sample.record(1))
        second = journal.append(sample.record(2))
        assert journal.tail[0] == 1 and journal.tail.sequence == 2 and journal.usable and not journal.problem
        assert (journal.chain, journal.folder) == ("w", os.path.join(root, "w"))
    assert (first["chain"], first["sequence"], first["prev_digest"]) == ("w", 1, "0" * 64)
    assert second["sequence"] == 2
    assert envelope.verify(second, sample.RING, envelope.TRACE) is second
    assert lines(root)[:2] == [first, second] and lines(root)[2]["event"] == "stopped"
    assert whole(root).proven_by == "stopped"


def test_files_are_private(root):
    with opened(root, limits=Limits(segment_bytes=1)) as journal:
        journal.append(sample.record())
    modes = {path.name: path.stat().st_mode & 0o777 for path in (Path(root) / "w").iterdir()}
    assert set(modes.values()) == {0o600} and os.stat(journal.folder).st_mode & 0o777 == 0o700
    assert "00000001.head.json" in modes


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a" * 65, "é", "a\n"])
def test_names_of_chains(root, name):
    with pytest.raises(InvalidInput):
        Journal.open(root, name, sample.RING)
    assert not os.path.exists(root)


def test_durability_is_one_of_two_words(root):
    with pytest.raises(InvalidInput, match="process, power"):
        opened(root, durability="disk")


def test_an_unknown_event_and_a_record_that_no_journal_takes(root):
    with opened(root) as journal:
        for bad in (lambda: journal.event("slept", {}), lambda: journal.append({"schema_id": "x"})):
            with pytest.raises(InvalidInput):
                bad()
        assert journal.append(sample.record())["sequence"] == 1
    whole(root)


def test_heads_at_signs_of_life_and_on_demand(root):
    journal = opened(root)
    assert journal.head()["sequence"] == 0
    journal.event("armed", {"heartbeat_seconds": 60})
    journal.append(sample.record())
    assert whole(root).unproven == 1
    assert records.read_head(journal.head(), sample.RING).tail == journal.tail
    journal.heartbeat()
    assert whole(root).unproven == 0 and whole(root).proven_by == "heartbeat"
    kept = journal.head()
    journal.close()
    whole(root, heads=[kept])
    journal.close()
    journal.abandon()


@pytest.mark.parametrize("durability", ["process", "power"])
def test_sixteen_threads(root, durability):
    count = 500 if durability == "process" else 40
    journal = opened(root, durability=durability, limits=Limits(segment_bytes=1 << 20))
    found: list[int] = []

    def work(worker: int) -> None:
        for number in range(count):
            found.append(journal.append(sample.record(worker * count + number))["sequence"])
            if number == 17:
                journal.heartbeat()
                journal.event("refused_input", {"sha256": "a", "bytes": 1, "reason": "x"})

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert len(set(found)) == 16 * count == len(found)
    digests = [line["args_digest"] for line in lines(root) if "verdict" in line]
    assert sorted(digests) == sorted(sample.record(number)["args_digest"] for number in range(16 * count))
    assert whole(root).records == 16 * (count + 2) + 1


def test_a_chain_goes_on_where_it_ended(root):
    with opened(root) as journal:
        journal.append(sample.record())
    with opened(root) as journal:
        assert journal.append(sample.record())["sequence"] == 3
    journal = opened(root)
    assert journal.append(sample.record())["sequence"] == 5
    journal.abandon()
    with opened(root, durability="power") as journal:
        assert journal.append(sample.record())["sequence"] == 6
    whole(root)


def test_an_exception_leaves_without_a_word(root):
    with pytest.raises(RuntimeError), opened(root) as journal:
        journal.append(sample.record())
        raise RuntimeError
    assert len(lines(root)) == 1
    fails(journal, "journal_closed")


def test_two_writers(root, child):
    journal = opened(root)
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            opened(root)
        assert caught.value.error_code == "journal_in_use" and "another process" in str(caught.value)
    code = "from gait.store.journal.append import Journal\nJournal.open(argv[0], 'w', sample.RING)"
    out, errors = child(code, root).communicate(timeout=30)
    assert b"is in use" in errors
    journal.append(sample.record())
    journal.close()
    opened(root).close()
    whole(root)


def test_what_a_killed_writer_left_of_a_head_is_removed(root):
    opened(root).close()
    left = Path(root) / "w" / ".gait-0123456789abcdef.tmp"
    left.write_text("x")
    opened(root).close()
    assert not left.exists()


# --- rotation and retention --------------------------------------------------------------------


def test_rotation_by_bytes(root):
    with opened(root, limits=Limits(segment_bytes=3000)) as journal:
        for number in range(20):
            journal.append(sample.record(number))
    assert all(path.stat().st_size < 3000 + 1000 for path in (Path(root) / "w").glob("*.jsonl"))
    found = whole(root)
    assert found.records == 21 and found.last_segment > 4


def test_rotation_by_age(root, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    journal = opened(root, limits=Limits(segment_seconds=100))
    journal.append(sample.record())
    journal.append(sample.record())
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249700")
    journal.append(sample.record())
    journal.abandon()
    assert whole(root).last_segment == 2
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249801")
    with opened(root, limits=Limits(segment_seconds=0)) as journal:
        journal.append(sample.record())
    assert whole(root).last_segment == 2
    with opened(root, limits=Limits(segment_seconds=100)) as journal:
        journal.append(sample.record())
    assert whole(root).last_segment == 3


@pytest.mark.parametrize(
    ("limits", "segments"),
    [
        (Limits(segment_bytes=3000, keep_segments=3), 3),
        (Limits(segment_bytes=3000, keep_segments=1), 1),
        (Limits(segment_bytes=3000, keep_bytes=9000), 3),
        (Limits(segment_bytes=3000, keep_seconds=50), 2),
        (Limits(segment_bytes=3000, keep_seconds=500), 6),
        (Limits(segment_bytes=3000), 6),
    ],
)  # fmt: skip
def test_retention(root, monkeypatch, limits, segments):
    with opened(root, limits=limits) as journal:
        for number in range(21):
            monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1770249600 + number * 20))
            journal.append(sample.record(number))
    found = whole(root)
    numbers = [int(path.name[:8]) for path in sorted((Path(root) / "w").glob("*.jsonl"))]
    assert len(numbers) == segments or segments == 6 and numbers[0] == 1, numbers
    assert numbers == list(range(found.first_segment, found.last_segment + 1))
    assert (found.first_sequence == 1) == (numbers[0] == 1)
    heads = [int(path.name[:8]) for path in sorted((Path(root) / "w").glob("0*.head.json"))]
    assert heads == list(range(max(1, numbers[0] - 1), numbers[-1])), "the anchor and nothing older"
    with opened(root, limits=limits) as journal:
        journal.append(sample.record())
    whole(root)


@pytest.mark.parametrize("text", ["", "{}"])
def test_retention_keeps_what_has_no_anchor(root, text):
    limits = Limits(segment_bytes=1000)
    with opened(root, limits=limits) as journal:
        for number in range(6):
            journal.append(sample.record(number))
    head = Path(root) / "w" / "00000001.head.json"
    head.write_text(text) if text else head.unlink()
    with opened(root, limits=limits._replace(keep_segments=1)) as journal:
        for number in range(4):
            journal.append(sample.record(number))
    assert segment(root).exists()
    assert [finding.code for finding in verify(root, sample.RING).findings] == ["head_invalid" if text else "head_missing"]


def test_retention_that_may_not_remove_says_so(root):
    with opened(root, limits=Limits(segment_bytes=1000)) as journal:
        for number in range(4):
            journal.append(sample.record(number))
    segment(root).unlink()
    segment(root).mkdir()  # even root cannot unlink a folder
    with opened(root, limits=Limits(segment_bytes=1000, keep_segments=1)) as journal:
        for number in range(4):
            journal.append(sample.record(number))
        assert "00000001.jsonl" in journal.problem
    segment(root).rmdir()
    whole(root)


# --- torn lines --------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [b"x", b'{"args_digest":', b"\0" * 5000, b"y" * (3 << 20)], ids=["x", "json", "nul", "long"])
def test_a_torn_line_is_set_aside(root, torn):
    journal = opened(root)
    journal.append(sample.record())
    journal.abandon()
    with open(segment(root), "ab") as stream:
        stream.write(torn)
    with opened(root) as journal:
        assert journal.append(sample.record())["sequence"] == 3
    record = lines(root)[1]
    import hashlib

    assert record["event"] == "torn_line" and record["details"] == {
        "file": "torn-2.bin", "sha256": hashlib.sha256(torn).hexdigest(), "size_bytes": len(torn),
    }  # fmt: skip
    assert (Path(root) / "w" / "torn-2.bin").read_bytes() == torn[: records.MAX_LINE_BYTES]
    found = whole(root)
    assert found.torn_lines == 1 and "1 torn lines were set aside" in found.lines()[-1]


def test_a_crash_between_the_torn_file_and_its_record(root):
    opened(root).close()
    (Path(root) / "w" / "torn-2.bin").write_bytes(b"half")
    opened(root).close()
    assert lines(root)[1]["details"]["size_bytes"] == 4
    whole(root)


def test_a_torn_line_that_cannot_be_set_aside(root):
    opened(root).close()
    with open(segment(root), "ab") as stream:
        stream.write(b"half")
    (Path(root) / "w" / "torn-2.bin").mkdir()
    for _ in range(2):
        with pytest.raises(GaitError):
            opened(root)
    (Path(root) / "w" / "torn-2.bin").rmdir()
    opened(root).close()
    whole(root)


# --- what a writer refuses to go on from -------------------------------------------------------

REFUSED = [
    ("tail_truncated", [["drop", "worker-1/00000003.jsonl", 4]]),
    ("tail_truncated", [["remove", "worker-1/00000003.jsonl"]]),
    ("tail_truncated", [["remove", *(f"worker-1/0000000{n}.jsonl" for n in (1, 2, 3))]]),
    ("head_missing", [["remove", "worker-1/head.json"]]),
    ("head_invalid", [["overwrite", "worker-1/head.json", "{}"]]),
    ("head_invalid", [["copy", "worker-2/head.json", "worker-1/head.json"]]),
    ("head_mismatch", [["edit", "worker-1/00000003.jsonl", 4, "stopped", "stoqqed"]]),
    ("head_missing", [["copy", "worker-1/00000002.head.json", "worker-1/head.json"], ["remove", "worker-1/00000002.head.json"]]),
]


@pytest.mark.parametrize(("code", "steps"), REFUSED, ids=range(len(REFUSED)))
def test_a_damaged_end_is_refused(golden, code, steps):
    damage.apply(golden, steps)
    with pytest.raises(VerificationFailed) as caught:
        Journal.open(str(golden), "worker-1", sample.RING)
    assert caught.value.error_code == code and "gait journal verify" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("digest_mismatch", ["edit", "worker-2/00000001.jsonl", 5, '"writes"', '"Writes"']),
        ("line_not_json", ["insert", "worker-2/00000001.jsonl", 5, "x\n"]),
        ("link_broken", ["drop", "worker-2/00000001.jsonl", 5]),
        ("link_broken", ["swap", "worker-2/00000001.jsonl", 5, 6]),
        ("link_broken", ["splice", "worker-1/00000001.jsonl", 2, "worker-2/00000001.jsonl", 6]),
        ("record_malformed", ["forge", "worker-2/00000001.jsonl", 5, {"sequence": "5"}]),
        ("line_not_json", ["append", "worker-2/00000001.jsonl", "x" * (1 << 21) + "\n"]),
        ("key_unknown", ["forge", "worker-2/00000001.jsonl", 6, {}, "other"]),
    ],
)
def test_damage_after_the_last_head_is_refused(golden, code, step):
    damage.apply(golden, [step])
    with pytest.raises(VerificationFailed) as caught:
        Journal.open(str(golden), "worker-2", sample.RING)
    assert caught.value.error_code == code


def test_a_head_that_was_put_back_is_refused(root):
    journal = opened(root)
    journal.event("armed", {})
    old = (Path(root) / "w" / "head.json").read_bytes()
    journal.heartbeat()
    journal.heartbeat()
    journal.abandon()
    (Path(root) / "w" / "head.json").write_bytes(old)
    with pytest.raises(VerificationFailed) as caught:
        opened(root)
    assert caught.value.error_code == "head_stale"
    (Path(root) / "w" / "head.json").unlink()
    with pytest.raises(VerificationFailed) as caught:
        opened(root)
    assert caught.value.error_code == "head_stale"


def test_after_a_rotation_without_a_record(golden):
    damage.apply(golden, [["copy", "worker-1/00000002.head.json", "worker-1/head.json"], ["overwrite", "worker-1/00000003.jsonl", ""]])
    with Journal.open(str(golden), "worker-1", sample.RING) as journal:
        assert journal.append(sample.record())["sequence"] == 14
    assert verify(str(golden), sample.RING).ok


def test_another_key_does_not_go_on(root):
    opened(root).close()
    with pytest.raises(VerificationFailed) as caught:
        Journal.open(root, "w", sample.OTHER)
    assert caught.value.error_code == "head_invalid" and "key_unknown" in str(caught.value)


def test_a_file_in_place_of_the_folder(root, tmp_path):
    Path(root).write_text("")
    with pytest.raises(StorageError):
        opened(root)
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "w").write_text("")
    with pytest.raises(StorageError):
        opened(str(tmp_path / "j"))


def test_a_lock_that_cannot_be_made(root):
    os.makedirs(os.path.join(root, "w", "lock"), 0o700)
    with pytest.raises(StorageError) as caught:
        opened(root)
    assert caught.value.error_code != "journal_in_use"


# --- under a running writer --------------------------------------------------------------------


@pytest.fixture(params=["process", "power"])
def running(root, request):
    journal = opened(root, durability=request.param)
    journal.event("armed", {"heartbeat_seconds": 60})
    journal.append(sample.record())
    yield journal
    journal.abandon()


def goes_on(journal: Journal, root: str) -> None:
    sequence = journal.tail.sequence
    assert journal.append(sample.record())["sequence"] >= sequence + 1 and journal.usable
    journal.heartbeat()
    journal.append(sample.record())


@pytest.mark.parametrize("what", ["", "w", f"w/{SEGMENT}"], ids=["journal", "chain", "segment"])
def test_renamed_and_put_back(running, root, what):
    path = os.path.join(root, what).rstrip("/")
    os.rename(path, path + ".away")
    for _ in range(3):
        fails(running)
        assert not running.usable
    os.rename(path + ".away", path)
    goes_on(running, root)
    assert whole(root).torn_lines == 0


@pytest.mark.parametrize("what", ["", "w", f"w/{SEGMENT}"], ids=["journal", "chain", "segment"])
def test_replaced_by_a_file_or_folder(running, root, what):
    path = os.path.join(root, what).rstrip("/")
    os.rename(path, path + ".away")
    if what.endswith("jsonl"):
        os.mkdir(path)
    else:
        Path(path).write_text("")
    for _ in range(3):
        fails(running)
    os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    os.rename(path + ".away", path)
    goes_on(running, root)
    whole(root)


def test_the_journal_is_deleted_and_the_folder_made_again(running, root):
    shutil.rmtree(root)
    for _ in range(3):
        fails(running)
    assert not os.path.exists(root)
    os.mkdir(root, 0o700)
    goes_on(running, root)
    report = verify(root, sample.RING)
    assert [(finding.code, finding.sequence, finding.until) for finding in report.findings] == [("segment_missing", 1, 2)]
    running.close()
    opened(root).close()


def test_an_empty_journal_is_deleted_and_made_again(root):
    journal = opened(root)
    shutil.rmtree(os.path.join(root, "w"))
    fails(journal)
    goes_on(journal, root)
    journal.close()
    assert whole(root).first_segment == 1


@pytest.mark.parametrize("what", ["w", f"w/{SEGMENT}"], ids=["chain", "segment"])
def test_deleted_for_good(running, root, what):
    """Nothing can bring the records back: the service goes on, and verification tells of them for ever."""
    path = Path(root) / what
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    fails(running)
    goes_on(running, root)
    report = verify(root, sample.RING)
    assert [(finding.code, finding.sequence, finding.until) for finding in report.findings] == [("segment_missing", 1, 2)]
    running.close()
    opened(root).close()


def test_a_later_segment_after_a_deleted_one(running, root):
    segment(root).unlink()
    segment(root, 2).write_text("x")
    for _ in range(3):
        fails(running)
    segment(root, 2).unlink()
    goes_on(running, root)


def test_moved_away_and_made_anew(running, root):
    os.rename(root, root + ".old")
    os.mkdir(root, 0o700)
    for _ in range(3):
        fails(running)
    assert not os.listdir(root)
    os.rmdir(root)
    os.rename(root + ".old", root)
    goes_on(running, root)
    whole(root)


def test_another_file_in_place_of_the_segment(running, root):
    shutil.copy(segment(root), root + ".copy")
    os.replace(root + ".copy", segment(root))
    fails(running, "journal_changed")
    goes_on(running, root)  # the copy ends with the record that was acknowledged last
    whole(root)


@pytest.mark.parametrize("text", ["", "x", "x\n"])
def test_a_segment_that_somebody_cut_or_wrote_to(running, root, text):
    if text:
        with open(segment(root), "a") as stream:
            stream.write(text)
    else:
        os.truncate(segment(root), segment(root).stat().st_size - 5)
    for _ in range(3):
        fails(running, "journal_changed")
    assert not running.usable


def test_somebody_else_holds_the_chain_when_the_folder_is_back(running, root):
    os.rename(root, root + ".away")
    fails(running)
    os.mkdir(root, 0o700)
    other = opened(root)
    fails(running, "journal_in_use")
    other.append(sample.record())
    other.abandon()
    fails(running)
    shutil.rmtree(root)
    os.rename(root + ".away", root)
    goes_on(running, root)
    whole(root)


def test_another_file_system_in_place_of_the_journal(running, root):
    if not mounted("size=64k", root):
        pytest.skip("mount is not permitted")
    try:
        fails(running)
        fails(running, "journal_changed")
    finally:
        subprocess.run(["umount", root], check=True)
    goes_on(running, root)
    whole(root)


def test_a_next_segment_that_is_there_already(root):
    journal = opened(root, limits=Limits(segment_bytes=1))
    journal.append(sample.record())
    segment(root, 2).write_text("x")
    for _ in range(2):
        fails(journal, "journal_changed")
    segment(root, 2).unlink()
    journal.append(sample.record())
    journal.close()
    whole(root)


def test_a_head_that_cannot_be_written(root):
    journal = opened(root)
    journal.append(sample.record())
    head = Path(root) / "w" / "head.json"
    head.mkdir()
    with pytest.raises(StorageError):
        journal.heartbeat()
    assert journal.append(sample.record())["sequence"] == 3
    head.rmdir()
    journal.close()
    whole(root)


INTERRUPTED = """
import signal
from gait.store.journal.append import Journal
journal = Journal.open(argv[0], "w", sample.RING)

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
acknowledged = 0
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0004)
        while True:
            acknowledged = journal.append(sample.record())["sequence"]
    except KeyboardInterrupt:
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
journal.close()
print(acknowledged)
"""


def test_an_interrupt_in_the_middle_of_an_append(root, child):
    """A signal handler may raise between any two steps; the file and the memory of it stay one."""
    unmeasured = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    out, errors = child(INTERRUPTED, root, env=unmeasured).communicate(timeout=60)  # coverage's own locks do not survive this
    assert not errors and whole(root).last_sequence > int(out) > 300


# --- the disk ----------------------------------------------------------------------------------


def mounted(options: str, path: str) -> bool:
    os.makedirs(path, 0o700, exist_ok=True)
    try:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True).returncode == 0
    except OSError:
        return False


LIMITED = """
import os, resource, signal, sys
sys.dont_write_bytecode = True  # or Python 3.9 leaves half of it under the limit
from gait.errors import StorageError
from gait.store.journal.append import Journal
journal = Journal.open(argv[0], "w", sample.RING, durability=argv[1])
journal.event("armed", {})
size = os.stat(argv[0] + "/w/00000001.jsonl").st_size
refused = 0
for extra in (0, 1, 100, 500, 899):
    journal.append(sample.record())
    size = os.stat(argv[0] + "/w/00000001.jsonl").st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + extra, resource.RLIM_INFINITY))
    for _ in range(2):
        try:
            journal.append(sample.record())
        except StorageError as error:
            assert "File too large" in str(error) and error.retryable, error
            refused += 1
    assert os.stat(argv[0] + "/w/00000001.jsonl").st_size == size
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(sample.record())
journal.close()
print(refused)
"""


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_partial_write_is_taken_back(root, child, durability):
    out, errors = child(LIMITED, root, durability).communicate(timeout=60)
    assert out == b"10\n" and not errors, errors.decode()
    assert whole(root).records == 12


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_full_disk(root, durability):
    if not mounted("size=96k", root):
        pytest.skip("mount is not permitted")
    try:
        journal = opened(root, durability=durability, limits=Limits(segment_bytes=20_000))
        journal.event("armed", {})
        ballast = Path(root) / "ballast"
        ballast.write_bytes(b"x" * 30_000)
        with pytest.raises(StorageError, match="No space left"):
            for number in range(1000):
                journal.append(sample.record(number))
        acknowledged = journal.tail.sequence
        for _ in range(5):
            fails(journal)
        assert whole(root).last_sequence >= acknowledged
        ballast.unlink()
        goes_on(journal, root)
        journal.close()
        assert whole(root).last_sequence >= acknowledged + 4
    finally:
        subprocess.run(["umount", root], check=True)


SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
int fsync(int fd) {
    const char *flag = getenv("FAIL_FSYNC");
    if (flag && access(flag, F_OK) == 0) { errno = EIO; return -1; }
    return syscall(SYS_fsync, fd);
}
"""

FSYNC = """
import os, threading
from gait.errors import StorageError
from gait.store.journal.append import Journal
from gait.store.journal.retention import Limits
flag, root = os.environ["FAIL_FSYNC"], argv[0]
journal = Journal.open(root, "w", sample.RING, durability="power", limits=Limits(segment_bytes=int(argv[1])))
journal.event("armed", {})
acknowledged, refused = [], []

def work(count):
    for number in range(count):
        try:
            acknowledged.append(journal.append(sample.record(number))["signature"]["sig"])
        except StorageError as error:
            assert error.retryable and "Input/output error" in str(error), error
            refused.append(1)

def all_at_once(count):
    threads = [threading.Thread(target=work, args=(count,)) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

for _ in range(4):
    all_at_once(5)
    before = len(acknowledged)
    open(flag, "w").close()
    all_at_once(3)
    assert len(acknowledged) == before and not journal.usable
    for bad in (journal.heartbeat, lambda: journal.event("refused_input", {})):
        try:
            bad()
            raise SystemExit("a heartbeat was acknowledged")
        except StorageError:
            pass
    os.unlink(flag)
    work(1)
    assert len(acknowledged) == before + 1
journal.close()
sigs = {__import__("json").loads(line)["signature"]["sig"] for name in os.listdir(root + "/w") if name.endswith(".jsonl") for line in open(root + "/w/" + name)}
assert set(acknowledged) <= sigs and len(refused) == 4 * 24, (len(refused), len(acknowledged))
print("ok")
"""


@pytest.mark.parametrize("segment_bytes", [1 << 20, 4000])
def test_a_failing_fsync(root, child, tmp_path, segment_bytes):
    """The system's own seam: a library in front of the C library's fsync, loaded by the dynamic linker."""
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    try:
        made = subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], capture_output=True)
    except OSError:
        pytest.skip("gcc is not there")
    if made.returncode or not Path("/proc").is_dir():
        pytest.skip("no LD_PRELOAD here")
    environment = {**os.environ, "LD_PRELOAD": str(library), "FAIL_FSYNC": str(tmp_path / "flag")}
    out, errors = child(FSYNC, root, segment_bytes, env=environment).communicate(timeout=60)
    assert out == b"ok\n" and not errors, errors.decode()
    assert whole(root).torn_lines >= 1


def test_no_descriptor_for_the_sync(root, child):
    code = """
import os, resource
from gait.errors import StorageError
from gait.store.journal.append import Journal
journal = Journal.open(argv[0], "w", sample.RING, durability="power")
journal.append(sample.record())
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
try:
    journal.append(sample.record())
except StorageError as error:
    assert "Too many open files" in str(error), error
    print("refused")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
journal.append(sample.record())
journal.close()
"""
    out, errors = child(code, root).communicate(timeout=30)
    assert out == b"refused\n" and not errors, errors.decode()
    whole(root)


def test_the_cost_of_opening_does_not_grow(root):
    with opened(root, limits=Limits(segment_bytes=1 << 20)) as journal:
        for number in range(3000):
            journal.append(sample.record(number))
    from time import perf_counter

    started = perf_counter()
    opened(root).close()
    assert perf_counter() - started < 0.5
    assert Tail() == Tail(1, 0, 0, "0" * 64)
