"""The two manifests that list a package's files: `gait.registry.pack` 1.0.0 and a skill's own manifest, read into one form.

Invariant: a Package's name, version and paths are plain ones, which stay below the folder that they are joined to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import InvalidInput, VerificationFailed
from ..formats import jcs
from ..formats.archive.form import name_problem
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..formats.fields import Fields, lower, refuse, trim
from ..signing import envelope
from .sums import digest_of

if TYPE_CHECKING:
    from ..signing.envelope import Verifier

Record = dict[str, object]

PACK, SKILL, OPENCLAW_SKILL = "gait.registry.pack", "gait.skill.manifest", "gait.openclaw.skill_manifest"
# A manifest's file name in its folder, and the schemas that may be under it.
PACK_NAME, SKILL_NAME = "registry_pack.json", "skill_manifest.json"
SCHEMAS = {PACK_NAME: (PACK,), SKILL_NAME: (SKILL, OPENCLAW_SKILL)}
SCHEMA_VERSION = "1.0.0"
PACK_TYPES = ("policy", "skill", "pack")
MAX_BYTES = 1024 * 1024
MAX_FILES = 2000
MAX_SIGNATURES = 16  # each costs milliseconds

_VERSION = re.compile(r"1\.[0-9]{1,9}\.[0-9]{1,9}")
_DIGEST = re.compile("[0-9a-f]{64}")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)")  # on Windows, whatever folder it is named in
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_TAKEN = ("pins",)  # what else is in the cache's folder
_LOWERED = ("pack_type", "publisher", "source")


class Package(NamedTuple):
    """What a manifest says.  `files` maps each path to its SHA-256; `digest` is what pins name and provenance carries.

    `value` is the document in the form that is signed and stored; `publisher` and `source` may be empty where no skill is meant.
    """

    schema_id: str
    name: str
    version: str
    pack_type: str
    publisher: str
    source: str
    files: Mapping[str, str]
    digest: str
    value: Record

    @property
    def manifest_name(self) -> str:
        """The manifest's file name."""
        return PACK_NAME if self.schema_id == PACK else SKILL_NAME

    @property
    def purpose(self) -> str:
        """What its signatures are for."""
        return envelope.REGISTRY_PACK if self.schema_id == PACK else envelope.SKILL_MANIFEST

    @property
    def pin(self) -> str:
        """The text of a pin."""
        return f"sha256:{self.digest}"


def read(value: Record) -> Package:
    """The package of a manifest's document.  InvalidInput names the field that is not acceptable.  No signature is looked at."""
    fields = Fields(value)
    schema_id = fields.text("schema_id")
    if schema_id not in (PACK, SKILL, OPENCLAW_SKILL):
        raise refuse(("schema_id",), f"one of {PACK}, {SKILL}, {OPENCLAW_SKILL}", value.get("schema_id"))
    version = value.get("schema_version")
    if type(version) is not str or not _VERSION.fullmatch(version):
        raise refuse(("schema_version",), "a 1.x version", version)
    if len(fields.items("signatures")) > MAX_SIGNATURES:
        raise refuse(("signatures",), f"at most {MAX_SIGNATURES} signatures", fields.items("signatures"))
    return _read_pack(fields, value) if schema_id == PACK else _read_skill(fields, value, schema_id)


def _read_pack(fields: Fields, value: Record) -> Package:
    named = {name: lower(fields.text(name)) for name in _LOWERED if fields.has(name)}
    stored: Record = {**value, **named}
    digest = jcs.digest({name: item for name, item in stored.items() if name != "signatures"})
    files = _files(fields, "artifacts")
    name, version = _word(fields, "pack_name"), _word(fields, "pack_version")
    about = (named.get("pack_type", ""), named.get("publisher", ""), named.get("source", ""))
    if about[0] == "skill":
        _require_origin(fields)
    return Package(PACK, name, version, *about, files, digest, stored)


def _read_skill(fields: Fields, value: Record, schema_id: str) -> Package:
    files = _files(fields, "files")
    digest = digest_of(files)
    if value.get("package_digest") != digest:
        raise refuse(("package_digest",), f"the digest of the files, {digest}", value.get("package_digest"))
    about = (fields.text("publisher"), lower(fields.text("source")))
    return Package(schema_id, _word(fields, "name"), _word(fields, "version"), "skill", *about, files, digest, value)


def _require_origin(fields: Fields) -> None:
    """Provenance without these would name nobody."""
    fields.required("publisher")
    fields.required("source")


def _word(fields: Fields, name: str) -> str:
    text = fields.required(name)
    if not _WORD.fullmatch(text) or ".." in text or text.endswith(".") or (name == "pack_name" and text.lower() in _TAKEN):
        raise refuse(fields.at(name), "1 to 128 letters, digits, . _ + or -, without .., and not pins", text)
    return text


def _files(fields: Fields, name: str) -> dict[str, str]:
    items = fields.items(name)
    if not 1 <= len(items) <= MAX_FILES:
        raise refuse(fields.at(name), f"a list of 1 to {MAX_FILES} files", items)
    found: dict[str, str] = {}
    for index, item in enumerate(items):
        entry = Fields(item, (*fields.at(name), index))
        path, digest = entry.raw("path"), entry.raw("sha256")
        if type(path) is not str or not is_plain(path):
            raise refuse(entry.at("path"), "a plain relative path", path)
        if type(digest) is not str or not _DIGEST.fullmatch(digest):
            raise refuse(entry.at("sha256"), "64 lowercase hex digits", digest)
        found[path] = digest
    _check_apart(found, len(items), fields.at(name))
    return found


def _check_apart(files: Mapping[str, str], count: int, path: tuple[str | int, ...]) -> None:
    """Two names of one file, where case does not count either, or a file where another's folder must be."""
    folded = {name.lower() for name in files}
    folders = {"/".join(parts[:depth]) for name in folded for parts in [name.split("/")] for depth in range(1, len(parts))}
    if len(folded) != count or folded & folders:
        raise refuse(path, "files of different names", "a name that is there twice")


def is_plain(path: str) -> bool:
    """True for a relative path of plain names that no system reads in another way, and that is no manifest's."""
    steps = path.lower().split("/")
    return not (name_problem(path) or any(step.endswith(".") or _DEVICE.match(step) for step in steps) or steps[-1] in SCHEMAS)


def require_signed(package: Package, keys: Verifier) -> Package:
    """The package itself.  VerificationFailed: no signature of it verifies with these keys."""
    for problem in envelope.verify_all(package.value, keys, package.purpose):
        raise problem
    return package


def require_pin(package: Package, pin: str) -> None:
    """VerificationFailed `pin_mismatch`: the package is not the pinned one."""
    if package.digest != read_pin(pin):
        message = f"expected the pinned package {pin.strip()[:80]}, got {package.pin}"
        raise VerificationFailed(message, hint="do not install it; ask the publisher which of the two is right", code="pin_mismatch")


def read_pin(text: str) -> str:
    """The digest of a pin, `sha256:` and 64 hex digits.  InvalidInput: anything else."""
    prefix, _, digest = trim(text).lower().partition(":")
    if prefix == "sha256" and _DIGEST.fullmatch(digest):
        return digest
    raise InvalidInput(f"expected sha256: and 64 hex digits, got {text[:80]!r}", where="--pin", hint="copy the pin that the publisher gives", code="pin_malformed")


def pack(files: Mapping[str, str], name: str, version: str, created_at: str, producer_version: str, **about: str) -> Package:
    """A new registry manifest, not signed; `about` may hold pack_type, publisher, source, risk_class and use_case."""
    head = {"schema_id": PACK, "schema_version": SCHEMA_VERSION, "created_at": created_at, "producer_version": producer_version}
    given = {key: text for key, text in about.items() if text}
    artifacts = [{"path": path, "sha256": files[path]} for path in sorted(files)]
    return read({**head, "pack_name": name, "pack_version": version, **given, "artifacts": artifacts, "signatures": []})


def skill(files: Mapping[str, str], name: str, version: str, publisher: str, source: str, old: Mapping[str, object]) -> Package:
    """A skill's manifest, not signed: what `old` says beside these fields stays."""
    head = {"schema_id": old.get("schema_id", SKILL), "schema_version": old.get("schema_version", SCHEMA_VERSION)}
    listed = [{"path": path, "sha256": files[path]} for path in sorted(files)]
    about = {"name": name, "version": version, "publisher": publisher, "source": source}
    return read({**head, **old, **about, "files": listed, "package_digest": digest_of(files), "signatures": []})


def signed(package: Package, signature: Record) -> Package:
    """The package with one signature more."""
    signatures = package.value.get("signatures")
    return read({**package.value, "signatures": [*(signatures if type(signatures) is list else []), signature]})
