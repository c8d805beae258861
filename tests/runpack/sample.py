"""Runs for tests: made in memory, of as many steps as wanted."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "runpacks"
sys.path.insert(0, str(ROOT))

from gait.formats import jcs  # noqa: E402
from gait.runpack import pack, verify  # noqa: E402
from gait.runpack.findings import Finding  # noqa: E402
from gait.runpack.redact import Redaction  # noqa: E402
from gait.signing import keys  # noqa: E402
from gait.signing.keys import Key, Keyring  # noqa: E402
from scripts import runpack_fixtures as fixtures  # noqa: E402

RING = Keyring("trace", fixtures.KEY)
OTHER = Keyring("trace", fixtures.OTHER_KEY)
SECRET_TEXT = keys.base64_dumps(bytes(range(32)))
CALLS = (("tool.read", "read"), ("tool.write", "write"), ("tool.delete", "delete"))


def recorded(count: int) -> list[pack.Recorded]:
    """That many different calls."""
    return [fixtures.step(number, *CALLS[number % 3], f"/srv/{number}") for number in range(count)]


def made(
    steps: list[pack.Recorded] | int = 3, raw: bool = False, key: Key | None = None, redaction: Redaction | None = None, **head: object
) -> io.BytesIO:
    """A pack of these calls."""
    recorder = pack.Recorder(pack.Head(**head), io.BytesIO, raw, redaction)  # type: ignore[arg-type]
    for step in recorded(steps) if isinstance(steps, int) else steps:
        recorder.add(step)
    out = io.BytesIO()
    recorder.finish(out, key)
    return out


def changed(data: io.BytesIO, name: str, change: Callable[[bytes], bytes]) -> io.BytesIO:
    """The pack with another entry, and a manifest that fits: what anybody can make of an unsigned one."""
    found = fixtures.entries(data.getvalue())
    return io.BytesIO(fixtures.zipped(fixtures.parts(fixtures.rehashed({**found, name: change(found[name])}))))


def findings(data: io.BytesIO, **options: object) -> list[str]:
    """The codes that verification finds."""
    return [finding.code for finding in report(data, **options).findings]


def report(data: io.BytesIO, **options: object) -> verify.Report:
    """What verification says."""
    return verify.check(data, **options)  # type: ignore[arg-type]


def steps(data: io.BytesIO) -> list[verify.Step]:
    """The steps of a pack that verifies."""
    return list(verify.load(data).steps())


__all__ = ["CALLS", "FIXTURES", "Finding", "OTHER", "RING", "ROOT", "SECRET_TEXT", "changed", "findings", "fixtures", "jcs", "made", "recorded", "report", "steps"]
