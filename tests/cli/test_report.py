"""`gait report`: real journals, damaged ones, and what the command refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gait.store.journal.append import Journal

from tests.store.journal import sample

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def key(tmp_path):
    """The options that name the golden journal's key."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(sample.RING.to_value()))
    path.chmod(0o600)
    return ("--key-mode", "prod", "--private-key", str(path))


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A copy of the golden journal, as `journal` in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sample.GOLDEN, "journal")
    return Path("journal")


class Cells(HTMLParser):
    """The texts of a page's elements."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.texts.append(data)


def page(path="report.html") -> Cells:
    cells = Cells()
    cells.feed(Path(path).read_text("utf-8"))
    return cells


def test_a_verified_journal(cli, key, journal):
    ran = cli("report", "journal", "--out", "report.html", *key)
    assert (ran.code, ran.out, ran.err) == (0, "written: report.html\n24 decisions; 34 records verified in 4 chains\n", "")
    assert Path("report.html").stat().st_mode & 0o777 == 0o600
    found = page()
    text = " ".join(found.texts)
    assert "All 34 records in 4 chains verified" in text and "NOT VERIFIED" not in text
    assert "Times without a guard: 1" in text and "armed 2, heartbeat 2" in text
    for chain in ("oneshot", "pruned", "worker-1", "worker-2"):
        assert chain in found.texts


def test_json(cli, key, journal):
    ran = cli("report", "journal", "--out", "report.html", "--json", *key)
    assert ran.value == {"ok": True, "path": "report.html", "records": 34, "decisions": 24, "findings": [], "findings_total": 0}


def test_a_dev_keys_warning_is_on_the_page(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quickstart = ROOT / "fixtures" / "quickstart"
    cli("mcp", "proxy", "--policy", quickstart / "policy.yaml", "--call", quickstart / "call_block.json", "--journal", "journal")
    ran = cli("report", "journal", "--out", "report.html", "--json")
    assert ran.code == 0 and ran.value["warnings"][0].startswith("dev key") and "dev key" in " ".join(page().texts)
    assert "warning: dev key" in cli("report", "journal", "--out", "report.html").out


def test_findings_are_at_the_top_and_the_exit_code_is_2(cli, key, journal):
    path = journal / "worker-2" / "00000001.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"tool.write", b"tool.wrote", 1))
    ran = cli("report", "journal", "--out", "report.html", "--json", *key)
    assert (ran.code, ran.value["ok"], ran.value["error_code"], ran.value["path"]) == (2, False, "digest_mismatch", "report.html")
    assert ran.value["findings"][0]["chain"] == "worker-2" and ran.value["findings_total"] == len(ran.value["findings"])
    texts = page().texts
    assert texts.index("findings") > texts.index("NOT VERIFIED: 1 finding") and "digest_mismatch" in texts
    ran = cli("report", "journal", "--out", "report.html", *key)
    assert ran.code == 2 and "NOT VERIFIED: 1 findings" in ran.out


def test_what_an_agent_wrote_stays_text(cli, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [SCRIPT, '"><img src=x onerror=alert(1)>', "</style></title>", "a\u202eb\x1b[31m\x00", "x" * 500_000]
    with Journal.open("journal", "a", sample.RING) as chain:
        for number, name in enumerate(names):
            context = {"identity": name[:2000], "workspace": name[:2000], "risk_class": "high", "session_id": name[:2000]}
            chain.append(sample.record(number, tool_name=name, context=context, correlation_id=name[:2000], verdict="block"))
    assert cli("report", "journal", "--out", "report.html", *key).code == 0
    found = page()
    assert SCRIPT in found.texts and names[1] in found.texts and names[2] in found.texts
    assert not found.tags & {"script", "img", "iframe", "object", "link", "a", "form", "base"}
    text = Path("report.html").read_text("utf-8")
    assert len(text) < 80_000 and "(500,000 characters)" in text
    assert not any(char in text for char in "\u202e\x1b\x00") and r"\u202e" in text and r"\x00" in text


def test_the_same_journal_gives_the_same_bytes(cli, key, journal, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    pages = set()
    for name in ("one.html", "two.html"):
        cli("report", "journal", "--out", name, *key)
        pages.add(Path(name).read_bytes())
    for python in filter(None, map(shutil.which, ("python3.9", "python3.13"))):
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            subprocess.run([python, "-I", ROOT / "gait.py", "report", "journal", "--out", "three.html", *key], check=True, capture_output=True)
            pages.add(Path("three.html").read_bytes())
    assert len(pages) == 1 and b"2026-02-05 00:00:00" in pages.pop()


@pytest.mark.parametrize("limit, rows", [(0, 0), (3, 3), (10_000, 24)])
def test_the_limit(cli, key, journal, limit, rows):
    assert cli("report", "journal", "--out", "report.html", "--limit", limit, *key).code == 0
    assert Path("report.html").read_text("utf-8").count('<tr class="what">') == rows


@pytest.mark.parametrize(
    "options, where",
    [
        (("--limit", "-1"), "--limit"),
        (("--limit", "10001"), "--limit"),
        (("--out", ""), "--out"),
        (("--out", "-"), "--out"),
        (("--out", "journal"), "--out"),
        (("--out", "journal/worker-1/head.json"), "--out"),
        (("--out", "link/report.html"), "--out"),
        (("--out", "./key.json"), "--out"),
    ],
)
def test_refused_options(cli, key, journal, options, where):
    os.symlink("journal/oneshot", "link")
    before = {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()}
    ran = cli("report", "journal", "--out", "report.html", *options, "--json", *key)
    assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage") and ran.value["error"].startswith(where)
    assert {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()} == before and not Path("report.html").exists()


def test_no_journal_gives_no_page(cli, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("empty")
    for path in ("missing", "empty", "key.json"):
        ran = cli("report", path, "--out", "report.html", *key)
        assert ran.code == 6 and not Path("report.html").exists()
    assert cli("report", "empty", "--out", "report.html").code == 7  # no dev key is made to verify with


def test_an_empty_chain(cli, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("journal/a", 0o700)
    assert cli("report", "journal", "--out", "report.html", *key).code == 0
    assert {"No decisions.", "empty", "None are shown.", "Nothing was refused."} <= set(page().texts)


def test_a_page_that_cannot_be_written(cli, key, journal):
    ran = cli("report", "journal", "--out", "missing/report.html", *key)
    assert ran.code == 1 and "missing/report.html" in ran.err


RSS = """
import resource, sys
sys.path.append(sys.argv.pop(1))
from gait.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def test_memory_does_not_grow_with_the_journal(key, tmp_path):
    """Kilobytes at the most: 500 and 10,000 records, of which 200 are listed."""
    used = []
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    for count in (500, 10_000):
        root = str(tmp_path / str(count))
        with Journal.open(root, "a", sample.RING) as chain:
            for number in range(count):
                chain.append(sample.record(number))
        command = [sys.executable, "-I", "-c", RSS, str(ROOT), "report", root, "--out", tmp_path / "r.html", "--limit", "200", *key]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        used.append(int(done.stderr))
    unit = 1024 if sys.platform == "darwin" else 1
    assert used[1] - used[0] < 6000 * unit
