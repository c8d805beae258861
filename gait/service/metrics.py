"""What the service counts, as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

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
    policy_reload_failed: bool
    otlp_dropped: int


class Metrics:
    """Counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._decisions = dict.fromkeys(VERDICTS, 0)
        self._errors: dict[str, int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def decided(self, verdict: str, seconds: float) -> None:
        """Count a decision that took so long."""
        place = sum(seconds > bound for bound in BUCKETS)
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
        lines = _head("gait_decisions_total", "counter", "Decisions by verdict.")
        lines += [f'gait_decisions_total{{verdict="{verdict}"}} {count}' for verdict, count in decisions.items()]
        lines += _head("gait_errors_total", "counter", "Requests without a decision, by error code.")
        lines += [f'gait_errors_total{{code="{code}"}} {count}' for code, count in errors]
        lines += _histogram(buckets, seconds) + _gauges(gauges)
        return "\n".join(lines) + "\n"


def _histogram(buckets: list[int], seconds: float) -> list[str]:
    name = "gait_decision_seconds"
    lines = _head(name, "histogram", "Time from the request's body to the recorded decision.")
    count = 0
    for bound, found in zip((*BUCKETS, "+Inf"), buckets):
        count += found
        lines.append(f'{name}_bucket{{le="{bound}"}} {count}')
    return [*lines, f"{name}_sum {seconds:.6f}", f"{name}_count {count}"]


def _gauges(gauges: Gauges) -> list[str]:
    return [
        *_head("gait_in_flight", "gauge", "Requests being handled."),
        f"gait_in_flight {gauges.in_flight}",
        *_head("gait_journal_bytes", "gauge", "Bytes of the segment being written."),
        f"gait_journal_bytes {gauges.journal_bytes}",
        *_head("gait_journal_sequence", "counter", "Records in the chain."),
        f"gait_journal_sequence {gauges.journal_sequence}",
        *_head("gait_policy_reload_failed", "gauge", "1 while the newest policy file is not the one in force."),
        f"gait_policy_reload_failed {int(gauges.policy_reload_failed)}",
        *_head("gait_otlp_dropped_total", "counter", "Log records that the OTLP endpoint did not take."),
        f"gait_otlp_dropped_total {gauges.otlp_dropped}",
    ]


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
