"""What `gait run record --input` reads: a `gait.runpack.record` document or its lines, or the input of Gait v1.x."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ..errors import InvalidInput
from ..formats import jcs, strict_json
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..formats.fields import Fields, Path, refuse
from ..formats.timestamps import loads as read_time
from ..gate import intent as intents
from ..gate import trace
from ..gate.evaluate import evaluate
from . import model
from .model import NO_RESULT_DIGEST, Record
from .pack import Head, Recorded

if TYPE_CHECKING:
    from ..gate.intent import IntentRequest
    from ..gate.matching import CompiledPolicy

SCHEMA_ID = "gait.runpack.record"
SCHEMA_VERSION = "1.0.0"
_DECISION = ("reason_codes", "violations", "matched_rule", "policy_digest", "intent_digest", "trace_id", "verdict")


class Given(NamedTuple):
    """What a step may need: how a framework's call is read (adapter, call, context -> document), and a policy to decide with."""

    to_document: Callable[[str, object, Mapping[str, object]], object]
    policy: CompiledPolicy | None = None


def read(value: object, given: Given) -> tuple[Head, Iterator[Recorded]]:
    """The head and the steps of a document.  InvalidInput names the place; of a step, when it is reached."""
    if isinstance(value, dict) and "schema_id" not in value and "intents" in value:
        return _read_v1(Fields(value))
    fields = Fields(value)
    steps = fields.items("steps")
    head = _head(fields)
    return head, (_step(item, ("steps", index), given) for index, item in enumerate(steps))


def read_lines(lines: Iterable[bytes], given: Given, source: str = "<jsonl>") -> tuple[Head, Iterator[Recorded]]:
    """The same from lines: a document without `steps` first, then one step each, so that a long run needs little memory."""
    numbered = enumerate(lines, 1)
    first = next(numbered, None)
    if first is None:
        raise InvalidInput("expected a line with the run's head, got none", where=source)
    head = _head(Fields(_line(first, source)))
    return head, (_step(_line(item, source), ("steps", item[0] - 2), given) for item in numbered)


def decision_value(decision: object, trace_id: str) -> Record:
    """The recorded form of a gate's Decision, or of a trace record given as its members."""
    members = decision if isinstance(decision, dict) else {**decision._asdict(), "trace_id": trace_id}  # type: ignore[attr-defined]
    found = {name: members.get(name) for name in _DECISION}
    lists = {name: list(found[name] or ()) for name in ("reason_codes", "violations")}
    return {name: item for name, item in {**found, **lists}.items() if item or name == "reason_codes"}


def intent_value(intent: IntentRequest) -> Record:
    """The normal form without the arguments."""
    document = intent.to_value()
    return {name: document[name] for name in ("targets", "arg_provenance", "skill_provenance", "context") if name in document}


def _line(numbered: tuple[int, bytes], source: str) -> Record:
    return strict_json.loads_object(numbered[1], f"{source}:{numbered[0]}")


def _head(fields: Fields) -> Head:
    fields.word("schema_id", (SCHEMA_ID,), SCHEMA_ID)
    fields.word("schema_version", (SCHEMA_VERSION,), SCHEMA_VERSION)
    run_id, created_at = fields.text("run_id"), _time(fields, "created_at")
    env = fields.fields("env")
    machine: Record = {name: env.text(name) for name in ("os", "arch", "runtime")}
    env.done()
    timeline = tuple(_event(item, (*fields.at("timeline"), index)) for index, item in enumerate(fields.items("timeline")))
    receipts = tuple(model.read_receipt(item, (*fields.at("refs"), index)) for index, item in enumerate(fields.items("refs")))
    fields.done()
    return Head(run_id and model.check_run_id(run_id), created_at, machine, timeline, receipts)


def _event(value: object, path: Path) -> Record:
    fields = Fields(value, path)
    event: Record = {"event": fields.required("event"), "ts": _time(fields, "ts") or fields.required("ts")}
    if fields.text("ref"):
        event["ref"] = fields.text("ref")
    fields.done()
    return event


def _time(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if text:
        try:
            read_time(text)
        except InvalidInput as error:
            raise refuse(fields.at(name), "an RFC 3339 time", text) from error
    return text


def _step(value: object, path: Path, given: Given) -> Recorded:
    fields = Fields(value, path)
    intent = _intent(fields, given)
    decision = _decision(fields, intent, given)
    result = _result(fields.fields("result"), decision) if fields.has("result") else {"status": _status(decision)}
    created_at = _time(fields, "created_at") or intent.created_at
    intent_id = fields.text("intent_id")
    if len(intent_id) > model.MAX_ID:
        raise refuse(fields.at("intent_id"), f"at most {model.MAX_ID} characters", intent_id)
    fields.done()
    about = {"args": intent.args, "intent": intent_value(intent), "intent_digest": intent.intent_digest, "intent_id": intent_id}
    return Recorded(intent.tool_name, intent.args_digest, created_at, decision=decision, **about, **result)  # type: ignore[arg-type]


def _intent(fields: Fields, given: Given) -> IntentRequest:
    """The normal form of `intent`, or of `call` as its `adapter` reads it."""
    document, call, adapter = fields.raw("intent"), fields.raw("call"), fields.text("adapter")
    context = fields.object("context")
    if (document is None) == (call is None) or (call is not None) != bool(adapter) or (context and not adapter):
        raise refuse(fields.path, "a step with either intent, or call with adapter (and context)", fields.raw("intent"))
    try:
        return intents.read(document if adapter == "" else given.to_document(adapter, call, context))
    except InvalidInput as error:
        raise InvalidInput(error.message, where=f"{error.where} steps[{fields.path[1]}]".strip(), hint=error.hint, code=error.error_code) from error


def _decision(fields: Fields, intent: IntentRequest, given: Given) -> Record | None:
    if not fields.has("decision"):
        if given.policy is None:
            return None
        decided = evaluate(given.policy, intent)
        return decision_value(decided, trace.trace_id(decided))
    path = fields.at("decision")
    said = fields.fields("decision")
    read_decision = model.read_decision(fields.raw("decision"), path)._replace(intent_digest=intent.intent_digest)
    if said.text("intent_digest", intent.intent_digest) != intent.intent_digest:
        raise refuse(said.at("intent_digest"), f"the intent's, {intent.intent_digest}", said.text("intent_digest"))
    for name in _DECISION:
        said.raw(name)
    said.done()
    if read_decision.trace_id and read_decision.policy_digest and read_decision.trace_id != trace.trace_id(read_decision):  # type: ignore[arg-type]
        raise refuse(said.at("trace_id"), "the id that follows from policy_digest, intent_digest and verdict", read_decision.trace_id)
    return read_decision.to_value()


def _status(decision: Record | None) -> str:
    return "not_recorded" if decision is None or decision["verdict"] == "allow" else "not_executed"


def _result(fields: Fields, decision: Record | None) -> Record:
    """status with result or result_digest."""
    status = fields.word("status", model.STATUSES, _status(decision))
    digest, result = fields.text("result_digest"), fields.raw("result")
    found = NO_RESULT_DIGEST if result is None else jcs.digest(result)
    if digest and not model.is_digest(digest):
        raise refuse(fields.at("result_digest"), "64 lowercase hex digits", digest)
    if digest and result is not None and digest != found:
        raise refuse(fields.at("result_digest"), f"the digest of result, {found}", digest)
    fields.done()
    return {"status": status, "result": result, "result_digest": digest or found}


# --- the input of Gait v1.x: {run, intents, results, refs, capture_mode}, the documents of a pack


def _read_v1(fields: Fields) -> tuple[Head, Iterator[Recorded]]:
    run, refs = fields.fields("run"), fields.fields("refs")
    timeline = tuple(_event(item, (*run.at("timeline"), index)) for index, item in enumerate(run.items("timeline")))
    receipts = tuple(model.read_receipt(item, (*refs.at("receipts"), index)) for index, item in enumerate(refs.items("receipts")))
    env = {name: run.fields("env").text(name) for name in ("os", "arch", "runtime")}
    results: dict[str, Fields] = {}
    for index, item in enumerate(fields.items("results")):
        result = Fields(item, ("results", index))
        intent_id = result.required("intent_id")
        if intent_id in results:
            raise refuse(result.at("intent_id"), "an intent_id with one result", intent_id)
        results[intent_id] = result
    entries = [Fields(item, ("intents", index)) for index, item in enumerate(fields.items("intents"))]
    unknown = set(results) - {entry.required("intent_id") for entry in entries}
    if unknown:
        raise InvalidInput(f"results: must be about an intent of this run; got {min(unknown)[:80]!r}")
    head = Head(model.check_run_id(run.required("run_id")), _time(run, "created_at"), env, timeline, receipts)  # type: ignore[arg-type]
    return head, (_recorded_v1(entry, results.get(entry.required("intent_id"))) for entry in entries)


def _recorded_v1(entry: Fields, result: Fields | None) -> Recorded:
    args = entry.object("args") if entry.has("args") else None
    digest = entry.text("args_digest") or jcs.digest(args or {})
    if args is not None and digest != jcs.digest(args) or not model.is_digest(digest):
        raise refuse(entry.at("args_digest"), "the digest of args", digest)
    outcome: Record = {"status": "not_recorded"}
    if result:
        payload, found = result.raw("result"), result.text("result_digest")
        outcome = {"status": result.required("status"), "result": payload, "result_digest": found or jcs.digest(payload)}
        if not model.is_digest(outcome["result_digest"]) or (payload is not None and found and jcs.digest(payload) != found):
            raise refuse(result.at("result_digest"), "the digest of result", found)
    times = {"created_at": _time(entry, "created_at"), "intent_id": entry.required("intent_id")}
    return Recorded(entry.required("tool_name"), digest, args=args, **times, **outcome)  # type: ignore[arg-type]
