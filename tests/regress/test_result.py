"""The result document and the JUnit report: stable, and safe whatever a fixture says."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from gait.regress import graders, result
from gait.regress.drift import Drifts
from gait.regress.fixture import Fixture
from tests.regress import runs

FIXTURE = Fixture("demo", "run_1")
NASTY = ["<x>&\"'", "]]>", "</failure>", "\x1b[2J", "a\x00b", "a\nb", "\u202eevil", "\ufffe", "<!--", "&lol;", "\ud800", "é漢\U0001f600"]


def failing(grader="integrity", summary="s", codes=("c",)):
    return graders.Graded(f"demo/{grader}", "fail", codes, {"fixture": "demo"}, summary)


def test_result_document():
    found = result.result("default", "2026-02-05T00:00:00Z", [failing("schema_validation"), graders.graded(FIXTURE, "integrity", [], {})])
    value = found.to_value()
    assert (value["schema_id"], value["status"], value["created_at"]) == ("gait.regress.result", "fail", "2026-02-05T00:00:00Z")
    assert [item["name"] for item in value["graders"]] == ["demo/integrity", "demo/schema_validation"]
    assert set(value["graders"][0]) == {"name", "status", "reason_codes", "details"}
    assert result.result("default", "", []).created_at == "1980-01-01T00:00:00Z"


def test_the_gravest_failure_comes_first():
    names = ["diff", "trajectory", "decision_drift", "integrity", "expected_exit_code"]
    found = result.result("default", "", [failing(name) for name in names])
    assert [item.grader for item in found.failed] == ["integrity", "decision_drift", "trajectory", "expected_exit_code", "diff"]
    assert found.top_failure_reason == "demo/integrity: c: s" and found.next_words("p", "") == ["gait", "verify", "fixtures/demo/runpack.zip"]
    drift = result.result("default", "", [failing("decision_drift")])
    assert drift.next_words("p.yaml", "ops") == ["gait", "policy", "simulate", "--policy", "p.yaml", "--from", "ops/fixtures/demo/runpack.zip"]
    assert result.result("default", "", []).next_words("p", "") == [] and result.result("default", "", []).top_failure_reason == ""


@pytest.mark.parametrize("text", NASTY)
def test_junit_is_xml_whatever_a_fixture_says(text):
    found = result.result(text, "", [failing(summary=text, codes=(text,)), graders.graded(FIXTURE, "diff", [], {})])
    data = result.junit(found).encode("utf-8")
    root = ElementTree.fromstring(data)
    case = root.findall(".//testcase")[1]
    assert [item.get("name") for item in root.iter("testcase")] == ["diff", "integrity"] and len(case) == 1
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    assert case[0].get("message") == shown == (case[0].text or "").strip("\n")
    assert b"\x1b" not in data and b"\x00" not in data


def test_junit_shows_both_answers():
    drifts = Drifts(runs.compiled(runs.NOW_ALLOWED))
    for step in runs.pack().steps():
        drifts.see(step)
    found = result.result("default", "", [graders.decision_drift(FIXTURE, drifts)])
    text = ElementTree.fromstring(result.junit(found)).find(".//failure").text
    assert "step 2 write_file (intent_2)" in text and "require_approval" in text and "->  allow" in text and "==  write-workspace" in text
    assert result.junit(found) == result.junit(found)
