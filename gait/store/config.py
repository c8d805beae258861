"""A project's defaults (`gait.config` 1.0.0): `.gait/config.yaml` in the working directory, for one-shot commands.

Invariant: only a file whose very bytes the operator has trusted (`gait config trust`) has any effect, since an agent can write to the
working directory; and so it is with the files there that it names.  When one of them is changed or gone, there is no decision until
the project is trusted again.
"""

from __future__ import annotations

import hashlib
import os
import re

from ..errors import GaitError, InvalidInput, UnsafeOperation
from ..formats import strict_json, yaml_subset
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse
from ..system import files
from . import keys

SCHEMA_ID = "gait.config"
TRUST_ID = "gait.config_trust"
SCHEMA_VERSION = "1.0.0"
NAME = os.path.join(".gait", "config.yaml")
MAX_BYTES = 64 * 1024
_MAX_NAMED_BYTES = 64 * 1024 * 1024
_MAX_PROJECTS = 10_000
_TRUST = "trusted_projects.json"
_DIGEST = re.compile("[0-9a-f]{64}")
# What a project may set, and what that is: a file, a text, or one of some words.
FILES = ("policy", "journal", "private_key", "credential_command")
TEXTS = ("identity", "workspace", "adapter", "private_key_env", "credential_env_prefix")
WORDS = {
    "profile": ("standard", "oss-prod"),
    "key_mode": ("dev", "prod"),
    "risk_class": ("low", "medium", "high", "critical"),
    "capture": ("off", "reference", "raw"),
    "credential_broker": ("off", "stub", "env", "command"),
}
APPROVERS = "approval_key"  # a list of [NAME=]FILE
NAMES = (*FILES, *TEXTS, *WORDS, APPROVERS)


class Config(NamedTuple):
    """What a project sets: names of options, with dashes as underscores, and their values; paths are absolute."""

    path: str
    digest: str
    values: dict[str, object]


def load(folder: str) -> tuple[Config | None, str]:
    """The config of a project that counts, None for none, and a warning or empty text.

    UnsafeOperation `config_untrusted`: it was trusted, and is another one now, or gone.
    """
    folder = os.path.realpath(folder)
    path, trusted = os.path.join(folder, NAME), _trusted().get(folder)
    if not os.path.lexists(path) and trusted is None:
        return None, ""
    if trusted is None:
        return None, f"{path} is not trusted and has no effect; to use it: gait config trust"
    try:
        data = files.read_bounded(path, MAX_BYTES, "a project's config")
    except GaitError as error:
        raise _untrusted(path, f"the trusted file cannot be read: {error.message}") from error
    try:
        config = read(data, path)
        is_as_trusted = _mark(config) == trusted
    except GaitError:
        is_as_trusted = False
    if not is_as_trusted:
        raise _untrusted(path, "it, or a file in the project's folder that it names, was changed since it was trusted")
    return config, ""


def read(data: bytes, path: str) -> Config:
    """The config in a file's bytes.  InvalidInput: an unknown key, or a value that its option would not take."""
    folder = os.path.dirname(os.path.dirname(path))
    try:
        fields = Fields(yaml_subset.loads(data, path))
        for name, expected in (("schema_id", SCHEMA_ID), ("schema_version", SCHEMA_VERSION)):
            if fields.text(name, expected) != expected:
                raise refuse(fields.at(name), expected, fields.raw(name))
        values: dict[str, object] = {name: os.path.join(folder, fields.required(name)) for name in FILES if fields.given(name)}
        values.update((name, fields.required(name)) for name in TEXTS if fields.given(name))
        values.update((name, _word(fields, name)) for name in WORDS if fields.given(name))
        if fields.given(APPROVERS):
            values[APPROVERS] = [_approver(folder, fields, index) for index in range(len(fields.items(APPROVERS)))]
        fields.done()
    except InvalidInput as error:
        error.where = error.where or path
        raise
    return Config(path, hashlib.sha256(data).hexdigest(), values)


def pinned(config: Config) -> list[tuple[str, str]]:
    """The files (option, path) in the project's folder that a config names: an agent can change them, so they are trusted as they are."""
    from .approvals import named as approver_place

    folder = os.path.join(os.path.dirname(os.path.dirname(config.path)), "")
    approvers = config.values.get(APPROVERS, [])
    named = [(name, str(config.values[name])) for name in FILES if name != "journal" and name in config.values]
    named += [(APPROVERS, approver_place(text)[1]) for text in approvers]  # type: ignore[attr-defined]
    return [(name, path) for name, path in named if any(form(path).startswith(folder) for form in (os.path.normpath, os.path.realpath))]


def trust(folder: str) -> Config:
    """Believe a project's config, and what it names in the project's folder, as they are now.  InvalidInput: it is not one."""
    folder = os.path.realpath(folder)
    path = os.path.join(folder, NAME)
    config = read(files.read_bounded(path, MAX_BYTES, "a project's config"), path)
    _record(folder, _mark(config))
    return config


def distrust(folder: str) -> bool:
    """Forget a project; False when it was not trusted."""
    return _record(os.path.realpath(folder), "")


def _mark(config: Config) -> str:
    """What changes when the config does, or a file that is pinned with it.  GaitError: one cannot be read."""
    digests = [_digest(path) for _, path in pinned(config)]
    return hashlib.sha256("".join([config.digest, *digests]).encode("ascii")).hexdigest() if digests else config.digest


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(files.read_bounded(path, _MAX_NAMED_BYTES, "a file that a project's config names")).hexdigest()
    except InvalidInput as error:
        if error.error_code != "file_not_found":
            raise
        return "none"


def _word(fields: Fields, name: str) -> str:
    found = fields.word(name, WORDS[name])
    if not found:
        raise refuse(fields.at(name), f"one of {', '.join(WORDS[name])}", fields.raw(name))
    return found


def _approver(folder: str, fields: Fields, index: int) -> str:
    text = fields.items(APPROVERS)[index]
    if type(text) is not str or not text.strip():
        raise refuse((*fields.at(APPROVERS), index), "[NAME=]FILE", text)
    name, equals, path = text.rpartition("=")
    return name + equals + os.path.join(folder, path)


def _untrusted(path: str, why: str) -> UnsafeOperation:
    hint = "look at it, then: gait config trust; to go on without it: gait config trust --remove"
    return UnsafeOperation(why, where=path, hint=hint, code="config_untrusted")


def _trust_path() -> str:
    return os.path.join(keys.home(), _TRUST)


def _trusted() -> dict[str, str]:
    """The digest that each trusted project's config has.  GaitError: the record cannot be believed."""
    path = _trust_path()
    if not os.path.lexists(path):
        return {}
    fields = Fields(strict_json.loads_object(files.read_private(path, MAX_BYTES * 64, "the trusted projects"), path))
    if fields.raw("schema_id") != TRUST_ID or fields.raw("schema_version") != SCHEMA_VERSION:
        raise refuse(fields.at("schema_id"), f"{TRUST_ID} {SCHEMA_VERSION}", fields.raw("schema_id"))
    projects = fields.object("projects")
    fields.done()
    for folder, digest in projects.items():
        if type(digest) is not str or not _DIGEST.fullmatch(digest):
            raise refuse(("projects", folder), "64 lowercase hex digits", digest)
    return projects  # type: ignore[return-value]


def _record(folder: str, digest: str) -> bool:
    files.private_directory(keys.home())
    with files.lock(_trust_path() + ".lock"):
        projects = _trusted()
        was_there = projects.pop(folder, None) is not None
        if digest:
            projects[folder] = digest
        if len(projects) > _MAX_PROJECTS:
            raise InvalidInput(f"expected at most {_MAX_PROJECTS} trusted projects, got one more", where=_trust_path(), code="too_many_projects")
        value = {"schema_id": TRUST_ID, "schema_version": SCHEMA_VERSION, "projects": projects}
        files.write_atomic(_trust_path(), (strict_json.dumps(value) + "\n").encode("ascii"), sync=True)
    return was_there
