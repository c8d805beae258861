"""`gait mcp lock`: pin the tool definitions of a server in gait.lock, and say in words what has changed since."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Mapping

from .. import __version__
from ..errors import InvalidInput, MissingDependency, StorageError, VerificationFailed
from ..formats import strict_json
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..mcp import lock as locks
from ..mcp.catalog import next_cursor
from ..mcp.changes import Change, compare, describe
from ..mcp.lines import Lines
from ..mcp.listing import list_tools, pinned_tools, tools_of
from ..mcp.lock import Lock, Pinned, ServerLock
from ..system import clock, files
from . import shared

if TYPE_CHECKING:
    from ..system.process import Child

SUMMARY = "pin a server's tool definitions, or say what has changed"
EXAMPLE = "gait mcp lock --server-name files -- npx -y @modelcontextprotocol/server-filesystem /work"
MAX_BYTES = 16 * 1024 * 1024  # of all that a server writes
_MAX_LINES = 200
_MAX_REQUESTS = 100  # of the server's own that are answered: their answers fit into a pipe that nobody reads
_GRACE_SECONDS = 1.0
_MAX_SECONDS = 3600
_HINT = "when each of these is wanted, run the same command with --accept"


class _Found(NamedTuple):
    """The lock file as it was read; `data` is None when there was none."""

    path: str
    data: bytes | None
    lock: Lock


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("--lock", default="gait.lock", metavar="FILE", help="the lock file (default gait.lock)")
    parser.add_argument("--server-name", default="", metavar="NAME", help="the server's name in the lock (default 'default')")
    parser.add_argument("--accept", action="store_true", help="write what the server lists now, after showing what has changed")
    parser.add_argument("--from", dest="listed", metavar="FILE", help="read a saved tools/list result in place of asking a server; - is standard input")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long the server may take in all (default 60)")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="after --: the server's command and its arguments")


def run(args: argparse.Namespace) -> int:
    """Pin, compare or accept: exit code 0, or 2 when the server does not list what is pinned."""
    name = locks.server_name(args.server_name)
    found = _read(args.lock)
    tools = pinned_tools(fetch(args))
    if name not in found.lock.servers:
        _write(found, found.lock.with_server(ServerLock(name, tools)))
        return _answer(args, name, "pinned", tools, [])
    changes = compare(found.lock.of(name), tools)
    if changes and args.accept:
        _write(found, found.lock.with_server(ServerLock(name, tools)))
    return _answer(args, name, ("accepted" if args.accept else "changed") if changes else "unchanged", tools, changes)


def fetch(args: argparse.Namespace) -> list[object]:
    """The tool definitions that the options lead to."""
    if bool(args.listed) == bool(args.command):
        hint = f"for example: {EXAMPLE}"
        raise InvalidInput("expected one of --from FILE and -- COMMAND", where="gait mcp lock", hint=hint, code="invalid_usage")
    if not 0 < args.timeout <= _MAX_SECONDS:
        raise InvalidInput(f"expected up to {_MAX_SECONDS} seconds, and more than none, got {args.timeout}", where="--timeout", code="invalid_usage")
    return _saved(args.listed) if args.listed else _ask_command(args.command, args.timeout)


def _read(path: str) -> _Found:
    if not os.path.lexists(path):
        return _Found(path, None, Lock({}))
    data = files.read_bounded(path, locks.MAX_BYTES, "a lock")
    return _Found(path, data, locks.loads(data, path))


def _write(found: _Found, lock: Lock) -> None:
    """Write the lock, if the file is still the one that was read: another's edit must not be lost unseen."""
    if _read(found.path).data != found.data:
        raise StorageError("the lock was changed meanwhile", where=found.path, hint="run the command again", code="lock_changed")
    files.write_atomic(found.path, locks.dumps(lock), 0o644, sync=True)


def _answer(args: argparse.Namespace, name: str, status: str, tools: Mapping[str, Pinned], changes: list[Change]) -> int:
    value: dict[str, object] = {"ok": True}
    if status == "changed":
        value = VerificationFailed(_headline(args, name, status, tools, changes), hint=_HINT, code="tools_changed").to_value()
    value.update(status=status, lock=args.lock, server=name, tools=len(tools), changes=[change.to_value() for change in changes])
    shared.emit(args, value, _lines(args, name, status, tools, changes))
    return VerificationFailed.exit_code if status == "changed" else 0


def _lines(args: argparse.Namespace, name: str, status: str, tools: Mapping[str, Pinned], changes: list[Change]) -> list[str]:
    about = [describe(pinned) for pinned in tools.values()] if status == "pinned" else [line for change in changes for line in change.lines()]
    lines = [shared.plain(line) for line in about[:_MAX_LINES]]
    lines += [f"and {len(about) - _MAX_LINES} more lines"] if len(about) > _MAX_LINES else []
    label = shared.colored("error", "NOT AS PINNED", sys.stdout) if status == "changed" else shared.colored("ok", "ok", sys.stdout)
    lines.append(f"{label}: {shared.plain(_headline(args, name, status, tools, changes))}")
    return [*lines, f"hint: {_HINT}"] if status == "changed" else lines


def _headline(args: argparse.Namespace, name: str, status: str, tools: Mapping[str, Pinned], changes: list[Change]) -> str:
    where = f"server {name!r} in {args.lock}"
    if status == "changed":
        return f"{_count(changes)} not as pinned for {where}; calls of what has changed are blocked"
    if status == "accepted":
        return f"accepted {_count(changes)} that had changed for {where}; {len(tools)} pinned now"
    return f"{_count(tools)} {'pinned' if status == 'pinned' else 'as pinned'} for {where}"


def _count(things: list[Change] | Mapping[str, Pinned]) -> str:
    return "1 tool" if len(things) == 1 else f"{len(things)} tools"


def _saved(path: str) -> list[object]:
    """The tools of a saved tools/list result, or of the whole response."""
    source = shared.source_name(path)
    value = strict_json.loads_object(shared.read_input(path, MAX_BYTES, "a tools/list result"), source)
    inside = value.get("result", value)
    result: dict[str, object] = inside if isinstance(inside, dict) else {}
    if next_cursor(result) != "":
        hint = "save all pages as one list of tools, without nextCursor"
        raise InvalidInput("expected a whole tools/list, got one page of it", where=source, hint=hint, code="tools_list_invalid")
    return tools_of(result)


def _ask_command(command: list[str], seconds: float) -> list[object]:
    from ..system import process

    child = process.start(command, os.environ)
    try:
        server = _StdioServer(child, command[0], clock.monotonic() + seconds)
        return list_tools(server.ask, server.notify, __version__)
    finally:
        child.stop(_GRACE_SECONDS)
        child.end()
        os.close(child.output)


class _StdioServer:
    """One server behind pipes, asked one thing at a time, bounded in time and bytes."""

    def __init__(self, child: Child, name: str, deadline: float) -> None:
        self._child = child
        self._name = name
        self._deadline = deadline
        self._lines = Lines(MAX_BYTES)
        self._waiting: list[bytes] = []
        self._left = MAX_BYTES
        self._asked = 0
        self._answered = 0

    def ask(self, method: str, params: Mapping[str, object]) -> Mapping[str, object]:
        """The response to one request; what comes before it is passed over, but for the server's own requests."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._next()
            if "method" in message:
                self._reply(message)
            elif type(message.get("id")) is int and message["id"] == self._asked:
                return message

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def _reply(self, message: Mapping[str, object]) -> None:
        """A ping gets its answer; nothing else that a server may ask for is offered."""
        asked = message.get("id")
        if type(asked) not in (int, str) or len(str(asked)) > 100 or self._answered >= _MAX_REQUESTS:
            return
        self._answered += 1
        answer = {"result": {}} if message["method"] == "ping" else {"error": {"code": -32601, "message": "not offered"}}
        self._send({"id": asked, **answer})

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._child.send(shared.dumps({"jsonrpc": "2.0", **message}).encode("ascii") + b"\n")
        except BrokenPipeError:
            raise self._unavailable("it ended, or closed its input") from None

    def _next(self) -> dict[str, object]:
        """The next line that is a JSON object; whatever else a server prints is no message."""
        while True:
            while not self._waiting:
                self._waiting = self._lines.feed(self._read())[::-1]
            try:
                return strict_json.loads_object(self._waiting.pop(), self._name)
            except InvalidInput:
                continue

    def _read(self) -> bytes:
        seconds = self._deadline - clock.monotonic()
        if seconds <= 0 or not select.select([self._child.output], [], [], seconds)[0]:
            raise self._unavailable("it took too long", "raise --timeout, or look at what the server waits for")
        data = os.read(self._child.output, 65536)
        self._left -= len(data)
        if not data:
            raise self._unavailable("it ended")
        if self._left < 0:
            raise self._unavailable(f"it wrote more than {MAX_BYTES} bytes")
        return data

    def _unavailable(self, why: str, hint: str = "run the command by itself and see what it prints") -> MissingDependency:
        return MissingDependency(f"the server did not list its tools: {why}", where=self._name, hint=hint, code="server_unavailable")
