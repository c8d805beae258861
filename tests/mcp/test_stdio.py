"""The loops of `gait mcp wrap`, with real processes: bytes, order, memory, the lock, and whoever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
import tty
from pathlib import Path

import pytest

from gait.mcp import lock as locks
from gait.system import readiness
from tests.mcp.stdio_server import TOOLS
from tests.mcp.wrapped import GAIT, POLICY, PYTHON, SERVER, Background, Wrapped, call, gone, living, processes, request, verified
from tests.service.running import wait_for

KILLS = int(os.environ.get("GAIT_KILL_ROUNDS", "6"))
SEED = int(os.environ.get("GAIT_FUZZ_SEED", "1"))
MIB = 1024 * 1024

# A client of its own: it starts gait, keeps calling, and never reads its answers' content.  Prints gait's number.
CLIENT = """import json, os, subprocess, sys
gait = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
print(gait.pid, flush=True)
for number in range(10**9):
    value = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "read_file", "arguments": {"path": "/work/a"}}}
    gait.stdin.write(json.dumps(value).encode() + b"\\n")
    os.read(gait.stdout.fileno(), 65536)
    if number == 3: print("called", flush=True)
"""


@pytest.fixture
def wrapped(tmp_path):
    """Start `gait mcp wrap`; it is killed at the end of the test."""
    started = []

    def start(*words, **how) -> Wrapped:
        started.append(Wrapped(how.pop("folder", tmp_path), *words, **how))
        return started[-1]

    yield start
    for session in started:
        session.kill()


def test_bytes_pass_exactly(wrapped):
    lines = [
        b'{"jsonrpc":"2.0",  "id" : 1.0e0,"method":"x/y","params":{"\xc3\xa9":"\\u00e9\\ud83d\\ude00","n":1.50}}\n',
        b'\t{"id":"1","method":"ping","jsonrpc":"2.0"} \n',
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
        b'{"jsonrpc":"2.0","id":7,"result":{"roots":[]}}\n',
        call(2),
    ]
    session = wrapped()
    session.send(*lines)
    session.close()
    assert session.log == b"".join(lines)


def test_answers_pass_exactly(wrapped):
    data = b'{"jsonrpc": "2.0","id":1,\t"result":{"x":"\xe2\x80\xa8 \xc3\xa9"} }\r\n {"jsonrpc":"2.0","method":"notifications/x"}\nno frame\n\xff\xfe\n'
    session = wrapped(command=[*PYTHON, "-c", f"import os; os.write(1, {data!r} + b'cut off')"])
    assert session.output.read() == data, "whole lines only"
    assert session.wait() == 0


def test_refused_lines_never_reach_the_server(wrapped):
    bad = [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/etc/passwd"}}}\n',
        b'{"jsonrpc":"2.0","id":2,"method":"tools/call","method":"ping","params":{"name":"rm_rf"}}\n',
        b'{"jsonrpc":"2.0","id":3,"method":"Tools/Call","params":{"name":"rm_rf"}}\n',
        b'[{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"rm_rf"}}]\n',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"rm_rf"}}\n',
        b"garbage\n",
        b"\xff\xfe\x00\n",
        b'{"jsonrpc":"2.0","id":5,"method":"ping"} {"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"rm_rf"}}\n',
        b'{"jsonrpc":"2.0","id":7,"method":"ping"}\r{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"rm_rf"}}\n',
    ]
    session = wrapped()
    session.send(*bad, b"\n", b" \r\n")
    assert session.ask(call(100)) is not None
    answers = [session.read() for _ in range(len(bad) - 1)]
    session.send(b'{"jsonrpc":"2.0","id":9,"method":"ping"}')  # without an end
    session.close()
    assert session.log == call(100)
    assert len([answer for answer in answers if "error" in answer]) >= 6
    assert len([record for record in session.records() if record.get("event") == "refused_input"]) == len(bad)


def test_large_frames(wrapped):
    session = wrapped()
    session.hello()
    large = call(1, text="x" * (15 * MIB))
    writer = Background(session.send, large)
    answer = session.read()
    writer.join()
    assert len(answer["result"]["content"][0]["text"]) > 15 * MIB and session.log.endswith(large)
    too_large = call(2, text="x" * (17 * MIB))
    writer = Background(session.send, too_large, call(3))
    answers = [session.read(), session.read()]
    writer.join()
    assert sorted("error" in answer for answer in answers) == [False, True]
    assert len(session.ask(call(4, size=15 * MIB))["result"]["content"][0]["text"]) == 15 * MIB
    session.close()
    assert [frame["id"] for frame in session.frames()] == [1, 3, 4]


def test_a_line_of_the_server_s_that_is_too_long_ends_the_session(wrapped):
    session = wrapped()
    session.hello()
    group = session.group()
    session.send(call(1, long_line=17 * MIB))
    assert session.output.read() == b""
    assert session.wait() == 1 and "error: the server's output: expected messages of at most 16777216 bytes" in session.stderr
    assert not living(group) and session.outcomes() == ["never_answered"]


def test_a_client_that_does_not_read(wrapped):
    """100 MiB wait in the server: they are neither kept in Gait's memory nor lost."""
    session = wrapped("flood=100000000")
    wait_for(lambda: session.process.poll() is None and Path(f"/proc/{session.pid}/status").exists())
    time.sleep(2)
    before = session.rss()
    assert before < 80 * MIB
    session.send(call(1))
    session.process.stdin.close()
    size = 0
    lines = 0
    for line in session.output:
        size, lines = size + len(line), lines + 1
        if lines == 5000:
            assert session.rss() < before + 10 * MIB
    assert json.loads(line)["id"] == 1 and size > 99_000_000
    assert session.wait() == 0


def test_a_server_that_does_not_read(wrapped):
    """It still answers while the client's requests wait; they wait in the pipes."""
    session = wrapped("flood=20000000")
    requests = [request(number, "ping", text="x" * 1000) for number in range(4000)]
    writer = Background(session.send, *requests)
    time.sleep(1)
    assert writer.is_alive() and session.rss() < 80 * MIB
    found = []
    while len(found) < len(requests):
        answer = session.read()
        found += [answer["id"]] if "id" in answer else []
    writer.join()
    assert found == list(range(len(requests)))


def test_a_server_that_never_reads(wrapped):
    session = wrapped("mute", "deaf", options=["--grace", "0.2"])
    os.set_blocking(session.process.stdin.fileno(), False)
    sent, deadline = 0, time.monotonic() + 2
    while time.monotonic() < deadline:
        sent += session.process.stdin.write(b'{"jsonrpc":"2.0","method":"x"}\n' * 1000) or 0
    assert sent < 4 * MIB and session.rss() < 80 * MIB
    group = session.group()
    session.process.stdin.close()
    os.kill(session.server(), signal.SIGKILL)  # its signals are off, and Gait still waits to write
    assert session.wait() == 137
    assert not living(group)


def test_order_and_answers_at_the_same_time(wrapped):
    """5,000 calls, a third of them refused, sent while the answers are read: each is answered, in the server's order."""
    session = wrapped()
    session.hello()
    calls = [call(number, path="/work/a" if number % 3 else "/etc/a") for number in range(5000)]
    writer = Background(session.send, *calls)
    answers = [session.read() for _ in calls]
    writer.join()
    passed = [answer["id"] for answer in answers if not answer["result"]["isError"]]
    refused = [answer["id"] for answer in answers if answer["result"]["isError"]]
    assert passed == [number for number in range(5000) if number % 3] and refused == [number for number in range(0, 5000, 3)]
    session.close()
    assert [frame["id"] for frame in session.frames()] == passed and session.outcomes() == ["ok"] * len(passed)


def test_a_server_that_closes_its_output(wrapped):
    session = wrapped(command=[*PYTHON, "-c", "import os, time; os.close(1); time.sleep(1000)"], options=["--grace", "0.2"])
    assert session.output.read() == b"" and session.wait() == 143


def test_a_daemon_that_holds_the_output(wrapped):
    """It has left the group, so it lives on; Gait does not wait for it."""
    code = "import os, time\nif os.fork() == 0:\n os.setsid(); time.sleep(8); os._exit(0)\nos.write(1, b'last\\n')"
    session = wrapped(command=[*PYTHON, "-c", code])
    began = time.monotonic()
    assert session.output.readline() == b"last\n"
    assert session.wait() == 0 and time.monotonic() - began < 7


@pytest.mark.parametrize("line", [b"\n", b'{"jsonrpc":"2.0","method":"x"}\n', call(1, path="/etc/passwd")], ids=["blank", "passes", "refused"])
def test_a_daemon_that_holds_the_output_and_a_client_that_talks_on(line, wrapped):
    code = "import os, sys, time\nif os.fork() == 0:\n os.setsid(); time.sleep(8); os._exit(0)\nos.write(1, b'last\\n')"
    session = wrapped(command=[*PYTHON, "-c", code])
    assert session.output.readline() == b"last\n"
    began = time.monotonic()
    try:
        while time.monotonic() - began < 7:
            session.send(line)
            time.sleep(0.05)
    except OSError:
        pass
    assert session.wait() == 0 and time.monotonic() - began < 6


# --- one thread for both sides, or two -------------------------------------------------------------

SHARED, OWN = 3, 4  # threads of the process: its first, the heartbeat's, and one or two that read
counts_threads = pytest.mark.skipif(not readiness.IS_POSSIBLE, reason="this system has no epoll: each side has a thread from the start")
LIMITED = POLICY.replace("rules:\n", "rules:\n  - name: limited\n    effect: allow\n    match: {tool_names: [limited]}\n    rate_limit: {requests: 5, window: minute, scope: tool}\n")


def threads(session: Wrapped) -> int:
    return len(os.listdir(f"/proc/{session.pid}/task"))


@counts_threads
def test_one_thread_serves_both_sides(wrapped):
    session = wrapped()
    session.hello()
    for number in range(20):
        assert session.ask(call(number, size=60_000 if number == 10 else 10))["id"] == number
    assert threads(session) == SHARED
    assert session.close() == 0


@counts_threads
def test_what_a_client_does_not_take_gets_a_thread_and_keeps_its_order(wrapped):
    session = wrapped()
    session.hello()
    session.send(call(1, size=200_000))
    wait_for(lambda: threads(session) == OWN)
    session.send(call(2), call(3, path="/etc/passwd"))
    wait_for(lambda: len(session.frames()) == 2)  # the server has the second call before the client has the first answer
    answers = [session.read() for _ in range(3)]
    assert len(answers[0]["result"]["content"][0]["text"]) == 200_000
    assert sorted(answer["id"] for answer in answers) == [1, 2, 3]
    assert session.close() == 0 and session.outcomes() == ["ok", "ok"]


@counts_threads
def test_what_a_server_does_not_take_gets_a_thread(wrapped):
    """It writes a message before it reads on; whoever wrote to it and waited would keep it from doing either."""
    code = "import os, sys\nsys.stdin.buffer.readline()\nfor _ in range(3000): os.write(1, b'{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\\n' * 10)\n"
    code += "size = sum(map(len, sys.stdin.buffer))\nos.write(1, b'%d\\n' % size)"
    session = wrapped(command=[*PYTHON, "-c", code])
    lines = [request("a", "ping"), *[b'{"jsonrpc":"2.0","method":"y","params":{"text":"' + b"z" * 9_000 + b'"}}\n'] * 100]
    writer = Background(lambda: (session.send(*lines), session.process.stdin.close()))
    *_, last = session.output
    writer.join()
    assert int(last) == sum(map(len, lines[1:])) and session.wait() == 0


@counts_threads
@pytest.mark.parametrize("what", ["a rate limit", "approvals"])
def test_decisions_that_may_wait_for_others_have_a_thread_from_the_start(what, wrapped, tmp_path):
    """Another process in a turn of the counters would keep the server from being heard for seconds."""
    options = []
    if what == "approvals":
        key = tmp_path / "approval.json"
        subprocess.run([*GAIT, "keys", "init", "--purpose", "approval", "--path", str(key)], check=True, capture_output=True)
        options = ["--approval-key", key]
    session = wrapped(policy=LIMITED if what == "a rate limit" else POLICY, options=options)
    session.hello()
    assert threads(session) == OWN


@counts_threads
def test_a_session_that_parts_before_it_is_known_who_reads_ends_with_its_server(tmp_path):
    """The first thread is slow to go on after it has started another, which gives the server's side to a third meanwhile."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    slow = "import sys, threading, time; sys.path.append(sys.argv[1]); start = threading.Thread.start\n"
    slow += "threading.Thread.start = lambda self: (start(self), time.sleep(0.5) if threading.current_thread() is threading.main_thread() else None)\n"
    slow += "from gait.cli import main; sys.exit(main(sys.argv[2:]))"
    code = "import os, sys, time; time.sleep(0.2); sys.stdin.buffer.readline(); time.sleep(0.6); os.write(1, b'last\\n')"
    words = ["mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--journal", str(tmp_path / "journal"), "--", *PYTHON, "-c", code]
    process = subprocess.Popen([*PYTHON, "-c", slow, os.path.dirname(GAIT[-1]), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        Background(process.stdin.write, request(1, "ping", text="z" * 300_000)).join(20)
        assert process.wait(20) == 0  # the client's end of the input is open
        assert process.stdout.read() == b"last\n"
    finally:
        process.kill()
        process.communicate()


@counts_threads
def test_a_terminal_does_not_say_how_much_it_takes(tmp_path):
    """Full of what the server says, it must not keep the client's one long request from being taken."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    code = "import os, sys\nline = b'{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"text\":\"' + b'y' * 3900 + b'\"}}\\n'\nwhile True: os.write(1, line)"
    gait = [*GAIT, "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--journal", str(tmp_path / "journal")]
    primary, secondary = os.openpty()
    tty.setraw(secondary)
    process = subprocess.Popen([*gait, "--", *PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=secondary, bufsize=0)
    try:
        os.close(secondary)
        os.read(primary, 1)  # it runs, and nobody reads on
        writer = Background(process.stdin.write, request(1, "ping", text="z" * 300_000))
        writer.join(20)
    finally:
        process.kill()
        process.communicate()
        os.close(primary)


@counts_threads
def test_what_cannot_be_watched_has_a_thread_from_the_start(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "input").write_bytes(call(1))
    gait = [*GAIT, "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--journal", str(tmp_path / "journal")]
    with open(tmp_path / "input", "rb") as stdin:
        done = subprocess.run([*gait, "--", *SERVER, str(tmp_path / "log")], stdin=stdin, stdout=subprocess.PIPE, timeout=30)
    assert json.loads(done.stdout)["id"] == 1 and done.returncode == 0


# --- the lock ------------------------------------------------------------------------------------


def pinned(folder: Path, tools: list) -> list[object]:
    server = locks.ServerLock("default", {tool["name"]: locks.pin(tool) for tool in tools})
    path = folder / "gait.lock"
    path.write_bytes(locks.dumps(locks.Lock({"default": server})))
    return ["--lock", path]


def reasons(answer: dict) -> list[str]:
    return answer["result"]["_meta"]["dev.gait/decision"]["reason_codes"] if answer["result"]["isError"] else []


@pytest.mark.parametrize("era", ["session", "stateless"])
def test_the_lock_is_compared_before_the_first_call(wrapped, tmp_path, era):
    """Gait lists the tools itself, over all pages, and the client sees nothing of it."""
    session = wrapped(options=pinned(tmp_path, TOOLS), policy="default_verdict: allow\n")
    first = json.loads(call(1))
    if era == "stateless":
        first["params"]["_meta"] = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 5}
    else:
        session.hello()
    answer = session.ask(json.dumps(first).encode() + b"\n")
    assert answer["id"] == 1 and not answer["result"]["isError"]
    assert session.ask(call(2))["id"] == 2
    session.close()
    lists = session.frames("tools/list")
    assert len(lists) == 2 and all(str(frame["id"]).startswith("gait-") for frame in lists)
    wanted = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}} if era == "stateless" else {}
    assert lists[0]["params"] == wanted and lists[1]["params"] == {"cursor": "3", **wanted}


def test_changed_and_new_definitions(wrapped, tmp_path):
    changed = [{**TOOLS[0], "description": "Reads, and tells nobody."}, *TOOLS[1:]]
    (tmp_path / "tools.json").write_text(json.dumps([*changed, {"name": "new", "inputSchema": {}}]))
    session = wrapped(f"tools={tmp_path}/tools.json", options=pinned(tmp_path, TOOLS), policy="default_verdict: allow\n")
    session.hello()
    assert "tool_definition_changed" in reasons(session.ask(call(1)))
    assert "tool_not_in_lock" in reasons(session.ask(call(2, "new")))
    assert reasons(session.ask(call(3, "write_file"))) == []
    session.close()
    assert [frame["params"]["name"] for frame in session.frames()] == ["write_file"]


def test_a_client_that_has_listed_needs_no_other_list(wrapped, tmp_path):
    session = wrapped(options=pinned(tmp_path, TOOLS[:3]), policy="default_verdict: allow\n")
    session.hello()
    page = session.ask(request("a", "tools/list"))["result"]
    session.ask(request("b", "tools/list", cursor=page["nextCursor"]))
    assert reasons(session.ask(call(1))) == []
    session.close()
    assert [frame["id"] for frame in session.frames("tools/list")] == ["a", "b"]


def test_a_server_that_dies_while_it_is_asked(wrapped, tmp_path):
    session = wrapped("listing=1000", options=pinned(tmp_path, TOOLS))
    session.hello()
    session.send(call(1))
    wait_for(lambda: session.frames("tools/list"))
    began = time.monotonic()
    os.kill(session.server(), signal.SIGKILL)
    assert session.wait() == 137 and time.monotonic() - began < 5
    assert session.frames() == []


# --- whoever is killed ---------------------------------------------------------------------------


def check(folder: Path, told: str) -> None:
    """Every call that the server got has its allow in the journal."""
    calls = [json.loads(line) for line in (folder / "server.log").read_bytes().split(b"\n")[:-1]]
    got = len([value for value in calls if value["method"] == "tools/call"])
    allowed = [record for record in verified(folder / "journal") if record.get("verdict") == "allow"]
    assert got <= len(allowed), told


def test_kills(tmp_path, wrapped):
    """The server, gait or the client is killed at a random moment, the server deaf every other time: nothing is left, nothing unrecorded."""
    chance = random.Random(SEED)
    groups = []
    for number in range(KILLS):
        told = f"round {number}, seed {SEED}"
        folder = tmp_path / str(number)
        folder.mkdir()
        target = ("server", "gait", "client")[number % 3]
        words = ["deaf", "child"] if chance.random() < 0.5 else []
        seconds = chance.random() * 0.3
        groups.append((kill_client if target == "client" else kill_part)(folder, wrapped, words, target, seconds))
        check(folder, told)
    for group in groups:
        gone(group, 30)


def kill_part(folder: Path, wrapped, words: list[str], target: str, seconds: float) -> int:
    session = wrapped(*words, folder=folder)
    session.hello()
    group, server = session.group(), session.server()
    writer = Background(flow, session)
    time.sleep(seconds)
    os.kill(session.pid if target == "gait" else server, signal.SIGKILL)
    code = session.wait(20)
    writer.join(20)
    assert code == (-9 if target == "gait" else 137)
    if target == "server":
        assert not living(group)
    return group


def flow(session: Wrapped) -> None:
    """Calls, until one side is gone."""
    try:
        for number in range(10**6):
            session.send(call(number))
            if not session.output.readline():
                return
    except OSError:
        pass


def kill_client(folder: Path, wrapped, words: list[str], target: str, seconds: float) -> int:
    (folder / "policy.yaml").write_text(POLICY)
    gait = [*GAIT, "mcp", "wrap", "--policy", str(folder / "policy.yaml"), "--journal", str(folder / "journal"), "--grace", "0.5"]
    client = subprocess.Popen([*PYTHON, "-c", CLIENT, *gait, "--", *SERVER, str(folder / "server.log"), *words], stdout=subprocess.PIPE)
    pid = int(client.stdout.readline())
    assert client.stdout.readline() == b"called\n"
    group = next(its for _, parent, its, _ in processes() if parent == pid)
    time.sleep(seconds)
    client.kill()
    client.communicate()
    wait_for(lambda: not [row for row in processes() if row[0] == pid and not row[3].startswith("Z")], 20)
    assert not living(group), "gait itself has ended in order, so nothing is left"
    assert verified(folder / "journal")[-1]["event"] == "stopped"
    return group


def test_a_parent_that_is_gone_without_the_end_of_input(tmp_path):
    """Somebody else still holds the pipe to gait open: it looks whose child it is."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    argv = [*GAIT, "mcp", "wrap", "--policy", str(tmp_path / "policy.yaml"), "--", *SERVER, str(tmp_path / "server.log")]
    read, write = os.pipe()
    client = subprocess.Popen([*PYTHON, "-c", CLIENT.replace("stdin=subprocess.PIPE", f"stdin={read}").replace("gait.stdin.write(", f"os.write({write}, "), *argv], stdout=subprocess.PIPE, pass_fds=[read, write])
    pid = int(client.stdout.readline())
    assert client.stdout.readline() == b"called\n"
    group = next(its for _, parent, its, _ in processes() if parent == pid)
    client.kill()
    client.communicate()
    gone(group, 20)
    os.close(read)
    os.close(write)
