"""The documents of a runpack, as they are read: each once, with exact types; fields that are not known stay in `value`."""

from __future__ import annotations

import re
from functools import lru_cache

from ..errors import InvalidInput
from ..formats import jcs
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, refuse
from ..formats.timestamps import loads as read_time
from ..gate.decision import VERDICTS

Record = dict[str, object]

MANIFEST, RUN, INTENT, RESULT, REFS = (f"gait.runpack.{name}" for name in ("manifest", "run", "intent", "result", "refs"))
SCHEMA_VERSION = "1.0.0"
# The entries that every runpack has; others may be in it when the manifest lists them.
INTENTS_NAME, MANIFEST_NAME, REFS_NAME, RESULTS_NAME, RUN_NAME = "intents.jsonl", "manifest.json", "refs.json", "results.jsonl", "run.json"
REQUIRED = (INTENTS_NAME, REFS_NAME, RESULTS_NAME, RUN_NAME)

CAPTURE_MODES = ("reference", "raw")
# What became of a call.  Packs of the published implementation may use other words.
STATUSES = ("ok", "error", "timeout", "cancelled", "never_answered", "not_executed", "not_recorded")
# result_digest where there is no result: the digest of JSON null.
NO_RESULT_DIGEST = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"
MAX_ID = 128

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile("[0-9a-f]{64}")
_VERSION = re.compile(r"1\.[0-9]{1,9}\.[0-9]{1,9}")


class Manifest(NamedTuple):
    """What a pack claims to hold.  `files` maps each entry's name to its SHA-256."""

    run_id: str
    capture_mode: str
    created_at: str
    files: dict[str, str]
    digest: str
    signatures: tuple[Record, ...]
    value: Record


class Decision(NamedTuple):
    """The decision that was recorded for a call; empty texts were not recorded."""

    verdict: str
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]
    matched_rule: str
    policy_digest: str
    intent_digest: str
    trace_id: str

    def to_value(self) -> Record:
        """The document; empty fields are left out, but for reason_codes."""
        lists = {"reason_codes": list(self.reason_codes), "violations": list(self.violations)}
        value: Record = {**self._asdict(), **lists}
        return {name: item for name, item in value.items() if item or name == "reason_codes"}


class Intent(NamedTuple):
    """One recorded call.  `args` None: left out (reference capture); `intent` None: the record did not hold it.

    `intent` is the normal form without the arguments (targets, arg_provenance?, skill_provenance?, context).
    `redactions` are the paths whose values were replaced: such an intent is not the one that was decided.
    """

    intent_id: str
    tool_name: str
    args_digest: str
    args: Record | None
    intent: Record | None
    intent_digest: str
    redactions: tuple[str, ...]
    created_at: str
    value: Record

    def request(self) -> Record | None:
        """An IntentRequest document to be evaluated again, without `args` where they were left out; None where it cannot be."""
        if self.intent is None or any(path.startswith("intent.") for path in self.redactions):
            return None
        args = {} if self.args is None or self.redactions else {"args": self.args}
        times = {"created_at": self.created_at} if self.created_at else {}
        return {"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", **times, "tool_name": self.tool_name, **args, **self.intent}


class Result(NamedTuple):
    """What was decided and what became of the call.  `result` is None where it was left out."""

    intent_id: str
    status: str
    result_digest: str
    result: object
    decision: Decision | None
    redactions: tuple[str, ...]
    value: Record


class Step(NamedTuple):
    """One call of a run, `number` from 1; `result` is None where none was recorded."""

    number: int
    intent: Intent
    result: Result | None

    @property
    def decision(self) -> Decision | None:
        """The recorded decision, if there is one."""
        return self.result.decision if self.result else None

    @property
    def verdict(self) -> str:
        """The recorded verdict, empty when there is none."""
        return self.decision.verdict if self.decision else ""


def check_run_id(run_id: str) -> str:
    """The id itself.  InvalidInput: 1 to 128 of letters, digits, `.`, `_`, `-`, and no `..`: it is part of a file's name."""
    if is_run_id(run_id):
        return run_id
    raise refuse(("run_id",), "1 to 128 letters, digits, . _ or -, without ..", run_id, "choose another id, for example run_1")


def is_run_id(text: str) -> bool:
    """True for a text that may be a run's id."""
    return _RUN_ID.fullmatch(text) is not None and ".." not in text


def archive_name(run_id: str) -> str:
    """The file name of a run's pack."""
    return f"runpack_{check_run_id(run_id)}.zip"


def footer(run_id: str, manifest_digest: str) -> str:
    """The line that goes into a ticket; one form for ever."""
    return f'GAIT run_id={run_id} manifest=sha256:{manifest_digest} verify="gait verify {run_id}"'


def manifest_digest(value: Record) -> str:
    """The digest of a manifest without its signatures, manifest_digest being there and empty: so packs of Gait v1.x have it."""
    unsigned = {name: item for name, item in value.items() if name != "signatures"}
    return jcs.digest({**unsigned, "manifest_digest": ""})


def is_digest(value: object) -> bool:
    """True for 64 lowercase hex digits."""
    return type(value) is str and _DIGEST.fullmatch(value) is not None


def read_manifest(value: Record) -> Manifest:
    """The manifest of a document.  InvalidInput names the field that is not acceptable."""
    fields = _head(value, MANIFEST)
    run_id = check_run_id(_text(value, "run_id"))
    mode = fields.word("capture_mode", CAPTURE_MODES)
    if not mode:
        raise refuse(("capture_mode",), f"one of {', '.join(CAPTURE_MODES)}", value.get("capture_mode"))
    signatures = [Fields(item, ("signatures", index)) and item for index, item in enumerate(fields.items("signatures"))]
    files = _files(fields)
    return Manifest(run_id, mode, str(value["created_at"]), files, _digest(value, "manifest_digest"), tuple(signatures), value)  # type: ignore[arg-type]


def _files(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, item in enumerate(fields.items("files")):
        path = ("files", index)
        Fields(item, path)
        name, digest = item.get("path"), item.get("sha256")  # type: ignore[attr-defined]
        if type(name) is not str or name == MANIFEST_NAME or name in found or (found and name < max(found)):
            raise refuse((*path, "path"), "an entry's name, each once and sorted", name)
        if not is_digest(digest):
            raise refuse((*path, "sha256"), "64 lowercase hex digits", digest)
        found[name] = digest
    return found


def read_run(value: Record) -> Record:
    """The run document itself, its fields checked."""
    fields = _head(value, RUN)
    env = fields.fields("env")
    for name in ("os", "arch", "runtime"):
        env.text(name)
    for index, item in enumerate(fields.items("timeline")):
        event = Fields(item, ("timeline", index))
        event.required("event")
        _time(event.required("ts"), (*event.path, "ts"))
        event.text("ref")
    return value


def read_refs(value: Record) -> Record:
    """The refs document itself, its fields checked."""
    seen = set()
    for index, item in enumerate(_head(value, REFS).items("receipts")):
        ref_id = read_receipt(item, ("receipts", index))["ref_id"]
        if ref_id in seen:
            raise refuse(("receipts", index, "ref_id"), "an id of its own", ref_id)
        seen.add(ref_id)
    return value


def read_receipt(value: object, path: tuple[str | int, ...]) -> Record:
    """The receipt itself, its fields checked."""
    receipt = Fields(value, path)
    for name in ("ref_id", "source_type", "source_locator", "redaction_mode"):
        receipt.required(name)
    for name in ("query_digest", "content_digest"):
        if not is_digest(receipt.raw(name)):
            raise refuse(receipt.at(name), "64 lowercase hex digits", receipt.raw(name))
    _time(receipt.required("retrieved_at"), receipt.at("retrieved_at"))
    receipt.text("sensitivity_label")
    receipt.object("retrieval_params")
    return value  # type: ignore[return-value]


def read_intent(value: Record) -> Intent:
    """One line of intents.jsonl."""
    _check_head(value, INTENT)
    for name in ("args", "intent"):
        if name in value and type(value[name]) is not dict:
            raise refuse((name,), "an object", value[name])
    return Intent(
        _id(value),
        _text(value, "tool_name"),
        _digest(value, "args_digest"),
        value.get("args"),  # type: ignore[arg-type]
        value.get("intent"),  # type: ignore[arg-type]
        _digest(value, "intent_digest") if "intent_digest" in value else "",
        _redactions(value),
        str(value["created_at"]),
        value,
    )


def read_result(value: Record) -> Result:
    """One line of results.jsonl."""
    _check_head(value, RESULT)
    decision = read_decision(value["decision"], ("decision",)) if "decision" in value else None
    digest = _digest(value, "result_digest")
    return Result(_id(value), _text(value, "status"), digest, value.get("result"), decision, _redactions(value), value)


def read_decision(value: object, path: tuple[str | int, ...]) -> Decision:
    """A recorded decision."""
    if type(value) is not dict:
        raise refuse(path, "an object", value)
    texts = {name: value.get(name, "") for name in ("matched_rule", "policy_digest", "intent_digest", "trace_id")}
    for name, text in texts.items():
        if type(text) is not str or (text and name.endswith("_digest") and not is_digest(text)):
            raise refuse((*path, name), "64 lowercase hex digits" if name.endswith("_digest") else "text", text)
    verdict = value.get("verdict")
    if verdict not in VERDICTS:
        raise refuse((*path, "verdict"), f"one of {', '.join(VERDICTS)}", verdict)
    codes, violations = (_texts(value, name, path) for name in ("reason_codes", "violations"))
    return Decision(verdict, codes, violations, **texts)


def _texts(value: Record, name: str, path: tuple[str | int, ...]) -> tuple[str, ...]:
    found = value.get(name, ())
    if found and type(found) is list and all(type(text) is str for text in found):
        return tuple(found)
    if found == () or found == []:
        return ()
    raise refuse((*path, name), "a list of texts", found)


def _head(value: Record, schema_id: str) -> Fields:
    _check_head(value, schema_id)
    return Fields(value)


def _check_head(value: Record, schema_id: str) -> None:
    if value.get("schema_id") != schema_id:
        raise refuse(("schema_id",), schema_id, value.get("schema_id"))
    version = value.get("schema_version")
    if version != SCHEMA_VERSION and not (type(version) is str and _VERSION.fullmatch(version)):
        raise refuse(("schema_version",), "a 1.x version", version)
    _time(value.get("created_at"), ("created_at",))
    _text(value, "run_id")


def _time(value: object, path: tuple[str | int, ...]) -> None:
    if type(value) is not str or not _is_time(value):
        raise refuse(path, "an RFC 3339 time", value)


@lru_cache(maxsize=64)
def _is_time(text: str) -> bool:
    """Many steps share one time."""
    try:
        read_time(text)
    except InvalidInput:
        return False
    return True


def _id(value: Record) -> str:
    found = _text(value, "intent_id")
    if len(found) > MAX_ID:
        raise refuse(("intent_id",), f"at most {MAX_ID} characters", found)
    return found


def _text(value: Record, name: str) -> str:
    found = value.get(name)
    if type(found) is not str or not found:
        raise refuse((name,), "text that is not empty", found)
    return found


def _digest(value: Record, name: str) -> str:
    found = value.get(name)
    if not is_digest(found):
        raise refuse((name,), "64 lowercase hex digits", found)
    return found  # type: ignore[return-value]


def _redactions(value: Record) -> tuple[str, ...]:
    found = value.get("redactions")
    if found is None and "redactions" not in value:
        return ()
    if type(found) is not list or not all(type(path) is str for path in found):
        raise refuse(("redactions",), "a list of texts", found)
    return tuple(found)
