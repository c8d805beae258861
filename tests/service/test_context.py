"""What a caller says about itself decides nothing unless the operator says so; and it writes where the operator lets it."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from tests.registry import sample
from tests.service.running import ALLOWED, BLOCKED, gait, records

POLICY = """\
default_verdict: block
fail_closed: {enabled: true, risk_classes: [critical], required_fields: [arg_provenance]}
rules:
  - {name: low, priority: 1, effect: allow, match: {risk_classes: [low]}}
  - {name: admin, priority: 2, effect: allow, match: {identities: [admin]}}
  - {name: safe, priority: 3, effect: allow, match: {workspace_prefixes: [/safe]}}
"""
CLAIM = {"identity": "admin", "workspace": "/safe", "risk_class": "low"}
READ = {"name": "read_file", "arguments": {"path": "/x"}}
HOOK = {"hook_event_name": "PreToolUse", "tool_name": "Read", "tool_input": {"file_path": "/x"}, "cwd": "/safe", "session_id": "s"}
# How a caller may try: the name -> a request in which `claim` is said.
WAYS = {
    "the request's context": lambda claim: {"context": claim, "call": READ},
    "the call's context": lambda claim: {"call": {**READ, "context": claim}},
    "both": lambda claim: {"context": claim, "call": {**READ, "context": claim}},
    "JSON-RPC": lambda claim: {
        "call": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_file", "arguments": {"path": "/x"}}, "context": claim}
    },
    "params": lambda claim: {
        "call": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_file", "arguments": {"path": "/x"}, "context": claim}}
    },
    "_meta": lambda claim: {
        "call": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "read_file", "arguments": {"path": "/x"}, "_meta": {"context": claim}}}
    },
    "openclaw": lambda claim: {"adapter": "openclaw", "call": {"toolName": "read", "params": {"path": "/x"}, "context": claim}},
    "gastown": lambda claim: {"adapter": "gastown", "call": {"toolName": "bash", "toolArgs": '{"command": "ls"}', "context": claim}},
    "a hook's context": lambda claim: {"adapter": "claude_code", "call": {**HOOK, "context": claim}},
    "arguments": lambda claim: {"call": {"name": "read_file", "arguments": {"path": "/x", "context": claim, **claim}}},
    "top level": lambda claim: {"call": {**READ, **claim}},
    "auth_context": lambda claim: {"context": {"auth_context": claim}, "call": READ},
    "spelling": lambda claim: {"context": {name.upper(): text for name, text in claim.items()}, "call": READ},
    "white space": lambda claim: {"context": {f" {name} ": text for name, text in claim.items()}, "call": READ},
}


@pytest.mark.parametrize("risk", ["low", "medium", "critical"])
def test_no_claim_decides_anything(risk, serve):
    server = serve("--risk-class", "high" if risk != "critical" else risk, "--identity", "bot", "--workspace", "/w", policy=POLICY)
    with server.client() as client:
        for name, way in WAYS.items():
            claim = {**CLAIM, "risk_class": risk}
            answer = client.post(way(claim))
            assert answer.status in (200, 400), name
            assert answer.value.get("verdict", "block") == "block", name
            if answer.status == 200:
                context = records(server.journal)[-1]["context"]
                assert (context["identity"], context["workspace"]) == ("bot", "/w"), name
                assert context["risk_class"] == ("critical" if risk == "critical" else "high"), name
            if name in ("the request's context", "the call's context"):
                assert answer.value["warnings"] == [
                    "context: identity, risk_class, workspace ignored; the operator decides it, or names it in --trust-context"
                ]


def test_a_claimed_package_is_not_a_verified_one(serve, tmp_path):
    policy = "rules: [{name: ours, effect: allow, match: {skill_publishers: [acme], skill_trust: [verified]}}]\ndefault_verdict: block\n"
    package = sample.folder(tmp_path / "package", sample.signed(sample.skill()))
    claim = {"skill_name": "s", "source": "git", "publisher": "acme", "trust": "verified"}
    said = {"call": {**READ, "skill_provenance": claim}}
    (tmp_path / "bare").mkdir()
    with serve(policy=policy, folder=tmp_path / "bare").client() as client:
        assert client.post(said).value["verdict"] == client.post({"call": READ}).value["verdict"] == "block"
    server = serve("--skill", package, "--skill-private-key", sample.ring_file(tmp_path / "ring.json"), policy=policy)
    with server.client() as client:
        assert client.post(said).value["verdict"] == client.post({"call": READ}).value["verdict"] == "allow"
        assert records(server.journal)[-1]["skill_provenance"]["trust"] == "verified"
        (package / "SKILL.md").write_text("changed while it runs")
        assert client.post(said).value["reason_codes"] == ["skill_unverified"]
        (package / "SKILL.md").write_bytes(sample.FILES["SKILL.md"])
        assert client.post(said).value["verdict"] == "allow"


def test_a_hook_s_folder_is_no_workspace(serve):
    server = serve("--workspace", "/w", policy=POLICY)
    with server.client() as client:
        value = client.post({"adapter": "claude_code", "call": HOOK}).value
        assert (value["verdict"], value["warnings"][0][:26]) == ("block", "context: workspace ignored")
    assert records(server.journal)[-1]["context"]["session_id"] == "s"


@pytest.mark.parametrize(
    ("trusted", "verdicts"),
    [
        ("risk_class", {"risk_class": "allow", "identity": "block", "workspace": "block"}),
        ("identity", {"risk_class": "block", "identity": "allow", "workspace": "block"}),
        ("workspace", {"risk_class": "block", "identity": "block", "workspace": "allow"}),
        ("identity, workspace,risk_class", {"risk_class": "allow", "identity": "allow", "workspace": "allow"}),
    ],
)
def test_named_fields_are_trusted(trusted, verdicts, serve):
    server = serve("--trust-context", trusted, policy=POLICY)
    with server.client() as client:
        for name, verdict in verdicts.items():
            claim = {name: CLAIM[name]}
            for way in ("the request's context", "the call's context"):
                value = client.post(WAYS[way](claim)).value
                assert (value["verdict"], "warnings" in value) == (verdict, verdict == "block"), (name, way)
            if name == "workspace":
                assert client.post({"adapter": "claude_code", "call": HOOK}).value["verdict"] == verdict


def test_session_and_request_are_the_caller_s(serve):
    server = serve(policy=POLICY)
    with server.client() as client:
        for request, session, asked in (
            ({"session_id": "a", "call": READ}, "a", None),
            ({"context": {"session_id": "b", "request_id": "r"}, "call": READ}, "b", "r"),
            ({"call": {**READ, "context": {"session_id": "c", "request_id": "q"}}}, "c", "q"),
            ({"call": READ}, None, None),
        ):
            assert "warnings" not in client.post(request).value
            context = records(server.journal)[-1]["context"]
            assert (context.get("session_id"), context.get("request_id")) == (session, asked)


def test_many_claims_make_a_short_warning(serve):
    server = serve()
    with server.client() as client:
        context = {f"{number:03}{'x' * 500}": 1 for number in range(500)}
        warning, = client.post({**ALLOWED, "context": context}).value["warnings"]
    assert len(warning) < 600 and "…" in warning


# --- where a client may have its trace written -------------------------------------------------


@pytest.fixture
def free(tmp_path):
    folder = tmp_path / "free"
    (folder / "sub").mkdir(parents=True)
    (folder / "taken.json").write_text("mine")
    (tmp_path / "outside").mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "dangling.json").symlink_to(tmp_path / "outside" / "new.json")
    return folder


def test_a_trace_inside_the_free_folder(serve, free):
    server = serve("--allow-client-artifact-paths", free)
    with server.client() as client:
        for name in ("a.json", "sub/b.json"):
            answer = client.post({**ALLOWED, "trace_path": str(free / name)})
            assert (answer.status, answer.value["trace_path"]) == (200, str(free / name))
            assert stat.S_IMODE(os.stat(free / name).st_mode) == 0o600
            assert json.loads((free / name).read_bytes())["sequence"] == answer.value["sequence"]
            assert gait("trace", "verify", free / name).returncode == 0
    assert server.stop() == 0


REFUSED = [
    "../outside/x.json", "sub/../../outside/x.json", "sub/../x.json", "./x.json", "sub//x.json", "", "sub/", ".", "..", "taken.json",
    "dangling.json", "link/x.json", "missing/x.json", "taken.json/x", "a\0b", "sub",
]  # fmt: skip


def test_a_trace_elsewhere_is_refused(serve, free, tmp_path):
    server = serve("--allow-client-artifact-paths", free)

    def names() -> list[str]:
        return sorted(str(path) for path in tmp_path.rglob("*") if "journal" not in str(path))

    before = names()
    with server.client() as client:
        for path in [f"{free}/{name}" for name in REFUSED] + ["/etc/x.json", "x.json", "free/x.json", f"{free}x/a.json", f"//{free}/x.json"]:
            answer = client.post({**ALLOWED, "trace_path": path})
            assert (answer.status, answer.value["error_code"]) == (403, "client_path_refused"), path
        assert client.post({**ALLOWED, "trace_path": ""}).status == 400
    assert names() == before
    assert (free / "taken.json").read_text() == "mine"
    assert not [record for record in records(server.journal) if "verdict" in record], "refused before it is decided"


def test_a_refused_call_leaves_no_file(serve, free):
    server = serve("--allow-client-artifact-paths", free)
    with server.client() as client:
        assert client.post({"call": {"name": 7}, "trace_path": str(free / "new.json")}).status == 400
        assert client.post({"call": {"name": 7}, "runpack_out": str(free / "pack.zip")}).status == 400
        assert client.post({**ALLOWED, "trace_path": str(free / "new.json"), "runpack_out": str(free / "taken.json")}).status == 403
    assert not (free / "new.json").exists() and not (free / "pack.zip").exists()
    assert (free / "taken.json").read_text() == "mine"


def test_a_runpack_of_a_decision(serve, free, tmp_path):
    """In the operator's folder or at the client's place: a pack that verifies and holds this decision."""
    server = serve("--allow-client-artifact-paths", free, "--runpack-dir", tmp_path / "packs")
    with server.client() as client:
        asked = client.post({**ALLOWED, "emit_runpack": True}).value
        placed = client.post({**BLOCKED, "runpack_out": str(free / "pack.zip")}).value
        assert "runpack_path" not in client.post(ALLOWED).value
    assert Path(asked["runpack_path"]).parent == tmp_path / "packs" and placed["runpack_path"] == str(free / "pack.zip")
    for answer in (asked, placed):
        done = gait("verify", answer["runpack_path"], "--json")
        assert done.returncode == 0 and answer["run_id"] in done.stdout.decode() and answer["run_id"] in answer["ticket_footer"]
        with zipfile.ZipFile(answer["runpack_path"]) as pack:
            (result,) = [json.loads(line) for line in pack.read("results.jsonl").splitlines()]
        assert answer["verdict"] in json.dumps(result)


def test_traces_of_two_journals_share_a_folder(serve, tmp_path):
    """The same trace id and sequence again: nothing is overwritten."""
    texts = []
    for number in (1, 2):
        server = serve("--trace-dir", tmp_path / "traces", "--journal", tmp_path / f"journal{number}")
        with server.client() as client:
            path = Path(client.post(ALLOWED).value["trace_path"])
        assert server.stop() == 0
        texts.append((path.name, path.read_bytes()))
    assert texts[0][0].endswith("_2.json") and texts[1][0].endswith("_2_2.json")
    assert (tmp_path / "traces" / texts[0][0]).read_bytes() == texts[0][1]
