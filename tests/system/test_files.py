"""Files under attack and under failure: real links, pipes, devices, limits and processes."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gait.errors import InvalidInput, StorageError
from gait.system import files

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")


def child(code: str, *args: object) -> str:
    """What a Python process prints that runs `code` with gait importable."""
    command = [sys.executable, "-B", "-c", code, *map(str, args)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_read_up_to_the_limit(tmp_path, size):
    (tmp_path / "f").write_bytes(b"x" * size)
    assert files.read_bounded(str(tmp_path / "f"), 100) == b"x" * size


def test_read_in_several_chunks(tmp_path):
    data = os.urandom(files._CHUNK * 2 + 5)
    (tmp_path / "f").write_bytes(data)
    assert files.read_bounded(str(tmp_path / "f"), len(data)) == data


def refused(path: object, what: str = "a policy") -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        files.read_bounded(str(path), 100, what)
    error = caught.value
    assert error.where == str(path) and "expected a policy" in error.message and "got" in error.message and error.hint
    return error


def test_read_too_large(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 101)
    assert refused(tmp_path / "f").error_code == "file_too_large"
    with open(tmp_path / "sparse", "wb") as sparse:
        sparse.truncate(1 << 40)
    assert refused(tmp_path / "sparse").error_code == "file_too_large"


def test_read_missing(tmp_path):
    assert refused(tmp_path / "none").error_code == "file_not_found"
    os.symlink("nowhere", tmp_path / "dangling")
    assert refused(tmp_path / "dangling").error_code == "file_not_found"
    assert _storage_or_input(lambda: files.read_bounded("", 100)).startswith("'': expected a file")


def _storage_or_input(act) -> str:
    with pytest.raises((StorageError, InvalidInput)) as caught:
        act()
    return str(caught.value)


def test_read_what_is_no_regular_file(tmp_path):
    assert "a folder" in str(refused(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    started = time.monotonic()
    assert "a pipe" in str(refused(tmp_path / "fifo"))
    assert time.monotonic() - started < 5
    for device in ("/dev/zero", "/dev/null"):
        assert "a device or socket" in str(refused(device))
    assert refused("/dev/zero").error_code == "not_a_regular_file"


def test_read_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        _storage_or_input(lambda: files.read_bounded("s", 100))


def test_read_through_a_link(tmp_path):
    (tmp_path / "f").write_text("here")
    os.symlink("f", tmp_path / "link")
    assert files.read_bounded(str(tmp_path / "link"), 100) == b"here"


@pytest.mark.parametrize("path, reason", [("f/below", "Not a directory"), ("loop", "symbolic links"), ("x" * 300, "too long"), ("a\0b", "null")])
def test_read_errors_say_why(tmp_path, path, reason):
    (tmp_path / "f").write_text("")
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(StorageError, match=reason) as caught:
        files.read_bounded(str(tmp_path / path), 100)
    assert caught.value.where == str(tmp_path / path) and caught.value.exit_code == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens and does not read")
def test_a_read_that_fails_half_way():
    with pytest.raises(StorageError, match="cannot read"):
        files.read_bounded("/proc/self/mem", 100)


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 101)
    os.mkfifo(tmp_path / "fifo")
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    for path in ("f", "fifo", "none"):
        refused(tmp_path / path)
        with pytest.raises((InvalidInput, StorageError)):
            files.read_private(str(tmp_path / path), 100)
    files.write_atomic(str(tmp_path / "a"), b"")
    with pytest.raises(StorageError):
        files.write_exclusive(str(tmp_path / "a"), b"")
    with files.lock(str(tmp_path / "l")):
        pass
    again = os.open("/dev/null", os.O_RDONLY)
    os.close(again)
    assert again == lowest


# --- privacy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_private_modes(tmp_path, mode):
    (tmp_path / "k").write_text("key")
    os.chmod(tmp_path / "k", mode)
    assert files.read_private(str(tmp_path / "k"), 100) == b"key"
    assert files.findings(str(tmp_path / "k")) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777])
def test_modes_that_are_not_private(tmp_path, mode):
    path = tmp_path / "a key"
    path.write_text("key")
    os.chmod(path, mode)
    with pytest.raises(StorageError, match=f"expected mode 0600, got {mode:04o}") as caught:
        files.read_private(str(path), 100)
    assert caught.value.hint == f"chmod 600 '{path}'"
    assert caught.value.error_code == "permissions_too_open" and caught.value.to_value()["retryable"] is False
    assert [finding.code for finding in files.findings(str(path))] == ["permissions_too_open"]


def test_the_open_file_is_asked_and_not_the_path(tmp_path):
    open_to_all, private = tmp_path / "open", tmp_path / "private"
    for path, mode in ((open_to_all, 0o644), (private, 0o600)):
        path.write_text("")
        os.chmod(path, mode)
    fd = os.open(open_to_all, os.O_RDONLY)
    try:
        os.replace(private, open_to_all)  # too late to hide what was opened
        with pytest.raises(StorageError):
            files.require_private(fd, str(open_to_all))
    finally:
        os.close(fd)


@needs_root
def test_another_users_file(tmp_path):
    path = tmp_path / "k"
    path.write_text("key")
    os.chmod(path, 0o600)
    os.chown(path, 12345, 12345)
    with pytest.raises(StorageError, match="got uid 12345") as caught:
        files.read_private(str(path), 100)
    assert caught.value.error_code == "wrong_owner" and "chown 0" in caught.value.hint


@pytest.mark.parametrize("mode, codes", [(0o755, []), (0o777, ["permissions_too_open"]), (0o775, ["permissions_too_open"]), (0o1777, [])])
def test_the_folder_of_a_key_file(tmp_path, mode, codes):
    path = tmp_path / "d" / "k"
    path.parent.mkdir()
    path.write_text("")
    os.chmod(path, 0o600)
    os.chmod(path.parent, mode)
    assert [finding.code for finding in files.findings(str(path))] == codes


def test_a_folder_that_goes_away_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "k").write_text("")
    monkeypatch.setattr(os.path, "realpath", lambda path: str(tmp_path / "gone" / "k"))
    with pytest.raises(StorageError, match="cannot look at the folder"):
        files.findings(str(tmp_path / "k"))


def test_systems_without_modes_have_no_findings(tmp_path):
    path = tmp_path / "k"
    path.write_text("")
    os.chmod(path, 0o666)
    status = os.stat(path)
    code = (
        "import os, sys; from gait.system import files; os.name = 'nt'; path = sys.argv[1];"
        "print(files.file_findings(os.stat(path), path), files.folder_findings(os.stat(os.path.dirname(path)), path));"
        "files.write_atomic(path, b'x', sync=True)"
    )
    assert child(code, path) == "[] []" and status.st_size == 0 and path.read_text() == "x"


def test_the_same_in_this_process(tmp_path, monkeypatch):
    status = os.stat(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        found = files.file_findings(status, "f"), files.folder_findings(status, "d")
        synced = files._sync_folder(str(tmp_path / "f"))
    assert found == ([], []) and synced is None


# --- private folders ---------------------------------------------------------------------------


def test_a_private_folder_is_made_with_its_parents(tmp_path):
    previous = os.umask(0)
    try:
        files.private_directory(str(tmp_path / "a" / "b" / "c") + "/")
    finally:
        os.umask(previous)
    for part in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE(os.stat(tmp_path / part).st_mode) == 0o700
    files.private_directory(str(tmp_path / "a" / "b" / "c"))


def test_a_relative_private_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.private_directory("x/y")
    assert (tmp_path / "x" / "y").is_dir()


def not_private(path: object) -> StorageError:
    with pytest.raises(StorageError) as caught:
        files.private_directory(str(path))
    return caught.value


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    os.symlink("target", tmp_path / "link")
    for path in ("link", "link/"):
        assert not_private(f"{tmp_path}/{path}").error_code == "not_a_folder"
    os.symlink("nowhere", tmp_path / "dangling")
    assert "a symbolic link" in str(not_private(tmp_path / "dangling"))
    assert not_private(tmp_path / "dangling" / "below").error_code == "storage_failed"


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    assert "expected a folder, got a file" in str(not_private(tmp_path / "f"))
    assert "Not a directory" in str(not_private(tmp_path / "f" / "g"))
    assert "null" in str(not_private("a\0b"))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path, mode):
    (tmp_path / "d").mkdir()
    os.chmod(tmp_path / "d", mode)
    error = not_private(tmp_path / "d")
    assert f"got {mode:04o}" in str(error) and error.hint == f"chmod 700 {tmp_path / 'd'}"


@needs_root
def test_another_users_folder_is_refused(tmp_path):
    (tmp_path / "d").mkdir(mode=0o700)
    os.chown(tmp_path / "d", 12345, 12345)
    assert not_private(tmp_path / "d").error_code == "wrong_owner"


def test_many_threads_make_one_folder(tmp_path):
    path = str(tmp_path.joinpath(*"abcdefgh"))
    errors: list[BaseException] = []

    def make() -> None:
        try:
            files.private_directory(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and os.path.isdir(path)


def test_a_folder_made_by_someone_else_meanwhile(tmp_path, monkeypatch):
    lexists = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: lexists(path) and not str(path).endswith("late"))
    (tmp_path / "late").mkdir(mode=0o700)
    files.private_directory(str(tmp_path / "late"))


# --- writing -----------------------------------------------------------------------------------


WRITERS = [files.write_exclusive, files.write_atomic]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("sync", [False, True])
def test_a_new_file_is_whole_and_private(tmp_path, write, sync):
    data = os.urandom(3_000_000)
    previous = os.umask(0)
    try:
        write(str(tmp_path / "f"), data, sync=sync)
        write(str(tmp_path / "g"), b"", 0o644)
    finally:
        os.umask(previous)
    assert (tmp_path / "f").read_bytes() == data and names(tmp_path) == ["f", "g"]
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "g").st_mode) == 0o644


def test_a_plain_name_is_written_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_atomic("f", b"1", sync=True)
    files.write_exclusive("g", b"2")
    assert names(tmp_path) == ["f", "g"]


def test_a_long_name_has_room_for_its_temporary_file(tmp_path):
    files.write_atomic(str(tmp_path / ("n" * 255)), b"1")
    assert names(tmp_path) == ["n" * 255]


def test_exclusive_never_touches_what_is_there(tmp_path):
    (tmp_path / "f").write_text("old")
    os.symlink("target", tmp_path / "dangling")
    os.symlink("f", tmp_path / "link")
    (tmp_path / "d").mkdir()
    for name in ("f", "dangling", "link", "d"):
        with pytest.raises(StorageError) as caught:
            files.write_exclusive(str(tmp_path / name), b"new")
        assert caught.value.error_code == "file_exists" and caught.value.where == str(tmp_path / name)
    assert (tmp_path / "f").read_text() == "old" and names(tmp_path) == ["d", "dangling", "f", "link"]


def test_atomic_replaces_the_link_and_not_its_target(tmp_path):
    (tmp_path / "target").write_text("keep")
    os.symlink("target", tmp_path / "link")
    os.symlink("nowhere", tmp_path / "dangling")
    for name in ("link", "dangling"):
        files.write_atomic(str(tmp_path / name), b"new")
        assert not (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == "new"
    assert (tmp_path / "target").read_text() == "keep" and names(tmp_path) == ["dangling", "link", "target"]


def test_atomic_refuses_to_replace_a_folder_pipe_or_device(tmp_path):
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    os.symlink("/dev/null", tmp_path / "null")
    for path in (tmp_path / "d", tmp_path / "fifo", tmp_path / "null", "/dev/null"):
        with pytest.raises(StorageError) as caught:
            files.write_atomic(str(path), b"x")
        assert caught.value.error_code == "not_a_regular_file"
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
def test_atomic_refuses_names_in_dev_even_when_they_lead_to_a_file(tmp_path):
    code = "import sys; from gait.system import files\ntry: files.write_atomic('/dev/stdout', b'x')\nexcept Exception as e: sys.stderr.write(str(e))"
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, stdout=out, stderr=subprocess.PIPE, timeout=60)
    assert b"a name in /dev" in done.stderr and os.path.islink("/dev/stdout")


BAD_PLACES = [("f/below", "Not a directory"), ("none/f", "No such file"), ("loop/f", "symbolic links"), ("x" * 300, "too long"), ("a\0b", "null")]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("path, reason", BAD_PLACES)
def test_write_errors_say_where_and_why(tmp_path, write, path, reason):
    (tmp_path / "f").write_text("")
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(StorageError, match=reason) as caught:
        write(str(tmp_path / path), b"x")
    assert caught.value.where == str(tmp_path / path) and caught.value.hint
    assert names(tmp_path) == ["f", "loop"]


@pytest.mark.parametrize("path", ["", "d/"])
def test_a_path_without_a_name(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for write in WRITERS:
        with pytest.raises(StorageError):
            write(path, b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["write_exclusive", "write_atomic"])
def test_a_disk_quota_leaves_nothing_behind(tmp_path, name):
    (tmp_path / "old").write_text("old")
    code = f"""
import resource, sys
from gait.errors import StorageError
from gait.system import files
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for target in ("new", "old")[:{2 if name == "write_atomic" else 1}]:
    try:
        files.{name}(sys.argv[1] + "/" + target, b"x" * 2_000_000)
    except StorageError as error:
        print(error)
"""
    lines = child(code, tmp_path).splitlines()
    assert lines and all("File too large" in line and str(tmp_path) in line for line in lines)
    assert names(tmp_path) == ["old"] and (tmp_path / "old").read_text() == "old"


@needs_full
def test_a_full_device():
    fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        files._write_and_close(fd, b"x", False)
    with pytest.raises(OSError):
        os.fstat(fd)


class FullDisk:
    """An os.write that takes a few bytes at a time and then fails, as a disk that fills up does."""

    def __init__(self, room: int, error: BaseException) -> None:
        self.room, self.error, self.write = room, error, os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if self.room <= 0:
            raise self.error
        self.room -= 3
        return self.write(fd, data[:3])


@pytest.mark.parametrize("write", WRITERS)
def test_short_writes_are_continued(tmp_path, monkeypatch, write):
    monkeypatch.setattr(os, "write", FullDisk(1000, OSError()))
    write(str(tmp_path / "f"), b"0123456789")
    assert (tmp_path / "f").read_bytes() == b"0123456789"


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("error, expected", [(OSError(28, "No space left on device"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_a_write_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch, write, error, expected):
    monkeypatch.setattr(os, "write", FullDisk(6, error))
    with pytest.raises(expected):
        write(str(tmp_path / "f"), b"0123456789")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error, expected", [(OSError(5, "Input/output error"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_a_rename_that_fails_leaves_the_old_file(tmp_path, monkeypatch, error, expected):
    (tmp_path / "f").write_text("old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(expected):
        files.write_atomic(str(tmp_path / "f"), b"new")
    assert names(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "old"


def test_the_first_failure_is_the_one_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", FullDisk(0, OSError(28, "No space left on device")))

    def fail(*_: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", fail)
    with pytest.raises(StorageError, match="No space left"):
        files.write_exclusive(str(tmp_path / "f"), b"x")


@needs_root
def test_permission_denied_as_another_user(tmp_path):
    code = """
import os, sys
from gait.errors import StorageError
from gait.system import files
os.setgid(12345); os.setuid(12345)
acts = [lambda p: files.write_exclusive(p + "/n", b""), lambda p: files.write_atomic(p + "/n", b""),
        lambda p: files.read_bounded(p + "/f", 10), lambda p: files.private_directory(p + "/d"), lambda p: files.lock(p + "/l").__enter__()]
for act in acts:
    try: act(sys.argv[1])
    except StorageError as error: print(error.message)
"""
    (tmp_path / "f").write_text("")
    os.chmod(tmp_path, 0o700)
    lines = child(code, tmp_path).splitlines()
    assert len(lines) == 5 and all(line.endswith("Permission denied") for line in lines), lines


# --- appending ---------------------------------------------------------------------------------


def test_lines_are_appended_to_a_private_file(tmp_path):
    path = tmp_path / "log.jsonl"
    for line in ("one", "zwei – ünï", "\ud800"):
        files.append_line(str(path), line)
    assert path.read_text("utf-8") == "one\nzwei – ünï\n\\ud800\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


APPEND = """
import sys
from gait.system import files
for number in range(50):
    files.append_line(sys.argv[1], sys.argv[2] * 20_000)
"""


def test_lines_of_many_processes_do_not_mix(tmp_path):
    path = tmp_path / "log"
    workers = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), letter], cwd=ROOT) for letter in "abcd"]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    lines = path.read_text().splitlines()
    assert len(lines) == 200 and all(line == line[0] * 20_000 for line in lines)


@pytest.mark.parametrize(
    "path, reason",
    [("link", "symbolic links"), ("d", "Is a directory"), ("none/l", "No such file"), ("f/l", "Not a directory"), ("a\0b", "null"), ("fifo", "No such device|not configured")],
)
def test_what_cannot_be_appended_to(tmp_path, path, reason):
    (tmp_path / "f").write_text("")
    os.symlink("f", tmp_path / "link")
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")  # without a reader: refused, not waited for
    with pytest.raises(StorageError, match=reason) as caught:
        files.append_line(str(tmp_path / path), "x")
    assert caught.value.where == str(tmp_path / path) and (tmp_path / "f").read_text() == ""


@needs_full
def test_appending_to_a_full_device():
    with pytest.raises(StorageError, match="No space left"):
        files.append_line("/dev/full", "x")


def test_appending_to_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    files.append_line(str(tmp_path / "fifo"), "x")
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)


@pytest.mark.parametrize("error, expected", [(OSError(28, "No space left on device"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_half_a_line_is_taken_back(tmp_path, monkeypatch, error, expected):
    (tmp_path / "log").write_text("old\n")
    monkeypatch.setattr(os, "write", FullDisk(6, error))
    with pytest.raises(expected):
        files.append_line(str(tmp_path / "log"), "0123456789")
    assert (tmp_path / "log").read_text() == "old\n"


# --- locks -------------------------------------------------------------------------------------


def test_the_lock_file_is_private_and_stays(tmp_path):
    with files.lock(str(tmp_path / "l")) as held:
        assert held is not None
    assert stat.S_IMODE(os.stat(tmp_path / "l").st_mode) == 0o600
    with files.lock(str(tmp_path / "l")):
        pass


def test_a_held_lock_times_out(tmp_path):
    with files.lock(str(tmp_path / "l")):
        started = time.monotonic()
        with pytest.raises(StorageError, match="another process holds it") as caught:
            with files.lock(str(tmp_path / "l"), 0.1):
                raise AssertionError("two holders")
    assert caught.value.error_code == "lock_timeout" and 0.1 <= time.monotonic() - started < 5
    assert caught.value.to_value()["retryable"] is True


def test_a_lock_is_freed_by_an_exception(tmp_path):
    with pytest.raises(RuntimeError):
        with files.lock(str(tmp_path / "l")):
            raise RuntimeError
    with files.lock(str(tmp_path / "l"), 0):
        pass


def test_a_lock_is_freed_by_a_killed_process(tmp_path):
    code = "import sys, time; from gait.system import files\nwith files.lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "l")], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError):
            files.lock(str(tmp_path / "l"), 0).__enter__()
    finally:
        holder.kill()
        holder.communicate()
    with files.lock(str(tmp_path / "l"), 5):
        pass


COUNT = """
import sys
from gait.system import files
for _ in range(50):
    with files.lock(sys.argv[1] + "/l"):
        with open(sys.argv[1] + "/n") as file: number = int(file.read())
        with open(sys.argv[1] + "/n", "w") as file: file.write(str(number + 1))
"""


def test_processes_count_exactly_under_the_lock(tmp_path):
    (tmp_path / "n").write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert (tmp_path / "n").read_text() == "200"


@pytest.mark.parametrize("path, reason", [("link", "symbolic links"), ("d", "Is a directory"), ("none/l", "No such file"), ("a\0b", "null")])
def test_a_lock_that_cannot_be_opened(tmp_path, path, reason):
    os.symlink("target", tmp_path / "link")
    (tmp_path / "d").mkdir()
    with pytest.raises(StorageError, match=reason):
        files.lock(str(tmp_path / path)).__enter__()
    assert names(tmp_path) == ["d", "link"]


def windows_locks(monkeypatch) -> set[int]:
    """The locking of Windows, which this system lacks: one holder per inode."""
    held: set[int] = set()

    def locking(fd: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        inode = os.fstat(fd).st_ino
        if inode in held:
            raise PermissionError(13, "Permission denied")
        held.add(inode)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    return held


def test_locks_without_fcntl(tmp_path, monkeypatch):
    held = windows_locks(monkeypatch)
    with files.lock(str(tmp_path / "l")):
        assert len(held) == 1
        with pytest.raises(StorageError) as caught:
            files.lock(str(tmp_path / "l"), 0.01).__enter__()
    assert caught.value.error_code == "lock_timeout"


def test_the_module_is_importable_where_posix_is_not():
    code = """
import os, sys
sys.modules["fcntl"] = None
for name in ("O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK", "O_NOFOLLOW", "geteuid"):
    delattr(os, name)
from gait.system import files, clock
print(files._READ, clock.now() > 0)
"""
    assert child(code) == f"{os.O_RDONLY} True"


def test_nothing_heavy_is_imported():
    code = """
import sys
before = set(sys.modules)
from gait.system import files, clock
from gait.store import keys, traces
heavy = {"tempfile", "pathlib", "subprocess", "logging", "socket", "secrets", "random", "shutil", "datetime", "difflib", "shlex"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    command = [sys.executable, "-S", "-c", code]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout == "[]\n"
