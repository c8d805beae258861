"""`gait keys`: what it prints, what it exits with, and that it never prints a secret."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gait.cli import Parser, keys
from gait.errors import GaitError, InvalidInput, MissingDependency, StorageError
from gait.store import keys as store

ROOT = Path(__file__).resolve().parents[2]
BARE = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GAIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    return tmp_path / "home"


@pytest.fixture
def gait(capsys):
    """Run one command line in this process: (exit code, standard output)."""

    def run(*argv: str) -> tuple[int, str]:
        parser = Parser(prog="gait keys")
        keys.add_arguments(parser)
        code = keys.run(parser.parse_args(argv))
        return code, capsys.readouterr().out

    return run


def process(*argv: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-I", str(ROOT / "gait.py"), "keys", *argv]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)


def key_ids(path: object) -> list[str]:
    return [key["key_id"] for key in json.loads(Path(str(path)).read_text())["keys"]]


def assert_silent(path: object, *texts: str) -> None:
    for key in json.loads(Path(str(path)).read_text())["keys"]:
        raw = base64.b64decode(key["secret"])
        forms = (key["secret"][:16], raw.hex()[:16], repr(raw)[2:14])
        assert not [form for form in forms if form in "".join(texts)]


def test_the_dev_ring_from_init_to_verify(gait, home):
    path = home / "keys" / "trace.json"
    code, made = gait("init")
    (first,) = key_ids(path)
    assert (code, made) == (0, f"made {path} for purpose trace\nactive {first}\n")
    code, rotated = gait("rotate")
    second, _ = key_ids(path)
    assert (code, rotated) == (0, f"rotated {path}\nactive  {second}\nretired {first}\n")
    code, listed = gait("list")
    rows = [f"{second}  active   2026-02-05T00:00:00Z", f"{first}  retired  2026-02-05T00:00:00Z"]
    assert (code, listed.splitlines()) == (0, [f"{path}: purpose trace", *rows])
    code, verified = gait("verify")
    assert (code, verified) == (0, f"ok {path}: purpose trace, active {second}, 1 retired\n")
    assert_silent(path, made, rotated, listed, verified)


def test_json(gait, tmp_path):
    path = str(tmp_path / "ring.json")
    outputs = [gait(verb, "--path", path, "--purpose", "approval", "--json") for verb in ("init", "rotate", "list", "verify")]
    assert [code for code, _ in outputs] == [0] * 4
    values = [json.loads(text) for _, text in outputs]
    second, first = key_ids(path)
    rows = [
        {"key_id": second, "status": "active", "created_at": "2026-02-05T00:00:00Z"},
        {"key_id": first, "status": "retired", "created_at": "2026-02-05T00:00:00Z"},
    ]
    expected = {"ok": True, "path": path, "purpose": "approval", "active": second, "keys": rows}
    assert values[1:] == [expected, expected, {**expected, "findings": []}]
    assert values[0]["active"] == first
    assert_silent(path, *(text for _, text in outputs))


def test_a_ring_is_made_private_and_never_overwritten(gait, tmp_path):
    path = str(tmp_path / "new" / "ring.json")
    assert gait("init", "--path", path, "--purpose", "approval")[0] == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = Path(path).read_bytes()
    with pytest.raises(InvalidInput) as caught:
        gait("init", "--path", path)
    assert caught.value.error_code == "keyring_exists" and Path(path).read_bytes() == before


@pytest.mark.parametrize("verb", ["init", "rotate", "list", "verify"])
def test_approval_rings_have_no_default_path(gait, home, verb):
    with pytest.raises(InvalidInput) as caught:
        gait(verb, "--purpose", "approval")
    assert caught.value.exit_code == 6 and not home.exists()


@pytest.mark.parametrize("verb", ["rotate", "list"])
def test_the_other_purpose_is_refused(gait, tmp_path, verb):
    path = str(tmp_path / "ring.json")
    gait("init", "--path", path)
    with pytest.raises(InvalidInput) as caught:
        gait(verb, "--path", path, "--purpose", "approval")
    assert caught.value.error_code == "key_purpose_mismatch"


@pytest.mark.parametrize("verb", ["rotate", "list", "verify"])
def test_a_missing_ring(gait, verb):
    with pytest.raises(MissingDependency) as caught:
        gait(verb)
    assert caught.value.where == store.dev_path() and "gait keys init" in caught.value.hint


def test_verify_prints_every_finding_with_its_fix(gait, tmp_path):
    path = str(tmp_path / "ring.json")
    gait("init", "--path", path)
    os.chmod(path, 0o644)
    os.chmod(tmp_path, 0o777)
    code, text = gait("verify", "--path", path, "--purpose", "approval")
    lines = text.splitlines()
    assert code == 2 and len(lines) == 6
    assert lines[0] == f"{path}: expected mode 0600, got 0644: other users may use this file"
    assert lines[1] == f"  fix: chmod 600 {path}" and lines[3] == f"  fix: chmod 700 {tmp_path}"
    assert "for purpose approval, got one for trace" in lines[4]
    assert_silent(path, text)


def test_verify_failures_as_json(gait, tmp_path):
    path = tmp_path / "ring.json"
    gait("init", "--path", str(path))
    path.write_text(path.read_text().replace('"secret": "', '"secret": "AAAA', 1))
    code, text = gait("verify", "--path", str(path), "--json")
    value = json.loads(text)
    assert code == 2 and value["ok"] is False and value["error_code"] == "keyring_invalid"
    assert value["error_category"] == "verification_failed" and value["path"] == str(path)
    assert [sorted(finding) for finding in value["findings"]] == [["code", "fix", "message"]]


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_ring_that_others_may_read_is_neither_listed_nor_rotated(gait, tmp_path, mode):
    path = str(tmp_path / "ring.json")
    gait("init", "--path", path)
    os.chmod(path, mode)
    for verb in ("list", "rotate"):
        with pytest.raises(StorageError, match=f"got {mode:04o}"):
            gait(verb, "--path", path)


def test_bare_secrets(gait, tmp_path):
    path = tmp_path / "bare"
    path.write_text(BARE + "\n")
    os.chmod(path, 0o600)
    code, text = gait("list", "--path", str(path), "--purpose", "trace")
    assert code == 0 and text.splitlines()[1].endswith("  active   -") and BARE[:16] not in text
    assert gait("verify", "--path", str(path), "--purpose", "trace")[0] == 0
    code, text = gait("verify", "--path", str(path))
    assert code == 2 and "add --purpose trace" in text


def test_a_secret_given_as_the_path_is_not_repeated(gait):
    for verb in ("rotate", "list", "verify"):
        with pytest.raises(GaitError) as caught:
            gait(verb, "--path", BARE)
        assert BARE not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("argv", [[], ["forge"], ["init", "--pat", "x"], ["init", "--purpose", "journal"], ["list", "--secret", "x"]])
def test_usage_errors(gait, argv, capsys):
    with pytest.raises(InvalidInput) as caught:
        gait(*argv)
    assert caught.value.exit_code == 6 and capsys.readouterr().out == ""


def test_help_has_an_example_for_every_verb(capsys, gait):
    for verb in keys._VERBS:
        with pytest.raises(SystemExit) as caught:
            gait(verb, "--help")
        assert caught.value.code == 0 and f"Example: gait keys {verb}" in capsys.readouterr().out
    assert keys.SUMMARY


def test_a_path_cannot_steer_the_terminal(gait, tmp_path):
    path = str(tmp_path / "a\x1b[2J\nok")
    texts = [gait(verb, "--path", path)[1] for verb in ("init", "rotate", "list", "verify")]
    os.chmod(path, 0o644)
    texts.append(gait("verify", "--path", path)[1])
    assert not any("\x1b" in text or "\nok" in text for text in texts) and "\\x1b[2J\\nok" in texts[0]


# --- as processes ------------------------------------------------------------------------------


def test_exit_codes_of_real_processes(tmp_path):
    path = str(tmp_path / "ring.json")
    assert process("init", "--path", path).returncode == 0
    assert process("verify", "--path", path, "--json").returncode == 0
    assert process("init", "--path", path).returncode == 6
    assert process("init", "--purpose", "journal").returncode == 6
    assert process("list", "--path", str(tmp_path / "none")).returncode == 7
    os.chmod(path, 0o644)
    assert process("list", "--path", path).returncode == 1
    assert process("verify", "--path", path).returncode == 2


def test_no_process_ever_prints_a_secret(tmp_path):
    path = str(tmp_path / "ring.json")
    done = [process(verb, "--path", path, *more) for verb in ("init", "rotate", "list", "verify") for more in ([], ["--json"])]
    assert_silent(path, *(each.stdout + each.stderr for each in done))
    assert sorted(os.listdir(tmp_path)) == ["ring.json", "ring.json.lock"]
