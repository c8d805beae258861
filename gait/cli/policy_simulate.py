"""`gait policy simulate`: which recorded calls another policy would have answered otherwise."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from ..errors import InvalidInput, VerificationFailed
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from ..gate.matching import CompiledPolicy
    from ..gate.simulate import Call, Simulation
    from ..signing.keys import Keyring
    from .progress import Progress

RECORDED = "recorded"
_FAILED = 5
_MAX_TRACE_BYTES = 17 * 1024 * 1024
_MAX_FILES = 100_000
_MAX_GROUPS = 20
_NOT_EVALUATED = "not-evaluated"


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `simulate`."""
    example = "gait policy simulate --policy new.yaml --from ~/.gait/journal --fail-on allow-to-block"
    verb = shared.verb(verbs, "simulate", "show which recorded calls a policy would answer otherwise", example)
    verb.later = _options  # type: ignore[attr-defined]


def _options(verb: argparse.ArgumentParser) -> None:
    shared.policy_option(verb)
    verb.add_argument("--baseline", default=RECORDED, metavar="FILE", help="the policy to compare with; recorded (default): the answers that were given")
    verb.add_argument("--from", dest="sources", action="append", required=True, nargs="+", metavar="PATH", help="a journal, a run, a trace, or a folder of runs and traces")
    verb.add_argument("--fail-on", action="append", default=[], metavar="CHANGE", help="exit 5 on such a change: FROM-to-TO, as allow-to-block; looser, stricter, any, not-evaluated")
    shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 5 when a change that --fail-on names was found."""
    from ..gate.simulate import Simulation
    from .progress import Progress

    _check(args)
    candidate = shared.read_policy(args.policy)
    baseline = None if args.baseline == RECORDED else shared.read_policy(args.baseline)
    paths = [path for names in args.sources for name in names for path in _expand(name)]
    found = Simulation(candidate, baseline)
    with Progress("calls", sum(map(_size, paths))) as progress:
        sources = _Sources(args, progress)
        for path in paths:
            for call in progress.count(sources.calls(path)):
                found.add(call)
    if not found.evaluated:
        problems = ", ".join(f"{count} {name}" for name, count in sorted(found.problems.items())) or "no calls"
        hint = "give records that hold the intent: see docs/simulate.md"
        raise InvalidInput(f"expected recorded calls that can be evaluated again, got {problems}", where="--from", hint=hint, code="nothing_evaluated")
    failing = _failing(args, found)
    shared.emit(args, _value(args, found, candidate, baseline, failing), _lines(found, failing))
    return _FAILED if failing else 0


def _check(args: argparse.Namespace) -> None:
    from ..formats.fields import nearest
    from ..gate.simulate import CHANGES

    shared.one_standard_input(args.policy, args.baseline)
    for word in args.fail_on:
        if word not in CHANGES and word != _NOT_EVALUATED:
            message = f"expected a change such as allow-to-block, looser or any, got {word[:80]!r}{nearest(word, [*CHANGES, _NOT_EVALUATED])}"
            raise InvalidInput(message, where="--fail-on", hint="verdicts: allow, dry_run, require_approval, block", code="invalid_usage")


def _failing(args: argparse.Namespace, found: Simulation) -> dict[str, int]:
    failing = found.failing([word for word in dict.fromkeys(args.fail_on) if word != _NOT_EVALUATED])
    missing = sum(found.problems.values())
    return {**failing, _NOT_EVALUATED: missing} if missing and _NOT_EVALUATED in args.fail_on else failing


# --- where the calls come from


def _expand(name: str) -> list[str]:
    """The journals, packs and traces that a name stands for, in order."""
    from ..store import runs

    path = runs.resolve(name).path
    if not os.path.isdir(path) or _is_journal(path):
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(part for part in folders if not part.startswith("."))
        for part in sorted(folders):
            inner = os.path.join(folder, part)
            if _is_journal(inner):
                folders.remove(part)
                found.append(inner)
        found += [os.path.join(folder, part) for part in sorted(names) if part.endswith(".zip") or (part.startswith("trace_") and part.endswith(".json"))]
        if len(found) > _MAX_FILES:
            raise InvalidInput(f"expected at most {_MAX_FILES} files, got more", where=path, hint="name a smaller folder")
    if not found:
        raise InvalidInput("expected a journal, or a folder with runs (*.zip) or traces (trace_*.json), got neither", where=path, code="file_not_found")
    return found


def _is_journal(path: str) -> bool:
    from ..store.journal import folder

    return not os.path.islink(path) and any(folder.segments(os.path.join(path, chain)) for chain in folder.chains(path))


def _size(path: str) -> int:
    """How many bytes there are to read, for the bar."""
    paths = [path]
    if os.path.isdir(path):
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names if name.endswith(".jsonl")]
    try:
        return sum(map(os.path.getsize, paths))
    except OSError:
        return 0  # it is gone, or retention is at work: reading will tell


class _Sources:
    """Reads calls; a source that does not verify to its end is an error, so that nothing of it counts."""

    def __init__(self, args: argparse.Namespace, progress: Progress) -> None:
        self._args = args
        self._progress = progress
        self._ring: Keyring | None = None

    def calls(self, path: str) -> Iterator[Call]:
        """The calls of a journal, a run or a trace."""
        if os.path.isdir(path):
            return self._of_journal(path)
        return self._of_trace(path) if path.endswith(".json") else self._of_run(path)

    def _keys(self) -> Keyring:
        """What signed journals and traces, read when there is one."""
        self._ring = self._ring or shared.verifying_keys(self._args).ring
        return self._ring

    def _of_journal(self, path: str) -> Iterator[Call]:
        from ..gate import simulate, trace
        from ..store.journal.verify import Audit

        audit = Audit(path, self._keys())
        for record, line in audit:
            self._progress.done(len(line) + 1)
            if record["schema_id"] == trace.SCHEMA_ID:
                yield simulate.of_record(record, f"{record['chain']}#{record['sequence']}")
        report = audit.report()
        if not report.ok:
            first = report.findings[0]
            message = f"{first.line()} ({report.total} findings): a damaged journal proves nothing"
            raise VerificationFailed(message, where=path, hint="see gait journal verify", code=first.code)

    def _of_run(self, path: str) -> Iterator[Call]:
        from ..regress.drift import call_of
        from ..runpack.verify import Audit
        from ..store import runs
        from .regress_run import ring

        with runs.open_pack(path) as file:
            audit = Audit(file, ring(self._args))
            run_id = audit.manifest.run_id if audit.manifest else ""
            for step in audit:
                yield call_of(step)._replace(place=f"{run_id}#{step.number}")
        audit.report().require(path)
        self._progress.done(_size(path))

    def _of_trace(self, path: str) -> Iterator[Call]:
        from ..formats import strict_json
        from ..gate import simulate, trace
        from ..signing import envelope
        from ..system import files

        record = strict_json.loads_object(files.read_bounded(path, _MAX_TRACE_BYTES, "a trace"), path, _MAX_TRACE_BYTES)
        try:
            envelope.verify(record, self._keys(), envelope.TRACE)
        except VerificationFailed as error:
            error.where = error.where or path
            raise
        if record.get("schema_id") == trace.SCHEMA_ID:
            yield simulate.of_record(record, os.path.basename(path))
        self._progress.done(_size(path))


# --- what was found


def _value(
    args: argparse.Namespace, found: Simulation, candidate: CompiledPolicy, baseline: CompiledPolicy | None, failing: dict[str, int]
) -> dict[str, object]:
    value: dict[str, object] = {"ok": not failing, "policy_digest": candidate.policy.digest, "baseline": args.baseline}
    if baseline:
        value["baseline_digest"] = baseline.policy.digest
    value.update(found.to_value())
    if failing:
        value.update(failed_on=failing, top_failure_reason=_failure(failing))
    return value


def _failure(failing: dict[str, int]) -> str:
    return "; ".join(f"{word}: {_calls(count)}" for word, count in failing.items())


def _calls(count: int) -> str:
    return f"{count} call{'' if count == 1 else 's'}"


def _lines(found: Simulation, failing: dict[str, int]) -> list[str]:
    lines = []
    ranked = found.ranked()
    for key in ranked[:_MAX_GROUPS]:
        lines += _group_lines(found, key)
    lines += [f"... and {len(ranked) - _MAX_GROUPS} more groups (--json shows them)", ""] if len(ranked) > _MAX_GROUPS else []
    lines += [f"{found.ungrouped} more changes in other groups"] if found.ungrouped else []
    lines += [f"{_calls(count)} cannot be evaluated again: {name}" for name, count in sorted(found.problems.items())]
    lines += [f"same verdict, another rule or reason: {_calls(found.same_verdict)}"] if found.same_verdict else []
    lines.append(f"changed verdict: {found.changed} of {_calls(found.evaluated)}")
    return [*lines, f"{shared.colored('error', 'FAILED', sys.stdout)}: {_failure(failing)}"] if failing else lines


def _group_lines(found: Simulation, key: tuple[str, str, str, str]) -> list[str]:
    before, after, rule_before, rule_after = key
    rules = f"rule {rule_before or '(none)'} -> {rule_after or '(none)'}"
    lines = [f"{before} -> {shared.colored(after, after, sys.stdout)}  {_calls(found.counts[key])}  {shared.plain(rules)}"]
    for example in found.groups[key]:
        reasons = ",".join(example.after.reason_codes)[:120]
        lines.append(shared.plain(f"  {example.place[:160]}  {example.tool_name[:60]}  {reasons}"))
    return [*lines, ""]
