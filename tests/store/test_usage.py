"""The logs of commands: what a line holds, what is refused on reading, and that a log that cannot be written is nobody's failure."""

from __future__ import annotations

import json
import os
import stat

import pytest

from gait.errors import GaitError
from gait.store import usage

EVENT = usage.Event("mcp serve", 0, 1500, "0123456789abcdef")


@pytest.fixture
def logs(tmp_path, monkeypatch):
    paths = {name: tmp_path / f"{name}.jsonl" for name in usage.LOGS}
    for name, path in paths.items():
        monkeypatch.setenv(name, str(path))
    return paths


def test_what_a_line_holds(logs, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    usage.append(EVENT)
    adoption, operational = (json.loads(path.read_text()) for path in logs.values())
    same = {"command": "mcp serve", "exit_code": 0, "duration_ms": 1500, "correlation_id": "0123456789abcdef"}
    same |= {"schema_version": "1.0.0", "producer_version": usage.__version__}
    assert adoption == {"schema_id": "gait.adoption_event", "day": "2026-02-05", **same}
    assert operational == {"schema_id": "gait.operational_event", "created_at": "2026-02-05T00:00:00Z", **same}
    assert {stat.S_IMODE(path.stat().st_mode) for path in logs.values()} == {0o600}


def test_unset_is_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    usage.append(EVENT)
    assert list(tmp_path.iterdir()) == [] and list(usage.problems()) == []


def link(path):
    path.symlink_to(path.parent / "target")


def deep(path):
    path.mkdir()


BAD = {"link": link, "folder": deep, "fifo": lambda path: os.mkfifo(path), "nowhere": lambda path: None}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_written_is_left_and_said_by_the_doctor(kind, tmp_path, monkeypatch):
    path = tmp_path / "log"
    BAD[kind](path)
    if kind == "nowhere":
        path = path / "none" / "log"
    monkeypatch.setenv("GAIT_OPERATIONAL_LOG", str(path))
    usage.append(EVENT)
    assert not (tmp_path / "target").exists() and not path.is_file()
    ((variable, named, problem),) = usage.problems()
    assert (variable, named) == ("GAIT_OPERATIONAL_LOG", str(path))
    assert problem or kind == "fifo", "a pipe is another program's to read: nothing waits for it"


def test_a_relative_path_would_be_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAIT_ADOPTION_LOG", "log")
    usage.append(EVENT)
    assert list(tmp_path.iterdir()) == []
    assert "absolute" in next(usage.problems())[2]


def test_a_lock_that_somebody_holds_delays_by_half_a_second_at_most(logs, patience):
    import fcntl
    import time

    path = logs["GAIT_ADOPTION_LOG"]
    with open(path, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        usage.append(EVENT)
        assert time.monotonic() - began < 3 * patience
    assert path.read_text() == "" and logs["GAIT_OPERATIONAL_LOG"].read_text(), "the other log has its line"


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", '{"schema_id": "gait.gate.trace"}', '{"schema_id": "gait.adoption_event", "exit_code": true}', "{" + " " * 5000 + "}"]
    + ['{"schema_id": "gait.adoption_event", "command": 1}', '{"schema_id": "gait.adoption_event", "schema_id": "gait.adoption_event"}'],
)
def test_a_line_that_is_no_event(line):
    with pytest.raises(GaitError):
        usage.read(line.encode(), "log:1")


def test_counts(tmp_path, monkeypatch):
    """The same event in both logs is one; a line that is none is counted and left out."""
    days = ["2026-02-05T10:00:00Z", "2026-02-05T11:00:00Z", "2026-02-06T00:00:00Z"]
    log = tmp_path / "log"
    with open(log, "w") as file:
        for number, created_at in enumerate(days):
            event = EVENT._replace(correlation_id=str(number), exit_code=6 if number == 1 else 0)
            for schema_id in usage.LOGS.values():
                file.write(json.dumps(event.to_value(schema_id, created_at)) + "\n")
        file.write("nonsense\n")
    lines, unreadable = usage.read_log(str(log))
    assert (len(lines), unreadable) == (6, 1)
    assert usage.used(lines, "mcp serve") == (3, 2, 2, 4.5)
    assert usage.used(lines, "hook gastown") == (0, 0, 0, 0)
