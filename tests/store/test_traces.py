"""Trace files: every decision has its own, whole and private, whoever else writes at the same time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gait.errors import StorageError
from gait.store import traces

ROOT = Path(__file__).resolve().parents[2]
ID = "26ec0001dccce5cef1e4cf00"
RECORD = {"schema_id": "gait.gate.trace", "trace_id": ID, "tool_name": "ünï", "latency_ms": 0.25, "a": {"z": 1, "b": []}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GAIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "traces"


def failure(record: dict, out: str | None = None) -> StorageError:
    with pytest.raises(StorageError) as caught:
        traces.save(record, out)
    assert caught.value.exit_code == 1 and str(caught.value)
    return caught.value


def test_the_file(folder):
    path = traces.save(RECORD)
    assert path == str(folder / f"trace_{ID}.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    text = Path(path).read_text("utf-8")
    assert text == json.dumps(RECORD, indent=2, ensure_ascii=False) + "\n" and '\n  "tool_name": "ünï"' in text
    assert list(json.loads(text)) == list(RECORD)


def test_repeats_are_numbered_and_nothing_is_overwritten(folder):
    paths = [os.path.basename(traces.save({**RECORD, "n": number})) for number in range(12)]
    assert paths == [f"trace_{ID}.json"] + [f"trace_{ID}_{number}.json" for number in range(2, 13)]
    assert [json.loads((folder / path).read_text())["n"] for path in paths] == list(range(12))


def test_another_decision_starts_anew():
    traces.save(RECORD)
    assert traces.save({**RECORD, "trace_id": "f" * 24}).endswith(f"trace_{'f' * 24}.json")


def test_gaps_are_filled_and_never_trip(folder):
    for _ in range(40):
        traces.save(RECORD)
    for number in (2, 4, 7, 20, 33):
        os.unlink(folder / f"trace_{ID}_{number}.json")
    before = {name: os.stat(folder / name).st_ino for name in os.listdir(folder)}
    fresh = {os.path.basename(traces.save(RECORD)) for _ in range(10)}
    assert len(fresh) == 10 and not fresh & set(before)
    assert all(os.stat(folder / name).st_ino == inode for name, inode in before.items())


def test_the_ten_thousandth_repeat_is_as_quick_as_the_tenth(folder):
    traces.save(RECORD)
    for number in range(2, 10_001):
        (folder / f"trace_{ID}_{number}.json").touch()
    looked = []
    lexists = os.path.lexists
    try:
        os.path.lexists = lambda path: looked.append(path) or lexists(path)
        started = time.perf_counter()
        path = traces.save(RECORD)
        spent = time.perf_counter() - started
    finally:
        os.path.lexists = lexists
    assert path.endswith(f"_{10_001}.json") and len(looked) < 40 and spent < 0.5


SAVE = """
import sys
from gait.store import traces
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    print(traces.save({"trace_id": sys.argv[1], "from": sys.argv[2], "n": number}))
"""


def test_eight_processes_save_four_hundred_files(folder):
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen([sys.executable, "-c", SAVE, ID, str(n)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for n in range(8)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    paths = [path for worker in workers for path in worker.communicate(timeout=60)[0].split()]
    records = [json.loads(Path(path).read_text()) for path in paths]
    assert len(paths) == len(set(paths)) == len(os.listdir(folder)) == 400
    assert len({(record["from"], record["n"]) for record in records}) == 400


BAD_IDS = [None, "", "x", ID.upper(), ID + "0", ID[:-1], ID + "\n", "../../../../etc/cron.d", "/" * 24, 5, ["a"], "é" * 24, "０" * 24]


@pytest.mark.parametrize("trace_id", BAD_IDS)
def test_a_trace_id_is_checked_before_it_becomes_a_name(tmp_path, trace_id):
    assert "24 lowercase hex digits" in str(failure({"trace_id": trace_id}))
    assert os.listdir(tmp_path) == []


def test_a_record_without_an_id(tmp_path):
    failure({})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}, "\ud800", object()])
def test_a_record_that_is_no_json_leaves_no_file(tmp_path, value):
    failure({**RECORD, "x": value})
    failure({**RECORD, "x": value}, str(tmp_path / "out.json"))
    assert os.listdir(tmp_path) == []


def test_a_record_nested_beyond_the_stack():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    failure({**RECORD, "x": deep})
    while deep:
        deep = deep.pop()


def test_links_in_the_folder_are_not_followed(folder, tmp_path):
    folder.mkdir(parents=True, mode=0o700)
    (tmp_path / "victim").write_text("keep")
    os.symlink(tmp_path / "victim", folder / f"trace_{ID}.json")
    os.symlink(tmp_path / "planted", folder / f"trace_{ID}_2.json")
    assert traces.save(RECORD) == str(folder / f"trace_{ID}_3.json")
    assert (tmp_path / "victim").read_text() == "keep" and not (tmp_path / "planted").exists()


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.parent.mkdir()
    os.symlink(tmp_path / "elsewhere", folder)
    assert failure(RECORD).error_code == "not_a_folder"
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_folder_that_others_may_write_is_refused(folder):
    folder.mkdir(parents=True)
    os.chmod(folder, 0o777)
    assert "chmod 700" in failure(RECORD).hint
    assert os.listdir(folder) == []


def test_a_file_where_the_folder_belongs(folder):
    folder.parent.mkdir()
    folder.write_text("")
    assert failure(RECORD).error_code == "not_a_folder"
    os.unlink(folder)
    folder.parent.rmdir()
    folder.parent.write_text("")
    assert "Not a directory" in str(failure(RECORD))


def test_an_empty_home_is_a_storage_error(monkeypatch):
    monkeypatch.setenv("GAIT_HOME", "")
    assert failure(RECORD).where == "GAIT_HOME"


def test_a_full_disk_leaves_no_file(folder, tmp_path):
    code = f"""
import resource, sys
from gait.store import traces
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
for out in (None, sys.argv[1]):
    try: traces.save({{"trace_id": {ID!r}, "x": "x" * 2000}}, out)
    except Exception as error: print(type(error).__name__)
"""
    command = [sys.executable, "-B", "-c", code, str(tmp_path / "out.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "StorageError\n" * 2
    assert os.listdir(folder) == [] and os.listdir(tmp_path) == ["home"]


def test_an_error_of_the_disk_is_no_repeat(folder, monkeypatch):
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    assert "No space left" in str(failure(RECORD)) and os.listdir(folder) == []


def test_a_path_of_the_operator_is_replaced(tmp_path, folder):
    out = tmp_path / "out.json"
    out.write_text("old")
    os.chmod(out, 0o644)
    assert traces.save({**RECORD, "trace_id": "any"}, str(out)) == str(out)
    assert json.loads(out.read_text())["tool_name"] == "ünï" and stat.S_IMODE(os.stat(out).st_mode) == 0o600
    assert not folder.parent.exists() and os.listdir(tmp_path) == ["out.json"]


@pytest.mark.parametrize("out", ["", "none/out.json", "file/out.json", ".", "/dev/full"])
def test_a_path_of_the_operator_that_cannot_be_written(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    failure(RECORD, out)
    assert os.listdir(tmp_path) == ["file"]


def test_too_many_repeats_end_in_an_error(monkeypatch):
    monkeypatch.setattr(traces, "_MAX_REPEATS", 4)
    for _ in range(4):
        traces.save(RECORD)
    assert failure(RECORD).error_code == "too_many_traces"


def test_names_that_others_keep_taking_end_in_an_error(folder, monkeypatch):
    monkeypatch.setattr(traces, "_MAX_COLLISIONS", 3)
    monkeypatch.setattr(traces, "_first_free", lambda stem: 2)
    paths = [traces.save(RECORD) for _ in range(4)]
    assert paths[-1].endswith("_4.json") and failure(RECORD).error_code == "too_many_traces"
