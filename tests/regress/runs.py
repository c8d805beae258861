"""Packs for the tests: recorded from a few calls, with or without a policy that decides them."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from gait import adapters
from gait.gate import policy
from gait.gate.matching import CompiledPolicy, compile_policy
from gait.judge import DEFAULTS
from gait.runpack import record
from gait.runpack.pack import Recorder
from gait.runpack.verify import Pack, load

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "regress"
POLICY = (ROOT / "fixtures" / "quickstart" / "policy.yaml").read_text("utf-8")
NOW_ALLOWED = POLICY.replace("effect: require_approval", "effect: allow")  # one word


def compiled(text: str = POLICY) -> CompiledPolicy:
    return compile_policy(policy.loads(text))


def call(name: str, path: str = "/work/a", **more: object) -> dict[str, object]:
    context = {"identity": "agent", "workspace": "/work", "risk_class": "high"}
    return {"adapter": "mcp", "call": {"name": name, "arguments": {"path": path}}, "context": context, **more}


CALLS = [call("read_file"), call("write_file"), call("delete_file")]


def packed(calls: list[dict[str, object]] = CALLS, text: str | None = POLICY, run_id: str = "run_1", raw: bool = False) -> bytes:
    """A runpack of these calls, decided by a policy."""
    document = {"schema_id": record.SCHEMA_ID, "schema_version": "1.0.0", "run_id": run_id, "steps": calls}
    given = record.Given(lambda name, value, context: adapters.to_document(name, value, {**DEFAULTS, **context}), compiled(text) if text else None)
    head, steps = record.read(document, given)
    recorder = Recorder(head, tempfile.TemporaryFile, raw)  # type: ignore[arg-type]
    for step in steps:
        recorder.add(step)
    out = io.BytesIO()
    recorder.finish(out)
    return out.getvalue()


def pack(*arguments: object, **options: object) -> Pack:
    return load(io.BytesIO(packed(*arguments, **options)))  # type: ignore[arg-type]
