"""`gait policy test`: compare a policy's answers to what its author expects, for one call or a table of them."""

from __future__ import annotations

import argparse

from ..formats.documents import NamedTuple
from ..errors import InvalidInput
from ..formats import strict_json
from ..formats.fields import Fields
from ..gate.decision import VERDICTS, Decision
from ..gate.evaluate import evaluate
from ..gate.facts import ASSUMED
from ..gate.intent import IntentRequest, read
from ..gate.matching import CompiledPolicy
from ..judge import DEFAULTS, MAX_BYTES, document
from ..judge import read as read_call
from . import shared

_LISTS = ("reason_codes", "violations")


class _Case(NamedTuple):
    name: str
    intent: IntentRequest
    verdict: str
    matched_rule: str | None
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `test`."""
    example = "gait policy test --policy policy.yaml --call call.json --expect block"
    test = shared.verb(verbs, "test", "compare decisions to what is expected", example)
    shared.policy_option(test)
    shared.call_options(test)
    test.add_argument("--expect", choices=VERDICTS, metavar="VERDICT", help="the verdict that --intent or --call must get")
    test.add_argument("--expect-reason", action="append", default=[], metavar="CODE", help="a reason code that must be there")
    test.add_argument("--cases", metavar="FILE", help="JSONL: {name, intent | call+adapter, expect: {verdict, reason_codes, …}}")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every answer is as expected, else 5."""
    if args.cases:
        _refuse_a_call_beside_cases(args)
        compiled, cases = _read_cases(args)
    else:
        compiled, intent = read_case(args)
        if not args.expect:
            raise _usage(args, "expected --expect VERDICT with a single call")
        cases = [_Case(args.call or args.intent, intent, args.expect, None, tuple(args.expect_reason), ())]
    results = [_result(case, evaluate(compiled, case.intent, ASSUMED)) for case in cases]
    failed = [result for result in results if result["differences"]]
    value: dict[str, object] = {"ok": not failed, "cases": len(cases), "failed": len(failed), "results": results}
    lines = [line for result in failed for line in _failure(result)]
    shared.emit(args, value, [*lines, f"{len(cases) - len(failed)} passed, {len(failed)} failed"])
    return 5 if failed else 0


def _refuse_a_call_beside_cases(args: argparse.Namespace) -> None:
    """What would not be looked at must not seem to have passed."""
    for name in ("intent", "call", "expect", "expect_reason"):
        if getattr(args, name):
            raise _usage(args, f"expected no --{name.replace('_', '-')} beside --cases, whose lines say what is expected")


def _usage(args: argparse.Namespace, message: str) -> InvalidInput:
    where = f"gait policy {args.verb}"
    return InvalidInput(message, where=where, hint=f"see {where} --help", code="invalid_usage")


def read_case(args: argparse.Namespace) -> tuple[CompiledPolicy, IntentRequest]:
    """The policy, and the one intent or call that the options name."""
    if bool(args.intent) == bool(args.call):
        raise _usage(args, "expected one of --intent FILE and --call FILE")
    path = args.call or args.intent
    shared.one_standard_input(args.policy, path)
    data = shared.read_input(path, MAX_BYTES, "call")
    adapter = args.adapter if args.call else ""
    compiled, source = shared.read_policy(args.policy), shared.source_name(path)
    try:
        return compiled, read(document(read_call(data, source, adapter, shared.defaults(args))))
    except InvalidInput as error:
        error.where = error.where or source
        raise


def _read_cases(args: argparse.Namespace) -> tuple[CompiledPolicy, list[_Case]]:
    shared.one_standard_input(args.policy, args.cases)
    data, source = shared.read_input(args.cases, MAX_BYTES, "cases"), shared.source_name(args.cases)
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise InvalidInput("expected a case a line, got none", where=source)
    return shared.read_policy(args.policy), [_read_case(line, f"{source}:{number}") for number, line in lines]


def _read_case(line: bytes, source: str) -> _Case:
    try:
        fields = Fields(strict_json.loads(line, source))
        name, adapter = fields.text("name", source), fields.text("adapter", "mcp")
        intent = _intent(fields, adapter, source)
        expect = fields.fields("expect")
        verdict = expect.word("verdict", VERDICTS) or expect.required("verdict")
        matched_rule = expect.text("matched_rule") if expect.has("matched_rule") else None
        case = _Case(name, intent, verdict, matched_rule, *(expect.texts(listed) for listed in _LISTS))
        expect.done()
        fields.done()
        return case
    except InvalidInput as error:
        error.where = error.where or source
        raise


def _intent(fields: Fields, adapter: str, source: str) -> IntentRequest:
    if fields.has("intent") == fields.has("call"):
        raise InvalidInput("expected one of intent and call", where=source)
    if fields.has("intent"):
        return read(fields.raw("intent"))
    from .. import adapters

    return adapters.to_intent(adapter, fields.raw("call"), DEFAULTS)


def _result(case: _Case, decision: Decision) -> dict[str, object]:
    differences = []
    if decision.verdict != case.verdict:
        differences.append(f"verdict: expected {case.verdict}, got {decision.verdict}")
    if case.matched_rule is not None and decision.matched_rule != case.matched_rule:
        differences.append(f"matched_rule: expected {case.matched_rule!r}, got {decision.matched_rule!r}")
    for name in _LISTS:
        missing = [code for code in getattr(case, name) if code not in getattr(decision, name)]
        differences += [f"{name}: expected {code}, got {', '.join(getattr(decision, name)) or 'none'}" for code in missing]
    return {"name": case.name, "verdict": decision.verdict, "reason_codes": list(decision.reason_codes), "differences": differences}  # fmt: skip


def _failure(result: dict[str, object]) -> list[str]:
    differences: list[str] = result["differences"]  # type: ignore[assignment]
    return [f"failed  {shared.plain(str(result['name']))}", *(f"        {shared.plain(text)}" for text in differences)]
