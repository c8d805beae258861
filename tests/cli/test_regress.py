"""`gait regress`: from a recorded run to a test that fails when a decision changes, and to the drift that somebody accepted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.regress import runs

PUBLISHED = runs.ROOT / "fixtures" / "runpacks" / "published" / "runpack_unsigned.zip"


@pytest.fixture
def team(tmp_path, monkeypatch):
    """A team's repository with a policy and a recorded run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(runs.POLICY)
    (tmp_path / "run.zip").write_bytes(runs.packed())
    return tmp_path


@pytest.fixture
def fixture(team, cli):
    """The same with a fixture made of the run; the replay of its allowed call misses a result, as recorded."""
    assert cli("regress", "init", "--from", "run.zip", "--name", "demo").code == 0
    return team / "fixtures" / "demo"


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def graders(team):
    return {item["name"]: item for item in json.loads((team / "regress_result.json").read_text())["graders"]}


def test_bootstrap_run_and_a_changed_word(cli, team):
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--junit", "junit.xml", "--json")
    value = ran.value
    assert (ran.code, value["ok"], value["status"], value["fixture_name"], value["graders"], value["failed"]) == (0, True, "pass", "run_1", 4, 0)
    assert value["artifact_paths"] == ["regress_result.json", "junit.xml"] and value["runpack_path"] == "fixtures/run_1/runpack.zip"
    before = (team / "regress_result.json").read_bytes()
    assert cli("regress", "run").code == 0 and (team / "regress_result.json").read_bytes() == before

    (team / "policy.yaml").write_text(runs.NOW_ALLOWED)
    ran = cli("regress", "run", "--junit", "junit.xml", "--json")
    assert ran.code == 5 and ran.value["top_failure_reason"].startswith("run_1/decision_drift: decision_drift: step 2 write_file: verdict require_approval -> allow")
    assert ran.value["next_command"] == "gait policy simulate --policy policy.yaml --from fixtures/run_1/runpack.zip"
    drift = ran.value["failures"][0]["details"]["drifts"][0]
    assert (drift["step"], drift["recorded"]["verdict"], drift["answered"]["verdict"]) == (2, "require_approval", "allow")
    assert ElementTree.parse(team / "junit.xml").getroot().get("failures") == "1"
    text = cli("regress", "run").out
    assert "FAIL  run_1/decision_drift  decision_drift\n      step 2 write_file (intent_2)\n" in text and text.count("==") == 1
    assert cli("regress", "run", "--policy", "/dev/null").code == 6
    (team / "old.yaml").write_text(runs.POLICY)
    assert cli("regress", "run", "--policy", "old.yaml").code == 0


def test_bootstrap_again_keeps_the_fixture(cli, fixture):
    edit(fixture / "fixture.json", not_evaluable_allowed=1)
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--name", "demo", "--json")
    assert ran.code == 0 and ran.value["kept"] and json.loads((fixture / "fixture.json").read_text())["not_evaluable_allowed"] == 1
    Path("other.zip").write_bytes(runs.packed(run_id="run_2"))
    ran = cli("regress", "init", "--from", "other.zip", "--name", "demo", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "file_exists")
    assert cli("regress", "init", "--from", "other.zip", "--name", "demo", "--force").code == 0
    assert json.loads(Path("gait.yaml").read_text())["fixtures"] == [{"name": "demo", "run_id": "run_2", "runpack": "fixtures/demo/runpack.zip"}]


def test_accept_is_for_exactly_this_drift(cli, fixture, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1770249600")
    Path("policy.yaml").write_text(runs.NOW_ALLOWED)
    assert cli("regress", "accept", "demo", "--reason", " ").code == cli("regress", "accept", "other", "--reason", "x").code == 6
    ran = cli("regress", "accept", "demo", "--reason", "TICKET-7", "--by", "alice", "--call", "intent_1", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "invalid_usage")
    ran = cli("regress", "accept", "demo", "--reason", "TICKET-7", "--by", "alice", "--call", "intent_2")
    assert ran.code == 0 and ran.out.startswith("accepted: step 2 write_file: verdict require_approval -> allow")
    entry = json.loads((fixture / "fixture.json").read_text())["accepted"][0]
    assert (entry["accepted_by"], entry["accepted_at"], entry["reason"], entry["calls"]) == ("alice", "2026-02-05T00:00:00Z", "TICKET-7", ["intent_2"])
    assert len(entry["recorded_digest"]) == len(entry["answered_digest"]) == 64
    assert cli("regress", "run").code == 0
    assert cli("regress", "accept", "demo", "--reason", "x", "--json").value["error_code"] == "nothing_drifted"
    for text in (runs.POLICY, runs.POLICY.replace("require_approval", "block"), runs.NOW_ALLOWED.replace("write-workspace", "writes")):
        Path("policy.yaml").write_text(text)
        assert cli("regress", "run").code == 5


def test_what_cannot_be_evaluated_fails_unless_allowed(cli, team):
    (team / "run.zip").write_bytes(runs.packed(text=None))
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--json")
    assert ran.code == 5 and ran.value["not_evaluable"] == 3 and "3 of 3 calls cannot be evaluated again" in ran.value["warnings"][0]
    assert graders(team)["run_1/decision_drift"]["reason_codes"] == ["not_evaluable"]
    assert cli("regress", "bootstrap", "--from", "run.zip", "--force", "--allow-not-evaluable").code == 0


def test_published_pack_can_be_a_fixture(cli, team):
    ran = cli("regress", "bootstrap", "--from", PUBLISHED, "--allow-not-evaluable", "--json")
    assert ran.code == 0, ran.out


def test_a_pack_that_was_changed(cli, fixture, team):
    data = (fixture / "runpack.zip").read_bytes()
    (fixture / "runpack.zip").write_bytes(data.replace(b"read_file", b"reed_file"))
    ran = cli("regress", "run", "--json")
    assert ran.code == 5 and set(graders(team)) == {"demo/integrity", "demo/schema_validation"}
    assert ran.value["next_command"] == "gait verify fixtures/demo/runpack.zip"
    assert cli("regress", "accept", "demo", "--reason", "x").code == 2
    (fixture / "runpack.zip").write_bytes(runs.packed([runs.call("read_file")]))  # whole, and another one
    assert cli("regress", "run", "--json").value["failures"][0]["reason_codes"] == ["manifest_pin_mismatch"]
    (fixture / "runpack.zip").unlink()
    assert cli("regress", "run").code == 5 and graders(team)["demo/fixture"]["reason_codes"] == ["file_not_found"]


def test_one_bad_fixture_does_not_hide_another(cli, fixture, team):
    assert cli("regress", "init", "--from", "run.zip", "--name", "other").code == 0
    (fixture / "fixture.json").write_text("{")
    assert cli("regress", "run").code == 5
    found = graders(team)
    assert found["demo/fixture"]["reason_codes"] == ["parse_error"] and found["other/decision_drift"]["status"] == "pass"
    edit(team / "fixtures" / "other" / "fixture.json", run_id="run_9")
    assert cli("regress", "run").code == 5 and graders(team)["other/fixture"]["reason_codes"] == ["fixture_mismatch"]


def test_trajectory_of_the_recorded_run_and_of_a_candidate(cli, team):
    assert cli("regress", "bootstrap", "--from", "run.zip", "--name", "demo", "--trajectory").code == 0
    assert graders(team)["demo/trajectory"]["status"] == "pass"
    (team / "new.zip").write_bytes(runs.packed([runs.call("read_file"), runs.call("delete_file"), runs.call("write_file")], run_id="run_2"))
    ran = cli("regress", "run", "--candidate", "demo=new.zip", "--json")
    assert ran.code == 5 and {item["name"] for item in ran.value["failures"]} == {"demo/diff", "demo/trajectory"}
    assert graders(team)["demo/trajectory"]["reason_codes"] == ["tools_out_of_order", "verdicts_out_of_order"]
    assert cli("regress", "run", "--candidate", "demo=run.zip").code == 0
    fixture = team / "fixtures" / "demo"
    (fixture / "candidate.zip").write_bytes((team / "new.zip").read_bytes())
    edit(fixture / "fixture.json", candidate_runpack="candidate.zip")
    assert cli("regress", "run").code == 5
    (fixture / "candidate.zip").write_bytes(b"junk")
    assert cli("regress", "run").code == 5 and graders(team)["demo/diff"]["reason_codes"] == ["candidate_invalid"]
    for word in ("demo", "other=run.zip", "demo="):
        assert cli("regress", "run", "--candidate", word).code == 6


def test_links_and_names_never_leave_the_folder(cli, fixture, team, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("top: secret\n")
    (fixture / "runpack.zip").rename(outside / "runpack.zip")
    os.symlink(outside / "runpack.zip", fixture / "runpack.zip")
    assert cli("regress", "run").code == 5 and graders(team)["demo/fixture"]["reason_codes"] == ["symlink_refused"]
    os.symlink(outside, team / "fixtures" / "linked")
    ran = cli("regress", "init", "--from", "run.zip", "--name", "linked", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "symlink_refused") and sorted(path.name for path in outside.iterdir()) == ["runpack.zip", "secret"]
    (team / "policy.yaml").unlink()
    os.symlink(outside / "secret", team / "policy.yaml")
    ran = cli("regress", "run", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "symlink_refused") and "secret" not in ran.out
    for name in ("../x", "a/b", "..", "A"):
        assert cli("regress", "init", "--from", "run.zip", "--name", name).code == 6
    (team / "gait.yaml").write_text('{"policy": "../../etc/passwd", "fixtures": [{"name": "demo"}]}')
    assert cli("regress", "run").code == 6
    (team / "gait.yaml").write_text('{"fixtures": [{"name": "../demo"}]}')
    assert cli("regress", "run").code == 6


def test_nothing_graded_is_no_pass(cli, team):
    (team / "gait.yaml").write_text("{}")
    assert cli("regress", "run", "--json").value["error_code"] == "no_fixtures"
    (team / "gait.yaml").unlink()
    ran = cli("regress", "run", "--json")
    assert ran.code == 6 and ran.value["hint"] == "make one: gait regress init --from RUN"
    (team / "policy.yaml").unlink()
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "policy_missing")


def test_a_yaml_set_is_read_and_not_rewritten(cli, fixture, team):
    text = "# ours\nfixture_set: nightly\nfixtures:\n  - name: demo\n"
    (team / "gait.yaml").write_text(text)
    assert cli("regress", "run", "--json").value["fixture_set"] == "nightly"
    ran = cli("regress", "init", "--from", "run.zip", "--name", "other", "--json")
    assert (ran.code, ran.value["error_code"]) == (6, "config_not_json") and "name: other" in ran.value["hint"] and (team / "gait.yaml").read_text() == text


def test_options_that_do_not_fit(cli, fixture, team):
    for more in (("--junit", "gait.yaml"), ("--junit", "regress_result.json"), ("--output", "fixtures/demo/fixture.json"), ("--policy", "policy.yaml", "--junit", "policy.yaml")):
        assert cli("regress", "run", *more).code == 6
    assert cli("regress", "init", "--from", ".").code == 6 and "gait run record --journal" in cli("regress", "init", "--from", ".").err
    assert cli("regress", "init", "--from", "nothing").code == 6
    (team / "bad.zip").write_bytes(b"junk")
    assert cli("regress", "init", "--from", "bad.zip").code == 2
    (team / "ops").mkdir()
    (team / "ops" / "p.yaml").write_text(runs.POLICY)
    assert cli("regress", "init", "--from", "run.zip", "--policy", "ops/p.yaml").code == 6  # gait.yaml names another
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--config", "ops/gait.yaml", "--policy", "ops/p.yaml")
    assert ran.code == 0 and json.loads((team / "ops" / "gait.yaml").read_text())["policy"] == "p.yaml"
    (team / "ops" / "p.yaml").write_text(runs.NOW_ALLOWED)
    ran = cli("regress", "run", "--config", "ops/gait.yaml", "--json")
    assert ran.value["next_command"] == "gait policy simulate --policy ops/p.yaml --from ops/fixtures/run_1/runpack.zip"
    ran = cli("regress", "init", "--from", "run.zip", "--config", "ops/gait.yaml", "--policy", "policy.yaml")
    assert ran.code == 6 and "in the folder of gait.yaml" in ran.err


def test_text_of_a_pack_cannot_steer_the_terminal(cli, team):
    (team / "run.zip").write_bytes(runs.packed([{"intent": {"tool_name": "a\x1b[2j\u202eb", "context": {"identity": "x", "workspace": "/", "risk_class": "low"}}}]))
    (team / "policy.yaml").write_text("default_verdict: allow\n")
    ran = cli("regress", "bootstrap", "--from", "run.zip", "--junit", "junit.xml")
    assert ran.code == 5 and "\x1b" not in ran.out and "\u202e" not in ran.out and "a\\x1b[2j\\u202eb" in ran.out
    ElementTree.parse(team / "junit.xml")


def test_a_real_process(process, fixture, team):
    assert process("regress", "run", cwd=team).code == 0
    (team / "policy.yaml").write_text(runs.NOW_ALLOWED)
    assert process("regress", "run", cwd=team).code == 5


def test_demo_bootstrap_and_a_changed_word(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("demo", "--json").code == 0 and cli("verify", "run_demo").code == 0
    ran = cli("regress", "bootstrap", "--from", "run_demo")
    assert ran.code == 0 and "wrote policy.yaml, the demo's policy" in ran.out
    text = (tmp_path / "policy.yaml").read_text()
    (tmp_path / "policy.yaml").write_text(text.replace("effect: require_approval", "effect: allow"))
    ran = cli("regress", "run")
    assert ran.code == 5 and "refund_customer" in ran.out
    assert cli("regress", "bootstrap", "--from", "run_demo").code == 5  # the policy that is there stays
