"""What a summary says, and that no text in it is anything but text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from gait.guard import controls, markdown, page
from gait.guard.summary import MAX_ROWS, Given, Survey

from tests.guard import sample
from tests.guard.sample import HOSTILE, WINDOW, fixtures, made


def summary(steps=None, **fields):
    return json.loads(fixtures.entries(made(steps, **fields))["summary.json"])


def test_a_whole_run():
    value = summary(journal=sample.journal())
    assert value["verdicts"] == {"allow": 1, "block": 1, "require_approval": 1} and value["identities"] == {"alice": 3}
    assert value["period"] == ["2026-02-05T00:00:00Z", "2026-02-05T00:00:02Z"]
    assert all(value["facts"].values()) and value["rows_are"] == "all"
    assert [row["status"] for row in value["rows"]] == ["ok", "not_executed", "not_executed"]


def test_what_is_missing_is_said():
    good = fixtures.steps("good")
    lacking = {name for name, holds in summary(signed=False, traced=False)["facts"].items() if not holds}
    assert lacking == {"traced", "run_signed", "journal_verified", "end_proven"}
    ran = good[2]._replace(status="ok")
    assert not summary([ran])["facts"]["refusals_held"]
    assert not summary([good[0]._replace(status="never_answered")])["facts"]["outcomes_known"]
    undecided = good[0]._replace(decision=None)
    facts = summary([undecided], traced=False)["facts"]
    assert not facts["decided"] and not facts["traced"] and not facts["policy_named"]
    assert not summary([good[0]._replace(intent=None)])["facts"]["identity_named"]
    granted = {**good[0].decision, "reason_codes": ["approval_granted"]}
    assert not summary([good[0]._replace(decision=granted)])["facts"]["approvals_kept"]
    survey = Survey()
    survey.trace({"trace_id": "t", "reason_codes": ["approval_granted"], "approval_token_ref": "a", "verdict": "allow", "args_digest": "d"})
    survey.trace({"trace_id": "u", "reason_codes": ["approval_token_missing"]})
    assert survey.approvals == [{"trace_id": "t", "approval_token_ref": "a"}]
    assert not summary(journal={"chains": [{**sample.CHAIN, "last_sequence": 9}], "heads": sample.journal()["heads"]})["facts"]["end_proven"]


def test_long_runs_show_what_was_refused():
    steps = fixtures.steps("good") * (MAX_ROWS // 2)
    value = summary([step._replace(intent_id=f"i{number}") for number, step in enumerate(steps)], traced=False)
    assert value["rows_are"] == "refused" and len(value["rows"]) == MAX_ROWS
    assert "allow" not in {row["verdict"] for row in value["rows"]}
    assert "not allowed" in markdown.page(value) and "not allowed" in page.page(value, "1")


def test_names_are_counted_up_to_a_bound():
    survey = Survey()
    for number, step in enumerate(sample.run(fixtures.steps("good")).steps()):
        for again in range(500):
            survey.step(step._replace(intent=step.intent._replace(tool_name=f"tool_{number}_{again}")))
    value = survey.value(Given("evidence", "run_1", "a" * 64, "raw", "missing", "", {}, None, 0))
    assert len(value["tools"]) == 1001 and value["tools"]["(others)"] == 500


def test_controls_have_the_three_answers():
    assert {item["status"] for item in summary(template="incident_response", signed=False, traced=False)["controls"]} == {"shown", "not shown", "partly shown"}
    for template in controls.NAMES:
        for control in controls.TEMPLATES[template]:
            assert set(control.needs) <= set(controls.FACTS) and control.shows.endswith(".") and control.leaves_open.endswith(".")


@pytest.fixture(scope="module")
def hostile():
    step = fixtures.step(0, HOSTILE, "read", "/srv/" + HOSTILE)
    return fixtures.entries(made([step], window=WINDOW, around=1, template="pci", journal=sample.journal()))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.seen, self.attributes = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_html_has_no_tag_or_address_of_an_agents(hostile):
    text = hostile["summary.html"].decode()
    tags = Tags(text)
    assert not tags.seen & {"script", "img", "a", "link", "iframe", "object", "form", "svg"}
    assert not [name for name in tags.attributes if name.startswith("on") or name in ("href", "src")]
    assert "\u202e" not in text and "&lt;script&gt;" in text and "default-src 'none'" in text


def test_markdown_has_no_markup_of_an_agents(hostile):
    text = hostile["summary.md"].decode()
    assert "\u202e" not in text and "evil\\<script\\>" in text and "\\[a\\]\\(http\\://x.org\\)" in text and "www\\.x.org" in text
    rows = [line for line in text.splitlines() if "evil" in line]
    assert rows and all(line.startswith("| ") for line in rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5, 8}
