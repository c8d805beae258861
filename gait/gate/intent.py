"""IntentRequest (`gait.gate.intent_request` 1.0.0): one tool call in normal form.

Invariant: an IntentRequest exists only normalised, with its digests.  The rules of the
normal form are docs/contracts/primitive_contract.md; equal calls give equal digests.
"""

from __future__ import annotations

import hashlib
import re
from itertools import compress

from ..formats.documents import NamedTuple
from ..errors import InvalidInput
from ..formats import hosts, jcs, paths, timestamps
from ..formats.fields import WHITE_SPACE, Fields, Path, lower, refuse, trim
from . import skill_provenance
from .skill_provenance import SkillProvenance as SkillProvenance

SCHEMA_ID = "gait.gate.intent_request"
SCHEMA_VERSION = "1.0.0"
RISK_CLASSES = ("low", "medium", "high", "critical")
TARGET_KINDS = ("path", "url", "host", "repo", "bucket", "table", "queue", "topic", "other")
ENDPOINT_CLASSES = (
    "fs.read", "fs.write", "fs.delete", "proc.exec", "net.http", "net.dns", "ui.click", "ui.type", "ui.navigate", "other",
)  # fmt: skip
PROVENANCE_SOURCES = ("user", "tool_output", "external", "system")
MAX_DEPTH = 64

# What most documents, targets and contexts have, and nothing else: the rest is not asked for then.
_BARE = frozenset(("tool_name", "args", "targets", "context"))
_BARE_TARGET = frozenset(("kind", "value", "operation", "inferred"))
_BARE_CONTEXT = frozenset(("identity", "workspace", "risk_class", "session_id", "request_id"))
_READS = frozenset("read get list open cat head download stat".split())
_WRITES = frozenset("write append put create update save copy move rename".split())
_DELETES = frozenset("delete remove rm unlink rmdir drop truncate".split())
_EXECS = frozenset("exec spawn run shell command".split())
_DESTRUCTIVE = _DELETES | {"exec", "spawn"}
_NAME_CLASSES = (
    (("read", "list", "fetch", "search"), "fs.read"),
    (("write", "update", "save", "create"), "fs.write"),
    (("delete", "remove", "rm", "drop"), "fs.delete"),
)


class Target(NamedTuple):
    """What a call would touch.  `inferred` is true when an adapter read it from the arguments."""

    kind: str
    value: str
    operation: str = ""
    sensitivity: str = ""
    endpoint_class: str = ""
    endpoint_domain: str = ""
    destructive: bool = False
    inferred: bool = False

    def to_value(self) -> dict[str, object]:
        """The target's document; empty and false fields are left out."""
        return dict(compress(zip(self._fields, self), self))


class ArgProvenance(NamedTuple):
    """Where one argument came from."""

    arg_path: str
    source: str
    source_ref: str = ""
    integrity_digest: str = ""

    def to_value(self) -> dict[str, object]:
        """The entry's document; empty fields are left out."""
        return dict(compress(zip(self._fields, self), self))


class Context(NamedTuple):
    """Who asks, from where, and how much is at stake."""

    identity: str
    workspace: str
    risk_class: str
    session_id: str
    request_id: str
    auth_context: dict[str, object]
    credential_scopes: tuple[str, ...]
    environment_fingerprint: str

    def to_value(self) -> dict[str, object]:
        """The document; empty fields are left out."""
        value: dict[str, object] = dict(compress(zip(self._fields, self), self))
        if self.credential_scopes:
            value["credential_scopes"] = list(self.credential_scopes)
        return value


class IntentRequest(NamedTuple):
    """One tool call in normal form.  `warnings` names what was ignored; it is in no digest.

    `size_bytes` is the length of the canonical text that intent_digest covers, without that of the arguments.
    """

    created_at: str
    producer_version: str
    tool_name: str
    args: dict[str, object]
    targets: tuple[Target, ...]
    arg_provenance: tuple[ArgProvenance, ...]
    skill_provenance: SkillProvenance | None
    context: Context
    args_digest: str
    intent_digest: str
    warnings: tuple[str, ...]
    size_bytes: int

    def to_value(self) -> dict[str, object]:
        """The whole document in normal form; reading it gives the same intent again."""
        head = {"schema_id": SCHEMA_ID, "schema_version": SCHEMA_VERSION}
        times = {"created_at": self.created_at, "producer_version": self.producer_version}
        given = {name: text for name, text in times.items() if text}
        body = _digested(
            self.tool_name, self.args, self.targets, self.arg_provenance, self.skill_provenance, self.context
        )
        return {**head, **given, **body, "args_digest": self.args_digest, "intent_digest": self.intent_digest}


def read(value: object, verified: SkillProvenance | None = None) -> IntentRequest:
    """Normalise an IntentRequest document.  InvalidInput names the field that is not acceptable.

    Unknown fields are ignored with a warning (versions are additive).  A digest that is given
    must be the one computed here.  `verified` is the package that Gait has verified; it takes the place of a claimed one.
    """
    fields = Fields(value)
    is_bare = fields.has_only(_BARE)
    if not is_bare:
        _check_schema(fields)
    tool_name = lower(fields.required("tool_name"))
    args = _args(fields)
    targets = _targets(fields, tool_name)
    provenance = () if is_bare else _provenance(fields)
    claimed = None if is_bare else skill_provenance.read(fields)
    skill = verified or claimed
    context = _context(fields)
    body = _digested(tool_name, None, targets, provenance, skill, context)
    args_text = jcs.dumps(args)
    text = _canonical(body, args_text)
    args_digest, intent_digest = hashlib.sha256(args_text).hexdigest(), hashlib.sha256(text).hexdigest()
    created_at, producer, warnings = ("", "", ()) if is_bare else _given(fields, args_digest, intent_digest)
    warnings += skill_provenance.warnings(fields, claimed, verified) if claimed else ()
    size_bytes = len(text) - len(args_text)
    return IntentRequest(
        created_at, producer, tool_name, args, targets, provenance, skill, context, args_digest, intent_digest, warnings, size_bytes
    )


def approval_digest(intent: IntentRequest) -> str:
    """The intent digest of the same call without its request_id, which an honest caller's second try does not have in common."""
    if not intent.context.request_id:
        return intent.intent_digest
    context = intent.context._replace(request_id="")
    return jcs.digest(_digested(intent.tool_name, intent.args, intent.targets, intent.arg_provenance, intent.skill_provenance, context))


def risk_class_of(value: object) -> str:
    """The lower-cased risk class of a document that may have no normal form; empty when there is none."""
    context = value.get("context") if isinstance(value, dict) else None
    risk = context.get("risk_class") if isinstance(context, dict) else None
    return lower(trim(risk)) if isinstance(risk, str) else ""


def infer_domain(kind: str, value: str) -> str:
    """The endpoint_domain that a host or url target has when none is given."""
    if kind == "url":
        return hosts.of_url(value)
    if kind != "host":
        return ""
    for scheme in ("http://", "https://"):
        value = value[len(scheme) :] if value.startswith(scheme) else value
    return lower(value.partition("/")[0].partition(":")[0])


def _check_schema(fields: Fields) -> None:
    schema_id, version = fields.text("schema_id", SCHEMA_ID), fields.text("schema_version", SCHEMA_VERSION)
    if schema_id not in ("", SCHEMA_ID):
        raise refuse(("schema_id",), SCHEMA_ID, schema_id)
    if version not in ("", SCHEMA_VERSION) and not re.fullmatch(r"1\.[0-9]{1,9}\.[0-9]{1,9}", version):
        raise refuse(("schema_version",), "a 1.x version", version)


def _created_at(fields: Fields) -> str:
    text = fields.text("created_at")
    if text:
        try:
            timestamps.loads(text)
        except InvalidInput as error:
            raise refuse(fields.at("created_at"), "an RFC 3339 time", text) from error
    return text


def _canonical(body: dict[str, object], args_text: bytes) -> bytes:
    """The canonical bytes of a body, with those of its arguments, which are long and null in it, put in."""
    context = body["context"]
    cut = jcs.dumps(body) if "auth_context" in context else jcs.dumps_texts(body)  # type: ignore[operator]
    place = cut.index(b'"args":null') + 7  # only arg_provenance sorts before it, and in its texts the quotes are escaped
    return cut[:place] + args_text + cut[place + 4 :]


def _given(fields: Fields, args_digest: str, intent_digest: str) -> tuple[str, str, tuple[str, ...]]:
    """What a document says of its making, and what it says that is ignored.  Its digests must be those computed here."""
    for name, digest in (("args_digest", args_digest), ("intent_digest", intent_digest)):
        given = fields.text(name)
        if given and given != digest:
            raise refuse(fields.at(name), f"the digest of the normal form, {digest}", given, "leave it out")
    created_at, producer = _created_at(fields), fields.text("producer_version")
    return created_at, producer, tuple([f"unknown field {key[:80]!r} ignored" for key in fields.unknown()])


def _digested(
    tool_name: str,
    args: dict[str, object] | None,
    targets: tuple[Target, ...],
    provenance: tuple[ArgProvenance, ...],
    skill: SkillProvenance | None,
    context: Context,
) -> dict[str, object]:
    """The members that intent_digest covers."""
    body: dict[str, object] = {
        "tool_name": tool_name,
        "args": args,
        "targets": [target.to_value() for target in targets],
    }
    if provenance:
        body["arg_provenance"] = [entry.to_value() for entry in provenance]
    if skill:
        body["skill_provenance"] = skill.to_value()
    body["context"] = context.to_value()
    return body


def _args(fields: Fields) -> dict[str, object]:
    value = fields.raw("args")
    if value is None:
        return {}
    if type(value) is not dict:
        raise refuse(fields.at("args"), "an object", value)
    return _object(value, fields.at("args"))


def _object(value: dict[str, object], path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    if len(path) > MAX_DEPTH:
        raise refuse(path[:3], f"nested at most {MAX_DEPTH} deep", value)
    for key, item in value.items():
        if type(key) is not str:
            raise refuse(path, "an object with text keys", key)
        name = key.strip(WHITE_SPACE)
        if not name:
            raise refuse((*path, key), "under a key that is not empty", key)
        if name in found:
            raise refuse((*path, key), "under a key that stays unique when trimmed", key)
        kind = type(item)
        found[name] = item.strip(WHITE_SPACE) if kind is str else item if kind is bool else _argument(item, (*path, name))  # type: ignore[attr-defined]
    return found


def _argument(value: object, path: Path) -> object:
    """One argument in normal form: every text and key trimmed, at every depth."""
    if isinstance(value, str):
        return trim(value)
    if isinstance(value, dict):
        return _object(value, path)
    if isinstance(value, list):
        if len(path) > MAX_DEPTH:
            raise refuse(path[:3], f"nested at most {MAX_DEPTH} deep", value)
        return [_argument(item, (*path, index)) for index, item in enumerate(value)]
    if type(value) is int and not -jcs.MAX_INTEGER <= value <= jcs.MAX_INTEGER:
        raise refuse(path, "a number within +-(2**53 - 1)", value, "write large integers as text")
    return value


def _targets(fields: Fields, tool_name: str) -> tuple[Target, ...]:
    items = fields.items("targets")
    if not items:
        return ()
    path = fields.at("targets")
    return tuple(sorted({_target(item, (*path, index), tool_name) for index, item in enumerate(items)}))


def _target(item: object, path: Path, tool_name: str) -> Target:
    fields = Fields(item, path)
    kind = fields.word("kind", TARGET_KINDS)
    value = fields.required("value")
    operation = lower(fields.text("operation"))
    if not kind:
        raise refuse(fields.at("kind"), f"one of {', '.join(TARGET_KINDS)}", fields.raw("kind"))
    if ("\0" in value or "%" in value) and "\0" in paths.from_file_url(value) and (kind == "path" or paths.is_file_url(value)):
        raise refuse(fields.at("value"), "a path without NUL", value)
    endpoint_class = domain = sensitivity = ""
    destructive = False
    if not fields.has_only(_BARE_TARGET):
        endpoint_class, domain = fields.word("endpoint_class", ENDPOINT_CLASSES), lower(fields.text("endpoint_domain"))
        destructive, sensitivity = fields.boolean("destructive"), lower(fields.text("sensitivity"))
    endpoint_class = endpoint_class or _infer_class(kind, operation, tool_name)
    domain = domain or infer_domain(kind, value)
    destructive = destructive or endpoint_class in ("fs.delete", "proc.exec") or operation in _DESTRUCTIVE
    return Target(kind, value, operation, sensitivity, endpoint_class, domain, destructive, fields.boolean("inferred"))


def _infer_class(kind: str, operation: str, tool_name: str) -> str:
    if kind == "path":
        return _path_class(operation, tool_name)
    if kind in ("host", "url"):
        return "net.dns" if operation in ("dns", "resolve", "lookup") else "net.http"
    if kind == "other" and (operation in _EXECS or any(word in tool_name for word in _EXECS)):
        return "proc.exec"
    return "other"


def _path_class(operation: str, tool_name: str) -> str:
    for operations, endpoint_class in ((_READS, "fs.read"), (_WRITES, "fs.write"), (_DELETES, "fs.delete")):
        if operation in operations:
            return endpoint_class
    segment = tool_name.rpartition("/")[2]
    for words, endpoint_class in _NAME_CLASSES:
        if any(word in segment for word in words):
            return endpoint_class
    return "other"


def _provenance(fields: Fields) -> tuple[ArgProvenance, ...]:
    items = fields.items("arg_provenance")
    if not items:
        return ()
    entries = set()
    for index, item in enumerate(items):
        entry = Fields(item, (*fields.at("arg_provenance"), index))
        arg_path = entry.required("arg_path")
        source = entry.word("source", PROVENANCE_SOURCES)
        if not source:
            raise refuse(entry.at("source"), f"one of {', '.join(PROVENANCE_SOURCES)}", entry.raw("source"))
        entries.add(ArgProvenance(arg_path, source, entry.text("source_ref"), skill_provenance.hex64(entry, "integrity_digest")))
    return tuple(sorted(entries))


def _context(fields: Fields) -> Context:
    context = fields.fields("context")
    is_bare = context.has_only(_BARE_CONTEXT)
    auth = None if is_bare else context.raw("auth_context")
    if auth is not None and type(auth) is not dict:
        raise refuse(context.at("auth_context"), "an object", auth)
    risk_class = context.word("risk_class", RISK_CLASSES)
    if not risk_class:
        raise refuse(context.at("risk_class"), f"one of {', '.join(RISK_CLASSES)}", context.raw("risk_class"))
    return Context(
        identity=context.required("identity"),
        workspace=context.required("workspace").replace("\\", "/"),
        risk_class=risk_class,
        session_id=context.text("session_id"),
        request_id=context.text("request_id"),
        auth_context=_object(auth, context.at("auth_context")) if auth else {},
        credential_scopes=() if is_bare else context.texts("credential_scopes"),
        environment_fingerprint="" if is_bare else context.text("environment_fingerprint"),
    )
