"""Whether each hook of Gait that is installed would really fire, and refuse when it cannot decide.  For `gait doctor`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping

from ..errors import GaitError
from ..formats.documents import NamedTuple
from . import settings_files
from .install import launcher
from .options import DEADLINE_SECONDS
from .settings_files import SHAPES, Hook

_SECONDS = 20.0
_MANAGED = ("/etc/claude-code/managed-settings.json", "/Library/Application Support/ClaudeCode/managed-settings.json")
_ROLES = ("crew", "witness", "refinery", "polecats")
_MAX_RIGS = 200
_DEPTH = 5  # town/rig/polecats/NAME/rig
_MAX_WORKTREES = 5000
# What starts Claude Code without hooks, whatever its settings say (2.1.330).
_FLAGS = {"--bare", "--safe-mode"}
_VARIABLES = ("CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_SAFE_MODE")


class Finding(NamedTuple):
    """One hook, or what stands in its way: status is ok, warn or fail."""

    name: str
    status: str
    detail: str
    fix: str = ""


_Problem = tuple[str, str, str]  # status, detail, fix


def check_hooks() -> list[Finding]:
    """A finding for each settings file, of the user and of this folder, that holds a hook of Gait; none where none is installed."""
    found = []
    for host, shape in SHAPES.items():
        for scope in ("user", "project") if shape.project else ("user",):
            finding = _check_file(host, scope)
            if finding:
                found.append(finding)
    return found


def _check_file(host: str, scope: str) -> Finding | None:
    name = f"hook_{host}"
    try:
        path = settings_files.path_of(host, scope)
        hooks = list(settings_files.hooks_in(host, settings_files.load(path)[1])) if os.path.lexists(path) else []
    except GaitError as error:
        return Finding(name, "warn", str(error), error.hint)
    if not hooks:
        return None
    again = f"gait hook install {host}" + (" --scope project" if scope == "project" else "")
    try:
        for problem in _problems(host, scope, hooks[0], path):
            return Finding(name, *problem[:2], problem[2] or again)
    except (OSError, GaitError) as error:
        return Finding(name, "fail", f"{path}: {error}", again)
    return Finding(name, "ok", f"{path} asks Gait before each tool call")


def _problems(host: str, scope: str, hook: Hook, path: str) -> Iterator[_Problem]:
    """What keeps a hook from firing or from refusing, worst first."""
    if not hook.fires_always:
        yield "fail", f"{path}: the matcher {str(hook.matcher)[:40]!r} leaves tools out", ""
    yield from _line_problems(host, scope, hook, path)
    yield from _OF_HOST[host](path)


def _line_problems(host: str, scope: str, hook: Hook, path: str) -> Iterator[_Problem]:
    shape = SHAPES[host]
    command = str(hook.value.get(shape.command))
    if not command.rstrip().endswith("|| exit 2"):
        yield "fail", f"{path}: without `|| exit 2` at its end the tool runs when Gait cannot start", ""
    words = settings_files.words_of(command)
    # A project's file is whoever's who wrote to the project: only this very Gait is run from it.
    is_run = scope == "user" or words[: len(launcher())] == launcher()
    refusal = _run([*words, "--check"]) if is_run else _missing(words)
    if refusal:
        yield "fail", f"{path}: every call is refused: {refusal}", ""
    limit = hook.value.get(shape.timeout) if shape.timeout else None
    if isinstance(limit, (int, float)) and limit < (_deadline(words) + 5) * shape.units:
        yield "fail", f"{path}: the host stops waiting, and runs the tool, before Gait's own deadline", ""


def _deadline(words: list[str]) -> float:
    return float(words[words.index("--deadline") + 1]) if "--deadline" in words[:-1] else DEADLINE_SECONDS


def _run(words: list[str]) -> str:
    """Why a command did not end well, empty when it did."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return str(getattr(error, "strerror", None) or error)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")[:400]


def _missing(words: list[str]) -> str:
    """What a command line names and is not there, empty when all is."""
    if not os.access(words[0], os.X_OK):
        return f"{words[0]} cannot be run"
    return next((f"{word} is not there" for word in words[1:3] if word.endswith(("gait.py", ".pyz")) and not os.path.isfile(word)), "")


# --- what each host has to switch hooks off ------------------------------------------------------


def _of_claude(path: str) -> Iterator[_Problem]:
    yield from _of_environment(os.environ, "this environment", "unset it")
    yield from _switched_off((*_claude_settings(), ".claude/settings.json", ".claude/settings.local.json"))
    for place in _MANAGED:
        if _read(place).get("allowManagedHooksOnly") is True:
            yield "fail", f"{place} lets only managed hooks fire", f"put the hook into {place}"


def _of_environment(environment: Mapping[str, object], where: str, fix: str) -> Iterator[_Problem]:
    for name in _VARIABLES:
        if str(environment.get(name) or "").lower() not in ("", "0", "false", "no", "off"):
            yield "fail", f"{where} has {name}, with which Claude Code fires no hook", fix


def _claude_settings() -> list[str]:
    folder = os.path.dirname(settings_files.path_of("claude-code", "user"))
    return [os.path.join(folder, "settings.json"), *_MANAGED]


def _switched_off(places: Iterable[str]) -> Iterator[_Problem]:
    """Claude Code's settings that switch every hook off: one file is enough, also for hooks that come by another one."""
    for place in places:
        if not os.path.lexists(place):
            continue
        try:
            value = settings_files.load(place)[1]
        except GaitError as error:  # the host may read it all the same
            yield "warn", f"{place} may switch every hook off: {error.message}", f"correct {place}"
            continue
        if type(value) is dict and value.get("disableAllHooks") is True:
            yield "fail", f"{place} switches every hook off", f"remove disableAllHooks from {place}"


def _of_gemini(path: str) -> Iterator[_Problem]:
    for place in (settings_files.path_of("gemini", "user"), ".gemini/settings.json"):
        config = _read(place).get("hooksConfig")
        disabled = config.get("disabled") if type(config) is dict else None
        if type(config) is dict and (config.get("enabled") is False or (type(disabled) is list and "gait" in disabled)):
            yield "fail", f"{place} switches the hook off", f"correct hooksConfig in {place}"


def _of_codex(path: str) -> Iterator[_Problem]:
    """Codex itself says whether it trusts the hook: its app server lists hooks, and runs none."""
    hook = next((hook for hook in _codex_hooks() or () if os.path.realpath(str(hook.get("sourcePath"))) == os.path.realpath(path)), None)
    if hook is None:
        detail = f"{path}: Codex could not be asked whether it trusts the hook; it skips hooks that it does not trust"
        yield "warn", detail, "open /hooks in codex and see that the hook is trusted"
    elif hook.get("trustStatus") not in ("trusted", "managed") or hook.get("enabled") is False:
        detail = f"{path}: Codex skips this hook, and runs the tools: {hook.get('trustStatus')}, enabled {hook.get('enabled')}"
        yield "fail", detail, "start codex, open /hooks and trust the hook"


def _codex_hooks() -> list[dict[str, object]] | None:
    """The hooks that Codex finds for this folder, None when it cannot be asked."""
    asked = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "gait", "title": "gait", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "hooks/list", "params": {"cwds": [os.getcwd()]}},
    ]
    text = "".join(json.dumps(message) + "\n" for message in asked)
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(["codex", "app-server"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    except OSError:
        return None
    try:
        return _answer_of(process, text)
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return None
    finally:
        _kill(process)
        process.communicate()


def _kill(process: subprocess.Popen[str]) -> None:
    """End it with what it has started, which may hold its pipes."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # it has ended


def _answer_of(process: subprocess.Popen[str], text: str) -> list[dict[str, object]] | None:
    from threading import Timer

    timer = Timer(_SECONDS, _kill, (process,))
    timer.start()
    try:
        process.stdin.write(text)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        for line in process.stdout:  # type: ignore[union-attr]
            message = json.loads(line)
            if message.get("id") == 2:
                return list(message["result"]["data"][0]["hooks"])
    finally:
        timer.cancel()
    return None


def _of_gastown(path: str) -> Iterator[_Problem]:
    """`gt hooks sync` copies the base into each role's settings; an override with the same matcher takes its place."""
    overrides = os.path.join(os.path.dirname(path), "hooks-overrides")
    for name in sorted(os.listdir(overrides)) if os.path.isdir(overrides) else ():
        place = os.path.join(overrides, name)
        entries = _read(place).get("PreToolUse")
        matchers = [entry.get("matcher", "") for entry in entries if type(entry) is dict] if type(entries) is list else []
        if "" in matchers and not list(settings_files.hooks_in("gastown", _read(place))):
            yield "fail", f"{place} replaces the base's entry, and Gait's hook with it", f"add the hook to {place}, then gt hooks sync"
    town = os.environ.get("GT_ROOT") or os.path.expanduser("~/gt")
    for place in _synced(town):
        hooks = list(settings_files.hooks_in("gastown", _read(place).get("hooks")))
        if not hooks:
            yield "fail", f"{place} does not hold the hook", "run `gt hooks sync`"
    yield from _started_without_hooks(town)
    yield from sorted(_switched_off((*_claude_settings(), *_worktrees(town))))  # fail before warn
    yield from _runtimes(town)


def _synced(town: str) -> Iterator[str]:
    """The settings that `gt hooks sync` has written in a town."""
    places = [os.path.join(town, role) for role in ("mayor", "deacon")]
    for rig in sorted(os.listdir(town))[:_MAX_RIGS] if os.path.isdir(town) else ():
        places += [os.path.join(town, rig, role) for role in _ROLES]
    settings = (os.path.join(place, ".claude", "settings.json") for place in places)
    return (place for place in settings if os.path.isfile(place))


def _worktrees(town: str) -> Iterator[str]:
    """Claude Code's settings in every folder of a town, down to a rig's worktrees: those come with the repository, or are the worker's."""
    from glob import escape, iglob
    from itertools import islice

    for depth in range(_DEPTH):
        for name in ("settings.json", "settings.local.json"):
            yield from islice(iglob(os.path.join(escape(town), *["*"] * depth, ".claude", name)), _MAX_WORKTREES)


def _agents(town: str) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """(file, name, definition) of each agent that a town, or a rig of it, defines."""
    rigs = sorted(os.listdir(town))[:_MAX_RIGS] if os.path.isdir(town) else []
    names = ["settings/config.json", "settings/agents.json", *(os.path.join(rig, "settings", "agents.json") for rig in rigs)]
    for place in (os.path.join(town, name) for name in names):
        agents = _read(place).get("agents")
        yield from ((place, name, own) for name, own in (agents.items() if type(agents) is dict else ()) if type(own) is dict)


def _started_without_hooks(town: str) -> Iterator[_Problem]:
    """Variables and flags are enough to start Claude Code without its hooks."""
    yield from _of_environment(os.environ, "this environment", "unset it")
    for place, name, own in _agents(town):
        args, env = own.get("args"), own.get("env")
        for word in [word for word in args if str(word) in _FLAGS] if type(args) is list else ():
            yield "fail", f"{place}: {name[:40]!r} is started with {word}, and fires no hook", f"remove {word} from {place}"
        yield from _of_environment(env if type(env) is dict else {}, f"{place}: {name[:40]!r}", f"remove it from {place}")


def _runtimes(town: str) -> Iterator[_Problem]:
    """Gas Town gives its hooks to Claude Code only: a role that another program runs is not asked about."""
    place = os.path.join(town, "settings", "config.json")
    value, known = _read(place), {name: own for _, name, own in _agents(town)}
    roles = value.get("role_agents")
    named = [value.get("default_agent"), *(roles.values() if type(roles) is dict else ())]
    for agent in sorted({str(name) for name in named if name}):
        command = known.get(agent, {}).get("command") or agent
        if os.path.basename(str(command)) != "claude":
            yield "warn", f"{place} has roles run by {agent[:40]!r}, which gets no hook from gt", "give it a hook of its own: `gait hook install --help`"


def _nothing(path: str) -> Iterator[_Problem]:
    return iter(())


def _read(path: str) -> Mapping[str, object]:
    """A settings file's object; empty when it is none."""
    try:
        value = settings_files.load(path)[1] if os.path.lexists(path) else {}
    except GaitError:
        return {}
    return value if type(value) is dict else {}


_OF_HOST = {"claude-code": _of_claude, "codex": _of_codex, "gemini": _of_gemini, "copilot": _nothing, "gastown": _of_gastown}
