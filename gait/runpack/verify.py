"""Verification of a runpack: streaming, in one pass, with every finding and not the first one only.

A step is given out as soon as it is read; whether the run is what it claims is known after the last one.  Who acts on
steps uses `load`, which reads all of them first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from ..errors import InvalidInput, ParseError, VerificationFailed
from ..formats import canonical, jcs, strict_json
from ..formats.archive.reader import Archive, Entry
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..signing import envelope
from . import model
from .findings import Finding, Findings, failure
from .model import Intent, Manifest, Record, Result, Step
from .pack import MAX_LINE_BYTES, MAX_STEPS
from .pairing import Pairing

if TYPE_CHECKING:
    from typing import BinaryIO, TypeVar

    _Line = TypeVar("_Line", Intent, Result)

    from ..signing.envelope import Verifier

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_MAX_MANIFEST_BYTES = 1024 * 1024
_MAX_BAD_LINES = 900  # in one entry; after them nothing of it is parsed


class Report(NamedTuple):
    """What verification found.  `signature` is verified, missing, skipped (no key was given) or failed."""

    run_id: str
    manifest_digest: str
    capture_mode: str
    signature: str
    steps: int
    files: int
    findings: tuple[Finding, ...]
    total: int

    @property
    def ok(self) -> bool:
        """True without any finding."""
        return not self.total

    def to_value(self) -> Record:
        """As JSON."""
        about = {"run_id": self.run_id, "manifest_digest": self.manifest_digest, "capture_mode": self.capture_mode}
        counts = {"signature_status": self.signature, "steps": self.steps, "files_checked": self.files}
        return {**about, **counts, "findings": [finding.to_value() for finding in self.findings], "findings_total": self.total}

    def require(self, where: str = "") -> None:
        """VerificationFailed with the first finding's code, if there is any."""
        if self.findings:
            raise failure(self.findings, self.total, where)


class Audit:
    """Iterate over it once for the steps; then `report`.  StorageError: the file cannot be read.

    `ring` verifies the signatures, None skips them; `run_id` is the one that the pack must have, if any.
    """

    def __init__(self, file: BinaryIO, ring: Verifier | None = None, run_id: str = "", require_signature: bool = False) -> None:
        self._archive = Archive(file)
        self._found = Findings()
        for finding in self._archive.findings:
            self._found.add(finding.code, finding.name, finding.message)
        self._digests: dict[str, str] = {}
        self._steps = 0
        self.signature = "missing"
        self.manifest = self._manifest()
        self._run_id = run_id or (self.manifest.run_id if self.manifest else "")
        if self.manifest:
            self._check_manifest(self.manifest, ring, require_signature)
        self.run = self._document(model.RUN_NAME, model.read_run)
        self.refs = self._document(model.REFS_NAME, model.read_refs)

    def __iter__(self) -> Iterator[Step]:
        pairing = Pairing(self._documents(model.INTENTS_NAME, model.read_intent), self._documents(model.RESULTS_NAME, model.read_result), self._found)
        for step in pairing:
            self._steps += 1
            if self._steps > MAX_STEPS:
                self._found.add("too_many_steps", model.INTENTS_NAME, f"expected at most {MAX_STEPS} steps, got more")
                break
            _check_step(step, self._found)
            yield step
        self._finish()

    def report(self) -> Report:
        """What was found, once the iteration is through."""
        manifest = self.manifest
        about = (manifest.run_id, manifest.digest, manifest.capture_mode) if manifest else ("", "", "")
        return Report(*about, self.signature, self._steps, len(self._digests), tuple(self._found.items), self._found.total)

    # --- the manifest

    def _manifest(self) -> Manifest | None:
        if self._archive.findings and not self._archive.entries:
            return None  # the archive's own findings say why
        value = self._value(model.MANIFEST_NAME)
        if value is None:
            return None
        self._digests.pop(model.MANIFEST_NAME)  # nothing can list its own digest
        try:
            return model.read_manifest(value)
        except InvalidInput as error:
            self._found.add("document_malformed", model.MANIFEST_NAME, error.message)
            return None

    def _check_manifest(self, manifest: Manifest, ring: Verifier | None, require_signature: bool) -> None:
        digest = model.manifest_digest(manifest.value)
        if digest != manifest.digest:
            self._found.add("manifest_digest_mismatch", model.MANIFEST_NAME, f"expected the digest of the manifest, {digest}, got another")
        self._check_run_id(manifest.run_id, model.MANIFEST_NAME, 0)
        for name in sorted(set(self._archive.entries) - set(manifest.files) - {model.MANIFEST_NAME}):
            self._found.add("entry_unlisted", name, "expected only entries that the manifest lists, got another")
        for name in sorted({*manifest.files, *model.REQUIRED} - set(self._archive.entries)):
            self._found.add("entry_missing", name, "expected this entry, got none")
        self._check_signatures(manifest, ring, require_signature)

    def _check_signatures(self, manifest: Manifest, ring: Verifier | None, require_signature: bool) -> None:
        count = len(manifest.signatures)
        if not count and require_signature:
            self._found.add("signature_missing", model.MANIFEST_NAME, "expected a signed manifest, got an unsigned one")
        if count > envelope.MAX_SIGNATURES:
            self._found.add("too_many_signatures", model.MANIFEST_NAME, f"expected at most {envelope.MAX_SIGNATURES} signatures, got {count}")
        elif count and ring is None:
            self.signature = "skipped"
            if require_signature:
                self._found.add("key_unknown", model.MANIFEST_NAME, "expected a key to verify the signature with, got none")
        elif count and ring:
            problems = envelope.verify_all(manifest.value, ring, envelope.RUNPACK)
            self.signature = "failed" if problems else "verified"
            for error in problems:
                code = "signature_stale" if error.error_code == "digest_mismatch" else error.error_code
                self._found.add(code, model.MANIFEST_NAME, error.message)

    # --- entries

    def _entry(self, name: str) -> Entry | None:
        """The entry, None when it is not there or must not be read; both have their findings."""
        if name not in self._archive.entries and name == model.MANIFEST_NAME:
            self._found.add("manifest_missing", name, "expected a manifest, got none")
        return self._archive.entries.get(name)

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        """The entry's bytes; their digest is compared after the last one."""
        sha256 = hashlib.sha256()
        try:
            for chunk in self._archive.chunks(entry):
                sha256.update(chunk)
                yield chunk
        except VerificationFailed as error:
            self._found.add_error(error, entry.name)
        digest = self._digests[entry.name] = sha256.hexdigest()
        expected = self.manifest.files.get(entry.name) if entry.name != model.MANIFEST_NAME and self.manifest else None
        if expected and expected != digest:
            self._found.add("entry_digest_mismatch", entry.name, f"expected the SHA-256 of the manifest, {expected}, got {digest}")

    def _value(self, name: str) -> Record | None:
        """A small entry's JSON object."""
        entry = self._entry(name)
        if entry is None:
            return None
        most = _MAX_MANIFEST_BYTES if name == model.MANIFEST_NAME else MAX_DOCUMENT_BYTES
        if entry.size_bytes > most:
            self._found.add("document_too_large", name, f"expected at most {most} bytes, got {entry.size_bytes}")
            return None
        return self._parsed(b"".join(self._chunks(entry)), name, 0)

    def _parsed(self, data: bytes, name: str, line_number: int) -> Record | None:
        quick = canonical.loads_object(data)
        if quick is not None:
            return quick
        try:
            value = strict_json.loads_object(data, name, MAX_DOCUMENT_BYTES)
            if jcs.dumps(value) != data:
                self._found.add("not_canonical", name, "expected canonical JSON (RFC 8785), got another form", line_number)
            return value
        except ParseError as error:
            self._found.add("not_json", name, error.message, line_number)
        except InvalidInput as error:
            self._found.add("not_canonical", name, error.message, line_number)
        return None

    def _document(self, name: str, read: Callable[[Record], Record]) -> Record | None:
        value = self._value(name)
        if value is None:
            return None
        try:
            read(value)
        except InvalidInput as error:
            self._found.add("document_malformed", name, error.message)
            return None
        self._check_run_id(value["run_id"], name, 0)
        return value

    def _documents(self, name: str, read: Callable[[Record], _Line]) -> Iterator[tuple[int, int, _Line]]:
        """Each good line's number, size and document."""
        entry = self._entry(name)
        chunks = self._chunks(entry) if entry else iter(())
        bad = 0
        for number, line in enumerate(self._lines(name, chunks), 1):
            document = self._line(line, name, number, read)
            if document:
                yield number, len(line), document
                continue
            bad += 1
            if bad >= _MAX_BAD_LINES:
                self._found.add("lines_skipped", name, f"expected whole lines, got {bad} damaged ones; those after them were not read", number)
                break
        _drain(chunks)  # the digest is of all of it

    def _line(self, line: bytes, name: str, number: int, read: Callable[[Record], _Line]) -> _Line | None:
        value = self._parsed(line, name, number)
        if value is None:
            return None
        try:
            document = read(value)
        except InvalidInput as error:
            self._found.add("document_malformed", name, error.message, number)
            return None
        self._check_run_id(value["run_id"], name, number)
        return document

    def _lines(self, name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        pieces: list[bytes] = []
        size = 0
        for chunk in chunks:
            first, *lines = chunk.split(b"\n")
            pieces.append(first)
            size += len(first)
            if size > MAX_LINE_BYTES:
                self._found.add("line_too_long", name, f"expected lines of at most {MAX_LINE_BYTES} bytes, got a longer one")
                return
            if lines:
                yield b"".join(pieces)
                yield from lines[:-1]
                pieces, size = [lines[-1]], len(lines[-1])
        if any(pieces):
            self._found.add("line_unfinished", name, "expected a newline at the end of the last line, got none")

    def _check_run_id(self, run_id: object, name: str, line_number: int) -> None:
        if run_id != self._run_id and self._run_id:
            self._found.add("run_id_mismatch", name, f"expected run {self._run_id}, got {str(run_id)[:80]!r}", line_number)

    def _finish(self) -> None:
        """Read what nobody has read, for its digest; then nothing that a run needs may be missing without a finding."""
        for name, entry in self._archive.entries.items():
            if entry and name not in self._digests and name != model.MANIFEST_NAME:
                _drain(self._chunks(entry))
        if None in (self.manifest, self.run, self.refs) and not self._found.total:
            self._found.add("run_incomplete", "", "expected a manifest, a run and its refs, got parts of them")


class Pack(NamedTuple):
    """A runpack that has been verified to its last byte."""

    file: BinaryIO
    report: Report
    manifest: Manifest
    run: Record
    refs: Record

    def steps(self) -> Iterator[Step]:
        """The steps, as often as they are asked for.  VerificationFailed: the file is no longer what was verified."""
        audit = Audit(self.file, None, self.manifest.run_id)
        yield from audit
        audit.report().require()
        if audit.manifest is None or audit.manifest.value != self.manifest.value:
            raise VerificationFailed("expected the run that was verified, got another one", code="run_changed")


def load(file: BinaryIO, ring: Verifier | None = None, run_id: str = "", require_signature: bool = False, where: str = "") -> Pack:
    """The pack in a file, after all of it was read.  VerificationFailed on any finding."""
    audit = Audit(file, ring, run_id, require_signature)
    _drain(audit)
    report = audit.report()
    report.require(where)
    if audit.manifest is None or audit.run is None or audit.refs is None:
        raise VerificationFailed("expected a whole run, got parts of one", where=where)
    return Pack(file, report, audit.manifest, audit.run, audit.refs)


def check(file: BinaryIO, ring: Verifier | None = None, run_id: str = "", require_signature: bool = False) -> Report:
    """Everything that is wrong with a pack."""
    audit = Audit(file, ring, run_id, require_signature)
    _drain(audit)
    return audit.report()


def _drain(items: Iterator[object] | Audit) -> None:
    for _ in items:
        pass


def _check_step(step: Step, found: Findings) -> None:
    """The digests that a step's own content allows to recompute."""
    intent, result, number = step.intent, step.result, step.number
    if intent.args is not None and not intent.redactions:
        if jcs.digest(intent.args) != intent.args_digest:
            found.add("args_digest_mismatch", model.INTENTS_NAME, "expected the digest of args, got another", number)
        elif intent.intent is not None and intent.intent_digest and _intent_digest(intent) != intent.intent_digest:
            found.add("intent_digest_mismatch", model.INTENTS_NAME, "expected the digest of the normal form, got another", number)
    if result is None:
        return
    if result.result is not None and not result.redactions and jcs.digest(result.result) != result.result_digest:
        found.add("result_digest_mismatch", model.RESULTS_NAME, "expected the digest of result, got another", number)
    if result.decision and not _is_decision_of(result.decision, intent):
        found.add("decision_mismatch", model.RESULTS_NAME, "expected the decision about this intent, got that about another", number)


def _intent_digest(intent: Intent) -> str:
    return jcs.digest({"tool_name": intent.tool_name, "args": intent.args, **(intent.intent or {})})


def _is_decision_of(decision: model.Decision, intent: Intent) -> bool:
    if intent.intent_digest and decision.intent_digest and intent.intent_digest != decision.intent_digest:
        return False
    if not (decision.trace_id and decision.policy_digest and decision.intent_digest):
        return True
    text = f"{decision.policy_digest}:{decision.intent_digest}:{decision.verdict}"
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:24] == decision.trace_id
