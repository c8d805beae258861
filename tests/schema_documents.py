"""The documents that docs/schemas is held to: those in fixtures/, and those that commands write in a scratch folder; and broken ones.

`good(name)` and `bad(name)` give (where it is from, the document); READERS gives Gait's own reader of a document, where it has one.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Callable, Iterator

from gait import adapters, errors
from gait.formats import yaml_subset
from gait.gate import approval_grants, approval_tokens, credential, facts, intent, policy, stops
from gait.gate.approval_fields import Approver
from gait.mcp import lock as mcp_lock
from gait.mcp import unwrap as mcp_gateway
from gait.registry import manifest as registry
from gait.regress import fixture as regress
from gait.runpack import model
from gait.runpack import record as run_record
from gait.signing import keys
from gait.store import config, usage
from gait.store.journal import records

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
Found = list[tuple[str, object]]


def load(path: Path) -> object:
    return json.loads(path.read_bytes())


def lines(path: Path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        yield f"{path.relative_to(ROOT) if ROOT in path.parents else path.name}:{number}", json.loads(line)


# --- a scratch folder, where commands have been ---------------------------------------------------

POLICY = "default_verdict: block\nrules:\n  - {name: pay, effect: require_approval, match: {tool_names: [pay]}}\n  - {name: read, effect: allow, match: {tool_names: [read_file]}}\n"
CONFIG = "schema_id: gait.config\nschema_version: 1.0.0\nidentity: alice\nrisk_class: low\npolicy: policy.yaml\napproval_key: [bob=approval.json]\n"
COMMANDS = (
    "demo --json",
    "guard pack --run run_demo --out evidence.zip --json",
    "regress bootstrap --from run_demo --json",
    "keys init --path ring.json --json",
    "keys init --path approval.json --purpose approval --json",
    "mcp proxy --policy policy.yaml --call pay.json --trace-out pay_trace.json --json",
    "approve --trace pay_trace.json --approver bob --reason-code t1 --approval-key approval.json --yes --out token.json --json",
    "approve --grant --tool pay --identity alice --approver bob --reason-code t1 --approval-key approval.json --arg-constraint amount<=5 --yes --out grant.json --json",
    "mcp proxy --policy policy.yaml --call pay.json --approval-token token.json --approval-key approval.json --trace-out paid_trace.json --journal journal --json",
    "mcp proxy --policy policy.yaml --call bad.json --json",
    "mcp lock --from tools.json --lock gait.lock --json",
    "config trust --json",
    "stop --scope tool pay --reason why --json",
)


@lru_cache(maxsize=None)
def scratch() -> dict[str, object]:
    """What the commands wrote: path -> document, and `answers` in the order of COMMANDS."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "pay.json").write_text('{"name": "pay", "arguments": {"amount": 1}}')
        (folder / "bad.json").write_text("{")
        (folder / ".gait").mkdir()
        (folder / ".gait/config.yaml").write_text(CONFIG)
        (folder / "tools.json").write_bytes((FIXTURES / "mcp/lock/tools.json").read_bytes())
        environment = {**os.environ, "HOME": name, "GAIT_HOME": str(folder / "home"), "GAIT_OPERATIONAL_LOG": str(folder / "operational.log")}
        environment["GAIT_ADOPTION_LOG"] = str(folder / "adoption.log")
        found: dict[str, object] = {"answers": []}
        for command in COMMANDS:
            words = [sys.executable, "-I", str(ROOT / "gait.py"), *command.split()]
            done = subprocess.run(words, cwd=name, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120)
            found["answers"].append((command, json.loads(done.stdout)))  # type: ignore[attr-defined]
        for path in sorted(folder.rglob("*")):
            kept = str(path.relative_to(folder))
            if kept == "bad.json":
                continue
            if path.suffix == ".json" or kept == "gait.lock" or path.name == "gait.yaml":
                found[kept] = json.loads(path.read_bytes())
            elif path.suffix == ".zip":
                found[kept] = entries(path)
            elif path.suffix in (".jsonl", ".log"):
                found[kept] = [json.loads(line) for line in path.read_text().splitlines()]
    return found


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def answers(ok: bool) -> Found:
    found = scratch()["answers"]
    return [(command, value) for command, value in found if value["ok"] is ok and ("verdict" if ok else "error_code") in value]  # type: ignore[attr-defined]


def scratch_files(*names: str) -> Found:
    return [(f"scratch {name}", scratch()[name]) for name in names]


def journal_lines() -> Found:
    found = [item for path in sorted((FIXTURES / "journal/golden").rglob("*.jsonl")) for item in lines(path)]
    made = [(name, record) for name, records_ in scratch().items() if name.endswith(".jsonl") and "journal" in name for record in records_]  # type: ignore[attr-defined]
    return [*found, *made]


def of_schema(found: Found, schema_id: str) -> Found:
    return [(place, value) for place, value in found if value["schema_id"] == schema_id]  # type: ignore[index]


def packed(entry: str) -> Found:
    """An entry of every runpack: those in fixtures that verify, and the demo's."""
    paths = [*sorted((FIXTURES / "runpacks").glob("*.zip")), *sorted((FIXTURES / "runpacks/published").glob("*.zip"))]
    packs = [(path.name, entries(path)) for path in paths] + [(name, pack) for name, pack in scratch().items() if "runpack_" in name and name.endswith(".zip")]
    found: Found = []
    for name, pack in packs:
        data = pack[entry]
        split = data.splitlines() if entry.endswith(".jsonl") else [data]
        found += [(f"{name} {entry}", json.loads(line)) for line in split]
    return found


def evidence(entry: str) -> Found:
    return [(entry, json.loads(scratch()["evidence.zip"][entry]))]  # type: ignore[index]


# --- good documents ------------------------------------------------------------------------------


def intents() -> Found:
    found: Found = []
    for place, case in lines(FIXTURES / "gate/vectors_200.jsonl"):
        try:
            found.append((place, intent.read(case["intent"]).to_value()))
        except errors.InvalidInput:
            continue
    return found


def policies() -> Found:
    found: Found = [(place, policy.loads(case["policy"]).to_value()) for place, case in lines(FIXTURES / "gate/vectors_200.jsonl") if _is_policy(case["policy"])]
    paths = [*(ROOT / "gait/cli/templates").glob("*.yaml"), *(ROOT / "skills").rglob("*policy*.yaml"), *FIXTURES.rglob("policy.yaml")]
    return found + [(str(path.relative_to(ROOT)), yaml_subset.loads(path.read_bytes(), str(path))) for path in sorted(paths)]


def _is_policy(text: str) -> bool:
    try:
        policy.loads(text)
    except errors.InvalidInput:
        return False
    return True


def traces() -> Found:
    paths = [*sorted((FIXTURES / "golden").rglob("trace.json")), *sorted((FIXTURES / "traces/published").glob("*.json"))]
    found: Found = [(str(path.relative_to(ROOT)), load(path)) for path in paths]
    return found + of_schema(journal_lines(), "gait.gate.trace") + scratch_files("pay_trace.json", "paid_trace.json")


def heads() -> Found:
    paths = sorted((FIXTURES / "journal/golden").rglob("*head.json"))
    return [(str(path.relative_to(ROOT)), load(path)) for path in paths]


def inside(name: str) -> Found:
    """A document that stands inside a trace."""
    return [(f"{place} {name}", value[name]) for place, value in traces() if name in value]  # type: ignore[operator,index]


def an_intent() -> intent.IntentRequest:
    return intent.read(intents()[0][1])


def broker_request() -> dict[str, object]:
    needs = facts.Needs(0, False, False, None, None, True, "vault/pay", ("pay",))
    return credential.request(needs, an_intent(), "a" * 64)


def broker_record() -> object:
    proof = credential.proof("stub", broker_request(), credential.Issued("stub:pay", "2026-02-05T00:00:00Z"), "2026-02-05T00:00:00Z")
    return proof.evidence["broker_credential"]


def goldens(name: str) -> Found:
    return [(str(path.relative_to(ROOT)), load(path)) for path in sorted((FIXTURES / "golden").rglob(name))]


def gateway() -> Found:
    unwrap = [{"tool": "run", "name_path": "tool.name", "arguments_path": ["tool", "arguments"], "arguments_encoding": "json_text", "other_keys": ["why"]}]
    return [("gateway", {"schema_id": "gait.mcp.gateway", "schema_version": "1.0.0", "unwrap": unwrap})]


def requests() -> Found:
    call = {"name": "read_file", "arguments": {}}
    token = {"approval_tokens": [scratch()["token.json"]]}
    more = {"adapter": "openai", "run_id": "r", "session_id": "s", "emit_runpack": True, "context": {"identity": "a"}, **token}
    return [("request", {"call": call}), ("request", {"call": call, **more})]


def all_errors() -> Found:
    found: Found = [("GaitError", errors.GaitError("m").to_value()), *answers(False)]
    return found + [(one.__name__, one("m", code="some_code").to_value()) for one in errors.GaitError.__subclasses__() if one.__module__ == "gait.errors"]


def revocation() -> Found:
    said = {"schema_id": "gait.gate.approval_revocation", "schema_version": "1.0.0", "id": "a" * 24, "created_at": "2026-02-05T00:00:00Z"}
    return [("revocation", {**said, "revoked_by": "bob", "reason_code": "left"})]


def install() -> Found:
    head = {"schema_id": "gait.openclaw.install", "schema_version": "1.0.0"}
    return [("install", {**head, "made_folders": [], "made_config": ["a"], "policy_sha256": "", "plugin_dir": "/p"})]


def stopped() -> Found:
    return [(name, value) for name, value in scratch().items() if name.startswith("home/stops/")]


GOOD: dict[str, Callable[[], Found]] = {
    "intent_request": intents,
    "policy": policies,
    "trace": traces,
    "journal_event": lambda: of_schema(journal_lines(), records.EVENT),
    "journal_head": heads,
    "siem_line": lambda: [item for path in sorted((FIXTURES / "golden").rglob("siem.jsonl")) for item in lines(path)],
    "runpack_manifest": lambda: packed(model.MANIFEST_NAME),
    "runpack_run": lambda: packed(model.RUN_NAME),
    "runpack_intent": lambda: packed(model.INTENTS_NAME),
    "runpack_result": lambda: packed(model.RESULTS_NAME),
    "runpack_refs": lambda: packed(model.REFS_NAME),
    "run_record": lambda: [(name, load(FIXTURES / name)) for name in ("regress/run.json", "runpacks/run.json")],
    "regress_config": lambda: scratch_files("gait.yaml"),
    "regress_fixture": lambda: [(name, value) for name, value in scratch().items() if name.endswith("fixture.json")],
    "regress_result": lambda: [(name, value) for name, value in scratch().items() if name.endswith("regress_result.json")],
    "guard_manifest": lambda: evidence("manifest.json"),
    "guard_journal_proof": lambda: evidence("journal.json"),
    "guard_approvals": lambda: evidence("approvals.json"),
    "guard_summary": lambda: evidence("summary.json"),
    "keyring": lambda: scratch_files("ring.json", "approval.json"),
    "approval_token": lambda: scratch_files("token.json"),
    "approval_grant": lambda: scratch_files("grant.json"),
    "approval_revocation": revocation,
    "approval_audit_record": lambda: inside("approval_audit"),
    "broker_credential_request": lambda: [("request", broker_request())],
    "broker_credential_answer": lambda: [("answer", {"credential_ref": "stub:pay"}), ("answer", {"credential_ref": "a:b", "expires_at": "2026-02-05T00:00:00Z"})],
    "broker_credential_record": lambda: [("record", broker_record()), *inside("broker_credential")],
    "stops": stopped,
    "mcp_lock": lambda: scratch_files("gait.lock"),
    "mcp_gateway": gateway,
    "evaluate_request": requests,
    "answer": lambda: [*answers(True), *(item for item in goldens("answer.json") if item[1]["ok"])],  # type: ignore[index]
    "error": lambda: [*all_errors(), *(item for item in goldens("answer.json") if not item[1]["ok"])],  # type: ignore[index]
    "adoption_event": lambda: [("adoption.log", value) for value in scratch()["adoption.log"]],  # type: ignore[attr-defined]
    "operational_event": lambda: [("operational.log", value) for value in scratch()["operational.log"]],  # type: ignore[attr-defined]
    "skill_manifest": lambda: [(str(path.relative_to(ROOT)), load(path)) for path in sorted((ROOT / "skills").rglob("skill_manifest.json"))],
    "registry_pack": lambda: [("pack", registry.pack({"a.yaml": "a" * 64}, "policies", "1.0.0", "2026-02-05T00:00:00Z", "1.8.0", pack_type="policy").value)],
    "openclaw_install": install,
    "config": lambda: [("config.yaml", yaml_subset.loads(CONFIG.encode(), "config.yaml"))],
    "config_trust": lambda: scratch_files("home/trusted_projects.json"),
    "community_index": lambda: [("community_index.json", load(ROOT / "docs/ecosystem/community_index.json"))],
}


def good(name: str) -> Found:
    """Documents that the schema must take."""
    found = GOOD[name]()
    assert found, f"no document for {name}"
    return found


# --- broken ones ---------------------------------------------------------------------------------


def bad(name: str) -> Found:
    """What the schema must refuse: no object; a required member missing; a member of another type; and where it is strict, one too many."""
    schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text("utf-8"))
    place, value = good(name)[0]
    assert isinstance(value, dict)
    found: Found = [("no object", [value]), ("text", "x"), ("null", None)]
    found += [(f"{place} without {member}", {key: item for key, item in value.items() if key != member}) for member in schema["required"]]
    if schema.get("additionalProperties") is False:
        found.append((f"{place} with one more", {**value, "one_more": 1}))
    for member, item in value.items():
        if schema["properties"].get(member):  # a member that may be anything cannot be of a wrong type
            found.append((f"{place} with another {member}", {**copy.deepcopy(value), member: 1.5 if not isinstance(item, float) else "1.5"}))
    return found


def _approvers() -> tuple[Approver, ...]:
    return (Approver(keys.read(scratch()["approval.json"])),)


def _token(value: object) -> object:
    token, problem = approval_tokens.read(value, _approvers())
    return token or _refuse(problem)


def _grant(value: object) -> object:
    grant, problem = approval_grants.read(value, _approvers())
    return grant or _refuse(problem)


def _refuse(problem: str) -> None:
    raise errors.InvalidInput(problem)


def _unsigned(read: Callable[[object], object]) -> Callable[[object], object]:
    def reader(value: object) -> object:
        value = {name: item for name, item in value.items() if name != "signature"} if type(value) is dict else value
        return read(value)

    return reader


def _record(value: object) -> object:
    head, steps = run_record.read(value, run_record.Given(adapters.to_document))
    return head, list(steps)


def _event(value: object) -> object:
    if type(value) is not dict or value.get("schema_id") != records.EVENT:
        raise errors.InvalidInput("no event")
    return records.check_record(value)


def _of(read: Callable[[dict], object]) -> Callable[[object], object]:
    """A reader that is only ever given objects."""
    return lambda value: read(value) if type(value) is dict else _refuse("no object")


def _usage(value: object) -> object:
    return usage.read(json.dumps(value).encode(), "line")


def _index(value: object) -> object:
    sys.path.insert(0, str(ROOT / "scripts"))
    found = importlib.import_module("validate_community_index").findings(value) if type(value) is dict else ["no object"]
    return _refuse(found[0]) if found else value


READERS: dict[str, Callable[[object], object]] = {
    **{"intent_request": intent.read, "policy": policy.read, "journal_event": _event, "run_record": _record},
    **{"runpack_manifest": _of(model.read_manifest), "runpack_run": _of(model.read_run), "runpack_intent": _of(model.read_intent)},
    **{"runpack_result": _of(model.read_result), "runpack_refs": _of(model.read_refs), "regress_config": regress.read_config},
    **{"regress_fixture": regress.read_fixture, "keyring": keys.read, "approval_token": _token, "approval_grant": _grant},
    **{"stops": _unsigned(stops.read), "mcp_lock": mcp_lock.read, "mcp_gateway": mcp_gateway.read, "adoption_event": _usage},
    **{"registry_pack": _of(registry.read), "skill_manifest": _of(registry.read)},
    "config": lambda value: config.read(json.dumps(value).encode(), "/w/.gait/config.yaml"),
    **{"operational_event": _usage, "community_index": _index, "broker_credential_answer": lambda value: credential.read_answer(json.dumps(value).encode())},
}
