"""Packages for tests: documents, folders and keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gait.formats import jcs
from gait.registry import manifest
from gait.signing import ed25519, envelope, keys
from gait.signing.keys import Keyring
from scripts import ed25519_fixtures

KEY = keys.make(bytes(range(5, 37)))
RING = Keyring("package", KEY)
STRANGER = Keyring("package", keys.make(bytes(range(90, 122))))
PUBLIC_RAW = ed25519_fixtures.public(ed25519_fixtures.scalar_of(ed25519_fixtures.SEED)[0])
PUBLIC = ed25519.make(PUBLIC_RAW)
TIME = "2026-02-05T00:00:00Z"
FILES = {"SKILL.md": b"# a skill\n", "bin/run.py": b"print(1)\n", "data/empty": b""}
SUMS = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}


def pack(**changes: object) -> dict:
    """An unsigned registry manifest with other fields; None drops one."""
    about = {"pack_type": "skill", "publisher": "acme", "source": "registry"}
    value = {**manifest.pack(SUMS, "safe-writer", "1.2.0", TIME, "1.8.0", **about).value, **changes}
    return {name: item for name, item in value.items() if item is not None}


def skill(**changes: object) -> dict:
    """An unsigned skill manifest with other fields; None drops one."""
    value = {**manifest.skill(SUMS, "safe-writer", "1.2.0", "acme", "git", {}).value, **changes}
    return {name: item for name, item in value.items() if item is not None}


def signed(value: dict, key: keys.Key = KEY) -> dict:
    """The document with an HMAC signature in its list."""
    package = manifest.read(value)
    unsigned = {name: item for name, item in package.value.items() if name != "signatures"}
    return manifest.signed(package, envelope.sign(unsigned, key, package.purpose)["signature"]).value


def signed_elsewhere(value: dict) -> dict:
    """The document with an Ed25519 signature."""
    package = manifest.read(value)
    digest = jcs.digest({name: item for name, item in package.value.items() if name != "signatures"})
    sig = keys.base64_dumps(ed25519_fixtures.sign(ed25519_fixtures.SEED, bytes.fromhex(digest)))
    return manifest.signed(package, {"alg": "ed25519", "key_id": PUBLIC.key_id, "sig": sig, "signed_digest": digest}).value


def folder(path: Path, value: dict | None = None) -> Path:
    """A folder with the files, and the manifest when one is given."""
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    if value:
        (path / manifest.read(value).manifest_name).write_bytes(jcs.dumps(value))
    return path


def ring_file(path: Path, ring: Keyring = RING) -> Path:
    """A key ring's file."""
    from json import dumps

    path.write_text(dumps(ring.to_value()))
    path.chmod(0o600)
    return path


def public_file(path: Path) -> Path:
    """The public key's file."""
    path.write_bytes(keys.base64_dumps(PUBLIC_RAW).encode("ascii"))
    return path
