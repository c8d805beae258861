"""Waiting for descriptors: what can be watched, and how long is looked before sleep."""

from __future__ import annotations

import os
import socket
import time

import pytest
from gait.system import readiness

pytestmark = pytest.mark.skipif(not readiness.IS_POSSIBLE, reason="this system has no epoll: nothing is looked at")


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        os.close(fd)


def test_what_has_come_is_told_at_once(pipe):
    with readiness.watch(pipe[0]) as poll:
        os.write(pipe[1], b"x")
        assert [fd for fd, _ in readiness.look(poll)] == [pipe[0]]


@pytest.mark.parametrize("is_alone", [True, False])
def test_nothing_is_told_after_a_moment(is_alone, monkeypatch):
    """On one processor not even that: whoever is awaited could not run meanwhile."""

    class Poll:
        asked = 0

        def poll(self, seconds):
            assert seconds == 0
            self.asked += 1
            return []

    monkeypatch.setattr(readiness, "_has_one_processor", is_alone)
    poll, began = Poll(), time.monotonic()
    assert readiness.look(poll) == []
    took = time.monotonic() - began
    assert poll.asked == 1 if is_alone else took >= readiness._MOMENT_SECONDS


def test_a_file_cannot_be_watched(pipe, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with open(tmp_path / "x", "wb") as file:
        assert readiness.watch(pipe[0], file.fileno()) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_epoll_nothing_is_watched(pipe, monkeypatch):
    monkeypatch.setattr(readiness, "IS_POSSIBLE", False)
    assert readiness.watch(pipe[0]) is None


def test_where_writable_means_room_for_a_message(pipe, tmp_path):
    one, two = socket.socketpair()
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    primary, secondary = os.openpty()
    with one, two, small, open(tmp_path / "x", "wb") as file, open(os.devnull, "wb") as null:
        told = {what.fileno(): readiness.tells_room(what.fileno()) for what in (one, small, file, null)}
        assert list(told.values()) == [True, False, True, True]
        assert one.fileno() in told and one.getsockname() == ""  # it is still open
    assert readiness.tells_room(pipe[1]) and not readiness.tells_room(secondary)
    os.close(primary)
    os.close(secondary)
