"""Nothing of the suite leaves this host: an audit hook for pytest's own process, and a network of its own for every process.

The hook sees each connection, datagram and name that this process asks for, also what a library does.  It cannot see children, which run
isolated; so with GAIT_NETWORK=none (`make test-isolated`, Linux, root) the whole run gets a network namespace that has only a loopback, and the
kernel counts every packet that would have left it: there must be none.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
import sys
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_ADDRESSED = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
_NAMES = frozenset(("localhost", "", "0.0.0.0", "::"))

left: list[str] = []  # what was asked for and is not of this host


def is_here(host: object) -> bool:
    """True for this host: a loopback address, a name that stands for one, a path of a Unix socket, or nothing."""
    if host is None or isinstance(host, int):
        return True
    text = host.decode("utf-8", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text.lower() in _NAMES
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


def _is_number(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def hook(event: str, args: tuple) -> None:
    """For sys.addaudithook.  PermissionError, an OSError as an unreachable network would give: it is not of this host."""
    if event in _ADDRESSED:
        address = args[_ADDRESSED[event]]
        if isinstance(address, tuple) and not is_here(address[0]):
            _leave(f"{event} {address!r}")
    elif event == "socket.getaddrinfo" and not is_here(args[0]) and not _is_number(args[0]):
        _leave(f"{event} {args[0]!r}")


def _leave(what: str) -> None:
    left.append(what)
    raise PermissionError(f"tests stay on this host: {what}")


def watch() -> None:
    """From here on, for the life of the process."""
    sys.addaudithook(hook)


# --- a network namespace -------------------------------------------------------------------------


def isolate() -> None:
    """Put this process and its children into a network with nothing but a loopback.  OSError: the system does not allow it."""
    import fcntl
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(struct.pack("16sh14x", b"lo", 0))
        fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from("h", request, 16)[0]
        struct.pack_into("h", request, 16, flags | _IFF_UP)
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)


def unrouted() -> int:
    """How many packets of this network namespace had no way to go: the kernel counts each that was meant for another host."""
    lines = Path("/proc/self/net/snmp").read_text().splitlines()
    names, values = next(pair for pair in zip(lines, lines[1:]) if pair[0].startswith("Ip: "))
    ip4 = dict(zip(names.split(), values.split()))["OutNoRoutes"]
    ip6 = dict(line.split() for line in Path("/proc/self/net/snmp6").read_text().splitlines())["Ip6OutNoRoutes"]
    return int(ip4) + int(ip6)
