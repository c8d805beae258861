"""`gait hook install` and `uninstall`: the hosts' own files, and what `gait doctor` finds in them."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gait.cli import main
from gait.hosts import checks, settings_files
from gait.hosts.install import FAIL_CLOSED

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    **{"claude-code": ".claude/settings.json", "codex": ".codex/hooks.json", "gemini": ".gemini/settings.json"},
    **{"copilot": ".copilot/hooks/gait.json", "gastown": ".gt/hooks-base.json"},
}
EVENT = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "ls"}, "cwd": "/work"}
COMMENTED = '{\n    "model": "opus", // mine\n}\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a policy; no variable of a host is set, and no host is on PATH."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "GT_HOME", "GT_ROOT", "GT_ROLE", "BD_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text("default_verdict: block\n")
    return tmp_path


@pytest.fixture
def gait(capsys):
    """Run `gait hook WORDS… --json`: the exit code and the document."""

    def run(*words: object):
        code = main(["hook", *map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def install(gait, host, *options):
    code, value = gait("install", host, "--policy", "policy.yaml", *options)
    assert code == 0, value
    return value


def the_hook(host, path):
    (hook,) = settings_files.hooks_in(host, json.loads(Path(path).read_text()))
    return hook


@pytest.mark.parametrize("host", FILES)
def test_a_new_file_and_its_removal(here, own_home, gait, host):
    path = own_home / FILES[host]
    value = install(gait, host)
    assert (value["path"], value["changed"], value["backup"]) == (str(path), True, "")
    hook = the_hook(host, path)
    assert hook.fires_always and hook.value == settings_files.hook_value(host, value["command"]) and value["command"].endswith(FAIL_CLOSED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert install(gait, host)["changed"] is False and path.read_bytes() == before
    assert gait("uninstall", host)[1]["changed"] is True
    assert not path.exists() and gait("uninstall", host)[1]["changed"] is False


def test_the_real_shapes(here, own_home, gait):
    for host in FILES:
        install(gait, host)
    value = {host: json.loads((own_home / name).read_text()) for host, name in FILES.items()}
    assert list(value["gastown"]) == ["PreToolUse"] and set(value["gastown"]["PreToolUse"][0]["hooks"][0]) == {"type", "command"}
    assert value["claude-code"]["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"] == 60
    assert value["gemini"]["hooks"]["BeforeTool"][0]["hooks"][0]["timeout"] == 60000
    assert value["copilot"]["version"] == 1 and set(value["copilot"]["hooks"]["preToolUse"][0]) == {"type", "bash", "timeoutSec"}
    assert list(value["codex"]["hooks"]) == ["PreToolUse"]


@pytest.mark.parametrize("host", FILES)
def test_the_installed_line_answers(here, own_home, gait, host):
    """Through the shell, as hosts run it; without Python, without Gait and with a policy that is gone it refuses."""
    line = install(gait, host)["command"]
    event = {"toolName": "bash", "toolArgs": "{}"} if host == "copilot" else {**EVENT, "hook_event_name": "BeforeTool"} if host == "gemini" else EVENT

    def shell(command):
        done = subprocess.run(["sh", "-c", command], input=json.dumps(event), capture_output=True, text=True, cwd="/", timeout=60)
        return done.returncode, done.stdout, done.stderr

    code, out, err = shell(line)
    assert (code, err) == (0, "") and "deny" in out and (own_home / "gait/journal/oneshot").exists()
    python = shlex.split(line)[0]
    for broken in (line.replace(python, "/nowhere/python3"), line.replace("/gait.py", "/gone.py"), line.replace("policy.yaml", "gone.yaml")):
        code, out, err = shell(broken)
        assert (code, out) == (2, "") and "refused" in err
    assert shell(line.replace(f"{python} -I", "kill -9 $$ #"))[0] != 0
    assert shell(f"exec 2>&-; {line.replace(python, '/nowhere/python3')}")[0] == 2  # an echo that fails is no success


def test_an_existing_file_keeps_everything_else(here, own_home, gait):
    path = own_home / ".claude/settings.json"
    path.parent.mkdir()
    text = '{\n\t"model" : "opus",\n\t"hooks": {"PreToolUse": [{"matcher": "", "hooks": [{"type": "command", "command": "other"}]}]}\n}'
    path.write_text(text)
    path.chmod(0o640)
    value = install(gait, "claude-code")
    new = path.read_text()
    assert new.startswith(text[: text.index("}]}]")]) and new.endswith("}]}]}\n}") and stat.S_IMODE(path.stat().st_mode) == 0o640
    entry = json.loads(new)["hooks"]["PreToolUse"]
    assert len(entry) == 1 and [hook["command"] for hook in entry[0]["hooks"]] == ["other", value["command"]]
    assert Path(value["backup"]).read_text() == text
    again = install(gait, "claude-code", "--deadline", "5")  # another line replaces Gait's own, and the first backup stays
    assert again["backup"] == "" and "--deadline 5" in the_hook("claude-code", path).value["command"]
    assert Path(value["backup"]).read_text() == text
    assert gait("install", "claude-code", "--uninstall")[0] == 0
    assert path.read_text() == text and sorted(name.name for name in path.parent.iterdir()) == ["settings.json"]


def test_a_hook_that_would_not_fire_is_replaced(here, own_home, gait):
    path = own_home / ".codex/hooks.json"
    path.parent.mkdir()
    line = f"python3 -I {ROOT}/gait.py hook codex --policy /old"
    path.write_text(json.dumps({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": line}]}] * 2}}))
    install(gait, "codex")
    assert the_hook("codex", path).matcher == ""
    assert json.loads(path.read_text())["hooks"]["PreToolUse"][0]["matcher"] == ""


@pytest.mark.parametrize("text", [COMMENTED, '{"a": 1,}', "\ufeff{}", '{"a": 1, "a": 2}', "model: opus", "{"])
def test_what_is_no_strict_json_is_left_alone(here, own_home, gait, text):
    path = own_home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(text)
    for words in (("install", "claude-code", "--policy", "policy.yaml"), ("uninstall", "claude-code")):
        code, value = gait(*words)
        assert (code, value["error_code"]) == (8, "settings_not_json") and "by hand" in value["hint"]
    assert path.read_text() == text and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("text", ["[]", '{"hooks": []}', '{"hooks": {"PreToolUse": {}}}', '{"hooks": 1}', "null"])
def test_another_shape_is_left_alone(here, own_home, gait, text):
    path = own_home / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(text)
    code, value = gait("install", "claude-code", "--policy", "policy.yaml")
    assert code == 6 and str(path) in value["error"] and path.read_text() == text


def test_places(here, own_home, gait, monkeypatch):
    for name, host, inside in (("CLAUDE_CONFIG_DIR", "claude-code", "settings.json"), ("CODEX_HOME", "codex", "hooks.json"), ("GT_HOME", "gastown", ".gt/hooks-base.json")):
        monkeypatch.setenv(name, str(here / host))
        assert install(gait, host)["path"] == str(here / host / inside)
    assert install(gait, "claude-code", "--scope", "project")["path"] == str(here / ".claude/settings.json")
    assert gait("install", "gastown", "--policy", "policy.yaml", "--scope", "project")[0] == 6
    (here / "real.json").write_text("{}")
    (here / ".gemini").mkdir()
    (here / ".gemini/settings.json").symlink_to(here / "real.json")  # as dotfile managers do it
    install(gait, "gemini", "--scope", "project")
    assert (here / ".gemini/settings.json").is_symlink() and "hook gemini" in (here / "real.json").read_text()


def test_names_that_a_shell_would_take_apart(here, own_home, gait):
    folder = here / "it's a \"folder\"\nwith $(touch pwned) -x"
    folder.mkdir()
    (folder / "policy.yaml").write_text("default_verdict: allow\n")
    code, value = gait("install", "claude-code", "--policy", folder / "policy.yaml", "--home", folder / "home")
    assert code == 0
    done = subprocess.run(["sh", "-c", value["command"]], input=json.dumps(EVENT), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and (folder / "home/journal/oneshot").is_dir()
    assert gait("install", "claude-code", "--policy", folder / "policy.yaml", "--home", folder / "home")[1]["changed"] is False
    assert not (here / "pwned").exists()


def test_what_would_refuse_every_call_is_not_installed(here, own_home, gait):
    code, value = gait("install", "claude-code")
    assert code == 6 and "gait policy init" in value["hint"]
    Path("policy.yaml").write_text("efect: 1\n")
    assert gait("install", "claude-code", "--policy", "policy.yaml")[0] == 6
    Path("policy.yaml").write_text("default_verdict: block\n")
    for options in (("--on-allow", "maybe"), ("--deadline", "0"), ("--server", "example.com:1"), ("--risk-class", "none"), ("--key-mode", "prod")):
        assert gait("install", "claude-code", "--policy", "policy.yaml", *options)[0] == 6
    assert gait("install", "codex", "--policy", "policy.yaml", "--on-allow", "approve")[0] == 6
    assert not (own_home / ".claude").exists() and not (own_home / ".codex").exists()


def test_two_installers_at_once(here, own_home, gait):
    command = [sys.executable, "-I", str(ROOT / "gait.py"), "hook", "install", "claude-code", "--policy", "policy.yaml", "--deadline"]
    children = [subprocess.Popen([*command, str(number)], stdout=subprocess.DEVNULL) for number in range(1, 7)]
    assert [child.wait(timeout=60) for child in children] == [0] * 6
    assert the_hook("claude-code", own_home / ".claude/settings.json").fires_always


# --- gait doctor ---------------------------------------------------------------------------------


def found(host):
    return next((finding for finding in checks.check_hooks() if finding.name == f"hook_{host}"), None)


def test_without_a_hook_there_is_nothing_to_say(here):
    assert checks.check_hooks() == []


@pytest.mark.parametrize("host", [host for host in FILES if host != "codex"])
def test_a_hook_that_fires(here, gait, host):
    install(gait, host)
    assert found(host).status == "ok"
    Path("policy.yaml").write_text("\x00")
    assert found(host).status == "fail" and "every call is refused" in found(host).detail


def damage(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "old,new,word",
    [
        ('"matcher": ""', '"matcher": "Bash(rm*)"', "leaves tools out"),
        (json.dumps(FAIL_CLOSED)[1:-1], "", "|| exit 2"),
        ('"timeout": 60', '"timeout": 10', "stops waiting"),
        (f"{ROOT}/gait.py", "/gone/gait.py", "every call is refused"),
        ('"hooks": {\n', '"disableAllHooks": true,\n  "hooks": {\n', "switches every hook off"),
    ],
)
def test_what_keeps_a_hook_from_working(here, own_home, gait, old, new, word):
    install(gait, "claude-code")
    damage(own_home / ".claude/settings.json", old, new)
    assert found("claude-code").status == "fail" and word in found("claude-code").detail and found("claude-code").fix


def test_a_projects_settings_may_switch_hooks_off_but_run_nothing(here, gait):
    install(gait, "claude-code")
    Path(".claude").mkdir()
    Path(".claude/settings.local.json").write_text('{"disableAllHooks": true}')
    assert found("claude-code").status == "fail"
    Path("gait.py").write_text("open('pwned', 'w')")
    line = f"{sys.executable} -I {here}/gait.py hook codex --policy p || exit 2"
    Path(".codex").mkdir()
    Path(".codex/hooks.json").write_text(json.dumps({"hooks": {"PreToolUse": [{"hooks": [{"command": line}]}]}}))
    assert found("codex").status == "warn" and not Path("pwned").exists()
    damage(".codex/hooks.json", sys.executable, "/nowhere/python3")
    assert found("codex").status == "fail" and not Path("pwned").exists()


def test_gemini_may_switch_it_off(here, own_home, gait):
    install(gait, "gemini")
    Path(".gemini").mkdir()
    Path(".gemini/settings.json").write_text('{"hooksConfig": {"disabled": ["gait"]}}')
    assert found("gemini").status == "fail"


@pytest.mark.parametrize(
    "status,answer",
    [
        ("ok", '[{"sourcePath": "%s", "trustStatus": "trusted", "enabled": true}]'),
        ("fail", '[{"sourcePath": "%s", "trustStatus": "untrusted", "enabled": true}]'),
        ("fail", '[{"sourcePath": "%s", "trustStatus": "modified"}]'),
        ("fail", '[{"sourcePath": "%s", "trustStatus": "trusted", "enabled": false}]'),
        ("warn", "[]"),
        ("warn", "nonsense"),
    ],
)
def test_codex_is_asked(here, own_home, gait, monkeypatch, status, answer):
    """A stand-in for `codex app-server`; scripts/integration_hooks.py asks the real one."""
    install(gait, "codex")
    listed = answer % (own_home / ".codex/hooks.json") if "%s" in answer else answer
    (here / "bin").mkdir()
    (here / "bin/codex").write_text(f"""#!/bin/sh
read a; echo '{{"id": 1, "result": {{}}}}'; read b; read c; echo '{{"id": 2, "result": {{"data": [{{"hooks": {listed}}}]}}}}'; sleep 60
""")
    (here / "bin/codex").chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}/bin:{os.environ['PATH']}")
    assert found("codex").status == status


def test_gas_town_overrides_and_syncs(here, own_home, gait, monkeypatch):
    install(gait, "gastown")
    town = here / "town"
    role = town / "rig/polecats/.claude/settings.json"
    role.parent.mkdir(parents=True)
    role.write_text('{"hooks": {"PreToolUse": []}}')
    monkeypatch.setenv("GT_ROOT", str(town))
    assert found("gastown").status == "fail" and "gt hooks sync" in found("gastown").fix
    role.write_text(json.dumps({"hooks": json.loads((own_home / ".gt/hooks-base.json").read_text())}))
    assert found("gastown").status == "ok"
    override = own_home / ".gt/hooks-overrides/polecats.json"
    override.parent.mkdir()
    override.write_text('{"PreToolUse": [{"matcher": "", "hooks": []}]}')
    assert found("gastown").status == "fail" and str(override) in found("gastown").detail
    override.write_text('{"PreToolUse": [{"matcher": "Bash", "hooks": []}]}')
    assert found("gastown").status == "ok"


@pytest.mark.parametrize("place", ["rig/polecats/nux/.claude/settings.local.json", "rig/polecats/nux/rig/.claude/settings.json", "mayor/.claude/settings.local.json", "~/.claude/settings.json"])
def test_a_worktree_that_switches_hooks_off_is_seen(here, own_home, gait, monkeypatch, place):
    """Real Claude Code obeys it: scripts/integration_hooks.py shows that the tool runs then."""
    install(gait, "gastown")
    town = here / "a [town]"
    town.mkdir()
    monkeypatch.setenv("GT_ROOT", str(town))
    path = own_home / place[2:] if place.startswith("~") else town / place
    path.parent.mkdir(parents=True)
    for text, status in (('{"disableAllHooks": true}', "fail"), ('{"disableAllHooks": true, "a": 1, "a": 2}', "warn"), ('{"hooks": {}}', "ok")):
        path.write_text(text)
        told = found("gastown")
        assert told.status == status and (status == "ok" or str(path) in told.detail)


@pytest.mark.parametrize("text, status", [
    ('{"default_agent": "codex"}', "warn"), ('{"default_agent": "claude", "role_agents": {"polecats": "gemini"}}', "warn"),
    ('{"default_agent": "mine", "agents": {"mine": {"command": "/opt/bin/claude"}}}', "ok"), ('{"default_agent": "mine", "agents": {"mine": {"command": "wrap"}}}', "warn"),
    ('{"default_agent": "claude"}', "ok"), ("[]", "ok"), ("{", "ok"), ('{"role_agents": [], "agents": 3}', "ok"),
])  # fmt: skip
def test_a_role_that_another_program_runs_is_told(here, gait, monkeypatch, text, status):
    install(gait, "gastown")
    (here / "town/settings").mkdir(parents=True)
    (here / "town/settings/config.json").write_text(text)
    monkeypatch.setenv("GT_ROOT", str(here / "town"))
    assert found("gastown").status == status


@pytest.mark.parametrize("host", ["claude-code", "gastown"])
@pytest.mark.parametrize("name", ["CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_SAFE_MODE"])
def test_a_variable_that_starts_claude_code_without_hooks_is_seen(here, gait, monkeypatch, host, name):
    install(gait, host)
    for value, status in (("1", "fail"), ("true", "fail"), ("0", "ok"), ("", "ok")):
        monkeypatch.setenv(name, value)
        assert found(host).status == status and (status == "ok" or name in found(host).detail)


_BARE = {"args": ["--bare"]}


@pytest.mark.parametrize("place, own, status", [
    ("settings/config.json", _BARE, "fail"), ("rig/settings/agents.json", _BARE, "fail"), ("settings/agents.json", _BARE, "fail"),
    *(("settings/agents.json", own, "fail") for own in ({"args": ["-x", "--safe-mode"]}, {"env": {"CLAUDE_CODE_SIMPLE": "1"}}, {"env": {"CLAUDE_CODE_SAFE_MODE": True}})),
    *(("settings/agents.json", own, "ok") for own in ({"args": ["--dangerously-skip-permissions"], "env": {"A": "1"}}, {"args": "--bare", "env": []}, 3)),
])  # fmt: skip
def test_an_agent_of_a_town_that_is_started_without_hooks_is_seen(here, gait, monkeypatch, place, own, status):
    install(gait, "gastown")
    path = here / "town" / place
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"agents": {"mine": own}}))
    monkeypatch.setenv("GT_ROOT", str(here / "town"))
    assert found("gastown").status == status
