"""`gait mcp wrap`: what a client, a server and an operator see of it.  Real processes throughout."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.mcp.wrapped import GAIT, PYTHON, SERVER, Wrapped, call, gone, request, verified
from tests.service.running import wait_for

# Runs a command with a file size limit that its parent may raise later: as a full disk.
LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
os.execv(sys.argv[2], [sys.argv[2], "-B", *sys.argv[3:]])
"""


@pytest.fixture
def wrapped(tmp_path):
    """Start `gait mcp wrap`; it is killed at the end of the test."""
    started = []

    def start(*words, **how) -> Wrapped:
        folder = how.pop("folder", tmp_path)
        started.append(Wrapped(folder, *words, **how))
        return started[-1]

    yield start
    for session in started:
        session.kill()


def meta(answer: dict) -> dict:
    assert answer["result"]["isError"] is True
    return answer["result"]["_meta"]["dev.gait/decision"]


def test_verdicts(wrapped):
    session = wrapped()
    session.hello()
    assert session.ask(call(1))["result"]["isError"] is False
    assert meta(session.ask(call(2, path="/work/../etc/shadow")))["verdict"] == "block"
    assert meta(session.ask(call("three", "write_file", content="x")))["verdict"] == "require_approval"
    assert meta(session.ask(call(4, "rehearse")))["verdict"] == "dry_run"
    assert meta(session.ask(call(5, "rm_rf")))["verdict"] == "block"
    assert session.ask(call(6, fail=True))["result"]["isError"] is True
    assert session.close() == 0 and session.stderr == ""
    assert [frame["id"] for frame in session.frames()] == [1, 6]
    records = session.records()
    assert [record["verdict"] for record in records if "verdict" in record] == ["allow", "block", "require_approval", "dry_run", "block", "allow"]
    assert session.outcomes() == ["ok", "error"]
    assert [records[0]["event"], records[-1]["event"]] == ["armed", "stopped"]
    assert records[0]["details"]["heartbeat_seconds"] == 60


def test_exit_codes_and_signals_of_the_server(wrapped, tmp_path):
    for arguments, code in (({"exit": 0}, 0), ({"exit": 3}, 3), ({"exit": 255}, 255), ({"kill": 9}, 137), ({"kill": 11}, 139)):
        session = wrapped()
        session.send(call(1, **arguments))
        assert session.wait() == code and session.output.read() == b""
        assert session.outcomes()[-1] == "never_answered"
    session = wrapped("exit=7")
    session.hello()
    assert session.close() == 7 and session.records()[-1]["event"] == "stopped"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_go_to_the_server(wrapped, name):
    number = getattr(signal, name)
    session = wrapped(command=[*PYTHON, "-c", CAUGHT])
    assert session.output.readline() == b"ready\n"
    session.process.send_signal(number)
    assert session.output.readline() == f"{int(number)}\n".encode()
    assert session.wait() == 40 + number
    session = wrapped()
    session.hello()
    session.process.send_signal(number)
    assert session.wait() == 128 + number


CAUGHT = """import os, signal, sys, time
def handle(number, _):
    os.write(1, b"%d\\n" % number); os._exit(40 + number)
for number in (1, 2, 15): signal.signal(number, handle)
os.write(1, b"ready\\n"); time.sleep(100)"""


def test_a_signal_that_is_ignored_stays_so(wrapped):
    session = wrapped(before=["nohup"])
    session.hello()
    session.process.send_signal(signal.SIGHUP)
    assert session.ask(call(1))["id"] == 1
    assert session.close() == 0


def test_stderr_is_the_server_s(wrapped):
    noise = bytes(range(256)) + b"\n\x1b[31mred" + b"x" * 100_000
    session = wrapped()
    session.ask(call(1, stderr=noise.hex()))
    assert session.close() == 0
    assert session.stderr_path.read_bytes() == noise


def environment(session: Wrapped) -> dict:
    return json.loads(session.ask(call(1, env=1))["result"]["content"][0]["text"])


def test_environment(wrapped, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_MINE", "s3cret")
    assert environment(wrapped())["TOKEN_OF_MINE"] == "s3cret"
    passed = environment(wrapped(options=["--env-allow", "PATH, HOME", "--env-allow", "NOT_THERE"]))
    assert {"PATH", "HOME"} <= set(passed) and not {"TOKEN_OF_MINE", "NOT_THERE", "GAIT_HOME"} & set(passed)
    assert "PATH" not in environment(wrapped(options=["--env-allow", ""]))


def test_gait_s_key_is_not_the_server_s(wrapped, monkeypatch, tmp_path):
    done = subprocess.run([*PYTHON[:1], "-c", "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"], capture_output=True)
    monkeypatch.setenv("GAIT_KEY", done.stdout.decode().strip())
    keys = ["--key-mode", "prod", "--private-key-env", "GAIT_KEY"]
    assert "GAIT_KEY" not in environment(wrapped(options=keys))
    refused = wrapped(options=[*keys, "--env-allow", "PATH,GAIT_KEY"])
    assert refused.wait() == 6 and "holds a secret of Gait's" in refused.stderr


@pytest.mark.parametrize(
    "policy,options,command,code,told",
    [
        ("default_verdict: perhaps\n", [], None, 6, "default_verdict"),
        (None, ["--policy", "/not/there.yaml"], None, 6, "/not/there.yaml"),
        (None, ["--policy", "-"], None, 6, "standard input is the client's"),
        (None, ["--risk-class", "none"], None, 6, "--risk-class"),
        (None, ["--identity", " "], None, 6, "--identity"),
        (None, ["--server-name", "a b"], None, 6, "--server-name"),
        (None, ["--grace", "-1"], None, 6, "--grace"),
        (None, ["--lock", "/not/there.lock"], None, 6, "/not/there.lock"),
        (None, ["--config", "/not/there.yaml"], None, 6, "/not/there.yaml"),
        (None, ["--key-mode", "prod"], None, 6, "prod mode needs"),
        (None, ["--journal", "/dev/null/x"], None, 1, "/dev/null/x"),
        (None, [], ["/not/there", "--json"], 7, "/not/there: cannot be started: No such file"),
        (None, [], ["/etc"], 7, "/etc: cannot be started: Permission denied"),
    ],
)
def test_nothing_starts_when_something_is_wrong(wrapped, policy, options, command, code, told):
    session = wrapped(options=options, command=command, **({"policy": policy} if policy else {}))
    assert session.wait() == code
    assert session.output.read() == b"" and told in session.stderr and session.log == b""


def test_no_command(tmp_path):
    (tmp_path / "policy.yaml").write_text("default_verdict: allow\n")
    for words in ([], ["--"], ["--", ""]):
        done = subprocess.run([*GAIT, "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), *words], capture_output=True, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stdout) == (6, b"") and b"COMMAND" in done.stderr


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream(tmp_path, number):
    (tmp_path / "policy.yaml").write_text("default_verdict: allow\n")
    argv = [*GAIT, "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--", *SERVER, str(tmp_path / "log")]
    done = subprocess.run(argv, preexec_fn=lambda: os.close(number), capture_output=True, stdin=subprocess.DEVNULL if number else None, timeout=30)
    assert done.returncode == 6 and done.stdout == b"" and not (tmp_path / "log").exists()


def test_the_server_s_own_words(wrapped, tmp_path):
    """Everything after -- is the server's, words that look like Gait's own or like another -- included."""
    words = ["--json", "--policy", "x", "--", "-h", ""]
    session = wrapped(command=[*PYTHON, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words])
    assert session.read() == words and session.wait() == 0


def test_chains(wrapped, tmp_path):
    """Sessions at the same time have chains of their own; a later one goes on with the first that is free."""
    sessions = [wrapped(options=["--server-name", "My.Files"])]
    sessions[0].hello()
    for _ in range(2):
        sessions.append(wrapped(options=["--server-name", "My.Files"]))
        sessions[-1].hello()
    sessions[0].ask(call(1))
    for session in sessions:
        assert session.close() == 0
    third = wrapped()
    third.hello()
    assert third.close() == 0
    names = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert names == ["mcp-my-files", "mcp-my-files-2", "mcp-my-files-3", "mcp-python" + os.path.basename(sys.executable)[6:].replace(".", "-")]
    assert [record["tool_name"] for record in verified(tmp_path / "journal") if "tool_name" in record] == ["my.files__read_file"]


def test_default_journal(wrapped, own_home):
    session = wrapped(options=["--journal", ""])
    session.hello()
    assert session.close() == 0
    assert [path.name[:4] for path in (own_home / "gait" / "journal" / "mcp").iterdir()] == ["mcp-"]


def test_context_of_every_call(wrapped):
    session = wrapped(options=["--identity", "ann", "--workspace", "/w", "--risk-class", "LOW"])
    session.ask(call(1))
    session.close()
    assert session.allowed()[0]["context"] == {"identity": "ann", "workspace": "/w", "risk_class": "low"}


def test_filter_tools(wrapped):
    plain, filtered = wrapped(), wrapped(options=["--filter-tools"])
    assert [tool["name"] for tool in plain.ask(request(1, "tools/list"))["result"]["tools"]] == ["read_file", "write_file", "rehearse"]
    policy = "default_verdict: block\nrules: [{name: r, effect: allow, match: {tool_names: [files__write_file]}}]\n"
    filtered = wrapped(options=["--filter-tools", "--server-name", "files"], policy=policy)
    assert [tool["name"] for tool in filtered.ask(request(1, "tools/list"))["result"]["tools"]] == ["write_file"]


def test_a_full_disk_is_no_allow(wrapped):
    session = wrapped(before=[sys.executable, "-c", LIMITED, "30001"], env={**os.environ, "COVERAGE_PROCESS_START": ""})
    session.hello()
    ids = iter(range(1, 2000))
    for id_ in ids:
        answer = session.ask(call(id_, path="/work/" + "x" * 500))
        if answer["result"]["isError"]:
            break
    assert "could not record" in answer["result"]["content"][0]["text"] and id_ > 3
    for id_ in range(3000, 3003):
        assert session.ask(call(id_, path="/work/" + "x" * 500))["result"]["isError"] is True
    assert session.ask(request("ping", "ping"))["result"] == {}, "only calls need the journal"
    resource.prlimit(session.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    wait_for(lambda: "journal_recovered" in session.stderr, 20)
    assert session.ask(call(5000))["result"]["isError"] is False
    assert session.close() == 0
    assert [frame["id"] for frame in session.frames()] == [*range(1, id_ and answer["id"]), 5000]
    assert len(session.allowed()) == len(session.frames())


def test_a_dead_gait_is_a_dead_server(wrapped):
    session = wrapped()
    session.hello()
    group = session.group()
    session.process.kill()
    with pytest.raises(OSError):
        for _ in range(100):
            session.send(call(1))
            time.sleep(0.01)
    assert session.output.read() == b""
    gone(group)
    assert session.frames() == []


def test_json_is_no_option_and_may_be_the_server_s(wrapped):
    session = wrapped("--json", policy="default_verdict: maybe\n")
    assert session.wait() == 6 and session.output.read() == b"" and session.stderr.startswith("error: ")
    session = wrapped("--json", options=["--no-such-option"])
    assert session.wait() == 6 and session.output.read() == b"" and "--no-such-option" in session.stderr
    session = wrapped(options=["--json"])
    assert session.wait() == 6 and "unrecognized arguments: --json" in json.loads(session.output.read())["error"]


def test_what_wrap_loads(tmp_path):
    """It is started with every session of a client: nothing of HTTP, TLS or subprocesses."""
    (tmp_path / "policy.yaml").write_text("default_verdict: allow\n")
    probe = "import sys; before = {*sys.modules}; sys.path.append(sys.argv[1]); from gait.cli import main; code = main(sys.argv[2:]); print(code, *{*sys.modules} - before, file=sys.stderr)"
    command = [*PYTHON, "-c", probe, os.path.dirname(GAIT[-1]), "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--", "true"]
    environment = {key: value for key, value in os.environ.items() if key != "COVERAGE_PROCESS_START"}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    code, *found = done.stderr.split()
    assert code == "0" and "gait.mcp.stdio" in found
    heavy = {"socket", "ssl", "http", "http.client", "urllib.request", "email", "logging", "subprocess", "zipfile", "dataclasses", "tempfile"}
    assert not heavy.intersection(found)
    assert not [name for name in found if name.startswith(("gait.system.http", "gait.system.connection", "gait.service.api", "gait.service.server"))]
