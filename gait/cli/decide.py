"""What `gate eval` and `mcp proxy` do with a call: decide, sign, write the trace, export, print, exit.

Invariant: nothing is printed before the trace and every export are written.
"""

from __future__ import annotations

import argparse

from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from ..gate.explain import Tried
    from ..gate.matching import CompiledPolicy
    from ..mcp.call import Call, Judged

_NEXT = {
    "block": "change the call, or read why: gait policy explain",
    "require_approval": "the call waits for {approvals}; until then it must not run",
    "dry_run": "the policy only simulates this call; it must not run",
}


def decision_options(parser: argparse.ArgumentParser) -> None:
    """The options of a decision's key, trace and exports."""
    shared.key_options(parser)
    parser.add_argument("--trace-out", metavar="FILE", help="write the trace here (default: a new file under $GAIT_HOME/traces)")
    parser.add_argument("--export-log-out", metavar="FILE", help="append one SIEM line (JSONL)")
    parser.add_argument("--export-otel-out", metavar="FILE", help="append one OTLP/JSON log record")
    parser.add_argument("--run-id", default="", metavar="ID", help="the record's correlation_id")
    parser.add_argument("--explain", action="store_true", help="show which rules were tried and why")


def decide(args: argparse.Namespace, call: Call) -> int:
    """Decide one call; the exit code is the verdict's.  A trace or export that cannot be written is an error, no allow."""
    from ..mcp.call import judge

    compiled = shared.read_policy(args.policy)
    ring, warnings = shared.signing_keys(args)
    judged = judge(compiled, call, ring.active)
    trace_path = _write(args, judged)
    value = judged.to_value(trace_path, warnings)
    tried = _tried(compiled, judged) if args.explain else []
    if args.explain:
        value["tried"] = [step.to_value() for step in tried]
    shared.emit(args, value, _lines(value) + explanation(tried))
    return judged.decision.exit_code


def _write(args: argparse.Namespace, judged: Judged) -> str:
    from ..store import traces
    from ..system import files

    trace_path = traces.save(judged.record, args.trace_out)
    if args.export_log_out:
        from ..exporters import siem

        files.append_line(args.export_log_out, siem.dumps(judged.record))
    if args.export_otel_out:
        from ..exporters import otel

        files.append_line(args.export_otel_out, otel.dumps(judged.record))
    return trace_path


def _tried(compiled: CompiledPolicy, judged: Judged) -> list[Tried]:
    from ..gate.explain import explain

    return explain(compiled, judged.intent) if judged.intent else []


def _lines(value: dict[str, object]) -> list[str]:
    verdict = str(value["verdict"])
    approvals = f"{value['required_approvals']} approval" + ("" if value["required_approvals"] == 1 else "s")
    lines = shared.rows(
        [
            ("verdict", verdict),
            ("tool", str(value.get("tool_name", ""))),
            ("rule", str(value["matched_rule"])),
            ("reasons", ", ".join(value["reason_codes"])),  # type: ignore[arg-type]
            ("violations", ", ".join(value["violations"])),  # type: ignore[arg-type]
            ("trace", str(value["trace_path"])),
            ("next", _NEXT.get(verdict, "").format(approvals=approvals)),
            *(("warning", str(warning)) for warning in value.get("warnings", ())),  # type: ignore[attr-defined]
        ]
    )
    lines[0] = lines[0].replace(verdict, shared.colored(verdict, verdict))
    return lines


def explanation(tried: list[Tried]) -> list[str]:
    """The rules that were tried, a line each, with what did not hold or what was added below."""
    lines = []
    for step in tried:
        mark = "matched" if step.matched else "skipped"
        lines.append(f"{mark}  {shared.plain(step.rule)} (priority {step.priority}, {step.effect})")
        lines += [f"         {shared.plain(reason)}" for reason in step.because]
    return lines
