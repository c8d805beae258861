"""A project's defaults: strict when read, and believed only as the operator has seen them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gait.errors import GaitError, InvalidInput, UnsafeOperation
from gait.store import config

TEXT = """\
schema_id: gait.config
schema_version: 1.0.0
policy: policies/main.yaml
identity: agent-7
risk_class: HIGH
profile: oss-prod
approval_key: [keys/a.json, "ann=/etc/gait/ann.json"]
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / ".gait").mkdir(parents=True)
    (folder / ".gait" / "config.yaml").write_text(TEXT)
    return folder


def test_what_it_says(project):
    assert config.load(str(project))[0] is None
    assert config.trust(str(project)).values == {
        "policy": str(project / "policies/main.yaml"),
        "identity": "agent-7",
        "profile": "oss-prod",
        "risk_class": "high",
        "approval_key": [str(project / "keys/a.json"), "ann=/etc/gait/ann.json"],
    }
    found, warning = config.load(str(project))
    assert found == config.trust(str(project)) and warning == ""


@pytest.mark.parametrize(
    "text, error",
    [
        ("polcy: x", "did you mean 'policy'?"),
        ("policy: x\npolicy: y", "policy"),
        ("simulate: true", "unknown key"),
        ("profile: prod", "profile: must be one of"),
        ("profile: ''", "profile: must be one of"),
        ("key_mode:", "key_mode: must be one of"),
        ("policy:", "policy: must be text that is not empty"),
        ("policy: 7", "policy: must be text"),
        ("approval_key: x", "approval_key: must be a list"),
        ("approval_key: ['']", "approval_key[0]: must be [NAME=]FILE"),
        ("approval_key: [7]", "approval_key[0]: must be [NAME=]FILE"),
        ("schema_id: gait.other", "schema_id: must be gait.config"),
        ("schema_version: 2.0.0", "schema_version: must be 1.0.0"),
        ("- a", "must be an object"),
        ("a: [", ""),
    ],
)
def test_anything_else_is_refused_with_its_place(project, text, error):
    path = project / ".gait" / "config.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        config.trust(str(project))
    assert error in str(caught.value) and caught.value.where.startswith(str(path))
    assert config.load(str(project))[0] is None


def test_a_file_that_nobody_trusted_has_no_effect_but_a_warning(project):
    found, warning = config.load(str(project))
    assert found is None and "gait config trust" in warning
    assert config.load(str(project.parent)) == (None, "")


CHANGES = {
    "edited": lambda path: path.write_text(TEXT.replace("oss-prod", "standard")),
    "emptied": lambda path: path.write_text(""),
    "deleted": lambda path: path.unlink(),
    "its folder deleted": lambda path: (path.unlink(), path.parent.rmdir()),
    "too large": lambda path: path.write_text("#" * 70_000),
    "a link to another": lambda path: (path.rename(path.with_name("old")), path.symlink_to("/dev/null")),
    "a comment more": lambda path: path.write_text(TEXT + "# x\n"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_trusted_file_that_changed_stops_every_decision(project, change):
    path = project / ".gait" / "config.yaml"
    config.trust(str(project))
    CHANGES[change](path)
    with pytest.raises(UnsafeOperation) as caught:
        config.load(str(project))
    assert caught.value.error_code == "config_untrusted"
    assert config.distrust(str(project)) and not config.distrust(str(project))
    assert config.load(str(project))[0] is None


NAMED = {
    "edited": lambda path: path.write_text("default_verdict: allow\n"),
    "deleted": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to another": lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("name", ["policies/main.yaml", "keys/a.json", "keys/new.json"])
@pytest.mark.parametrize("change", sorted(NAMED))
def test_a_file_that_a_trusted_config_names_is_pinned_with_it(project, name, change):
    """One that was not there when the project was trusted must not come either."""
    (project / ".gait" / "config.yaml").write_text(TEXT.replace("keys/a.json", f"{name}, keys/a.json" if "new" in name else "keys/a.json"))
    path = project / name
    for folder in ("policies", "keys"):
        (project / folder).mkdir()
    if "new" not in name:
        path.write_text("x")
    config.trust(str(project))
    assert config.load(str(project))[0] is not None
    if "new" in name:
        path.write_text("y")
    else:
        NAMED[change](path)
    with pytest.raises(UnsafeOperation) as caught:
        config.load(str(project))
    assert caught.value.error_code == "config_untrusted" and "that it names" in caught.value.message


def test_a_file_elsewhere_is_pinned_when_it_is_one_of_the_project_s_after_all(project, tmp_path):
    (project / "own.yaml").write_text("x")
    (tmp_path / "elsewhere.yaml").symlink_to(project / "own.yaml")
    (tmp_path / "other.yaml").write_text("x")
    (project / ".gait" / "config.yaml").write_text("policy: ../elsewhere.yaml\ncredential_command: ../other.yaml\n")
    assert config.pinned(config.trust(str(project))) == [("policy", str(project / "../elsewhere.yaml"))]
    (tmp_path / "other.yaml").write_text("y")
    assert config.load(str(project))[0] is not None
    (project / "own.yaml").write_text("y")
    with pytest.raises(UnsafeOperation):
        config.load(str(project))


def test_a_project_is_its_place_not_its_name(project, tmp_path):
    config.trust(str(project))
    (tmp_path / "link").symlink_to(project)
    assert config.load(str(tmp_path / "link"))[0] is not None
    copy = tmp_path / "copy"
    (copy / ".gait").mkdir(parents=True)
    (copy / ".gait" / "config.yaml").write_text(TEXT)
    assert config.load(str(copy))[0] is None


@pytest.mark.parametrize(
    "value",
    [
        "x",
        {"schema_id": "gait.config_trust", "schema_version": "1.0.0", "projects": {"/a": "x"}},
        {"schema_id": "gait.config_trust", "schema_version": "1.0.0", "projects": [], "more": 1},
        {"schema_id": "gait.config_trust", "schema_version": "2.0.0", "projects": {}},
    ],
)
def test_a_damaged_record_of_trust_stops_every_decision(project, own_home, value):
    config.trust(str(project))
    (own_home / "gait" / "trusted_projects.json").write_text(json.dumps(value))
    with pytest.raises(GaitError):
        config.load(str(project))


def test_a_record_of_trust_that_others_can_write_is_refused(project, own_home):
    config.trust(str(project))
    os.chmod(own_home / "gait" / "trusted_projects.json", 0o666)
    with pytest.raises(GaitError):
        config.load(str(project))


def test_there_is_a_limit(project, monkeypatch):
    monkeypatch.setattr(config, "_MAX_PROJECTS", 0)
    with pytest.raises(InvalidInput):
        config.trust(str(project))
    assert Path(project).exists()
