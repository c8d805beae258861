"""How commands name, verify and read runpacks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..runpack import verify
from ..runpack.verify import Audit, Pack, Report
from ..store import runs
from . import shared

if TYPE_CHECKING:
    from ..signing.envelope import Verifier
    from ..signing.keys import Keyring


class Keys(NamedTuple):
    """The ring that verifies signatures; None where no key was given and there is no dev key either."""

    ring: Keyring | None
    warnings: tuple[str, ...]


def keys(args: argparse.Namespace) -> Keys:
    """The keys that the options choose.  A pack need not be signed, so that none may be needed."""
    from ..store.keys import dev_path

    if args.key_mode == "dev" and not (args.private_key or args.private_key_env or os.path.lexists(dev_path())):
        return Keys(None, ())
    return Keys(*shared.verifying_keys(args))


@contextmanager
def audited(name: str, ring: Verifier | None, require_signature: bool = False) -> Iterator[tuple[Audit, runs.Place]]:
    """The audit of the run that an id or a path names: its steps in one pass, with a report at the end."""
    place = runs.resolve(name)
    with runs.open_pack(place.path) as file:
        yield Audit(file, ring, place.run_id, require_signature), place


@contextmanager
def loaded(name: str, ring: Verifier | None) -> Iterator[Pack]:
    """The verified pack of the run that an id or a path names.  VerificationFailed on any finding."""
    place = runs.resolve(name)
    with runs.open_pack(place.path) as file:
        yield verify.load(file, ring, place.run_id, where=place.path)


def report_lines(report: Report) -> list[str]:
    """A report as text, findings first."""
    lines = [shared.plain(f"finding: {finding.line()}") for finding in report.findings]
    if report.total > len(report.findings):
        lines.append(f"finding: and {report.total - len(report.findings)} more")
    about = shared.plain(f"{report.run_id or 'no run'}: {report.steps} steps, {report.files} files, signature {report.signature}")
    if report.ok:
        return [*lines, f"{shared.colored('ok', 'ok', sys.stdout)}: {about}"]
    return [*lines, f"{shared.colored('error', 'NOT VERIFIED', sys.stdout)}: {report.total} findings; {about}"]


def saved_value(saved: runs.Saved) -> dict[str, object]:
    """What commands say of a pack that they have written; the names are those of Gait v1.x."""
    packed = saved.packed
    about = {"ok": True, "run_id": packed.run_id, "bundle": saved.path, "manifest_digest": packed.manifest_digest}
    return {**about, "ticket_footer": packed.footer, "capture_mode": packed.capture_mode, "steps": packed.steps, "key_id": packed.key_id or None}
