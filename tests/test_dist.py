"""What is handed out: the same bytes everywhere, and whole where there is nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gait
from gait import build

ROOT = Path(__file__).resolve().parent.parent
PYENV = Path(os.environ.get("PYENV_ROOT", Path("~").expanduser() / ".pyenv"))
EVENT = {"hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {"file_path": "/w/a"}, "cwd": "/w", "session_id": "s"}


def run(*words: object, cwd: Path, given: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, input=given, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dist/, without sdist and wheel: those take the standard tools, and seconds."""
    out = tmp_path_factory.mktemp("made") / "dist"
    code = "import sys; sys.path[:0] = ['scripts']; import dist; dist.missing_tools = lambda: 'not now'; sys.exit(dist.main(sys.argv[1:]))"
    done = run(sys.executable, "-c", code, "--out", out, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_the_zip_application_is_the_package_and_nothing_else(made):
    with zipfile.ZipFile(made / "gait.pyz") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert held.pop("__main__.py") == (ROOT / "gait.py").read_bytes()
    assert held == {f"gait/{path}": (ROOT / "gait" / path).read_bytes() for path in build.own_files(str(ROOT / "gait"))}


def test_every_python_makes_the_same_bytes(made, tmp_path):
    """Twice here, and once with the oldest and the newest Python that this machine has."""
    others = [path for version in ("3.9", "3.13") for path in sorted(PYENV.glob(f"versions/{version}.*/bin/python"))[:1]]
    for python in [Path(sys.executable), *others]:
        code = "import sys; sys.path[:0] = ['scripts']; import dist; sys.stdout.buffer.write(dist.application())"
        done = subprocess.run([python, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, timeout=120, check=True)
        assert done.stdout == (made / "gait.pyz").read_bytes(), python


def test_the_sums_are_those_of_sha256sum(made):
    listed = dict(reversed(line.split("  ")) for line in (made / "SHA256SUMS").read_text().splitlines())
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made.iterdir() if path.name != "SHA256SUMS"}
    assert set(listed) == {"gait.pyz", f"gait-{gait.__version__}-vendor.tar.gz"}


@pytest.mark.slow
def test_each_artifact_works_in_an_empty_folder(made):
    done = run(sys.executable, ROOT / "scripts/vendor_check.py", made, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    said = sorted(line.split(":")[0] for line in done.stdout.splitlines())
    assert said == ["gait.pyz", "vendor"] and build.digest()[:16] in done.stdout


@pytest.mark.parametrize("name", ["gait.pyz", f"gait-{gait.__version__}-vendor.tar.gz", "SHA256SUMS"])
def test_a_changed_artifact_is_refused(name, made, tmp_path):
    copy = tmp_path / "dist"
    shutil.copytree(made, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    done = run(sys.executable, ROOT / "scripts/vendor_check.py", copy, cwd=ROOT)
    assert done.returncode == 1 and done.stdout.startswith("vendor-check: "), done.stdout


def test_an_artifact_that_is_missing_is_named(made, tmp_path):
    copy = tmp_path / "dist"
    shutil.copytree(made, copy)
    (copy / "gait.pyz").unlink()
    done = run(sys.executable, ROOT / "scripts/vendor_check.py", copy, cwd=ROOT)
    assert done.returncode == 1 and "gait.pyz" in done.stdout


# --- the zip application as a program ------------------------------------------------------------


def test_the_build_digest_is_that_of_the_checkout(made, tmp_path):
    done = run(sys.executable, "-I", made / "gait.pyz", "version", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["build_digest"] == build.digest()


def test_the_files_of_a_zip_application_are_those_of_the_folder(made, monkeypatch):
    archive = str(made / "gait.pyz")
    assert dict(build._zipped(archive)) == dict(build._unpacked(str(ROOT / "gait")))
    assert (build.launcher(archive), build.launcher(str(ROOT)), build.launcher(str(ROOT / "docs"))) == (archive, str(ROOT / "gait.py"), "")
    expected = build.digest()
    monkeypatch.setattr(build, "root", lambda: archive)
    assert build.digest() == expected


def test_the_build_digest_sees_one_changed_byte(tmp_path):
    shutil.copytree(ROOT / "gait", tmp_path / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gait.py", tmp_path)
    version = (sys.executable, "-I", tmp_path / "gait.py", "version", "--json")
    before = json.loads(run(*version, cwd=tmp_path).stdout)["build_digest"]
    assert before == build.digest(), "what running it leaves there does not count"
    with open(tmp_path / "gait/gate/matching.py", "a") as file:
        file.write("#")
    assert json.loads(run(*version, cwd=tmp_path).stdout)["build_digest"] not in (before, "")


def test_no_file_of_the_workspace_stands_in_for_a_module(made, tmp_path):
    mark = tmp_path / "mark"
    for name in ("json", "argparse", "hashlib", "os", "zipfile", "gait"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    control = run(sys.executable, "-c", "import gait", cwd=tmp_path)
    assert (control.returncode, mark.read_text()) == (0, "gait")
    mark.unlink()
    for isolated in (["-I"], []):
        done = run(sys.executable, *isolated, made / "gait.pyz", "version", "--json", cwd=tmp_path)
        assert done.returncode == 0 and not mark.exists(), done.stderr


def test_templates_are_read_out_of_it(made, tmp_path):
    done = run(sys.executable, "-I", made / "gait.pyz", "policy", "init", "baseline-highrisk", "--out", "p.yaml", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "p.yaml").exists()) == (0, True), done.stderr


def test_a_hook_is_installed_answers_and_is_taken_out(made, tmp_path, own_home):
    """The line in the settings names the file itself, and a shell that runs it gets the host's answer."""
    gait_pyz = tmp_path / "tools" / "gait.pyz"
    gait_pyz.parent.mkdir()
    shutil.copy(made / "gait.pyz", gait_pyz)
    (tmp_path / "policy.yaml").write_text("default_verdict: block\n")
    command = (sys.executable, "-I", gait_pyz, "hook")
    done = run(*command, "install", "claude-code", "--policy", tmp_path / "policy.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    line = json.loads(done.stdout)["command"]
    assert f"-I {gait_pyz} hook claude-code" in line
    answer = run("sh", "-c", line, cwd=tmp_path, given=json.dumps(EVENT))
    assert answer.returncode == 0 and json.loads(answer.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny", answer.stderr
    gait_pyz.write_bytes(gait_pyz.read_bytes()[:1000])  # a host would run the tool at another code than 0 and 2
    assert run("sh", "-c", line, cwd=tmp_path, given=json.dumps(EVENT)).returncode == 2
    shutil.copy(made / "gait.pyz", gait_pyz)
    done = run(*command, "uninstall", "claude-code", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["changed"] and not (own_home / ".claude/settings.json").exists()


def test_a_hook_of_a_file_that_could_not_be_found_again_is_refused(made, tmp_path):
    shutil.copy(made / "gait.pyz", tmp_path / "tool.zip")
    (tmp_path / "policy.yaml").write_text("default_verdict: block\n")
    done = run(sys.executable, "-I", "tool.zip", "hook", "install", "claude-code", "--policy", "policy.yaml", cwd=tmp_path)
    assert done.returncode == 6 and "ends in .pyz" in done.stderr


@pytest.mark.parametrize("words, code", [(["hook", "claude-code", "--policy", "nowhere"], 2), (["gate", "evaluate"], 6), ([], 6)])
def test_exit_codes_are_kept(words, code, made, tmp_path):
    assert run(sys.executable, "-I", made / "gait.pyz", *words, cwd=tmp_path).returncode == code


def test_the_version_is_written_in_one_place():
    assert f'__version__ = "{gait.__version__}"' in (ROOT / "gait/__init__.py").read_text()
    assert "version = attr: gait.__init__.__version__" in (ROOT / "setup.cfg").read_text()
    elsewhere = [
        path.relative_to(ROOT)
        for path in [*(ROOT / "gait").rglob("*.py"), *(ROOT / "scripts").iterdir()]
        if f'"{gait.__version__}"' in path.read_text("utf-8") and path.name != "__init__.py"
    ]
    assert not elsewhere
