"""`gait verify`: one command for every kind of evidence."""

from __future__ import annotations

import io
import json
import shutil

import pytest

from tests.runpack import sample
from tests.runpack.sample import FIXTURES
from tests.store.journal import sample as journal_sample

KEY = ("--key-mode", "prod", "--private-key-env", "TEST_KEY")
TAMPERED = json.loads((FIXTURES / "tampered" / "expected.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def key(monkeypatch, tmp_path):
    monkeypatch.setenv("TEST_KEY", sample.SECRET_TEXT)
    monkeypatch.chdir(tmp_path)


def saved(name: str, data: io.BytesIO) -> str:
    with open(name, "wb") as file:
        file.write(data.getvalue())
    return name


def test_a_signed_run(cli):
    ran = cli("verify", FIXTURES / "good.zip", *KEY)
    assert (ran.code, ran.out) == (0, "ok: run_good: 3 steps, 4 files, signature verified\n")
    value = cli("verify", FIXTURES / "good.zip", "--json", *KEY).value
    assert value["ok"] and value["signature_status"] == "verified" and value["findings"] == [] and value["files_checked"] == 4


def test_without_a_key(cli):
    ran = cli("verify", FIXTURES / "good.zip")
    assert ran.code == 0 and "signature skipped" in ran.out and "warning: signed, but there is no key" in ran.out
    assert cli("verify", FIXTURES / "good.zip", "--require-signature").code == 2
    assert cli("verify", FIXTURES / "other.zip", "--require-signature", *KEY).code == 2


@pytest.mark.parametrize("name", ["unsigned", "mcp_block"])
def test_packs_of_the_published_implementation(cli, name):
    ran = cli("verify", FIXTURES / "published" / f"runpack_{name}.zip", *KEY)
    assert ran.code == 0 and "signature missing" in ran.out


@pytest.mark.parametrize("name", sorted(TAMPERED))
def test_tampered_runs(cli, name):
    ran = cli("verify", FIXTURES / "tampered" / f"{name}.zip", "--json", *KEY)
    assert ran.code == 2 and not ran.value["ok"] and ran.value["error_category"] == "verification_failed"
    assert TAMPERED[name] in {finding["code"] for finding in ran.value["findings"]}


def test_findings_as_text(cli):
    ran = cli("verify", FIXTURES / "tampered" / "mixed_results_rehashed.zip")
    lines = ran.out.splitlines()
    assert ran.code == 2 and lines[0].startswith("finding: results.jsonl:1: run_id_mismatch: ") and lines[-1].startswith("NOT VERIFIED: 5 findings; run_good")


def test_a_run_id(cli, home):
    (home / "runs").mkdir(parents=True)
    shutil.copy(FIXTURES / "good.zip", home / "runs" / "runpack_run_good.zip")
    shutil.copy(FIXTURES / "good.zip", home / "runs" / "runpack_run_x.zip")
    assert cli("verify", "run_good", *KEY).code == 0
    ran = cli("verify", "run_x", "--json", *KEY)
    assert ran.code == 2 and ran.value["error_code"] == "run_id_mismatch"


def test_a_run_in_gait_out(cli, tmp_path):
    (tmp_path / "gait-out").mkdir()
    shutil.copy(FIXTURES / "other.zip", "gait-out/runpack_run_other.zip")
    assert cli("verify", "run_other").code == 0


def test_a_trace(cli):
    path = sorted((sample.ROOT / "fixtures" / "golden").glob("*/trace.json"))[0]
    ran = cli("verify", path, "--json", *KEY)
    assert ran.code == 0 and ran.value["trace_id"]
    saved("trace.json", io.BytesIO(path.read_bytes().replace(b'"verdict": "', b'"verdict": "x', 1)))
    assert cli("verify", "trace.json", *KEY).code == 2


def test_a_journal(cli, tmp_path):
    shutil.copytree(journal_sample.GOLDEN, tmp_path / "journal")
    ran = cli("verify", "journal", *KEY)
    assert ran.code == 0 and ran.out.splitlines()[-1] == "ok: 34 records verified in 4 chains"
    next((tmp_path / "journal" / "worker-1").glob("*.jsonl")).write_bytes(b"")
    assert cli("verify", "journal", *KEY).code == 2


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 100, b"hello"])
def test_what_is_nothing_of_it(cli, data):
    saved("x.zip", io.BytesIO(data))
    saved("thing", io.BytesIO(data))
    assert cli("verify", "x.zip").code == cli("verify", "thing").code == 2


def test_json_in_the_place_of_a_pack(cli):
    saved("x.zip", io.BytesIO(b"{}"))
    assert cli("verify", "x.zip", "--json").value["error_code"] == "not_an_archive"


def test_usage(cli):
    assert cli("verify").code == 6
    assert cli("verify", "nothing").code == 6
    assert cli("verify", FIXTURES / "good.zip", "--head", "x").code == 6


def test_names_do_not_steer_the_terminal(cli):
    data = sample.fixtures.zipped([sample.fixtures.Part(b"\x1b[2J", b"x")])
    saved("x.zip", io.BytesIO(data))
    assert "\x1b" not in cli("verify", "x.zip").out


def test_a_run_signed_as_the_published_implementation_signs(cli):
    signed, public = FIXTURES / "ed25519" / "signed.zip", ("--public-key", FIXTURES / "ed25519" / "public.key")
    value = cli("verify", signed, "--require-signature", "--json", *public).value
    assert value["ok"] and value["signature_status"] == "verified" and "warnings" not in value
    for other in (("--public-key", FIXTURES.parent / "traces" / "published" / "public.key"), KEY):
        ran = cli("verify", signed, "--json", *other)
        assert ran.code == 2 and ran.value["signature_status"] == "failed"
    ran = cli("verify", FIXTURES / "good.zip", "--json", *public)
    assert ran.code == 2 and [finding["code"] for finding in ran.value["findings"]] == ["algorithm_not_supported"]


def test_a_tampered_run_of_the_published_form(cli, tmp_path):
    public = ("--public-key", FIXTURES / "ed25519" / "public.key")
    entries = sample.fixtures.entries((FIXTURES / "ed25519" / "signed.zip").read_bytes())
    for name in entries:
        data = entries[name].replace(b"run_demo", b"run_dem0").replace(b"2026", b"2027")
        changed = {**entries, name: data}
        for made in (changed, sample.fixtures.rehashed(changed)):
            path = tmp_path / "changed.zip"
            path.write_bytes(sample.fixtures.zipped(sample.fixtures.parts(made)))
            assert cli("verify", path, *public).code == 2, name
    path.write_bytes(sample.fixtures.zipped(sample.fixtures.parts(entries)))
    assert cli("verify", path, *public).code == 0  # the control


def test_a_public_key_is_for_traces_and_runs(cli, tmp_path):
    public = ("--public-key", FIXTURES / "ed25519" / "public.key")
    (tmp_path / "folder").mkdir()
    ran = cli("verify", tmp_path / "folder", *public, "--json")
    assert ran.code == 6 and ran.value["error_code"] == "invalid_usage"
