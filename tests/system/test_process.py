"""A child in a group of its own: pipes, signals, and what is left when this process goes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gait.errors import GaitError, MissingDependency
from gait.system import process
from tests.mcp.wrapped import gone, living, processes
from tests.service.running import ROOT, wait_for

PYTHON = [sys.executable, "-I", "-S", "-c"]
DEAF = "import signal, sys, time\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\nprint(1, flush=True); time.sleep(1000)"
# Starts a deaf child that has a deaf child, prints the group, and waits to be killed.
PARENT = f"""import os, sys, time
sys.path.append({str(ROOT)!r})
from gait.system import process
if sys.argv[1] == "python": process._WATCHERS = process._WATCHERS[1:]
code = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); exec(sys.argv[-1])"
child = process.start([sys.executable, "-I", "-S", "-c", code, sys.executable, "-I", "-S", "-c", {DEAF!r}], os.environ)
for _ in range(2): os.read(child.output, 2)
print(os.getpgid(child.process), flush=True)
time.sleep(1000)
"""


@pytest.fixture
def start():
    """process.start; every child is ended."""
    children = []

    def begin(code: str, *words: str, env=None) -> process.Child:
        children.append(process.start([*PYTHON, code, *words], os.environ if env is None else env))
        return children[-1]

    yield begin
    for child in children:
        child.end()
        os.close(child.output)


def output(child: process.Child) -> bytes:
    return b"".join(iter(lambda: os.read(child.output, 65536), b""))


def descriptors() -> set[str]:
    return set(os.listdir("/dev/fd"))


def test_pipes(start):
    child = start("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    child.send(b"abc")
    child.send(b"def")
    child.close_input()
    assert output(child) == b"fedcba" and child.wait(10) == 0
    with pytest.raises(BrokenPipeError):
        child.send(b"x")


def test_large_input_passes_at_the_reader_s_pace(start):
    child = start("import sys, time, hashlib; time.sleep(0.2); print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())")
    data = os.urandom(1 << 16) * 64
    child.send(data)
    child.close_input()
    assert output(child).decode().strip() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("size", "waits"), [(0, 0), (5_000, 0), (60_000, 0), (70_000, 1), (500_000, 1)])
def test_a_write_tells_before_it_waits_for_the_reader(size, waits):
    """A pipe holds 64 KiB here; what fits is written without a word, and nothing is lost or doubled where it does not."""
    read, write = os.pipe()
    data, told, got = os.urandom(size), [], []

    def reader() -> None:
        for part in iter(lambda: os.read(read, 1 << 16), b""):
            got.append(part)

    thread = threading.Thread(target=reader)
    try:
        process.write(write, data, lambda: (told.append(1), thread.start()))
        if not told:
            thread.start()
    finally:
        os.close(write)
        thread.join(20)
        os.close(read)
    assert b"".join(got) == data
    assert len(told) == waits or not sys.platform.startswith("linux")


@pytest.mark.parametrize("code,expected", [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os._exit(255)", 255), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_exit_codes(start, code, expected):
    child = start(code)
    assert child.wait(10) == expected == child.poll() == child.exit_code


def test_a_group_of_its_own(start):
    child = start("import os; print(os.getpgid(0), os.getpid(), flush=True); import sys; sys.stdin.read()")
    group, number = map(int, os.read(child.output, 100).split())
    assert number == child.process and group not in (os.getpgid(0), number)
    assert child.poll() is None and len(living(group)) == 2
    child.stop(5)
    child.end()
    assert child.exit_code == 0 and not [row for row in processes() if row[2] == group], "nothing is left, not even a zombie"


def test_signals_reach_the_whole_group(start):
    child = start("import subprocess, sys, time; subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(1000)']); print(1, flush=True); time.sleep(1000)")
    os.read(child.output, 2)
    group = os.getpgid(child.process)
    child.signal(signal.SIGTERM)  # whoever started this test may have had it ignore SIGHUP and SIGINT
    assert child.wait(10) == 128 + signal.SIGTERM
    wait_for(lambda: len(living(group)) == 1, 10)
    child.signal(signal.SIGINT)
    child.signal(signal.SIGHUP)
    time.sleep(0.1)
    assert len(living(group)) == 1, "the watcher is deaf to what is forwarded"


def test_stop_is_patient_and_then_is_not(start):
    child = start("import sys, time; sys.stdin.read(); time.sleep(0.3); sys.exit(5)")
    child.stop(10)
    assert child.exit_code == 5
    child = start("import signal, sys, time; signal.signal(15, lambda *_: sys.exit(6)); print(1, flush=True)\nwhile True: time.sleep(1)")
    os.read(child.output, 2)
    child.stop(0.1)
    assert child.exit_code == 6
    child = start(DEAF)
    os.read(child.output, 2)
    began = time.monotonic()
    child.stop(0.1)
    assert child.exit_code == 137 and time.monotonic() - began < 10


def test_stop_while_a_thread_is_sending(start):
    """The child reads nothing: the thread's write ends with the child, and is no reason to wait for ever."""
    child = start(DEAF)
    os.read(child.output, 2)
    failures = []

    def send() -> None:
        try:
            child.send(b"x" * 1_000_000)
        except BrokenPipeError as error:
            failures.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.1)
    child.stop(0.2)
    thread.join(10)
    assert child.exit_code == 137 and len(failures) == 1


def test_end_kills_what_the_child_left(start):
    child = start(f"import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', {DEAF!r}])")
    os.read(child.output, 2)
    group = os.getpgid(child.process)
    assert child.wait(10) == 0 and len(living(group)) == 2
    child.end()
    assert not living(group)
    child.end()
    child.signal(signal.SIGKILL)


@pytest.mark.parametrize("watcher", ["sh", "python"])
def test_killed_parent(watcher):
    """kill -9 of this process: a child that ignores the end of its input and every signal that can be ignored does not outlive it."""
    parent = subprocess.Popen([*PYTHON[:2], "-c", PARENT, watcher], stdout=subprocess.PIPE)
    group = int(parent.stdout.readline())
    assert len(living(group)) == 3
    parent.kill()
    parent.communicate()
    assert living(group), "there is some time for the end of input"
    gone(group, 15)


def test_killed_group_of_the_parent(start):
    """A client may kill Gait's whole process group: the watcher is not in it."""
    parent = subprocess.Popen([*PYTHON[:2], "-c", PARENT, "sh"], stdout=subprocess.PIPE, start_new_session=True)
    group = int(parent.stdout.readline())
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate()
    gone(group, 15)


def test_signals_have_their_defaults(start):
    child = start("import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)")
    assert output(child) == b"True\n"
    with open("/proc/self/status") as file:
        if "SigIgn" not in file.read():
            pytest.skip("no /proc")
    child = process.start(["cat", "/proc/self/status"], os.environ)
    ignored = int(output(child).decode().partition("SigIgn:")[2].split()[0], 16)
    child.end()
    os.close(child.output)
    assert not ignored & (1 << signal.SIGPIPE - 1), "as Python's own parent, not as Python, which ignores it"


def test_environment_and_path(start, tmp_path, monkeypatch):
    program = tmp_path / "my-server"
    program.write_text(f"#!{sys.executable} -IS\nimport os; print(sorted(os.environ))\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    child = process.start(["my-server"], {"ONLY": "this"})
    assert b"'ONLY'" in (said := output(child)) and b"PATH" not in said
    child.end()
    os.close(child.output)


@pytest.mark.parametrize("argv", [["/not/there"], ["not-in-path"], ["/etc"], ["nul\0byte"]])
def test_what_cannot_be_started(argv):
    before = descriptors()
    with pytest.raises(MissingDependency) as caught:
        process.start(argv, {})
    assert caught.value.where == argv[0] and caught.value.exit_code == 7
    assert descriptors() == before
    assert not [row for row in processes() if row[1] == os.getpid() and row[3].startswith("Z")], "the watcher is reaped"


def test_no_watcher(monkeypatch):
    before = descriptors()
    monkeypatch.setattr(process, "_WATCHERS", (("/not/there",), ("false",)))
    with pytest.raises(GaitError) as caught:
        process.start(["true"], {})
    assert caught.value.error_code == "no_watcher" and descriptors() == before


def test_many_children_leave_no_descriptor(start):
    before = descriptors()
    for _ in range(10):
        child = process.start(["true"], os.environ)
        assert output(child) == b"" and child.wait(10) == 0
        child.end()
        os.close(child.output)
    assert descriptors() == before


def test_the_child_inherits_no_descriptor_of_gait(start, tmp_path):
    listed = "import os; print(sorted(map(int, os.listdir('/dev/fd'))))"
    others = subprocess.run([*PYTHON, listed], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, close_fds=False).stdout
    with open(tmp_path / "file", "w"):
        assert output(start(listed)) == others
