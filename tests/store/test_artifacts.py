"""Files at a client's request: only new ones, only inside the operator's folders, never through a link."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from gait.errors import StorageError, UnsafeOperation
from gait.store import artifacts


@pytest.fixture
def free(tmp_path):
    (tmp_path / "free" / "sub").mkdir(parents=True)
    return tmp_path / "free"


def reserve(free, name: str) -> artifacts.Reserved:
    return artifacts.reserve((str(free),), f"{free}/{name}")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@pytest.mark.parametrize("name", ["a.json", "sub/a.json"])
def test_write(free, name):
    before = descriptors()
    file = reserve(free, name)
    assert (free / name).read_bytes() == b""
    assert file.write(b"x" * 100_000) == f"{free}/{name}"
    file.cancel()
    assert (free / name).stat().st_size == 100_000, "what was written stays"
    assert descriptors() == before


def test_cancel(free):
    before = descriptors()
    reserve(free, "sub/a.json").cancel()
    assert os.listdir(free / "sub") == []
    file = reserve(free, "a.json")
    (free / "a.json").unlink()
    file.cancel()
    assert descriptors() == before


def test_second_folder_and_trailing_slash(free, tmp_path):
    (tmp_path / "other").mkdir()
    folders = (f"{tmp_path}/other/", str(free))
    for name in ("other/a", "free/a"):
        artifacts.reserve(folders, f"{tmp_path}/{name}").write(b"1")


@pytest.mark.parametrize("name", ["../x", "sub/../x", "./x", "sub//x", "", ".", "..", "sub", "missing/x", "link/x", "dangling", "a\0b", "taken", "taken/x"])
def test_refused(free, name):
    (free / "taken").write_text("mine")
    (free / "link").symlink_to(free / "sub")
    (free / "dangling").symlink_to(free / "sub" / "new")
    before = descriptors()
    with pytest.raises(UnsafeOperation) as error:
        reserve(free, name)
    assert error.value.error_code == "client_path_refused"
    assert os.listdir(free / "sub") == [] and (free / "taken").read_text() == "mine"
    assert descriptors() == before


@pytest.mark.parametrize("folders", [(), ("/somewhere",)])
def test_no_such_folder(folders, free):
    with pytest.raises(UnsafeOperation):
        artifacts.reserve(folders, f"{free}/x")


def test_a_name_that_no_file_can_have(free):
    with pytest.raises(StorageError):
        reserve(free, "x" * 300)


def test_a_disk_that_takes_no_more(free):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file = reserve(free, "a.json")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError):
            file.write(b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    file.cancel()
    assert os.listdir(free) == ["sub"]
