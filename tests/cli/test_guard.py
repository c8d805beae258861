"""`gait guard`: evidence packs of real runs, real traces and a real journal."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Callable

import pytest

from .conftest import Ran

Cli = Callable[..., Ran]
POLICY = "default_verdict: block\nrules:\n  - {name: reads, effect: allow, match: {endpoint_classes: [fs.read]}}\n"


@pytest.fixture
def demo(cli: Cli, home: Path) -> Path:
    """The demo's run, and $GAIT_HOME."""
    assert cli("demo").code == 0
    return home


@pytest.fixture
def journal(cli: Cli, policy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of three calls, the first two being the run `run_j`."""
    rules, folder = policy(POLICY), tmp_path / "journal"
    for number, name in enumerate(("read_file", "delete_file", "read_file")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1_780_000_000 + number * 60))
        call = {"name": name, "arguments": {"path": f"/srv/{number}"}}
        cli("mcp", "proxy", "--policy", rules, "--call", "-", "--journal", folder, "--trace-out", tmp_path / "trace.json", stdin=call)
        if number == 1:
            assert cli("run", "record", "--journal", folder, "--run-id", "run_j", "--sign").code == 0
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    return folder


def entry(path: object, name: str) -> bytes:
    with zipfile.ZipFile(str(path)) as archive:
        return archive.read(name)


def test_the_demos_evidence(cli: Cli, demo: Path):
    value = cli("guard", "pack", "--run", "run_demo", "--template", "soc2", "--json").value
    assert value["ok"] and value["steps"] == value["traces"] == 3 and value["untraced"] == 0
    assert value["controls"] == {"CC6.1": "shown", "CC6.3": "shown", "CC7.2": "shown", "CC7.3": "partly shown", "CC8.1": "shown"}
    assert Path(value["pack"]).parent == demo / "packs" and Path(value["pack"]).stat().st_mode & 0o777 == 0o600
    verified = cli("guard", "verify", value["pack"], "--json").value
    assert verified["ok"] and verified["signature_status"] == "verified" and verified["manifest_digest"] == value["manifest_digest"]
    assert b"delete\\_file" in entry(value["pack"], "summary.md")


def test_verify_knows_an_evidence_pack(cli: Cli, demo: Path, tmp_path: Path):
    pack = tmp_path / "e.zip"
    assert cli("guard", "pack", "--run", "run_demo", "--out", pack).code == 0
    assert cli("verify", pack, "--json").value == cli("guard", "verify", pack, "--json").value
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(bytes(data))
    assert cli("verify", pack).code == cli("guard", "verify", pack).code == 2


def test_equal_evidence_gives_the_same_file(cli: Cli, demo: Path):
    first = cli("guard", "pack", "--run", "run_demo", "--json").value
    data = Path(first["pack"]).read_bytes()
    assert cli("demo").code == 0, "the same run, and more traces"
    second = cli("guard", "pack", "--run", "run_demo", "--json").value
    assert second["pack"] == first["pack"] and Path(second["pack"]).read_bytes() == data
    assert [path.name for path in (demo / "packs").iterdir()] == [Path(first["pack"]).name]


def test_text(cli: Cli, demo: Path, tmp_path: Path):
    out = tmp_path / "e.zip"
    ran = cli("guard", "pack", "--run", "run_demo", "--template", "pci", "--out", out)
    assert ran.code == 0 and "  partly shown 10.3: Logs cannot be altered unseen" in ran.out and f"gait guard verify {out}" in ran.out
    ran = cli("guard", "verify", out)
    assert ran.code == 0 and ran.out.startswith("ok: evidence pack of run_demo: 3 calls, 3 signed decisions, 7 files, signature verified")


def test_every_finding_is_reported(cli: Cli, demo: Path, tmp_path: Path):
    out = tmp_path / "e.zip"
    cli("guard", "pack", "--run", "run_demo", "--out", out)
    data = out.read_bytes()
    out.write_bytes(data.replace(b'"verdict":"block"', b'"verdict":"allow"') + b"junk")
    ran = cli("guard", "verify", out, "--json")
    assert ran.code == 2 and ran.value["ok"] is False and ran.value["error_category"] and ran.value["hint"] == "do not trust this pack"
    assert {"trailing_junk", "entry_digest_mismatch"} <= {finding["code"] for finding in ran.value["findings"]}
    ran = cli("guard", "verify", out)
    assert ran.code == 2 and ran.out.count("finding: ") > 2 and "NOT VERIFIED" in ran.out


def test_keys(cli: Cli, demo: Path, tmp_path: Path):
    out, key = tmp_path / "e.zip", tmp_path / "keys" / "ring.json"
    assert cli("keys", "init", "--path", key).code == 0
    prod = ("--key-mode", "prod", "--private-key", key)
    assert cli("guard", "pack", "--run", "run_demo", "--out", out, *prod, "--json").value["error_code"] == "key_unknown", "the run has another key"
    assert cli("guard", "pack", "--run", "run_demo", "--out", out).code == 0
    assert cli("guard", "verify", out, *prod).code == 2
    (demo / "keys" / "trace.json").rename(demo / "keys" / "away.json")
    ran = cli("guard", "verify", out, "--json")
    assert ran.code == 0 and ran.value["signature_status"] == "skipped" and "anybody could have made" in ran.value["warnings"][0]


def test_a_journal_is_proven(cli: Cli, journal: Path, tmp_path: Path):
    out = tmp_path / "e.zip"
    value = cli("guard", "pack", "--run", "run_j", "--journal", journal, "--template", "incident_response", "--out", out, "--json").value
    assert value["traces"] == 2 and value["facts"]["journal_verified"] and value["facts"]["end_proven"]
    proof = json.loads(entry(out, "journal.json"))
    assert [chain["proven_sequence"] for chain in proof["chains"]] == [head["sequence"] for head in proof["heads"]] == [3]
    assert json.loads(entry(out, "approvals.json"))["approvals"] == []
    assert cli("guard", "verify", out).code == 0


def test_nothing_of_a_damaged_journal_is_packed(cli: Cli, journal: Path, tmp_path: Path):
    out = tmp_path / "e.zip"
    segment = journal / "oneshot" / "00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"block"', b'"allow"'))
    ran = cli("guard", "pack", "--run", "run_j", "--journal", journal, "--out", out, "--json")
    assert ran.code == 2 and "nothing of a damaged journal" in ran.value["error"] and not out.exists()


def test_a_damaged_run_is_not_packed(cli: Cli, demo: Path, tmp_path: Path):
    pack = demo / "runs" / "runpack_run_demo.zip"
    pack.write_bytes(pack.read_bytes().replace(b"not_executed", b"not_executee"))
    ran = cli("guard", "pack", "--run", "run_demo", "--out", tmp_path / "e.zip", "--json")
    assert ran.code == 2 and not (tmp_path / "e.zip").exists()


def test_missing_and_forged_traces_are_told(cli: Cli, demo: Path, tmp_path: Path):
    one, two, _ = sorted((demo / "traces").iterdir())
    one.unlink()
    two.write_text(two.read_text().replace("toy-agent", "somebody"))
    (demo / "traces" / "notes.txt").write_text("no trace")
    ran = cli("guard", "pack", "--run", "run_demo", "--out", tmp_path / "e.zip", "--json")
    warnings = ran.value["warnings"]
    assert ran.code == 0 and ran.value["traces"] == 1 and not ran.value["facts"]["traced"]
    assert "2 of 3 decisions have no signed trace in this pack" in warnings and "1 trace files do not verify and were left out" in warnings
    assert cli("guard", "verify", tmp_path / "e.zip").code == 0
    none = cli("guard", "pack", "--run", "run_demo", "--traces", tmp_path / "nowhere", "--out", tmp_path / "e.zip", "--json").value
    assert none["traces"] == 0


def test_usage(cli: Cli, demo: Path, tmp_path: Path):
    pack = demo / "runs" / "runpack_run_demo.zip"
    assert cli("guard", "pack", "--run", "run_demo", "--out", "-").code == 6
    assert cli("guard", "pack", "--run", "run_demo", "--out", pack).code == 6
    assert cli("guard", "pack", "--run", "run_demo", "--template", "iso").code == 6
    assert cli("guard", "pack", "--run", "run_other").code == cli("guard", "verify", tmp_path / "none.zip").code == 6
    assert cli("guard", "verify", pack, "--json").value["error_code"] == "document_malformed"
    assert cli("guard").code == 6
