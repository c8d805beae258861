"""N processes on one listening socket, each with a chain of its own; the parent starts them again when they die."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

from .server import say

_RESTART_SECONDS = 1.0


def run(count: int, sock: socket.socket, work: Callable[[int, socket.socket], int]) -> int:
    """Fork `count` workers that run `work(number, sock)` until a signal ends them all.  POSIX only."""
    parent = _Parent(sock, work)
    for number in range(1, count + 1):
        parent.start(number)
    return parent.wait()


class _Parent:
    def __init__(self, sock: socket.socket, work: Callable[[int, socket.socket], int]) -> None:
        self._sock = sock
        self._work = work
        self._workers: dict[int, int] = {}
        self._is_stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))

    def start(self, number: int) -> None:
        """Fork one worker."""
        process = os.fork()
        if process:
            self._workers[process] = number
            return
        code = 1
        try:
            code = self._work(number, self._sock)
        except BaseException as error:  # a worker must never return into the parent's loop
            say("worker_failed", worker=number, error=str(error))
            code = getattr(error, "exit_code", 1)
        finally:
            os._exit(code)

    def wait(self) -> int:
        """The worst exit code of the workers that ended by the signal, 0 when all ended well."""
        worst, failures = 0, 0
        while self._workers:
            process, status = os.waitpid(-1, 0)
            number = self._workers.pop(process, 0)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
            if self._is_stopping or code not in (0, 1):
                worst = max(worst, code)
                self._end(code)
                continue
            failures += 1
            say("worker_restarted", worker=number, exit_code=code)
            time.sleep(_RESTART_SECONDS)
            if not self._is_stopping:
                self.start(number)
        return worst

    def _end(self, code: int) -> None:
        """A worker that could not start (bad policy, journal, key) ends them all: restarting would not help."""
        if not self._is_stopping:
            self._stop()

    def _stop(self, *_: object) -> None:
        self._is_stopping = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for process in list(self._workers):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass
