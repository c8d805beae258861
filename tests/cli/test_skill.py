"""`gait skill`, and what a decision says of the package that its call comes from."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from gait.signing import ed25519
from tests.registry import sample

POLICY = """\
default_verdict: block
rules:
  - name: ours
    effect: allow
    match: {skill_publishers: [acme], skill_trust: [verified]}
  - name: claimed
    priority: 1
    effect: require_approval
    match: {skill_trust: [claimed]}
"""
CALL = {"name": "write_file", "arguments": {"path": "/work/a"}}
CLAIM = {"skill_name": "safe-writer", "skill_version": "1.2.0", "source": "git", "publisher": "acme", "trust": "verified"}
INTENT = {"tool_name": "write_file", "context": {"identity": "i", "workspace": "/work", "risk_class": "low"}}


@pytest.fixture
def key(tmp_path):
    return ("--private-key", sample.ring_file(tmp_path / "ring.json"))


@pytest.fixture
def public(tmp_path):
    return ("--public-key", sample.public_file(tmp_path / "public.key"))


@pytest.fixture
def package(tmp_path):
    return sample.folder(tmp_path / "package", sample.signed_elsewhere(sample.signed(sample.skill())))


def test_sign_and_verify(cli, tmp_path, key):
    folder = sample.folder(tmp_path / "new")
    about = ("--name", "writer", "--package-version", "1.0", "--publisher", "acme", "--source", "git")
    ran = cli("skill", "sign", folder, *about, *key)
    assert ran.code == 0 and ran.out.splitlines()[1] == "package     writer 1.0"
    ran = cli("skill", "verify", folder, *key)
    assert ran.code == 0 and ran.out.startswith("ok: writer 1.0, published by acme: 3 files, sha256:")
    value = cli("skill", "verify", folder, *key, "--json").value
    assert value["ok"] and value["key_id"] == sample.KEY.key_id and value["files"] == 3 and value["findings"] == []
    (folder / "SKILL.md").write_text("other")
    ran = cli("skill", "verify", folder, *key, "--json")
    assert ran.code == 2 and ran.value["error_code"] == "file_modified" and len(ran.value["findings"]) == 1
    assert "NOT VERIFIED: writer 1.0: 1 findings" in cli("skill", "verify", folder, *key).out
    assert cli("skill", "sign", folder, "--package-version", "1.1", *key).code == 0  # the rest as before
    assert "writer 1.1, published by acme" in cli("skill", "verify", folder, *key).out


def test_a_signature_made_elsewhere(cli, tmp_path, key, public):
    folder = sample.folder(tmp_path / "new")
    about = ("--name", "writer", "--package-version", "1.0", "--publisher", "acme", "--source", "git")
    ran = cli("skill", "sign", folder, *about)
    assert ran.code == 0 and cli("skill", "verify", folder, *public).code == 2
    digest = cli("skill", "sign", folder, "--json").value["to_sign"]
    assert f"to_sign  {digest}" in ran.out
    sig = tmp_path / "sig"
    good = sample.ed25519_fixtures.sign(sample.ed25519_fixtures.SEED, bytes.fromhex(digest))
    for bad in (b"", good[:63], good[:63] + b"\0", b"A" * 88, bytes(64), b"\xff" * 10):
        sig.write_bytes(bad)
        ran = cli("skill", "sign", folder, "--signature", sig, *public, "--json")
        assert ran.code == 2 and ran.value["error_category"] == "verification_failed", bad
    assert cli("skill", "verify", folder, *public).code == 2
    for text in (good, sample.keys.base64_dumps(good).encode() + b"\n"):
        sig.write_bytes(text)
        assert cli("skill", "sign", folder, "--signature", sig, *public).code == 0
        assert cli("skill", "verify", folder, *public).code == 0
    assert cli("skill", "sign", folder, *key).code == 0  # a signature more, beside the first
    assert cli("skill", "verify", folder, *public).code == cli("skill", "verify", folder, *key).code == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_the_recipe_of_the_documentation_with_openssl(cli, tmp_path):
    folder, key = sample.folder(tmp_path / "new"), tmp_path / "key.pem"
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, timeout=60, stdout=subprocess.PIPE)  # noqa: E731
    about = ("--name", "writer", "--package-version", "1.0", "--publisher", "acme", "--source", "git")
    digest = cli("skill", "sign", folder, *about, "--json").value["to_sign"]
    (tmp_path / "digest.bin").write_bytes(bytes.fromhex(digest))
    run("genpkey", "-algorithm", "ed25519", "-out", key)
    run("pkey", "-in", key, "-pubout", "-out", tmp_path / "public.pem")
    run("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", tmp_path / "digest.bin", "-out", tmp_path / "sig")
    named = ("--public-key", tmp_path / "public.pem")
    assert cli("skill", "sign", folder, "--signature", tmp_path / "sig", *named).code == 0
    assert cli("skill", "verify", folder, *named).code == 0


def test_usage(cli, tmp_path, key, public, package):
    assert cli("skill", "sign", sample.folder(tmp_path / "new"), *key, "--json").value["error_code"] == "invalid_usage"
    for words in ((), (*key, *public)):
        assert cli("skill", "verify", package, *words, "--json").value["error_code"] == "key_required"
    for words in (("--signature", "x"), public, ("--signature", "x", *key), ("--signature", "x", *public, *key)):
        assert cli("skill", "sign", package, *words, "--json").value["error_code"] == "invalid_usage"
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps({**sample.RING.to_value(), "purpose": "trace"}))
    trace.chmod(0o600)
    assert cli("skill", "sign", package, "--private-key", trace, "--json").value["error_code"] == "key_purpose_mismatch"
    assert cli("keys", "init", "--purpose", "package", "--json").value["error_code"] == "path_required"


# --- decisions -----------------------------------------------------------------------------------


@pytest.fixture
def decide(cli, tmp_path):
    """One decision: its answer and record."""
    (tmp_path / "policy.yaml").write_text(POLICY)

    def run(stdin: object, *words: object, verb: tuple = ("mcp", "proxy", "--call")):
        trace = tmp_path / "trace.json"
        ran = cli(*verb, "-", "--policy", tmp_path / "policy.yaml", "--trace-out", trace, "--json", *words, stdin=stdin)
        return ran.value, json.loads(trace.read_text())

    return run


def test_a_verified_package_is_recorded_and_matched(decide, tmp_path, package, key, public):
    for words in (("--skill-private-key", key[1]), ("--skill-public-key", public[1])):
        value, record = decide(CALL, "--skill", package, *words)
        assert value["verdict"] == "allow" and value["matched_rule"] == "ours"
        found = record["skill_provenance"]
        assert found["trust"] == "verified" and found["publisher"] == "acme" and found["digest"] == sample.skill()["package_digest"]
        assert found["signature_key_id"] == (sample.KEY if words[0] == "--skill-private-key" else ed25519.read(public[1].read_bytes())).key_id


@pytest.mark.parametrize("form", ["call", "intent"])
def test_a_claim_is_never_verified(decide, form):
    given = {**(CALL if form == "call" else INTENT), "skill_provenance": CLAIM}
    verb = ("mcp", "proxy", "--call") if form == "call" else ("gate", "eval", "--intent")
    value, record = decide(given, verb=verb)
    assert value["verdict"] == "require_approval" and value["matched_rule"] == "claimed"
    assert "trust" not in record["skill_provenance"] and "only Gait calls a package verified" in " ".join(value["warnings"])
    without = {**given, "skill_provenance": {name: text for name, text in CLAIM.items() if name != "trust"}}
    assert decide(without, verb=verb)[0]["intent_digest"] == value["intent_digest"]


def test_a_claim_gives_way_to_what_gait_has_verified(decide, package, key):
    value, record = decide({**CALL, "skill_provenance": {**CLAIM, "publisher": "evil"}}, "--skill", package, "--skill-private-key", key[1])
    assert value["verdict"] == "allow" and record["skill_provenance"]["publisher"] == "acme"
    assert "claimed skill_provenance ignored" in " ".join(value["warnings"])


def test_a_package_that_does_not_verify_blocks(decide, package, key):
    (package / "bin/run.py").write_text("evil")
    for given in (CALL, {**CALL, "skill_provenance": CLAIM}):
        value, record = decide(given, "--skill", package, "--skill-private-key", key[1])
        assert value["verdict"] == "block" and value["reason_codes"] == ["skill_unverified"] == record["reason_codes"]


def test_a_service_does_not_start_with_a_package_that_does_not_verify(cli, process, tmp_path, package, key):
    """Every call would be blocked; here the operator is told why."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (package / "bin/run.py").write_text("evil")
    words = ("--policy", tmp_path / "policy.yaml", "--skill", package, "--skill-private-key", key[1])
    ran = cli("mcp", "serve", "--listen", f"unix:{tmp_path / 's'}", *words)
    assert ran.code == 2 and "bin/run.py: expected SHA-256" in ran.err
    ran = process("mcp", "wrap", *words, "--", "cat")
    assert ran.code == 2 and "bin/run.py: expected SHA-256" in ran.err


def test_options_that_belong_together(cli, tmp_path, package, key):
    (tmp_path / "policy.yaml").write_text(POLICY)
    for words in (("--skill", package), ("--skill-private-key", key[1]), ("--skill", package, "--skill-public-key", key[1])):
        ran = cli("mcp", "proxy", "--call", "-", "--policy", tmp_path / "policy.yaml", *words, "--json", stdin=CALL)
        assert ran.code == 6 and "verdict" not in ran.value


def test_a_recorded_decision_is_made_again_alike(cli, tmp_path, package, key):
    """The journal, a runpack of it and `policy simulate` keep what Gait had verified."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = ("--policy", tmp_path / "policy.yaml", "--journal", tmp_path / "journal", "--capture", "raw", "--run-id", "r1")
    assert cli("mcp", "proxy", "--call", "-", *words, "--skill", package, "--skill-private-key", key[1], stdin=CALL).code == 0
    value = cli("policy", "simulate", "--policy", tmp_path / "policy.yaml", "--from", tmp_path / "journal", "--json").value
    assert (value["calls"], value["evaluated"], value["changed"]) == (1, 1, 0)
    run = cli("run", "record", "--journal", tmp_path / "journal", "--run-id", "r1", "--capture", "raw", "--json").value["bundle"]
    assert cli("verify", run, "--json").value["ok"]
    value = cli("policy", "simulate", "--policy", tmp_path / "policy.yaml", "--from", run, "--json").value
    assert (value["calls"], value["evaluated"], value["changed"]) == (1, 1, 0)


EVENT = {"hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {"file_path": "/work/a"}, "cwd": "/work"}


def test_hooks_speak_for_a_verified_package(process, tmp_path, package, key, home):
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = ("hook", "claude-code", "--policy", tmp_path / "policy.yaml", "--skill", package, "--skill-private-key", key[1])
    claim = {**EVENT, "skill_provenance": CLAIM, "context": {"skill_provenance": CLAIM}}
    assert process(*words, "--check").code == 0
    assert (process(*words, stdin=EVENT).out, process(*words, stdin=claim).out) == ("", "")
    (package / "SKILL.md").write_text("changed")
    assert "skill_unverified" in process(*words, stdin=EVENT).out
    assert process(*words, "--check").code == 2
    assert "default_block" in process(*words[:4], stdin=claim).out  # a claim in an event is not even one
    for more in (("--skill", package), ("--skill-private-key", key[1]), ("--skill", package, "--skill-private-key", key[1], "--server", "127.0.0.1:1")):
        ran = process(*words[:4], *more, stdin=EVENT)
        assert ran.code == 2 and ran.out == ""


def test_hook_install_names_whole_paths(cli, tmp_path, package, key, monkeypatch):
    (tmp_path / "policy.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    ran = cli("hook", "install", "claude-code", "--policy", "policy.yaml", "--skill", "package", "--skill-private-key", "ring.json", "--json")
    assert f"--skill {package} " in ran.value["command"] and f"--skill-private-key {key[1]}" in ran.value["command"]


def test_validate_warns_of_rules_that_go_by_a_claim(cli, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("rules: [{name: a, effect: allow, match: {skill_publishers: [acme]}}, {name: b, effect: block, match: {skill_sources: [git]}}]")
    ran = cli("policy", "validate", path)
    assert ran.code == 0 and ran.out.count("warning: ") == 2 and "rule 'a' matches a publisher" in ran.out
    assert len(cli("policy", "validate", path, "--json").value["warnings"]) == 2
    path.write_text(POLICY)
    assert "warning" not in cli("policy", "validate", path).out
    for template in ("baseline-lowrisk", "baseline-mediumrisk", "baseline-highrisk"):
        path.write_text(cli("policy", "init", template, "--out", "-").out)
        assert "warning" not in cli("policy", "validate", path).out


@pytest.mark.parametrize("template", ["baseline-mediumrisk", "baseline-highrisk"])
def test_templates_block_mere_claims(cli, tmp_path, template, package, key):
    cli("policy", "init", template, "--out", tmp_path / "t.yaml")
    call = {"name": "read_file", "arguments": {"path": "/work/a"}, "context": {"workspace": "/work"}}
    words = ("mcp", "proxy", "--call", "-", "--policy", tmp_path / "t.yaml", "--json")
    assert cli(*words, stdin=call).value["verdict"] == "allow"
    assert cli(*words, "--skill", package, "--skill-private-key", key[1], stdin=call).value["verdict"] == "allow"
    assert cli(*words, stdin={**call, "skill_provenance": CLAIM}).value["reason_codes"] == ["skill_not_verified"]
