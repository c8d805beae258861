"""`gait run`: record, inspect, diff, replay, reduce and prove."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from ..runpack.diff import Change, Diff, Facts
    from ..runpack.model import Step
    from ..runpack.verify import Audit
    from ..signing.keys import Keyring

_DIFFERENT = 2  # as Gait v1.x
_COUNTED = ("verdicts", "statuses", "tools", "rules")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    from . import run_prove, run_record, run_reduce, run_replay

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    run_record.add_arguments(verbs)
    inspect = shared.verb(verbs, "inspect", "verify a run and show its steps", "gait run inspect run_demo")
    inspect.add_argument("run", metavar="RUN", help="a run's id, or the path of its pack")
    inspect.add_argument("--steps", type=int, default=20, metavar="N", help="how many of the steps to show (default 20, 0 all)")
    shared.key_options(inspect)
    diff = shared.verb(verbs, "diff", "show what differs between two runs; exit 2 if anything does", "gait run diff run_a run_b")
    diff.add_argument("left", metavar="LEFT", help="a run's id, or the path of its pack")
    diff.add_argument("right", metavar="RIGHT", help="the other one")
    diff.add_argument("--privacy", choices=("full", "metadata"), default="full", help="metadata: names of fields and numbers, no values")
    shared.key_options(diff)
    run_replay.add_arguments(verbs)
    run_reduce.add_arguments(verbs)
    run_prove.add_arguments(verbs)


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    from . import run_prove, run_record, run_reduce, run_replay

    own = {"inspect": _inspect, "diff": _diff}
    others = {"record": run_record.run, "replay": run_replay.run, "reduce": run_reduce.run, "prove": run_prove.run}
    return {**own, **others}[args.verb](args)


# --- inspect


def _inspect(args: argparse.Namespace) -> int:
    from . import packs

    if args.steps < 0:
        raise InvalidInput(f"expected 0 or more, got {args.steps}", where="--steps", code="invalid_usage")
    keys = packs.keys(args)
    counters = {name: Counter() for name in _COUNTED}  # type: ignore[var-annotated]
    shown: list[dict[str, object]] = []
    evaluable = 0
    with packs.audited(args.run, keys.ring) as (audit, place):
        for step in audit:
            _count(step, counters)
            evaluable += step.intent.request() is not None
            if not args.steps or len(shown) < args.steps:
                shown.append(_step_value(step))
        report = audit.report()
        report.require(place.path)
    value = {"ok": True, **report.to_value(), "path": place.path, **_about(audit), "evaluable_steps": evaluable}
    for name, counter in counters.items():
        value[name] = dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
    value["shown"] = shown
    shared.emit(args, value, _inspect_lines(value, report.steps))
    return 0


def _about(audit: Audit) -> dict[str, object]:
    run, refs, manifest = audit.run or {}, audit.refs or {}, audit.manifest
    return {
        "created_at": manifest.created_at if manifest else "",
        "env": run.get("env"),
        "timeline": run.get("timeline"),
        "refs": len(refs.get("receipts") or ()),  # type: ignore[arg-type]
    }


def _count(step: Step, counters: dict[str, Counter[str]]) -> None:
    counters["tools"][step.intent.tool_name] += 1
    counters["statuses"][step.result.status if step.result else "missing"] += 1
    if step.decision:
        counters["verdicts"][step.decision.verdict] += 1
        counters["rules"][step.decision.matched_rule or "(default)"] += 1


def _step_value(step: Step) -> dict[str, object]:
    intent, result, decision = step.intent, step.result, step.decision
    value: dict[str, object] = {"number": step.number, "intent_id": intent.intent_id, "tool_name": intent.tool_name}
    value.update(args_digest=intent.args_digest, created_at=intent.created_at, evaluable=intent.request() is not None)
    if intent.args is not None:
        value["args"] = intent.args
    if decision:
        value["decision"] = decision.to_value()
    if result:
        value.update(status=result.status, result_digest=result.result_digest)
    if result and result.result is not None:
        value["result"] = result.result
    redactions = [*intent.redactions, *(result.redactions if result else ())]
    return {**value, "redactions": redactions} if redactions else value


def _inspect_lines(value: dict[str, object], steps: int) -> list[str]:
    about = [(name, str(value[name])) for name in ("run_id", "created_at", "capture_mode", "signature_status", "manifest_digest", "path")]
    about += [("steps", f"{steps}, {value['evaluable_steps']} can be evaluated again"), ("refs", str(value["refs"]))]
    for name in _COUNTED:
        counts: dict[str, int] = value[name]  # type: ignore[assignment]
        shown = ", ".join(f"{count} {word}" for word, count in list(counts.items())[:5])
        about.append((name, shown + (f", and {len(counts) - 5} more" if len(counts) > 5 else "")))
    shown_steps: list[dict[str, object]] = value["shown"]  # type: ignore[assignment]
    lines = [*shared.rows(about), "", *(_step_line(step) for step in shown_steps)]
    return [*lines, f"... {steps - len(shown_steps)} more (--steps 0 shows all)"] if steps > len(shown_steps) else lines


def _step_line(step: dict[str, object]) -> str:
    decision: dict[str, object] = step.get("decision") or {}  # type: ignore[assignment]
    verdict = str(decision.get("verdict", "-"))
    reasons = ",".join(map(str, decision.get("reason_codes", ())))[:120]  # type: ignore[call-overload]
    shown = shared.colored(verdict, f"{verdict:16}", sys.stdout) if decision else f"{verdict:16}"
    tool, status = shared.plain(str(step["tool_name"]))[:60], shared.plain(str(step.get("status", "missing")))[:40]
    return f"{step['number']:6}  {shown}  {status:14}  {tool}  {shared.plain(reasons)}".rstrip()


# --- diff


def _diff(args: argparse.Namespace) -> int:
    from ..runpack import diff
    from . import packs

    ring = packs.keys(args).ring
    left, left_about = _facts(args.left, ring)
    right, right_about = _facts(args.right, ring)
    found = diff.compare(left, right)
    values = args.privacy == "full"
    run_fields = [name for name in left_about if name != "run_id" and left_about[name] != right_about[name]]
    equal = found.equal and not run_fields
    value: dict[str, object] = {"ok": equal, "equal": equal, "privacy": args.privacy}
    if values:
        value.update(left=left_about["run_id"], right=right_about["run_id"])
    value.update(left_steps=found.left_steps, right_steps=found.right_steps, **found.totals, run_fields=run_fields)
    value["changes"] = [change.to_value(values) for change in found.changes]
    shared.emit(args, value, _diff_lines(found, run_fields, values))
    return 0 if equal else _DIFFERENT


def _facts(name: str, ring: Keyring | None) -> tuple[list[Facts], dict[str, object]]:
    """The facts of a run that verifies, and those about it as a whole."""
    from ..formats import jcs
    from ..runpack import diff
    from . import packs

    with packs.audited(name, ring) as (audit, place):
        found = diff.facts(audit)
        report = audit.report()
    report.require(place.path)
    refs = audit.refs or {}  # env is left out: the same run on another machine is the same run
    return found, {
        "run_id": report.run_id,
        "capture_mode": report.capture_mode,
        "refs": jcs.digest(refs.get("receipts")),
    }


def _diff_lines(found: Diff, run_fields: list[str], values: bool) -> list[str]:
    lines = [f"run: {name} differs" for name in run_fields]
    lines += [line for change in found.changes for line in _change_lines(change, values)]
    hidden = sum(found.totals.values()) - len(found.changes)
    lines += [f"... and {hidden} more"] if hidden else []
    if found.equal and not run_fields:
        return [f"equal: {found.left_steps} steps"]
    counts = ", ".join(f"{count} {kind}" for kind, count in found.totals.items())
    return [*lines, f"different: {counts} ({found.left_steps} and {found.right_steps} steps)"]


def _change_lines(change: Change, values: bool) -> list[str]:
    mark = {"added": "+", "removed": "-", "changed": "~"}[change.kind]
    place = f"{change.left or '':>6} {change.right or '':>6}"
    if not values:
        return [f"{mark} {place}  {', '.join(name for name, _, _ in change.fields)}".rstrip()]
    lines = [f"{mark} {place}  {shared.plain(change.tool_name)[:80]}"]
    shown: dict[str, dict[str, object]] = change.to_value(True).get("fields") or {}  # type: ignore[assignment]
    return lines + [f"{'':17}{name}: {_text(both['left'])} -> {_text(both['right'])}" for name, both in shown.items()]


def _text(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return shared.plain(text)[:80] or "-"
