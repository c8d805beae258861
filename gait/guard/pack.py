"""An evidence pack is written: equal evidence gives equal bytes, and nothing is taken from the clock.

`created_at` is the time of the newest evidence inside, not that of packing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from .. import __version__
from ..formats import jcs
from ..formats.archive import writer
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..runpack import model
from ..runpack.model import Record
from ..signing import envelope
from . import markdown, page
from .summary import Given, Survey

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..runpack.verify import Pack
    from ..signing.keys import Key

MANIFEST, JOURNAL, APPROVALS, SUMMARY = (f"gait.guard.{name}" for name in ("manifest", "journal_proof", "approvals", "summary"))
SCHEMA_VERSION = "1.0.0"
KINDS = ("evidence", "incident")
MANIFEST_NAME, JOURNAL_NAME, APPROVALS_NAME = "manifest.json", "journal.json", "approvals.json"
TRACES_NAME, AROUND_NAME = "traces.jsonl", "around.jsonl"
SUMMARY_NAME, MARKDOWN_NAME, PAGE_NAME = "summary.json", "summary.md", "summary.html"
REQUIRED = (APPROVALS_NAME, JOURNAL_NAME, MARKDOWN_NAME, PAGE_NAME, SUMMARY_NAME, TRACES_NAME)
_CHUNK = 1 << 20

Chunks = Callable[[], Iterable[bytes]]


class Evidence(NamedTuple):
    """What goes into a pack.  `traces` and `around` give the verified records, canonical, a line each, as often as they are asked.

    `journal` is {chains, heads} of a journal that verified, None without one; `window` is {from, to}, empty without one.
    """

    kind: str
    run: Pack
    traces: Chunks
    around: Chunks
    journal: Record | None = None
    window: Mapping[str, str] = {}
    template: str = ""


class Written(NamedTuple):
    """What was written."""

    manifest: Record
    summary: Record


def run_name(run_id: str) -> str:
    """The entry that holds the run's own pack."""
    return f"run/{model.archive_name(run_id)}"


def write(out: BinaryIO, evidence: Evidence, survey: Survey, key: Key, created_at: str) -> Written:
    """Write a signed pack.  `survey` has seen the steps and the traces."""
    summary = survey.value(given(evidence, len(survey.approvals)))
    run_id = evidence.run.manifest.run_id
    head: Record = {"schema_version": SCHEMA_VERSION, "created_at": created_at, "producer_version": __version__, "run_id": run_id}
    contents = [
        writer.measure(run_name(run_id), lambda: _file(evidence.run.file)),
        writer.measure(TRACES_NAME, evidence.traces),
        _small(JOURNAL_NAME, jcs.dumps({"schema_id": JOURNAL, **head, **(evidence.journal or {"chains": None, "heads": []})})),
        _small(APPROVALS_NAME, jcs.dumps({"schema_id": APPROVALS, **head, "approvals": survey.approvals})),
        _small(SUMMARY_NAME, jcs.dumps({"schema_id": SUMMARY, **head, **summary})),
        _small(MARKDOWN_NAME, markdown.page(summary).encode("utf-8")),
        _small(PAGE_NAME, page.page(summary, __version__).encode("utf-8")),
    ]
    if evidence.window:
        contents.append(writer.measure(AROUND_NAME, evidence.around))
    files = [{"path": content.name, "sha256": content.sha256} for content in sorted(contents)]
    about: Record = {"kind": evidence.kind, "template": evidence.template, "run_manifest_digest": evidence.run.manifest.digest, "files": files}
    manifest = _signed({"schema_id": MANIFEST, **head, **about}, key)
    writer.write(out, [*contents, _small(MANIFEST_NAME, jcs.dumps(manifest))])
    return Written(manifest, summary)


def given(evidence: Evidence, approvals: int) -> Given:
    """What the summary is about."""
    manifest, chains = evidence.run.manifest, (evidence.journal or {}).get("chains")
    about = (evidence.kind, manifest.run_id, manifest.digest, manifest.capture_mode, evidence.run.report.signature)
    return Given(*about, evidence.template, evidence.window, chains, approvals)  # type: ignore[arg-type]


def _signed(manifest: Record, key: Key) -> Record:
    manifest = {**manifest, "manifest_digest": model.manifest_digest(manifest)}
    return {**manifest, "signatures": [envelope.sign(manifest, key, envelope.GUARD_PACK)["signature"]]}


def _small(name: str, data: bytes) -> writer.Content:
    return writer.measure(name, lambda: (data,))


def _file(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    chunk = file.read(_CHUNK)
    while chunk:
        yield chunk
        chunk = file.read(_CHUNK)
