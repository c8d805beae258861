"""`gait registry`: build, sign, install, list and verify packs of policies and skills."""

from __future__ import annotations

import argparse
import os

from .. import __version__
from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from ..registry import manifest
from ..store.packages import cache as caches
from ..store.packages import folder as folders
from . import package_keys, shared

if TYPE_CHECKING:
    from ..store.packages.sources import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    build = shared.verb(verbs, "build", "list a folder's files in registry_pack.json, and sign it", "gait registry build DIR --name baseline --pack-version 1.0.0 --private-key FILE")
    build.add_argument("folder", metavar="DIR", help="the folder to publish")
    build.add_argument("--name", required=True, help="the pack's name")
    build.add_argument("--pack-version", required=True, metavar="VERSION", help="its version")
    build.add_argument("--type", default="", metavar="TYPE", help="what it is, for example policy or skill; a skill needs --publisher and --source")
    for name, text in (("publisher", "who answers for it"), ("source", "where it comes from"), ("use-case", "what it is for")):
        build.add_argument("--" + name, default="", metavar="TEXT", help=text)
    build.add_argument("--risk-class", default="", choices=("low", "medium", "high", "critical"), help="how much is at stake where it is used")
    package_keys.sign_options(build)
    sign = shared.verb(verbs, "sign", "add a signature to a folder's registry_pack.json", "gait registry sign DIR --signature FILE --public-key FILE")
    sign.add_argument("folder", metavar="DIR", help="the folder with the manifest")
    package_keys.sign_options(sign)
    _install_options(shared.verb(verbs, "install", "put a signed pack into the cache, and pin it", "gait registry install --source https://packs.example.com/baseline/ --allow-host packs.example.com --public-key FILE"))
    listing = shared.verb(verbs, "list", "show what is installed", "gait registry list")
    _cache_option(listing)
    verify = shared.verb(verbs, "verify", "check installed packs: manifest, signature, pin and every file", "gait registry verify baseline --public-key FILE")
    verify.add_argument("name", nargs="?", default="", metavar="NAME", help="the pack's name (default: all)")
    _cache_option(verify)
    package_keys.verify_options(verify)


def _install_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="PATH|URL", help="a folder with registry_pack.json, or its https address")
    parser.add_argument("--allow-host", action="append", default=[], metavar="HOST[:PORT]", help="take packs from this host; may be given again")
    parser.add_argument("--publisher-allowlist", action="append", default=[], metavar="NAMES", help="take packs of these publishers only, with commas between them")
    parser.add_argument("--pin", default="", metavar="sha256:DIGEST", help="take this very pack only; with it, the cache stands in for a source out of reach")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="trust these certificate authorities (PEM) instead of the system's")
    _cache_option(parser)
    package_keys.verify_options(parser)


def _cache_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", metavar="DIR", help="where packs are (default $GAIT_HOME/registry)")


def run(args: argparse.Namespace) -> int:
    """Run one verb: exit code 0, or 2 when `verify` has findings."""
    return {"build": _build, "sign": _sign, "install": _install, "list": _list, "verify": _verify}[args.verb](args)


def _build(args: argparse.Namespace) -> int:
    from ..system import clock

    about = {"pack_type": args.type, "publisher": args.publisher, "source": args.source, "risk_class": args.risk_class, "use_case": args.use_case}
    package = manifest.pack(folders.sums(args.folder), args.name, args.pack_version, clock.now_text(), __version__, **about)
    return package_keys.finish(args, package)


def _sign(args: argparse.Namespace) -> int:
    package = folders.load(args.folder)
    if package.schema_id != manifest.PACK:
        raise InvalidInput(f"expected {manifest.PACK_NAME}", where=args.folder, hint="for a skill's own manifest: gait skill sign", code="manifest_missing")
    for finding in folders.file_findings(args.folder, package):
        raise finding.error(args.folder)
    return package_keys.finish(args, package)


def _install(args: argparse.Namespace) -> int:
    if args.pin:
        manifest.read_pin(args.pin)
    terms = caches.Terms(package_keys.verifier(args), args.pin, tuple(args.publisher_allowlist))
    done = caches.install(_cache(args), _source(args), terms)
    package = done.package
    value = {"ok": True, "result": done.result, "source": args.source, "fallback_used": done.result == "cached", **package_keys.about(package)}
    value.update(path=done.folder, pin=package.pin, pin_path=done.pin_path, warnings=list(done.warnings))
    rows = [("result", done.result), ("package", f"{package.name} {package.version}"), ("publisher", package.publisher), ("path", done.folder), ("pin", package.pin)]
    shared.emit(args, value, shared.rows([*rows, *(("warning", warning) for warning in done.warnings)]))
    return 0


def _source(args: argparse.Namespace) -> Source:
    from ..store.packages import sources

    if not sources.is_address(args.source):
        return sources.Folder(args.source)
    from ..system.download import Patience
    from ..system.origin import client_tls
    from .progress import Bar

    return sources.Address(args.source, args.allow_host, lambda: client_tls(args.ca_file), Patience(), Bar())


def _cache(args: argparse.Namespace) -> str:
    from ..store import keys

    return os.path.abspath(args.cache) if args.cache else os.path.join(keys.home(), "registry")


def _list(args: argparse.Namespace) -> int:
    found = list(caches.entries(_cache(args)))
    value = [{**entry._asdict(), "pinned": entry.pinned == entry.digest} for entry in found]
    lines = [_line(entry) for entry in found] or ["nothing is installed"]
    shared.emit(args, {"ok": True, "cache": _cache(args), "packs": value}, lines)
    return 0


def _line(entry: caches.Entry) -> str:
    mark = f"not usable: {entry.problem}" if entry.problem else "pinned" if entry.pinned == entry.digest else ""
    return shared.plain(f"{entry.name} {entry.version}  sha256:{entry.digest}  {mark}".rstrip())


def _verify(args: argparse.Namespace) -> int:
    cache, keys = _cache(args), package_keys.verifier(args)
    checked = [(caches.check(cache, entry, keys), entry.folder) for entry in caches.named(cache, args.name)]
    bad = [(found, folder) for found, folder in checked if found.findings]
    error = bad[0][0].findings[0].error(bad[0][1]).to_value() if bad else {"ok": True}
    value = {**error, "packs": [package_keys.checked_value(found, folder) for found, folder in checked]}
    shared.emit(args, value, [line for found, folder in checked for line in package_keys.checked_lines(found, folder)])
    return 2 if bad else 0
