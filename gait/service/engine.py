"""The policy in force, the journal, and the one path from a call to a recorded decision.

Invariant: `decide` returns only what the journal holds and every output has taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock
from time import perf_counter

from ..errors import GaitError, StorageError
from ..exporters import otel, siem
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..judge import Call, Judged, judge
from ..store import artifacts, traces
from ..system import files
from .ledger import Ledger
from .loaded import Loaded, load
from .log import say
from .metrics import Metrics
from .refusals import Refusals

if TYPE_CHECKING:
    from ..judge import Outside
    from .packing import Made

Record = dict[str, object]


class Outputs(NamedTuple):
    """Where records go beside the journal; empty is nowhere.  `client_dirs`: where a client may ask for files.

    `capture` (trace.CAPTURES): what a record keeps of its intent.
    """

    trace_dir: str = ""
    siem_path: str = ""
    otel_path: str = ""
    client_dirs: tuple[str, ...] = ()
    runpack_dir: str = ""
    send_otlp: Callable[[str], None] | None = None
    capture: str = "reference"


class Wanted(NamedTuple):
    """Files that a client asks for.  `runpack_out` None: no runpack; empty: one in the operator's folder."""

    trace_path: str = ""
    runpack_out: str | None = None


class Decided(NamedTuple):
    """A recorded decision with the paths of its trace and its runpack, empty for none."""

    judged: Judged
    trace_path: str
    runpack_path: str = ""
    runpack: Made | None = None


class Engine:
    """Decides calls from any thread; the policy may be replaced meanwhile."""

    def __init__(self, policy_path: str, loaded: Loaded, ledger: Ledger, outputs: Outputs, outside: Outside) -> None:
        self._policy_path = policy_path
        self._outside = outside
        self._reloading = Lock()
        self._outputs = outputs
        self.capture = outputs.capture  # whoever makes a Call for `decide` gives it to it
        self.ledger = ledger
        self.metrics = Metrics(ledger.journal.chain)
        self.refusals = Refusals(ledger)
        self.loaded = loaded
        self.reload_error: GaitError | None = None
        self._has_failed_output = False

    def decide(self, call: Call, wanted: Wanted = Wanted()) -> Decided:
        """A recorded decision, with its trace and runpack where the client asked for them, or else the operator.

        InvalidInput, UnsafeOperation: the call is refused, which the caller records.  StorageError: nothing may execute.
        """
        started = perf_counter()
        trace = pack = None
        try:
            trace = self._reserve(wanted.trace_path)
            pack = self._reserve(wanted.runpack_out)
            judged = judge(self.loaded.compiled, call, self.ledger.append, self._outside)
            path = self._put_out(judged.record)
            if trace:
                path = trace.write(traces.dumps(judged.record))
            decided = Decided(judged, path) if wanted.runpack_out is None else self._packed(judged, path, pack)
        except BaseException:
            for reserved in (trace, pack):
                if reserved:
                    reserved.cancel()
            raise
        self.metrics.decided(judged.decision.verdict, perf_counter() - started)
        return decided

    def _reserve(self, path: str | None) -> artifacts.Reserved | None:
        return artifacts.reserve(self._outputs.client_dirs, path) if path else None

    def _packed(self, judged: Judged, trace_path: str, reserved: artifacts.Reserved | None) -> Decided:
        from . import packing

        made = packing.make(judged.record, self.ledger.journal.key)
        path = reserved.write(made.data) if reserved else packing.save(self._outputs.runpack_dir, made)
        return Decided(judged, trace_path, path, made)

    def _put_out(self, record: Record) -> str:
        """What `_export` returns.  A failure is said once, and again when it is over."""
        try:
            path = self._export(record)
        except StorageError as error:
            if not self._has_failed_output:
                say("output_failed", error=str(error), error_code=error.error_code)
            self._has_failed_output = True
            raise
        if self._has_failed_output:
            self._has_failed_output = False
            say("output_recovered")
        return path

    def _export(self, record: Record) -> str:
        outputs = self._outputs
        if outputs.siem_path:
            files.append_line(outputs.siem_path, siem.dumps(record))
        if outputs.otel_path:
            files.append_line(outputs.otel_path, otel.dumps(record))
        if outputs.send_otlp:
            outputs.send_otlp(otel.dumps(record))
        return traces.save_in(outputs.trace_dir, record) if outputs.trace_dir else ""

    def refuse(self, data: bytes, error: GaitError) -> None:
        """Record input that got no decision: its digest, size and reason, nothing of its content."""
        details: Record = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "reason": error.error_code}
        self.ledger.event("refused_input", details)

    def reload(self) -> None:
        """Put the policy file's present text in force.

        GaitError: the policy before it stays in force, and `reload_error` says why.
        """
        with self._reloading:
            old = self.loaded.compiled.policy.digest
            try:
                loaded = self._load_other(old)
            except GaitError as error:
                self.reload_error = error
                self._record_failure(old, error)
                raise
            self.loaded, self.reload_error = loaded, None

    def _load_other(self, old: str) -> Loaded:
        """The file's policy, announced in the journal before the first decision by it."""
        try:
            loaded = load(self._policy_path, self.loaded.profile)
        except GaitError:
            raise
        except Exception as error:
            raise GaitError("the policy cannot be loaded", where=self._policy_path, code="policy_not_loaded") from error
        new = loaded.compiled.policy.digest
        if new != old:
            self.ledger.event("policy_reloaded", {"old_policy_digest": old, "new_policy_digest": new})
        return loaded

    def _record_failure(self, old: str, error: GaitError) -> None:
        try:
            self.ledger.event("policy_reload_failed", {"policy_digest": old, "reason": error.error_code})
        except StorageError:
            pass  # the ledger has said so; what failed first is what the caller must hear
