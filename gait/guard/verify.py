"""Verification of an evidence pack: the archive, the manifest, every digest and signature, the run inside, and the summary.

The summary is computed again from the evidence: a reader who trusts the pack may believe the page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .. import __version__
from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats import jcs, strict_json
from ..formats.archive.form import STORED
from ..formats.archive.reader import Archive, Entry
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..formats.fields import Fields, refuse
from ..gate import trace
from ..runpack import model
from ..runpack import verify as runpacks
from ..runpack.findings import Finding, Findings, failure
from ..runpack.model import Record
from ..signing import envelope
from . import markdown, pack, page
from .controls import NAMES
from .section import Section
from .summary import Given, Survey

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..signing.keys import Keyring

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 32 * 1024 * 1024
_HEAD = "gait.journal.head"


class Report(NamedTuple):
    """What verification found.  `signature` is verified, missing, skipped (no key was given) or failed."""

    manifest: Record
    signature: str
    steps: int
    traces: int
    files: int
    findings: tuple[Finding, ...]
    total: int

    @property
    def ok(self) -> bool:
        """True without any finding."""
        return not self.total

    def to_value(self) -> Record:
        """As JSON."""
        names = ("kind", "template", "run_id", "run_manifest_digest", "manifest_digest", "created_at")
        about: Record = {name: self.manifest.get(name, "") for name in names}
        about.update(signature_status=self.signature, steps=self.steps, traces=self.traces, files_checked=self.files)
        return {**about, "findings": [finding.to_value() for finding in self.findings], "findings_total": self.total}

    def require(self, where: str = "") -> None:
        """VerificationFailed with the first finding's code, if there is any."""
        if self.findings:
            error = failure(self.findings, self.total, where)
            error.hint = "do not trust this pack"
            raise error


def check(file: BinaryIO, ring: Keyring | None) -> Report:
    """Everything that is wrong with a pack.  `ring` verifies the signatures, None skips them.  StorageError: it cannot be read."""
    return _Audit(file, ring).report()


class _Audit:
    def __init__(self, file: BinaryIO, ring: Keyring | None) -> None:
        self._file, self._ring = file, ring
        self._archive = Archive(file)
        self._found = Findings()
        for finding in self._archive.findings:
            self._found.add(finding.code, finding.name, finding.message)
        self._digests: dict[str, str] = {}
        self._survey = Survey()
        self._signature = "missing"
        self._traces = 0
        self._run: runpacks.Report | None = None
        self._manifest = self._read_manifest()
        if self._manifest:
            self._check_manifest(self._manifest)
            self._check_contents(self._manifest)

    def report(self) -> Report:
        return Report(self._manifest or {}, self._signature, self._survey.steps, self._traces, len(self._digests), tuple(self._found.items), self._found.total)

    # --- the manifest

    def _read_manifest(self) -> Record | None:
        entry = self._archive.entries.get(pack.MANIFEST_NAME)
        if entry is None:
            if self._archive.entries:
                self._found.add("manifest_missing", pack.MANIFEST_NAME, "expected a manifest that can be read, got none")
            return None
        value = self._value(entry)
        self._digests.pop(entry.name, None)  # nothing can list its own digest
        try:
            return read_manifest(value) if value is not None else None
        except InvalidInput as error:
            self._found.add("document_malformed", entry.name, error.message)
            return None

    def _check_manifest(self, manifest: Record) -> None:
        name, entries, listed = pack.MANIFEST_NAME, set(self._archive.entries), _listed(manifest)
        if model.manifest_digest(manifest) != manifest["manifest_digest"]:
            self._found.add("manifest_digest_mismatch", name, "expected the digest of the manifest, got another")
        for other in sorted(entries - set(listed) - {name}):
            self._found.add("entry_unlisted", other, "expected only entries that the manifest lists, got another")
        required = {*listed, *pack.REQUIRED, pack.run_name(str(manifest["run_id"]))}
        for other in sorted(required - entries):
            self._found.add("entry_missing", other, "expected this entry, got none")
        signatures: list[Record] = manifest["signatures"]  # type: ignore[assignment]
        if not signatures:
            self._found.add("signature_missing", name, "expected a signed manifest, got an unsigned one")
        elif len(signatures) > envelope.MAX_SIGNATURES:
            self._found.add("too_many_signatures", name, f"expected at most {envelope.MAX_SIGNATURES} signatures, got {len(signatures)}")
        elif self._ring is None:
            self._signature = "skipped"
        else:
            problems = envelope.verify_all(manifest, self._ring, envelope.GUARD_PACK)
            self._signature = "failed" if problems else "verified"
            for error in problems:
                self._found.add_error(error, name)

    # --- what it lists

    def _check_contents(self, manifest: Record) -> None:
        """The run first: it says which decisions there are."""
        self._check_run(manifest)
        incident = manifest["kind"] == "incident"
        self._check_traces(pack.TRACES_NAME, own=True)
        if incident:
            self._check_traces(pack.AROUND_NAME, own=False)
        documents = {name: self._document(name, manifest) for name in (pack.JOURNAL_NAME, pack.APPROVALS_NAME, pack.SUMMARY_NAME)}
        journal, approvals, summary = documents.values()
        if journal is not None:
            self._check_heads(journal)
        views = {name: self._bytes(name) for name in (pack.MARKDOWN_NAME, pack.PAGE_NAME)}
        for entry in self._archive.entries.values():
            if entry and entry.name not in self._digests and entry.name != pack.MANIFEST_NAME:
                for _ in self._chunks(entry):
                    pass
        self._compare_digests(manifest)
        # Another version of Gait may have written another summary of the same evidence; its signature covers it.
        if summary and journal and approvals and manifest["producer_version"] == __version__ and self._signature != "skipped" and not self._found.total:
            self._check_summary(manifest, journal, approvals, summary, views)

    def _check_run(self, manifest: Record) -> None:
        name = pack.run_name(str(manifest["run_id"]))
        entry = self._archive.entries.get(name)
        if entry is None:
            return
        if entry.method != STORED:
            self._found.add("entry_compression_unknown", name, "expected a run that is stored, got a compressed one")
            return
        section: BinaryIO = Section(self._file, entry.data_offset, entry.size_bytes)  # type: ignore[assignment]
        audit = runpacks.Audit(section, self._ring, str(manifest["run_id"]))
        for step in audit:
            self._survey.step(step)
        self._run = audit.report()
        for finding in self._run.findings:
            self._found.add(finding.code, f"{name}/{finding.entry}".rstrip("/"), finding.message, finding.line_number)
        if self._run.manifest_digest != manifest["run_manifest_digest"]:
            self._found.add("run_mismatch", name, "expected the run whose digest the manifest gives, got another")

    def _check_traces(self, name: str, own: bool) -> None:
        entry = self._archive.entries.get(name)
        for number, line in enumerate(self._lines(entry) if entry else (), 1):
            try:
                record = self._trace(line, own)
            except GaitError as error:
                self._found.add_error(error, name, number)
                continue
            (self._survey.trace if own else self._survey.around)(record)
            self._traces += own

    def _trace(self, line: bytes, own: bool) -> Record:
        record = strict_json.loads_object(line, "trace", MAX_LINE_BYTES)
        if jcs.dumps(record) != line:
            raise VerificationFailed("expected canonical JSON (RFC 8785), got another form", code="not_canonical")
        if record.get("schema_id") != trace.SCHEMA_ID or not all(type(record.get(name)) is str for name in ("trace_id", "verdict", "created_at")):
            raise VerificationFailed("expected a signed decision, got another document", code="document_malformed")
        if self._ring:
            envelope.verify(record, self._ring, envelope.TRACE)
        trace_id = str(record["trace_id"])
        if own and self._survey.decisions.get(trace_id) != record["verdict"]:
            raise VerificationFailed(f"expected a decision of the run, got {trace_id[:40]!r}", code="trace_foreign")
        return record

    def _check_heads(self, journal: Record) -> None:
        chains = {str(chain.get("chain")): chain for chain in _objects(journal.get("chains"))}
        heads = _objects(journal.get("heads"))
        for number, head in enumerate(heads, 1):
            try:
                if self._ring:
                    envelope.verify(head, self._ring, envelope.JOURNAL_HEAD)
            except GaitError as error:
                self._found.add_error(error, pack.JOURNAL_NAME, number)
            chain = chains.get(str(head.get("chain")))
            if head.get("schema_id") != _HEAD or chain is None or head.get("sequence") != chain.get("proven_sequence"):
                self._found.add("head_mismatch", pack.JOURNAL_NAME, "expected a head of a chain that is listed, got another", number)
        proven = {name for name, chain in chains.items() if chain.get("proven_sequence")}
        for chain_name in sorted(proven - {str(head.get("chain")) for head in heads}):
            self._found.add("head_missing", pack.JOURNAL_NAME, f"expected the head that proves chain {chain_name[:80]!r}, got none")

    def _check_summary(self, manifest: Record, journal: Record, approvals: Record, summary: Record, views: dict[str, bytes]) -> None:
        about = self._run
        window = summary.get("window") if manifest["kind"] == "incident" else {}
        given = Given(
            *(str(manifest["kind"]), str(manifest["run_id"]), str(manifest["run_manifest_digest"])),
            *(about.capture_mode if about else "", about.signature if about else "", str(manifest.get("template", ""))),
            *(window, journal.get("chains"), len(_objects(approvals.get("approvals")))),  # type: ignore[arg-type]
        )
        try:
            computed = self._survey.value(given)
            expected = {pack.MARKDOWN_NAME: markdown.page(computed).encode("utf-8"), pack.PAGE_NAME: page.page(computed, __version__).encode("utf-8")}
        except (AttributeError, KeyError, TypeError, ValueError):  # the journal's chains or the window are not what a summary is made of
            self._found.add("document_malformed", pack.SUMMARY_NAME, "expected evidence that can be summarised, got another form")
            return
        if approvals.get("approvals") != self._survey.approvals:
            self._found.add("approvals_mismatch", pack.APPROVALS_NAME, "expected the approvals that the traces say, got others")
        if jcs.dumps(summary) != jcs.dumps({**{name: summary.get(name) for name in _HEAD_NAMES}, **computed}):
            self._found.add("summary_mismatch", pack.SUMMARY_NAME, "expected what the evidence says, got something else")
        for name, data in expected.items():
            if views[name] != data:
                self._found.add("summary_mismatch", name, "expected what the evidence says, got something else")

    # --- entries

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        sha256 = hashlib.sha256()
        try:
            for chunk in self._archive.chunks(entry):
                sha256.update(chunk)
                yield chunk
        except VerificationFailed as error:
            self._found.add_error(error, entry.name)
        self._digests[entry.name] = sha256.hexdigest()

    def _compare_digests(self, manifest: Record) -> None:
        for name, expected in _listed(manifest).items():
            got = self._digests.get(name)
            if got is not None and got != expected:
                self._found.add("entry_digest_mismatch", name, f"expected the SHA-256 of the manifest, {expected}, got {got}")

    def _bytes(self, name: str) -> bytes:
        entry = self._archive.entries.get(name)
        if entry is None:
            return b""
        if entry.size_bytes > MAX_DOCUMENT_BYTES:
            self._found.add("document_too_large", name, f"expected at most {MAX_DOCUMENT_BYTES} bytes, got {entry.size_bytes}")
            return b""
        return b"".join(self._chunks(entry))

    def _value(self, entry: Entry) -> Record | None:
        data = self._bytes(entry.name)
        try:
            value = strict_json.loads_object(data, entry.name, MAX_DOCUMENT_BYTES) if data else None
            if value is not None and jcs.dumps(value) != data:
                self._found.add("not_canonical", entry.name, "expected canonical JSON (RFC 8785), got another form")
            return value
        except InvalidInput as error:
            self._found.add("not_json", entry.name, error.message)
            return None

    def _document(self, name: str, manifest: Record) -> Record | None:
        entry = self._archive.entries.get(name)
        value = self._value(entry) if entry else None
        if value is None:
            return None
        schema_id = {pack.JOURNAL_NAME: pack.JOURNAL, pack.APPROVALS_NAME: pack.APPROVALS, pack.SUMMARY_NAME: pack.SUMMARY}[name]
        if value.get("schema_id") != schema_id or value.get("run_id") != manifest["run_id"]:
            self._found.add("document_malformed", name, f"expected a {schema_id} of this run, got another document")
            return None
        return value

    def _lines(self, entry: Entry) -> Iterator[bytes]:
        pieces: list[bytes] = []
        size = 0
        for chunk in self._chunks(entry):
            first, *lines = chunk.split(b"\n")
            pieces.append(first)
            size += len(first)
            if lines:
                yield b"".join(pieces)
                yield from lines[:-1]
                pieces, size = [lines[-1]], len(lines[-1])
            elif size > MAX_LINE_BYTES:
                self._found.add("line_too_long", entry.name, f"expected lines of at most {MAX_LINE_BYTES} bytes, got a longer one")
                pieces, size = [], 0
        if any(pieces):
            self._found.add("line_unfinished", entry.name, "expected a newline at the end of the last line, got none")


_HEAD_NAMES = ("schema_id", "schema_version", "created_at", "producer_version")


def read_manifest(value: Record) -> Record:
    """The manifest itself, its fields checked.  InvalidInput names the one that is not acceptable."""
    fields = Fields(value)
    fields.word("schema_id", (pack.MANIFEST,))
    for name in ("schema_id", "schema_version", "created_at", "producer_version"):
        fields.required(name)
    model.check_run_id(fields.required("run_id"))
    if fields.required("kind") not in pack.KINDS:
        raise refuse(("kind",), f"one of {', '.join(pack.KINDS)}", value["kind"])
    if value.get("template", "") not in ("", *NAMES):
        raise refuse(("template",), f"one of {', '.join(NAMES)}", value.get("template"))
    for name in ("run_manifest_digest", "manifest_digest"):
        if not model.is_digest(value.get(name)):
            raise refuse((name,), "64 lowercase hex digits", value.get(name))
    for index, item in enumerate(fields.items("files")):
        entry = Fields(item, ("files", index))
        entry.required("path")
        if not model.is_digest(entry.raw("sha256")):
            raise refuse(entry.at("sha256"), "64 lowercase hex digits", entry.raw("sha256"))
    for index, item in enumerate(fields.items("signatures")):
        Fields(item, ("signatures", index))
    return {"signatures": [], **value}


def _listed(manifest: Record) -> dict[str, str]:
    return {item["path"]: item["sha256"] for item in manifest.get("files") or ()}  # type: ignore[attr-defined]


def _objects(value: object) -> list[Record]:
    return [item for item in value if type(item) is dict] if type(value) is list else []
