"""bd itself: every recorded answer, the stand-in in three versions, and programs that lie, hang, flood or are no Beads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from gait.bridges.beads import bd as bd_module
from gait.bridges.beads.bd import Answer, Program, created, failure, listed
from gait.bridges.beads.issue import Issue, Proof, Seen, issue, read
from gait.errors import GaitError, MissingDependency

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CALLS = [json.loads(line) for line in (ROOT / "fixtures/beads/bd_transcripts.jsonl").read_text("utf-8").splitlines()]
VERSIONS = ("0.46.0", "0.49.6", "1.0.5")


def one(trace_id: str = "a" * 24, seen: Seen | None = None, proof: Proof = Proof("t.json", "c3440f7fba3b6b07"), **changed: Any) -> Issue:
    refusal = read({"trace_id": trace_id, "verdict": "block", "tool_name": "tool.delete", "created_at": "2026-02-05T00:00:00Z", **changed})
    assert refusal
    return issue(refusal, proof, seen)


class World:
    """A folder with a database of the stand-in, and the log of what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.jsonl"
        (folder / ".beads").mkdir()
        (folder / ".beads/issues.json").write_text("[]")

    @property
    def issues(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / ".beads/issues.json").read_text())
        return found

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    program(binaries / "bd", f"exec {sys.executable} -I -S {HERE / 'bd.py'} \"$@\"")
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("BD_LOG", str(made.log))
    monkeypatch.chdir(tmp_path)
    for name in ("BD_ACTOR", "BEADS_DIR", "BD_JSON_ENVELOPE"):
        monkeypatch.delenv(name, raising=False)
    return made


def program(path: Path, script: str) -> Path:
    path.write_text("#!/bin/sh\n" + script + "\n")
    path.chmod(0o755)
    return path


def recorded_answer(recorded: dict[str, Any]) -> Answer:
    return Answer(recorded["rc"], recorded["stdout"].encode(), recorded["stderr"].encode())


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_every_recorded_answer(number: int) -> None:
    """Taken for what it is: an id, a list, or an error in bd's own words; never an id out of an answer that holds none."""
    recorded = CALLS[number]
    answer, note = recorded_answer(recorded), recorded["note"]
    value = bd_module.payload(answer.out)
    is_made = recorded["argv"][1] == "create" and recorded["rc"] == 0 and "--silent" not in recorded["argv"] and note != "dry-run flag"
    assert bool(created(answer)) is is_made
    if is_made:
        assert isinstance(value, dict) and created(answer) == value["id"]
    found = listed(answer)
    assert (found is not None) is (recorded["rc"] == 0 and isinstance(value, list))
    if note == "lookup, found" or "with --all" in note:
        assert [item["external_ref"] for item in found or []] == ["gait:tr_1"]
    error = failure(answer, "bd")
    if recorded["rc"] and note == "not initialised":
        assert isinstance(error, MissingDependency) and error.exit_code == 7 and "bd init" in error.hint
    elif recorded["rc"]:
        assert error.exit_code == 1 and "Error: " in error.message and "\n" not in error.message
        assert recorded["stderr"].partition("Error: ")[2].splitlines()[0][:200] in error.message


@pytest.mark.parametrize("version", VERSIONS)
def test_filed_once(world: World, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BD_VERSION", version)
    number, is_new = Program().file(one())
    assert is_new and Program().file(one()) == (number, False)
    assert [item["external_ref"] for item in world.issues] == ["gait:" + "a" * 24]
    held = world.issues[0]
    assert held["labels"][:3] == ["gait", "gait:" + "a" * 24, "block"] and (held["priority"], held["issue_type"]) == (1, "bug")
    assert held["title"] == one().title and held["description"] == one().body and held["created_by"] == "gait"
    subprocess.run(["bd", "close", number], check=True, stdout=subprocess.DEVNULL)
    assert Program().file(one()) == (number, False)  # a closed one is found too
    assert Program().file(one("b" * 24))[1] and len(world.issues) == 2


def test_with_the_envelope_of_1_x(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BD_VERSION", "1.0.5")
    monkeypatch.setenv("BD_JSON_ENVELOPE", "1")
    number, is_new = Program().file(one())
    assert is_new and Program().file(one()) == (number, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_database(world: World, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BD_VERSION", version)
    (world.folder / ".beads/issues.json").unlink()
    with pytest.raises(MissingDependency) as raised:
        Program().file(one())
    assert raised.value.error_code == "beads_not_initialised"


def test_what_it_is_called_with(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "issues.json").write_text("[]")
    monkeypatch.setenv("BD_ACTOR", "rig/polecats/toast")
    Program().file(one())
    Program("bd", str(elsewhere), "me").file(one())
    actors = [(call["actor"], call["beads_dir"]) for call in world.calls]
    assert actors == [("rig/polecats/toast", None)] * 2 + [("me", str(elsewhere))] * 2
    lookup, creation = world.calls[0], world.calls[1]
    assert lookup["argv"] == ["list", "--label", "gait:" + "a" * 24, "--all", "--limit", "0", "--json"] and lookup["stdin"] == ""
    assert creation["stdin"] == one().body and creation["argv"] == one().arguments()
    assert json.loads((elsewhere / "issues.json").read_text())[0]["created_by"] == "me"


def test_an_issue_with_the_label_but_of_something_else_is_not_taken(world: World) -> None:
    other = {"id": "gt-1", "title": "x", "labels": [one().lookup], "status": "open", "external_ref": "jira-7"}
    (world.folder / ".beads/issues.json").write_text(json.dumps([other, {**other, "id": "gt-2", "external_ref": "gait-unverified:" + "a" * 24}]))
    assert Program().file(one())[1] and len(world.issues) == 3


def test_a_forged_record_does_not_keep_a_true_one_out(world: World) -> None:
    forged = one(proof=Proof("t.json", problem="it was changed"))
    assert Program().file(forged)[1] and Program().file(one())[1] and not Program().file(forged)[1]
    assert sorted(item["external_ref"] for item in world.issues) == ["gait-unverified:" + "a" * 24, "gait:" + "a" * 24]


def test_a_decision_of_a_journal_is_found_whatever_call_it_was_filed_for(world: World) -> None:
    seen = Seen(3, "2026-02-05T00:00:00Z", "2026-02-06T00:00:00Z")
    number, is_new = Program().file(one("a" * 24, seen))
    assert is_new and Program().file(one("b" * 24, seen)) == (number, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_two_processes_make_one_issue(world: World, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at once, with one home: our lock alone holds (1.0.5 would take every issue)."""
    monkeypatch.setenv("BD_VERSION", version)
    assert race(world, [{}] * 4) == [False, False, False, True] and len(world.issues) == 1


def test_processes_of_two_homes_make_one_issue_where_bd_holds_the_reference(world: World, tmp_path: Path) -> None:
    homes = [{"GAIT_HOME": str(tmp_path / f"home{number}")} for number in range(4)]
    assert race(world, homes) == [False, False, False, True] and len(world.issues) == 1


def test_without_any_lock_there_would_be_more(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of the race: bd 1.x with a home for each process, all held between look-up and creation."""
    monkeypatch.setenv("BD_VERSION", "1.0.5")
    slow = world.folder / "bin/slow"
    program(slow, 'case "$1" in create) sleep 0.5 ;; esac\nexec bd "$@"')
    race(world, [{"GAIT_HOME": str(tmp_path / f"home{number}")} for number in range(2)], "slow")
    assert len(world.issues) == 2


SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from gait.bridges.beads.bd import Program
from gait.bridges.beads.issue import Proof, issue, read
refusal = read({"trace_id": "a" * 24, "verdict": "block", "tool_name": "x", "created_at": "2026-02-05T00:00:00Z"})
program = Program(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(program.file(issue(refusal, Proof("t", "k")))[1]))
"""


def race(world: World, environments: list[dict[str, str]], name: str = "bd") -> list[bool]:
    """Whether each process made the issue; all begin at the same moment."""
    words = [sys.executable, "-c", SCRIPT, str(ROOT), name]
    started = [subprocess.Popen(words, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for env in environments]
    for process in started:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    return sorted(json.loads(process.communicate(timeout=120)[0]) for process in started)


# --- what is no bd, or a bad one ----------------------------------------------------------------------


def test_what_bd_made_before_it_failed_is_found(world: World) -> None:
    """Its answer is lost: the issue is there all the same, and is not made twice."""
    path = str(program(world.folder / "bin/lossy", 'case "$1" in create) bd "$@" >/dev/null; exit 1 ;; esac\nexec bd "$@"'))
    assert Program(path).file(one()) == ("gt-000", False) and len(world.issues) == 1
    assert Program(path).file(one()) == ("gt-000", False) and len(world.issues) == 1


def test_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("bd", "", str(tmp_path / "bd"), str(tmp_path)):
        with pytest.raises(MissingDependency) as raised:
            Program(name)
        assert raised.value.exit_code == 7 and "npm install -g @beads/bd" in raised.value.hint


def test_a_program_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bd"
    path.write_bytes(b"\x7fELF\x00garbage")
    path.chmod(0o755)
    with pytest.raises(MissingDependency):
        Program(str(path)).file(one())


LIARS: dict[str, tuple[str, str]] = {
    "debian's bd, which prints a folder": ("echo /home", "no JSON"),
    "nothing": ("exit 0", "no JSON"),
    "an object for a list": ("echo '{}'", "no JSON"),
    "a list for an issue": ('case "$1" in list) echo "[]" ;; *) echo "[{\\"id\\": \\"gt-1\\"}]" ;; esac', "no JSON"),
    "an empty id": ('case "$1" in list) echo "[]" ;; *) echo "{\\"id\\": \\"\\"}" ;; esac', "no JSON"),
    "an id of escapes": ('case "$1" in list) echo "[]" ;; *) printf \'{"id": "gt\\\\u001b[2J"}\' ;; esac', "no JSON"),
    "an id and a failure": ('case "$1" in list) echo "[]" ;; *) echo "{\\"id\\": \\"gt-1\\"}"; echo Error: disk full >&2; exit 1 ;; esac', "Error: disk full"),
    "twice the same key": ("echo '[{\"id\": \"a\", \"id\": \"b\"}]'; exit 0", "no JSON"),
    "deep nesting": ("i=0; while [ $i -lt 200 ]; do printf '['; i=$((i+1)); done", "no JSON"),
    "a crash": ("kill -9 $$", "exit code -9 without a word"),
    "1.x error on standard error": ("echo '{\"error\": \"locked\", \"schema_version\": 1}' >&2; exit 1", "locked"),
    "1.x error on standard output": ("echo '{\"error\": \"locked\", \"schema_version\": 1}'; exit 1", "locked"),
}


@pytest.mark.parametrize("name", LIARS)
def test_liars(name: str, tmp_path: Path) -> None:
    script, told = LIARS[name]
    with pytest.raises(GaitError) as raised:
        Program(str(program(tmp_path / "bd", script))).file(one())
    assert raised.value.exit_code == 1 and told in raised.value.message and "bd version" in raised.value.hint


def test_entries_that_are_no_issues_are_passed_over() -> None:
    ref = "gait:" + "a" * 24
    found = listed(Answer(0, json.dumps([3, None, {}, {"id": 3, "external_ref": ref}, {"id": "gt-1", "external_ref": ref}]).encode(), b""))
    assert found == [{"id": "gt-1", "external_ref": ref}]


def test_it_is_ended_when_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bd_module, "_SECONDS", 0.3)
    pid = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid}; wait"
    began = time.monotonic()
    with pytest.raises(GaitError) as raised:
        Program(str(program(tmp_path / "bd", script))).file(one())
    assert raised.value.retryable and "within 0.3 s" in raised.value.message and time.monotonic() - began < 20
    wait_for(lambda: not is_running(int(pid.read_text())))


def test_it_is_ended_when_it_floods(tmp_path: Path) -> None:
    with pytest.raises(GaitError) as raised:
        Program(str(program(tmp_path / "bd", "exec cat /dev/zero"))).file(one())
    assert "bytes, got more" in raised.value.message


def test_what_it_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """Versions before 0.50 start a daemon, which holds the output open."""
    pid = tmp_path / "pid"
    script = f"sleep 30 & echo $! > {pid}\ncase \"$1\" in list) echo '[]' ;; *) echo '{{\"id\": \"gt-1\"}}' ;; esac"
    began = time.monotonic()
    assert Program(str(program(tmp_path / "bd", script))).file(one()) == ("gt-1", True)
    assert time.monotonic() - began < 20
    os.kill(int(pid.read_text()), 9)


def test_it_can_ask_nobody(tmp_path: Path) -> None:
    script = "read -r answer && exit 3\ncase \"$1\" in list) echo '[]' ;; *) echo '{\"id\": \"gt-1\"}' ;; esac"
    path = str(program(tmp_path / "bd", script))
    assert listed(Program(path)._run(["list"])) == []  # the read came to the end at once


def is_running(pid: int) -> bool:
    try:
        return b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes() if sys.platform == "linux" else os.kill(pid, 0) is None
    except OSError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
