"""The counters: exact, whatever runs beside them, whatever the clock does, and whatever becomes of the process."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gait.errors import GaitError, MissingDependency, StorageError
from gait.gate.quotas import Quota
from gait.store import counters
from gait.store.counters import NAME, Counters

ROOT = Path(__file__).resolve().parents[2]
DAY = 86400
LIMIT = Quota("k", 1000, window_seconds=DAY * 36500)  # one window for the whole test

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from gait.gate.quotas import Quota
from gait.store.counters import Counters
store, allowed = Counters(sys.argv[2]), 0
quota = Quota("k", int(sys.argv[3]), window_seconds=86400 * 36500)
sys.stdin.read(1)
for _ in range(int(sys.argv[4])):
    with store.turn() as turn:
        if quota.allows(turn.used(quota)):
            turn.take(quota)
            turn.commit()
            allowed += 1
            if len(sys.argv) > 5:
                print(1, flush=True)
print("allowed", allowed, flush=True)
"""


def take(store, quota):
    with store.turn() as turn:
        if not quota.allows(turn.used(quota)):
            return False
        turn.take(quota)
        turn.commit()
        return True


def used(store, quota):
    with store.turn() as turn:
        return turn.used(quota)


def children(count, *words):
    started = [
        subprocess.Popen([sys.executable, "-I", "-c", CHILD, str(ROOT), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return started


@pytest.fixture
def store(tmp_path):
    made = Counters(str(tmp_path / "counters"))
    yield made
    made.close()


def test_exactly_the_limit(store):
    quota = Quota("k", 3)
    assert [take(store, quota) for _ in range(5)] == [True, True, True, False, False]
    assert used(store, quota) == 3
    assert used(store, Quota("other", 3)) == 0


def test_what_is_not_committed_was_not_used(store):
    quota = Quota("k", 3)
    with store.turn() as turn:
        turn.take(quota)
    with pytest.raises(ZeroDivisionError):
        with store.turn() as turn:
            turn.take(quota)
            1 / 0
    assert used(store, quota) == 0


def test_several_quotas_are_taken_together_or_not_at_all(store):
    first, second = Quota("a", 3), Quota("b", 5, amount=4)
    with store.turn() as turn:
        turn.take(first)
        turn.take(second)
        turn.take(first)
        turn.commit()
    assert (used(store, first), used(store, second)) == (2, 4)


def test_a_turn_that_has_ended_does_nothing(store):
    with store.turn() as turn:
        turn.commit()
        with pytest.raises(StorageError, match="one that has ended"):
            turn.take(Quota("k", 1))


def test_counts_survive_a_restart(store, tmp_path):
    take(store, Quota("k", 1))
    store.close()
    again = Counters(str(tmp_path / "counters"))
    assert not take(again, Quota("k", 1))
    again.close()


@pytest.mark.parametrize("sync", [False, True])
def test_the_files_are_private(tmp_path, sync):
    store = Counters(str(tmp_path / "home" / "counters"), sync)
    take(store, LIMIT)
    folder = tmp_path / "home" / "counters"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {NAME: 0o600, NAME + "-wal": 0o600, NAME + "-shm": 0o600}
    store.close()


# --- time ------------------------------------------------------------------------------------------


def at(monkeypatch, seconds):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(seconds))


def test_a_window_that_is_over_counts_no_more(store, monkeypatch):
    quota = Quota("k", 1, window_seconds=60)
    at(monkeypatch, 1_800_000_000)
    assert (take(store, quota), take(store, quota)) == (True, False)
    at(monkeypatch, 1_800_000_059)
    assert not take(store, quota)
    at(monkeypatch, 1_800_000_060)
    assert (take(store, quota), take(store, quota)) == (True, False)


def test_a_clock_that_goes_back_grants_nothing(store, monkeypatch):
    """However often it jumps, no more is granted than there were windows on the way forward."""
    quotas = [Quota(name, 2, window_seconds=60) for name in "abc"]
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    latest, windows, granted = 0, set(), {quota.key: 0 for quota in quotas}
    for _ in range(400):
        now = 1_800_000_000 + rng.randrange(1200)
        latest = max(latest, now)
        windows.add(latest // 60)
        at(monkeypatch, now)
        quota = rng.choice(quotas)
        granted[quota.key] += take(store, quota)
    assert all(count <= 2 * len(windows) for count in granted.values())
    at(monkeypatch, 1_800_000_000)
    with store.turn() as turn:
        assert turn.now > 1_800_000_000


def test_a_clock_that_goes_back_revives_no_count_that_was_forgotten(store, monkeypatch):
    """The row of a token that expired may be gone; the time to judge the token by is not before that."""
    token = Quota("token", 1, expires_at=1_800_000_100.0)
    at(monkeypatch, 1_800_000_000)
    assert take(store, token)
    at(monkeypatch, 1_800_000_200)
    assert take(store, Quota("other", 1, window_seconds=60))  # prunes
    assert rows(store) == ["other"]
    at(monkeypatch, 1_800_000_000)
    with store.turn() as turn:
        assert turn.now == 1_800_000_200.0


def rows(store):
    store.close()
    with sqlite3.connect(store.path) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM counts ORDER BY key")]


def test_counts_that_are_over_are_forgotten_and_no_others(store, monkeypatch):
    at(monkeypatch, 1_800_000_000)
    for number in range(250):
        take(store, Quota(f"minute-{number}", 1, window_seconds=60))
    take(store, Quota("day", 1, window_seconds=DAY))
    take(store, Quota("for ever", 1))
    at(monkeypatch, 1_800_000_600)
    for number in range(3):
        take(store, Quota(f"new-{number}", 1, window_seconds=60))
    assert rows(store) == ["day", "for ever", "new-0", "new-1", "new-2"]


# --- others at the same time -----------------------------------------------------------------------


def test_threads(store):
    quota, allowed = Quota("k", 100), []

    def work():
        for _ in range(25):
            allowed.append(take(store, quota))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(allowed), sum(allowed), used(store, quota)) == (400, 100, 100)


def race(tmp_path, count, limit, requests):
    started = children(count, tmp_path / "counters", limit, requests)
    for child in started:
        child.stdin.write("x")
        child.stdin.close()
    ends = [child.stdout.read().split() for child in started]
    assert [child.wait() for child in started] == [0] * count
    return [int(words[-1]) for words in ends]


def test_processes(tmp_path):
    assert sum(race(tmp_path, 4, 150, 100)) == 150


def test_a_process_that_was_forked_off_counts_on_by_a_connection_of_its_own(store):
    quota = Quota("k", 300)
    assert take(store, quota)
    forked = []
    for _ in range(3):
        number = os.fork()
        if not number:
            try:
                os._exit(sum(take(store, quota) for _ in range(60)))
            finally:
                os._exit(255)
        forked.append(number)
    own = sum(take(store, quota) for _ in range(60))
    assert [os.WEXITSTATUS(os.waitpid(number, 0)[1]) for number in forked] == [60] * 3
    assert own == 60 and used(store, quota) == 241


def kill_one(tmp_path, rng, limit):
    """How many were allowed by children of which some are killed in the middle; each says so after the commit."""
    started = children(3, tmp_path / "counters", limit, 10_000, "tell")
    for child in started:
        child.stdin.write("x")
        child.stdin.close()
    time.sleep(rng.uniform(0.05, 0.25))
    for child in started[:2]:
        child.send_signal(signal.SIGKILL)
    told = sum(child.stdout.read().splitlines().count("1") for child in started[:2])
    started[2].kill()
    told += started[2].stdout.read().splitlines().count("1")
    for child in started:
        child.wait()
    return told


def test_kill_9_in_the_middle_never_lets_one_more_through(tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng, store = random.Random(seed), Counters(str(tmp_path / "counters"))
    told, killed, quota = 0, 0, LIMIT._replace(limit=4000)
    for _ in range(3):
        told += kill_one(tmp_path, rng, quota.limit)
        killed += 3
        assert told <= used(store, quota) <= min(quota.limit, told + killed)  # at most one lost by each that was killed
    while take(store, quota):
        told += 1
    assert quota.limit - killed <= told <= quota.limit
    store.close()


# --- a store that is unusable ----------------------------------------------------------------------


def refused(store, code):
    with pytest.raises(GaitError) as caught:
        take(store, LIMIT)
    assert caught.value.error_code == code
    return caught.value


def test_a_damaged_database(store):
    take(store, LIMIT)
    store.close()
    Path(store.path).write_bytes(b"not a database, but long enough to be looked at " * 100)
    refused(store, "counters_unusable")
    refused(store, "counters_unusable")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE counts SET used = -5",
        "UPDATE counts SET used = 'none'",
        "UPDATE counts SET started = 'x'",
        "DELETE FROM latest",
        "UPDATE latest SET seconds = 'never'",
        "DROP TABLE counts",
        "DROP TABLE latest",
        "PRAGMA user_version = 7",
    ],
)
def test_a_database_with_something_else_in_it(store, statement):
    take(store, LIMIT)
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    refused(store, "counters_unusable")


def test_a_database_that_another_process_holds(store, monkeypatch):
    take(store, LIMIT)
    monkeypatch.setattr(counters, "_TURN_SECONDS", 0.1)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert refused(store, "lock_timeout").retryable
    other.execute("ROLLBACK")
    assert take(store, LIMIT)
    other.close()


def test_a_turn_that_a_thread_holds(store, monkeypatch):
    monkeypatch.setattr(counters, "_TURN_SECONDS", 0.1)
    with store.turn():
        refused(store, "lock_timeout")
    assert take(store, LIMIT)


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_database_that_went_away_is_not_counted_on_in(store, tmp_path, how):
    """Otherwise this process and those that start afterwards would each allow the whole limit."""
    quota, other = Quota("k", 3), Counters(str(tmp_path / "counters"))
    assert take(store, quota) and take(other, quota)
    if how == "replaced":
        fresh = Counters(str(tmp_path / "fresh"))
        take(fresh, quota)
        fresh.close()
        os.replace(tmp_path / "fresh" / NAME, store.path)
    else:
        os.rename(tmp_path / "counters", tmp_path / "away") if how == "moved" else [os.unlink(store.path + end) for end in ("", "-wal", "-shm")]
    granted = [take(either, quota) for either in (store, other) * 3]
    assert sum(granted) <= 2 if how == "replaced" else sum(granted) == 3
    other.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_links_are_not_followed(tmp_path, suffix):
    folder, victim = tmp_path / "counters", tmp_path / "victim"
    folder.mkdir(mode=0o700)
    victim.write_bytes(b"")
    (folder / (NAME + suffix)).symlink_to(victim)
    store = Counters(str(folder))
    refused(store, "counters_unusable")
    assert victim.read_bytes() == b""
    # the control: SQLite itself follows it
    if not suffix:
        connection = sqlite3.connect(str(folder / NAME))
        connection.execute("CREATE TABLE t (x)")
        connection.close()
        assert victim.read_bytes() != b""


@pytest.mark.parametrize("place", ["folder", "file"])
def test_what_others_may_write_to_is_refused(tmp_path, place):
    folder = tmp_path / "counters"
    folder.mkdir(mode=0o700)
    (folder / NAME).write_bytes(b"")
    (folder / NAME).chmod(0o666 if place == "file" else 0o600)
    folder.chmod(0o777 if place == "folder" else 0o700)
    refused(Counters(str(folder)), "permissions_too_open")


def test_a_file_where_the_folder_belongs(tmp_path):
    (tmp_path / "counters").write_bytes(b"")
    refused(Counters(str(tmp_path / "counters")), "not_a_folder")


def test_a_disk_that_is_full_commits_nothing(store):
    take(store, LIMIT)
    store._connection.execute("PRAGMA max_page_count = 5")
    with pytest.raises(StorageError):
        for number in range(2000):
            take(store, Quota(f"{number:064}", 1))
    refused_at = number
    assert 0 < refused_at < 2000
    assert used(store, Quota(f"{refused_at:064}", 1)) == 0
    assert take(store, LIMIT)  # opened again, without that limit


def test_a_python_without_sqlite3(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(MissingDependency) as caught:
        take(store, LIMIT)
    assert caught.value.error_code == "sqlite3_missing"
    monkeypatch.undo()
    assert take(store, LIMIT)


def test_nothing_is_made_before_the_first_turn(tmp_path):
    Counters(str(tmp_path / "counters")).close()
    assert not os.path.lexists(tmp_path / "counters")
