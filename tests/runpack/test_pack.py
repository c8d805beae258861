"""Recording: equal runs give equal bytes, and nothing is in a pack that was not asked for."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile

import pytest

from gait.errors import InvalidInput
from gait.formats import jcs
from gait.runpack import model, pack, redact, verify

from scripts import matrix
from tests.runpack import sample
from tests.runpack.sample import FIXTURES, RING, fixtures

CODE = """
import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])
from scripts import runpack_fixtures as f
import hashlib
print(hashlib.sha256(f.good("", "x", raw=True, key=f.KEY) + f.good("run_1", "y")).hexdigest())
"""


def entries(data: io.BytesIO) -> dict[str, bytes]:
    return fixtures.entries(data.getvalue())


def test_equal_runs_give_equal_bytes():
    assert sample.made(5).getvalue() == sample.made(5).getvalue()


def pythons() -> list[str]:
    """This interpreter, and every other supported one that is here."""
    found = [matrix.find(version) for version in matrix.VERSIONS]
    return [sys.executable, *(str(python) for python in found if python)]


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("seed", ["0", "1"])
def test_every_python_gives_the_same_bytes(python, seed):
    done = subprocess.run([python, "-c", CODE, str(sample.ROOT)], stdout=subprocess.PIPE, text=True, check=True, env={"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"})
    expected = fixtures.good("", "x", raw=True, key=fixtures.KEY) + fixtures.good("run_1", "y")
    assert done.stdout.strip() == hashlib.sha256(expected).hexdigest()


def test_the_id_follows_from_the_content():
    first, same, other = (json.loads(entries(sample.made(count))["manifest.json"])["run_id"] for count in (3, 3, 4))
    assert first == same != other and model.is_run_id(first) and first.startswith("run_") and len(first) == 20


def test_the_documents():
    found = entries(sample.made(2, run_id="run_a", key=RING.active))
    manifest = json.loads(found["manifest.json"])
    assert list(found) == sorted(found) == ["intents.jsonl", "manifest.json", "refs.json", "results.jsonl", "run.json"]
    assert manifest["files"] == [{"path": name, "sha256": hashlib.sha256(found[name]).hexdigest()} for name in sorted(found) if name != "manifest.json"]
    assert set(manifest) == {"schema_id", "schema_version", "created_at", "producer_version", "run_id", "capture_mode", "files", "manifest_digest", "signatures"}
    for name, data in found.items():
        for line in data.splitlines() if name.endswith("l") else [data]:
            assert jcs.dumps(json.loads(line)) == line and json.loads(line)["run_id"] == "run_a"
    run = json.loads(found["run.json"])
    assert [event["event"] for event in run["timeline"]] == ["run_start", "run_finish"]


def test_an_empty_run():
    found = entries(sample.made(0))
    assert found["intents.jsonl"] == found["results.jsonl"] == b"" and sample.findings(sample.made(0)) == []


def test_reference_capture_leaves_out_arguments_results_and_auth_context():
    step = sample.recorded(1)[0]
    context = {**step.intent["context"], "auth_context": {"password": "secret-auth"}}
    data = sample.made([step._replace(intent={**step.intent, "context": context})])
    assert b"secret" not in data.getvalue() and b"hello" not in data.getvalue()
    found = sample.steps(data)[0]
    assert found.intent.args is None and found.result.result is None and found.intent.args_digest == step.args_digest


def test_raw_capture_keeps_them_and_the_manifest_warns():
    data = sample.made(1, raw=True)
    manifest = json.loads(entries(data)["manifest.json"])
    assert manifest["capture_mode"] == "raw" and any("WARNING" in item["path"] for item in manifest["files"])
    step = sample.steps(data)[0]
    assert step.intent.args["token"] == "secret-0" and step.result.result == {"lines": 0, "text": "hello"}


def test_a_recorded_intent_can_be_evaluated_again():
    from gait.gate import intent as intents
    from gait.gate.evaluate import evaluate
    from gait.gate.matching import compile_policy
    from gait.gate.policy import loads

    compiled = compile_policy(loads(fixtures.POLICY, "policy"))
    for raw in (False, True):
        for step in sample.steps(sample.made(3, raw=raw)):
            decision = evaluate(compiled, intents.read(step.intent.request()))
            assert (decision.verdict, decision.matched_rule, decision.reason_codes) == (step.verdict, step.decision.matched_rule, step.decision.reason_codes)
            assert (decision.intent_digest == step.intent.intent_digest) is raw


def test_the_footer():
    out = io.BytesIO()
    packed = pack.Recorder(pack.Head("run_a"), io.BytesIO).finish(out)
    assert packed.footer == f'GAIT run_id=run_a manifest=sha256:{packed.manifest_digest} verify="gait verify run_a"'


def test_copied_steps_stay_as_they_are():
    original = sample.made(4, raw=True, run_id="run_a")
    recorder = pack.Recorder(pack.Head("run_b"), io.BytesIO, raw=True)
    steps = sample.steps(original)
    for step in steps[1:3]:
        recorder.copy(step)
    out = io.BytesIO()
    recorder.finish(out)
    assert [step.intent.value for step in sample.steps(out)] == [{**step.intent.value, "run_id": "run_b"} for step in steps[1:3]]


def test_arguments_cannot_take_the_place_of_the_run_id():
    args = {"run_id": "\0", "a": '"run_id":"\\u0000"', "zz": {"run_id": "\0"}}
    step = sample.recorded(1)[0]._replace(args=args, args_digest=jcs.digest(args), intent=None)
    found = sample.steps(sample.made([step], raw=True, run_id="run_a"))[0].intent
    assert found.args == args and found.value["run_id"] == "run_a"


def test_run_ids_are_checked():
    with pytest.raises(InvalidInput):
        pack.Recorder(pack.Head("../run"), io.BytesIO)


def test_a_step_that_no_pack_can_hold_is_refused(monkeypatch):
    monkeypatch.setattr(pack, "MAX_LINE_BYTES", 2000)
    with pytest.raises(InvalidInput) as caught:
        sample.made([sample.recorded(1)[0]._replace(args={"x": "y" * 3000})], raw=True)
    assert caught.value.error_code == "step_too_large"


@pytest.mark.parametrize("wrong", [{"created_at": "today"}, {"args_digest": "x"}, {"tool_name": ""}, {"result_digest": ""}, {"decision": {"verdict": "maybe"}}, {"intent_id": "x" * 200}])
def test_what_would_not_verify_is_not_recorded(wrong):
    with pytest.raises(InvalidInput):
        sample.made([sample.recorded(1)[0]._replace(**wrong)])


def test_times_of_the_manifest_are_whole_seconds():
    """Gait v1.x prints fractions in another form, and would compute another digest."""
    step = sample.recorded(1)[0]._replace(created_at="2026-02-05T00:00:00.500000Z")
    assert json.loads(entries(sample.made([step]))["manifest.json"])["created_at"] == "2026-02-05T00:00:00Z"


def test_other_programs_unpack_it(tmp_path):
    with zipfile.ZipFile(FIXTURES / "good.zip") as archive:
        archive.extractall(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


# --- redaction


def redaction(*words: str) -> redact.Redaction:
    return redact.read(list(words), b"s" * 32)


def test_redacted_values_are_gone_and_listed():
    data = sample.made(2, raw=True, redaction=redaction("key=TOKEN", "pattern=^/srv/1$"))
    assert sample.findings(data) == [] and b"secret-" not in data.getvalue() and b'"/srv/1"' not in data.getvalue()
    steps = sample.steps(data)
    assert steps[0].intent.redactions == ("args.token",) and steps[1].intent.redactions == ("args.path", "args.token", "intent.targets[0].value")
    assert steps[0].intent.request() is not None and "args" not in steps[0].intent.request()
    assert steps[1].intent.request() is None  # another target would be evaluated


def test_a_redacted_value_is_proved_by_its_own_salt():
    data = sample.made(1, raw=True, redaction=redaction("key=token"))
    found = redact.marks(sample.steps(data)[0].intent.args, "args")
    own = redact.value_salt(b"s" * 32, "intent_1", "args.token")
    assert found == {"args.token": redact.mark("secret-0", own)}
    assert redact.mark("secret-1", own) not in found.values()


def test_equal_values_have_different_digests():
    steps = sample.recorded(1) * 2
    data = sample.made(steps, raw=True, redaction=redaction("key=token"))
    first, second = (step.intent.args["token"] for step in sample.steps(data))
    assert first != second


def test_whole_members_and_results_are_redacted():
    step = sample.recorded(1)[0]
    result = {"deep": [{"Secret": {"a": 1}}, "card 1234"]}
    step = step._replace(result=result, result_digest=jcs.digest(result))
    found = sample.steps(sample.made([step], raw=True, redaction=redaction("key=secret", "pattern=[0-9]{4}")))[0].result
    assert found.redactions == ("result.deep[0].Secret", "result.deep[1]")
    assert all(text.startswith("redacted:sha256:") for text in redact.marks(found.result, "result").values())


def test_receipts_are_redacted():
    receipt = {**fixtures.RECEIPT, "retrieval_params": {"token": "abc"}}
    data = sample.made(0, receipts=(receipt,), redaction=redaction("key=token"))
    assert b'"abc"' not in data.getvalue() and sample.findings(data) == []
    assert verify.load(data).refs["redactions"] == ["refs.receipts[0].retrieval_params.token"]


@pytest.mark.parametrize("word", ["token", "key=", "pattern=", "pattern=(", "name=x"])
def test_words_of_redaction(word):
    with pytest.raises(InvalidInput):
        redaction(word)
