"""Meta-tools: tools that take another tool's name and arguments as theirs, so that rules see the inner call.

Invariant: a call of a meta-tool is judged as its inner call or refused, never as the outer call.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse, show
from .names import folded

SCHEMA_ID = "gait.mcp.gateway"
SCHEMA_VERSION = "1.0.0"
MAX_BYTES = 1024 * 1024
MAX_DEPTH = 4  # meta-tools within meta-tools
ENCODINGS = ("object", "json_text")


class Unwrap(NamedTuple):
    """Where one meta-tool's inner call sits in its arguments.

    `arguments_encoding`: the inner arguments are an object, or the JSON text of one.  `other_keys`: keys of the outer arguments
    that the rules need not see; any further key is refused, as a server might read the inner call from it.
    """

    tool: str
    name_path: tuple[str, ...]
    arguments_path: tuple[str, ...]
    arguments_encoding: str = "object"
    other_keys: tuple[str, ...] = ()


def loads(data: bytes | str, source: str = "gateway config") -> tuple[Unwrap, ...]:
    """The `unwrap` entries of a gateway config, YAML or JSON.  Errors name `source:line:column`."""
    from ..formats import yaml_subset

    value = yaml_subset.loads(data, source, MAX_BYTES)
    try:
        return read(value)
    except InvalidInput as error:
        line, column = yaml_subset.position(data, error.path)
        where = f"{source}:{line}:{column}"
        raise InvalidInput(error.message, where=where, hint=error.hint, code="invalid_config", path=error.path) from error


def read(value: object) -> tuple[Unwrap, ...]:
    """The `unwrap` entries of a gateway config document (`gait.mcp.gateway` 1.0.0)."""
    fields = Fields(value)
    for name, expected in (("schema_id", SCHEMA_ID), ("schema_version", SCHEMA_VERSION)):
        if fields.required(name) != expected:
            raise refuse(fields.at(name), expected, fields.raw(name))
    found: dict[str, Unwrap] = {}
    for index, item in enumerate(fields.items("unwrap")):
        entry = Fields(item, (*fields.at("unwrap"), index))
        unwrap = _entry(entry)
        if found.setdefault(folded(unwrap.tool), unwrap) is not unwrap:
            raise refuse(entry.at("tool"), "a tool that no other entry names", unwrap.tool)
    fields.done()
    return tuple(found.values())


def _entry(fields: Fields) -> Unwrap:
    unwrap = Unwrap(
        tool=fields.required("tool"),
        name_path=_path(fields, "name_path"),
        arguments_path=_path(fields, "arguments_path"),
        arguments_encoding=fields.word("arguments_encoding", ENCODINGS, "object"),
        other_keys=fields.texts("other_keys"),
    )
    shorter = min(len(unwrap.name_path), len(unwrap.arguments_path))
    if unwrap.name_path[:shorter] == unwrap.arguments_path[:shorter]:
        raise refuse(fields.at("arguments_path"), "another place than name_path, and not inside it or around it", fields.raw("arguments_path"))
    fields.done()
    return unwrap


def _path(fields: Fields, name: str) -> tuple[str, ...]:
    """Keys from the outside in: `params.name`, or a list where a key has a dot in it."""
    value = fields.raw(name)
    keys = value.split(".") if isinstance(value, str) else value
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise refuse(fields.at(name), "keys joined by dots, or a list of keys", value)
    return tuple(keys)


def inner(unwraps: Sequence[Unwrap], name: str, arguments: dict[str, object]) -> tuple[str, dict[str, object]] | None:
    """The call inside a call; None when this is not a meta-tool.  InvalidInput: it is one, and its inner call cannot be read."""
    found = None
    for _ in range(MAX_DEPTH):
        unwrap = _entry_for(unwraps, name)
        if unwrap is None:
            return found
        found = name, arguments = _unwrapped(unwrap, arguments)
    if _entry_for(unwraps, name) is None:
        return found
    raise InvalidInput(f"{_outer(name)}: expected at most {MAX_DEPTH} meta-tools within each other, got more", hint="call the tool itself")


def _entry_for(unwraps: Sequence[Unwrap], name: str) -> Unwrap | None:
    for unwrap in unwraps:
        if name == unwrap.tool:
            return unwrap
        if folded(name) == folded(unwrap.tool):  # a lenient server might run the meta-tool all the same
            raise InvalidInput(f"expected the meta-tool's name {unwrap.tool!r}, got {name[:80]!r}", hint="write the name as the server lists it")
    return None


def _unwrapped(unwrap: Unwrap, arguments: dict[str, object]) -> tuple[str, dict[str, object]]:
    where = _outer(unwrap.tool)
    _refuse_others(unwrap, arguments, where)
    name = _at(arguments, unwrap.name_path, where)
    if not isinstance(name, str) or not name.strip():
        raise _unreadable(where, unwrap.name_path, "the inner tool's name", name)
    value = _at(arguments, unwrap.arguments_path, where)
    if value is None:
        return name, {}  # nothing else is there, as _refuse_others has seen
    if unwrap.arguments_encoding == "json_text":
        if not isinstance(value, str):
            raise _unreadable(where, unwrap.arguments_path, "the inner arguments as JSON text", value)
        return name, strict_json.loads_object(value, f"{where} {show(unwrap.arguments_path)}")
    if not isinstance(value, dict):
        raise _unreadable(where, unwrap.arguments_path, "the inner arguments as an object", value)
    return name, value


def _at(arguments: object, path: tuple[str, ...], where: str) -> object:
    """The value at a path, None when the way to it ends early; what is on the way must be objects."""
    value = arguments
    for depth, key in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _unreadable(where, path[:depth], "an object", value)
        value = value.get(key)
    return value


def _refuse_others(unwrap: Unwrap, arguments: dict[str, object], where: str) -> None:
    """Refuse keys beside the two paths: the server could take the inner call from them, and the rules would not see it."""
    paths = unwrap.name_path, unwrap.arguments_path
    allowed = {path[:depth] for path in paths for depth in range(1, len(path) + 1)}
    allowed.update((key,) for key in unwrap.other_keys)
    for prefix in sorted({path[:depth] for path in paths for depth in range(len(path))}):
        value = _at(arguments, prefix, where)
        for key in value if isinstance(value, dict) else ():
            if (*prefix, key) not in allowed:
                message = f"{where}: unknown key {show((*prefix, key))[:160]!r} beside the inner call"
                hint = "leave it out; if it cannot change what runs, the operator may add it to the entry's other_keys"
                raise InvalidInput(message, hint=hint, code="meta_tool_unreadable")


def _outer(tool: str) -> str:
    return f"meta-tool {tool[:80]!r}"


def _unreadable(where: str, path: tuple[str, ...], expected: str, got: object) -> InvalidInput:
    message = f"{where}: expected {expected} at {show(path)}, got {strict_json.type_name(got)}"
    return InvalidInput(message, hint="name one inner tool and its arguments", code="meta_tool_unreadable")
