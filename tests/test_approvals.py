"""Approvals at every entry point: which token lets which call run, exactly once, and the reason code of each that does not."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gait.cli import main
from gait.cli.mcp_gate import EngineGate
from gait.formats import timestamps
from gait.gate import approval_grants, approval_tokens
from gait.gate.approval_fields import Approver
from gait.gate.approval_grants import Grant, read_constraint
from gait.gate.approval_tokens import Token
from gait.hosts import decision as hosts
from gait.hosts.hook import HOSTS, answer
from gait.hosts.options import Options
from gait.mcp.effects import ToolCall
from gait.service.api import Api, Rules, State
from gait.service.engine import Engine, Outputs
from gait.service.ledger import Ledger
from gait.service.loaded import load
from gait.signing import envelope
from gait.signing.keys import Keyring, make
from gait.store import allowances, keys, stops
from gait.store.allowances import Allowances
from gait.store.approvals import Approvals, load_approvers
from gait.store.journal.append import Journal
from gait.system.http_request import Head, Request

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_790_000_000
KEY = make(bytes(range(32)))
OTHER_KEY = make(bytes(range(1, 33)))
TRACE_KEY = make(bytes(range(2, 34)))
POLICY = """\
default_verdict: block
rules:
  - name: pay
    effect: require_approval
    match: {tool_names: [pay, refund]}
  - name: pay-two
    effect: require_approval
    min_approvals: 2
    match: {tool_names: [pay_two]}
  - name: any-two
    effect: require_approval
    priority: -1
    min_approvals: 2
    match: {tool_names: [send], destination_kinds: [url]}
    dataflow: {tainted_sources: [external]}
"""
IDS = itertools.count()


@pytest.fixture(autouse=True)
def setup(monkeypatch, tmp_path):
    """A clock that stands still, a policy, an approver's ring and a place for the journal."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    write_ring(tmp_path / "approval.json", KEY)


def write_ring(path, key, purpose="approval"):
    path.write_text(json.dumps(Keyring(purpose, key).to_value()), "utf-8")
    path.chmod(0o600)


def store():
    return Approvals(os.path.join(keys.home(), "approvals"))


# --- the entry points ----------------------------------------------------------------------------


class CommandLine:
    """`gait gate eval` and `gait mcp proxy`; tokens are files."""

    takes_tokens = True

    def __init__(self, words, option, shape):
        self._words, self._option, self._shape = words, option, shape

    def ask(self, args, tool="pay", tokens=(), policy="policy.yaml"):
        words = [*self._words, "--policy", policy, "--approval-key", "approval.json", "--json"]
        for token in tokens:
            path = f"token-{next(IDS)}.json"
            Path(path).write_text(json.dumps(token), "utf-8")
            words += ["--approval-token", path]
        Path("call.json").write_text(json.dumps(self._shape(tool, args)), "utf-8")
        output, sys.stdout = sys.stdout, io.StringIO()
        try:
            main([*words, self._option, "call.json"])
            return json.loads(sys.stdout.getvalue())
        finally:
            sys.stdout = output

    def close(self):
        pass


class Served:
    """The decision API; tokens are in the body or the header."""

    takes_tokens = True

    def __init__(self, in_header):
        self._in_header = in_header
        ring = keys.dev_keyring()[0]
        self.allowances = Allowances(keys.home(), lambda: ring, lambda: load_approvers(["approval.json"], []))
        self.journal = Journal.open(os.path.abspath("journal"), "serve", ring)
        self.journal.__enter__()
        self.engines = {}

    def engine(self, policy):
        if policy not in self.engines:
            self.engines[policy] = Engine(policy, load(policy), Ledger(self.journal), Outputs(), self.allowances)
        return self.engines[policy]

    def ask(self, args, tool="pay", tokens=(), policy="policy.yaml"):
        api = Api(self.engine(policy), Rules({"identity": "alice", "workspace": "/w", "risk_class": "high"}), State(lambda: 0, lambda: False, lambda: 0))
        body, headers = {"call": {"name": tool, "arguments": args}}, {"content-type": "application/json"}
        if self._in_header and tokens:
            headers["gait-approval-token"] = ", ".join(base64.b64encode(json.dumps(token).encode()).decode() for token in tokens)
        elif tokens:
            body["approval_tokens"] = list(tokens)
        answer = api.handle(Request("POST", "/v1/evaluate", "/v1/evaluate", "", headers, json.dumps(body).encode()))
        return json.loads(answer.body)

    def close(self):
        self.journal.close()


class Gateway(Served):
    """What `gait mcp wrap` and the MCP gateway decide by; tokens are in the store, found when the same call comes again."""

    takes_tokens = False

    def ask(self, args, tool="pay", tokens=(), policy="policy.yaml"):
        place_where_looked_for(self, args, tool, tokens, policy)
        gate = EngineGate(self.engine(policy), "", {"identity": "alice", "workspace": "/w", "risk_class": "high"})
        value = {"jsonrpc": "2.0", "id": next(IDS), "method": "tools/call", "params": {"name": tool, "arguments": args}}
        ruling = gate.decide(ToolCall(json.dumps(value).encode(), value, "", ""))
        return ruling._asdict()


class Hook:
    """`gait hook claude-code`; each try has an id of its own, and tokens are in the store."""

    takes_tokens = False

    def ask(self, args, tool="pay", tokens=(), policy="policy.yaml"):
        place_where_looked_for(self, args, tool, tokens, policy)
        event = {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": args, "tool_use_id": f"toolu_{next(IDS)}", "session_id": "s"}
        options = Options(HOSTS["claude-code"], policy=policy, approval_key="approval.json", identity="alice", journal=os.path.abspath("hooks"))
        return dict(hosts.decide(options, json.dumps(event).encode(), event).value)

    def close(self):
        pass


def place_where_looked_for(entry, args, tool, tokens, policy):
    """As somebody could who may write to the store, whatever the tokens are for."""
    if tokens:
        folder = Path(store().folder, "tokens", digests(entry, args, tool, policy)[0])
        folder.mkdir(parents=True, exist_ok=True)
        for token in tokens:
            (folder / f"{next(IDS):024x}.json").write_text(json.dumps(token), "utf-8")


def digests(entry, args, tool="pay", policy="policy.yaml"):
    """What a refusal tells the person who is asked to approve."""
    value = entry.ask(args, tool, (), policy)
    return value.get("approval_digest", value["intent_digest"]), value["policy_digest"]


CONTEXT = {"identity": "alice", "workspace": "/w", "risk_class": "high"}
ENTRIES = {
    "gate eval": lambda: CommandLine(["gate", "eval"], "--intent", lambda tool, args: {"tool_name": tool, "args": args, "context": CONTEXT}),
    "mcp proxy": lambda: CommandLine(["mcp", "proxy", "--identity", "alice"], "--call", lambda tool, args: {"name": tool, "arguments": args}),
    "serve, body": lambda: Served(False),
    "serve, header": lambda: Served(True),
    "gateway and wrap": lambda: Gateway(False),
    "hook": lambda: Hook(),
}


@pytest.fixture(params=ENTRIES)
def entry(request):
    made = ENTRIES[request.param]()
    yield made
    made.close()


# --- the matrix ----------------------------------------------------------------------------------

ARGS = {"amount": 5, "to": "x"}


def token_for(intent_digest, policy_digest, **other):
    start = other.pop("start", NOW)
    fields = {
        **{"token_id": f"{next(IDS):024x}", "approver_identity": "bob", "reason_code": "ticket", "intent_digest": intent_digest},
        **{"policy_digest": policy_digest, "scope": ("tool:pay",), "created_at": timestamps.dumps(NOW)},
        **{"not_before": timestamps.dumps(start), "expires_at": timestamps.dumps(start + 900), **other},
    }
    return Token(**fields)


def edited(document, **fields):
    return {**document, **fields}


def without(document, name):
    return {key: field for key, field in document.items() if key != name}


# What is done to a good token -> the reason code; empty when it stays good.
CASES = {
    "good": (lambda entry, token: approval_tokens.sign(token, KEY), ""),
    "other args": (lambda entry, token: approval_tokens.sign(token._replace(intent_digest=digests(entry, {**ARGS, "amount": 6})[0]), KEY), "intent_mismatch"),
    "other tool": (lambda entry, token: approval_tokens.sign(token._replace(intent_digest=digests(entry, ARGS, "refund")[0]), KEY), "intent_mismatch"),
    "other policy": (lambda entry, token: approval_tokens.sign(token._replace(policy_digest="0" * 64), KEY), "policy_mismatch"),
    "expired": (lambda entry, token: approval_tokens.sign(token._replace(not_before=at(-900), expires_at=at(0)), KEY), "expired"),
    "still good": (lambda entry, token: approval_tokens.sign(token._replace(not_before=at(-900), expires_at=at(1)), KEY), ""),
    "not yet valid": (lambda entry, token: approval_tokens.sign(token._replace(not_before=at(3600), expires_at=at(7200)), KEY), "not_yet_valid"),
    "a clock that is ahead": (lambda entry, token: approval_tokens.sign(token._replace(not_before=at(60)), KEY), ""),
    "a clock that is too far ahead": (lambda entry, token: approval_tokens.sign(token._replace(not_before=at(61)), KEY), "not_yet_valid"),
    "other scope": (lambda entry, token: approval_tokens.sign(token._replace(scope=("tool:refund", "pa")), KEY), "scope_mismatch"),
    "scope without tool:": (lambda entry, token: approval_tokens.sign(token._replace(scope=("PAY",)), KEY), ""),
    "other approver's key": (lambda entry, token: approval_tokens.sign(token, OTHER_KEY), "signature_invalid"),
    "the trace key": (lambda entry, token: approval_tokens.sign(token, keys.dev_keyring()[0].active), "signature_invalid"),
    "wrong purpose": (lambda entry, token: envelope.sign(token.to_value(), KEY, envelope.APPROVAL_GRANT), "signature_invalid"),
    "a trace's signature": (lambda entry, token: envelope.sign(token.to_value(), KEY, envelope.TRACE), "signature_invalid"),
    "unsigned": (lambda entry, token: token.to_value(), "signature_missing"),
    "the requester's own": (lambda entry, token: approval_tokens.sign(token._replace(approver_identity=" Alice"), KEY), "self_approved"),
    "not a token": (lambda entry, token: {"token": 1}, "invalid"),
    "an unknown member": (lambda entry, token: envelope.sign({**token.to_value(), "uses": 5}, KEY, envelope.APPROVAL_TOKEN), "invalid"),
    "a member missing": (lambda entry, token: envelope.sign(without(token.to_value(), "scope"), KEY, envelope.APPROVAL_TOKEN), "invalid"),
    "later than it may be": (lambda entry, token: envelope.sign({**token.to_value(), "expires_at": at(31 * 86400)}, KEY, envelope.APPROVAL_TOKEN), "invalid"),
    "a grant": (lambda entry, token: approval_grants.sign(grant_for("alice"), KEY), "invalid"),
    "revoked": (lambda entry, token: revoked(approval_tokens.sign(token, KEY)), "revoked"),
}  # fmt: skip


def at(seconds):
    return timestamps.dumps(NOW + seconds)


def revoked(document):
    store().revoke(document["token_id"], "carol", "mistake")
    return document


@pytest.mark.parametrize("case", CASES)
def test_the_matrix(entry, case):
    make_document, code = CASES[case]
    if case == "the trace key":
        keys.dev_keyring()
    document = make_document(entry, token_for(*digests(entry, ARGS)))
    first = entry.ask(ARGS, tokens=[document])
    if not code:
        assert (first["verdict"], tuple(first["reason_codes"])) == ("allow", ("approval_granted", "matched_rule_pay"))
        second = entry.ask(ARGS, tokens=[document] if entry.takes_tokens else [])
        assert (second["verdict"], tuple(second["reason_codes"])) == ("require_approval", ("approval_token_used", "matched_rule_pay"))
        return
    assert (first["verdict"], tuple(first["reason_codes"])) == ("require_approval", (f"approval_token_{code}", "matched_rule_pay"))
    assert tuple(first["violations"]) == ("approval_not_granted",)


EDITS = {
    **{"token_id": "f" * 24, "approver_identity": "carol", "reason_code": "other", "intent_digest": "a" * 64, "policy_digest": "b" * 64},
    **{"scope": ["tool:pay", "tool:refund"], "expires_at": at(9000), "not_before": at(-1), "max_uses": 1000, "created_at": at(1), "producer_version": "9"},
}


def test_an_edited_member_is_no_signature(entry):
    document = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)
    assert set(EDITS) == set(document) - {"schema_id", "schema_version", "signature"}
    for name, value in EDITS.items():
        assert document[name] != value
        said = entry.ask(ARGS, tokens=[edited(document, **{name: value})])
        assert (said["verdict"], tuple(said["reason_codes"])) == ("require_approval", ("approval_token_signature_invalid", "matched_rule_pay")), name
    assert entry.ask(ARGS, tokens=[document])["verdict"] == "allow"


def test_an_honest_retry_passes_and_what_follows_does_not(entry):
    """As it happens: refused, approved into the store, made again, and again; another call is helped by none of it."""
    assert entry.ask(ARGS)["verdict"] == "require_approval"
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY))
    assert entry.ask({**ARGS, "amount": 6})["reason_codes"][0] == "approval_token_missing"
    assert entry.ask(ARGS, "refund")["reason_codes"][0] == "approval_token_missing"
    assert entry.ask(ARGS)["verdict"] == "allow"
    assert entry.ask(ARGS)["reason_codes"][0] == "approval_token_used"


def test_another_policy_in_force_takes_an_approval_away(entry, tmp_path):
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY))
    (tmp_path / "other.yaml").write_text(POLICY + "    reason_codes: [new]\n", "utf-8")
    assert entry.ask(ARGS, policy="other.yaml")["reason_codes"][0] == "approval_token_policy_mismatch"
    assert entry.ask(ARGS)["verdict"] == "allow"


def test_a_token_may_be_made_for_more_than_one_use(entry):
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS), max_uses=3), KEY))
    assert [entry.ask(ARGS)["verdict"] for _ in range(5)] == ["allow"] * 3 + ["require_approval"] * 2


@pytest.mark.parametrize(
    "approvers, code",
    [
        (("bob", "carol"), ""),
        (("bob",), "approval_chain_insufficient"),
        (("bob", "BOB "), "approval_distinct_approvers_required"),
        (("jos\u00e9", "JOSE\u0301"), "approval_distinct_approvers_required"),
        (("bob", "bob", "carol"), ""),
        (("bob", "alice"), "approval_chain_insufficient"),
    ],
)
def test_a_chain(entry, approvers, code):
    digest, policy_digest = digests(entry, ARGS, "pay_two")
    documents = [approval_tokens.sign(token_for(digest, policy_digest, approver_identity=name, scope=("tool:pay_two",)), KEY) for name in approvers]
    value = entry.ask(ARGS, "pay_two", documents)
    assert value["verdict"] == ("require_approval" if code else "allow") and (code or "approval_granted") in value["reason_codes"]
    assert value["required_approvals"] == 2


def test_one_token_twice_is_one_approval(entry):
    digest, policy_digest = digests(entry, ARGS, "pay_two")
    document = approval_tokens.sign(token_for(digest, policy_digest, scope=("tool:pay_two",)), KEY)
    assert "approval_chain_insufficient" in entry.ask(ARGS, "pay_two", [document, document])["reason_codes"]


# --- standing grants -----------------------------------------------------------------------------


def grant_for(caller, **other):
    fields = {
        **{"grant_id": f"{next(IDS):024x}", "approver_identity": "bob", "reason_code": "small", "tool_name": "pay", "identity": caller},
        **{"arg_constraints": (read_constraint("amount<=10"),), "policy_digest": "", "created_at": at(0), "not_before": at(0), "expires_at": at(3600)},
        **{"max_uses": 2, **other},
    }
    return Grant(**fields)


@pytest.mark.parametrize(
    "other, code",
    [
        ({}, ""),
        ({"identity": "mallory"}, "approval_token_missing"),
        ({"tool_name": "refund"}, "approval_token_missing"),
        ({"arg_constraints": (read_constraint("amount<=4"),)}, "approval_grant_missing_here"),
        ({"not_before": at(-3600), "expires_at": at(0)}, "approval_grant_expired"),
        ({"not_before": at(120)}, "approval_grant_not_yet_valid"),
        ({"policy_digest": "0" * 64}, "approval_grant_policy_mismatch"),
        ({"approver_identity": "ALICE"}, "approval_grant_self_approved"),
    ],
)
def test_a_grant(entry, other, code):
    store().save_grant(approval_grants.sign(grant_for("alice", **other), KEY))
    first = entry.ask(ARGS)
    if not code:
        assert (first["verdict"], tuple(first["reason_codes"])) == ("allow", ("approval_granted", "approval_standing_grant", "matched_rule_pay"))
        assert [entry.ask({"amount": 7})["verdict"], entry.ask(ARGS)["reason_codes"][0]] == ["allow", "approval_grant_used"]
        return
    assert first["verdict"] == "require_approval" and not {"approval_granted"}.intersection(first["reason_codes"])
    assert first["reason_codes"][0] == ("approval_token_missing" if code == "approval_grant_missing_here" else code)


def test_a_grant_is_not_for_what_dataflow_asks_about(tmp_path):
    entry = ENTRIES["gate eval"]()
    (tmp_path / "policy.yaml").write_text(
        "rules: [{name: r, effect: require_approval, match: {tool_names: [pay]}, dataflow: {action: require_approval, enabled: true}}]", "utf-8"
    )
    store().save_grant(approval_grants.sign(grant_for("alice", max_uses=9), KEY))
    assert entry.ask(ARGS)["verdict"] == "allow"  # nothing tainted
    url = {"kind": "url", "value": "https://x.example/", "operation": "post"}
    tainted = {"targets": [url], "arg_provenance": [{"arg_path": "to", "source": "external"}]}
    entry._shape = lambda tool, args: {"tool_name": tool, "args": args, "context": CONTEXT, **tainted}
    assert "approval_grant_not_exact" in entry.ask(ARGS)["reason_codes"]
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY))
    assert entry.ask(ARGS)["verdict"] == "allow"


# --- keys ----------------------------------------------------------------------------------------


def test_a_named_approver_speaks_only_in_that_name(tmp_path):
    entry = Served(False)
    write_ring(tmp_path / "carol.json", OTHER_KEY)
    entry.allowances._approvers = lambda: load_approvers(["bob=approval.json", "carol=carol.json"], [])
    digest, policy_digest = digests(entry, ARGS, "pay_two")
    bob, carol = (token_for(digest, policy_digest, approver_identity=name, scope=("pay_two",)) for name in ("bob", "carol"))
    forged = entry.ask(ARGS, "pay_two", [approval_tokens.sign(bob, KEY), approval_tokens.sign(carol, KEY)])
    assert forged["reason_codes"] == ["approval_chain_insufficient", "approval_token_approver_mismatch", "matched_rule_pay_two"]
    assert entry.ask(ARGS, "pay_two", [approval_tokens.sign(bob, KEY), approval_tokens.sign(carol, OTHER_KEY)])["verdict"] == "allow"
    entry.close()


def test_without_a_key_nothing_that_is_offered_is_believed():
    entry = Served(False)
    entry.allowances._approvers = lambda: ()
    document = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)
    assert entry.ask(ARGS, tokens=[document])["reason_codes"] == ["approval_key_missing", "matched_rule_pay"]
    entry.allowances._approvers = lambda: load_approvers(["nothing.json"], [])
    assert entry.ask(ARGS, tokens=[document])["verdict"] == "block"
    assert entry.ask(ARGS)["reason_codes"] == ["approval_key_unusable", "matched_rule_pay"]
    entry.close()


@pytest.mark.parametrize("purpose, code", [("trace", "key_purpose_mismatch"), ("bare", "purpose_required")])
def test_only_a_ring_that_was_made_for_approvals_is_one(tmp_path, purpose, code):
    path = tmp_path / "ring.json"
    write_ring(path, KEY, purpose) if purpose == "trace" else path.write_text(base64.b64encode(KEY.secret).decode())
    path.chmod(0o600)
    with pytest.raises(Exception) as caught:
        load_approvers([str(path)], [])
    assert caught.value.error_code == code
    assert main(["approve", "--intent-digest", "a" * 64, "--policy-digest", "b" * 64, "--scope", "pay", "--approver", "bob", "--reason-code", "x", "--approval-key", str(path)]) == 6


# --- the record ----------------------------------------------------------------------------------


def test_the_signed_record_says_who_approved_and_repeats_nothing_that_nobody_vouches_for(entry):
    secret = {"token": "s3cr3t-that-somebody-sent"}
    good = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)
    value = entry.ask(ARGS, tokens=[secret, good])
    assert value["verdict"] == "allow"
    records = list(all_records())
    assert "s3cr3t" not in json.dumps(records)
    record = next(record for record in records if record.get("approval_token_ref"))
    assert record["approval_token_ref"] == good["token_id"] and record["verdict"] == "allow"
    audit = record["approval_audit"]
    assert (audit["schema_id"], audit["required_approvals"], audit["valid_approvals"], audit["approved"]) == ("gait.gate.approval_audit_record", 1, 1, True)
    assert audit["approvers"] == ["bob"] and sorted(entry["valid"] for entry in audit["entries"]) == [False, True]


def all_records():
    home = Path(keys.home())
    for path in (*Path().rglob("*.jsonl"), *home.rglob("*.jsonl")):
        yield from map(json.loads, path.read_text("utf-8").splitlines())
    for path in home.rglob("trace_*.json"):
        yield json.loads(path.read_text("utf-8"))


def test_what_a_hook_is_told_names_what_a_person_has_to_run():
    entry = Hook()
    value = entry.ask(ARGS)
    assert value["approval_digest"] != value["intent_digest"]
    said = answer(HOSTS["claude-code"], {}, value)
    assert f"gait approve --intent-digest {value['approval_digest']} --policy-digest {value['policy_digest']} --scope tool:pay" in said


# --- races ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["s", "\\u0073"])
def test_who_offers_tokens_is_given_a_thread_however_their_name_is_written(letter):
    """They are used up in the turn of other processes, for which the desk that serves all clients must not wait."""
    served = Served(False)
    api = Api(served.engine("policy.yaml"), Rules(CONTEXT), State(lambda: 0, lambda: False, lambda: 0))
    head = Head("POST", "/v1/evaluate", {"content-type": "application/json"}, 1, 0, True, False)
    call = b'{"call": {"name": "pay", "arguments": {"to": "x"}}'
    body = call + f', "approval_token{letter}": [{{"not": "one"}}]}}'.encode()
    answer = json.loads(api.handle(Request("POST", "/v1/evaluate", "/v1/evaluate", "", head.headers, body)).body)
    assert "approval_token_invalid" in answer["reason_codes"]  # the control: it is read as a list of tokens
    assert api.is_quick(head, call + b"}") and not api.is_quick(head, body)
    served.close()


def test_sixteen_threads_and_one_token():
    entry = Served(False)
    document = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)
    barrier, verdicts = threading.Barrier(16), []

    def ask():
        barrier.wait()
        verdicts.append(entry.ask(ARGS, tokens=[document])["verdict"])

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == ["allow"] + ["require_approval"] * 15
    entry.close()


def test_eight_processes_and_one_token(tmp_path):
    entry = ENTRIES["gate eval"]()
    document = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)
    Path("token.json").write_text(json.dumps(document), "utf-8")
    words = [sys.executable, "-I", str(ROOT / "gait.py"), "gate", "eval", "--policy", "policy.yaml", "--intent", "call.json", "--json"]
    words += ["--approval-key", "approval.json", "--approval-token", "token.json"]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(8)]
    answers = [(process.communicate()[0], process.returncode) for process in running]
    assert sorted(code for _, code in answers) == [0] + [4] * 7
    assert sum(json.loads(said)["reason_codes"] == ["approval_token_used", "matched_rule_pay"] for said, _ in answers) == 7


def test_a_store_that_cannot_be_used_blocks(entry):
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY))
    Path(keys.home(), "counters").write_text("in the way")
    value = entry.ask(ARGS)
    assert (value["verdict"], "approval_store_unavailable" in value["reason_codes"]) == ("block", True)
    Path(keys.home(), "counters").unlink()
    assert entry.ask(ARGS)["verdict"] == "allow"


def test_a_decision_that_cannot_be_recorded_has_used_its_token(monkeypatch):
    """A crash between the two may lose an approval; it never gives one twice."""
    entry = Served(False)
    document = approval_tokens.sign(token_for(*digests(entry, ARGS)), KEY)

    def fail(record):
        raise OSError("no space")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(entry.engine("policy.yaml").ledger.journal, "append", fail)
        entry.ask(ARGS, tokens=[document])
    assert entry.ask(ARGS, tokens=[document])["reason_codes"][0] == "approval_token_used"
    entry.close()


def test_a_clock_that_is_set_back_revives_nothing(entry, monkeypatch):
    store().save_token(approval_tokens.sign(token_for(*digests(entry, ARGS), max_uses=5), KEY))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW + 800))
    assert entry.ask(ARGS)["verdict"] == "allow"
    late = approval_tokens.sign(token_for(*digests(entry, {"amount": 1}), start=NOW - 400), KEY)
    store().save_token(late)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    assert entry.ask({"amount": 1})["reason_codes"][0] == "approval_token_expired"


# --- with limits ---------------------------------------------------------------------------------


def test_an_approval_is_not_used_by_a_call_that_a_limit_blocks(entry, monkeypatch, tmp_path):
    (tmp_path / "policy.yaml").write_text(
        "rules: [{name: r, effect: require_approval, match: {tool_names: [pay]}, rate_limit: {requests: 1, window: minute}}]", "utf-8"
    )
    for number in (1, 2):
        store().save_token(approval_tokens.sign(token_for(*digests(entry, {"n": number})), KEY))
    assert entry.ask({"n": 1})["verdict"] == "allow"
    blocked = entry.ask({"n": 2})
    assert (blocked["verdict"], tuple(blocked["reason_codes"])) == ("block", ("approval_granted", "matched_rule_r", "rate_limit_exceeded"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW + 60))
    assert [entry.ask({"n": 2})["verdict"] for _ in range(2)] == ["allow", "require_approval"]


# --- start-up ------------------------------------------------------------------------------------


def test_without_a_key_or_a_stop_nothing_of_either_is_loaded(tmp_path):
    """Most calls need neither; a process starts for each of them."""
    Path("call.json").write_text(json.dumps({"tool_name": "pay", "args": ARGS, "context": CONTEXT}), "utf-8")
    code = "import sys; sys.path.append(sys.argv[1]); from gait.cli import main; main(sys.argv[2:]); print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-I", "-c", code, str(ROOT), "gate", "eval", "--policy", "policy.yaml", "--intent", "call.json"]
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}  # coverage has an sqlite3 of its own
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    loaded = set(done.stderr.split())
    assert "gait.store.allowances" in loaded and "require_approval" in done.stdout
    assert not loaded & {"gait.store.stops", "gait.store.offers", "gait.gate.approvals", "gait.store.counters", "sqlite3"}
    assert allowances._STOPS == (stops.FOLDER, stops.FOLDER + stops._USED)
