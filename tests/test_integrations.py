"""`gait integrations` and the community index: one table, which the tree, the adapters and the pages hold to."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gait import integrations
from gait.adapters import ADAPTERS
from gait.cli import COMMANDS, main, parser_of, verbs_of
from gait.hosts.hook import HOSTS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
index = importlib.import_module("validate_community_index")


def test_every_adapter_host_and_package_is_there():
    entries = integrations.ALL
    assert {adapter for entry in entries for adapter in entry.adapters} == set(ADAPTERS)
    assert set(HOSTS) <= {entry.name for entry in entries}
    packages = {f"skills/{path.parent.name}" for path in (ROOT / "skills").glob("*/quickstart.py")}
    assert {entry.package for entry in entries} - {""} == packages
    assert len({entry.name for entry in entries}) == len(entries)


@pytest.mark.parametrize("entry", integrations.ALL, ids=lambda entry: entry.name)
def test_the_entry_is_true(entry):
    assert (ROOT / entry.doc).is_file()
    assert (entry.status == integrations.PROVEN) == bool(entry.proof) and (ROOT / entry.proof).exists()
    page = (ROOT / entry.doc).read_text("utf-8")
    first = entry.install.split()
    if first[0] == "gait":
        assert first[1] in COMMANDS
        assert first[1] == "beads" or first[2] in verbs_of(parser_of(first[1]))
        assert re.search(rf"gait(\.py)? {first[1]}( {first[2]})?", page), "the page does not show the command"
    elif first[0] == "from":
        source = (ROOT / (first[1].replace(".", "/") + ".py")).read_text("utf-8")  # the framework itself need not be here
        assert re.search(rf"\b{first[3]}\b", source) and first[1] in page
    else:
        assert (ROOT / first[0]).stat().st_mode & 0o100 and first[0] in page


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/ecosystem/awesome.md"])
def test_every_page_is_one_click_away(page):
    """From the README by its index of all pages, from the index itself directly."""
    text = (ROOT / page).read_text("utf-8")
    for entry in integrations.ALL:
        link = os.path.relpath(entry.doc, os.path.dirname(page) or ".").replace(os.sep, "/")
        assert f"]({link}" in text, f"{page} does not lead to {link}"


def test_the_command(capsys):
    assert main(["integrations", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["integrations"] == [entry.to_value() for entry in integrations.ALL]
    assert main(["integrations"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(integrations.ALL)


# --- the community index -------------------------------------------------------------------------


def test_the_index_is_as_it_must_be():
    done = subprocess.run([sys.executable, ROOT / "scripts/validate_community_index.py"], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stdout


THEIRS = {
    **{"name": "theirs", "kind": "policy", "title": "A policy", "by": "someone", "status": "community"},
    **{"url": "https://example.org/gait", "license": "MIT", "added": "2026-02-10"},
}


def changed(**changes):
    value = json.loads(index.INDEX.read_text("utf-8"))
    value["entries"].append({**THEIRS, **changes})
    return value


def test_an_entry_of_somebody_elses():
    assert index.findings(changed()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://example.org"},
        {"url": "javascript:alert(1)"},
        {"status": "proven"},
        {"kind": "new"},
        {"added": "today"},
        {"name": "openclaw"},
        {"name": "../x"},
        {"title": ""},
        {"title": 1},
        {"extra": 1},
        {"by": "gait"},
    ],
)
def test_what_breaks_the_index_is_named(changes):
    assert index.findings(changed(**changes))


def test_drift_of_the_head_and_of_the_official_entries_is_named():
    value = changed()
    for change in ({"version": "0.1.0"}, {"schema_version": "2.0.0"}, {"more": 1}, {"entries": {}}, {"entries": value["entries"][1:]}):
        assert index.findings({**value, **change})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"entries": [], "entries": []}'])
def test_a_file_that_is_no_index(text, tmp_path, capsys):
    (tmp_path / "index.json").write_text(text)
    assert index.main([str(tmp_path / "index.json")]) == 1
    assert capsys.readouterr().out


def test_write_keeps_what_others_added(tmp_path):
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"entries": [{"name": "old", "by": "gait"}, THEIRS]}))
    assert index.main(["--write", str(path)]) == 0
    assert [entry["name"] for entry in json.loads(path.read_text())["entries"]] == [entry.name for entry in integrations.ALL] + ["theirs"]
