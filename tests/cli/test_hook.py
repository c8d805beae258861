"""`gait hook` as hosts run it: a process of its own, that exits 0 or 2 and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gait.cli import main
from gait.formats import jcs
from gait.hosts import process as hook_process
from gait.hosts.options import OPTIONS, Options, read
from gait.hosts.hook import HOSTS

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
EVENT = {
    **{"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "touch ran"}},
    **{"cwd": "/work", "session_id": "s-1", "tool_use_id": "t-1", "permission_mode": "bypassPermissions"},
}
EVENTS = {
    **{"claude-code": EVENT, "codex": EVENT, "gastown": EVENT, "gemini": {**EVENT, "hook_event_name": "BeforeTool"}},
    **{"copilot": {"toolName": "bash", "toolArgs": '{"command": "ls"}', "cwd": "/work"}},
    **{"openclaw": {"toolName": "exec", "params": {"command": "ls"}, "toolCallId": "c-1"}},
}
DENIED = {"deny", "ask"}


@pytest.fixture
def hook(process, policy):
    """Run `gait hook HOST` on its event under a policy of one effect, as a process."""

    def run(host: str = "claude-code", effect: str = "allow", *options: object, stdin: object = None, **more: object):
        path = policy(f"default_verdict: block\nrules: [{{name: all, effect: {effect}}}]\n")
        return process("hook", host, "--policy", path, *options, stdin=EVENTS[host] if stdin is None else stdin, **more)

    return run


def records(home: Path) -> list[dict]:
    path = home / "journal" / "oneshot" / "00000001.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def refused(ran, word: str = "") -> bool:
    """Exit code 2, silence, and a reason on one plain line."""
    assert ran.code == 2 and ran.out == "" and ran.err.startswith("gait: the call is refused: "), ran
    assert ran.err.count("\n") == 1 and ran.err.isascii() and word in ran.err, ran
    return True


# --- decisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_allow_is_silence_and_is_recorded(hook, home, host):
    ran = hook(host)
    assert (ran.code, ran.err) == (0, "") and ran.out == ('{"block": false}' if host == "openclaw" else "")
    (record,) = records(home)
    assert record["verdict"] == "allow" and record["context"]["identity"] == host
    assert jcs.dumps(record) == (home / "journal/oneshot/00000001.jsonl").read_bytes().splitlines()[0]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("effect", ["block", "require_approval", "dry_run"])
def test_everything_else_is_refused_in_the_hosts_words(hook, home, host, effect):
    ran = hook(host, effect)
    value = json.loads(ran.out)
    inner = value.get("hookSpecificOutput", value)
    word = inner.get("permissionDecision") or inner.get("decision") or ("deny" if inner.get("block") is True else "")
    assert ran.code == 0 and ran.err == "" and records(home)[0]["verdict"] == effect
    assert word == ("ask" if (host, effect) == ("claude-code", "require_approval") else "deny")


def test_an_allow_may_skip_the_hosts_prompts(hook):
    assert json.loads(hook("claude-code", "allow", "--on-allow", "approve").out)["hookSpecificOutput"]["permissionDecision"] == "allow"
    assert json.loads(hook("claude-code", "block", "--on-allow=approve").out)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert refused(hook("codex", "allow", "--on-allow", "approve"), "codex takes no approval")


def test_gas_towns_identity(hook, home):
    env = {"GT_ROLE": "gait/polecats/nux", "GT_RIG": "gait", "GT_ROOT": "/town", "BD_ACTOR": ""}
    hook("gastown", stdin={name: item for name, item in EVENT.items() if name != "cwd"}, env=env)
    hook("gastown", env={**env, "BD_ACTOR": "gait/crew/joe"})
    hook("gastown", "allow", "--identity", "me", env=env)
    found = [(record["context"]["identity"], record["context"]["workspace"]) for record in records(home)]
    assert found == [("gait/polecats/nux", "/town/gait"), ("gait/crew/joe", "/work"), ("me", "/work")]


# --- no answer -----------------------------------------------------------------------------------

NO_EVENTS = [
    *("", "{", "[]", "null", '"PreToolUse"', "{}", b"\xff\xfe", '{"a": 1, "a": 2}', "NaN", "[" * 100_000, "{}{}"),
    *({**EVENT, "hook_event_name": "PostToolUse"}, {**EVENT, "tool_input": "rm"}, {**EVENT, "tool_name": ""}, {**EVENT, "tool_input": None}),
]


@pytest.mark.parametrize("event", NO_EVENTS, ids=lambda event: str(event)[:30])
def test_no_event_is_refused_and_recorded(hook, home, event):
    assert refused(hook(stdin=event))
    (record,) = records(home)
    assert record["event"] == "refused_input" and set(record["details"]) == {"sha256", "bytes", "reason"}


@pytest.mark.parametrize(
    "words",
    [
        *([], ["nope"], ["install-typo"], ["claude-code", "--polic", "p"], ["claude-code", "--policy"], ["claude-code", "policy.yaml"]),
        *(["claude-code", "--policy", "a", "--policy", "b"], ["claude-code", "--deadline", "soon"], ["claude-code", "--deadline", "0"]),
        *(["claude-code", "--deadline=nan"], ["claude-code", "--on-allow", "yes"], ["claude-code", "--simulate"], ["claude-code", "--json"]),
        *(["claude-code", "--key-mode", "test"], ["claude-code", "--policy=", "p"], ["claude-code", "--server", "example.com:80"]),
        *(["claude-code", "--policy", "--help"], ["claude-code", "--home", ""], ["claude-code", "--server", "nowhere"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused_too(process, words):
    assert refused(process("hook", *words, stdin=EVENT))


def test_help_is_for_people(process):
    assert process("hook", "--help").code == process("hook", "claude-code", "--help").code == 0
    assert "--policy FILE" in process("hook", "codex", "-h").out


@pytest.mark.parametrize("text", ["", "default_verdict: allow\nefect: 1\n", "\x00", "- 1\n", "default_verdict: maybe\n"])
def test_a_policy_that_is_none_is_refused(process, policy, home, text):
    assert refused(process("hook", "claude-code", "--policy", policy(text), stdin=EVENT))
    assert records(home)[0]["event"] == "refused_input"


def test_closed_and_full_streams(hook, tmp_path):
    for number in (0, 1):
        ran = hook(preexec_fn=lambda number=number: os.close(number))
        assert refused(ran, "is closed")
    assert hook(stdin="x", preexec_fn=lambda: os.close(2)).code == 2
    with open("/dev/full", "wb") as full:
        assert hook(effect="block", stdout=full).code == 2
        assert hook(stdin="x", stderr=full).code == 2
    reader, writer = os.pipe()
    os.close(reader)
    assert hook(effect="block", stdout=writer).code == 2
    os.close(writer)


def test_a_closed_error_stream_does_not_lead_into_the_journal(hook, home):
    """A file that is opened later would get number 2, and the reason would be written into it."""
    assert hook(effect="block", preexec_fn=lambda: os.close(2)).code == 0
    assert len(records(home)) == 1
    assert hook(stdin="x", preexec_fn=lambda: os.close(2)).code == 2 and len(records(home)) == 2


def test_a_full_disk_and_a_journal_that_cannot_be(hook, home):
    assert refused(hook(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))))
    (home / "journal").rename(home / "away")
    (home / "journal").write_text("")
    assert refused(hook())
    assert hook("claude-code", "allow", "--journal", home / "other").code == 0
    (home / "keys" / "trace.json").chmod(0o644)
    assert refused(hook("claude-code", "allow", "--journal", home / "other"), "0600")


def test_its_own_deadline(hook, home, monkeypatch, patience):
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)  # coverage's own locks do not survive an exit from anywhere
    hook()
    with open(home / "journal/oneshot/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        assert refused(hook("claude-code", "allow", "--deadline", "0.6"), "within the deadline")
        assert time.monotonic() - began < 5 * patience
    assert len(records(home)) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_signals_refuse(policy, name, patience):
    path = policy("default_verdict: allow\n")
    child = subprocess.Popen([*LAUNCHER, "hook", "codex", "--policy", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # It waits for its event once its handlers are there; /proc says that it does, and elsewhere a while must do.
    for _ in range(100 * patience):
        status = Path(f"/proc/{child.pid}/syscall")
        if status.exists() and status.read_text().startswith("0 0x0 ") or not status.exists() and time.sleep(0.02):
            break
        time.sleep(0.02)
    child.send_signal(getattr(signal, name))
    out, err = child.communicate(timeout=30 * patience)
    assert (child.returncode, out) == (2, b"") and b"stopped by signal" in err


def test_modules_that_are_missing_or_broken(tmp_path, policy):
    """What breaks before Gait's own code can say anything is refused by the launcher."""
    path = policy("default_verdict: allow\n")
    for broken in ("gait/judge.py", "gait/hosts/process.py", "gait/errors.py", "gait/__main__.py", "gait/__init__.py"):
        copy = tmp_path / broken.replace("/", "_")
        copy.mkdir()
        (copy / "gait.py").write_bytes((ROOT / "gait.py").read_bytes())
        (copy / "gait").mkdir()
        for source in (ROOT / "gait").rglob("*.py"):
            target = copy / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source) if str(source.relative_to(ROOT)) != broken else target.write_text("raise MemoryError('none left')\n")
        command = [sys.executable, "-I", "-B", str(copy / "gait.py"), "hook", "claude-code", "--policy", path]
        done = subprocess.run(command, input=json.dumps(EVENT), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "") and "none left" in done.stderr, broken


def test_little_memory_never_lets_a_call_through(policy, home):
    """Whatever fails for want of memory, in the interpreter's own start too: never 0 with the silence that means allow."""
    path = policy("default_verdict: block\n")
    for megabytes in (8, 16, 24, 32, 48):
        limit = megabytes << 20
        done = subprocess.run(
            ["sh", "-c", '"$@" || exit 2', "sh", *LAUNCHER, "hook", "codex", "--policy", str(path)],
            input=json.dumps(EVENT).encode(), capture_output=True, timeout=60,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        assert done.returncode == 2 or b'"deny"' in done.stdout, (megabytes, done)


# --- in this process -----------------------------------------------------------------------------


def test_the_command_line_answers_as_the_process_does(policy, capfd, monkeypatch):
    reader, writer = os.pipe()
    os.write(writer, json.dumps(EVENT).encode())
    os.close(writer)
    monkeypatch.setattr(hook_process.os, "read", lambda fd, size, read=os.read: read(reader if fd == 0 else fd, size))
    assert main(["hook", "claude-code", "--policy", str(policy("default_verdict: block\n"))]) == 0
    assert '"deny"' in capfd.readouterr().out
    os.close(reader)
    assert main(["hook", "claude-code", "--policy", "missing", "--check"]) == 2
    assert main(["hook", "claude-code", "--deadline", "x"]) == 6  # as every other noun, where no host waits


def test_both_readers_of_options_know_the_same(monkeypatch):
    assert set(OPTIONS) | {"host", "check"} == set(Options._fields)
    given = {"on_allow": "approve", "deadline": "3"}
    words = [word for name in OPTIONS for word in ("--" + name.replace("_", "-"), given.get(name, name))]
    options = read(["claude-code", *words, "--check"])
    assert options.seconds == 3 and options.approve and options.check and options.private_key_env == "private_key_env"


def test_check_records_nothing(process, policy, home):
    path = policy("default_verdict: block\n")
    assert process("hook", "codex", "--policy", path, "--check").code == 0 and records(home) == []
    assert refused(process("hook", "codex", "--policy", path, "--risk-class", "none", "--check"))
    assert refused(process("hook", "codex", "--policy", "/missing", "--check"))
    process("hook", "codex", "--policy", path, stdin=EVENT)
    segment = home / "journal/oneshot/00000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"block"', b'"allow"'))
    assert refused(process("hook", "codex", "--policy", path, "--check"))


def test_start_up_loads_nothing_heavy(policy):
    """Modules and not milliseconds: those are measured by `make bench`."""
    probe = "import sys; before = {*sys.modules}; sys.path.append(sys.argv[1]); from gait.hosts.process import main; main(sys.argv[2:]); print(*{*sys.modules} - before, file=sys.stderr)"
    command = [sys.executable, "-I", "-c", probe, str(ROOT), "claude-code", "--policy", str(policy("default_verdict: block\n"))]
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    done = subprocess.run(command, input=json.dumps(EVENT), capture_output=True, text=True, env=environment, timeout=60)
    loaded = set(done.stderr.split())
    assert "gait.judge" in loaded and '"deny"' in done.stdout
    assert not loaded & {"argparse", "typing", "socket", "subprocess", "shlex", "signal", "tempfile", "dataclasses", "logging", "gait.cli"}
