"""`gait policy init, validate, fmt and explain`."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from gait.cli import policy as policy_command
from gait.formats import yaml_subset
from gait.gate import policy as policies

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "fixtures" / "quickstart"
SHIPPED = sorted([*ROOT.glob("fixtures/**/*policy*.yaml"), *ROOT.glob("fixtures/**/*policy*.json"), *ROOT.glob("gait/cli/templates/*.yaml")])
VECTORS = ROOT.parent / "shared" / "vectors" / "decisions.jsonl"


# --- init --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", policy_command.TEMPLATES)
def test_a_template_is_written_once(cli, tmp_path, name, home):
    path = tmp_path / "p.yaml"
    ran = cli("policy", "init", name, "--out", path)
    assert (ran.code, ran.out) == (0, f"wrote {path}\nnext: gait policy validate {path}\n")
    text = path.read_bytes()
    assert b"#" in text and path.stat().st_mode & 0o777 == 0o644
    path.write_text("mine")
    ran = cli("policy", "init", name, "--out", path, "--json")
    assert ran.code == 6 and "--force" in ran.value["hint"] and path.read_text() == "mine"
    ran = cli("policy", "init", name, "--out", path, "--force", "--json")
    assert ran.value == {"ok": True, "template": name, "path": str(path), "next": f"gait policy validate {path}"}
    assert path.read_bytes() == text and cli("policy", "validate", path).code == 0 and not home.exists()
    assert cli("policy", "init", name, "--out", "-").out.encode() == text
    assert cli("policy", "init", name, "--out", "-", "--json").value["policy"].encode() == text


def test_init_places(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("policy", "init", "baseline-lowrisk").code == 0 and os.listdir() == ["policy.yaml"]
    os.symlink("nowhere", "link")
    assert cli("policy", "init", "baseline-lowrisk", "--out", "link").code == 6 and not os.path.exists("nowhere")
    assert cli("policy", "init", "baseline-lowrisk", "--out", "missing/p.yaml").code == 1
    assert cli("policy", "init", "baseline-lowrisk", "--out", "/dev/full", "--force").code == 1
    assert cli("policy", "init", "baseline-lowrisk", "--out", ".", "--force").code == 1
    assert sorted(os.listdir()) == ["link", "policy.yaml"]


def test_a_copy_without_its_templates(cli, monkeypatch):
    for found in (lambda *_: None, lambda *_: (_ for _ in ()).throw(FileNotFoundError)):
        monkeypatch.setattr(policy_command.pkgutil, "get_data", found)
        ran = cli("policy", "init", "baseline-lowrisk", "--out", "-", "--json")
        assert ran.code == 6 and "not in this copy" in ran.value["error"]


def test_templates_come_out_of_a_zip_too(process, tmp_path):
    with zipfile.ZipFile(tmp_path / "gait.zip", "w") as archive:
        archive.write(ROOT / "gait.py", "__main__.py")
        for path in (ROOT / "gait").rglob("*"):
            if path.suffix in (".py", ".yaml"):
                archive.write(path, str(path.relative_to(ROOT)))
    import subprocess
    import sys

    command = [sys.executable, "-I", str(tmp_path / "gait.zip"), "policy", "init", "baseline-highrisk", "--out", "-"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout == (ROOT / "gait/cli/templates/baseline_highrisk.yaml").read_bytes()


# --- validate ----------------------------------------------------------------------------------


def test_several_policies(cli, tmp_path):
    paths = [tmp_path / f"{number}.yaml" for number in range(2)]
    for path, verdict in zip(paths, ("block", "allow")):
        path.write_text(f"default_verdict: {verdict}\n")
    ran = cli("policy", "validate", *paths, "-", "--json", stdin="{}")
    assert [entry["path"] for entry in ran.value["policies"]] == [*map(str, paths), "standard input"]
    assert [entry["default_verdict"] for entry in ran.value["policies"]] == ["block", "allow", "require_approval"]
    lines = cli("policy", "validate", *paths).out.splitlines()
    assert [line.split()[:4] for line in lines] == [["valid", str(path), "0", "rules"] for path in paths]
    paths[1].write_text("default_verdict: alow\n")
    ran = cli("policy", "validate", *paths)
    assert ran.code == 6 and ran.out == "" and ran.err.startswith(f"error: {paths[1]}:1:1: default_verdict: ")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_policy_is_valid(cli, path):
    assert cli("policy", "validate", path).code == 0


# --- fmt ---------------------------------------------------------------------------------------


def normal_form(text: str | bytes) -> str:
    """The normal form, checked: the same digest and meaning, and normal itself."""
    from gait.formats import yaml_writer

    first = policies.loads(text)
    form = yaml_writer.dumps(first.to_value())
    assert policies.loads(form) == first and yaml_writer.dumps(policies.loads(form).to_value()) == form
    return form


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_fmt_keeps_the_digest(cli, path):
    ran = cli("policy", "fmt", path, "--json")
    assert ran.code == 0 and ran.value["written"] is False and ran.value["policy"] == normal_form(path.read_bytes())
    assert ran.value["policy_digest"] == policies.loads(path.read_bytes()).digest
    assert cli("policy", "fmt", "-", stdin=ran.value["policy"]).out == ran.value["policy"]


@pytest.mark.fuzz
@pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not here")
def test_fmt_keeps_the_digest_of_the_vectors():
    """Every tenth, and all of them in `make fuzz`."""
    texts = sorted({json.loads(line)["policy"] for line in VECTORS.read_text("utf-8").strip().split("\n")})
    texts = texts if os.environ.get("GAIT_FUZZ_ROUNDS") else texts[::10]
    formatted = 0
    for text in texts:
        try:
            policies.loads(text)
        except policies.InvalidInput:
            continue
        normal_form(text)
        formatted += 1
    assert formatted > 0.9 * len(texts)


def test_fmt_writes_back(cli, tmp_path):
    path, link = tmp_path / "p.yaml", tmp_path / "link.yaml"
    path.write_text("rules: []\ndefault_verdict: 'block'\n")
    path.chmod(0o640)
    link.symlink_to(path)
    ran = cli("policy", "fmt", link, "--write")
    assert (ran.code, ran.out) == (0, f"wrote {link}\n") and link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640 and sorted(tmp_path.iterdir()) == [link, path]
    assert path.read_text() == "schema_id: gait.gate.policy\nschema_version: \"1.0.0\"\ndefault_verdict: block\nrules: []\n"


def test_fmt_does_not_lose_comments_unasked(cli, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("default_verdict: block  # why\n")
    ran = cli("policy", "fmt", path, "--write", "--json")
    assert (ran.code, ran.value["error_code"]) == (8, "unsafe_operation") and "--drop-comments" in ran.value["hint"]
    assert path.read_text() == "default_verdict: block  # why\n"
    assert cli("policy", "fmt", path, "--write", "--drop-comments", "--json").value["written"] is True
    assert "#" not in path.read_text()


def test_fmt_refuses_what_is_not_valid(cli, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("default_verdict: alow\n")
    assert cli("policy", "fmt", path, "--write").code == 6 and path.read_text() == "default_verdict: alow\n"


def test_fmt_keeps_what_is_not_enabled(cli):
    """A published digest covers the lists of a fail_closed that is switched off."""
    text = normal_form("fail_closed: {enabled: false, risk_classes: [high], required_fields: [targets]}")
    assert "risk_classes: [high]" in text and "fail_closed" not in normal_form("fail_closed: {enabled: false}")


# --- explain -----------------------------------------------------------------------------------

EXPLAINED = """
default_verdict: dry_run
rules:
  - {name: a, priority: 1, effect: allow, match: {tool_names: [other]}}
  - {name: b, priority: 2, effect: block, match: {risk_classes: [low], target_kinds: [host]}}
  - {name: c, priority: 3, effect: allow, match: {target_kinds: [path]}, endpoint: {path_allowlist: [/work/**]}}
"""


def test_explain(cli, policy, home):
    path = policy(EXPLAINED)
    ran = cli("policy", "explain", "--policy", path, "--call", "-", stdin={"name": "read", "arguments": {"path": "/etc/shadow"}})
    assert ran.code == 0 and not home.exists()
    assert ran.out.splitlines() == [
        "verdict  block",
        "tool     read",
        "reasons  endpoint_constraint_violation, endpoint_path_not_allowlisted, matched_rule_c",
        "target   path /etc/shadow  (read, fs.read, inferred)",
        "skipped  a (priority 1, allow)",
        "         tool_names: ['read']; wanted one of ['other']",
        "skipped  b (priority 2, block)",
        "         risk_classes: ['high']; wanted one of ['low']",
        "         target_kinds: ['path']; wanted one of ['host']",
        "matched  c (priority 3, allow)",
        "         endpoint_path_not_allowlisted: asks for block",
        "         endpoint_constraint_violation: asks for block",
    ]
    call = {"name": "read", "arguments": {"path": "/work/a"}}
    value = cli("policy", "explain", "--policy", path, "--call", "-", "--json", stdin=call).value
    assert list(value) == ["ok", "verdict", "reason_codes", "violations", "matched_rule", "targets", "tried"]
    assert value["verdict"] == "allow" and value["tried"][-1] == {"rule": "c", "priority": 3, "effect": "allow", "matched": True, "because": []}


def test_explain_without_a_rule(cli, policy):
    ran = cli("policy", "explain", "--policy", policy(EXPLAINED), "--call", "-", stdin={"name": "x", "arguments": {"n": 1}})
    assert ran.out.splitlines()[-1] == "no rule matched: default_verdict decided" and ran.out.count("skipped") == 3
    assert "target_kinds: the call has none; wanted one of ['host']" in ran.out or "other" in ran.out


def test_explain_fail_closed(cli, policy):
    path = policy("fail_closed: {enabled: true, required_fields: [arg_provenance]}\nrules: [{name: r, effect: allow}]\n")
    ran = cli("policy", "explain", "--policy", path, "--call", "-", stdin={"name": "x"})
    assert ran.out.splitlines()[-1] == "fail_closed decided before the rules" and "matched" not in ran.out
    assert cli("policy", "explain", "--policy", path, "--call", "-", "--json", stdin={"name": "x"}).value["tried"] == []


def test_explain_an_intent(cli, policy):
    intent = {"tool_name": "x", "targets": [{"kind": "repo", "value": "a/b", "destructive": True}], "context": {"identity": "a", "workspace": "/", "risk_class": "low"}}
    ran = cli("policy", "explain", "--policy", policy(EXPLAINED), "--intent", "-", stdin=intent)
    assert ran.code == 0 and "target   repo a/b  (other, destructive)" in ran.out
    intent["context"]["risk_class"] = "none"
    ran = cli("policy", "explain", "--policy", policy(EXPLAINED), "--intent", "-", "--json", stdin=intent)
    assert ran.code == 6 and ran.value["error"].startswith("standard input: context.risk_class: ")


def test_yaml_of_the_normal_form_is_yaml_12(tmp_path):
    text = normal_form("rules: [{name: 'no', effect: allow, reason_codes: ['1.0', '~', 'a: b', '#', '😀\u2028']}]")
    assert yaml_subset.loads(text)["rules"][0]["reason_codes"] == sorted(["1.0", "~", "a: b", "#", "😀"])
