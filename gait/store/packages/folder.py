"""A package's folder: what is in it, and whether it is what a signed manifest lists, no file more and none less.

A symlink, device or pipe in it is never followed or read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from ...errors import GaitError, InvalidInput, StorageError, VerificationFailed
from ...formats import strict_json
from ...formats.documents import TYPE_CHECKING, NamedTuple
from ...registry import manifest
from ...registry.manifest import SCHEMAS, Package
from ...system import files

if TYPE_CHECKING:
    from ...signing.envelope import Verifier

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
_MAX_ENTRIES = 2 * manifest.MAX_FILES


class Finding(NamedTuple):
    """One thing that is wrong with a package: in which file (empty: the manifest's signature)."""

    code: str
    path: str
    message: str

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return {name: text for name, text in self._asdict().items() if text}

    def line(self) -> str:
        """As text."""
        return f"{self.path or 'manifest'}: {self.code}: {self.message}"

    def error(self, where: str) -> VerificationFailed:
        """The same as an error."""
        return VerificationFailed(f"{self.path + ': ' if self.path else ''}{self.message}", where=where, hint="do not use this package", code=self.code)


class Checked(NamedTuple):
    """A folder's package, None where no manifest can be read, with what is wrong; without findings it is what was signed.

    `key_id` names the key whose signature verified.
    """

    package: Package | None
    findings: tuple[Finding, ...]
    key_id: str = ""


def load(folder: str) -> Package:
    """The package that a folder's manifest describes, nothing of it checked.  InvalidInput: none, two, or a malformed one."""
    there = [name for name in SCHEMAS if os.path.lexists(os.path.join(folder, name))]
    if len(there) != 1:
        message = f"expected {' or '.join(SCHEMAS)} in this folder, got {'both' if there else 'neither'}"
        raise InvalidInput(message, where=folder, hint="gait registry build and gait skill sign make one", code="manifest_missing")
    return loads(read_file(folder, there[0], manifest.MAX_BYTES), os.path.join(folder, there[0]), there[0])


def loads(data: bytes, where: str, name: str) -> Package:
    """The package of a manifest's bytes; `name` says which kinds it may be.  InvalidInput, ParseError: it is none."""
    value = strict_json.loads_object(data, where, manifest.MAX_BYTES)
    try:
        package = manifest.read(value)
        if package.schema_id not in SCHEMAS[name]:
            raise InvalidInput(f"schema_id: must be {' or '.join(SCHEMAS[name])} in {name}; got {package.schema_id}")
    except InvalidInput as error:
        error.where, error.error_code = error.where or where, "manifest_invalid"
        raise
    return package


def check(folder: str, keys: Verifier | None) -> Checked:
    """Everything that is wrong with a folder.  `keys` None looks at no signature."""
    try:
        package = load(folder)
    except GaitError as error:
        return Checked(None, (Finding(error.error_code, "", error.message),))
    found = [*_signature_findings(package, keys), *file_findings(folder, package)]
    return Checked(package, tuple(found), "" if found or keys is None else key_id(package, keys))


def require(folder: str, keys: Verifier) -> Checked:
    """The same without findings.  VerificationFailed: the first one."""
    checked = check(folder, keys)
    for finding in checked.findings:
        raise finding.error(folder)
    return checked


def key_id(package: Package, keys: Verifier) -> str:
    """The id of the first key whose signature verifies."""
    signatures = package.value.get("signatures")
    for signature in signatures if type(signatures) is list else ():
        alone = package._replace(value={**package.value, "signatures": [signature]})
        try:
            manifest.require_signed(alone, keys)
        except VerificationFailed:
            continue
        return str(signature["key_id"])
    return ""


def _signature_findings(package: Package, keys: Verifier | None) -> Iterator[Finding]:
    if keys is None:
        return
    try:
        manifest.require_signed(package, keys)
    except VerificationFailed as error:
        yield Finding(error.error_code, "", error.message)


def file_findings(folder: str, package: Package) -> Iterator[Finding]:
    """Files that differ, are missing, or are there without being listed."""
    try:
        there = set(paths(folder))
    except GaitError as error:
        yield Finding(error.error_code, os.path.relpath(error.where, folder), error.message)
        return
    for path in sorted(package.files):
        if path not in there:
            yield Finding("file_missing", path, "expected this file, got none")
            continue
        try:
            digest = sha256(folder, path)
        except GaitError as error:
            yield Finding(error.error_code, path, error.message)
            continue
        if digest != package.files[path]:
            yield Finding("file_modified", path, f"expected SHA-256 {package.files[path]}, got {digest}")
    for path in sorted(there - set(package.files) - {package.manifest_name}):
        yield Finding("file_unlisted", path, "expected only files that the manifest lists, got another")


def paths(folder: str) -> Iterator[str]:
    """The relative paths of all files below a folder.  InvalidInput: something that is neither file nor folder, or too many."""
    return (path for path, _ in entries(folder))


def entries(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Each file's relative path and lstat."""
    waiting, count = [""], 0
    while waiting:
        below = waiting.pop()
        try:
            names = sorted(os.listdir(os.path.join(folder, below)))
        except OSError as error:
            raise StorageError(f"cannot list the folder: {error.strerror}", where=os.path.join(folder, below)) from error
        for name in names:
            count += 1
            path = f"{below}/{name}" if below else name
            place = os.path.join(folder, path)
            status = _lstat(place)
            if count > _MAX_ENTRIES:
                raise InvalidInput(f"expected at most {_MAX_ENTRIES} files and folders, got more", where=place, code="too_many_files")
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(status.st_mode):
                yield path, status
            else:
                raise InvalidInput("expected a regular file, got a link, pipe or device", where=place, hint="take it away", code="not_a_regular_file")


def _lstat(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise StorageError(f"cannot look at it: {error.strerror}", where=path) from error


def read_file(folder: str, path: str, max_bytes: int) -> bytes:
    """The bytes of a file below a folder.  InvalidInput: a symlink, whatever it leads to."""
    place = os.path.join(folder, path)
    if stat.S_ISLNK(_lstat(place).st_mode):
        raise InvalidInput("expected a regular file, got a symbolic link", where=place, code="not_a_regular_file")
    return files.read_bounded(place, max_bytes, "a file of a package")


def sha256(folder: str, path: str) -> str:
    """A file's digest in hex."""
    return hashlib.sha256(read_file(folder, path, MAX_FILE_BYTES)).hexdigest()


def sums(folder: str) -> dict[str, str]:
    """Path -> SHA-256 of all files but the manifests.  InvalidInput: a file that no manifest can list."""
    found = {}
    for path in paths(folder):
        if path in SCHEMAS:
            continue
        if not manifest.is_plain(path):
            hint = "rename it or take it away: letters, digits, . _ - in names that begin with none of the last two or a dot"
            raise InvalidInput("expected a plain file name, got one that a manifest cannot list", where=os.path.join(folder, path), hint=hint, code="file_name_invalid")
        found[path] = sha256(folder, path)
    return found
