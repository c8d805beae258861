"""Manifests: what is read, what is refused, digests, pins and signatures."""

from __future__ import annotations

import os
import random

import pytest

from gait.errors import GaitError, InvalidInput, VerificationFailed
from gait.formats import jcs
from gait.registry import manifest
from gait.registry.sums import digest_of
from gait.store.packages import folder as folders
from tests.registry import sample

H = "a" * 64


def entries(*paths: object) -> list:
    return [{"path": path, "sha256": H} for path in paths]


def test_reads_a_registry_pack():
    found = manifest.read(sample.pack(publisher=" ACME ", pack_type="Skill"))
    about = (found.name, found.version, found.pack_type, found.publisher, found.source, found.manifest_name)
    assert about == ("safe-writer", "1.2.0", "skill", "acme", "registry", "registry_pack.json")
    assert found.files == sample.SUMS and found.pin == "sha256:" + found.digest
    assert found.digest == manifest.read(sample.pack()).digest == jcs.digest({k: v for k, v in sample.pack().items() if k != "signatures"})
    assert manifest.read(sample.signed(sample.pack())).digest == found.digest


def test_reads_a_skill():
    found = manifest.read(sample.skill(entrypoint="bin/run.py"))
    assert found.pack_type == "skill" and found.digest == digest_of(sample.SUMS) and found.manifest_name == "skill_manifest.json"
    assert manifest.read(sample.skill(schema_id="gait.openclaw.skill_manifest", publisher=None)).publisher == ""


def test_the_digest_is_of_the_lower_cased_words():
    assert manifest.read(sample.pack(source="REGISTRY")).digest == manifest.read(sample.pack()).digest
    for name, value in {"pack_name": "other", "pack_version": "2", "publisher": "other", "added": 1, "artifacts": entries("a")}.items():
        assert manifest.read(sample.pack(**{name: value})).digest != manifest.read(sample.pack()).digest


NAMES = ["", " ", ".", "..", "../x", "a/b", "a\\b", "/a", "a..b", "pins", "PINS", "x" * 129, "a\0b", "ä", "a.", "-a", "a b", "C:x", None, 1, []]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_would_leave_the_cache_are_refused(name):
    for field in ("pack_name", "pack_version"):
        if name in ("pins", "PINS") and field == "pack_version":
            continue
        with pytest.raises(InvalidInput) as caught:
            manifest.read(sample.pack(**{field: name}))
        assert field in str(caught.value)


PATHS = [
    "", ".", "..", "../x", "a/../b", "a/..", "/etc/passwd", "\\x", "a\\b", "C:/x", "a//b", "a/", "./a", "a/./b", ".hidden", "a/.b", "a\0", "a\n", "ä",
    "x" * 256, "registry_pack.json", "sub/registry_pack.json", "Registry_Pack.json", "skill_manifest.json", "con", "sub/NUL.txt", "aux/x", "a.", "a./b", None, 1, {}, [],
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_would_leave_the_package_are_refused(path):
    with pytest.raises(InvalidInput, match=r"artifacts\[1\].path"):
        manifest.read(sample.pack(artifacts=entries("a", path)))


@pytest.mark.parametrize(
    "paths", [("a", "a"), ("a", "A"), ("a", "a/b"), ("A/b", "a"), ("a/b/c", "a/B"), ("x/y", "X/y")], ids=str
)
def test_two_names_of_one_file_are_refused(paths):
    with pytest.raises(InvalidInput, match="different names"):
        manifest.read(sample.pack(artifacts=entries(*paths)))


BAD = [
    {"schema_id": "gait.gate.trace"}, {"schema_id": None}, {"schema_version": "2.0.0"}, {"schema_version": None}, {"schema_version": 1},
    {"artifacts": []}, {"artifacts": None}, {"artifacts": {}}, {"artifacts": ["a"]}, {"artifacts": [{"path": "a"}]},
    {"artifacts": [{"path": "a", "sha256": "A" * 64}]}, {"artifacts": [{"path": "a", "sha256": "a" * 63}]}, {"artifacts": [{"path": "a", "sha256": 1}]},
    {"signatures": [{}] * 17}, {"signatures": {}}, {"signatures": "x"},
    {"artifacts": entries(*(f"f{number}" for number in range(2001)))}, {"publisher": None}, {"source": None}, {"publisher": " "}, {"source": 1}, {"pack_type": []},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=lambda change: str(change)[:60])
def test_what_is_no_pack_is_refused(change):
    with pytest.raises(InvalidInput):
        manifest.read(sample.pack(**change))


def test_names_that_only_look_like_devices_are_plain():
    paths = ("console", "icon.png", "com", "nul_1", "lpt10", "aux-files/x", "b.con")
    assert manifest.read(sample.pack(artifacts=entries(*paths))).files.keys() == set(paths)


def test_only_a_skill_must_say_where_it_comes_from():
    assert manifest.read(sample.pack(pack_type="policy", publisher=None, source=None)).publisher == ""


def test_a_skill_whose_package_digest_is_wrong_is_refused():
    with pytest.raises(InvalidInput, match="package_digest"):
        manifest.read(sample.skill(package_digest=H))


@pytest.mark.parametrize("make", [sample.pack, sample.skill])
def test_signatures(make):
    for value, keys in ((sample.signed(make()), sample.RING), (sample.signed_elsewhere(make()), sample.PUBLIC)):
        package = manifest.read(value)
        assert manifest.require_signed(package, keys) is package
        for other in (sample.STRANGER, sample.PUBLIC if keys is sample.RING else sample.RING):
            with pytest.raises(VerificationFailed):
                manifest.require_signed(package, other)
        for name in value:
            if name in ("signatures", "schema_version", "package_digest", "files", "artifacts", "schema_id"):
                continue
            changed = manifest.read({**value, name: "changed"})
            with pytest.raises(VerificationFailed):
                manifest.require_signed(changed, keys)
    with pytest.raises(VerificationFailed) as caught:
        manifest.require_signed(manifest.read(make()), sample.RING)
    assert caught.value.error_code == "signature_missing"


def test_a_signature_of_one_kind_of_manifest_is_none_of_the_other():
    package = manifest.read(sample.signed(sample.skill()))
    with pytest.raises(VerificationFailed):
        manifest.require_signed(package._replace(schema_id=manifest.PACK), sample.RING)


def test_pins():
    package = manifest.read(sample.pack())
    for good in (package.pin, package.pin.upper(), f" {package.pin}\n"):
        manifest.require_pin(package, good)
    with pytest.raises(VerificationFailed) as caught:
        manifest.require_pin(package, "sha256:" + H)
    assert caught.value.error_code == "pin_mismatch"
    for bad in ("", package.digest, "sha256:", "sha512:" + H, "sha256:" + H + "a", "sha256:" + "g" * 64, "sha256 :" + H):
        with pytest.raises(InvalidInput) as refused:
            manifest.require_pin(package, bad)
        assert refused.value.error_code == "pin_malformed"


ROUNDS = int(os.environ.get("GAIT_FUZZ_ROUNDS", "300"))


@pytest.mark.parametrize("make", [sample.pack, sample.skill])
def test_a_damaged_manifest_is_refused_and_nothing_else_happens(make):
    """Any change of the bytes is refused with an error of ours, or leaves the document as it was signed."""
    seed = int(os.environ.get("GAIT_FUZZ_SEED", random.randrange(2**32)))
    print("seed", seed)
    chance = random.Random(seed)
    value = sample.signed(sample.signed_elsewhere(make()))
    good, refused = jcs.dumps(value), 0
    name = manifest.read(value).manifest_name
    for _ in range(ROUNDS):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            place, how = chance.randrange(len(data)), chance.randrange(4)
            if how == 0:
                data[place] ^= 1 << chance.randrange(8)
            elif how == 1:
                del data[place : place + chance.randrange(1, 40)]
            elif how == 2:
                data[place:place] = data[chance.randrange(len(data)) :][: chance.randrange(1, 40)]
            else:
                data[place] = chance.randrange(256)
        try:
            package = manifest.require_signed(folders.loads(bytes(data), "m", name), sample.RING)
        except GaitError:
            refused += 1
            continue
        unsigned = {k: v for k, v in package.value.items() if k != "signatures"}
        assert unsigned == {k: v for k, v in value.items() if k != "signatures"}, (seed, bytes(data))
    assert refused > ROUNDS // 2
