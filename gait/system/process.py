"""A child process with pipes, in a process group of its own that ends when this process does, however it does (POSIX).

Invariant: no signal ever reaches a process of another group.  The group's first member is a watcher, whose number stands for
the group until `end`; it waits for the end of a pipe that only this process holds, and kills the group, itself included.
Limits: a process that leaves the group (a daemon, `setsid`) is not followed, and who kills the watcher too leaves the child
to the end of its standard input.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from ..errors import GaitError, MissingDependency
from ..formats.documents import NamedTuple

_TERM_SECONDS = 2.0  # between SIGTERM and SIGKILL
_LEFT_SECONDS = 0.05  # the same, for what a child that has ended leaves behind
# Each says when it is deaf to those signals, and gives the child a second for the end of its input, and one for SIGTERM.
_WATCHERS = (
    ("/bin/sh", "-c", 'trap "" HUP INT TERM; echo; exec >&2; read -r _; sleep 1; kill -s TERM 0; sleep 1; kill -s KILL 0', "gait-watcher"),
    (
        *(sys.executable, "-I", "-S", "-c"),
        "import os, signal, time\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "os.write(1, b'\\n'); os.dup2(2, 1); os.read(0, 1)\ntime.sleep(1); os.kill(0, 15); time.sleep(1); os.kill(0, 9)",
    ),
)


class _Group(NamedTuple):
    """A process group: its number, which is its watcher's, and the descriptor that keeps the watcher waiting."""

    number: int
    life: int


class Child:
    """A process that has been started.  `output` is the descriptor of its standard output; its standard error is ours."""

    def __init__(self, group: _Group, process: int, stdin: int, stdout: int) -> None:
        self._group = group
        self._has_ended = False
        self._stdin = stdin
        self._sending = Lock()
        self.process = process
        self.output = stdout
        self.exit_code: int | None = None

    def send(self, data: bytes, before_waiting: Callable[[], None] | None = None) -> None:
        """Write all of it to the child's standard input, as slowly as the child reads.  BrokenPipeError: it is closed."""
        with self._sending:
            if self._stdin < 0:
                raise BrokenPipeError("the child's standard input is closed")
            write(self._stdin, data, before_waiting)

    def close_input(self, seconds: float = -1) -> None:
        """End the child's standard input, once what is being sent is sent; after `seconds` of waiting for that, do nothing."""
        if self._sending.acquire(timeout=seconds):
            try:
                if self._stdin >= 0:
                    os.close(self._stdin)
                    self._stdin = -1
            finally:
                self._sending.release()

    def signal(self, number: int) -> None:
        """Send a signal to the child and its own children."""
        if not self._has_ended:
            try:
                os.killpg(self._group.number, number)
            except OSError:
                pass  # ProcessLookupError, and macOS' PermissionError for a group of zombies

    def poll(self) -> int | None:
        """The exit code, 128 + N when signal N ended it, None while it runs."""
        if self.exit_code is None:
            self.exit_code = _reap(self.process)
        return self.exit_code

    def wait(self, seconds: float) -> int | None:
        """What `poll` gives as soon as it is an exit code, or after this time."""
        deadline = time.monotonic() + seconds
        pause = 0.001
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return self.exit_code

    def stop(self, grace_seconds: float) -> None:
        """End it as MCP's stdio transport says: its input's end, and after the grace SIGTERM, then SIGKILL."""
        deadline = time.monotonic() + grace_seconds
        self.close_input(grace_seconds)
        if self.wait(max(0.0, deadline - time.monotonic())) is None:
            self.signal(signal.SIGTERM)
            if self.wait(_TERM_SECONDS) is None:
                self.signal(signal.SIGKILL)
                self.wait(_TERM_SECONDS)

    def end(self) -> None:
        """Kill what is left of the group, and close the pipes but the child's output, which may be being read."""
        if self._has_ended:
            return
        self.signal(signal.SIGTERM)
        self.wait(_TERM_SECONDS if self.exit_code is None else 0)
        time.sleep(_LEFT_SECONDS)
        self.signal(signal.SIGKILL)
        self._has_ended = True  # from here on, the number may become another's
        self.wait(_TERM_SECONDS)
        _let_go(self._group)
        self.close_input(_LEFT_SECONDS)


def start(argv: Sequence[str], env: Mapping[str, str], stderr: int = 2) -> Child:
    """Start a program, looked up in this process's PATH.  MissingDependency: there is none, or it cannot be run."""
    pipes: list[int] = []
    group = _start_group()
    try:
        pipes += [*os.pipe(), *os.pipe()]
        process = _spawn(argv, env, pipes[0], pipes[3], group.number, stderr)
    except (OSError, ValueError) as error:
        _close(*pipes)
        _abandon(group)
        reason = getattr(error, "strerror", None) or str(error)
        hint = "give a program that is installed, by its path or by a name in PATH"
        raise MissingDependency(f"cannot be started: {reason}", where=argv[0], hint=hint, code="command_not_started") from error
    _close(pipes[0], pipes[3])
    return Child(group, process, pipes[1], pipes[2])


def ask(argv: Sequence[str], env: Mapping[str, str], data: bytes, seconds: float, max_bytes: int) -> bytes:
    """What a program answers on standard output to at most 16 KiB on standard input; its standard error is thrown away.

    GaitError: it took longer, said more, failed, or could not be started.  Nothing of it is left running.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        child = start(argv, env, null)
    finally:
        os.close(null)
    try:
        return _answer(child, data, time.monotonic() + seconds, max_bytes)
    finally:
        child.signal(signal.SIGKILL)
        child.end()
        os.close(child.output)


def _answer(child: Child, data: bytes, deadline: float, max_bytes: int) -> bytes:
    try:
        child.send(data)
    except BrokenPipeError:
        pass  # it may answer without having read
    child.close_input()
    answer = b""
    while True:
        if not select.select([child.output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise GaitError("expected an answer in time, got none", code="command_timeout")
        chunk = os.read(child.output, max_bytes + 1 - len(answer))
        answer += chunk
        if len(answer) > max_bytes:
            raise GaitError(f"expected an answer of at most {max_bytes} bytes, got more", code="command_answer_too_large")
        if not chunk:
            break
    code = child.wait(deadline - time.monotonic())
    if code is None:
        raise GaitError("expected it to end in time", code="command_timeout")
    if code:
        raise GaitError(f"expected exit code 0, got {code}", code="command_failed")
    return answer


def write(fd: int, data: bytes, before_waiting: Callable[[], None] | None = None) -> None:
    """Write all of it to a blocking descriptor.  `before_waiting` is called once what is left has to wait for the reader."""
    left = memoryview(data)
    if before_waiting:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        while left and poll.poll(0):  # then there is room for PIPE_BUF bytes
            left = left[os.write(fd, left[: select.PIPE_BUF]) :]
        if left:
            before_waiting()
    while left:
        left = left[os.write(fd, left) :]


def _start_group() -> _Group:
    """A group with a watcher that is ready.  GaitError: this system has no program for one."""
    for argv in _WATCHERS:
        ears, life, ready, voice, null = *os.pipe(), *os.pipe(), os.open(os.devnull, os.O_RDWR)
        try:
            number = _spawn(argv, {"PATH": "/bin:/usr/bin"}, ears, voice, 0, null)
        except OSError:
            _close(ears, life, ready, voice, null)
            continue
        _close(ears, voice, null)
        is_ready = bool(os.read(ready, 1))
        os.close(ready)
        if is_ready:
            return _Group(number, life)
        _abandon(_Group(number, life))
    raise GaitError("the watcher of the child's processes could not be started", where="/bin/sh", hint="see the system's limits", code="no_watcher")


def _spawn(argv: Sequence[str], env: Mapping[str, str], stdin: int, stdout: int, group: int, stderr: int = 2) -> int:
    """The number of a new process in `group`, or with 0 in one of its own.  Descriptors of Gait's own are not inherited."""
    streams = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((stdin, stdout, stderr))]
    # Python ignores these two; a program that is started expects what the system does by default.
    default = [signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawnp(argv[0], list(argv), env, file_actions=streams, setpgroup=group, setsigdef=default)


def _abandon(group: _Group) -> None:
    """Kill a group in which nothing but the watcher is left."""
    try:
        os.kill(group.number, signal.SIGKILL)
    except OSError:
        pass  # it has ended
    _let_go(group)


def _let_go(group: _Group) -> None:
    """Reap the watcher, which has been killed."""
    os.close(group.life)
    _wait(group.number)


def _wait(process: int) -> None:
    try:
        os.waitpid(process, 0)
    except ChildProcessError:
        pass  # whoever ignores SIGCHLD has no zombies


def _reap(process: int) -> int | None:
    try:
        found, status = os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return 1
    if not found:
        return None
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _close(*descriptors: int) -> None:
    for fd in descriptors:
        os.close(fd)
