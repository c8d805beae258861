"""Every check of the doctor: ok, warn and fail, each brought about for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gait import doctor
from gait.cli import main
from gait.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(own_home):
    return own_home / "gait"


def checks(read_policy=None):
    return {check.name: check for check in doctor.check_installation(read_policy)}


def in_process(*options, cwd=None, **env):
    command = [sys.executable, *options, "doctor", "--json"]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, timeout=60)
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_python(monkeypatch):
    assert checks()["python"] == ("python", "ok", ".".join(map(str, sys.version_info[:3])), "")
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    assert checks()["python"].status == "fail" and checks()["python"].fix


def test_the_import_path_of_real_processes(tmp_path):
    launcher = str(ROOT / "gait.py")
    assert in_process("-I", launcher)[1]["import_path"]["status"] == "ok"
    code, found = in_process(launcher)
    assert code == 0 and found["import_path"]["status"] == "warn" and found["import_path"]["fix"] == f"call python3 -I {launcher}"


def test_a_module_from_elsewhere(tmp_path):
    real = Path(json.__file__).parent
    (tmp_path / "json").symlink_to(real)  # a link to the real one is the real one
    assert in_process(str(ROOT / "gait.py"), PYTHONPATH=str(tmp_path))[1]["import_path"]["status"] == "warn"
    (tmp_path / "json").unlink()
    (tmp_path / "hmac.py").write_text(f"exec(open({str(real.parent / 'hmac.py')!r}).read())\n")
    code, found = in_process(str(ROOT / "gait.py"), PYTHONPATH=str(tmp_path))
    assert code == 2 and found["import_path"]["status"] == "fail" and str(tmp_path / "hmac.py") in found["import_path"]["fix"]


def test_the_import_path_of_this_process(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "flags", SimpleNamespace(isolated=1))
    assert checks()["import_path"] == ("import_path", "ok", "isolated (-I)", "")
    folder = os.path.dirname(os.path.realpath(os.__file__)) + "-not"  # the same beginning is not the same folder
    monkeypatch.setattr(json, "__file__", os.path.join(folder, "json.py"))
    assert checks()["import_path"].status == "fail"


def test_home(home, monkeypatch, own_home):
    assert checks()["home"].status == "ok" and home.stat().st_mode & 0o777 == 0o700 and list(home.iterdir()) == []
    home.chmod(0o777)
    assert checks()["home"].status == "fail" and checks()["home"].fix == f"chmod 700 {home}"
    monkeypatch.setenv("GAIT_HOME", "")
    assert checks()["home"].status == checks()["dev_key"].status == "fail"
    (own_home / "file").write_text("")
    monkeypatch.setenv("GAIT_HOME", str(own_home / "file"))
    assert checks()["home"].status == "fail" and checks()["home"].fix
    monkeypatch.setenv("GAIT_HOME", "/proc/nowhere")
    assert checks()["home"].status == "fail"


def test_a_home_that_can_be_written_only_once(home, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert checks()["home"].status == "fail" and checks()["home"].fix == "set GAIT_HOME to a private folder"


def test_dev_key(home):
    assert checks()["dev_key"].detail == "none yet: the first decision makes it" and not (home / "keys").exists()
    assert main(["keys", "init"]) == 0
    path = home / "keys" / "trace.json"
    assert checks()["dev_key"] == ("dev_key", "ok", f"{path} is private and readable", "")
    path.chmod(0o644)
    assert checks()["dev_key"].status == "fail" and checks()["dev_key"].fix == f"chmod 600 {path}"
    path.chmod(0o600)
    path.write_text("{}")
    assert checks()["dev_key"].status == "fail" and "gait keys init" in checks()["dev_key"].fix
    path.unlink()
    path.mkdir()
    assert checks()["dev_key"].status == "fail"
    path.rmdir()
    path.symlink_to("nowhere")
    assert checks()["dev_key"].status == "fail"


def test_clock(monkeypatch):
    assert checks()["clock"].status == "ok" and checks()["clock"].detail.endswith("Z")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    assert checks()["clock"][1:] == ("warn", "fixed at 2026-02-05T00:00:00Z by SOURCE_DATE_EPOCH", "unset SOURCE_DATE_EPOCH")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert checks()["clock"].status == "fail" and "unset it" in checks()["clock"].fix
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr("time.time", lambda: 0.0)  # a host whose clock was reset
    assert checks()["clock"].status == "fail" and "date" in checks()["clock"].fix


def test_policy():
    assert "policy" not in checks()
    assert checks(lambda: "ab" * 32)["policy"] == ("policy", "ok", f"valid, digest {'ab' * 32}", "")

    def fail(hint):
        def read():
            raise InvalidInput("unknown key 'efect'", where="p.yaml:1:1", hint=hint)

        return read

    assert checks(fail("known keys: effect"))["policy"] == ("policy", "fail", "p.yaml:1:1: unknown key 'efect'", "known keys: effect")
    assert checks(fail(""))["policy"].fix == "gait policy validate FILE"
