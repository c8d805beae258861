"""What `gait guard pack` and `gait incident pack` share: the run, its signed decisions from the disk or a journal, the pack."""

from __future__ import annotations

import argparse
import os
import sys

from ..errors import InvalidInput, VerificationFailed
from ..formats import timestamps
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..guard import pack
from ..guard.summary import Survey
from ..runpack.pack import Packed
from . import shared
from .evidence_sources import FolderTraces, JournalTraces, Spool

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..runpack.model import Record, Step
    from ..runpack.verify import Pack
    from ..signing.keys import Keyring
    from ..store.runs import Saved, Scratch


class Wanted(NamedTuple):
    """What is asked for; `window_seconds` None: a pack of the run alone."""

    kind: str
    run: str
    template: str
    window_seconds: float | None = None


def options(parser: argparse.ArgumentParser) -> None:
    """The options of both commands."""
    parser.add_argument("--journal", metavar="DIR", help="take the signed decisions from this journal, and prove it; a damaged one is refused")
    parser.add_argument("--traces", metavar="DIR", help="take them from the trace files here (default: $GAIT_HOME/traces)")
    parser.add_argument("--out", default="", metavar="FILE", help="write here, replacing the file (default: a name by its digest under $GAIT_HOME/packs)")
    shared.key_options(parser)


def write(args: argparse.Namespace, wanted: Wanted) -> int:
    """Write a signed pack: exit code 0.  VerificationFailed: the run or the journal does not verify; then there is none."""
    from ..store import runs
    from . import packs

    if args.out == "-":
        raise InvalidInput("must be a file; got '-'", where="--out", hint="name a file", code="invalid_usage")
    _refuse_input(args.out, runs.resolve(wanted.run).path, args.private_key)
    ring, warnings = shared.signing_keys(args)
    with packs.loaded(wanted.run, ring) as run:
        maker = _Maker(args, wanted, run, ring)
        saved = _save(runs.save, maker, args.out, run.manifest.run_id)
    emit(args, maker, saved, [*warnings, *maker.warnings])
    return 0


def _refuse_input(out: str, *inputs: str | None) -> None:
    if out and os.path.realpath(out) in [os.path.realpath(path) for path in inputs if path]:
        raise InvalidInput("names the file of another option", where="--out", hint="name another file", code="invalid_usage")


def _save(save, maker: _Maker, out: str, run_id: str) -> str:  # type: ignore[no-untyped-def]
    """The path of the pack that was written; without `out` its digest is in its name, so that only its equal has it."""
    from ..store.keys import home
    from ..system import files

    if out:
        return str(save(maker, out).path)
    folder = os.path.join(home(), "packs")
    files.private_directory(folder)
    saved: Saved = save(maker, os.path.join(folder, f".gait-{os.urandom(8).hex()}.zip.tmp"))
    path = os.path.join(folder, f"{maker.wanted.kind}_{run_id}_{saved.packed.manifest_digest[:12]}.zip")
    os.replace(saved.path, path)
    return path


class _Maker:
    """Collects the evidence and writes the pack, with scratch files for what may be long."""

    def __init__(self, args: argparse.Namespace, wanted: Wanted, run: Pack, ring: Keyring) -> None:
        self.wanted = wanted
        self.warnings: list[str] = []
        self.written: pack.Written | None = None
        self._args = args
        self._run = run
        self._ring = ring
        self._survey = Survey()
        self._places: dict[tuple[str, int], str] = {}  # where the run's decisions are in a journal
        self._times: dict[str, set[str]] = {}  # when each was made, as the run says
        self._newest = (timestamps.loads(run.manifest.created_at), run.manifest.created_at)

    def __call__(self, out: BinaryIO, scratch: Scratch) -> Packed:
        for step in self._run.steps():
            self._survey.step(step)
            self._note(step)
        traces, around, window = Spool(scratch()), Spool(scratch()), {}
        folder = FolderTraces(self._folder(), self._ring)
        journal = self._collect(traces, folder)
        if self.wanted.window_seconds is not None:
            first, last = self._period(traces, self.wanted.window_seconds)
            window = {"from": timestamps.dumps(first), "to": timestamps.dumps(last)}
            source = JournalTraces(self._args.journal, self._ring) if self._args.journal else folder
            for record in source.between(first, last, traces.occurrences):
                self._newer(record)
                self._survey.around(record)
                around.add(record)
        self._warn(folder, traces, around)
        evidence = pack.Evidence(self.wanted.kind, self._run, traces.chunks, around.chunks, journal, window, self.wanted.template)
        self.written = pack.write(out, evidence, self._survey, self._ring.active, self._newest[1])
        manifest = self._run.manifest
        return Packed(manifest.run_id, str(self.written.manifest["manifest_digest"]), manifest.capture_mode, self._survey.steps, 0, self._ring.active.key_id)

    def _collect(self, traces: Spool, folder: FolderTraces) -> Record | None:
        """The run's signed decisions, those that the journal lacks from the folder; what proves the journal."""
        proof = None
        if self._args.journal:
            source = JournalTraces(self._args.journal, self._ring)
            for record in source.of_run(self._survey.decisions, self._places):
                self._take(record, traces)
            proof = source.proof()
        for record in folder.of_run({trace_id: self._times[trace_id] for trace_id in self._survey.decisions if trace_id not in traces.ids}):
            self._take(record, traces)
        return proof

    def _note(self, step: Step) -> None:
        decision, result = step.decision, step.result
        if decision and decision.trace_id and result:
            self._times.setdefault(decision.trace_id, set()).add(step.intent.created_at)
            source = result.value.get("source")
            if type(source) is dict and type(source.get("chain")) is str and type(source.get("sequence")) is int:
                self._places[source["chain"], source["sequence"]] = decision.trace_id

    def _take(self, record: Record, traces: Spool) -> None:
        self._newer(record)
        self._survey.trace(record)
        traces.add(record)

    def _newer(self, record: Record) -> None:
        created_at = str(record["created_at"])
        self._newest = max(self._newest, (timestamps.loads(created_at), created_at))

    def _folder(self) -> str:
        from ..store.keys import home

        return self._args.traces or os.path.join(home(), "traces")

    def _period(self, traces: Spool, around_seconds: float) -> tuple[float, float]:
        """When the run was, and so long before and after; by its steps, or by its signed decisions when they have no times."""
        texts = self._survey.period or [text for text in (traces.first, traces.last) if text]
        if not texts:
            message = "expected a run whose time is known, got one without times and without signed decisions"
            raise InvalidInput(message, where=self.wanted.run, hint="name its --journal or --traces", code="run_without_times")
        return max(0.0, timestamps.loads(texts[0]) - around_seconds), timestamps.loads(texts[-1]) + around_seconds

    def _warn(self, folder: FolderTraces, traces: Spool, around: Spool) -> None:
        untraced = len(set(self._survey.decisions) - traces.ids)
        if untraced:
            self.warnings.append(f"{untraced} of {len(self._survey.decisions)} decisions have no signed trace in this pack")
        if folder.refused:
            self.warnings.append(f"{folder.refused} trace files do not verify and were left out")
        if traces.with_arguments or around.with_arguments:
            self.warnings.append("the journal's records hold the arguments of calls, and so does this pack: who can read it can read their secrets")


def emit(args: argparse.Namespace, maker: _Maker, path: str, warnings: list[str]) -> None:
    """Say what was written."""
    if maker.written is None:
        raise VerificationFailed("expected a pack, got none", where=path)
    manifest, summary = maker.written
    asked: list[Record] = summary.get("controls") or []  # type: ignore[assignment]
    value: Record = {"ok": True, "run_id": manifest["run_id"], "kind": manifest["kind"], "template": manifest["template"], "pack": path}
    value.update(manifest_digest=manifest["manifest_digest"], steps=summary["steps"], traces=summary["traces"], untraced=summary["untraced"])
    value.update({name: summary[name] for name in ("window", "around", "facts") if name in summary})
    value.update(controls={str(item["control_id"]): item["status"] for item in asked}, warnings=warnings)
    rows = [("run", str(manifest["run_id"])), ("pack", path), ("digest", f"sha256:{manifest['manifest_digest']}")]
    rows += [("calls", _counts(summary["verdicts"])), ("traces", f"{summary['traces']} signed decisions")]
    window: dict[str, str] = summary.get("window") or {}  # type: ignore[assignment]
    rows += [("window", f"{window['from']} to {window['to']}"), ("around", _counts(summary["around"]) or "no other decisions")] if window else []
    lines = [shared.plain(f"{_mark(str(item['status']))} {item['control_id']}: {item['title']}") for item in asked]
    warned = [("warning", text) for text in warnings]
    shared.emit(args, value, [*shared.rows(rows), *lines, *shared.rows([*warned, ("next", f"gait guard verify {path}")])])


def _counts(counts: object) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())  # type: ignore[attr-defined]


def _mark(status: str) -> str:
    color = {"shown": "allow", "partly shown": "require_approval", "not shown": "block"}[status]
    return f"  {shared.colored(color, f'{status:12}', sys.stdout)}"
