"""Verification of evidence packs: good ones pass, and each damage has its own finding, even when somebody signed it again."""

from __future__ import annotations

import io
import json
import random
import zlib

import pytest

from gait.errors import VerificationFailed
from gait.formats import jcs
from gait.guard import controls, verify
from gait.signing import envelope

from tests.guard import sample
from tests.guard.sample import OTHER, WINDOW, findings, fixtures, forged, made

GOOD = made(journal=sample.journal(), template="soc2")
INCIDENT = made(window=WINDOW, around=2, template="incident_response")
ENTRIES = fixtures.entries(GOOD)
RUN = "run/runpack_run_1.zip"


@pytest.mark.parametrize("template", ["", *controls.NAMES])
@pytest.mark.parametrize("fields", [{}, {"window": WINDOW, "around": 3}, {"journal": sample.journal()}, {"signed": False, "traced": False}], ids=str)
def test_good_packs(template, fields):
    report = sample.report(made(template=template, **fields))
    assert report.ok and report.signature == "verified" and report.steps == 3
    assert report.traces == (0 if "traced" in fields else 3)


def test_equal_evidence_gives_equal_bytes():
    assert made(template="pci") == made(template="pci")


def test_without_a_key_the_digests_are_checked():
    assert sample.report(GOOD, None).signature == "skipped" and findings(GOOD, None) == set()
    assert "entry_digest_mismatch" in findings(_swap("summary.md", b"all is well\n"), None)


def test_another_key():
    assert findings(GOOD, OTHER) == {"key_unknown"}


def _swap(name: str, data: bytes) -> bytes:
    return fixtures.zipped(fixtures.parts({**ENTRIES, name: data}))


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_a_flipped_byte_in_each_entry(name):
    data = fixtures.zipped(fixtures.parts({**ENTRIES, name: fixtures.flip(ENTRIES[name])}))
    assert findings(data) - {"entry_crc_mismatch"}, name


@pytest.mark.parametrize("name", sorted(set(ENTRIES) - {"manifest.json"}))
def test_a_missing_entry(name):
    missing = fixtures.zipped(fixtures.parts({key: data for key, data in ENTRIES.items() if key != name}))
    assert "entry_missing" in findings(missing)
    assert "entry_missing" in findings(forged(GOOD, {name: None})), "the manifest may not leave it out either"


def test_manifests():
    assert findings(fixtures.zipped(fixtures.parts({key: data for key, data in ENTRIES.items() if key != "manifest.json"}))) == {"manifest_missing"}
    assert findings(b"no archive") == {"not_an_archive"}
    assert "entry_unlisted" in findings(_swap("notes.txt", b"hello"))
    assert findings(forged(GOOD, {"notes.txt": b"hello"})) == set(), "listed and signed"
    assert "not_json" in findings(_swap("manifest.json", b"{"))
    assert "not_canonical" in findings(_swap("manifest.json", ENTRIES["manifest.json"] + b"\n"))
    for fields in ({"kind": "other"}, {"template": "iso"}, {"run_manifest_digest": "x"}, {"run_id": "../x"}, {"schema_id": "gait.runpack.manifest"}, {"created_at": ""}):
        assert "document_malformed" in findings(forged(GOOD, {}, **fields)), fields


def test_signatures_of_the_manifest():
    manifest = json.loads(ENTRIES["manifest.json"])
    edited = {**manifest, "template": "pci"}
    assert findings(_swap("manifest.json", jcs.dumps(edited))) == {"manifest_digest_mismatch", "digest_mismatch"}
    assert "signature_missing" in findings(_swap("manifest.json", jcs.dumps({**manifest, "signatures": []})))
    assert "too_many_signatures" in findings(_swap("manifest.json", jcs.dumps({**manifest, "signatures": manifest["signatures"] * 17})))
    unsigned = {name: item for name, item in manifest.items() if name != "signatures"}
    other = {**unsigned, "signatures": [envelope.sign(unsigned, fixtures.KEY, envelope.RUNPACK)["signature"]]}
    assert findings(_swap("manifest.json", jcs.dumps(other))) == {"signature_mismatch"}


def test_another_run_inside():
    other = fixtures.entries(made(fixtures.steps("other")))[RUN]
    found = findings(forged(GOOD, {RUN: other}))
    assert {"run_mismatch", "trace_foreign"} <= found
    assert "not_an_archive" in findings(forged(GOOD, {RUN: b"x"}))
    tampered = fixtures.flip(ENTRIES[RUN])
    assert findings(forged(GOOD, {RUN: tampered}))


def test_a_run_that_is_compressed_is_refused():
    parts = fixtures.parts(fixtures.entries(GOOD))
    data, size, crc = fixtures.deflated(ENTRIES[RUN]), len(ENTRIES[RUN]), zlib.crc32(ENTRIES[RUN])
    data = fixtures.zipped([part._replace(data=data, size=size, crc=crc, method=8) if part.name.decode() == RUN else part for part in parts])
    assert "entry_compression_unknown" in findings(data)


def test_traces():
    lines = ENTRIES["traces.jsonl"].splitlines(keepends=True)
    edited = lines[0].replace(b'"allow"', b'"block"')
    foreign = sample.lines([sample.trace(fixtures.steps("other")[0])])
    for data, code in (
        (edited, "digest_mismatch"),
        (foreign, "trace_foreign"),
        (b"{}\n", "document_malformed"),
        (b"{\n", "parse_error"),
        (lines[0].replace(b":", b": ", 1), "not_canonical"),
        (lines[0][:-1], "line_unfinished"),
    ):
        assert code in findings(forged(GOOD, {"traces.jsonl": data})), code
    assert findings(forged(GOOD, {"traces.jsonl": lines[0]})) == {"summary_mismatch"}
    assert findings(forged(INCIDENT, {"around.jsonl": foreign})) == {"summary_mismatch"}
    assert "digest_mismatch" in findings(forged(INCIDENT, {"around.jsonl": edited}))


def test_heads():
    assert "head_mismatch" in findings(made(journal=sample.journal(2)))
    assert "head_missing" in findings(made(journal={"chains": [sample.CHAIN], "heads": []}))
    head = {**sample.journal()["heads"][0], "sequence": 3, "extra": 1}
    assert "digest_mismatch" in findings(made(journal={"chains": [sample.CHAIN], "heads": [head]}))


@pytest.mark.parametrize("name", ["summary.md", "summary.html"])
def test_a_page_that_says_something_else(name):
    data = ENTRIES[name].replace(b"tool.delete", b"tool.read").replace(b"tool\\.delete", b"tool.read")
    assert findings(forged(GOOD, {name: data})) == {"summary_mismatch"}


def test_approvals_that_the_traces_do_not_say():
    assert findings(sample.changed(GOOD, "approvals.json", approvals=[{"trace_id": "x"}])) == {"approvals_mismatch", "summary_mismatch"}


def test_a_summary_that_says_something_else():
    assert findings(sample.changed(GOOD, "summary.json", steps=2)) == {"summary_mismatch"}
    assert findings(sample.changed(GOOD, "summary.json", more="x")) == {"summary_mismatch"}
    assert "document_malformed" in findings(sample.changed(GOOD, "summary.json", run_id="other"))
    assert "document_malformed" in findings(sample.changed(GOOD, "journal.json", chains=[{"proven_sequence": 0}], heads=[]))
    for value in (5, ["x"], [{"chain": [], "proven_sequence": 1}], {"a": 1}):
        assert findings(sample.changed(GOOD, "journal.json", chains=value, heads=value)), value
    for value in (5, "x", {"from": 1}, None):
        assert findings(sample.changed(INCIDENT, "summary.json", window=value)), value
    assert findings(forged(GOOD, {"summary.md": b"older words\n"}, producer_version="0.0.1")) == set(), "another version may word it otherwise"


def test_every_finding_is_reported_and_the_first_is_raised():
    data = _swap("summary.md", b"x")
    data = fixtures.zipped(fixtures.parts({**fixtures.entries(data), "notes.txt": b"x", "traces.jsonl": b"x\n"}))
    report = sample.report(data)
    assert {"entry_unlisted", "entry_digest_mismatch", "parse_error"} <= {finding.code for finding in report.findings}
    with pytest.raises(VerificationFailed, match="more findings") as raised:
        report.require("pack.zip")
    assert raised.value.hint == "do not trust this pack" and report.to_value()["findings_total"] == report.total


def test_any_damage_is_found_and_none_is_an_error():
    rng = random.Random(5)
    for _ in range(200):
        place = rng.randrange(len(GOOD))
        data = GOOD[:place] + bytes([GOOD[place] ^ 1 << rng.randrange(8)]) + GOOD[place + 1 :]
        assert findings(data), place
    for size in range(0, len(GOOD), 1 + len(GOOD) // 50):
        assert findings(GOOD[:size])


def test_it_streams(monkeypatch):
    class Counted(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            Counted.largest = max(Counted.largest, size if size >= 0 else 1 << 40)
            return super().read(size)

    assert verify.check(Counted(GOOD), sample.RING).ok
    assert Counted.largest <= 1 << 16
