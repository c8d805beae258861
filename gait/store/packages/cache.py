"""Installed registry packs: <cache>/<name>/<version>/<digest>/ with the manifest and its files, and <cache>/pins/<name>.pin.

Invariants: nothing is written before the manifest's pin, publisher and signature are checked; a package is there whole or not at
all; names come from checked manifests only, so that no path leaves the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator

from ...errors import GaitError, InvalidInput, StorageError, UnsafeOperation, VerificationFailed
from ...formats import jcs
from ...formats.documents import TYPE_CHECKING, NamedTuple
from ...registry import manifest
from ...registry.manifest import PACK_NAME, Package
from ...system import files
from . import folder as folders
from .folder import Checked, Finding

if TYPE_CHECKING:
    from ...signing.envelope import Verifier
    from .sources import Source

_PINS = "pins"
_STAGE, _OLD = ".stage-", ".old-"
_LOCK_SECONDS = 600.0  # another installation may be downloading


class Terms(NamedTuple):
    """What a package must be: `pin` empty for any, `publishers` empty for any."""

    keys: Verifier
    pin: str = ""
    publishers: tuple[str, ...] = ()


class Installed(NamedTuple):
    """A package in the cache.  `result` is installed, unchanged or cached: taken from the cache, since the source was out of reach."""

    package: Package
    folder: str
    pin_path: str
    result: str
    warnings: tuple[str, ...] = ()


class Entry(NamedTuple):
    """What is at one place of the cache; `problem` says why it is no package.  `pinned` is the digest of its name's pin, or empty."""

    folder: str
    name: str
    version: str
    digest: str
    pinned: str
    problem: str = ""


def install(cache: str, source: Source, terms: Terms) -> Installed:
    """Put a source's package into the cache and pin it.

    VerificationFailed: pin, signature or a file's digest.  UnsafeOperation: the publisher is not listed, or the version is there with
    another content.  InvalidInput: no good manifest.  Other GaitErrors: the source is out of reach, and no pinned package is there.
    """
    try:
        data = source.read(PACK_NAME, manifest.MAX_BYTES)
    except GaitError as error:
        if not source.is_remote:
            raise
        return _cached(cache, terms, error)
    package = folders.loads(data, source.name, PACK_NAME)
    _check(package, terms, source.name)
    try:
        return _install(cache, source, package, terms)
    except _Missing as missing:
        return _cached(cache, terms, missing.error)


class _Missing(Exception):
    """A file could not be fetched."""

    def __init__(self, error: GaitError) -> None:
        super().__init__(str(error))
        self.error = error


def _check(package: Package, terms: Terms, where: str) -> None:
    """Everything that a manifest alone can show."""
    allowed = {name.strip().lower() for text in terms.publishers for name in text.split(",")} - {""}
    try:
        if terms.pin:
            manifest.require_pin(package, terms.pin)
        manifest.require_signed(package, terms.keys)
    except VerificationFailed as error:
        error.where = where
        raise
    if terms.publishers and package.publisher not in allowed:
        message = f"expected a listed publisher ({', '.join(sorted(allowed)) or 'none'}), got {package.publisher[:80]!r}"
        raise UnsafeOperation(message, where=where, hint="add it to --publisher-allowlist if you trust it", code="publisher_not_allowed")


def _install(cache: str, source: Source, package: Package, terms: Terms) -> Installed:
    place = os.path.join(cache, package.name, package.version, package.digest)
    files.private_directory(cache)
    with files.lock(os.path.join(cache, ".lock"), _LOCK_SECONDS):
        _clear(cache)
        _check_version(os.path.dirname(place), package, terms.pin)
        is_there = os.path.isdir(place) and not os.path.islink(place) and not folders.check(place, terms.keys).findings
        if not is_there:
            _put(cache, _staged(cache, source, package), place)
        return Installed(package, place, _pin(cache, package), "unchanged" if is_there else "installed")


def _staged(cache: str, source: Source, package: Package) -> str:
    """A folder in the cache with the whole package, each file checked.  _Missing: a file cannot be had."""
    stage = os.path.join(cache, _STAGE + os.urandom(8).hex())
    files.private_directory(stage)
    try:
        left = folders.MAX_TOTAL_BYTES
        for path in sorted(package.files):
            data = _file(source, path, min(left, folders.MAX_FILE_BYTES))
            left -= len(data)
            if hashlib.sha256(data).hexdigest() != package.files[path]:
                message = f"{path}: expected the SHA-256 of the manifest, {package.files[path]}, got another"
                raise VerificationFailed(message, where=source.name, hint="do not install it", code="file_modified")
            files.private_directory(os.path.dirname(os.path.join(stage, path)))
            files.write_exclusive(os.path.join(stage, path), data, 0o600)
        files.write_exclusive(os.path.join(stage, PACK_NAME), jcs.dumps(package.value), 0o600, sync=True)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return stage


def _file(source: Source, path: str, max_bytes: int) -> bytes:
    try:
        return source.read(path, max_bytes)
    except GaitError as error:
        if source.is_remote:
            raise _Missing(error) from error
        raise


def _put(cache: str, stage: str, place: str) -> None:
    """Rename a staged folder to its place, and what was there away."""
    old = os.path.join(cache, _OLD + os.urandom(8).hex())
    try:
        files.private_directory(os.path.dirname(os.path.dirname(place)))
        files.private_directory(os.path.dirname(place))
        if os.path.lexists(place):
            os.rename(place, old)
        os.rename(stage, place)
    except OSError as error:
        raise StorageError(f"cannot put the package there: {error.strerror}", where=place) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _remove(old)


def _clear(cache: str) -> None:
    """Take away what an interrupted installation has left; the lock is held, so that none of it is in use."""
    for name in os.listdir(cache):
        if name.startswith((_STAGE, _OLD)):
            _remove(os.path.join(cache, name))


def _remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _check_version(folder: str, package: Package, pin: str) -> None:
    """A version's content changes only when the operator names the new one."""
    others = sorted(set(os.listdir(folder)) - {package.digest}) if os.path.isdir(folder) else []
    if others and not pin:
        message = f"expected the content that {package.name} {package.version} has had, sha256:{others[0][:64]}, got {package.pin}"
        raise UnsafeOperation(message, where=folder, hint="ask the publisher; then name the right one with --pin", code="version_changed")


def _pin(cache: str, package: Package) -> str:
    pins = os.path.join(cache, _PINS)
    files.private_directory(pins)
    path = os.path.join(pins, package.name + ".pin")
    files.write_atomic(path, (package.pin + "\n").encode("ascii"), sync=True)
    return path


def _cached(cache: str, terms: Terms, error: GaitError) -> Installed:
    """The pinned package that is there already, where the source is out of reach.  The error itself: there is none, or no pin."""
    from ...system.download import is_passing

    if not terms.pin or not is_passing(error):
        raise error
    digest = manifest.read_pin(terms.pin)
    for entry in entries(cache):
        if entry.digest == digest and not entry.problem:
            package = folders.require(entry.folder, terms.keys).package
            if package is not None:
                _check(package, terms, entry.folder)
                with files.lock(os.path.join(cache, ".lock"), _LOCK_SECONDS):
                    pin_path = _pin(cache, package)
                return Installed(package, entry.folder, pin_path, "cached", (f"the source is out of reach, so the pinned package of the cache is used: {error}",))
    raise error


def entries(cache: str) -> Iterator[Entry]:
    """All that is installed, in order."""
    for name in _names(cache):
        if name == _PINS or name.startswith("."):
            continue
        pinned = read_pin(cache, name)
        for version in _names(os.path.join(cache, name)):
            for digest in _names(os.path.join(cache, name, version)):
                yield _entry(os.path.join(cache, name, version, digest), name, version, digest, pinned)


def _entry(folder: str, name: str, version: str, digest: str, pinned: str) -> Entry:
    try:
        if os.path.islink(folder):
            raise InvalidInput("expected a folder, got a link", where=folder)
        package = folders.load(folder)
    except GaitError as error:
        return Entry(folder, name, version, digest, pinned, str(error))
    is_same = (package.name, package.version, package.digest, package.manifest_name) == (name, version, digest, PACK_NAME)
    return Entry(folder, name, version, digest, pinned, "" if is_same else "the manifest is of another package than its place")


def _names(folder: str) -> list[str]:
    if os.path.islink(folder) or not os.path.isdir(folder):
        return []
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise StorageError(f"cannot list the folder: {error.strerror}", where=folder) from error


def read_pin(cache: str, name: str) -> str:
    """The digest of a name's pin; empty where there is none, or it is none."""
    try:
        return manifest.read_pin(folders.read_file(os.path.join(cache, _PINS), name + ".pin", 200).decode("ascii", "replace"))
    except GaitError:
        return ""


def check(cache: str, entry: Entry, keys: Verifier) -> Checked:
    """Everything that is wrong with an installed package: its files, its signature, its place, its pin."""
    checked = folders.check(entry.folder, keys)
    found = list(checked.findings)
    if entry.problem and checked.package is not None:
        found.append(Finding("manifest_invalid", "", entry.problem))
    if not entry.pinned:
        found.append(Finding("pin_missing", "", f"expected a pin of {entry.name}, got none"))
    elif not any(other.digest == entry.pinned for other in entries(cache) if other.name == entry.name):
        found.append(Finding("pin_mismatch", "", f"expected the pinned package sha256:{entry.pinned} here, got others"))
    return Checked(checked.package, tuple(found), "" if found else checked.key_id)


def named(cache: str, name: str) -> Iterable[Entry]:
    """The installed packages of a name, all for an empty one.  InvalidInput: there is none."""
    found = [entry for entry in entries(cache) if not name or entry.name == name]
    if not found:
        what = f"a package {name[:80]!r}" if name else "a package"
        raise InvalidInput(f"expected {what} in the cache, got none", where=cache, hint="gait registry install", code="package_not_installed")
    return found
