"""Evidence packs for tests: made in memory, with whatever journal or window is wanted."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gait.formats import jcs  # noqa: E402
from gait.guard import pack, verify  # noqa: E402
from gait.guard.summary import Survey  # noqa: E402
from gait.runpack import verify as runpacks  # noqa: E402
from gait.runpack.pack import Head, Recorded, Recorder  # noqa: E402
from gait.signing import envelope  # noqa: E402
from gait.signing.keys import Keyring  # noqa: E402
from scripts import runpack_fixtures as fixtures  # noqa: E402

RING = Keyring("trace", fixtures.KEY)
OTHER = Keyring("trace", fixtures.OTHER_KEY)
AT = "2026-02-05T00:00:00Z"
HOSTILE = "evil<script>alert(1)</script> | [a](http://x.org) `c` **b** \u202e www.x.org\n# head"
WINDOW = {"from": AT, "to": AT}
CHAIN = {"chain": "main", "records": 3, "first_sequence": 1, "last_sequence": 3, "proven_sequence": 3, "proven_at": AT}


def journal(sequence: int = 3) -> dict[str, object]:
    """The proof of a journal of one chain, whose head is of this sequence."""
    head = {"schema_id": "gait.journal.head", "chain": "main", "sequence": sequence}
    return {"chains": [CHAIN], "heads": [envelope.sign(head, fixtures.KEY, envelope.JOURNAL_HEAD)]}


def trace(step: Recorded, verdict: str = "") -> dict[str, object]:
    """A signed decision of a step."""
    decision = step.decision or {}
    record = {"schema_id": "gait.gate.trace", "created_at": AT, "tool_name": step.tool_name}
    record.update(trace_id=decision["trace_id"], verdict=verdict or decision["verdict"], matched_rule=decision.get("matched_rule", ""))
    return envelope.sign(record, fixtures.KEY, envelope.TRACE)


def lines(records: list[dict[str, object]]) -> bytes:
    return b"".join(jcs.dumps(record) + b"\n" for record in records)


def run(steps: list[Recorded], signed: bool = True) -> runpacks.Pack:
    """The verified run of these steps."""
    recorder = Recorder(Head("run_1"), io.BytesIO)
    for step in steps:
        recorder.add(step)
    out = io.BytesIO()
    recorder.finish(out, fixtures.KEY if signed else None)
    return runpacks.load(out, RING)


def made(steps: list[Recorded] | None = None, *, signed: bool = True, traced: bool = True, around: int = 0, **fields: object) -> bytes:
    """A pack of these steps (default: three, one of each verdict)."""
    steps = fixtures.steps("good") if steps is None else steps
    survey, loaded = Survey(), run(steps, signed)
    for step in loaded.steps():
        survey.step(step)
    traces = [trace(step) for step in steps] if traced else []
    others = [trace(step) for step in steps[:around]]
    for record in traces:
        survey.trace(record)
    for record in others:
        survey.around(record)
    evidence = pack.Evidence("incident" if "window" in fields else "evidence", loaded, lambda: [lines(traces)], lambda: [lines(others)], **fields)  # type: ignore[arg-type]
    out = io.BytesIO()
    pack.write(out, evidence, survey, fixtures.KEY, AT)
    return out.getvalue()


def forged(data: bytes, entries: dict[str, bytes | None], **fields: object) -> bytes:
    """The pack with other entries (None: without it) and fields of the manifest, signed again: what somebody with the key can make."""
    found = {name: content for name, content in {**fixtures.entries(data), **entries}.items() if content is not None}
    found = fixtures.rehashed(found, **fields)
    manifest = json.loads(found["manifest.json"])
    signature = envelope.sign(manifest, fixtures.KEY, envelope.GUARD_PACK)["signature"]
    return fixtures.zipped(fixtures.parts({**found, "manifest.json": jcs.dumps({**manifest, "signatures": [signature]})}))


def changed(data: bytes, name: str, **fields: object) -> bytes:
    """The pack with other fields in a document, signed again."""
    return forged(data, {name: jcs.dumps({**json.loads(fixtures.entries(data)[name]), **fields})})


def report(data: bytes, ring: Keyring | None = RING) -> verify.Report:
    return verify.check(io.BytesIO(data), ring)


def findings(data: bytes, ring: Keyring | None = RING) -> set[str]:
    """The codes that verification finds."""
    return {finding.code for finding in report(data, ring).findings}
