"""Addresses to listen on, TCP and Unix, and the sockets bound to them."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from typing import NamedTuple

from ..errors import InvalidInput, StorageError
from ..formats import hosts

_TCP = re.compile(r"(\[[^\[\]]+\]|[^\[\]:/@\s]+):([0-9]{1,5})").fullmatch
_LOOPBACK_V4 = re.compile(r"127(\.[0-9]{1,3}){3}").fullmatch
_LOCK_SECONDS = 2.0


class Address(NamedTuple):
    """Where to listen: a host and a port (0: any free one), or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""


class Bound(NamedTuple):
    """A listening socket, and what to remove when it is done with: a socket file with its (device, inode)."""

    socket: socket.socket
    path: str = ""
    identity: tuple[int, int] = (0, 0)


def read_address(text: str) -> Address:
    """`host:port`, `[v6]:port` or `unix:/path`.  InvalidInput: anything else, `:port` included, which could mean every interface."""
    if text.startswith("unix:/") and "\0" not in text:
        return Address(path=text[5:])
    found = _TCP(text)
    if found and int(found[2]) <= 65535:
        return Address(found[1].strip("[]"), int(found[2]))
    message = f"expected host:port, [IPv6]:port or unix:/path, got {text[:80]!r}"
    raise InvalidInput(message, where="address", hint="for example 127.0.0.1:8787", code="invalid_address")


def is_loopback(host: str) -> bool:
    """True for this machine's own addresses (127.0.0.0/8, ::1, localhost) and no name that only looks like them."""
    name = hosts.canonical(host)
    return name in ("localhost", "::1") or _LOOPBACK_V4(name) is not None


def bind(address: Address, backlog: int) -> Bound:
    """Listen.  StorageError `address_in_use`: somebody else does; `address_unusable`: the system refuses it.

    A Unix socket gets mode 0600.  A stale one in its place is replaced; nothing else ever is.
    """
    try:
        return _bind_unix(address.path, backlog) if address.path else Bound(_bind_tcp(address, backlog))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise _unusable(address, reason) from error


def release(bound: Bound) -> None:
    """Close the socket, and remove its file if it still is that one."""
    bound.socket.close()
    if bound.path and _identity(bound.path) == bound.identity:
        os.unlink(bound.path)


def name(sock: socket.socket) -> str:
    """The address of a listening socket as `read_address` takes it."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"unix:{os.fsdecode(sock.getsockname())}"
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_tcp(address: Address, backlog: int) -> socket.socket:
    host = "127.0.0.1" if hosts.canonical(address.host) == "localhost" else address.host  # whatever /etc/hosts says
    family, kind, protocol, _, place = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: str, backlog: int) -> Bound:
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(folder, path)  # two servers that start at once must not replace each other's socket
        _remove_stale(path)
        return _bind_free(path, backlog)
    finally:
        os.close(folder)


def _bind_free(path: str, backlog: int) -> Bound:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, 0o600)  # nobody can connect before it listens
        sock.listen(backlog)
        return Bound(sock, path, _identity(path))
    except BaseException:
        sock.close()
        raise


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _unusable(Address(path=path), "expected a free name or a stale socket, got something else")
    if _is_listening(path):
        raise _unusable(Address(path=path), "another process listens there", "address_in_use")
    os.unlink(path)


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:  # a full backlog, or another user's socket: not ours to remove
            return True
    return True


def _lock(folder: int, path: str) -> None:
    from fcntl import LOCK_EX, LOCK_NB, flock

    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return flock(folder, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _unusable(Address(path=path), "another process holds a lock on the folder", "address_in_use") from None
        time.sleep(0.01)


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _unusable(address: Address, reason: str, code: str = "") -> StorageError:
    import errno

    if not code:
        code = "address_in_use" if reason == os.strerror(errno.EADDRINUSE) else "address_unusable"
    where = f"unix:{address.path}" if address.path else f"{address.host}:{address.port}"
    error = StorageError(f"cannot listen: {reason}", where=where, hint="choose another address, or stop what uses this one", code=code)
    error.retryable = False
    return error
