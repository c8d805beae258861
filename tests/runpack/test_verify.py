"""Verification: packs of the published implementation and ours pass; every tampered one has its own finding."""

from __future__ import annotations

import io
import json
import os
import random
import time
import tracemalloc

import pytest

from gait.errors import GaitError, VerificationFailed
from gait.formats import jcs
from gait.runpack import model, verify

from tests.runpack import sample
from tests.runpack.sample import FIXTURES, OTHER, RING, fixtures

TAMPERED = json.loads((FIXTURES / "tampered" / "expected.json").read_text("utf-8"))


@pytest.mark.parametrize("name, run_id, steps", [("unsigned", "run_demo", 3), ("mcp_block", "run_mcp", 1)])
def test_packs_of_the_published_implementation(name, run_id, steps):
    with open(FIXTURES / "published" / f"runpack_{name}.zip", "rb") as file:
        pack = verify.load(file, RING, run_id)
        found = list(pack.steps())
    assert (pack.report.run_id, pack.report.steps, len(found), pack.report.signature) == (run_id, steps, steps, "missing")
    assert all(step.intent.args and step.result and step.result.result for step in found)
    assert found[0].intent.request() is None and found[0].decision is None


def test_there_are_enough_tampered_packs():
    assert len(TAMPERED) >= 40
    assert {path.stem for path in (FIXTURES / "tampered").glob("*.zip")} == set(TAMPERED)


@pytest.mark.parametrize("name", sorted(TAMPERED))
def test_tampered_packs(name):
    with open(FIXTURES / "tampered" / f"{name}.zip", "rb") as file:
        report = verify.check(file, RING)
        assert not report.ok and TAMPERED[name] in {finding.code for finding in report.findings}
        with pytest.raises(VerificationFailed):
            verify.load(file, RING)


def test_the_fixtures_are_what_the_script_makes():
    assert {name: (FIXTURES / name).read_bytes() == data for name, data in fixtures.make().items() if not (FIXTURES / name).read_bytes() == data} == {}


def test_every_finding_is_reported():
    data = sample.made(key=RING.active)
    found = fixtures.entries(data.getvalue())
    parts = fixtures.parts({**found, "more.txt": b"x", "run.json": b"{}", "results.jsonl": found["results.jsonl"] * 2}, refs_json={"mode": 0o120777})
    codes = sample.findings(io.BytesIO(b"#!junk" + fixtures.zipped(parts) + b"x"), ring=OTHER)
    expected = {"leading_junk", "trailing_junk", "entry_symlink", "entry_unlisted", "key_unknown", "document_malformed", "entry_digest_mismatch", "result_repeated"}
    assert expected <= set(codes)


@pytest.mark.parametrize("ring, status, codes", [(RING, "verified", []), (OTHER, "failed", ["key_unknown"]), (None, "skipped", [])])
def test_signatures(ring, status, codes):
    data = sample.made(key=RING.active)
    assert sample.report(data, ring=ring).signature == status and sample.findings(data, ring=ring) == codes


def test_a_required_signature():
    assert sample.findings(sample.made(), ring=RING, require_signature=True) == ["signature_missing"]
    assert sample.findings(sample.made(key=RING.active), require_signature=True) == ["key_unknown"]
    assert sample.findings(sample.made(key=RING.active), ring=RING, require_signature=True) == []


def test_another_ones_signature_beside_a_good_one_is_no_finding():
    def both(data: bytes) -> bytes:
        manifest = json.loads(data)
        theirs = json.loads(fixtures.entries(sample.made(key=OTHER.active).getvalue())["manifest.json"])["signatures"]
        return jcs.dumps({**manifest, "signatures": manifest["signatures"] + theirs})

    found = fixtures.entries(sample.made(key=RING.active).getvalue())
    data = io.BytesIO(fixtures.zipped(fixtures.parts({**found, "manifest.json": both(found["manifest.json"])})))
    assert sample.report(data, ring=RING).signature == "verified" and sample.findings(data, ring=RING) == []


def test_the_run_that_was_asked_for():
    assert set(sample.findings(sample.made(run_id="run_a"), run_id="run_b")) == {"run_id_mismatch"}


def test_a_trace_key_signature_of_another_purpose_is_none():
    from gait.signing import envelope

    found = fixtures.entries(sample.made().getvalue())
    manifest = json.loads(found["manifest.json"])
    manifest["signatures"] = [envelope.sign(manifest, RING.active, envelope.TRACE)["signature"]]
    data = io.BytesIO(fixtures.zipped(fixtures.parts({**found, "manifest.json": jcs.dumps(manifest)})))
    assert sample.findings(data, ring=RING) == ["signature_mismatch"]


def test_unknown_fields_are_kept_and_covered():
    def more(data: bytes) -> bytes:
        return fixtures.joined([{**line, "x_note": 1} for line in fixtures.lines(data)])

    changed = sample.changed(sample.made(), "intents.jsonl", more)
    assert sample.findings(changed) == [] and sample.steps(changed)[0].intent.value["x_note"] == 1


def test_results_in_another_order_are_paired():
    def reverse(data: bytes) -> bytes:
        return b"".join(data.splitlines(True)[::-1])

    steps = sample.steps(sample.changed(sample.made(50), "results.jsonl", reverse))
    assert all(step.result and step.result.intent_id == step.intent.intent_id for step in steps)


def test_results_may_be_missing():
    changed = sample.changed(sample.made(), "results.jsonl", lambda data: b"".join(data.splitlines(True)[1:]))
    assert sample.findings(changed) == [] and sample.steps(changed)[0].result is None


def test_many_bad_lines_take_no_time():
    data = sample.changed(sample.made(), "results.jsonl", lambda data: b"\n" * 3_000_000)
    started = time.monotonic()
    report = sample.report(data)
    assert time.monotonic() - started < 5 and report.findings[-1].code == "lines_skipped" and report.total == 901


def test_a_line_that_does_not_end():
    data = sample.changed(sample.made(), "intents.jsonl", lambda data: b"x" * (verify.MAX_LINE_BYTES + 1))
    assert "line_too_long" in sample.findings(data)


def test_documents_over_the_limit_are_not_read():
    data = sample.changed(sample.made(), "refs.json", lambda data: b" " * (verify.MAX_DOCUMENT_BYTES + 1))
    assert sample.findings(data) == ["document_too_large"]


def test_a_pack_that_changes_after_it_was_verified():
    data = sample.made(run_id="run_a")
    pack = verify.load(data)
    data.seek(0)
    data.write(sample.made(4, run_id="run_a").getvalue())
    with pytest.raises(VerificationFailed) as caught:
        list(pack.steps())
    assert caught.value.error_code == "run_changed"


def test_mutations_never_pass_and_never_break():
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", "400"))
    seed = int(os.environ.get("GAIT_FUZZ_SEED", "1"))
    rnd = random.Random(seed)
    goods = [(FIXTURES / name).read_bytes() for name in ("good.zip", "raw.zip", "published/runpack_unsigned.zip")]
    for number in range(rounds):
        good = rnd.choice(goods)
        data = bytearray(good)
        for _ in range(rnd.choice((1, 1, 2, 5))):
            place = rnd.randrange(len(data) - 40)
            kind = rnd.randrange(4)
            if kind < 2:
                data[place] ^= 1 << rnd.randrange(8)
            elif kind == 2:
                del data[place : place + rnd.randrange(1, 40)]
            else:
                data[place:place] = data[rnd.randrange(len(data)) :][: rnd.randrange(1, 30)]
        if bytes(data) == good:
            continue
        try:
            assert not verify.check(io.BytesIO(bytes(data)), RING).ok, f"seed {seed}, round {number}"
        except GaitError:
            pass


def test_it_streams():
    """Verification of a long run takes the memory of a few steps."""
    data = sample.made([step._replace(intent=None) for step in sample.recorded(3)] * 1500)
    tracemalloc.start()
    assert sample.report(data).steps == 4500
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(data.getvalue())


def test_the_report_as_json():
    value = sample.report(sample.made(run_id="run_a")).to_value()
    assert value["run_id"] == "run_a" and value["findings"] == [] and value["signature_status"] == "missing" and json.dumps(value)


def test_run_ids():
    for run_id in ("run_1", "a", "A.b-c_d", "x" * 128):
        assert model.is_run_id(run_id)
    for run_id in ("", ".", "..", "a/b", "a..b", "-a", "a b", "é", "x" * 129, "a\n"):
        assert not model.is_run_id(run_id)
