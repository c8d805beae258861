"""What `gate eval` and `mcp proxy` do with a call: decide, sign, append to the journal, write the trace, export, print, exit.

Invariant: nothing is printed before the journal, the trace and every export are written.
"""

from __future__ import annotations

import argparse
import os
import sys

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from . import shared

if TYPE_CHECKING:
    from ..gate.explain import Tried
    from ..gate.matching import CompiledPolicy
    from ..judge import Call, Judged
    from ..signing.keys import Keyring

_NEXT = {
    "block": "change the call, or add --explain to this command and read why",
    "require_approval": "the call waits for {approvals}; until then it must not run",
    "dry_run": "the policy only simulates this call; it must not run",
}
_INPUTS = ("policy", "intent", "call", "private_key")
_OUTPUTS = ("trace_out", "export_log_out", "export_otel_out")


def decision_options(parser: argparse.ArgumentParser) -> None:
    """The options of a decision's key, trace and exports; a trusted project's config may give their defaults."""
    parser.later = _project_defaults  # type: ignore[attr-defined]
    shared.key_options(parser)
    about = "an approval token for this call (gait approve --out FILE); may be repeated"
    parser.add_argument("--approval-token", action="append", default=[], metavar="FILE", help=about)
    shared.approval_key_options(parser)
    shared.credential_options(parser)
    shared.skill_options(parser)
    shared.profile_option(parser)
    parser.add_argument("--simulate", action="store_true", help="enforce nothing: allow, and record what the verdict would have been")
    parser.add_argument("--journal", metavar="DIR", help="append the record to the chain `oneshot` of this journal, before anything else")
    shared.capture_option(parser)
    parser.add_argument("--trace-out", metavar="FILE", help="write the trace here (default: a new file under $GAIT_HOME/traces)")
    parser.add_argument("--export-log-out", metavar="FILE", help="append one SIEM line (JSONL)")
    parser.add_argument("--export-otel-out", metavar="FILE", help="append one OTLP/JSON log record")
    parser.add_argument("--run-id", default="", metavar="ID", help="the record's correlation_id")
    parser.add_argument("--explain", action="store_true", help="show which rules were tried and why")


def _project_defaults(parser: argparse.ArgumentParser) -> None:
    """Put a trusted project's values in place of the options' defaults.  Mostly there is none, and then nothing is imported."""
    from ..store import keys

    if not (os.path.lexists(os.path.join(".gait", "config.yaml")) or os.path.lexists(os.path.join(keys.home(), "trusted_projects.json"))):
        return
    from ..store import config

    found, warning = config.load(os.getcwd())
    parser.set_defaults(config_warnings=(warning,) if warning else ())
    for action in parser._actions if found else ():
        if found and action.dest in found.values:
            action.default = found.values[action.dest]
            action.required = False


def decide(args: argparse.Namespace, call: Call) -> int:
    """Decide one call; the exit code is the verdict's.  A journal, trace or export that cannot be written is an error, no allow."""
    from ..judge import judge

    shared.check_profile(args)
    check_outputs(args)
    call = call._replace(tokens=_tokens(args))
    told: tuple[str, ...] = getattr(args, "config_warnings", ())
    warnings = told

    def sign(record: dict[str, object]) -> dict[str, object]:
        """Asks for the key only now that there is something to sign: bad input makes no dev key."""
        nonlocal warnings
        ring, warnings = shared.signing_keys(args)
        warnings = (*told, *warnings)
        return _sign(args.journal, record, ring)

    compiled = shared.read_policy(args.policy, args.profile)
    call = call if args.journal is None else call._replace(capture=args.capture)
    judged = judge(compiled, call, sign, shared.allowances(args))
    trace_path = _write(args, judged)
    value = _value(args, judged, trace_path, warnings)
    tried = _tried(compiled, judged) if args.explain else []
    if args.explain:
        value["tried"] = [step.to_value() for step in tried]
    shared.emit(args, value, _lines(value) + explanation(tried))
    return judged.decision.exit_code


def _tokens(args: argparse.Namespace) -> tuple[object, ...]:
    """The token documents that the options name.  InvalidInput: one cannot be read, or there is no key to verify them by."""
    paths = args.approval_token
    if not paths:
        return ()
    from ..formats import strict_json
    from ..gate.approval_fields import MAX_BYTES
    from ..gate.approvals import MAX_OFFERED

    if not (args.approval_key or args.approval_key_env):
        hint = "name the approvers' key rings: --approval-key FILE"
        raise InvalidInput("tokens need a key that they are verified by", where="--approval-token", hint=hint, code="approval_key_missing")
    if len(paths) > MAX_OFFERED:
        raise InvalidInput(f"expected at most {MAX_OFFERED} tokens, got {len(paths)}", where="--approval-token", code="too_many_approvals")
    return tuple(strict_json.loads(shared.read_input(path, MAX_BYTES, "an approval token"), shared.source_name(path), MAX_BYTES) for path in paths)


def _sign(journal: str | None, record: dict[str, object], ring: Keyring) -> dict[str, object]:
    """The signed record, which is in the journal when one is named.  Imported on use: a journal's modules cost start-up."""
    if journal is None:
        from ..judge import signer

        return signer(ring.active)(record)
    from ..store.journal.oneshot import append_once

    return append_once(journal, record, ring)


def _value(args: argparse.Namespace, judged: Judged, trace_path: str, warnings: tuple[str, ...]) -> dict[str, object]:
    value = judged.to_value(trace_path, warnings)
    if args.journal is not None:
        value.update(chain=judged.record["chain"], sequence=judged.record["sequence"])
    return value


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse an output that would take the place of an input, or break the trace or the journal; the exports may share a file."""
    journal = _journal_folder(args.journal)
    named = {os.path.realpath(path): name for name in _INPUTS for path in [getattr(args, name, None)] if path}
    for name in _OUTPUTS:
        path = getattr(args, name)
        if path is None:
            continue
        if path in ("", "-"):
            raise InvalidInput(f"must be a file; got {path!r}", where=_option(name), hint="name a file", code="invalid_usage")
        other = named.setdefault(os.path.realpath(path), name)
        if other != name and (other == "trace_out" or other in _INPUTS):
            message = f"names the same file as {_option(other)}"
            raise InvalidInput(message, where=_option(name), hint="name another file", code="invalid_usage")
        if journal and f"{os.path.realpath(path)}{os.sep}".startswith(journal):
            message = "names a file in the journal's folder, which holds evidence only"
            raise InvalidInput(message, where=_option(name), hint="name a file elsewhere", code="invalid_usage")


def _journal_folder(path: str | None) -> str:
    if path in ("", "-"):
        raise InvalidInput(f"must be a folder; got {path!r}", where="--journal", hint="name a folder", code="invalid_usage")
    return os.path.join(os.path.realpath(path), "") if path else ""


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _write(args: argparse.Namespace, judged: Judged) -> str:
    from ..store import traces
    from ..system import files

    trace_path = traces.save(judged.record, args.trace_out)
    if args.export_log_out is not None:
        from ..exporters import siem

        files.append_line(args.export_log_out, siem.dumps(judged.record))
    if args.export_otel_out is not None:
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
            ("simulated", f"the verdict would have been {value['simulated_verdict']}" if "simulated_verdict" in value else ""),
            ("tool", shared.short(str(value.get("tool_name", "")))),
            ("rule", str(value["matched_rule"])),
            ("reasons", ", ".join(value["reason_codes"])),  # type: ignore[arg-type]
            ("violations", ", ".join(value["violations"])),  # type: ignore[arg-type]
            ("resets", str(value.get("resets_at", ""))),
            ("journal", f"{value['chain']} #{value['sequence']}" if "chain" in value else ""),
            ("trace", str(value["trace_path"])),
            ("next", _NEXT.get(verdict, "").format(approvals=approvals)),
            *(("warning", str(warning)) for warning in value.get("warnings", ())),  # type: ignore[attr-defined]
        ]
    )
    lines[0] = lines[0].replace(verdict, shared.colored(verdict, verdict, sys.stdout))
    return lines


def explanation(tried: list[Tried]) -> list[str]:
    """The rules that were tried, a line each, with what did not hold or what was added below."""
    lines = []
    for step in tried:
        mark = "matched" if step.matched else "skipped"
        lines.append(f"{mark}  {shared.plain(step.rule)} (priority {step.priority}, {step.effect})")
        lines += [f"         {shared.plain(reason)}" for reason in step.because]
    return lines
