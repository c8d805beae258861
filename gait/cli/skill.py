"""`gait skill`: sign a package of files, and verify one against its signed manifest."""

from __future__ import annotations

import argparse
import os

from ..errors import InvalidInput
from ..formats import strict_json
from ..registry import manifest
from ..store.packages import folder as folders
from . import package_keys, shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    sign = shared.verb(verbs, "sign", "list a folder's files in skill_manifest.json, and sign it", "gait skill sign DIR --publisher acme --source git --private-key FILE")
    sign.add_argument("folder", metavar="DIR", help="the package's folder")
    sign.add_argument("--name", help="the skill's name (default: as before)")
    sign.add_argument("--package-version", metavar="VERSION", help="its version (default: as before)")
    sign.add_argument("--publisher", help="who answers for it (default: as before)")
    sign.add_argument("--source", help="where it comes from, for example git or registry (default: as before)")
    package_keys.sign_options(sign)
    verify = shared.verb(verbs, "verify", "recompute a package's digests against its signed manifest", "gait skill verify DIR --public-key FILE")
    verify.add_argument("folder", metavar="DIR", help="the package's folder: one with skill_manifest.json or registry_pack.json")
    package_keys.verify_options(verify)


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0, or 2 when `verify` has findings."""
    if args.verb == "sign":
        return _sign(args)
    checked = folders.check(args.folder, package_keys.verifier(args))
    shared.emit(args, package_keys.checked_value(checked, args.folder), package_keys.checked_lines(checked, args.folder))
    return 2 if checked.findings else 0


def _sign(args: argparse.Namespace) -> int:
    old = _old(args.folder)
    name, version = _text(args, old, "name", "name"), _text(args, old, "package_version", "version")
    publisher, source = _text(args, old, "publisher", "publisher"), _text(args, old, "source", "source")
    package = manifest.skill(folders.sums(args.folder), name, version, publisher, source, old)
    if old and package_keys.to_sign(package) == package_keys.unsigned_digest(old):
        package = manifest.read(old)  # nothing has changed: its signatures stay beside the new one
    return package_keys.finish(args, package)


def _old(folder: str) -> dict[str, object]:
    """The manifest that is there, {} for none."""
    path = os.path.join(folder, manifest.SKILL_NAME)
    if not os.path.lexists(path):
        return {}
    return strict_json.loads_object(folders.read_file(folder, manifest.SKILL_NAME, manifest.MAX_BYTES), path)


def _text(args: argparse.Namespace, old: dict[str, object], option: str, name: str) -> str:
    found = getattr(args, option) or old.get(name)
    if type(found) is str and found.strip():
        return found.strip()
    shown = "--" + option.replace("_", "-")
    raise InvalidInput("expected a text, got none", where=shown, hint=f"add {shown}", code="invalid_usage")
