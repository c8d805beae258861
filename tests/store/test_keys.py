"""Key rings on disk: made once, private, kept apart by purpose, silent about their secrets."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gait.errors import GaitError, InvalidInput, MissingDependency, StorageError
from gait.signing import keys as signing_keys
from gait.store import keys

ROOT = Path(__file__).resolve().parents[2]
BARE = base64.b64encode(bytes(range(32))).decode()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GAIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    return tmp_path / "home"


@pytest.fixture
def ring_file(tmp_path) -> str:
    path = str(tmp_path / "ring.json")
    keys.init(path, "trace")
    return path


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    os.chmod(path, mode)
    return str(path)


def secrets(path: object) -> list[str]:
    return [key["secret"] for key in json.loads(Path(str(path)).read_text())["keys"]]


def caught(kind: type[GaitError], act, *args: object) -> GaitError:
    with pytest.raises(kind) as found:
        act(*args)
    assert str(found.value) and found.value.hint
    return found.value


# --- the home ----------------------------------------------------------------------------------


def test_home(monkeypatch, tmp_path):
    assert keys.home() == str(tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAIT_HOME", "here/../there/")
    assert keys.home() == str(tmp_path / "there")
    monkeypatch.delenv("GAIT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys.home() == str(tmp_path / ".gait")


def test_an_empty_home_is_refused(monkeypatch):
    monkeypatch.setenv("GAIT_HOME", "")
    assert caught(InvalidInput, keys.home).where == "GAIT_HOME"


@pytest.mark.parametrize("value", ["", "relative"])
def test_a_user_without_a_home_is_refused(monkeypatch, value):
    monkeypatch.delenv("GAIT_HOME")
    monkeypatch.setenv("HOME", value)
    assert caught(InvalidInput, keys.home).where == "HOME"


# --- the dev ring ------------------------------------------------------------------------------


def test_the_dev_ring_is_made_once_and_private(home):
    ring, created = keys.dev_keyring()
    assert created and ring.purpose == "trace" and ring.retired == ()
    assert ring.active.created_at == "2026-02-05T00:00:00Z" and len(ring.active.secret) == 32
    assert keys.dev_keyring() == (ring, False)
    assert stat.S_IMODE(os.stat(home / "keys" / "trace.json").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(home / "keys").st_mode) == stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert sorted(os.listdir(home / "keys")) == ["trace.json", "trace.json.lock"]
    assert keys.check(keys.dev_path()) == ()


def test_two_homes_have_two_keys(monkeypatch, tmp_path):
    first, _ = keys.dev_keyring()
    monkeypatch.setenv("GAIT_HOME", str(tmp_path / "other"))
    assert keys.dev_keyring()[0].active.key_id != first.active.key_id


MAKE = """
import sys
from gait.store import keys
print("ready", flush=True)
sys.stdin.readline()
ring, created = keys.dev_keyring()
print(ring.active.key_id, created)
"""


def test_sixteen_processes_at_once_end_with_one_key(home):
    pipe = subprocess.PIPE
    workers = [subprocess.Popen([sys.executable, "-c", MAKE], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(16)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert len({key_id for key_id, _ in answers}) == 1
    assert sorted(created for _, created in answers) == ["False"] * 15 + ["True"]
    assert answers[0][0] == keys.load(str(home / "keys" / "trace.json"), "trace").active.key_id


def test_a_process_that_lost_the_race_takes_the_winners_ring(home, monkeypatch):
    lexists, asked = os.path.lexists, []

    def late(path: str) -> bool:
        if path.endswith("trace.json"):
            asked.append(path)
            if len(asked) == 1:
                return False
        return lexists(path)

    winner, _ = keys.dev_keyring()
    monkeypatch.setattr(os.path, "lexists", late)
    assert keys.dev_keyring() == (winner, False) and len(asked) == 2


def test_a_link_planted_for_the_key_file_is_not_written_through(home, tmp_path):
    (home / "keys").mkdir(parents=True)
    os.chmod(home / "keys", 0o700)
    os.symlink(tmp_path / "stolen", home / "keys" / "trace.json")
    assert caught(MissingDependency, keys.dev_keyring).error_code == "key_missing"
    assert not (tmp_path / "stolen").exists()


def test_a_link_planted_for_the_lock_is_not_followed(home, tmp_path):
    (home / "keys").mkdir(parents=True, mode=0o700)
    os.symlink(tmp_path / "made", home / "keys" / "trace.json.lock")
    caught(StorageError, keys.dev_keyring)
    assert not (tmp_path / "made").exists() and not (home / "keys" / "trace.json").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_key_folder_that_others_may_write_is_refused(home, mode):
    (home / "keys").mkdir(parents=True)
    os.chmod(home / "keys", mode)
    assert "chmod 700" in caught(StorageError, keys.dev_keyring).hint


def test_a_key_folder_that_is_a_link_or_a_file_is_refused(home, tmp_path):
    home.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", home / "keys")
    caught(StorageError, keys.dev_keyring)
    os.unlink(home / "keys")
    (home / "keys").write_text("")
    caught(StorageError, keys.dev_keyring)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_dev_ring_that_others_may_read_is_refused(mode):
    keys.dev_keyring()
    os.chmod(keys.dev_path(), mode)
    error = caught(StorageError, keys.dev_keyring)
    assert error.hint == f"chmod 600 {keys.dev_path()}"


def test_a_full_disk_leaves_no_ring(home):
    code = "import resource; from gait.store import keys; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\ntry: keys.dev_keyring()\nexcept Exception as e: print(type(e).__name__)"
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "StorageError\n"
    assert os.listdir(home / "keys") == ["trace.json.lock"]
    assert keys.dev_keyring()[1] is True


# --- loading -----------------------------------------------------------------------------------


def test_load_takes_a_document_or_a_bare_secret(tmp_path, ring_file):
    assert keys.load(ring_file, "trace") == keys.load(ring_file, None)
    for text in (BARE, BARE + "\n", BARE + "\r\n", f"  {BARE}\n\n"):
        ring = keys.load(private(tmp_path / "bare", text), "approval")
        assert ring == signing_keys.Keyring("approval", signing_keys.make(bytes(range(32))))


def test_load_follows_a_link_to_a_private_file(tmp_path, ring_file):
    os.symlink(ring_file, tmp_path / "link")
    assert keys.load(str(tmp_path / "link"), "trace") == keys.load(ring_file, "trace")
    os.chmod(ring_file, 0o640)
    assert "got 0640" in str(caught(StorageError, keys.load, str(tmp_path / "link"), "trace"))


def test_the_other_purpose_is_refused(ring_file):
    error = caught(InvalidInput, keys.load, ring_file, "approval")
    assert error.error_code == "key_purpose_mismatch" and error.where == ring_file


@needs_root
def test_another_users_key_is_refused(ring_file):
    os.chown(ring_file, 12345, 12345)
    assert caught(StorageError, keys.load, ring_file, "trace").error_code == "wrong_owner"


GARBLED = {
    "truncated": lambda text: text[: len(text) // 2],
    "one byte short": lambda text: text.rstrip()[:-1],
    "empty": lambda text: "",
    "blank": lambda text: " \n",
    "two documents": lambda text: text + text,
    "key twice": lambda text: text.replace('"active"', '"purpose": "trace", "active"', 1),
    "secret twice": lambda text: text.replace('"secret"', '"secret": "x", "secret"', 1),
    "not utf-8": lambda text: text.replace("trace", "tr\udcffce"),
    "byte order mark": lambda text: "\ufeff" + text,
    "a list": lambda text: f"[{text}]",
    "a trace": lambda text: text.replace("gait.signing.keyring", "gait.gate.trace"),
    "NaN": lambda text: text.replace('"trace"', "NaN"),
    "too deep": lambda text: text.replace('"trace"', "[" * 100 + "]" * 100),
    "too large": lambda text: text + " " * keys._MAX_BYTES,
    "a PEM key": lambda text: "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n",
    "two secrets": lambda text: BARE + "\n" + BARE,
    "a short secret": lambda text: base64.b64encode(bytes(range(31))).decode(),
    "url-safe base64": lambda text: base64.urlsafe_b64encode(b"\xff\xfe" * 16).decode(),
    "hex": lambda text: os.urandom(33).hex() + "a",
}


@pytest.mark.parametrize("case", GARBLED)
def test_a_garbled_ring_is_refused(tmp_path, ring_file, case):
    text = Path(ring_file).read_text()
    path = str(tmp_path / "bad")
    Path(path).write_bytes(GARBLED[case](text).encode("utf-8", "surrogateescape"))
    os.chmod(path, 0o600)
    for act in (lambda: keys.load(path, "trace"), lambda: keys.rotate(path, "trace")):
        error = caught(InvalidInput, act)
        assert error.exit_code == 6 and error.where.startswith(path)
        assert not [secret for secret in [*secrets(ring_file), BARE] if secret[:16] in str(error) + repr(error)]


def test_every_truncation_is_refused(tmp_path, ring_file):
    data = Path(ring_file).read_bytes().rstrip()
    bad = Path(private(tmp_path / "bad", ""))
    for length in range(len(data)):
        bad.write_bytes(data[:length])
        caught(InvalidInput, keys.load, str(bad), "trace")


def test_a_missing_key_is_a_missing_dependency(tmp_path):
    for act in (keys.load, keys.rotate, keys.check):
        error = caught(MissingDependency, act, str(tmp_path / "none"), "trace")
        assert (error.exit_code, error.error_code, error.where) == (7, "key_missing", str(tmp_path / "none"))


def test_a_secret_given_as_a_path_is_not_repeated():
    long_secret = base64.b64encode(bytes(i % 251 for i in range(1024))).decode()
    for secret in (BARE, base64.b64encode(bytes(range(33))).decode(), long_secret):
        for act in (keys.load, keys.rotate, keys.check):
            assert secret not in str(caught(GaitError, act, secret, "trace"))
        assert secret not in str(caught(MissingDependency, keys.load_env, secret, "trace"))


def test_load_env(monkeypatch, ring_file):
    monkeypatch.setenv("GAIT_TEST_KEY", BARE + "\n")
    assert keys.load_env("GAIT_TEST_KEY", "approval").active.secret == bytes(range(32))
    monkeypatch.setenv("GAIT_TEST_KEY", Path(ring_file).read_text())
    assert keys.load_env("GAIT_TEST_KEY", "trace") == keys.load(ring_file, "trace")
    assert caught(InvalidInput, keys.load_env, "GAIT_TEST_KEY", "approval").where == "$GAIT_TEST_KEY"


@pytest.mark.parametrize("text", ["x", BARE[:-1], "\udcff" + BARE, "{}"])
def test_a_wrong_variable(monkeypatch, text):
    monkeypatch.setenv("GAIT_TEST_KEY", text)
    error = caught(InvalidInput, keys.load_env, "GAIT_TEST_KEY", "trace")
    assert error.where == "$GAIT_TEST_KEY" and BARE[:20] not in str(error)


@pytest.mark.parametrize("name", ["GAIT_UNSET", "", "A=B"])
def test_a_variable_that_is_not_set(name):
    error = caught(MissingDependency, keys.load_env, name, "trace")
    assert error.error_code == "key_missing" and error.where == name


def test_a_variable_that_is_empty(monkeypatch):
    monkeypatch.setenv("GAIT_TEST_KEY", "")
    caught(MissingDependency, keys.load_env, "GAIT_TEST_KEY", "trace")


# --- key modes ---------------------------------------------------------------------------------


def test_dev_mode():
    found = keys.signing_keyring("dev")
    assert found.ring == keys.dev_keyring()[0]
    expected = "dev key: traces prove integrity on this host only; use --key-mode prod for provisioned keys"
    assert found.warnings == (expected,)


def test_prod_mode(monkeypatch, home, ring_file):
    assert keys.signing_keyring("prod", ring_file) == (keys.load(ring_file, "trace"), ())
    monkeypatch.setenv("GAIT_TEST_KEY", BARE)
    assert keys.signing_keyring("prod", None, "GAIT_TEST_KEY").ring.active.secret == bytes(range(32))
    assert not home.exists()


@pytest.mark.parametrize("arguments, got", [((None, None), "neither"), (("a", "B"), "both")])
def test_prod_mode_needs_exactly_one_key(home, arguments, got):
    error = caught(InvalidInput, keys.signing_keyring, "prod", *arguments)
    assert str(error).startswith("prod mode needs") and got in str(error) and not home.exists()


@pytest.mark.parametrize("arguments", [("a", None), (None, "B"), ("a", "B"), ("", None)])
def test_dev_mode_takes_no_key(home, arguments):
    assert caught(InvalidInput, keys.signing_keyring, "dev", *arguments).error_code == "key_mode_mismatch"
    assert not home.exists()


@pytest.mark.parametrize("mode", ["", "Dev", "production"])
def test_other_modes_are_refused(mode):
    with pytest.raises(InvalidInput, match="expected one of dev, prod"):
        keys.signing_keyring(mode)


def test_an_approval_ring_does_not_sign_traces(tmp_path):
    path = str(tmp_path / "approval.json")
    keys.init(path, "approval")
    assert caught(InvalidInput, keys.signing_keyring, "prod", path).error_code == "key_purpose_mismatch"


# --- init, rotate, check -----------------------------------------------------------------------


def test_init_makes_folders_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ring = keys.init("a/b/ring.json", "approval")
    assert keys.load("a/b/ring.json", "approval") == ring
    assert stat.S_IMODE(os.stat("a").st_mode) == stat.S_IMODE(os.stat("a/b").st_mode) == 0o700
    assert caught(InvalidInput, keys.init, "a/b/ring.json", "approval").error_code == "keyring_exists"
    os.symlink("nowhere", "dangling")
    for taken in ("dangling", "a", "a/"):
        caught(InvalidInput, keys.init, taken, "trace")
    assert keys.load("a/b/ring.json", "approval") == ring and sorted(os.listdir(".")) == ["a", "dangling"]


def test_init_below_a_file(tmp_path):
    (tmp_path / "f").write_text("")
    caught(StorageError, keys.init, str(tmp_path / "f" / "ring.json"), "trace")


def test_rotate(ring_file, monkeypatch):
    first = keys.load(ring_file, "trace")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249601")
    second = keys.rotate(ring_file)
    assert second.retired == (first.active,) and second.active.created_at == "2026-02-05T00:00:01Z"
    third = keys.rotate(ring_file, "trace")
    assert third.retired == (second.active, first.active) and keys.load(ring_file, "trace") == third
    assert stat.S_IMODE(os.stat(ring_file).st_mode) == 0o600 and keys.check(ring_file, "trace") == ()


def test_rotate_refuses_the_other_purpose_and_changes_nothing(ring_file):
    before = Path(ring_file).read_bytes()
    caught(InvalidInput, keys.rotate, ring_file, "approval")
    assert Path(ring_file).read_bytes() == before


def test_rotate_renews_the_file_behind_a_link(tmp_path, ring_file):
    os.symlink(ring_file, tmp_path / "link")
    ring = keys.rotate(str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and keys.load(ring_file, "trace") == ring


def test_rotate_turns_a_bare_secret_into_a_ring(tmp_path):
    path = private(tmp_path / "bare", BARE)
    assert caught(InvalidInput, keys.rotate, path).error_code == "purpose_required"
    assert Path(path).read_text() == BARE
    ring = keys.rotate(path, "trace")
    assert ring.retired[0].secret == bytes(range(32)) and keys.load(path, None) == ring


def test_concurrent_rotations_lose_no_key(ring_file):
    code = "import sys; from gait.store import keys\nfor _ in range(5): keys.rotate(sys.argv[1])"
    workers = [subprocess.Popen([sys.executable, "-B", "-c", code, ring_file], cwd=ROOT) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert len(keys.load(ring_file, "trace").retired) == 20


def test_a_rotation_that_cannot_be_written_changes_nothing(tmp_path, ring_file):
    before = Path(ring_file).read_bytes()
    code = "import resource, sys; from gait.store import keys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\ntry: keys.rotate(sys.argv[1])\nexcept Exception as e: print(type(e).__name__)"
    done = subprocess.run([sys.executable, "-B", "-c", code, ring_file], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "StorageError\n" and Path(ring_file).read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["ring.json", "ring.json.lock"]


def codes(path: str, purpose: str | None = None) -> list[str]:
    found = keys.check(path, purpose)
    assert all(finding.message and finding.fix for finding in found)
    return [finding.code for finding in found]


def test_check_reports_everything_at_once(tmp_path, ring_file):
    assert codes(ring_file, "trace") == []
    assert codes(ring_file, "approval") == ["key_purpose_mismatch"]
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    path = private(tmp_path / "open" / "ring.json", Path(ring_file).read_text().replace('"key_id": "', '"key_id": "0'), 0o644)
    assert codes(path) == ["permissions_too_open", "permissions_too_open", "keyring_invalid"]
    assert [finding.fix.split(" ")[:2] for finding in keys.check(path)[:2]] == [["chmod", "600"], ["chmod", "700"]]


@needs_root
def test_check_reports_the_owner(ring_file):
    os.chown(ring_file, 12345, 12345)
    assert codes(ring_file) == ["wrong_owner"]


def test_check_reports_a_garbled_file(tmp_path):
    assert codes(private(tmp_path / "k", "{")) == ["parse_error"]
    assert codes(private(tmp_path / "k", BARE)) == ["purpose_required"]
    assert codes(private(tmp_path / "k", BARE), "trace") == []
    assert caught(InvalidInput, keys.check, str(tmp_path)).error_code == "not_a_regular_file"


def test_no_secret_is_in_any_repr_or_error(ring_file, monkeypatch):
    monkeypatch.setenv("GAIT_TEST_KEY", Path(ring_file).read_text())
    shown = [repr(keys.load(ring_file, "trace")), repr(keys.signing_keyring("prod", ring_file)), repr(keys.dev_keyring())]
    shown.append(repr(keys.load_env("GAIT_TEST_KEY", "trace")) + repr(keys.rotate(ring_file)) + repr(keys.check(ring_file)))
    for secret in [*secrets(ring_file), *secrets(keys.dev_path())]:
        raw = base64.b64decode(secret)
        assert not [form for form in (secret[:16], raw.hex()[:16], repr(raw)[2:12]) if form in "".join(shown)]
