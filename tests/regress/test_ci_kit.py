"""The workflow of docs/ci: its scripts, run as GitHub would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

import pytest

from tests.regress import runs

WORKFLOW = (runs.ROOT / "docs" / "ci" / "gait-regress.yml").read_text("utf-8")
SCRIPTS = [textwrap.dedent(text) for text in re.findall(r"^        run: \|\n((?:          .*\n|\n)+)", WORKFLOW, re.MULTILINE)]


@pytest.fixture
def repository(tmp_path):
    """A team's repository with a fixture on its base branch, and what GitHub gives a job."""
    base, temp = tmp_path / "repository", tmp_path / "runner"
    base.mkdir(), temp.mkdir()
    (base / "policy.yaml").write_text(runs.POLICY)
    (tmp_path / "run.zip").write_bytes(runs.packed())
    os.symlink(runs.ROOT, base / ".gait-source")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    os.symlink(sys.executable, bin_ / "python3")
    environment = {**os.environ, "RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(temp / "summary"), "CONFIG": "gait.yaml", "POLICY": "policy.yaml"}
    environment.update(PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}", BASE_SHA="HEAD")
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]

    def shell(script, *options):
        return subprocess.run(["bash", "-e", "-c", script], cwd=base, env=environment, capture_output=True, text=True, timeout=60)

    assert shell("python3 -I .gait-source/gait.py regress init --from ../run.zip --name incident").returncode == 0
    done = shell(f"git init -q . && git add gait.yaml fixtures policy.yaml && git {' '.join(author)} commit -qm base")
    assert done.returncode == 0, done.stderr
    return base, temp, shell


def test_the_scripts_take_nothing_from_the_event_but_through_the_environment():
    assert len(SCRIPTS) == 2 and not any("${{" in script for script in SCRIPTS)
    assert "pull_request_target" not in WORKFLOW and "contents: read" in WORKFLOW and "write" not in WORKFLOW.split("jobs:")[0].replace("write:", "")


def test_a_pull_request_that_changes_nothing_passes(repository):
    base, temp, shell = repository
    assert [shell(script).returncode for script in SCRIPTS] == [0, 0]
    assert (temp / "junit.xml").exists() and (temp / "regress_result.json").exists()


def test_a_changed_word_fails_and_is_named(repository):
    base, temp, shell = repository
    (base / "policy.yaml").write_text(runs.NOW_ALLOWED)
    done = shell(SCRIPTS[0])
    assert done.returncode == 5 and "step 2 write_file" in (temp / "summary").read_text()
    assert shell(SCRIPTS[1]).returncode == 0  # it is no block that became an allow
    (base / "policy.yaml").write_text("default_verdict: allow\n")
    done = shell(SCRIPTS[1])
    assert done.returncode == 5 and "block-to-allow: 1 call" in done.stdout
