"""A package's folder: every way in which it may not be what was signed."""

from __future__ import annotations

import os

import pytest

from gait.errors import GaitError, VerificationFailed
from gait.registry import manifest
from gait.store.packages import folder as folders
from tests.registry import sample


@pytest.fixture
def package(tmp_path):
    return sample.folder(tmp_path / "package", sample.signed(sample.skill()))


def codes(folder, keys=sample.RING) -> list[tuple[str, str]]:
    return [(finding.code, finding.path) for finding in folders.check(str(folder), keys).findings]


def test_a_package_as_it_was_signed(package):
    checked = folders.require(str(package), sample.RING)
    assert checked.findings == () and checked.key_id == sample.KEY.key_id and checked.package.name == "safe-writer"
    assert codes(package, None) == [] and folders.check(str(package), None).key_id == ""


def test_a_registry_pack_is_checked_alike(tmp_path):
    folder = sample.folder(tmp_path / "pack", sample.signed_elsewhere(sample.pack()))
    assert folders.require(str(folder), sample.PUBLIC).key_id == sample.PUBLIC.key_id
    (folder / "data/empty").write_bytes(b"no longer")
    assert codes(folder, sample.PUBLIC) == [("file_modified", "data/empty")]


def change(package, what: str) -> None:
    target = package / "bin/run.py"
    if what == "modified":
        target.write_bytes(b"print(2)\n")
    elif what == "missing":
        target.unlink()
    elif what == "added":
        (package / "bin/other.py").write_bytes(b"")
    elif what == "hidden":
        (package / ".hidden").write_bytes(b"")
    elif what == "compiled":
        (package / "bin/__pycache__").mkdir()
        (package / "bin/__pycache__/run.cpython-311.pyc").write_bytes(b"x")
    elif what == "symlink to the same bytes":
        target.rename(package.parent / "run.py")
        target.symlink_to(package.parent / "run.py")
    elif what == "symlinked folder":
        (package / "bin").rename(package.parent / "bin")
        (package / "bin").symlink_to(package.parent / "bin")
    elif what == "pipe":
        os.mkfifo(package / "pipe")
    elif what == "folder in a file's place":
        target.unlink()
        target.mkdir()
    elif what == "too large":
        with target.open("wb") as file:
            file.truncate(folders.MAX_FILE_BYTES + 1)
    elif what == "unsigned":
        (package / "skill_manifest.json").write_text(__import__("json").dumps(sample.skill()))
    elif what == "two manifests":
        sample.folder(package, sample.pack())
    elif what == "no manifest":
        (package / "skill_manifest.json").unlink()
    elif what == "a manifest of the other kind":
        (package / "skill_manifest.json").write_bytes((sample.folder(package.parent / "x", sample.signed(sample.pack())) / "registry_pack.json").read_bytes())
    elif what == "not JSON":
        (package / "skill_manifest.json").write_bytes(b"{")
    elif what == "a field twice":
        text = (package / "skill_manifest.json").read_text()
        (package / "skill_manifest.json").write_text(text[:-1] + ',"publisher":"acme"}')
    elif what == "linked manifest":
        (package / "skill_manifest.json").rename(package.parent / "m.json")
        (package / "skill_manifest.json").symlink_to(package.parent / "m.json")
    elif what == "huge manifest":
        (package / "skill_manifest.json").write_bytes(b" " * (manifest.MAX_BYTES + 1))
    elif what == "too many files":
        for number in range(2 * manifest.MAX_FILES):
            (package / f"f{number}").touch()


CHANGES = {
    "modified": "file_modified",
    "missing": "file_missing",
    "added": "file_unlisted",
    "hidden": "file_unlisted",
    "compiled": "file_unlisted",
    "symlink to the same bytes": "not_a_regular_file",
    "symlinked folder": "not_a_regular_file",
    "pipe": "not_a_regular_file",
    "folder in a file's place": "file_missing",
    "too large": "file_too_large",
    "unsigned": "signature_missing",
    "two manifests": "manifest_missing",
    "no manifest": "manifest_missing",
    "a manifest of the other kind": "manifest_invalid",
    "not JSON": "parse_error",
    "a field twice": "parse_error",
    "linked manifest": "not_a_regular_file",
    "huge manifest": "file_too_large",
    "too many files": "too_many_files",
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_is_found(package, what):
    assert codes(package) == []  # the control
    change(package, what)
    found = codes(package)
    assert CHANGES[what] in [code for code, _ in found], found
    with pytest.raises(VerificationFailed) as caught:
        folders.require(str(package), sample.RING)
    assert caught.value.exit_code == 2 and caught.value.where == str(package)


def test_all_findings_are_told_at_once(package):
    for what in ("modified", "added"):
        change(package, what)
    (package / "data/empty").unlink()
    assert codes(package, sample.STRANGER) == [
        ("key_unknown", ""), ("file_modified", "bin/run.py"), ("file_missing", "data/empty"), ("file_unlisted", "bin/other.py"),
    ]  # fmt: skip


def test_no_such_folder(tmp_path):
    assert codes(tmp_path / "none") == [("manifest_missing", "")]


def test_a_folder_that_cannot_be_listed(package, monkeypatch):
    def fail(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", fail)
    assert [code for code, _ in codes(package)] == ["storage_failed"]


def test_sums_refuse_what_no_manifest_can_list(tmp_path):
    folder = sample.folder(tmp_path / "p", sample.skill())
    assert folders.sums(str(folder)) == sample.SUMS
    (folder / ".env").write_bytes(b"")
    with pytest.raises(GaitError) as caught:
        folders.sums(str(folder))
    assert caught.value.error_code == "file_name_invalid"


def test_the_key_that_verified_is_named(tmp_path):
    value = sample.signed_elsewhere(sample.signed(sample.skill()))
    folder = sample.folder(tmp_path / "p", value)
    assert folders.require(str(folder), sample.PUBLIC).key_id == sample.PUBLIC.key_id
    assert folders.require(str(folder), sample.RING).key_id == sample.KEY.key_id
