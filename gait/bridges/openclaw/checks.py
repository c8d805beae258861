"""Whether what is installed would refuse a forbidden call: files, settings, the host's own word, and canary calls.

A canary is a call that is judged and never executed.  Gait's own goes to a journal that is thrown away, the plugin's to the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from ...errors import GaitError
from ...formats.documents import NamedTuple
from ...system import files
from . import host
from .package import NAME, PLACE, PLUGIN, findings
from .places import Places

_SECONDS = 30.0
CALL = {"toolName": "exec", "params": {"command": "rm -rf / # the canary of gait, which nothing runs"}, "toolCallId": "gait-canary"}
# Loads the plugin as the host does, offers it the host's two places for a veto, and prints what each answered.
_SCRIPT = """
import { pathToFileURL } from "node:url";
const found = {};
const [file, call, hasPolicy] = process.argv.slice(1);
const api = { on: (name, handler) => { found[name] ??= handler; } };
if (hasPolicy) api.registerTrustedToolPolicy = (policy) => { found.policy = policy.evaluate; };
(await import(pathToFileURL(file).href)).default.register(api);
const event = JSON.parse(call);
const answer = (await (hasPolicy ? found.policy : found.before_tool_call)(event, { toolName: event.toolName })) ?? {};
console.log(JSON.stringify(answer));
"""
_FIRST_TRUSTED = (2026, 9)


class Check(NamedTuple):
    """One check: status is ok, warn or fail; `fix` is a command or a step, empty when ok."""

    name: str
    status: str
    detail: str
    fix: str = ""

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return self._asdict()


def check(places: Places, asks_host: bool = True, is_just_checked: bool = False) -> Iterator[Check]:
    """Every check, in a fixed order.  `asks_host` also starts openclaw; `is_just_checked`: the compiled files need no second look."""
    again = "scripts/install_openclaw_skill.sh"
    yield _files("skill", places.skill, again, not is_just_checked)
    yield canary_of_gate(places)
    if not places.plugin:
        yield Check("plugin", "warn", "not installed (--no-plugin): nothing enforces", again)
        return
    yield _plugin(places, again)
    yield _enabled(places, again)
    yield canary_of_plugin(places)
    if asks_host:
        yield from _host(places)


def _files(name: str, folder: str, fix: str, compiles: bool) -> Check:
    try:
        wrong = list(findings(folder, compiles))
    except GaitError as error:
        return Check(name, "fail", str(error), fix)
    if wrong:
        said = ", ".join(f"{item.path} is {item.what}" for item in wrong[:5]) + (f", and {len(wrong) - 5} more" if wrong[5:] else "")
        return Check(name, "fail", f"{folder}: {said}", fix + " --force")
    return Check(name, "ok", f"{folder}: every file is as it was shipped, but for policy.yaml and skill_config.json, which are yours")


def _plugin(places: Places, fix: str) -> Check:
    try:
        for name in (*PLUGIN, PLACE):
            source, copy = (os.path.join(folder, name) for folder in (os.path.join(places.skill, "plugin"), places.plugin))
            if files.read_bounded(source, 1 << 20) != files.read_bounded(copy, 1 << 20):
                return Check("plugin", "fail", f"{copy} is not the one of the package", fix)
    except GaitError as error:
        return Check("plugin", "fail", str(error), fix)
    return Check("plugin", "ok", f"{places.plugin}: unmodified")


def _enabled(places: Places, fix: str) -> Check:
    try:
        _, value = host.read_config(places.config)
    except GaitError as error:
        said = host.call(places.cli, "config", "get", "plugins.entries.gait-gate.enabled").text.strip() if places.cli else ""
        if said.splitlines()[-1:] == ["true"]:
            return Check("enabled", "ok", f"{places.config}: as openclaw itself reads it")
        return Check("enabled", "fail", str(error), error.hint)
    problem = host.forbids(value)
    if problem or host.needs(value, host.load_path(places)):
        return Check("enabled", "fail", f"{places.config}: {problem or 'the plugin is not enabled there, and a copied plugin alone is not loaded'}", fix)
    return Check("enabled", "ok", f"{places.config} enables it")


def canary_of_gate(places: Places) -> Check:
    """Ask the installed Gait about a forbidden call, with the installed policy."""
    import tempfile

    policy = os.path.join(places.skill, "policy.yaml")
    with tempfile.TemporaryDirectory(prefix="gait-canary-") as home:
        words = [sys.executable, "-I", os.path.join(places.skill, "gait.py"), "hook", "openclaw", "--policy", policy, "--home", os.path.join(home, "home")]
        code, said, why = _run(words, json.dumps(CALL).encode("ascii"))
    if code == 0 and _refuses(said):
        return Check("canary_gate", "ok", "the installed Gait refuses a forbidden call (exec: rm -rf /)")
    if code == 0:
        return Check("canary_gate", "fail", f"{policy} allows exec of `rm -rf /`: nothing is proven", "change the policy (gait policy explain)")
    return Check("canary_gate", "fail", f"every call is refused: {why or f'exit code {code}'}", "mend that")


def canary_of_plugin(places: Places) -> Check:
    """Load the installed plugin in Node and offer it the forbidden call, once for each of the host's two interfaces."""
    node = shutil.which("node")
    name = "canary_plugin"
    if not node:
        return Check(name, "warn", "not proven: there is no node on the PATH to load the plugin with", "run this where node is on the PATH")
    call = json.dumps({**CALL, "toolCallId": "gait-canary-plugin"})
    for has_policy in ("yes", ""):
        code, said, why = _run([node, "--input-type=module", "-e", _SCRIPT, "--", os.path.join(places.plugin, "index.js"), call, has_policy], b"")
        if code or not _refuses(said):
            return Check(name, "fail", f"the plugin did not refuse: {why or said[:200].decode('utf-8', 'replace')}", "scripts/install_openclaw_skill.sh --force")
    return Check(name, "ok", "the installed plugin refuses the same call in both of the host's interfaces")


def _refuses(said: bytes) -> bool:
    try:
        return bool(json.loads(said).get("block") is True)
    except (ValueError, AttributeError):
        return False


def _run(words: list[str], data: bytes) -> tuple[int, bytes, str]:
    try:
        done = subprocess.run(words, input=data, capture_output=True, timeout=_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return 127, b"", str(getattr(error, "strerror", None) or error)
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return done.returncode, done.stdout, lines[-1][:400] if lines else ""


def _host(places: Places) -> Iterator[Check]:
    if not places.cli:
        step = "where openclaw is, run: openclaw plugins inspect gait-gate --runtime --json"
        yield Check("loaded", "warn", "not proven in the host: there is no openclaw command on the PATH", step)
        return
    loaded, said = host.is_loaded(places.cli)
    fix = f"openclaw plugins inspect {NAME} --runtime --json, then restart the gateway"
    yield Check("loaded", "ok" if loaded else "fail", f"openclaw plugins inspect: {said}", "" if loaded else fix)
    found = host.version(places.cli)
    shown = ".".join(map(str, found)) or "an unknown version"
    if found >= _FIRST_TRUSTED:
        yield Check("reach", "ok", f"OpenClaw {shown}: vetoes in agent --local, agent exec, gateway turns and /tools/invoke")
    else:
        detail = f"OpenClaw {shown}: vetoes in agent --local, gateway turns and /tools/invoke; commands that load no plugins are not gated"
        yield Check("reach", "warn", detail, "update OpenClaw to 2026.9 or later, whose trusted tool policies also cover agent exec")
