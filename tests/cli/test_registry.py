"""`gait registry`: from a folder to a verified, pinned pack, through a real HTTPS server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.registry import sample
from tests.registry.server import CA, Server, answer


@pytest.fixture
def ring(tmp_path):
    return ("--private-key", sample.ring_file(tmp_path / "ring.json"))


@pytest.fixture
def pack(cli, tmp_path, ring):
    folder = sample.folder(tmp_path / "pack")
    about = ("--name", "baseline", "--pack-version", "1.0.0", "--type", "skill", "--publisher", "Acme", "--source", "git", "--risk-class", "high", "--use-case", "writing")
    assert cli("registry", "build", folder, *about, *ring).code == 0
    return folder


def test_build(cli, pack, ring, monkeypatch):
    value = json.loads((pack / "registry_pack.json").read_text())
    about = {"schema_id": "gait.registry.pack", "schema_version": "1.0.0", "pack_name": "baseline", "pack_version": "1.0.0", "pack_type": "skill"}
    assert about.items() <= value.items() and (value["publisher"], value["risk_class"], value["use_case"]) == ("acme", "high", "writing")
    assert {item["path"]: item["sha256"] for item in value["artifacts"]} == sample.SUMS and len(value["signatures"]) == 1
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    words = ("registry", "build", pack, "--name", "b", "--pack-version", "1", *ring, "--json")
    first = cli(*words).value
    assert first == cli(*words).value and first["digest"] != value["signatures"][0]["signed_digest"]
    assert cli("registry", "build", pack, "--name", "b", "--pack-version", "1", "--type", "skill", "--json").code == 6
    (pack / ".secret").touch()
    assert cli(*words).value["error_code"] == "file_name_invalid"


def test_install_list_and_verify(cli, home, pack, ring):
    value = cli("registry", "install", "--source", pack, *ring, "--json").value
    assert value["result"] == "installed" and value["publisher"] == "acme" and value["fallback_used"] is False
    assert value["path"] == str(home / "registry/baseline/1.0.0" / value["digest"]) and Path(value["pin_path"]).read_text() == value["pin"] + "\n"
    ran = cli("registry", "list")
    assert ran.out == f"baseline 1.0.0  sha256:{value['digest']}  pinned\n"
    assert cli("registry", "list", "--json").value["packs"][0]["pinned"] is True
    ran = cli("registry", "verify", *ring)
    assert ran.code == 0 and ran.out.startswith("ok: baseline 1.0.0, published by acme: 3 files, sha256:")
    (Path(value["path"]) / "bin/run.py").write_text("evil")
    ran = cli("registry", "verify", "baseline", *ring)
    assert ran.code == 2 and "finding: bin/run.py: file_modified" in ran.out
    answered = cli("registry", "verify", *ring, "--json").value
    assert answered["ok"] is False and answered["error_code"] == "file_modified" and len(answered["packs"]) == 1
    (Path(value["path"]) / "registry_pack.json").write_text("{}")
    assert "not usable: " in cli("registry", "list").out
    assert cli("registry", "verify", *ring).code == 2


def test_an_installed_skill_speaks_for_calls(cli, tmp_path, pack, ring):
    """What the registry installs is a package that a decision can rest on."""
    path = cli("registry", "install", "--source", pack, *ring, "--json").value["path"]
    (tmp_path / "p.yaml").write_text("rules: [{name: a, effect: allow, match: {skill_publishers: [acme], skill_trust: [verified]}}]")
    words = ("mcp", "proxy", "--policy", tmp_path / "p.yaml", "--call", "-", "--skill", path, "--skill-private-key", ring[1])
    assert cli(*words, stdin={"name": "t", "arguments": {}}).code == 0
    assert cli("skill", "verify", path, *ring).code == 0


def test_from_a_server(cli, pack, ring):
    files = {str(path.relative_to(pack)): path.read_bytes() for path in pack.rglob("*") if path.is_file()}
    with Server(files) as server:
        words = ("registry", "install", "--source", server.url, "--ca-file", CA, *ring)
        assert cli(*words).code == 8
        ran = cli(*words, "--allow-host", server.name, "--publisher-allowlist", "acme", "--json")
        assert ran.code == 0 and ran.value["result"] == "installed"
        pin = ran.value["pin"]
        assert cli(*words, "--allow-host", server.name, "--publisher-allowlist", "other").code == 8
        assert cli(*words, "--allow-host", server.name, "--pin", "sha256:" + "0" * 64).code == 2
        assert cli(*words, "--allow-host", server.name, "--pin", "0" * 64, "--json").value["error_code"] == "pin_malformed"
        server.files["registry_pack.json"] = answer(503, b"", "Retry-After: 0")
        ran = cli(*words, "--allow-host", server.name, "--json")
        assert ran.code == 1 and ran.value["error_code"] == "download_unavailable" and ran.value["retryable"]
        ran = cli(*words, "--allow-host", server.name, "--pin", pin)
        assert ran.code == 0 and "result     cached" in ran.out and "warning" in ran.out
        assert cli(*words, "--allow-host", server.name, "--pin", pin, "--json").value["fallback_used"] is True


def test_progress_is_for_terminals(monkeypatch, capsys):
    from gait.cli import progress

    quiet = progress.Bar()
    quiet("a", 1, 10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.delenv("TERM", raising=False)
    bar = progress.Bar()
    bar("a", 1, 10)  # not yet
    bar._next = 0.0
    bar("a", 5, 10)
    bar._next = 0.0
    bar("a", 7, -1)
    bar("a", 10, 10)
    err = capsys.readouterr().err
    assert " 50%  a" in err and "7 bytes  a" in err and err.endswith("\r\x1b[K")


def test_sign(cli, tmp_path, pack, ring):
    public = ("--public-key", sample.public_file(tmp_path / "public.key"))
    digest = cli("registry", "build", pack, "--name", "b", "--pack-version", "1", "--json").value["to_sign"]
    assert cli("registry", "install", "--source", pack, *public).code == 2
    (tmp_path / "sig").write_bytes(sample.ed25519_fixtures.sign(sample.ed25519_fixtures.SEED, bytes.fromhex(digest)))
    assert cli("registry", "sign", pack, "--signature", tmp_path / "sig", *public).code == 0
    assert cli("registry", "sign", pack, *ring).code == 0
    for key in (public, ring):
        assert cli("registry", "install", "--source", pack, *key).code == 0
    assert cli("registry", "verify", *public).code == cli("registry", "verify", *ring).code == 0
    (pack / "SKILL.md").write_text("changed")
    assert cli("registry", "sign", pack, *ring, "--json").value["error_code"] == "file_modified"
    skill = sample.folder(tmp_path / "skill", sample.skill())
    assert cli("registry", "sign", skill, *ring, "--json").value["error_code"] == "manifest_missing"


def test_nothing_installed(cli, ring, tmp_path):
    assert cli("registry", "list").out == "nothing is installed\n"
    assert cli("registry", "verify", *ring, "--json").value["error_code"] == "package_not_installed"
    assert cli("registry", "list", "--cache", tmp_path / "other", "--json").value["cache"] == str(tmp_path / "other")
