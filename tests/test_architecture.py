"""The rules of docs/architecture.md, held over the syntax trees of gait/: nothing of it is imported here.

One exception: the start-up tests run a command in a process of its own and look at what it loaded.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = {
    **{"": 0, "errors": 0, "formats": 1, "signing": 2, "gate": 3, "adapters": 4, "runpack": 4, "exporters": 4},
    **{"regress": 5, "registry": 5, "guard": 5, "system": 6, "store": 7},
    # The one path from a call to a signed record, which mcp, service, hosts and the command line share.
    "judge": 7.5,
    "build": 6,
    "integrations": 2,
    **{"mcp": 8, "service": 8, "hosts": 8, "bridges": 8, "doctor": 8, "cli": 9, "__main__": 10},
}
SYSTEM = LAYERS["system"]

# Modules above the line that are pure all the same: bytes in, effects out, loops around them.
PURE_ABOVE_THE_LINE = (
    *("mcp.messages", "mcp.interceptor", "mcp.sse", "mcp.lines", "mcp.headers", "mcp.pending", "mcp.refusals", "mcp.effects"),
    *("mcp.unwrap", "mcp.lock", "mcp.changes", "mcp.listing", "mcp.names", "mcp.mirrors", "service.api", "bridges.beads.issue"),
)

# What reads or changes the world outside the arguments: clock, randomness, files, environment, processes, sockets.
IMPURE_MODULES = frozenset(
    """
    asyncio atexit concurrent ctypes curses dbm fcntl fileinput ftplib getpass glob http imaplib importlib
    inspect linecache locale logging mailbox marshal mmap msvcrt multiprocessing netrc nntplib nt ntpath os
    pathlib pickle pkgutil platform poplib posix posixpath pty pwd queue random readline resource runpy sched secrets
    select selectors shelve shutil signal site smtplib socket socketserver sqlite3 ssl subprocess sys sysconfig
    syslog tarfile telnetlib tempfile termios threading time timeit tracemalloc urllib.error urllib.request
    urllib.robotparser uuid venv webbrowser winreg wsgiref xmlrpc zipimport zoneinfo _thread _socket _random
    """.split()
)
# What such a module may give all the same: (module of gait, name it takes) -> why that is pure.
PURE_NAMES = {
    ("formats.timestamps", "time.gmtime"): "a given number of seconds as calendar fields",
    ("formats.timestamps", "time.strftime"): "given calendar fields as text, numeric directives only",
    ("adapters", "importlib.import_module"): "the table of adapters imports the one that is asked for",
}
IMPURE_BUILTINS = frozenset({"open", "input", "print", "eval", "exec", "compile", "__import__", "breakpoint"})
IMPURE_METHODS = frozenset({"now", "utcnow", "today"})  # of datetime and date

# Host programs' own packages, imported inside functions of gait/hosts/ only.
FRAMEWORKS = frozenset(
    """agents autogen autogen_agentchat autogen_core autogpt autogpt_libs backend crewai forge langchain langchain_core
    langgraph openai pydantic""".split()
)
# sys.stdlib_module_names came with 3.10; for 3.9 a module's origin tells, but for those of other platforms.
OTHER_PLATFORMS = frozenset({"msvcrt", "winreg", "nt", "_winapi", "fcntl", "pwd", "termios", "resource"})

BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "core", "models", "types", "base"})
TABLES = frozenset({"adapters", "cli"})  # packages whose __init__ holds the table of their modules
DYNAMIC = frozenset({"adapters", "cli", "hosts"})  # where importlib may import by name


class Import(NamedTuple):
    """One imported name: `target` is dotted, without `gait.` when `ours`."""

    target: str
    ours: bool
    absolute: bool
    line: int
    at_module_level: bool


class Module(NamedTuple):
    """One file of gait/; `name` is dotted, without `gait.`, and empty for the package itself."""

    name: str
    path: Path
    is_package: bool
    text: str
    tree: ast.Module

    def at(self, line: int) -> str:
        """A place that an editor can open."""
        return f"{self.path.relative_to(ROOT)}:{line}"


@lru_cache(maxsize=None)
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted((ROOT / "gait").rglob("*.py")):
        parts = path.relative_to(ROOT / "gait").with_suffix("").parts
        is_package = parts[-1] == "__init__"
        text = path.read_text(encoding="utf-8")
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path, is_package, text, parsed(text, path)))
    return tuple(found)


def parsed(text: str, path: Path) -> ast.Module:
    """The tree, by the grammar of the oldest Python; empty if it has none: one test says so, the others go on."""
    try:
        return ast.parse(text, str(path), feature_version=(3, 9))
    except SyntaxError:
        return ast.Module([], [])


@lru_cache(maxsize=None)
def names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def top(name: str) -> str:
    return name.split(".", 1)[0]


def layer(name: str) -> int:
    return LAYERS.get(top(name), max(LAYERS.values()))  # one test says that it has none


@lru_cache(maxsize=None)
def imports(module: Module) -> tuple[Import, ...]:
    """Every import of a file, those inside functions and under TYPE_CHECKING too."""
    return tuple(_imports(module, module.tree, True))


def _imports(module: Module, node: ast.AST, at_module_level: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, top(alias.name) == "gait", True, child.lineno, at_module_level)
        elif isinstance(child, ast.ImportFrom):
            yield from _from_imports(module, child, at_module_level)
        yield from _imports(module, child, at_module_level and not runs_later(child))


def runs_later(node: ast.AST) -> bool:
    """Whether its body does not run when the module is loaded."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def _from_imports(module: Module, node: ast.ImportFrom, at_module_level: bool) -> Iterator[Import]:
    if not node.level:
        for alias in node.names:
            target = f"{node.module}.{alias.name}"
            yield Import(target, top(target) == "gait", True, node.lineno, at_module_level)
        return
    here = [part for part in module.name.split(".") if part]
    steps = node.level - (1 if module.is_package else 0)
    origin = here[: len(here) - steps] + (node.module.split(".") if node.module else [])
    for alias in node.names:
        yield Import(".".join([*origin, alias.name]), True, False, node.lineno, at_module_level)


def module_of(target: str) -> str:
    """The module that a dotted target is in: `gate.intent.Target` -> `gate.intent`."""
    while target and target not in names():
        target = target.rpartition(".")[0]
    return target


def own_imports(module: Module) -> Iterator[tuple[str, Import]]:
    for item in imports(module):
        if item.ours and not item.absolute:
            yield module_of(item.target), item


def functions() -> Iterator[tuple[Module, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield module, node, (node.end_lineno or node.lineno) - node.lineno + 1


def is_pure(name: str) -> bool:
    return layer(name) < SYSTEM or name.startswith(PURE_ABOVE_THE_LINE)


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


# --- layers ------------------------------------------------------------------------------------


def test_there_is_something_to_look_at():
    assert {"", "errors", "formats.jcs", "gate.evaluate", "__main__"} <= names()


def test_every_file_parses():
    report([f"{m.at(1)}: no Python 3.9" for m in modules() if m.text.strip() and not m.tree.body])


def test_every_module_has_a_layer():
    report([f"{m.at(1)}: {top(m.name)} has no layer in LAYERS" for m in modules() if top(m.name) not in LAYERS])


def test_every_folder_is_a_package():
    folders = {m.path.parent for m in modules()}
    report([f"{folder}: no __init__.py, so pip would leave it out" for folder in folders if not (folder / "__init__.py").is_file()])


def test_imports_go_downwards_or_stay_in_the_package():
    problems = []
    for module in modules():
        for target, item in own_imports(module):
            if top(target) == top(module.name) or layer(target) < layer(module.name):
                continue
            problems.append(f"{module.at(item.line)}: {module.name} (L{layer(module.name)}) imports {item.target} (L{layer(target)})")
    report(problems)


def test_no_relative_import_names_something_that_is_not_there():
    """`from . import x` of a missing module would otherwise count as an import of the package."""
    problems = []
    for module in modules():
        for target, item in own_imports(module):
            rest = item.target[len(target) :].lstrip(".")
            if rest.count(".") or (rest and not defines(target, rest)):
                problems.append(f"{module.at(item.line)}: {item.target} is not there")
    report(problems)


def defines(name: str, word: str) -> bool:
    module = next(m for m in modules() if m.name == name)
    return word in bound(module)


@lru_cache(maxsize=None)
def bound(module: Module) -> frozenset[str]:
    """The names that a module's top level binds."""
    found = {item.target.rpartition(".")[2] for item in imports(module) if item.at_module_level}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return frozenset(found)


def test_no_cycles():
    graph = {m.name: {target for target, _ in own_imports(m)} - {m.name} for m in modules()}
    problems, done = [], set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            problems.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for target in sorted(graph[name]):
                walk(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())
    report(problems)


# --- what is imported --------------------------------------------------------------------------


def test_imports_of_gait_are_relative():
    report([f"{m.at(i.line)}: {i.target} is imported absolutely" for m in modules() for i in imports(m) if i.ours and i.absolute])


def in_standard_library(name: str) -> bool:
    if name in OTHER_PLATFORMS or name in sys.builtin_module_names:
        return True
    if hasattr(sys, "stdlib_module_names"):
        return name in sys.stdlib_module_names
    spec = importlib.util.find_spec(name)
    if spec is None:
        return False
    if spec.origin in ("built-in", "frozen"):
        return True
    folder = os.path.dirname(os.__file__)
    origin = spec.origin or ""
    return origin.startswith(folder + os.sep) and "site-packages" not in origin and "dist-packages" not in origin


def test_only_the_standard_library():
    problems = []
    for module in modules():
        for item in imports(module):
            if item.ours or in_standard_library(top(item.target)):
                continue
            allowed = top(module.name) == "hosts" and not item.at_module_level and top(item.target) in FRAMEWORKS
            if not allowed:
                problems.append(f"{module.at(item.line)}: {item.target} is not in the standard library")
    report(problems)


def is_impure(target: str) -> bool:
    parts = target.split(".")
    return any(".".join(parts[:length]) in IMPURE_MODULES for length in range(1, len(parts) + 1))


def test_below_system_nothing_reads_the_world():
    problems = []
    for module in filter(lambda m: is_pure(m.name), modules()):
        for item in imports(module):
            if not item.ours and is_impure(item.target) and (module.name, item.target) not in PURE_NAMES:
                problems.append(f"{module.at(item.line)}: {item.target} is not pure")
        problems += [f"{module.at(line)}: {what} is not pure" for line, what in impure_calls(module)]
    report(problems)


def impure_calls(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in IMPURE_BUILTINS:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and node.attr in IMPURE_METHODS:
            owner = getattr(node.value, "attr", "") or getattr(node.value, "id", "")
            if owner in ("datetime", "date"):
                yield node.lineno, f"{owner}.{node.attr}"


def test_pure_names_are_all_in_use():
    used = {(m.name, i.target) for m in modules() for i in imports(m)}
    unused = [key for key in PURE_NAMES if key not in used and key[0] in names() and key[0] != "adapters"]
    assert not unused


def test_import_by_name_only_where_a_table_is_kept():
    problems = []
    for module in modules():
        for item in imports(module):
            if top(item.target) in ("importlib", "pkgutil", "runpy", "imp") and top(module.name) not in DYNAMIC:
                problems.append(f"{module.at(item.line)}: {item.target} would escape the layers")
    report(problems)


def test_a_package_imports_nothing():
    problems = []
    for module in modules():
        if not module.is_package or module.name in TABLES:
            continue
        for item in imports(module):
            if item.target != "__future__.annotations" and item.at_module_level:
                problems.append(f"{module.at(item.line)}: an __init__ imports {item.target}")
    report(problems)


def test_the_command_table_loads_no_other_module_of_gait():
    problems = []
    for module in modules():
        for target, item in own_imports(module):
            if module.name == "cli" and item.at_module_level and layer(target) > 0:
                problems.append(f"{module.at(item.line)}: {item.target} is loaded for every command")
    report(problems)


def test_no_dataclasses():
    report([f"{m.at(i.line)}: dataclasses cost 12 ms" for m in modules() for i in imports(m) if top(i.target) == "dataclasses"])


# --- size and style ----------------------------------------------------------------------------


def test_modules_are_short():
    sizes = {m.at(1): len(m.text.splitlines()) for m in modules()}
    report([f"{place}: {lines} lines, at most 400" for place, lines in sizes.items() if lines > 400])


def test_functions_are_short():
    report([f"{m.at(node.lineno)}: {node.name} has {lines} lines, at most 40" for m, node, lines in functions() if lines > 40])


def test_half_of_the_functions_are_under_ten_lines(record_testsuite_property):
    lengths = [lines for _, _, lines in functions()]
    median = statistics.median(lengths)
    record_testsuite_property("median_function_lines", median)
    print(f"{len(lengths)} functions, median {median} lines, longest {max(lengths)}")
    assert median < 10


def test_names_say_what_is_inside():
    parts = {(m, part) for m in modules() for part in m.name.split(".")}
    report([f"{m.at(1)}: {part!r} says nothing" for m, part in parts if part in BANNED_NAMES])


def test_no_assert_and_no_bare_except():
    problems = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assert):
                problems.append(f"{module.at(node.lineno)}: assert is gone under -O")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                problems.append(f"{module.at(node.lineno)}: bare except")
    report(problems)


def test_nothing_is_hidden_from_coverage():
    problems = []
    for module in modules():
        for number, line in enumerate(module.text.splitlines(), 1):
            if "pragma: no cover" in line and "if __name__" not in line:
                problems.append(f"{module.at(number)}: pragma: no cover")
    report(problems)


def test_only_the_command_line_prints():
    problems = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name) and node.id == "print" and top(module.name) != "cli":
                problems.append(f"{module.at(node.lineno)}: print")
    report(problems)


# --- start-up ----------------------------------------------------------------------------------

PROBE = """
import json, os, sys
before = set(sys.modules)
sys.path.append(sys.argv.pop(1))
from gait.cli import main
with open(os.devnull, "w") as sys.stdout:
    code = main(sys.argv[1:])
print(json.dumps([code, sorted(set(sys.modules) - before)]), file=sys.__stdout__)
"""

HEAVY = ("http", "socket", "subprocess", "zipfile", "email", "logging", "dataclasses", "asyncio", "ssl", "multiprocessing", "tempfile")

INTENT = {
    **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z"},
    **{"producer_version": "test", "tool_name": "tool.read", "args": {"path": "/tmp/a"}},
    "targets": [{"kind": "path", "value": "/tmp/a", "operation": "read"}],
    "context": {"identity": "alice", "workspace": "/repo", "risk_class": "low"},
}


def loaded(*arguments: object) -> tuple[int, list[str]]:
    """(exit code, modules that the command loaded) in a fresh, unmeasured process."""
    environment = {key: value for key, value in os.environ.items() if key != "COVERAGE_PROCESS_START"}
    command = [sys.executable, "-I", "-c", PROBE, str(ROOT), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    code, found = json.loads(done.stdout)
    return code, found


def test_version_loads_three_modules_of_its_own():
    code, found = loaded("version")
    own = [name for name in found if top(name) == "gait"]
    assert code == 0
    assert len(set(own) - {"gait", "gait.cli"}) <= 3, own
    assert not [name for name in found if name in HEAVY]


@pytest.mark.parametrize("name", ["policy.json", "policy.yaml"])
def test_gate_eval_loads_nothing_heavy(name, tmp_path):
    policy, intent = tmp_path / name, tmp_path / "intent.json"
    policy.write_text('{"default_verdict": "allow"}' if name.endswith("json") else "default_verdict: allow\n")
    intent.write_text(json.dumps(INTENT))
    code, found = loaded("gate", "eval", "--policy", policy, "--intent", intent, "--trace-out", tmp_path / "trace.json", "--json")
    assert code == 0
    assert not [module for module in found if module in HEAVY]
