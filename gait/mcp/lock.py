"""gait.lock (`gait.mcp.lock` 1.0.0): the tool definitions of each server that a person has accepted.

Invariant: a Pinned carries the digest of its whole definition, and a file in which any digest is not that of
its definition is refused.  The file is not signed: whoever may write to it may accept definitions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from ..errors import InvalidInput, VerificationFailed
from ..formats import jcs, strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, Path, refuse, show

SCHEMA_ID = "gait.mcp.lock"
SCHEMA_VERSION = "1.0.0"
MAX_BYTES = strict_json.MAX_BYTES
MAX_TOOLS = 4096  # of one server
MAX_DEFINITION_BYTES = 256 * 1024
MAX_DEFINITION_DEPTH = 48  # a lock nests definitions five deep, and strict JSON ends at 64
MAX_NAME = 256
DEFAULT_SERVER = "default"

# What the lock names beside the digest of the whole definition, as it is called there.
PARTS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_SERVER_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Pinned(NamedTuple):
    """One tool's definition, all of it, and its digest."""

    definition: dict[str, object]
    digest: str

    @property
    def name(self) -> str:
        """The tool's name."""
        return str(self.definition["name"])

    def to_value(self) -> dict[str, object]:
        """The tool's entry in the lock; each part that the definition has is digested by itself too."""
        digests = {part: digest(self.definition[part]) for part in PARTS if part in self.definition}
        return {"digest": self.digest, "digests": digests, "definition": self.definition}


class ServerLock(NamedTuple):
    """The accepted tools of one server, by name."""

    server: str
    tools: Mapping[str, Pinned]


class Lock(NamedTuple):
    """A whole lock file."""

    servers: Mapping[str, ServerLock]

    def of(self, server: str) -> ServerLock:
        """The lock of one server; a server that is not in the file has no accepted tool."""
        name = server or DEFAULT_SERVER
        return self.servers.get(name) or ServerLock(name, {})

    def with_server(self, server: ServerLock) -> Lock:
        """The same lock with one server's tools replaced."""
        return Lock({**self.servers, server.server: server})

    def to_value(self) -> dict[str, object]:
        """The whole document; reading it gives the same lock again."""
        servers = {
            name: {"tools": {tool: pinned.to_value() for tool, pinned in server.tools.items()}}
            for name, server in self.servers.items()
        }
        return {"schema_id": SCHEMA_ID, "schema_version": SCHEMA_VERSION, "servers": servers}


def loads(data: bytes, source: str = "gait.lock") -> Lock:
    """The lock in a JSON text.  InvalidInput: it is no lock.  VerificationFailed: a digest is not that of its definition."""
    value = strict_json.loads(data, source, MAX_BYTES)
    try:
        return read(value)
    except (InvalidInput, VerificationFailed) as error:
        error.where = error.where or source
        raise


def dumps(lock: Lock) -> bytes:
    """The text of a lock: ASCII, so that a reviewer's screen hides nothing, sorted and indented, so that it can be compared."""
    text = json.dumps(lock.to_value(), indent=2, sort_keys=True, allow_nan=False) + "\n"
    if len(text) > MAX_BYTES:
        hint = "pin fewer servers in one file (--lock FILE)"
        raise InvalidInput(f"expected a lock of at most {MAX_BYTES} bytes, got {len(text)}", hint=hint)
    return text.encode("ascii")


def read(value: object) -> Lock:
    """The lock in a document, every digest proved."""
    fields = Fields(value)
    for name, expected in (("schema_id", SCHEMA_ID), ("schema_version", SCHEMA_VERSION)):
        if fields.required(name) != expected:
            raise refuse(fields.at(name), expected, fields.raw(name))
    if not fields.has("servers"):
        raise refuse(fields.at("servers"), "an object", fields.raw("servers"))
    servers = fields.fields("servers")
    found = {name: _server(name, servers.fields(name)) for name in fields.object("servers")}
    fields.done()
    return Lock(found)


def is_server_name(text: str) -> bool:
    """Whether a text can be a server's name: 1 to 64 letters, digits, `_`, `.` or `-`; no `__`, which parts it from the tool's."""
    return _SERVER_NAME.fullmatch(text) is not None and "__" not in text and not text.endswith("_")


def server_name(text: str, where: str = "--server-name") -> str:
    """A server's name in the lock; empty text is the default one."""
    if text and not is_server_name(text):
        message = f"expected 1 to 64 letters, digits, '.', '-' or single '_' before another, got {text[:80]!r}"
        raise InvalidInput(message, where=where, hint="give the server a simple name", code="invalid_usage")
    return text or DEFAULT_SERVER


def pin(definition: object, path: Path = ()) -> Pinned:
    """A tool definition as a server lists it, with its digest.  InvalidInput: it has no name, or is too large or too deep."""
    fields = Fields(definition, path)
    name = fields.raw("name")
    if type(name) is not str or not name.strip() or len(name) > MAX_NAME:
        raise refuse(fields.at("name"), f"text of 1 to {MAX_NAME} characters", name)
    value: dict[str, object] = definition  # type: ignore[assignment]
    if _is_deeper(value, MAX_DEFINITION_DEPTH):
        raise InvalidInput(f"{show(path)}: must be nested at most {MAX_DEFINITION_DEPTH} deep; got more", path=path)
    data = canonical(value)
    if len(data) > MAX_DEFINITION_BYTES:
        raise InvalidInput(f"{show(path)}: must be at most {MAX_DEFINITION_BYTES} bytes; got {len(data)}", path=path)
    return Pinned(value, hashlib.sha256(data).hexdigest())


def digest(value: object) -> str:
    """SHA-256 of the canonical form, lower-case hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: object) -> bytes:
    """RFC 8785, and a form of its own for what that lacks: integers beyond +-(2**53 - 1), which real schemas have.

    They are taken out and stand beside the rest, each with its place: no two definitions share a form.
    """
    try:
        return jcs.dumps(value)
    except InvalidInput:
        integers: list[object] = []
        rest = _without_large(value, (), integers)
        return jcs.dumps({"integers": integers, "rest": rest})


def _without_large(value: object, path: Path, integers: list[object]) -> object:
    if isinstance(value, dict):
        return {key: _without_large(item, (*path, key), integers) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [_without_large(item, (*path, index), integers) for index, item in enumerate(value)]
    if type(value) is int and not -jcs.MAX_INTEGER <= value <= jcs.MAX_INTEGER:
        integers.append([list(path), hex(value)])
        return None
    return value


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth == 0 or any(_is_deeper(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth == 0 or any(_is_deeper(item, depth - 1) for item in value)
    return False


def _server(name: str, fields: Fields) -> ServerLock:
    if not _SERVER_NAME.fullmatch(name):
        raise refuse(fields.path, "under a name of 1 to 64 letters, digits, '_', '.' or '-'", name)
    tools = fields.fields("tools")
    names = fields.object("tools")
    if len(names) > MAX_TOOLS:
        raise InvalidInput(f"{show(tools.path)}: must be at most {MAX_TOOLS} tools; got {len(names)}", path=tools.path)
    found = {tool: _tool(tool, tools.fields(tool)) for tool in names}
    fields.done()
    return ServerLock(name, found)


def _tool(name: str, fields: Fields) -> Pinned:
    pinned = pin(fields.raw("definition"), fields.at("definition"))
    given = {"digest": fields.raw("digest"), "digests": fields.raw("digests"), "definition": pinned.definition}
    fields.done()
    if pinned.name != name or given != pinned.to_value():
        message = f"{show(fields.path)}: the digests are not those of the definition: the entry was edited"
        hint = "restore the file, or remove the server's entry and run gait mcp lock again"
        raise VerificationFailed(message, hint=hint, code="lock_edited")
    return pinned
