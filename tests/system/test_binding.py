"""Addresses, and what happens to a name in the file system that is taken."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest
from gait.errors import InvalidInput, StorageError
from gait.system import binding
from gait.system.binding import Address


@pytest.mark.parametrize(
    "text, expected",
    [
        *[("127.0.0.1:8787", Address("127.0.0.1", 8787)), ("localhost:0", Address("localhost", 0)), ("[::1]:65535", Address("::1", 65535))],
        *[("unix:/run/gait.sock", Address(path="/run/gait.sock")), ("host.example:1", Address("host.example", 1))],
    ],
)
def test_addresses(text, expected):
    assert binding.read_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":8787", "8787", "localhost", "localhost:", "localhost:x", "a:65536", "::1:80", "[::1]", "unix:", "unix:rel", "unix:/a\0b", "a b:1", "http://a:1", "a:1\n"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(InvalidInput) as caught:
        binding.read_address(text)
    assert caught.value.error_code == "invalid_address"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "127.1", "2130706433", "::ffff:127.0.0.1", "[::1]"])
def test_loopback(host):
    assert binding.is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "128.0.0.1", "1270.0.0.1"])
def test_not_loopback(host):
    assert not binding.is_loopback(host)


def test_tcp():
    bound = binding.bind(Address("localhost", 0), 5)
    try:
        assert bound.socket.getsockname()[0] == "127.0.0.1"
        assert binding.name(bound.socket) == "127.0.0.1:%d" % bound.socket.getsockname()[1]
        with pytest.raises(StorageError) as caught:
            binding.bind(Address(*bound.socket.getsockname()), 5)
        assert caught.value.error_code == "address_in_use" and not caught.value.retryable
    finally:
        binding.release(bound)
    assert bound.socket.fileno() == -1


def test_ipv6():
    try:
        bound = binding.bind(Address("::1", 0), 5)
    except StorageError:
        pytest.skip("no IPv6 here")
    assert binding.name(bound.socket).startswith("[::1]:")
    binding.release(bound)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_here(host, asks_elsewhere):
    with pytest.raises(StorageError) as caught:
        binding.bind(Address(host, 0), 5)
    assert caught.value.error_code == "address_unusable" and "cannot listen" in str(caught.value)


# --- Unix sockets ------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s")


def unix(path: str) -> binding.Bound:
    return binding.bind(Address(path=path), 5)


def test_a_unix_socket_is_private_and_removed(path):
    umask = os.umask(0)
    try:
        bound = unix(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600 and binding.name(bound.socket) == f"unix:{path}"
    binding.release(bound)
    assert os.listdir(os.path.dirname(path)) == []


def test_a_stale_socket_is_replaced(path):
    unix(path).socket.close()
    assert os.path.exists(path)
    binding.release(unix(path))


def test_a_live_socket_is_not(path):
    bound = unix(path)
    with pytest.raises(StorageError) as caught:
        unix(path)
    assert caught.value.error_code == "address_in_use" and caught.value.where == f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    binding.release(bound)


def test_a_live_socket_with_a_full_backlog_is_not(path):
    bound = binding.bind(Address(path=path), 0)
    clients = []
    for _ in range(4):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        clients.append(client)
        try:
            client.connect(path)
        except OSError:
            break
    with pytest.raises(StorageError):
        unix(path)
    [client.close() for client in clients]
    binding.release(bound)


@pytest.mark.parametrize("kind", ["file", "folder", "fifo", "link to a file", "link to a stale socket", "broken link"])
def test_nothing_else_is_ever_replaced(kind, path, tmp_path):
    other = tmp_path / "other"
    if kind == "file":
        Path(path).write_text("precious")
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        if kind == "link to a file":
            other.write_text("precious")
        elif kind == "link to a stale socket":
            unix(str(other)).socket.close()
        os.symlink(other, path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(StorageError) as caught:
        unix(path)
    assert caught.value.error_code == "address_unusable" and sorted(os.listdir(tmp_path)) == before


def test_a_socket_that_another_server_has_put_there_stays(path):
    bound = unix(path)
    os.unlink(path)
    other = unix(path)
    binding.release(bound)
    assert os.path.exists(path)
    os.unlink(path)
    binding.release(other)


@pytest.mark.parametrize("path", ["/no/such/folder/s", "/tmp/" + "x" * 200])
def test_a_path_that_cannot_be(path):
    with pytest.raises(StorageError):
        unix(path)


def test_a_folder_that_stays_locked(path, monkeypatch):
    import fcntl

    monkeypatch.setattr(binding, "_LOCK_SECONDS", 0.05)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(StorageError) as caught:
        unix(path)
    os.close(folder)
    assert caught.value.error_code == "address_in_use"


def test_of_many_that_start_at_once_one_wins(path):
    unix(path).socket.close()
    won, lost = [], []

    def start() -> None:
        try:
            won.append(unix(path))
        except StorageError as error:
            lost.append(error.error_code)

    threads = [threading.Thread(target=start) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(won) == 1 and lost == ["address_in_use"] * 7
    binding.release(won[0])
