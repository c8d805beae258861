"""What the service counts, as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock

from ..formats.documents import NamedTuple
from ..gate.decision import VERDICTS

# Upper bounds in seconds; the last bucket, +Inf, is implied.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Gauges(NamedTuple):
    """What is read at the moment of a scrape."""

    in_flight: int
    journal_bytes: int
    journal_sequence: int
    journal_failed: bool
    policy_reload_failed: bool
    otlp_dropped: int


# Of Gauges, in its order: type, name, help.
_GAUGES = (
    ("gauge", "gait_in_flight", "Requests being handled."),
    ("gauge", "gait_journal_bytes", "Bytes of the journal segment being written."),
    ("gauge", "gait_journal_sequence", "The sequence number of the last record."),
    ("gauge", "gait_journal_failed", "1 while the journal takes no record, and no call is allowed."),
    ("gauge", "gait_policy_reload_failed", "1 while the newest policy file is not the one in force."),
    ("counter", "gait_otlp_dropped_total", "Log records that the OTLP endpoint did not take."),
)


class Metrics:
    """Counters that any thread may add to.  Each sample names the chain: with --workers, a scrape meets one of several."""

    def __init__(self, chain: str) -> None:
        self._chain = chain
        self._lock = Lock()
        self._decisions = dict.fromkeys(VERDICTS, 0)
        self._errors: dict[str, int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def decided(self, verdict: str, seconds: float) -> None:
        """Count a decision that took so long."""
        place = bisect_left(BUCKETS, seconds)
        with self._lock:
            self._decisions[verdict] += 1
            self._buckets[place] += 1
            self._seconds += seconds

    def failed(self, error_code: str) -> None:
        """Count a request without a decision.  Error codes are a fixed vocabulary, so the text stays small."""
        with self._lock:
            self._errors[error_code] = self._errors.get(error_code, 0) + 1

    def dumps(self, gauges: Gauges) -> str:
        """The text of a scrape."""
        with self._lock:
            decisions, errors = dict(self._decisions), sorted(self._errors.items())
            buckets, seconds = list(self._buckets), self._seconds
        name = "gait_decisions_total"
        lines = _head("counter", name, "Decisions by verdict.")
        lines += [self._sample(name, count, verdict=verdict) for verdict, count in decisions.items()]
        name = "gait_errors_total"
        lines += _head("counter", name, "Requests without a decision, and failures, by error code.")
        lines += [self._sample(name, count, code=code) for code, count in errors]
        lines += self._histogram(buckets, seconds)
        for (kind, name, about), value in zip(_GAUGES, gauges):
            lines += [*_head(kind, name, about), self._sample(name, int(value))]
        return "\n".join(lines) + "\n"

    def _histogram(self, buckets: list[int], seconds: float) -> list[str]:
        name = "gait_decision_seconds"
        lines = _head("histogram", name, "Time from the parsed call to the recorded decision.")
        count = 0
        for bound, found in zip((*BUCKETS, "+Inf"), buckets):
            count += found
            lines.append(self._sample(f"{name}_bucket", count, le=str(bound)))
        return [*lines, self._sample(f"{name}_sum", round(seconds, 6)), self._sample(f"{name}_count", count)]

    def _sample(self, name: str, value: float, **labels: str) -> str:
        """Label values are chains, verdicts, error codes and numbers: none has a character to escape."""
        named = ",".join(f'{label}="{text}"' for label, text in (("chain", self._chain), *labels.items()))
        return f"{name}{{{named}}} {value}"


def _head(kind: str, name: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
