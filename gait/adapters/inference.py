"""Targets from a tool's name and arguments: the walk that applies the table of targets.py.

Invariant: every text and key of the arguments is looked at once, at any depth; what is too deep or too much is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING, NamedTuple
from . import patches, shell_words, sql_words, targets, values
from .inferred import Inferred

Arguments = Mapping[str, object]

# Kinds that hold for what is nested below a name: `paths: [{value: x}]`.  Prose and argument vectors are no such names.
_INHERITED = frozenset("path url host command code sql repo bucket queue topic table words".split())
_NETWORK = frozenset(("url", "host"))


class Field(NamedTuple):
    """The place of a value: the argument's name and how it is read.  `is_alone`: it means nothing for its key or its neighbours."""

    name: str
    kind: str
    is_alone: bool = False


_ROOT = Field("", "")

Pending = list[tuple[object, Field, int]]
if TYPE_CHECKING:
    Nested = dict[str, object] | list[object] | tuple[tuple[str, object], ...]


def infer(tool_name: str, arguments: Arguments) -> list[dict[str, object]]:
    """The target documents that a call's arguments imply, each with `inferred`.

    InvalidInput: more targets, nesting or command text than targets.py allows.
    """
    walk = _Walk(tool_name, arguments)
    walk.run(arguments)
    return walk.documents()


class _Walk:
    """One pass over the arguments of one call."""

    __slots__ = ("found", "tool_name", "operation", "ui_class")

    def __init__(self, tool_name: str, arguments: Arguments) -> None:
        tool = targets.tool_of(tool_name)
        self.found = Inferred()
        self.tool_name = tool_name
        self.operation = _operation(tool, arguments)
        action = arguments.get(tool.action or "action")
        self.ui_class = targets.ui_class(tool_name) or (targets.ui_class(action) if isinstance(action, str) else "")

    def run(self, arguments: Arguments) -> None:
        """Look at everything, without recursion."""
        pending: Pending = [(arguments, _ROOT, 0)]
        while pending:
            value, field, depth = pending.pop()
            if isinstance(value, str):
                pending += self._text(value, field, depth)
            elif isinstance(value, (dict, list, tuple)):
                _check_depth(depth)
                pending += self._items(value, field, depth + 1)
            elif field.kind in _NETWORK and type(value) is int:
                self.found.add("host", str(value), self._operation_on("host", field))  # 2130706433 is 127.0.0.1

    def documents(self) -> list[dict[str, object]]:
        """What was found.  A tool that runs something touches at least that, under its own name."""
        runs = self.operation in ("exec", "spawn")
        if runs and not any(operation == "exec" for _, _, operation, _ in self.found.found):
            self.found.add("other", self.tool_name, self.operation)
        return [_document(*target) for target in self.found.found]

    def _items(self, value: Nested, field: Field, depth: int) -> Pending:
        if isinstance(value, list):
            return self._list(value, field, depth)
        pairs = value.items() if isinstance(value, dict) else value
        place = field.kind, self.tool_name, self.ui_class != ""
        fields = [(item, _field(key, *place), depth) for key, item in pairs]
        others = [below for _, below, _ in fields if not below.is_alone]
        if not others:
            return fields
        for below in others:
            if not below.name.isidentifier():
                self._key(below.name, field)
        if len(fields) < 2:
            return fields
        self._program(fields)
        return self._owned(fields)

    def _list(self, items: list[object], field: Field, depth: int) -> Pending:
        """A list: of values, of commands (`commands`), or of one command's words (`command`, `args`)."""
        if field.kind not in ("command", "argv") or (field.kind == "command" and field.name.lower().endswith("s")):
            return [(item, field, depth) for item in items]
        self._argv([], items, field.kind)
        return [(item, field, depth) for item in items if not isinstance(item, str)]

    def _key(self, name: str, parent: Field) -> None:
        """Keys are the caller's as well: `{"files": {"/etc/passwd": "…"}}`."""
        pairs = values.of_path(name) if parent.kind == "path" and name else values.of_shape(name)
        self._add(pairs, parent)

    def _owned(self, fields: Pending) -> Pending:
        """`{owner: "o", repo: "r"}` is o/r."""
        owners = [item for item, field, _ in fields if field.name in targets.OWNERS and isinstance(item, str)]
        if not owners or not owners[0]:
            return fields
        owner = owners[0]
        return [(f"{owner}/{item}" if _is_bare_repo(item, field) else item, field, depth) for item, field, depth in fields]

    def _program(self, fields: Pending) -> None:
        """`{command: "curl", args: ["evil.sh"]}` is one command."""
        commands = [item for item, field, _ in fields if field.kind == "command" and isinstance(item, str)]
        if not commands or not commands[0]:
            return
        for item, field, _ in fields:
            if field.kind == "argv" and isinstance(item, list):
                self._argv([commands[0]], item, "command")

    def _argv(self, program: list[str], items: list[object], kind: str) -> None:
        words = program + [item for item in items if isinstance(item, str)]
        if kind == "command" and words:
            self.found.add("other", " ".join(words), "exec")
        shell_words.scan_argv(self.found, words)

    def _text(self, text: str, field: Field, depth: int) -> Pending:
        if not text:
            return []
        read = _READERS.get(field.kind)
        if read:
            read(self, text, field)
        else:
            self._unknown(text, field)
        if text.lstrip()[:1] in ("{", "[") and field.kind not in _OPAQUE:
            embedded = _embedded(text)
            if embedded is not None:
                return [(embedded, field, depth + 1)]
        return []

    def _unknown(self, text: str, field: Field) -> None:
        """A text whose name says nothing: its shape, and its words when there are several."""
        self._words(text, field)
        if "*** " in text and patches.is_patch(text):
            patches.scan(self.found, text)
        if self.operation in ("exec", "spawn"):
            shell_words.scan(self.found, text)

    def _words(self, text: str, field: Field) -> None:
        if values.is_plain(text):
            return
        self._add(values.of_shape(text), field)
        if not text.isalnum() and values.has_several_words(text):
            self._add(values.of_words(text), field)

    def _path(self, text: str, field: Field) -> None:
        self._add(values.of_path(text), field)
        if "{" in text and "," in text:
            for expanded in shell_words.expand_braces(text, 1):
                self._add([("path", expanded)], field)

    def _url(self, text: str, field: Field) -> None:
        self._add(values.of_url(text), field)

    def _host(self, text: str, field: Field) -> None:
        self._add(values.of_host(text), field)

    def _command(self, text: str, field: Field) -> None:
        self.found.add("other", text, "exec")
        shell_words.scan(self.found, text)

    def _vector(self, text: str, field: Field) -> None:
        shell_words.scan(self.found, text)

    def _code(self, text: str, field: Field) -> None:
        self.found.add("other", text, "exec")
        shell_words.scan_code(self.found, text)

    def _sql(self, text: str, field: Field) -> None:
        if "sql" in field.name.lower() or sql_words.is_sql(text):
            sql_words.scan(self.found, text)
        else:
            self._prose(text, field)

    def _patch(self, text: str, field: Field) -> None:
        patches.scan(self.found, text)
        self._prose(text, field)

    def _prose(self, text: str, field: Field) -> None:
        self._add(values.of_prose(text), field)

    def _name(self, text: str, field: Field) -> None:
        """A repo, bucket, queue, topic or table: the text itself, and what its shape says."""
        self.found.add(field.kind, text, self.operation)
        self._add(values.of_shape(text), field)

    def _selector(self, text: str, field: Field) -> None:
        self.found.add("other", text, self.ui_class.partition(".")[2], self.ui_class)
        self._add(values.urls(text), field)

    def _add(self, pairs: Iterable[tuple[str, str]], field: Field) -> None:
        for kind, value in pairs:
            self.found.add(kind, value, self._operation_on(kind, field))

    def _operation_on(self, kind: str, field: Field) -> str:
        operation = self.operation
        if kind in _NETWORK:
            return "" if operation in ("exec", "spawn") else operation
        if kind != "path":
            return operation
        if operation in ("copy", "move", "rename"):
            if not targets.is_source(field.name):
                return "write"
            return "read" if operation == "copy" else "move"
        return "read" if operation in ("exec", "spawn", "resolve") else operation


_READERS: Mapping[str, Callable[[_Walk, str, Field], None]] = {
    "path": _Walk._path,
    "url": _Walk._url,
    "host": _Walk._host,
    "command": _Walk._command,
    "argv": _Walk._vector,
    "code": _Walk._code,
    "sql": _Walk._sql,
    "patch": _Walk._patch,
    "text": _Walk._prose,
    "words": _Walk._words,
    "selector": _Walk._selector,
    **dict.fromkeys(("repo", "bucket", "queue", "topic", "table"), _Walk._name),
}
_OPAQUE = frozenset(("text", "command", "code", "selector"))


def _field(name: str, parent_kind: str, tool_name: str, in_page: bool) -> Field:
    """An argument's place: by its name for that tool, else by the name above it."""
    return (_short_field if len(name) + len(tool_name) <= 128 else _any_field)(name, parent_kind, tool_name, in_page)


def _any_field(name: str, parent_kind: str, tool_name: str, in_page: bool) -> Field:
    kind = targets.tool_of(tool_name).names.get(name.lower()) or targets.kind_of_name(name)
    if not kind and name in targets.SINGLE_INPUTS:
        kind = targets.kind_of_single(tool_name)
    if not kind and parent_kind in _INHERITED:
        kind = parent_kind
    kind = "" if kind == "selector" and not in_page else kind
    return Field(name, kind, name.isidentifier() and kind not in ("command", "repo") and name not in targets.OWNERS)


_short_field = lru_cache(maxsize=2048)(_any_field)  # names repeat; long ones, which a caller could fill the memory with, are not kept


def _operation(tool: targets.Tool, arguments: Arguments) -> str:
    """The tool's operation, or the more dangerous one that an action argument names."""
    if tool.action:
        action = arguments.get(tool.action)
        return (targets.tool_of(action).operation if isinstance(action, str) else "") or tool.operation
    operation = tool.operation
    for name in targets.ACTIONS:
        action = arguments[name] if name in arguments else None
        if isinstance(action, str) and len(action) < 64:
            operation = targets.more_dangerous(operation, targets.operation_of(targets.tokens(action)))
    return operation


def _is_bare_repo(item: object, field: Field) -> bool:
    return field.kind == "repo" and isinstance(item, str) and item != "" and "/" not in item


def _check_depth(depth: int) -> None:
    if depth > targets.MAX_DEPTH:
        raise InvalidInput(
            f"expected arguments nested at most {targets.MAX_DEPTH} deep, got more", hint="flatten the value", code="too_deep"
        )


def _embedded(text: str) -> object:
    """The value of a JSON text, objects as tuples of pairs so that no repeated key is lost; None for other texts."""
    import json

    try:
        return json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None


def _document(kind: str, value: str, operation: str, endpoint_class: str) -> dict[str, object]:
    document: dict[str, object] = {"kind": kind, "value": value}
    if operation:
        document["operation"] = operation
    if endpoint_class:
        document["endpoint_class"] = endpoint_class
    document["inferred"] = True
    return document
