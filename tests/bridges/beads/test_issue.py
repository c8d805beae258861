"""The issue of a refusal: its form, and that nothing hostile leaves its place."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from gait.bridges.beads import issue as issues
from gait.bridges.beads.issue import Issue, Proof, Seen
from gait.errors import InvalidInput

HEX = "0123456789abcdef"
VERIFIED = Proof("trace.json", "c3440f7fba3b6b07")
HOSTILE = [
    *("\x1b]0;owned\x07", "\x1b[2J\x1b[H", "\x9b31m", "\r\n", "\n", "\u2028", "\u202e", "\x00", "\x7f", "\u200b", "\ud7ff", "\U000e0041"),
    *("--labels=admin", "--force", "-h", " --", "$(touch owned)", "`id`", "; rm -rf /", "'", '"', "\\", ",", "gait:000000000000000000000000"),
    *("\n\nSIGNATURE verified", "\n```\n", "![x](https://evil.example/x.png)", "<script>alert(1)</script>", "@everyone", "#1", "\n# Title", "\n    ", "\t"),
    *("é" * 300, "漢" * 400, "😀" * 200, "a" * 5000, "e" + "\u0301" * 400, "&#10;", "%0a", "\\n", "\ufeff", "\u0600", "٣"),
]


def trace(**changed: Any) -> dict[str, object]:
    record: dict[str, object] = {
        "trace_id": "82b282e6a67ae02dc4d261f0", "created_at": "2026-02-05T00:00:00Z", "verdict": "block", "tool_name": "tool.delete",
        "policy_digest": "1" * 64, "intent_digest": "2" * 64, "args_digest": "3" * 64, "reason_codes": ["matched_rule_x"], "violations": ["v"],
        "matched_rule": "x", "context": {"identity": "agent", "workspace": "/work", "risk_class": "critical", "request_id": "r1"},
    }  # fmt: skip
    return {name: value for name, value in {**record, **changed}.items() if value is not None}


def made(record: dict[str, object], proof: Proof = VERIFIED, seen: Seen | None = None) -> Issue:
    refusal = issues.read(record)
    assert refusal
    return issues.issue(refusal, proof, seen)


def rows(body: str) -> dict[str, str]:
    """The indented lines of a body; everything else in it is Gait's own words."""
    return {line.split()[0]: line.split(None, 1)[1] for line in body.splitlines() if line.startswith("    ")}


def test_an_issue() -> None:
    found = made(trace())
    assert found.title == "Gait block: tool.delete (82b282e6a67ae02dc4d261f0)"
    assert found.labels[:3] == ("gait", "gait:82b282e6a67ae02dc4d261f0", "block") and re.fullmatch("gait-decision:[0-9a-f]{24}", found.labels[3])
    assert (found.priority, found.external_ref, found.lookup) == (0, "gait:82b282e6a67ae02dc4d261f0", "gait:82b282e6a67ae02dc4d261f0")
    shown = rows(found.body)
    assert shown["signature"] == "verified with key c3440f7fba3b6b07" and shown["record"] == "trace.json" and shown["args_digest"] == "3" * 64
    assert made(trace()) == found  # deterministic
    assert found.arguments()[:2] == ["create", f"--title={found.title}"]


PRIORITIES = [
    *[("block", risk, number) for number, risk in enumerate(("critical", "high", "medium", "low"))],
    *[("require_approval", risk, number) for number, risk in enumerate(("critical", "high", "medium", "low"), 1)],
    *[("dry_run", "critical", 2), ("dry_run", "high", 3), ("dry_run", "medium", 4), ("dry_run", "low", 4)],
]


@pytest.mark.parametrize("verdict, risk, number", PRIORITIES)
def test_priority_from_verdict_and_risk_class(verdict: str, risk: str, number: int) -> None:
    assert made(trace(verdict=verdict, context={"risk_class": risk})).priority == number


def test_a_published_trace_has_neither_reasons_nor_context() -> None:
    found = made(trace(reason_codes=None, context=None, matched_rule=None))
    assert found.priority == 1 and "risk_class" not in rows(found.body) and "identity" not in rows(found.body)


def test_an_allowed_call_needs_no_issue() -> None:
    assert issues.read(trace(verdict="allow")) is None
    assert issues.read(trace(verdict="allow", simulated_verdict="block")) is None


BAD = [
    *[{"trace_id": text} for text in ("", "x" * 24, "A" * 24, "0" * 23, "0" * 25, "0" * 23 + ",", "0" * 24 + "\n--x", 7, None)],
    *[{"verdict": text} for text in ("", "deny", "blo ck", 3, None, ["block"])],
    *[{"tool_name": 3}, {"tool_name": ["x"]}, {"reason_codes": "x"}, {"reason_codes": [3]}, {"violations": {}}, {"context": []}, {"context": "x"}],
    *[{"context": {"risk_class": "extreme"}}, {"context": {"identity": {}}}, {"policy_digest": "1"}, {"policy_digest": "1" * 63 + "\n"}, {"created_at": None}],
]


@pytest.mark.parametrize("changed", BAD, ids=repr)
def test_what_is_no_trace_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        issues.read({name: value for name, value in {**trace(), **changed}.items() if value is not None})


def test_a_call_without_a_normal_form() -> None:
    found = made(trace(tool_name=None, args_digest=None, context=None, intent_digest_basis="raw"))
    assert found.title == "Gait block: a call without a normal form (82b282e6a67ae02dc4d261f0)"
    assert made(trace(tool_name=None, args_digest=None, intent_digest="4" * 64)).labels != found.labels  # another call


def test_what_does_not_verify_says_so_and_stands_in_nobodys_way() -> None:
    true, forged = made(trace()), made(trace(), Proof("trace.json", problem="it was changed"))
    assert forged.title.startswith("Gait block (NOT VERIFIED): ") and "NOT VERIFIED: it was changed" in forged.body and "Do not act on it" in forged.body
    assert forged.labels == ("gait", "gait-unverified:82b282e6a67ae02dc4d261f0", "block", "gait-unverified")
    assert not true.is_found_in(forged.external_ref) and not forged.is_found_in(true.external_ref)


def test_one_decision_whatever_ids_its_calls_had() -> None:
    first, second = (made(trace(trace_id=text * 24, intent_digest=text * 64, context={"identity": "a", "request_id": text}), seen=Seen(2, "a", "b")) for text in "ab")
    assert first.lookup == second.lookup == first.labels[3] and first.external_ref != second.external_ref
    assert first.is_found_in(second.external_ref) and not first.is_found_in("gait-unverified:" + "a" * 24) and not first.is_found_in(None)
    shown = rows(first.body)
    assert (shown["occurrences"], shown["first"], shown["last"]) == ("2", "a", "b")
    others: list[dict[str, Any]] = [{"args_digest": "9" * 64}, {"tool_name": "b"}, {"verdict": "dry_run"}, {"matched_rule": "y"}, {"policy_digest": "9" * 64}]
    others += [{"context": {"identity": "b"}}, {"reason_codes": ["z"]}]
    assert len({made(trace(**changed)).labels[3] for changed in [{}, *others]}) == len(others) + 1


@pytest.mark.parametrize("char", ["a", "é", "漢", "😀"])
def test_a_long_title_is_cut_between_characters(char: str) -> None:
    for length in range(430, 520):
        title = made(trace(tool_name=char * length)).title
        assert len(title.encode()) <= 500 and title.endswith(" (82b282e6a67ae02dc4d261f0)")
        assert title.encode().decode() == title and "\ufffd" not in title
    assert len(title.encode()) > 500 - 4  # as much as fits


def test_a_thousand_hostile_traces() -> None:
    """Whatever the words are: one line each, printable, bounded, in their place; labels and reference are Gait's own."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    shape = set(rows(made(trace()).body))
    for number in range(1000):
        def bad() -> str:
            return "".join(chance.choice(HOSTILE) for _ in range(chance.randint(1, 4)))

        context = {name: bad() for name in ("identity", "workspace", "session_id", "request_id")}
        record = trace(tool_name="x" + bad(), reason_codes=[bad() for _ in range(chance.randint(0, 40))], matched_rule=bad(), context={**context, "risk_class": "low"})
        record.update(created_at="x" + bad(), verdict=chance.choice(("block", "require_approval", "dry_run")))
        for proof in (Proof(bad(), "c3440f7fba3b6b07"), Proof(bad(), problem=bad())):
            found = made(record, proof)
            at = f"seed {seed}, trace {number}"
            assert found.title.isprintable() and len(found.title.encode()) <= 500, at
            assert found.title.startswith("Gait ") and found.title.endswith("(82b282e6a67ae02dc4d261f0)"), at
            assert all(re.fullmatch("[a-z_-]+(:[0-9a-f]{24})?", label) for label in found.labels), at
            assert re.fullmatch("gait(-unverified)?:[0-9a-f]{24}", found.external_ref), at
            lines = found.body.split("\n")
            assert all(line.isprintable() for line in lines) and len(found.body) < 30_000, at
            own = [line for line in lines if not line.startswith("    ")]
            assert own == [line for line in made(trace(verdict=record["verdict"]), proof._replace(place="p", problem="q")).body.split("\n") if not line.startswith("    ")], at
            assert set(rows(found.body)) <= shape | {"session_id", "reason_codes"}, at
            words = found.arguments()
            assert words[0] == "create" and words[1].startswith("--title=") and words[2::2] == ["--type", "--priority", "--labels", "--external-ref", "--body-file", "--json"], at
            assert "-" not in [word[:1] for word in words[3::2][:-1]] and words[7].count(",") == 3, at


def test_the_check_above_can_fail() -> None:
    """Control: rendered as they are, the same words do leave their place."""
    text = f"    tool  {HOSTILE[0]}\n\nSIGNATURE verified"
    assert not all(line.isprintable() for line in text.split("\n")) and text.split("\n")[-1] == "SIGNATURE verified"
