"""Where the signed decisions of a run are: trace files in a folder, or a journal.  Only what verifies is given out."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping

from ..errors import GaitError, InvalidInput, VerificationFailed
from ..formats import jcs, strict_json, timestamps
from ..formats.documents import TYPE_CHECKING
from ..gate import trace
from ..signing import envelope
from ..store.journal import folder as names
from ..store.journal import records
from ..store.journal.verify import Audit
from ..system import files

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..runpack.model import Record
    from ..signing.keys import Keyring
    from ..store.journal.findings import Report

_MAX_TRACE_BYTES = 32 * 1024 * 1024
_MAX_HEAD_BYTES = 16 * 1024
_MAX_FILES = 100_000
_CHUNK = 1 << 20
_FILE = re.compile(r"trace_[0-9a-f]{24}(_[0-9]{1,18}){0,2}\.json")


Occurrence = tuple["object", ...]


def occurrence(record: Record) -> Occurrence:
    """What tells one occurrence of a decision from the next."""
    return tuple(record.get(name) for name in ("trace_id", "created_at", "chain", "sequence"))


class Spool:
    """Records as canonical lines in a scratch file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.ids: set[str] = set()
        self.occurrences: set[Occurrence] = set()
        self.first = self.last = ""
        self.with_arguments = False

    def add(self, record: Record) -> None:
        """Keep one."""
        self._file.write(jcs.dumps(record) + b"\n")
        self.ids.add(str(record["trace_id"]))
        self.occurrences.add(occurrence(record))
        created_at = str(record["created_at"])
        self.first = min(self.first or created_at, created_at, key=timestamps.loads)
        self.last = max(self.last or created_at, created_at, key=timestamps.loads)
        intent = record.get("intent")
        self.with_arguments = self.with_arguments or type(intent) is dict and bool(intent.get("args"))

    def chunks(self) -> Iterator[bytes]:
        """All of it."""
        self._file.seek(0)
        chunk = self._file.read(_CHUNK)
        while chunk:
            yield chunk
            chunk = self._file.read(_CHUNK)


class FolderTraces:
    """Trace files.  `refused` counts those that were looked at and do not verify."""

    def __init__(self, path: str, ring: Keyring) -> None:
        self._path = path
        self._ring = ring
        self.refused = 0

    def of_run(self, wanted: Mapping[str, Collection[str]]) -> Iterator[Record]:
        """The decisions that are there, of each the occurrences at the times that are given with it, or else the first one."""
        names = self._by_decision(wanted)
        for trace_id, times in wanted.items():
            found = [record for name in names.get(trace_id, ()) for record in [self._read(name)] if record and record["trace_id"] == trace_id]
            yield from [record for record in found if record["created_at"] in times] or found[:1]

    def _by_decision(self, wanted: Mapping[str, object]) -> dict[str, list[str]]:
        """The files that may hold each decision, in the order of their numbers."""
        found: dict[str, list[str]] = {}
        for name in self._names() if wanted else ():
            if name[6:30] in wanted:
                found.setdefault(name[6:30], []).append(name)
        return {trace_id: sorted(names, key=_numbers) for trace_id, names in found.items()}

    def between(self, first: float, last: float, but: Collection[Occurrence]) -> Iterator[Record]:
        """The decisions of a time, but for some; in the order of time."""
        found = []
        for name in self._names():
            record = self._read(name)
            if record and occurrence(record) not in but and first <= timestamps.loads(str(record["created_at"])) <= last:
                found.append((timestamps.loads(str(record["created_at"])), name))
        for _, name in sorted(found):  # read again: memory does not grow with them
            record = self._read(name)
            if record:
                yield record

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._path) as entries:
                found = sorted(entry.name for entry in entries if _FILE.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        if len(found) > _MAX_FILES:
            raise InvalidInput(f"expected at most {_MAX_FILES} trace files, got {len(found)}", where=self._path, hint="use a journal, or move old traces away")
        return found

    def _read(self, name: str) -> Record | None:
        path = os.path.join(self._path, name)
        try:
            record = strict_json.loads_object(files.read_bounded(path, _MAX_TRACE_BYTES, "a trace"), path, _MAX_TRACE_BYTES)
            envelope.verify(record, self._ring, envelope.TRACE)
            timestamps.loads(str(record.get("created_at")))
        except GaitError:
            self.refused += 1
            return None
        whole = record.get("schema_id") == trace.SCHEMA_ID and all(type(record.get(field)) is str for field in ("trace_id", "verdict"))
        return record if whole else None


def _numbers(name: str) -> list[int]:
    """The numbers at the end of a file's name."""
    return [int(text) for text in name[30:-5].split("_") if text]


class JournalTraces:
    """The decisions in a journal.  VerificationFailed after the last one: the journal is damaged."""

    def __init__(self, path: str, ring: Keyring) -> None:
        self._path = path
        self._ring = ring
        self._report: Report | None = None

    def of_run(self, decisions: Collection[str], places: Mapping[tuple[str, int], str]) -> Iterator[Record]:
        """Those of a run: at the places that it names, or of the same ids when it names none."""
        for record in self._decisions():
            trace_id = record["trace_id"]
            place = (record["chain"], record["sequence"])
            if places.get(place) == trace_id if places else trace_id in decisions:  # type: ignore[arg-type]
                yield record

    def between(self, first: float, last: float, but: Collection[Occurrence]) -> Iterator[Record]:
        """Those of a time, but for some."""
        for record in self._decisions():
            if occurrence(record) not in but and first <= timestamps.loads(str(record["created_at"])) <= last:
                yield record

    def proof(self) -> Record:
        """The chains, and the signed head that proves the end of each."""
        if self._report is None:
            raise VerificationFailed("expected a journal that was read to its end", where=self._path)
        chains = [chain.to_value() for chain in self._report.chains]
        heads = [head for chain in chains for head in [self._head(chain)] if head]
        return {"chains": chains, "heads": heads}

    def _decisions(self) -> Iterator[Record]:
        audit = Audit(self._path, self._ring)
        for record, _ in audit:
            if record["schema_id"] == trace.SCHEMA_ID:
                yield record
        self._report = report = audit.report()
        if not report.ok:
            first = report.findings[0]
            message = f"{first.line()} ({report.total} findings): nothing of a damaged journal is packed"
            raise VerificationFailed(message, where=self._path, hint="see gait journal verify", code=first.code)

    def _head(self, chain: Record) -> Record | None:
        """The head document that proves as far as verification found."""
        if not chain["proven_sequence"]:
            return None
        folder = os.path.join(self._path, str(chain["chain"]))
        for segment in (0, *reversed(names.heads(folder))):
            try:
                data = files.read_bounded(names.head_path(folder, segment), _MAX_HEAD_BYTES, "a head")
                value = strict_json.loads_object(data, folder, _MAX_HEAD_BYTES)
                if records.read_head(value, self._ring).tail.sequence == chain["proven_sequence"]:
                    return value
            except GaitError:
                continue  # verification has said what there is to say about it
        chain["proven_sequence"], chain["proven_at"], chain["proven_by"] = 0, "", ""  # the writer has replaced it meanwhile
        return None
