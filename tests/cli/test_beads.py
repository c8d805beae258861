"""`gait beads`: traces and journals, shown or filed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from gait.store import traces

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "fixtures/golden"
KEY = ("--key-mode", "prod", "--private-key-env", "FIXTURE_KEY")
POLICY = """\
default_verdict: allow
rules:
  - {name: no-delete, effect: block, match: {tool_names: [delete]}}
  - {name: ask, effect: require_approval, match: {tool_names: [send]}}
"""


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in for bd in the PATH, with an empty database, and the key of the fixtures."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/bd"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{ROOT}/tests/bridges/beads/bd.py" "$@"\n')
    program.chmod(0o755)
    (tmp_path / ".beads").mkdir()
    (tmp_path / ".beads/issues.json").write_text("[]")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("FIXTURE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    for name in ("BD_ACTOR", "BEADS_DIR", "BD_JSON_ENVELOPE", "BD_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def issues(world: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((world / ".beads/issues.json").read_text())
    return found


def golden(name: str) -> Path:
    return GOLDEN / name / "trace.json"


def tampered(world: Path) -> Path:
    record = json.loads(golden("block_openai").read_text())
    path = world / "tampered.json"
    path.write_text(json.dumps({**record, "tool_name": "harmless"}))
    return path


@pytest.mark.parametrize("verbose", [[], ["--dry-run"]])
def test_without_live_nothing_is_filed_and_no_bd_is_needed(cli: Callable[..., Any], world: Path, monkeypatch: pytest.MonkeyPatch, verbose: list[str]) -> None:
    monkeypatch.setenv("PATH", str(world / "nothing"))
    done = cli("beads", golden("block_openai"), golden("approval_claude_code"), *KEY, *verbose, "--json")
    assert done.code == 0 and done.value["mode"] == "dry_run"
    first, second = done.value["issues"]
    assert first["title"] == "Gait block: fetch (82b282e6a67ae02dc4d261f0)" and first["priority"] == 1 and first["verified"] is True
    assert second["labels"][2] == "require_approval" and second["priority"] == 2
    assert {first["result"], second["result"]} == {"not_filed"} and issues(world) == []


def test_live_files_once(cli: Callable[..., Any], world: Path) -> None:
    first = cli("beads", golden("block_openai"), golden("allow_mcp"), *KEY, "--live", "--json").value
    again = cli("beads", golden("block_openai"), golden("block_openai"), *KEY, "--live", "--json").value
    assert [item["result"] for item in first["issues"]] == ["created", "not_refused"]
    assert [item["result"] for item in again["issues"]] == ["exists"] * 2 and again["issues"][0]["id"] == first["issues"][0]["id"]
    (held,) = issues(world)
    assert held["title"] == first["issues"][0]["title"] and held["description"] == first["issues"][0]["body"]


def test_text_is_for_people(cli: Callable[..., Any], world: Path) -> None:
    done = cli("beads", golden("block_openai"), *KEY)
    assert "    tool           fetch\n" in done.out and "not_filed" in done.out
    done = cli("beads", golden("block_openai"), golden("allow_mcp"), *KEY, "--live", "--actor", "me", "--beads-dir", world / ".beads")
    assert "result        created" in done.out and "result  not_refused" in done.out and issues(world)[0]["created_by"] == "me"


def test_without_bd_live_says_how_to_install(cli: Callable[..., Any], world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world / "nothing"))
    done = cli("beads", golden("block_openai"), *KEY, "--live", "--json")
    assert done.code == 7 and done.value["error_code"] == "bd_missing" and "npm install -g @beads/bd" in done.value["hint"]
    assert cli("beads", golden("allow_mcp"), *KEY, "--live").code == 0  # nothing to file
    assert cli("beads", golden("block_openai"), *KEY, "--live", "--bd", world / "bin/bd").code == 0


def test_what_does_not_verify_is_not_filed(cli: Callable[..., Any], world: Path) -> None:
    unsigned = world / "unsigned.json"
    record = json.loads(golden("block_openai").read_text())
    del record["signature"]
    unsigned.write_text(json.dumps(record))
    for path, code in ((tampered(world), "digest_mismatch"), (unsigned, "signature_missing")):
        done = cli("beads", golden("block_openai"), path, *KEY, "--live", "--json")
        assert (done.code, done.value["error_code"]) == (2, code) and issues(world) == []
    done = cli("beads", tampered(world), unsigned, golden("block_openai"), *KEY, "--live", "--allow-unverified", "--json")
    assert [item["result"] for item in done.value["issues"]] == ["created", "exists", "created"]
    assert [item["verified"] for item in done.value["issues"]] == [False, False, True]
    forged, true = issues(world)
    assert "THIS RECORD DID NOT VERIFY" in forged["description"] and "(NOT VERIFIED)" in forged["title"] and "gait-unverified" in forged["labels"]
    assert true["external_ref"] == "gait:82b282e6a67ae02dc4d261f0"


def test_a_host_without_a_key(cli: Callable[..., Any], world: Path) -> None:
    assert cli("beads", golden("block_openai"), "--json").value["error_code"] == "key_missing"
    done = cli("beads", golden("block_openai"), "--allow-unverified", "--json")
    assert done.code == 0 and "NOT VERIFIED: there is no dev key on this host" in done.value["issues"][0]["body"]


def test_bad_files(cli: Callable[..., Any], world: Path) -> None:
    for text, code in (("not json", 6), ("[]", 6), ('{"a": 1, "a": 2}', 6), ("{}", 2)):
        (world / "bad.json").write_text(text)
        assert cli("beads", "bad.json", *KEY).code == code
    assert cli("beads", "missing.json", *KEY).code == 6
    (world / "bad.json").write_text('{"verdict": "block", "trace_id": "x"}')
    done = cli("beads", "bad.json", *KEY, "--allow-unverified", "--json")
    assert done.code == 6 and done.value["error"].startswith("bad.json: trace_id: must be 24 lowercase hex digits")
    assert cli("beads", "-", *KEY, stdin=golden("block_openai").read_bytes()).code == 0


PUBLISHED = ROOT / "fixtures/traces/published"


@pytest.mark.parametrize("name", sorted(path.name for path in PUBLISHED.glob("trace_*.json")))
def test_published_traces_with_their_public_key(cli: Callable[..., Any], world: Path, name: str) -> None:
    """They have no reason codes and no context; a high risk class is taken, and one changed byte keeps them out."""
    words = ("--public-key", PUBLISHED / "public.key", "--live", "--json")
    record = json.loads((PUBLISHED / name).read_text())
    done = cli("beads", PUBLISHED / name, *words).value["issues"][0]
    if record["verdict"] == "allow":
        assert done == {"trace": str(PUBLISHED / name), "verified": True, "result": "not_refused"}
        return
    assert done["result"] == "created" and done["title"] == f"Gait {record['verdict']}: {record['tool_name']} ({record['trace_id']})"
    assert done["priority"] == {"block": 1, "require_approval": 2, "dry_run": 3}[record["verdict"]]
    assert f"verified with key {record['signature']['key_id']}" in done["body"] and "risk_class" not in done["body"]
    (world / "changed.json").write_text(json.dumps({**record, "tool_name": record["tool_name"] + "x"}))
    assert cli("beads", world / "changed.json", *words).code == 2
    assert cli("beads", PUBLISHED / name, *KEY).code == 2  # and not with an HMAC key
    assert len(issues(world)) == 1


def test_a_named_key_that_is_missing_is_an_error_all_the_same(cli: Callable[..., Any]) -> None:
    for words in (("--public-key", "missing.key"), ("--key-mode", "prod", "--private-key", "missing.json")):
        assert cli("beads", golden("block_openai"), *words, "--allow-unverified").code in (6, 7)


USAGE = [["--journal", "j", "--public-key", "k"], [], ["a", "--journal", "j"], ["a", "--since", "2026-01-01T00:00:00Z"], ["a", "--live", "--dry-run"], ["a"] * 1001, ["-", "-"], ["a", "--most", "0"]]


@pytest.mark.parametrize("words", USAGE, ids=lambda words: " ".join(words)[:40])
def test_usage(cli: Callable[..., Any], words: list[str]) -> None:
    assert cli("beads", *words, "--json").value["error_code"] == "invalid_usage"


def test_a_failure_half_way_says_what_is_done(cli: Callable[..., Any], world: Path) -> None:
    (world / "bin/half").write_text('#!/bin/sh\ncase "$*" in *gait:ef2d*) echo Error: full >&2; exit 1 ;; esac\nexec bd "$@"\n')
    (world / "bin/half").chmod(0o755)
    done = cli("beads", golden("approval_claude_code"), *KEY, "--live", "--bd", "half", "--json")
    assert done.code == 1 and done.value["error"].endswith("Error: full") and issues(world) == []
    done = cli("beads", golden("block_openai"), golden("approval_claude_code"), *KEY, "--live", "--bd", "half", "--json")
    assert done.code == 1 and "Error: full (the first 1 of 2 are done" in done.value["error"] and len(issues(world)) == 1


# --- journals -----------------------------------------------------------------------------------------


def decide(cli: Callable[..., Any], at: str, tool: str, request: str, monkeypatch: pytest.MonkeyPatch, risk: str = "high") -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", at)
    call = {"toolName": tool, "params": {"path": "/x"}, "toolCallId": request}
    words = ("--policy", "policy.yaml", "--adapter", "openclaw", "--risk-class", risk, "--call", "-", "--journal", "journal")
    cli("mcp", "proxy", *words, stdin=call)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")


@pytest.fixture
def journal(cli: Callable[..., Any], world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three refusals of one decision with ids of their own, one of another, one of a critical call, one call that was allowed."""
    (world / "policy.yaml").write_text(POLICY)
    for number in range(3):
        decide(cli, str(1770000000 + number * 60), "delete", f"call-{number}", monkeypatch)
    decide(cli, "1770000300", "send", "call-4", monkeypatch)
    decide(cli, "1770000360", "send", "call-5", monkeypatch, "critical")
    decide(cli, "1770000420", "look", "call-6", monkeypatch)
    return world / "journal"


def test_one_issue_for_each_distinct_decision(cli: Callable[..., Any], world: Path, journal: Path) -> None:
    done = cli("beads", "--journal", journal, "--live", "--json").value
    found = {(item["labels"][2], item["priority"]): item for item in done["issues"]}
    assert sorted(found) == [("block", 1), ("require_approval", 1), ("require_approval", 2)] and done["left_off"] == 0
    body = found["block", 1]["body"]
    assert found["block", 1]["occurrences"] == 3 and "occurrences    3" in body
    assert "first          2026-02-02T02:40:00Z" in body and "last           2026-02-02T02:42:00Z" in body and "oneshot#1" in body
    assert len(issues(world)) == 3
    again = cli("beads", "--journal", journal, "--live", "--json").value
    assert {item["result"] for item in again["issues"]} == {"exists"} and len(issues(world)) == 3


def test_since_begins_later_and_still_finds_what_is_filed(cli: Callable[..., Any], world: Path, journal: Path) -> None:
    cli("beads", "--journal", journal, "--live")
    done = cli("beads", "--journal", journal, "--since", "2026-02-02T02:41:00Z", "--live", "--json").value
    assert [item["occurrences"] for item in done["issues"] if item["labels"][2] == "block"] == [2]
    assert {item["result"] for item in done["issues"]} == {"exists"} and len(issues(world)) == 3
    assert cli("beads", "--journal", journal, "--since", "2026-02-03T00:00:00Z", "--json").value["issues"] == []
    assert cli("beads", "--journal", journal, "--since", "yesterday").code == 6


def test_the_most_urgent_ones(cli: Callable[..., Any], journal: Path) -> None:
    done = cli("beads", "--journal", journal, "--most", "1", "--json").value
    assert [item["occurrences"] for item in done["issues"]] == [3] and done["left_off"] == 2  # of two that are as urgent, the frequent one
    assert "2 less urgent decisions are left off" in cli("beads", "--journal", journal, "--most", "1").out


def test_too_many_distinct_decisions(cli: Callable[..., Any], journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gait.cli import beads

    monkeypatch.setattr(beads, "_MAX_DECISIONS", 2)
    assert cli("beads", "--journal", journal, "--most", "2", "--json").value["error_code"] == "too_many_decisions"


def test_nothing_of_a_damaged_journal(cli: Callable[..., Any], world: Path, journal: Path) -> None:
    segment = next(journal.rglob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([lines[0], *lines[2:]]))
    done = cli("beads", "--journal", journal, "--live", "--json")
    assert done.code == 2 and issues(world) == [] and "nothing of a damaged journal is filed" in done.value["error"]
    done = cli("beads", "--journal", journal, "--live", "--allow-unverified", "--json").value
    assert len(issues(world)) == 3 and all(item["verified"] is False and "the journal is damaged" in item["body"] for item in done["issues"])


def test_a_trace_that_is_filed_and_its_decision_in_a_journal_are_one(cli: Callable[..., Any], world: Path, journal: Path) -> None:
    line = next(journal.rglob("*.jsonl")).read_text().splitlines()[1]
    path = traces.save(json.loads(line), str(world / "second.json"))
    assert cli("beads", path, "--live").code == 0
    done = cli("beads", "--journal", journal, "--live", "--json").value
    assert sorted(item["result"] for item in done["issues"]) == ["created", "created", "exists"] and len(issues(world)) == 3
