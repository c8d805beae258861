"""N processes on one listening socket, each with a chain of its own; the parent starts them again when they die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from ..formats.documents import TYPE_CHECKING, NamedTuple
from .log import place_of, say

if TYPE_CHECKING:
    import socket

_POLL_SECONDS = 0.05
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 10.0  # a worker that lived so long had started well
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Worker(NamedTuple):
    """A worker that runs, or (`process` 0) waits for its next start at `at`; `failures` in a row led there."""

    process: int
    at: float
    failures: int = 0


def run(count: int, sock: socket.socket, work: Callable[[int, socket.socket], int]) -> int:
    """Fork `count` workers that run `work(number, sock)` until a signal ends them all: 0 when all ended well.

    When none can start, the exit code of the last one.  POSIX only.
    """
    return _Parent(sock, work).run(count)


class _Parent:
    def __init__(self, sock: socket.socket, work: Callable[[int, socket.socket], int]) -> None:
        self._sock = sock
        self._work = work
        self._workers: dict[int, Worker] = {}
        self._is_stopping = False
        self._code = 0

    def run(self, count: int) -> int:
        """See the module's `run`."""
        for number in _SIGNALS:
            signal.signal(number, self._relay if number == getattr(signal, "SIGHUP", 0) else self._stop)
        self._workers = {number: Worker(0, 0.0) for number in range(1, count + 1)}
        while self._workers:
            for number, worker in list(self._workers.items()):
                self._care(number, worker)
            time.sleep(_POLL_SECONDS)
        return self._code

    def _care(self, number: int, worker: Worker) -> None:
        if worker.process:
            process, status = os.waitpid(worker.process, os.WNOHANG)
            if process:
                self._ended(number, worker, status)
        elif self._is_stopping:
            del self._workers[number]
        elif time.monotonic() >= worker.at:
            self._start(number, worker.failures)

    def _start(self, number: int, failures: int) -> None:
        """Fork.  Signals wait meanwhile: the child must not act on them as its parent would."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        process = os.fork()
        if not process:
            self._be_worker(number)
        self._workers[number] = Worker(process, time.monotonic(), failures)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _be_worker(self, number: int) -> None:
        """The child's whole life: it never returns into the parent's loop."""
        code = 1
        try:
            for name in _SIGNALS:
                signal.signal(name, signal.SIG_DFL if name == signal.SIGTERM else signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            code = self._work(number, self._sock)
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            say("worker_failed", worker=number, error=str(error), **place_of(error))
        finally:
            os._exit(code)

    def _ended(self, number: int, worker: Worker, status: int) -> None:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        if self._is_stopping:
            del self._workers[number]
            if code not in (0, -signal.SIGTERM):  # by SIGTERM itself: it had not yet begun
                self._code = self._code or (code if code > 0 else 1)
            return
        steady = time.monotonic() - worker.at >= _STEADY_SECONDS
        failures = 1 if steady else worker.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
        self._workers[number] = Worker(0, time.monotonic() + pause, failures)
        say("worker_ended", worker=number, exit_code=code, restart_seconds=pause)
        if code > 0 and not any(other.process for other in self._workers.values()):
            self._is_stopping, self._code = True, code  # the policy, the keys or the disk: none can start

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The first signal asks the workers to finish, the second ends them at once."""
        self._tell(signal.SIGKILL if self._is_stopping else signal.SIGTERM)
        if self._is_stopping:
            os._exit(1)
        self._is_stopping = True

    def _relay(self, number: int, frame: FrameType | None) -> None:
        self._tell(number)

    def _tell(self, number: int) -> None:
        for worker in list(self._workers.values()):
            if worker.process:
                try:
                    os.kill(worker.process, number)
                except ProcessLookupError:
                    pass  # it ended, and waits to be asked how
