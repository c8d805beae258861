"""The policy in force, the journal, and the one path from a call to a recorded decision.

Invariant: `decide` returns only what the journal holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from threading import Lock
from time import perf_counter

from ..errors import GaitError, InvalidInput, VerificationFailed
from ..exporters import otel, siem
from ..formats.documents import NamedTuple
from ..gate import policy as policies
from ..gate.evaluate import evaluate
from ..gate.intent import read as read_intent
from ..gate.matching import CompiledPolicy, compile_policy
from ..judge import Call, Judged, judge
from ..signing import envelope
from ..signing.keys import Keyring
from ..store import traces
from ..store.journal.append import Journal
from ..system import clock, files
from .metrics import Metrics

Record = dict[str, object]

_PROBE_POLICY = {
    "default_verdict": "allow",
    "rules": [{"name": "probe", "effect": "allow", "endpoint": {"path_denylist": ["/etc/**"]}}],
}
_PROBE = {
    "tool_name": "gait.self_test",
    "targets": [{"kind": "path", "value": "/tmp/../etc/shadow", "operation": "read"}],
    "context": {"identity": "gait", "workspace": "/", "risk_class": "critical"},
}


class Outputs(NamedTuple):
    """Where records go beside the journal; empty text is nowhere."""

    trace_dir: str = ""
    siem_path: str = ""
    otel_path: str = ""
    send_otlp: Callable[[str], None] | None = None


class Loaded(NamedTuple):
    """A policy that has been in force since `loaded_at`."""

    compiled: CompiledPolicy
    loaded_at: str


class Engine:
    """Decides calls from any thread; the policy may be replaced meanwhile."""

    def __init__(self, read_policy: Callable[[], bytes], source: str, journal: Journal, ring: Keyring, outputs: Outputs) -> None:
        self._read_policy = read_policy
        self._source = source
        self._reloading = Lock()
        self.journal = journal
        self._ring = ring
        self._outputs = outputs
        self.metrics = Metrics()
        self.reload_error = ""
        self.loaded = self._load()

    def _load(self) -> Loaded:
        data = self._read_policy()
        return Loaded(compile_policy(policies.loads(data, self._source)), clock.now_text())

    def decide(self, call: Call) -> tuple[Judged, str]:
        """A recorded decision, and the path of its trace file when there is a folder for them.

        InvalidInput: the call is refused, which the caller records.  StorageError: nothing may execute.
        """
        started = perf_counter()
        judged = judge(self.loaded.compiled, call, self.journal.append)
        path = self._export(judged.record)
        self.metrics.decided(judged.decision.verdict, perf_counter() - started)
        return judged, path

    def _export(self, record: Record) -> str:
        outputs = self._outputs
        if outputs.siem_path:
            files.append_line(outputs.siem_path, siem.dumps(record))
        if outputs.otel_path:
            files.append_line(outputs.otel_path, otel.dumps(record))
        if outputs.send_otlp:
            outputs.send_otlp(otel.dumps(record))
        if not outputs.trace_dir:
            return ""
        return traces.save(record, f"{outputs.trace_dir}/trace_{record['trace_id']}_{record['sequence']}.json")

    def refuse(self, data: bytes, error: GaitError) -> None:
        """Record input that got no decision: its digest, size and reason, nothing of its content."""
        details = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "reason": error.error_code}
        self.journal.event("refused_input", details)

    def reload(self) -> bool:
        """Put the policy file's present text in force.  An invalid one changes nothing and is reported; False then."""
        with self._reloading:
            old = self.loaded.compiled.policy.digest
            try:
                loaded = self._load()
            except GaitError as error:
                self.reload_error = str(error)
                self.journal.event("policy_reload_failed", {"policy_digest": old, "reason": error.error_code})
                return False
            new = loaded.compiled.policy.digest
            if new != old:
                self.journal.event("policy_reloaded", {"old_policy_digest": old, "new_policy_digest": new})
            self.loaded, self.reload_error = loaded, ""
            return True

    def self_test(self) -> None:
        """Prove that this process can refuse and can prove it.  GaitError: it must not serve."""
        probe = read_intent(_PROBE)
        refused = evaluate(compile_policy(policies.read(_PROBE_POLICY)), probe)
        if refused.verdict != "block" or "endpoint_path_denied" not in refused.reason_codes:
            raise VerificationFailed("self-test: a call that must be refused was not", hint="do not use this installation")
        if "evaluation_failed" in evaluate(self.loaded.compiled, probe).reason_codes:
            raise VerificationFailed("self-test: the policy cannot be evaluated", hint="gait policy explain")
        self._test_refusal()
        signed = envelope.sign({"verdict": refused.verdict}, self._ring.active, envelope.TRACE)
        envelope.verify(signed, self._ring, envelope.TRACE)

    def _test_refusal(self) -> None:
        unsigned: Callable[[Record], Record] = dict
        try:
            judge(self.loaded.compiled, Call(b'{"name": "x"}', {"name": 7}, "self-test", "mcp"), unsigned)
        except InvalidInput:
            return
        raise VerificationFailed("self-test: a malformed call was not refused", hint="do not use this installation")


def defaults(identity: str, workspace: str, risk_class: str) -> Mapping[str, str]:
    """The context that calls have unless the operator trusts what they say."""
    read_intent({**_PROBE, "context": {"identity": identity, "workspace": workspace, "risk_class": risk_class}})
    return {"identity": identity, "workspace": workspace, "risk_class": risk_class}
