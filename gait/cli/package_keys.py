"""How commands name the keys of packages, sign a manifest, and show what is wrong with one."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..errors import InvalidInput, VerificationFailed
from ..formats import jcs
from ..formats.documents import TYPE_CHECKING
from ..registry import manifest
from ..signing import envelope
from ..store import keys
from ..store.packages.folder import Checked
from ..system import files
from . import shared

if TYPE_CHECKING:
    from ..registry.manifest import Package
    from ..signing.envelope import Verifier


def verify_options(parser: argparse.ArgumentParser) -> None:
    """Which key must have signed."""
    parser.add_argument("--public-key", metavar="FILE", help="the publisher's Ed25519 key, base64 or PEM")
    parser.add_argument("--private-key", metavar="FILE", help="or a key ring for purpose package")


def sign_options(parser: argparse.ArgumentParser) -> None:
    """Which key signs, or what has been signed elsewhere."""
    parser.add_argument("--private-key", metavar="FILE", help="sign with this key ring for purpose package")
    parser.add_argument("--signature", metavar="FILE", help="or add an Ed25519 signature made elsewhere of the 32 bytes of to_sign")
    parser.add_argument("--public-key", metavar="FILE", help="with --signature: the key that made it")


def verifier(args: argparse.Namespace) -> Verifier:
    """The key of the options.  InvalidInput: none or two."""
    return keys.package_keys(args.public_key, args.private_key)


def signed(args: argparse.Namespace, package: Package) -> Package:
    """The package with a signature more, as the options say; itself when they say nothing."""
    if bool(args.signature) != bool(args.public_key) or (args.signature and args.private_key):
        message = "expected --private-key, or --signature with --public-key, or none of them"
        raise InvalidInput(message, hint="without them, to_sign is printed for a signature made elsewhere", code="invalid_usage")
    if args.private_key:
        ring = keys.load(args.private_key, "package")
        unsigned = {name: item for name, item in package.value.items() if name != "signatures"}
        signature = envelope.sign(unsigned, ring.active, package.purpose)["signature"]
        return manifest.signed(package, signature)  # type: ignore[arg-type]
    return _with_signature(args, package) if args.signature else package


def _with_signature(args: argparse.Namespace, package: Package) -> Package:
    """The package with a signature that another tool has made, once it verifies."""
    from ..signing import ed25519
    from ..signing.keys import base64_dumps

    key = keys.load_public(args.public_key)
    sig = files.read_bounded(args.signature, 4096, "a signature")
    text = base64_dumps(sig) if len(sig) == ed25519.SIGNATURE_BYTES else b"".join(sig.split()).decode("ascii", "replace")
    signature: dict[str, object] = {"alg": ed25519.ALGORITHM, "key_id": key.key_id, "sig": text, "signed_digest": to_sign(package)}
    found = manifest.signed(package, signature)
    try:
        manifest.require_signed(found._replace(value={**found.value, "signatures": [signature]}), key)
    except VerificationFailed as error:
        error.where, error.hint = args.signature, "sign the 32 bytes whose hex digits are to_sign"
        raise
    return found


def to_sign(package: Package) -> str:
    """The digest that a signature is of, in hex."""
    return unsigned_digest(package.value)


def unsigned_digest(value: dict[str, object]) -> str:
    """The digest of a manifest without its signatures."""
    return jcs.digest({name: item for name, item in value.items() if name != "signatures"})


def finish(args: argparse.Namespace, package: Package) -> int:
    """Sign a manifest as the options say, write it into its folder, and print what was written."""
    package = signed(args, package)
    path = os.path.join(args.folder, package.manifest_name)
    files.write_atomic(path, (json.dumps(package.value, indent=2, ensure_ascii=True) + "\n").encode("ascii"), 0o644)
    signatures = package.value["signatures"]
    value = {"ok": True, "path": path, **about(package), "signatures": len(signatures), "to_sign": to_sign(package)}  # type: ignore[arg-type]
    rows = [("wrote", path), ("package", f"{package.name} {package.version}"), ("digest", package.pin)]
    rows += [("to_sign", to_sign(package))] if not signatures else [("signatures", str(len(signatures)))]  # type: ignore[arg-type]
    shared.emit(args, value, shared.rows(rows))
    return 0


def about(package: Package) -> dict[str, object]:
    """What answers say of a package."""
    named = {"name": package.name, "version": package.version, "pack_type": package.pack_type, "publisher": package.publisher, "source": package.source}
    return {**{name: text for name, text in named.items() if text}, "digest": package.digest, "files": len(package.files)}


def checked_value(checked: Checked, where: str) -> dict[str, object]:
    """A checked package as JSON: the error of its first finding, or ok."""
    value = checked.findings[0].error(where).to_value() if checked.findings else {"ok": True}
    told = about(checked.package) if checked.package else {}
    return {**value, "path": where, **told, "key_id": checked.key_id or None, "findings": [finding.to_value() for finding in checked.findings]}


def checked_lines(checked: Checked, where: str) -> list[str]:
    """A checked package as text."""
    package = checked.package
    name = f"{package.name} {package.version}" if package else where
    if checked.findings or package is None:
        lines = [shared.plain(f"finding: {finding.line()}") for finding in checked.findings]
        return [*lines, f"{shared.colored('error', 'NOT VERIFIED', sys.stdout)}: {shared.plain(name)}: {len(checked.findings)} findings"]
    by = f", published by {package.publisher}" if package.publisher else ""
    told = shared.plain(f"{name}{by}: {len(package.files)} files, {package.pin}, key {checked.key_id}")
    return [f"{shared.colored('ok', 'ok', sys.stdout)}: {told}"]
