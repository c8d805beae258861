#!/usr/bin/env python3
"""Drive real MCP servers with real MCP clients, directly and through Gait.  `make integration-mcp`.

    integration_mcp.py [--only NAME,…] [--calls N] [--kills N] [--junit FILE] [--keep FOLDER]

Servers: npm's server-filesystem and server-memory through `gait mcp wrap`, server-everything and the fixture of tests/conformance
through `gait mcp serve --upstream`.  Clients: the Python and the JavaScript SDK.  Each scenario has its control: without Gait, the same
call does run.  What a server got is told by the server's side: a tee before its input, or a hook in its HTTP module.
Exit code 0: every scenario went as it must.  1: not so.  77: skipped, because npm or PyPI do not bring what is needed.

The packages come once, into $GAIT_MCP_CACHE or ~/.cache/gait-mcp; no install script of a package is run.  $GAIT_CALLS (2000) is the
number of calls of the scenario `leak`, $GAIT_KILLS (8) that of `crash-http` and `crash-stdio` each.  Everything listens on loopback.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import junit
import mcp_crash
from conformance import Broken, Unavailable, server

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "conformance" / "fixture_server.py"
SDK = "mcp==2.3.0"
PACKAGES = ("server-filesystem@2026.8.31", "server-memory@2026.8.31", "server-everything@2026.8.31", "sdk@1.32.2")
SKIPPED, AT_ONCE = 77, 2
SECONDS, INSTALL_SECONDS = 60, 300
META = "dev.gait/decision"
WARM_UP, MOST_GROWTH_KB = 500, 3072
TEE = """\
import subprocess, sys
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)
with open(sys.argv[1], "ab", buffering=0) as log:
    for line in sys.stdin.buffer:
        log.write(line)
        server.stdin.write(line)
        server.stdin.flush()
server.stdin.close()
sys.exit(server.wait())
"""
# Every listener of this Node on loopback, which it prints; every body it gets into a file.
LOOPBACK = """\
const fs = require("fs"), http = require("http"), net = require("net");
const { listen } = net.Server.prototype, { push } = http.IncomingMessage.prototype;
net.Server.prototype.listen = function (port, ...rest) {
  this.once("listening", () => console.log(`at ${this.address().address}:${this.address().port}`));
  return listen.call(this, { port: Number(port), host: "127.0.0.1" }, ...rest.filter((given) => typeof given === "function"));
};
http.IncomingMessage.prototype.push = function (data, ...rest) {
  if (data && this.method) fs.appendFileSync(process.env.SEEN, data + "\\n");
  return push.call(this, data, ...rest);
};
"""
FILES_POLICY = """\
default_verdict: block
rules:
  - {{name: read, priority: 10, effect: allow, match: {{tool_names: [files__read_text_file, files__read_media_file]}}, endpoint: {{path_allowlist: ["{open}/**"]}}}}
  - {{name: write, priority: 20, effect: allow, match: {{tool_names: [files__write_file]}}, endpoint: {{path_allowlist: ["{open}/**"]}}}}
  - {{name: edit, priority: 30, effect: require_approval, match: {{tool_names: [files__edit_file]}}}}
  - {{name: make, priority: 40, effect: dry_run, match: {{tool_names: [files__create_directory]}}}}
"""
MEMORY_POLICY = """\
default_verdict: allow
rules:
  - {name: keep, priority: 10, effect: block, match: {tool_names: [memory__delete_entities, memory__delete_relations, memory__delete_observations]}}
"""
EVERYTHING_POLICY = """\
default_verdict: allow
rules:
  - {name: secrets, priority: 10, effect: block, match: {tool_names: [everything__get-env]}}
"""


class Lab(NamedTuple):
    """What the scenarios are done with."""

    python: Path  # with the Python SDK
    modules: Path  # npm's, @modelcontextprotocol/
    calls: int
    kills: int


class Place:
    """One scenario's folder: a Gait home, a journal, a policy, and `root`, which the server may touch all of."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.root = folder / "root"
        for name in ("home", "root/open", "root/closed"):
            (folder / name).mkdir(parents=True)
        (folder / "tee.py").write_text(TEE, encoding="utf-8")
        (folder / "loopback.cjs").write_text(LOOPBACK, encoding="utf-8")

    def policy(self, text: str) -> None:
        (self.folder / "policy.yaml").write_text(text, encoding="utf-8")

    def node(self, package: str, *arguments: object) -> list[str]:
        return ["node", str(self.lab.modules / package / "dist" / "index.js"), *map(str, arguments)]

    def teed(self, name: str, command: list[str]) -> list[str]:
        """The command, with every line that it gets in NAME.jsonl."""
        return [sys.executable, "-I", str(self.folder / "tee.py"), str(self.folder / f"{name}.jsonl"), *command]

    def gait(self, *words: object) -> list[str]:
        return [sys.executable, "-I", str(ROOT / "gait.py"), *map(str, words)]

    def wrap(self, command: list[str], *options: object) -> list[str]:
        policy = ("--policy", self.folder / "policy.yaml", "--journal", self.folder / "journal")
        return self.gait("mcp", "wrap", *policy, *options, "--", *command)

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "GAIT_HOME": str(self.folder / "home"), **more}

    def client(self, command: list[str], **environment: str) -> Client:
        return Client(self, "python", {"command": command, "env": self.environment(**environment), "cwd": str(self.folder)})

    def calls(self, name: str) -> list[dict[str, Any]]:
        """The params of each tools/call that reached the server, by its own side."""
        found = [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        return [message["params"] for message in found if message.get("method") == "tools/call"]

    def verified(self) -> dict[str, int]:
        """The statuses of the forwarded calls.  Broken: the journal does not verify, or a call has no outcome."""
        done = subprocess.run(self.gait("journal", "verify", self.folder / "journal", "--json"), env=self.environment(), stdout=subprocess.PIPE, text=True)
        report = json.loads(done.stdout)
        expect(done.returncode == 0 and not report["findings"], f"the journal does not verify: {done.stdout[:500]}")
        statuses: dict[str, int] = {}
        for chain in report["chains"]:
            forwarded = chain.get("forwarded", {})
            expect(not forwarded.get("open_total") and not forwarded.get("orphans_total"), f"calls without outcome: {forwarded}")
            for status, count in forwarded.get("statuses", {}).items():
                statuses[status] = statuses.get(status, 0) + count
        return statuses


class Client:
    """A process with one of the SDKs, connected to one server."""

    def __init__(self, place: Place, sdk: str, target: dict[str, Any]) -> None:
        self._place = place
        self._sdk = sdk
        self._target = target

    def __enter__(self) -> Client:
        scripts, lab = Path(__file__).resolve().parent, self._place.lab
        if self._sdk == "python":
            command = [str(lab.python), str(scripts / "mcp_client.py"), json.dumps(self._target)]
        else:
            command = ["node", str(scripts / "mcp_client.mjs"), json.dumps({**self._target, "sdk": str(lab.modules / "sdk")})]
        self._errors = self._place.folder / f"client-{self._sdk}.txt"
        with open(self._errors, "ab") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, env=self._place.environment())
        self.about = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Broken("the client did not end") from None
        finally:
            self.process.stdout.close()

    def ask(self, do: str, **step: object) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **step}).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer()

    def call(self, name: str, **arguments: object) -> dict[str, Any]:
        answer = self.ask("call", name=name, arguments=arguments)
        expect("result" in answer, f"{name} got {answer}")
        result: dict[str, Any] = answer["result"]
        return result

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        watchdog = threading.Timer(SECONDS * 3, self.process.kill)
        watchdog.start()
        try:
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise Broken(f"the {self._sdk} client ended, or said nothing: {self._errors.read_text('utf-8', 'replace')[-300:]}")
        value: dict[str, Any] = json.loads(line)
        return value


def expect(condition: object, complaint: str) -> None:
    if not condition:
        raise Broken(complaint)


def same(direct: object, gated: object, what: str) -> None:
    expect(direct == gated, f"{what}: directly {json.dumps(direct)[:300]}, through Gait {json.dumps(gated)[:300]}")


def refused(result: dict[str, Any], verdict: str) -> dict[str, Any]:
    """Gait's own part of a result, which must be this verdict as a result that says it is an error."""
    decision: dict[str, Any] = result.get("_meta", {}).get(META, {})
    expect(result.get("isError") is True and decision.get("verdict") == verdict, f"expected {verdict}, got {json.dumps(result)[:300]}")
    expect(result["content"][0]["type"] == "text" and decision["trace_id"] in result["content"][0]["text"], "the refusal has no text with its trace")
    return decision


# --- scenarios: what must hold, in an order; each returns what it has seen, in words -----------------


class Files:
    """server-filesystem over `root`, of which the policy opens `root/open`: directly and wrapped, with tees of their own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.policy(FILES_POLICY.format(open=place.root / "open"))
        command = place.node("server-filesystem", place.root)
        self.direct = place.client(place.teed("direct", command))
        self.gated = place.client(place.wrap(place.teed("gated", command), "--server-name", "files"))

    def reached(self, way: str) -> list[str]:
        return [params["name"] for params in self.place.calls(way)]


def files_read(place: Place) -> str:
    """An allowed read gives what it gives directly, to the byte."""
    files, folder = Files(place), place.root / "open"
    text = "".join(f"{number} \u00e9\u96ea\U0001f600 \t\\\"\r\n" for number in range(40_000))
    picture = bytes(range(256)) * 2000
    (folder / "text.txt").write_bytes(text.encode())
    (folder / "picture.png").write_bytes(picture)
    with files.direct as direct, files.gated as gated:
        same(direct.about, gated.about, "what the server says of itself")
        same(direct.ask("tools"), gated.ask("tools"), "tools/list")
        for name, path in (("read_text_file", "text.txt"), ("read_media_file", "picture.png")):
            results = [client.call(name, path=str(folder / path)) for client in (direct, gated)]
            same(*results, name)
            got = results[1]["content"][0]
            expect(text == got.get("text") or picture == base64.b64decode(got.get("data", "")), f"{name} did not give what is in the file")
    same(files.reached("direct"), files.reached("gated"), "calls that reached the server")
    expect(place.verified()["ok"] == 2, "two calls, and not two outcomes")
    return f"{len(text.encode())} bytes of text, {len(picture)} of a picture"


def files_escape(place: Place) -> str:
    """`..`, other spellings of it and other folders: the server, which may read them all, never sees the call."""
    files, secret = Files(place), place.root / "closed" / "secret.txt"
    secret.write_text("s3cret", encoding="utf-8")
    inside = place.root / "open"
    paths = [f"{inside}/../closed/secret.txt", f"{inside}/./.././closed//secret.txt", str(secret), f"{inside}/x/../../closed/secret.txt"]
    (inside / "x").mkdir()
    with files.direct as direct, files.gated as gated:
        for path in paths:
            expect("s3cret" in json.dumps(direct.call("read_text_file", path=path)), f"the control did not read {path}")
            result = gated.call("read_text_file", path=path)
            refused(result, "block")
            expect("s3cret" not in json.dumps(result), f"{path} was read through Gait")
    expect(len(files.reached("direct")) == len(paths) and files.reached("gated") == [], f"reached the server: {files.reached('gated')}")
    place.verified()
    return f"{len(paths)} spellings"


def files_write(place: Place) -> str:
    """A write outside the allow-list and a tool that no rule allows do nothing, and never reach the server."""
    files, root = Files(place), place.root
    (root / "open" / "kept.txt").write_text("kept", encoding="utf-8")
    with files.direct as direct, files.gated as gated:
        refused(gated.call("write_file", path=str(root / "closed" / "new.txt"), content="x"), "block")
        refused(gated.call("move_file", source=str(root / "open" / "kept.txt"), destination=str(root / "open" / "gone.txt")), "block")
        expect(not (root / "closed" / "new.txt").exists() and (root / "open" / "kept.txt").exists(), "something was written through Gait")
        gated.call("write_file", path=str(root / "open" / "new.txt"), content="x")
        expect((root / "open" / "new.txt").read_text() == "x", "the allowed write was not done")
        direct.call("write_file", path=str(root / "closed" / "new.txt"), content="x")
        direct.call("move_file", source=str(root / "open" / "kept.txt"), destination=str(root / "open" / "gone.txt"))
        expect((root / "closed" / "new.txt").exists() and (root / "open" / "gone.txt").exists(), "the control wrote nothing")
    same(["write_file"], files.reached("gated"), "calls that may reach the server")
    place.verified()
    return "2 refused, 1 done"


def files_held(place: Place) -> str:
    """require_approval and dry_run: results that the SDK shows, and no effect."""
    files, note, folder = Files(place), place.root / "open" / "note.txt", place.root / "open" / "made"
    note.write_text("before", encoding="utf-8")
    edit = {"path": str(note), "edits": [{"oldText": "before", "newText": "after"}]}
    with files.direct as direct, files.gated as gated:
        held = gated.call("edit_file", **edit)
        ticket = refused(held, "require_approval")
        expect(f"--intent-digest {ticket['intent_digest']}" in held["content"][0]["text"] and ticket["required_approvals"] == 1, "no ticket")
        same(ticket["intent_digest"], refused(gated.call("edit_file", **edit), "require_approval")["intent_digest"], "the ticket of the same call")
        tried = gated.call("create_directory", path=str(folder))
        refused(tried, "dry_run")
        expect("did not run" in tried["content"][0]["text"], "a dry run does not say that nothing ran")
        expect(note.read_text() == "before" and not folder.exists(), "a call that was held has run")
        direct.call("edit_file", **edit)
        direct.call("create_directory", path=str(folder))
        expect(note.read_text() == "after" and folder.is_dir(), "the control did nothing")
    expect(files.reached("gated") == [], "a call that was held reached the server")
    place.verified()
    return "1 ticket, 1 dry run"


def memory(place: Place) -> str:
    """server-memory: the allowed tools give what they give directly, and what is to be kept is kept."""
    place.policy(MEMORY_POLICY)
    command = place.node("server-memory")
    entity = {"name": "Ada", "entityType": "person", "observations": ["wrote \u00ab1\u00bb"]}
    steps = [("create_entities", {"entities": [entity]}), ("search_nodes", {"query": "ada"}), ("read_graph", {})]
    answers, kept = {}, {}
    ways = {"direct": place.teed("direct", command), "gated": place.wrap(place.teed("gated", command), "--server-name", "memory")}
    for way, words in ways.items():
        store = place.folder / f"{way}.store"
        with place.client(words, MEMORY_FILE_PATH=str(store)) as client:
            answers[way] = [client.call(name, **arguments) for name, arguments in steps]
            result = client.call("delete_entities", entityNames=["Ada"])
            if way == "gated":
                refused(result, "block")
        kept[way] = "Ada" in store.read_text("utf-8")
    same(answers["direct"], answers["gated"], "results")
    expect(not kept["direct"], "the control deleted nothing")
    expect(kept["gated"], "the entity was deleted through Gait")
    same([name for name, _ in steps], [params["name"] for params in place.calls("gated")], "calls that may reach the server")
    place.verified()
    return f"{len(steps)} calls alike, 1 refused"


def leak(place: Place) -> str:
    """Many calls, eight at a time: neither memory nor descriptors grow, and every one has its outcome."""
    files = Files(place)
    (place.root / "open" / "a.txt").write_text("a" * 100, encoding="utf-8")
    step = {"name": "read_text_file", "arguments": {"path": str(place.root / "open" / "a.txt")}}
    with files.gated as gated:
        gate = child_of(gated.process.pid)
        gated.ask("repeat", **step, times=WARM_UP)
        before, began = footprint(gate), time.monotonic()
        answer = gated.ask("repeat", **step, times=place.lab.calls)
        seconds, after = time.monotonic() - began, footprint(gate)
    expect(answer.get("different") == 0 and "a" * 100 in json.dumps(answer), f"results differ: {json.dumps(answer)[:300]}")
    expect(after.kilobytes - before.kilobytes <= MOST_GROWTH_KB, f"grew from {before.kilobytes} to {after.kilobytes} KB")
    expect(after.descriptors <= before.descriptors, f"descriptors: {before.descriptors} before, {after.descriptors} after")
    expect(place.verified()["ok"] == place.lab.calls + WARM_UP, "not every call has its outcome")
    told = f"{place.lab.calls} calls in {seconds:.1f} s; {before.kilobytes} to {after.kilobytes} KB"
    return f"{told}, {before.descriptors} to {after.descriptors} descriptors"


class Footprint(NamedTuple):
    kilobytes: int
    descriptors: int  # 0 where there is no /proc


def footprint(process: int) -> Footprint:
    rss = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], stdout=subprocess.PIPE, text=True).stdout
    folder = Path("/proc", str(process), "fd")
    return Footprint(int(rss), len(os.listdir(folder)) if folder.is_dir() else 0)


def child_of(parent: int) -> int:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True).stdout
    found = [int(line.split()[0]) for line in listing.splitlines() if int(line.split()[1]) == parent]
    expect(len(found) == 1, f"the client has {len(found)} children")
    return found[0]


def lock(place: Place) -> str:
    """A lock of server-filesystem lets everything pass; of a server that changes a definition, nothing that was changed."""
    files = Files(place)
    command, where = place.node("server-filesystem", place.root), place.folder / "gait.lock"
    (place.root / "open" / "a.txt").write_text("a", encoding="utf-8")
    for word in ("pinned", "as pinned"):
        done = run(place, *place.gait("mcp", "lock", "--lock", where, "--server-name", "files", "--", *command))
        expect(done.returncode == 0 and word in done.stdout, f"gait mcp lock: {done.stdout[-300:]}{done.stderr[-300:]}")
    gated = place.client(place.wrap(place.teed("locked", command), "--server-name", "files", "--lock", where))
    with files.direct as direct, gated as client:
        step = {"name": "read_text_file", "arguments": {"path": str(place.root / "open" / "a.txt")}}
        same(direct.ask("call", **step), client.ask("call", **step), "a call before tools/list")
        same(direct.ask("tools"), client.ask("tools"), "tools/list")
        same(direct.ask("call", **step), client.ask("call", **step), "a call after tools/list")
    place.verified()
    return f"14 tools pinned; {rug_pull(place, where)}"


def rug_pull(place: Place, where: Path) -> str:
    """The fixture server changes a tool's definition when it is told to, in both eras: told by a notification, and not."""
    place.policy("default_verdict: allow\nrules: []\n")
    log, versions = place.folder / "fixture.jsonl", []
    fixture = [sys.executable, str(FIXTURE), "--stdio", "--log", str(log)]
    done = run(place, *place.gait("mcp", "lock", "--lock", where, "--server-name", "fixture", "--", *fixture))
    expect(done.returncode == 0, f"gait mcp lock: {done.stderr[-300:]}")
    for mode in ("legacy", "auto"):
        command = place.wrap(fixture, "--server-name", "fixture", "--lock", where)
        with Client(place, "python", {"command": command, "env": place.environment(), "cwd": str(place.folder), "mode": mode}) as client:
            pulled(client, told=mode == "legacy")
            versions.append(client.about["version"])
    reached = [line["name"] for line in map(json.loads, log.read_text().splitlines()) if line.get("method") == "tools/call"]
    expect(reached.count("test_simple_text") == 4, f"reached the server: {reached}")
    place.verified()
    return f"a changed definition is hidden and blocked until it is as pinned ({', '.join(versions)})"


def pulled(client: Client, told: bool) -> None:
    def names() -> set[str]:
        return {tool["name"] for tool in client.ask("tools")["tools"]}

    before = names()
    expect(not client.call("test_simple_text").get("isError"), "the tool does not run as pinned")
    client.call("test_trigger_tool_redefinition")
    after = set() if told else names()  # who is not told sees the change when the client lists again, as the model does
    same(["tool_definition_changed"], refused(client.call("test_simple_text"), "block")["reason_codes"], "reason codes")
    same(sorted(before - {"test_simple_text"}), sorted(after or names()), "tools/list after the change")
    client.call("test_trigger_tool_redefinition")
    names()
    expect(not client.call("test_simple_text").get("isError"), "the tool does not run again, as pinned again")


def everything(place: Place, sdk: str) -> str:
    """server-everything over HTTP: what a client sees is the same, and the blocked tool never gets there."""
    place.policy(EVERYTHING_POLICY)
    seen = place.folder / "seen.txt"
    upstream = ["env", f"SEEN={seen}", "PORT=0", "node", "-r", str(place.folder / "loopback.cjs"), *place.node("server-everything", "streamableHttp")[1:]]
    with server(upstream, place.folder / "everything.txt", r"^at (\S+)") as address:
        direct = tour(place, sdk, f"http://{address}/mcp")
        expect("GAIT" not in direct["secret"] and "SEEN" in direct["secret"], "the control did not show the environment")
        before = seen.read_text("utf-8").count("get-env")
        gate = place.gait("mcp", "serve", "--policy", place.folder / "policy.yaml", "--journal", place.folder / "journal", "--listen", "127.0.0.1:0")
        command = [*gate, "--upstream", f"everything=http://{address}/mcp"]
        with server(command, place.folder / "gate.txt", r'"listening".*"address": "([^"]+)"', place.folder / "home") as gate_address:
            gated = tour(place, sdk, f"http://{gate_address}/mcp/everything")
    expect(before and seen.read_text("utf-8").count("get-env") == before, "the blocked call reached the server, or the control did not")
    secret = gated.pop("secret")
    direct.pop("secret")
    expect("SEEN" not in secret and META in secret, f"the blocked call was answered: {secret[:300]}")
    for name, answer in direct.items():
        same(answer, gated[name], name)
    expect(gated["progress"]["progress"] == [[step, 4] for step in (1, 2, 3, 4)], f"progress: {gated['progress']}")
    expect(gated["sampling"]["asked"] == ["sampling 50"] and len(gated["elicitation"]["asked"]) == 1, "the server's requests did not come")
    statuses = place.verified()
    return f"{gated['about']['version'] or 'session era'}; {len(gated)} answers alike; outcomes {statuses}"


def tour(place: Place, sdk: str, url: str) -> dict[str, Any]:
    """What one client sees of server-everything."""
    with Client(place, sdk, {"url": url}) as client:
        found = {"about": client.about, "tools": client.ask("tools")}
        for name, arguments in (("echo", {"message": "\u96ea"}), ("get-sum", {"a": 1, "b": 2.5}), ("get-tiny-image", {}), ("get-sum", {"a": "x"})):
            found[f"{name} {arguments}"] = client.ask("call", name=name, arguments=arguments)
        found["structured"] = client.ask("call", name="get-structured-content", arguments={"location": "Chicago"})
        found["progress"] = client.ask("call", name="trigger-long-running-operation", arguments={"duration": 0.4, "steps": 4}, progress=True)
        found["sampling"] = client.ask("call", name="trigger-sampling-request", arguments={"prompt": "x", "maxTokens": 50})
        found["elicitation"] = client.ask("call", name="trigger-elicitation-request", arguments={})
        found["no such tool"] = client.ask("call", name="no-such-tool", arguments={})
        found["prompt"] = client.ask("prompt", name="simple-prompt", arguments={})
        found["resource"] = client.ask("read", uri="demo://resource/static/document/features.md")
        found["secret"] = json.dumps(client.ask("call", name="get-env", arguments={}))
    return found


def run(place: Place, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=place.folder, env=place.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)


def crash(place: Place, way: str) -> str:
    try:
        return mcp_crash.run(way, place.folder / "crash", place.lab.kills, int(os.environ.get("GAIT_FUZZ_SEED", "20261122")))
    except mcp_crash.Broken as error:
        raise Broken(str(error)) from None


SCENARIOS: dict[str, Callable[[Place], str]] = {
    "files-read": files_read,
    "files-escape": files_escape,
    "files-write": files_write,
    "files-held": files_held,
    "memory": memory,
    "leak": leak,
    "lock": lock,
    "everything-python": lambda place: everything(place, "python"),
    "everything-javascript": lambda place: everything(place, "javascript"),
    "crash-http": lambda place: crash(place, "http"),
    "crash-stdio": lambda place: crash(place, "stdio"),
}


# --- what npm and PyPI bring ---------------------------------------------------------------------------


def installed_npm() -> Path:
    """The folder @modelcontextprotocol/ with the servers and the JavaScript SDK."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        raise Unavailable("node and npm are not installed")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=30000")
    names = [f"@modelcontextprotocol/{package}" for package in PACKAGES]
    place = made("npm", names, lambda folder: fetched([npm, "install", *quiet, "--prefix", str(folder), *names], "npm"))
    return place / "node_modules" / "@modelcontextprotocol"


def installed_sdk() -> Path:
    """A Python with the SDK, in an environment of its own."""
    base = next(filter(None, map(usable, (sys.executable, "python3.13", "python3.12", "python3.11", "python3.10", "python3"))), None)
    if base is None:
        raise Unavailable("the Python SDK needs Python 3.10 or later")

    def make(folder: Path) -> None:
        fetched([base, "-m", "venv", str(folder)], "venv")
        fetched([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", SDK], "PyPI")

    return made("python", [SDK, base], make) / "bin" / "python"


def usable(python: str) -> Optional[str]:
    """The interpreter itself, not a shim of it, when it is new enough."""
    probe = "import sys, venv, ensurepip; print(sys.executable if sys.version_info >= (3, 10) else '')"
    try:
        done = subprocess.run([python, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def made(kind: str, what: list[str], make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made at most once for the same content; it is moved there whole."""
    cache = Path(os.environ.get("GAIT_MCP_CACHE") or Path.home() / ".cache" / "gait-mcp")
    place = cache / f"{kind}-{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as folder:
        new = Path(folder, kind)
        new.mkdir()
        make(new)
        try:
            os.rename(new, place)
        except OSError:  # another run was faster
            if not place.is_dir():
                raise
    return place


def fetched(command: list[str], source: str) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{source} did not bring what is needed within {INSTALL_SECONDS} s") from None
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if "error" in line.lower() and "WARNING" not in line and "complete log" not in line]
        raise Unavailable(f"{source} does not bring what is needed: {' '.join(words[:2])[:300] or done.stdout.strip()[-200:]}")


# --- all of them -----------------------------------------------------------------------------------------


def main() -> int:
    """0, 1 or 77."""
    options = parsed()
    try:
        lab = Lab(installed_sdk(), installed_npm(), options.calls, options.kills)
    except Unavailable as error:
        print(f"integration-mcp: skipped: {error}")
        junit.write(options.junit, "integration-mcp", [junit.Case("integration_mcp", name, skip=str(error)) for name in options.only])
        return SKIPPED
    print(f"Python SDK {SDK}; npm {', '.join(PACKAGES)}; gait on Python {sys.version.split()[0]}", flush=True)
    with kept(options.keep) as folder:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            cases = list(pool.map(lambda name: done(lab, name, folder / name), options.only))
    junit.write(options.junit, "integration-mcp", cases)
    return 1 if any(case.problem for case in cases) else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SCENARIOS), metavar="NAMES", help=f"of {', '.join(SCENARIOS)}; with commas")
    parser.add_argument("--calls", type=int, default=int(os.environ.get("GAIT_CALLS", "2000")), metavar="N")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("GAIT_KILLS", "8")), metavar="N")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="one test case for each scenario")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave every log and journal here")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if not set(options.only) <= set(SCENARIOS):
        parser.error(f"--only takes {', '.join(SCENARIOS)}")
    return options


@contextmanager
def kept(folder: Optional[Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gait-integration-mcp-") as temporary:
        yield (folder or Path(temporary)).resolve()


def done(lab: Lab, name: str, folder: Path) -> junit.Case:
    """Run one scenario and say what came of it; it raises nothing that a broken Gait could cause."""
    shutil.rmtree(folder, ignore_errors=True)
    began, failure, told = time.monotonic(), "", ""
    try:
        told = SCENARIOS[name](Place(lab, folder))
    except (Broken, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        failure = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    print(f"{'FAILED' if failure else 'ok':<7}{name:<22}{seconds:6.1f} s  {failure or told}", flush=True)
    return junit.Case("integration_mcp", name, failure, seconds)


if __name__ == "__main__":
    sys.exit(main())
