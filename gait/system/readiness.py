"""Waiting for descriptors, awake for a moment before asleep.

A thread that has slept is slow: its processor must be woken, a virtual one by its host, and its caches are cold.  That costs a decision
a quarter of its time, where one client sends one request after the other.
"""

from __future__ import annotations

import os
import select
import stat
from time import monotonic
from typing import Union

Poll = Union["select.epoll", "select.poll"]
IS_POSSIBLE = hasattr(select, "epoll")
_MOMENT_SECONDS = 0.0001
_LEAST_BUFFER = 1 << 15
# On one processor, whoever is awaited could not run meanwhile.
_has_one_processor = (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) == 1


def watch(*descriptors: int) -> select.epoll | None:
    """What tells that one of them can be read; None where it cannot: a file, or a system without epoll."""
    if not IS_POSSIBLE:
        return None
    poll = select.epoll()
    try:
        for fd in descriptors:
            poll.register(fd, select.EPOLLIN)
    except OSError:
        poll.close()
        return None
    return poll


def tells_room(fd: int) -> bool:
    """Whether what the system calls writable takes PIPE_BUF bytes without waiting: not a terminal, nor a socket with a small buffer."""
    status = os.fstat(fd)
    if stat.S_ISSOCK(status.st_mode):
        import socket

        with socket.socket(fileno=os.dup(fd)) as sock:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= _LEAST_BUFFER
    return not stat.S_ISCHR(status.st_mode) or os.path.samestat(status, os.stat(os.devnull))


def look(poll: Poll) -> list[tuple[int, int]]:
    """What has come (as `poll.poll` gives it), or comes within 0.1 ms; other threads of this process may run meanwhile."""
    found = poll.poll(0)
    if found or _has_one_processor:
        return found
    deadline = monotonic() + _MOMENT_SECONDS
    while not found and monotonic() < deadline:
        found = poll.poll(0)
    return found
