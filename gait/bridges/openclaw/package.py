"""The skill package gait-gate: its files, its manifest, and what has become of an installed copy.

Invariant: the manifest and every file of it depend on the package alone, not on the time, the place or the user.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping

from ... import __version__, build
from ...errors import GaitError, InvalidInput, MissingDependency, VerificationFailed
from ...formats import strict_json
from ...formats.documents import NamedTuple
from ...system import files

NAME = "gait-gate"
MANIFEST = "skill_manifest.json"
ENTRYPOINT = "gait_openclaw_gate.py"
PLUGIN = ("package.json", "openclaw.plugin.json", "index.js")
PLACE = "gait-gate.json"  # beside index.js: where the rest is
RECORD = "install.json"  # what the installer changed outside of its folders
EDITABLE = ("policy.yaml", "skill_config.json")
EXECUTABLE = (ENTRYPOINT, "gait.py")
SHIPPED = ("SKILL.md", "README.md", *EDITABLE, ENTRYPOINT, *(f"plugin/{name}" for name in PLUGIN))
_MAX_BYTES = 4 * 1024 * 1024


class Finding(NamedTuple):
    """What differs in an installed copy."""

    path: str
    what: str


def collect(root: str) -> dict[str, bytes]:
    """Path -> bytes of the whole package: skills/openclaw of a checkout, and its gait.py and gait/ beside them."""
    folder = os.path.join(root, "skills", "openclaw")
    if not os.path.isdir(folder):
        hint = "run scripts/install_openclaw_skill.sh of a checkout or release of Gait"
        raise MissingDependency("expected the package here, found none", where=folder, hint=hint, code="package_missing")
    found = {path: _read(os.path.join(folder, path)) for path in SHIPPED}
    found["gait.py"] = _read(os.path.join(root, "gait.py"))
    for path in _own_files(os.path.join(root, "gait")):
        found["gait/" + path] = _read(os.path.join(root, "gait", path))
    return dict(sorted(found.items()))


def shipped(root: str) -> dict[str, bytes]:
    """Only what skills/openclaw holds itself, without the vendored part."""
    return {path: data for path, data in collect(root).items() if path in SHIPPED}


def _own_files(root: str) -> Iterator[str]:
    """The regular files below a folder, without what tools leave there; a symlink is refused."""
    for name in build.own_files(root):
        path = os.path.join(root, name)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise InvalidInput("expected a regular file", where=path, hint="copy the checkout anew", code="package_invalid")
        yield name


def _read(path: str) -> bytes:
    return files.read_bounded(path, _MAX_BYTES, "a file of the package")


# --- the manifest --------------------------------------------------------------------------------


def sums_of(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Path -> SHA-256 in hex."""
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(contents.items())}


def manifest(contents: Mapping[str, bytes]) -> dict[str, object]:
    """The manifest of these files.  `signatures` is where a publisher puts his own."""
    sums = sums_of(contents)
    return {
        "schema_id": "gait.openclaw.skill_manifest",
        "schema_version": "1.0.0",
        "name": NAME,
        "framework": "openclaw",
        "version": __version__,
        "entrypoint": ENTRYPOINT,
        "plugin": {"id": NAME, "path": "plugin", "entrypoint": "plugin/index.js"},
        "requires": {"bins": ["python3"], "python": ">=3.9", "openclaw": ">=2026.3.28"},
        "files": [{"path": path, "sha256": digest} for path, digest in sums.items()],
        "package_digest": build.digest_of(sums),
        "signatures": [],
    }


def dumps(value: Mapping[str, object]) -> bytes:
    """A document of the package as its file."""
    return (json.dumps(value, indent=2) + "\n").encode("ascii")


def read_manifest(folder: str) -> dict[str, str]:
    """Path -> SHA-256 of an installed copy.  VerificationFailed: there is no manifest of this package."""
    path = os.path.join(folder, MANIFEST)
    try:
        value = strict_json.loads_object(_read(path), path)
        if value.get("name") != NAME:
            raise InvalidInput(f"expected the manifest of {NAME}", where=path)
        sums = {str(item["path"]): str(item["sha256"]) for item in value["files"]}  # type: ignore[attr-defined]
    except (GaitError, OSError, LookupError, TypeError) as error:
        raise VerificationFailed(f"no manifest of {NAME}: {error}", where=path, hint="install it again", code="manifest_invalid") from None
    if build.digest_of(sums) != value.get("package_digest"):
        raise VerificationFailed("the package digest is not that of its files", where=path, hint="install it again", code="manifest_invalid")
    return sums


def findings(folder: str, compiles: bool = True) -> Iterator[Finding]:
    """What differs from the manifest: changed, missing and foreign files; with `compiles`, .pyc that are not what they stand for."""
    sums = read_manifest(folder)
    for path, expected in sums.items():
        try:
            data = _read(os.path.join(folder, path))
        except GaitError as error:
            yield Finding(path, "missing" if error.error_code == "file_not_found" else str(error))
            continue
        if hashlib.sha256(data).hexdigest() != expected and path not in EDITABLE:
            yield Finding(path, "modified")
    for path in _installed_files(folder):
        if path.endswith(".pyc"):
            if not compiles:
                continue
            yield from _compiled_findings(folder, path, sums)
        elif path not in sums and path not in (MANIFEST, RECORD, f"plugin/{PLACE}") and not is_backup(path):
            yield Finding(path, "not of the package")


def is_backup(path: str) -> bool:
    """A backup of an edited file."""
    return any(path.startswith(name + ".before-") for name in EDITABLE)


def _installed_files(root: str) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def _compiled_findings(folder: str, path: str, sums: Mapping[str, str]) -> Iterator[Finding]:
    """Python runs an unchecked .pyc whatever its source says, so it must hold what its source compiles to."""
    source = source_of(path)
    if source not in sums or not path.endswith(f".{sys.implementation.cache_tag}.pyc"):
        yield Finding(path, "not of the package")
        return
    try:
        with open(os.path.join(folder, path), "rb") as file:
            held = marshal.loads(file.read()[16:])
        expected = compile(_read(os.path.join(folder, source)), source, "exec", dont_inherit=True, optimize=0)
    except (OSError, GaitError, ValueError, EOFError, TypeError, SyntaxError) as error:
        yield Finding(path, f"unreadable: {error}")
        return
    if held != expected:
        yield Finding(path, "does not hold what its source compiles to")


def source_of(compiled: str) -> str:
    """gait/gate/__pycache__/trace.cpython-311.pyc -> gait/gate/trace.py"""
    folder, _, name = compiled.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py"


def compiled_path(path: str) -> str:
    """gait/gate/trace.py -> gait/gate/__pycache__/trace.cpython-311.pyc"""
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"


def compile_all(folder: str, paths: Iterable[str]) -> None:
    """Write the .pyc of each module, to be taken unchecked: a read-only copy without them starts five times slower."""
    import py_compile

    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for path in filter(is_module, paths):
        target = os.path.join(folder, compiled_path(path))
        py_compile.compile(os.path.join(folder, path), target, path, doraise=True, optimize=0, invalidation_mode=mode)


def is_module(path: str) -> bool:
    """Whether a file of the package is compiled."""
    return path.startswith("gait/") and path.endswith(".py")
