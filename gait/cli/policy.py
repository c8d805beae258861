"""`gait policy`: write, check, format, test and explain policies.  Nothing here signs or records a decision."""

from __future__ import annotations

import argparse
import os
import pkgutil

from ..errors import InvalidInput, UnsafeOperation
from ..formats.documents import TYPE_CHECKING
from ..system import files
from . import policy_simulate, policy_test, shared
from .decide import explanation

if TYPE_CHECKING:
    from ..gate.policy import Policy

TEMPLATES = ("baseline-lowrisk", "baseline-mediumrisk", "baseline-highrisk")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    init = shared.verb(verbs, "init", "write a commented template", "gait policy init baseline-highrisk --out policy.yaml")
    init.add_argument("template", choices=TEMPLATES, help="how much is at stake")
    init.add_argument("--out", default="policy.yaml", metavar="FILE", help="where to write it (default policy.yaml); - prints it")
    init.add_argument("--force", action="store_true", help="replace a file that is there")
    validate = shared.verb(verbs, "validate", "check policies and print their digests", "gait policy validate policy.yaml")
    validate.add_argument("paths", nargs="+", metavar="FILE", help="a policy; - is standard input")
    fmt = shared.verb(verbs, "fmt", "print a policy in normal form", "gait policy fmt policy.yaml --write")
    fmt.add_argument("path", metavar="FILE", help="a policy; - is standard input")
    fmt.add_argument("--write", action="store_true", help="write it back; refused when comments would be lost")
    fmt.add_argument("--drop-comments", action="store_true", help="with --write: lose the comments")
    policy_test.add_arguments(verbs)
    policy_simulate.add_arguments(verbs)
    explain = shared.verb(
        verbs, "explain", "show which rules are tried for a call and why", "gait policy explain --policy policy.yaml --call call.json"
    )
    shared.policy_option(explain)
    shared.call_options(explain)


def run(args: argparse.Namespace) -> int:
    """Run one verb; exit code 0, or 5 when `test` or `simulate` finds another answer than may be."""
    verbs = {"init": _init, "validate": _validate, "fmt": _fmt, "test": policy_test.run, "simulate": policy_simulate.run, "explain": _explain}
    return verbs[args.verb](args)


def template(name: str) -> bytes:
    """The text of a template that ships with Gait; read through the loader, so that it works from a zip too."""
    try:
        data = pkgutil.get_data(__package__, f"templates/{name.replace('-', '_')}.yaml")
    except OSError:
        data = None
    if data is None:
        raise InvalidInput(f"the template {name} is not in this copy of Gait", hint="copy the whole gait/ folder")
    return data


def _init(args: argparse.Namespace) -> int:
    data = template(args.template)
    if args.out == "-":
        shared.emit(args, {"ok": True, "template": args.template, "policy": data.decode()}, [data.decode().rstrip("\n")])
        return 0
    if args.force:
        files.write_atomic(args.out, data, 0o644)
    elif os.path.lexists(args.out):
        raise InvalidInput("there is a file already", where=args.out, hint="choose another --out, or add --force")
    else:
        files.write_exclusive(args.out, data, 0o644)
    step = f"gait policy validate {args.out}"
    lines = [f"wrote {shared.plain(args.out)}", f"next: {shared.plain(step)}"]
    shared.emit(args, {"ok": True, "template": args.template, "path": args.out, "next": step}, lines)
    return 0


def _validate(args: argparse.Namespace) -> int:
    shared.one_standard_input(*args.paths)
    found, warnings = [], []
    for path in args.paths:
        policy = shared.read_policy(path).policy
        source = shared.source_name(path)
        found.append({"path": source, "policy_digest": policy.digest, "rules": len(policy.rules), "default_verdict": policy.default_verdict})  # fmt: skip
        warnings += [f"{source}: {warning}" for warning in _warnings(policy)]
    lines = [f"valid  {shared.plain(str(entry['path']))}  {entry['rules']} rules  {entry['policy_digest']}" for entry in found]
    value = {"ok": True, "policies": found, **({"warnings": warnings} if warnings else {})}
    shared.emit(args, value, lines + [shared.plain(f"warning: {warning}") for warning in warnings])
    return 0


def _warnings(policy: Policy) -> list[str]:
    """Rules that go by what a caller says of itself."""
    text = "rule {!r} matches a publisher or source that a caller may merely claim; add match.skill_trust: [verified]"
    return [
        text.format(rule.name[:80])
        for rule in policy.rules
        if (rule.match.skill_publishers or rule.match.skill_sources) and not rule.match.skill_trust
    ]


def _fmt(args: argparse.Namespace) -> int:
    from ..formats import yaml_writer
    from ..gate import policy

    if args.write and args.path == "-":
        hint = "leave out --write: the normal form is printed"
        raise InvalidInput("standard input cannot be written back", where="gait policy fmt", hint=hint, code="invalid_usage")
    data = shared.read_input(args.path, policy.MAX_BYTES, "policy")
    document = policy.loads(data, shared.source_name(args.path))
    text = yaml_writer.dumps(document.to_value())
    if args.write:
        _write_back(args, data, text)
    value = {"ok": True, "policy_digest": document.digest, "written": args.write, "policy": text}
    shared.emit(args, value, [f"wrote {shared.plain(args.path)}"] if args.write else [text.rstrip("\n")])
    return 0


def _write_back(args: argparse.Namespace, data: bytes, text: str) -> None:
    if b"#" in data and not args.drop_comments:
        hint = "print the normal form without --write, or add --drop-comments"
        raise UnsafeOperation("the policy holds comments (#), which the normal form has not", where=args.path, hint=hint)
    path = os.path.realpath(args.path)  # the file behind a symlink is rewritten, not the link replaced
    files.write_atomic(path, text.encode("utf-8"), os.stat(path).st_mode & 0o777)


def _explain(args: argparse.Namespace) -> int:
    from ..gate import explain as steps
    from ..gate.evaluate import evaluate
    from ..gate.facts import ASSUMED

    compiled, intent = policy_test.read_case(args)
    decision = evaluate(compiled, intent, ASSUMED)
    tried = steps.explain(compiled, intent)
    value: dict[str, object] = {
        "ok": True,
        "verdict": decision.verdict,
        "reason_codes": list(decision.reason_codes),
        "violations": list(decision.violations),
        "matched_rule": decision.matched_rule,
        "targets": [target.to_value() for target in intent.targets],
        "tried": [step.to_value() for step in tried],
    }
    pairs = [("verdict", decision.verdict), ("tool", shared.short(intent.tool_name)), ("reasons", ", ".join(decision.reason_codes))]
    pairs += [("target", _shown(target.to_value())) for target in intent.targets]
    shared.emit(args, value, shared.rows(pairs) + explanation(tried) + _ending(decision.matched_rule, decision.reason_codes))
    return 0


def _shown(target: dict[str, object]) -> str:
    marks = [str(target[name]) for name in ("operation", "endpoint_class") if name in target]
    marks += [name for name in ("destructive", "inferred") if name in target]
    return f"{target['kind']} {shared.short(str(target['value']))}  ({', '.join(marks)})"


def _ending(matched_rule: str, reason_codes: tuple[str, ...]) -> list[str]:
    if matched_rule:
        return []
    early = any(code.startswith("fail_closed") for code in reason_codes)
    return ["fail_closed decided before the rules"] if early else ["no rule matched: default_verdict decided"]
