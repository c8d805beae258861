"""The package that calls come from: verified now, and again when something of it changes."""

from __future__ import annotations

import json
import mmap
import threading
import time

import pytest

from gait.errors import GaitError
from gait.gate.intent import SkillProvenance
from gait.registry import manifest
from gait.store.packages import folder as folders
from gait.store.packages.skill import Skill
from tests.registry import sample


@pytest.fixture
def package(tmp_path):
    return sample.folder(tmp_path / "package", sample.signed(sample.skill()))


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


def test_signatures_are_checked_again_only_for_another_manifest(package, monkeypatch):
    checks = []
    require_signed = manifest.require_signed
    monkeypatch.setattr(manifest, "require_signed", lambda *words: checks.append(words) or require_signed(*words))
    skill = Skill(str(package), lambda: sample.RING)
    assert skill.provenance() and checks
    checks.clear()
    assert all(skill.provenance() for _ in range(5)) and not checks
    path = package / "skill_manifest.json"
    good = path.read_bytes()
    path.write_bytes(json.dumps(sample.signed(sample.skill(), sample.STRANGER.active)).encode())
    assert skill.provenance() is None and checks
    path.write_bytes(good)
    assert skill.provenance()


def test_files_are_read_each_time(package):
    skill = Skill(str(package), lambda: sample.RING)
    target = package / "bin/run.py"
    for _ in range(20):
        assert skill.provenance()
        target.write_bytes(b"print(2)\n")
        assert skill.provenance() is None
        target.write_bytes(sample.FILES["bin/run.py"])
    (package / "more").touch()
    assert skill.provenance() is None


def test_a_file_that_was_mapped_before_it_was_verified_changes_without_another_time(package):
    skill = Skill(str(package), lambda: sample.RING)
    target = package / "bin/run.py"
    with open(target, "r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[:1] = mapped[:1]
        time.sleep(1.1)  # nothing has changed for so long that a time might be believed
        assert skill.provenance()
        mapped[:1] = b"#"
        assert target.read_bytes() != sample.FILES["bin/run.py"]
        assert skill.provenance() is None


def test_threads_that_ask_at_once_get_one_answer(package):
    skill = Skill(str(package), lambda: sample.RING)
    found: list = []
    threads = [threading.Thread(target=lambda: found.extend(skill.provenance() for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80 and len(set(found)) == 1 and found[0].trust == "verified"
