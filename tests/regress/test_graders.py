"""Each grader passes where it must, and fails with a code of its own where it must."""

from __future__ import annotations

import io

import pytest

from gait.regress import graders
from gait.regress.drift import Drifts
from gait.regress.fixture import Fixture, Trajectory
from gait.runpack import diff
from gait.runpack.replay import replay
from gait.runpack.verify import check
from tests.regress import runs

FIXTURE = Fixture("demo", "run_1")


def report(data):
    return check(io.BytesIO(data))


def seen(pack, text=runs.POLICY):
    found = Drifts(runs.compiled(text))
    for step in pack.steps():
        found.see(step)
    return found


def test_a_good_pack_passes():
    pack = runs.pack()
    assert graders.integrity(FIXTURE, pack.report).status == graders.schema_validation(FIXTURE, pack.report).status == "pass"
    pinned = FIXTURE._replace(manifest_digest=pack.report.manifest_digest)
    assert graders.integrity(pinned, pack.report).details["pinned"] is True


def test_another_pack_in_its_place():
    other = report(runs.packed([runs.call("read_file")]))
    graded = graders.integrity(FIXTURE._replace(manifest_digest="0" * 64), other)
    assert graded.reason_codes == ("manifest_pin_mismatch",) and graded.name == "demo/integrity"
    assert graders.integrity(FIXTURE, report(runs.packed(run_id="run_2"))).reason_codes == ("run_id_mismatch",)


def test_a_damaged_pack():
    data = runs.packed()
    graded = graders.integrity(FIXTURE, report(data.replace(b"read_file", b"reed_file", 1)))
    assert {"entry_crc_mismatch", "entry_digest_mismatch"} & set(graded.reason_codes) and graded.details["findings"]
    assert graders.integrity(FIXTURE, report(b"junk")).reason_codes == ("not_an_archive", "run_id_mismatch")


def test_replay_exit_code():
    done, open_ = runs.pack([runs.call("delete_file")]), runs.pack([runs.call("read_file")])  # nobody recorded what became of the read
    assert graders.expected_exit_code(FIXTURE, replay(done.steps())).status == "pass"
    graded = graders.expected_exit_code(FIXTURE, replay(open_.steps()))
    assert graded.reason_codes == ("unexpected_exit_code",) and graded.details["missing_total"] == 1
    expecting = FIXTURE._replace(expected_replay_exit_code=2)
    assert graders.expected_exit_code(expecting, replay(open_.steps())).status == "pass"
    assert graders.expected_exit_code(expecting, replay(done.steps())).status == "fail"


def test_drift_and_what_cannot_be_evaluated():
    assert graders.decision_drift(FIXTURE, seen(runs.pack())).status == "pass"
    graded = graders.decision_drift(FIXTURE, seen(runs.pack(), runs.NOW_ALLOWED))
    assert graded.reason_codes == ("decision_drift",) and graded.summary.startswith("step 2 write_file: verdict require_approval -> allow")
    blind = seen(runs.pack(text=None))
    graded = graders.decision_drift(FIXTURE, blind)
    assert graded.reason_codes == ("not_evaluable",) and "3 of 3 calls cannot be evaluated again: 3 no_decision" in graded.summary
    assert graders.decision_drift(FIXTURE._replace(not_evaluable_allowed=3), blind).status == "pass"
    assert graders.decision_drift(FIXTURE._replace(not_evaluable_allowed=2), blind).status == "fail"


def test_candidate_diff():
    left = diff.facts(runs.pack().steps())
    assert graders.candidate_diff(FIXTURE, left, left).status == "pass"
    other = diff.facts(runs.pack(text=runs.NOW_ALLOWED).steps())
    graded = graders.candidate_diff(FIXTURE, left, other)
    assert graded.reason_codes == ("unexpected_diff",) and "verdict" in graded.details["changed_fields"]
    allowed = FIXTURE._replace(diff_allow_fields=("policy_digest", "reason_codes", "status", "verdict"))
    assert graders.candidate_diff(allowed, left, other).status == "pass"
    fewer = graders.candidate_diff(allowed, left, left[:2])
    assert fewer.status == "fail" and "step 3 delete_file: removed" in fewer.summary


A, B, C = "a", "b", "c"


@pytest.mark.parametrize(
    "order,wanted,got,reason",
    [
        ("exact", (A, B), [A, B], ""),
        ("exact", (), [], ""),
        ("exact", (A, B), [A, C], "tools: expected b as number 2, got c"),
        ("exact", (A, B), [A], "tools: expected b as number 2, got no more"),
        ("exact", (A,), [A, B], "tools: expected no more as number 2, got b"),
        ("subsequence", (A, C), [A, B, C], ""),
        ("subsequence", (), [A], ""),
        ("subsequence", (C, A), [A, B, C], "tools: expected a as number 2 of the subsequence, got none"),
        ("subsequence", (A, A), [A], "tools: expected a as number 2 of the subsequence, got none"),
    ],
)
def test_trajectory(order, wanted, got, reason):
    graded = graders.trajectory(FIXTURE, Trajectory(order, wanted, None), got, ["allow"])
    assert (graded.status, graded.summary) == ("fail" if reason else "pass", reason)
    assert graded.reason_codes == (("tools_out_of_order",) if reason else ())
    verdicts = graders.trajectory(FIXTURE, Trajectory(order, None, wanted), [], got)
    assert verdicts.reason_codes == (("verdicts_out_of_order",) if reason else ())
