"""The package that calls come from: verified now, and again when something of it changes."""

from __future__ import annotations

import os
import threading
import time

import pytest

from gait.errors import GaitError
from gait.gate.intent import SkillProvenance
from gait.store.packages import folder as folders
from gait.store.packages.skill import Skill
from tests.registry import sample


@pytest.fixture
def package(tmp_path):
    return sample.folder(tmp_path / "package", sample.signed(sample.skill()))


@pytest.fixture
def settled(package):
    """The package with files that last changed a while ago."""
    deadline = time.monotonic() + 10
    while time.time() - max(status.st_ctime for _, status in folders.entries(str(package))) < 1.1 and time.monotonic() < deadline:
        time.sleep(0.1)
    return package


def test_provenance_is_what_the_manifest_says(package):
    digest = sample.skill()["package_digest"]
    expected = SkillProvenance("safe-writer", "1.2.0", "git", "acme", digest, sample.KEY.key_id, "verified")
    assert Skill(str(package), lambda: sample.RING).provenance() == expected


def test_no_provenance_without_verification(package, tmp_path):
    skill = Skill(str(package), lambda: sample.STRANGER)
    assert skill.provenance() is None
    with pytest.raises(GaitError):
        skill.require()
    anonymous = sample.folder(tmp_path / "x", sample.signed(sample.skill(publisher=None)))
    assert folders.check(str(anonymous), sample.RING).findings == ()
    assert Skill(str(anonymous), lambda: sample.RING).provenance() is None


@pytest.mark.slow
def test_files_are_read_again_only_when_something_changed(settled, monkeypatch):
    reads = []
    sha256 = folders.sha256
    monkeypatch.setattr(folders, "sha256", lambda folder, path: reads.append(path) or sha256(folder, path))
    skill = Skill(str(settled), lambda: sample.RING)
    for _ in range(5):
        assert skill.provenance()
    assert sorted(reads) == sorted(sample.SUMS)
    target = settled / "bin/run.py"
    status = target.stat()
    data = target.read_bytes()
    target.write_bytes(data.replace(b"1", b"2"))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))  # the time is set back, the size is the same
    assert skill.provenance() is None and skill.provenance() is None
    target.write_bytes(data)
    assert skill.provenance()
    (settled / "more").touch()
    assert skill.provenance() is None


def test_a_file_that_has_just_changed_is_read_each_time(package):
    skill = Skill(str(package), lambda: sample.RING)
    target = package / "bin/run.py"
    for _ in range(20):
        assert skill.provenance()
        target.write_bytes(b"print(2)\n")
        assert skill.provenance() is None
        target.write_bytes(sample.FILES["bin/run.py"])


def test_threads_that_ask_at_once_get_one_answer(package):
    skill = Skill(str(package), lambda: sample.RING)
    found: list = []
    threads = [threading.Thread(target=lambda: found.extend(skill.provenance() for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and len(set(found)) == 1 and found[0].trust == "verified"
