"""The journal that the tests of gait.store.journal start from, with a fixed key and clock: fixtures/journal/golden is one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from gait.signing import keys
from gait.signing.keys import Keyring
from gait.store.journal.append import Journal
from gait.store.journal.oneshot import append_once
from gait.store.journal.retention import Limits

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "fixtures" / "journal"
GOLDEN = FIXTURES / "golden"
EPOCH = "1770249600"  # 2026-02-05T00:00:00Z
SECRET = bytes(range(32))
RING = Keyring("trace", keys.make(SECRET, "2026-02-05T00:00:00Z"))
OTHER = Keyring("trace", keys.make(bytes(range(100, 132))))
SMALL = Limits(segment_bytes=4500)
VERDICTS = ("allow", "block", "require_approval", "dry_run")


def record(number: int = 0, **more: object) -> dict[str, object]:
    """An unsigned trace, different for each number."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {
        **{"schema_id": "gait.gate.trace", "schema_version": "1.0.0", "created_at": "2026-02-05T00:00:00Z"},
        **{"producer_version": "0.0.0", "trace_id": digest[:24], "tool_name": f"tool.write{number % 3}"},
        **{"args_digest": digest, "intent_digest": digest, "policy_digest": "d" * 64},
        **{"verdict": VERDICTS[number % 4], "reason_codes": ["matched_rule_writes"], "matched_rule": "writes"},
        "context": {"identity": "alice", "workspace": "/repo", "risk_class": "high"},
        **{"latency_ms": 0.125 * (number % 7 + 1)},
        **more,
    }


def make(root: str) -> None:
    """Write the golden journal.  The clock is SOURCE_DATE_EPOCH's, which must be EPOCH."""
    with Journal.open(root, "worker-1", RING, limits=SMALL) as journal:
        journal.event("armed", {"heartbeat_seconds": 60, "policy_digest": "d" * 64})
        for number in range(8):
            journal.append(record(number))
        journal.heartbeat()
        journal.event("policy_reloaded", {"old_policy_digest": "d" * 64, "new_policy_digest": "e" * 64})
        journal.event("refused_input", {"sha256": "f" * 64, "bytes": 17, "reason": "parse_error"})
        for number in range(8, 12):
            journal.append(record(number))
    killed = Journal.open(root, "worker-2", RING)
    killed.event("armed", {"heartbeat_seconds": 60})
    killed.append(record(20))
    killed.heartbeat()
    for number in range(21, 24):
        killed.append(record(number, skill_provenance={"skill_name": "s", "source": "git", "publisher": "p"}))
    killed.abandon()
    with Journal.open(root, "pruned", RING, limits=SMALL._replace(keep_segments=2)) as journal:
        for number in range(30, 50):
            journal.append(record(number, violations=["v"]))
    for number in range(3):
        append_once(root, record(number + 60), RING)


def regenerate() -> None:
    """Write fixtures/journal/golden and the key ring anew."""
    from shutil import rmtree

    os.environ["SOURCE_DATE_EPOCH"] = EPOCH
    rmtree(GOLDEN, ignore_errors=True)
    make(str(GOLDEN))
    for lock in GOLDEN.glob("*/lock"):
        lock.unlink()
    (FIXTURES / "keyring.json").write_text(json.dumps(RING.to_value(), indent=2) + "\n")


if __name__ == "__main__":
    regenerate()
