"""A runpack of one decision, for the client that asks for it."""

from __future__ import annotations

import io
import os

from ..formats.documents import NamedTuple
from ..runpack import journal
from ..runpack.pack import Head, Recorder
from ..signing.keys import Key
from ..system import files

Record = dict[str, object]


class Made(NamedTuple):
    """A runpack: its run's id, the line that a ticket gets, and its bytes."""

    run_id: str
    footer: str
    data: bytes


def make(record: Record, key: Key) -> Made:
    """The signed runpack of one decision, without an outcome: whoever asked has not executed anything yet."""
    intent = record.get("intent")
    recorder = Recorder(Head(), io.BytesIO, raw=isinstance(intent, dict) and "args" in intent)
    recorder.add(journal.recorded(record))
    out = io.BytesIO()
    packed = recorder.finish(out, key)
    return Made(packed.run_id, packed.footer, out.getvalue())


def save(folder: str, made: Made) -> str:
    """The path of the pack in the operator's folder; an equal one that is there is replaced.  StorageError."""
    path = os.path.join(folder, f"runpack_{made.run_id}.zip")
    files.write_atomic(path, made.data)
    return path
