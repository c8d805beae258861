"""`gait trace verify` and `show`: every key, every field changed, and documents that are something else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from gait.signing import envelope
from gait.store import keys

QUICKSTART = Path(__file__).resolve().parents[2] / "fixtures" / "quickstart"
CALL = {"name": "read_file", "arguments": {"path": "/etc/shadow"}, "context": {"session_id": "s", "request_id": "r"}}
KEY, OTHER = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (0, 100))


@pytest.fixture
def trace(cli, tmp_path):
    """A signed trace of the dev key with every field that a trace may have."""
    path = tmp_path / "trace.json"
    skill = {"skill_name": "k", "source": "git", "publisher": "p"}
    argv = ("mcp", "proxy", "--policy", QUICKSTART / "policy.yaml", "--call", "-", "--trace-out", path, "--run-id", "run-1")
    assert cli(*argv, stdin={**CALL, "skill_provenance": skill}).code == 3
    return path


def rewritten(path: Path, **changes: object) -> Path:
    record = {**json.loads(path.read_text("utf-8")), **changes}
    changed = path.with_name("changed.json")
    changed.write_text(json.dumps({name: value for name, value in record.items() if value is not None}), "utf-8")
    return changed


def test_verify(cli, trace):
    ran = cli("trace", "verify", trace)
    record = json.loads(trace.read_text())
    key_id = record["signature"]["key_id"]
    assert (ran.code, ran.out) == (0, f"verified  {trace}\nverdict   block\nkey_id    {key_id}\n")
    value = cli("trace", "verify", trace, "--json").value
    assert {name: value[name] for name in ("ok", "trace_id", "verdict", "key_id")} == {"ok": True, "trace_id": record["trace_id"], "verdict": "block", "key_id": key_id}
    assert value["warnings"] == [keys.DEV_WARNING]
    assert cli("trace", "verify", "-", stdin=trace.read_bytes()).out.startswith("verified  standard input\n")
    assert cli("trace", "verify", rewritten(trace)).code == 0  # another layout of the same document


def test_show(cli, trace):
    ran = cli("trace", "show", trace)
    rows = dict(line.split(None, 1) for line in ran.out.splitlines())
    assert ran.code == 0 and list(rows)[0] == "signature" and rows["signature"] == "verified"
    assert rows["verdict"] == "block" and rows["correlation_id"] == "run-1" and rows["context.session_id"] == "s"
    value = cli("trace", "show", trace, "--json").value
    assert value == {"ok": True, "verified": True, "signature": "verified", "trace": json.loads(trace.read_text())}


def changes(value: object) -> object:
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, list):
        return [*value, "more"]
    if isinstance(value, dict):
        return {**value, "more": "more"}
    return value + 1


def test_every_changed_field_is_noticed(cli, trace):
    record = json.loads(trace.read_text())
    assert len(record) == 18
    for name, value in record.items():
        for changed in (changes(value), None):
            ran = cli("trace", "verify", rewritten(trace, **{name: changed}), "--json")
            assert ran.code == 2 and ran.value["error_category"] == "verification_failed", name
            assert ran.value["error_code"] == "digest_mismatch" if name != "signature" else True
    for name in record["signature"]:
        broken = {**record["signature"], name: changes(record["signature"][name])}
        assert cli("trace", "verify", rewritten(trace, signature=broken)).code == 2, name
    assert cli("trace", "verify", rewritten(trace, added="field")).code == 2
    shown = cli("trace", "show", rewritten(trace, verdict="allow"))
    assert shown.code == 0 and shown.out.startswith("signature               NOT VERIFIED: ") or "NOT VERIFIED: expected a document" in shown.out
    assert cli("trace", "show", rewritten(trace, verdict="allow"), "--json").value["verified"] is False


def prod_trace(cli, path, *options):
    argv = ("mcp", "proxy", "--policy", QUICKSTART / "policy.yaml", "--call", "-", "--trace-out", path, "--key-mode", "prod")
    assert cli(*argv, *options, stdin=CALL).code == 3


def test_prod_keys(cli, tmp_path, monkeypatch, home):
    ring, path = tmp_path / "ring.json", tmp_path / "prod.json"
    assert cli("keys", "init", "--path", ring).code == 0
    prod_trace(cli, path, "--private-key", ring)
    by_path = ("--key-mode", "prod", "--private-key", ring)
    ran = cli("trace", "verify", path, *by_path, "--json")
    assert ran.code == 0 and "warnings" not in ran.value
    assert cli("keys", "rotate", "--path", ring).code == 0 and cli("trace", "verify", path, *by_path).code == 0
    monkeypatch.setenv("ONE", KEY)
    monkeypatch.setenv("TWO", OTHER)
    prod_trace(cli, path, "--private-key-env", "ONE")
    assert cli("trace", "verify", path, "--key-mode", "prod", "--private-key-env", "ONE").code == 0
    for wrong in (("--private-key-env", "TWO"), ("--private-key", ring)):
        ran = cli("trace", "verify", path, "--key-mode", "prod", *wrong, "--json")
        assert (ran.code, ran.value["error_code"]) == (2, "key_unknown") and ran.value["error"].startswith(f"{path}: ")
        assert "NOT VERIFIED: signature.key_id" in cli("trace", "show", path, "--key-mode", "prod", *wrong).out
    assert not home.exists()


def test_the_dev_key_of_another_host(cli, trace, monkeypatch, tmp_path):
    monkeypatch.setenv("GAIT_HOME", str(tmp_path / "elsewhere"))
    ran = cli("trace", "verify", trace, "--json")
    assert (ran.code, ran.value["error_code"]) == (7, "key_missing") and "--key-mode prod" in ran.value["hint"]
    assert "NOT VERIFIED: there is no dev key on this host" in cli("trace", "show", trace).out
    assert not (tmp_path / "elsewhere").exists()  # looking makes no key
    assert cli("keys", "init").code == 0 and cli("trace", "verify", trace).code == 2


def test_keys_that_do_not_fit_the_mode(cli, trace):
    for options, code in ((("--key-mode", "prod"), 6), (("--private-key", "x"), 6), (("--private-key-env", "x"), 6), (("--key-mode", "prod", "--private-key", "/nonexistent"), 7)):
        assert cli("trace", "verify", trace, *options).code == code


def signed_by_dev(document: dict, purpose: str = envelope.TRACE) -> str:
    return json.dumps(envelope.sign(document, keys.dev_keyring()[0].active, purpose))


@pytest.mark.parametrize(
    "document,error",
    [
        ({"schema_id": "gait.gate.approval_token", "verdict": "allow", "trace_id": "x"}, "expected a gait.gate.trace, got 'gait.gate.approval_token'"),
        ({"verdict": "allow", "trace_id": "x"}, "expected a gait.gate.trace, got 'None'"),
        ({"schema_id": "gait.gate.trace"}, "trace_id: must be text; got null"),
        ({"schema_id": "gait.gate.trace", "trace_id": "x"}, "verdict: must be text; got null"),
        ({"schema_id": "gait.gate.trace", "trace_id": ["x"], "verdict": "allow"}, "trace_id: must be text; got a list"),
    ],
)
def test_other_documents_of_the_same_key(cli, document, error):
    ran = cli("trace", "verify", "-", "--json", stdin=signed_by_dev(document))
    assert (ran.code, ran.value["error_category"]) == (2, "verification_failed") and error in ran.value["error"]
    assert "NOT VERIFIED" in cli("trace", "show", "-", stdin=signed_by_dev(document)).out


def test_the_same_key_for_another_purpose(cli, trace):
    record = json.loads(trace.read_text())
    del record["signature"]
    ran = cli("trace", "verify", "-", "--json", stdin=signed_by_dev(record, envelope.APPROVAL_TOKEN))
    assert (ran.code, ran.value["error_code"]) == (2, "signature_mismatch")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '{"a": 1, "a": 2}', '{"a": ' + "9" * 5000 + "}"])
def test_what_is_no_trace_at_all(cli, text):
    for verb in ("verify", "show"):
        ran = cli("trace", verb, "-", "--json", stdin=text)
        assert ran.code == 6 and ran.value["error"].startswith("standard input")


def test_unsigned_and_huge(cli, trace, tmp_path):
    ran = cli("trace", "verify", "-", "--json", stdin="{}")
    assert (ran.code, ran.value["error_code"]) == (2, "signature_missing")
    huge = tmp_path / "huge"
    huge.write_bytes(b'"' + b"x" * (32 << 20) + b'"')
    for verb in ("verify", "show"):
        assert cli("trace", verb, huge).code == 6 and cli("trace", verb, tmp_path).code == 6
        assert cli("trace", verb, tmp_path / "missing").code == 6 and cli("trace", verb, "/dev/zero").code == 6


@pytest.mark.parametrize("context", [None, [], "x", {"identity": 1}])
def test_show_of_any_shape(cli, context):
    ran = cli("trace", "show", "-", stdin={"verdict": None, "tool_name": 5, "reason_codes": {"a": 1}, "violations": [1, "b"], "context": context})
    assert ran.code == 0 and "NOT VERIFIED" in ran.out.splitlines()[0]


def test_real_processes(process, trace):
    assert process("trace", "verify", trace).code == 0
    assert process("trace", "verify", rewritten(trace, verdict="allow")).code == 2
    assert process("trace", "verify", trace, env={"GAIT_HOME": os.path.join(os.path.dirname(trace), "none")}).code == 7


# --- traces of the published implementation ------------------------------------------------------

PUBLISHED = Path(__file__).resolve().parents[2] / "fixtures" / "traces" / "published"
TRACES = sorted(path.name for path in PUBLISHED.glob("trace_*.json"))
PUBLIC = ("--public-key", PUBLISHED / "public.key")


@pytest.mark.parametrize("name", TRACES)
def test_published_traces_verify(cli, name):
    record = json.loads((PUBLISHED / name).read_text("utf-8"))
    value = cli("trace", "verify", PUBLISHED / name, *PUBLIC, "--json").value
    about = {"trace_id": record["trace_id"], "verdict": record["verdict"], "key_id": record["signature"]["key_id"]}
    assert value == {"ok": True, **about}
    assert cli("trace", "show", PUBLISHED / name, *PUBLIC, "--json").value["verified"] is True
    assert cli("verify", PUBLISHED / name, *PUBLIC, "--json").value == value


def leaves(value: object, path: tuple = ()):
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def with_leaf(value: object, path: tuple, leaf: object) -> object:
    if not path:
        return leaf
    copy = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    copy[path[0]] = with_leaf(copy[path[0]], path[1:], leaf)
    return copy


@pytest.mark.parametrize("name", TRACES)
def test_no_byte_of_a_value_can_be_changed(cli, tmp_path, name):
    record = json.loads((PUBLISHED / name).read_text("utf-8"))
    path = tmp_path / "changed.json"
    tried = 0
    for place, leaf in leaves(record):
        text = str(leaf)
        for index in sorted({0, len(text) // 2, len(text) - 1}):
            swapped = text[:index] + ("1" if text[index] == "2" else "2") + text[index + 1 :]
            path.write_text(json.dumps(with_leaf(record, place, swapped if isinstance(leaf, str) else float(swapped.replace("2.", "3.")) + 1)))
            assert cli("trace", "verify", path, *PUBLIC).code == 2, (place, swapped)
            tried += 1
    path.write_text(json.dumps(record))
    assert tried > 30 and cli("trace", "verify", path, *PUBLIC).code == 0  # the control: only the layout differs


def test_without_the_public_key_the_hint_names_it(cli, trace):
    ran = cli("trace", "verify", PUBLISHED / TRACES[0])
    assert ran.code == 2 and "--public-key" in ran.err
    ran = cli("trace", "verify", trace, *PUBLIC, "--json")
    assert ran.code == 2 and ran.value["error_code"] == "algorithm_not_supported"
    assert cli("trace", "show", PUBLISHED / TRACES[0], "--json").value["verified"] is False


def test_a_public_key_that_is_none(cli, tmp_path):
    trace = PUBLISHED / TRACES[0]
    bad = tmp_path / "bad.key"
    bad.write_text("a" * 44)
    assert cli("trace", "verify", trace, "--public-key", bad).code == 6
    bad.write_bytes(b"x" * 5000)
    assert cli("trace", "verify", trace, "--public-key", bad).code == 6
    assert cli("trace", "verify", trace, "--public-key", tmp_path / "none").code == 7
    for more in (("--key-mode", "prod", "--private-key", "x"), ("--private-key-env", "X")):
        ran = cli("trace", "verify", trace, *PUBLIC, *more, "--json")
        assert ran.code == 6 and ran.value["error_code"] == "invalid_usage"
