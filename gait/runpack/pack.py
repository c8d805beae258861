"""A run becomes a runpack: equal runs give equal bytes, on every Python and at every time.

Nothing is taken from the clock or the machine: times are those of the steps.  Steps are streamed through scratch files
of the caller's, so that memory does not grow with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from .. import __version__
from ..errors import InvalidInput
from ..formats import jcs
from ..formats.archive import writer
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..gate.reference import reference
from ..signing import envelope
from . import model
from .model import NO_RESULT_DIGEST, Record, Step

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..signing.keys import Key
    from .redact import Redaction

MAX_LINE_BYTES = 20 * 1024 * 1024
MAX_STEPS = 1_000_000
FIRST_TIME = "1980-01-01T00:00:00Z"
RAW_WARNING_NAME = "WARNING_raw_capture.txt"
RAW_WARNING = b"This runpack was recorded with --capture raw: it holds the arguments and results of every call as they were.\nWhoever can read it can read their secrets.\n"
_CHUNK = 1 << 16
_PLACE = b'"run_id":"\\u0000"'  # where a line's run_id goes


class Head(NamedTuple):
    """What is known of a run besides its steps.  An empty `run_id` is derived from the content."""

    run_id: str = ""
    created_at: str = ""
    env: Record = {}  # os, arch, runtime
    timeline: tuple[Record, ...] = ()
    receipts: tuple[Record, ...] = ()


class Recorded(NamedTuple):
    """One call as it is to be recorded.  `result` None with NO_RESULT_DIGEST: there was none, or it is not known.

    `intent` is the normal form without the arguments; `source` says where the record was, such as {chain, sequence}.
    """

    tool_name: str
    args_digest: str
    created_at: str = ""
    args: Record | None = None
    intent: Record | None = None
    intent_digest: str = ""
    decision: Record | None = None
    status: str = "not_recorded"
    result_digest: str = NO_RESULT_DIGEST
    result: object = None
    outcome: Record | None = None
    source: Record | None = None
    intent_id: str = ""
    digest_basis: str = ""


class Packed(NamedTuple):
    """What was written."""

    run_id: str
    manifest_digest: str
    capture_mode: str
    steps: int
    redactions: int
    key_id: str

    @property
    def footer(self) -> str:
        """The line for the ticket."""
        return model.footer(self.run_id, self.manifest_digest)


class Recorder:
    """Takes the steps of one run, in order, and writes the pack at the end."""

    def __init__(self, head: Head, scratch: Callable[[], BinaryIO], raw: bool = False, redaction: Redaction | None = None) -> None:
        if head.run_id:
            model.check_run_id(head.run_id)
        self._head = head
        self._raw = raw
        self._redaction = redaction
        self._intents, self._results = scratch(), scratch()
        self._content = hashlib.sha256()
        self._first = self._last = ""
        self.steps = self.redactions = 0

    def add(self, call: Recorded) -> None:
        """Take the next step.  InvalidInput: a value without canonical form, or more than a pack can hold."""
        intent_id = call.intent_id or f"intent_{self.steps + 1}"
        created_at = call.created_at or self._head.created_at or FIRST_TIME
        times = {"schema_version": model.SCHEMA_VERSION, "created_at": created_at, "producer_version": __version__, "intent_id": intent_id}
        intent = {"schema_id": model.INTENT, **times, **self._intent(call, intent_id)}
        result = {"schema_id": model.RESULT, **times, **self._result(call, intent_id)}
        model.read_intent({**intent, "run_id": "?"})  # what would not verify is not recorded
        model.read_result({**result, "run_id": "?"})
        self._write(intent, self._intents)
        self._write(result, self._results)
        self._count(created_at)

    def copy(self, step: Step) -> None:
        """Take a step of another pack as it stands, but for its run_id."""
        for document, spool in ((step.intent, self._intents), (step.result, self._results)):
            if document:
                self._write({name: item for name, item in document.value.items() if name != "run_id"}, spool)
        self._count(step.intent.created_at)

    def finish(self, out: BinaryIO, key: Key | None = None) -> Packed:
        """Write the pack, signed when a key is given."""
        created_at = _whole_second(self._head.created_at or self._first or FIRST_TIME)
        run = {"env": {"os": "", "arch": "", "runtime": "", **self._head.env}, "timeline": self._timeline()}
        refs, redactions = self._redact({"receipts": list(self._head.receipts)}, "refs", "")
        refs = {**refs, "redactions": redactions} if redactions else refs  # type: ignore[dict-item]
        mode = "raw" if self._raw else "reference"
        self._content.update(jcs.dumps([mode, created_at, run, refs]))
        run_id = self._head.run_id or f"run_{self._content.hexdigest()[:16]}"
        head = {"schema_version": model.SCHEMA_VERSION, "created_at": created_at, "producer_version": __version__, "run_id": run_id}
        contents = [
            writer.measure(model.INTENTS_NAME, lambda: _lines(self._intents, run_id)),
            writer.measure(model.RESULTS_NAME, lambda: _lines(self._results, run_id)),
            _small(model.RUN_NAME, jcs.dumps({"schema_id": model.RUN, **head, **run})),
            _small(model.REFS_NAME, jcs.dumps({"schema_id": model.REFS, **head, **refs})),  # type: ignore[dict-item]
        ]
        if self._raw:  # the manifest lists it; a member of its own would make the manifest one that Gait v1.x refuses
            contents.append(_small(RAW_WARNING_NAME, RAW_WARNING))
        files = [{"path": content.name, "sha256": content.sha256} for content in sorted(contents)]
        manifest = _signed({"schema_id": model.MANIFEST, **head, "capture_mode": mode, "files": files}, key)
        writer.write(out, [*contents, _small(model.MANIFEST_NAME, jcs.dumps(manifest))])
        return Packed(run_id, str(manifest["manifest_digest"]), mode, self.steps, self.redactions, key.key_id if key else "")

    def _intent(self, call: Recorded, intent_id: str) -> Record:
        value: Record = {"tool_name": call.tool_name, "args_digest": call.args_digest}
        if call.intent_digest:
            value["intent_digest"] = call.intent_digest
        if call.digest_basis:
            value["intent_digest_basis"] = call.digest_basis
        held: Record = {"args": call.args, "intent": call.intent} if self._raw else {"intent": call.intent and reference(call.intent)}
        return {**value, **self._held(held, intent_id)}

    def _result(self, call: Recorded, intent_id: str) -> Record:
        value: Record = {"status": call.status, "result_digest": call.result_digest}
        value.update({name: item for name in ("decision", "outcome", "source") for item in [getattr(call, name)] if item})
        return {**value, **self._held({"result": call.result if self._raw else None}, intent_id)}

    def _held(self, held: Record, intent_id: str) -> Record:
        """What may hold secrets, redacted, with the list of what was replaced."""
        value: Record = {}
        paths: list[str] = []
        for name, item in held.items():
            if item is not None:
                value[name], found = self._redact(item, name, intent_id)
                paths += found
        self.redactions += len(paths)
        return {**value, "redactions": paths} if paths else value

    def _redact(self, value: object, place: str, intent_id: str) -> tuple[object, list[str]]:
        return self._redaction.apply(value, place, intent_id) if self._redaction else (value, [])

    def _write(self, document: Record, spool: BinaryIO) -> None:
        """A canonical line in two parts, between which `run_id` belongs: it may not be known before the last step."""
        text = jcs.dumps({**document, "run_id": "\0"})
        if text.count(_PLACE) == 1:
            before, after = text.split(_PLACE)
        else:  # somebody wrote the same into an argument
            before = jcs.dumps({name: item for name, item in document.items() if name < "run_id"})[:-1] + b","
            after = b"," + jcs.dumps({name: item for name, item in document.items() if name > "run_id"})[1:]
        if len(text) + model.MAX_ID > MAX_LINE_BYTES:
            raise InvalidInput(f"expected a step of at most {MAX_LINE_BYTES} bytes, got more", hint="record it without raw capture", code="step_too_large")
        parts = before[1:-1] + b"\n" + after[1:-1] + b"\n"  # canonical JSON has no line breaks of its own
        self._content.update(parts)
        spool.write(parts)

    def _count(self, created_at: str) -> None:
        self.steps += 1
        self._first, self._last = self._first or created_at, created_at
        if self.steps > MAX_STEPS:
            raise InvalidInput(f"expected at most {MAX_STEPS} steps, got more", hint="record a part of the run", code="too_many_steps")

    def _timeline(self) -> list[Record]:
        if self._head.timeline or not self.steps:
            return list(self._head.timeline)
        return [{"event": "run_start", "ts": self._first}, {"event": "run_finish", "ts": self._last}]


def _lines(spool: BinaryIO, run_id: str) -> Iterator[bytes]:
    """The lines in full, many to a chunk."""
    spool.seek(0)
    name, chunk, size = b',"run_id":' + jcs.dumps(run_id) + b",", [], 0
    for before in spool:
        chunk += [b"{", before[:-1], name, spool.readline()[:-1], b"}\n"]
        size += len(before)
        if size > _CHUNK:
            yield b"".join(chunk)
            chunk, size = [], 0
    yield b"".join(chunk)


def _small(name: str, data: bytes) -> writer.Content:
    return writer.measure(name, lambda: _one(data))


def _one(data: bytes) -> Iterable[bytes]:
    return (data,)


def _signed(manifest: Record, key: Key | None) -> Record:
    manifest = {**manifest, "manifest_digest": model.manifest_digest(manifest)}
    if key is None:
        return manifest
    return {**manifest, "signatures": [envelope.sign(manifest, key, envelope.RUNPACK)["signature"]]}


def _whole_second(text: str) -> str:
    """The time without its fraction: Gait v1.x prints fractions in another form, and the manifest's digest would differ there."""
    head, dot, _ = text.partition(".")
    return head + "Z" if dot and text.endswith("Z") else text
