"""Where runs are kept, and what a run's name means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gait.errors import InvalidInput, StorageError
from gait.runpack import pack
from gait.store import runs

from tests.runpack import sample


def making(count: int = 2, run_id: str = "run_a"):
    def make(out, scratch):
        recorder = pack.Recorder(pack.Head(run_id), scratch)
        for step in sample.recorded(count):
            recorder.add(step)
        return recorder.finish(out)

    return make


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_new_file_that_only_its_owner_may_read():
    saved = runs.save(making())
    assert saved.path == runs.path_of("run_a") and saved.packed.steps == 2
    assert os.stat(saved.path).st_mode & 0o777 == 0o600 and os.listdir(runs.folder()) == ["runpack_run_a.zip"]


def test_the_same_run_again_is_no_conflict_and_another_one_is():
    first = runs.save(making())
    before = os.stat(first.path).st_ino
    assert runs.save(making()).path == first.path and os.stat(first.path).st_ino == before
    with pytest.raises(StorageError) as caught:
        runs.save(making(3))
    assert caught.value.error_code == "file_exists" and os.listdir(runs.folder()) == ["runpack_run_a.zip"]


def test_a_named_file_is_replaced():
    runs.save(making(), "run.zip")
    runs.save(making(3), "run.zip")
    assert os.listdir(".") == ["run.zip"] and sample.fixtures.entries(Path("run.zip").read_bytes())["intents.jsonl"].count(b"\n") == 3


def test_nothing_is_left_when_it_fails():
    def fails(out, scratch):
        out.write(b"half")
        scratch().write(b"half")
        raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        runs.save(fails)
    assert os.listdir(runs.folder()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_devices_are_not_replaced():
    for path in ("/dev/full", "/dev/null", "."):
        with pytest.raises(StorageError):
            runs.save(making(), path)


def test_a_link_in_the_place_of_a_run_is_not_followed(tmp_path):
    os.makedirs(runs.folder(), 0o700)
    os.symlink(tmp_path / "elsewhere", runs.path_of("run_a"))
    with pytest.raises((StorageError, InvalidInput)):
        runs.save(making())
    assert not (tmp_path / "elsewhere").exists()


def test_an_id_is_looked_for_at_home_then_in_gait_out():
    os.mkdir("gait-out")
    runs.save(making(), "gait-out/runpack_run_a.zip")
    assert runs.resolve("run_a") == runs.Place(os.path.join("gait-out", "runpack_run_a.zip"), "run_a")
    runs.save(making())
    assert runs.resolve("run_a") == runs.Place(runs.path_of("run_a"), "run_a")


def test_two_runs_of_one_id():
    os.mkdir("gait-out")
    runs.save(making(3), "gait-out/runpack_run_a.zip")
    runs.save(making())
    with pytest.raises(InvalidInput) as caught:
        runs.resolve("run_a")
    assert caught.value.error_code == "run_ambiguous"


def test_a_path():
    runs.save(making(), "run_a.zip")
    assert runs.resolve("run_a.zip") == runs.Place("run_a.zip", "")
    assert runs.resolve("./x/y") == runs.Place("./x/y", "")
    os.mkdir("journal")
    assert runs.resolve("journal") == runs.Place("journal", "")


def test_an_id_goes_before_a_file_of_that_name():
    runs.save(making())
    runs.save(making(3), "run_a")
    assert runs.resolve("run_a").path == runs.path_of("run_a")


def test_neither():
    with pytest.raises(InvalidInput) as caught:
        runs.resolve("run_b")
    assert caught.value.error_code == "file_not_found"


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo("pipe")
    for path in ("pipe", ".", "missing", "", "a\0b"):
        with pytest.raises((InvalidInput, StorageError)):
            runs.open_pack(path)
