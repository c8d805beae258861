"""What Gait's own code says that it can say: error codes, finding codes, reason codes, environment variables, commands and options.

Nothing is listed here by hand: the tables are read out of the syntax trees of gait/ and out of the live parsers, for the generated
references (reference.py) and for the tests that nothing is left undocumented.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Iterator, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from gait import cli, errors  # noqa: E402

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


class Module(NamedTuple):
    """One file of gait/ with its tree; `name` is dotted, from `gait` on."""

    name: str
    tree: ast.Module


@lru_cache(maxsize=None)
def modules() -> tuple[Module, ...]:
    """Every module of gait/."""
    found = []
    for path in sorted((ROOT / "gait").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, ast.parse(path.read_text("utf-8"), str(path))))
    return tuple(found)


def path_of(name: str) -> str:
    """The file of a module."""
    path = name.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


# --- error and finding codes ---------------------------------------------------------------------


class Code(NamedTuple):
    """A code, the error classes that carry it (none: it is only ever a finding), the HTTP statuses given with it, and the modules that name it."""

    code: str
    classes: tuple[str, ...]
    statuses: tuple[int, ...]
    modules: tuple[str, ...]


@lru_cache(maxsize=None)
def error_classes() -> dict[str, type[errors.GaitError]]:
    """GaitError and every class below it, by name."""
    for module in modules():
        if module.name != "gait.__main__":
            importlib.import_module(module.name)
    found, rest = {}, [errors.GaitError]
    while rest:
        one = rest.pop()
        found[one.__name__] = one
        rest += one.__subclasses__()
    return found


@lru_cache(maxsize=None)
def codes() -> dict[str, Code]:
    """Every code that the tree names as one: `code=`, an `error_code`, or an argument called `code` of a function or document."""
    everywhere = {name: found for module in modules() for name, found in _carriers(module.tree)}
    found: dict[str, tuple[set[str], set[int], set[str]]] = {}
    for module in modules():
        own = dict(_carriers(module.tree))
        defined = {node.name for node in ast.walk(module.tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        others = {name: found for name, found in everywhere.items() if name not in defined}
        for code, carrier, status in _named(module.tree, {**others, **own}):
            if not carrier and module.name.startswith("gait.gate."):
                continue  # a reason code with its violation
            classes, statuses, places = found.setdefault(code, (set(), set(), set()))
            places.add(module.name)
            classes |= {carrier} - {""}
            statuses |= {status} - {0}
    return {code: Code(code, *(tuple(sorted(one)) for one in sets)) for code, sets in sorted(found.items())}  # type: ignore[arg-type]


def _carriers(tree: ast.Module) -> Iterator[tuple[str, tuple[int, str]]]:
    """The callables with a parameter `code`: name -> its place, and the error class that they make."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
            if "code" in fields and not any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body):
                yield node.name, (fields.index("code"), "")
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    yield from _carrier(item, node.name, node.name)
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            made = {called.func.id for called in ast.walk(node) if isinstance(called, ast.Call) and isinstance(called.func, ast.Name)}
            yield from _carrier(node, node.name, next(iter(sorted(made & set(error_classes()))), ""))


def _carrier(function: ast.FunctionDef, name: str, makes: str) -> Iterator[tuple[str, tuple[int, str]]]:
    words = [argument.arg for argument in function.args.args if argument.arg != "self"]
    texts = {argument.arg for argument in function.args.args if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "str"}
    if "code" in words and "code" in texts:
        yield name, (words.index("code"), makes)


def _named(tree: ast.Module, carriers: dict[str, tuple[int, str]]) -> Iterator[tuple[str, str, int]]:
    """Each code with its error class, empty for none, and its HTTP status, 0 for none."""
    classes = error_classes()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and carriers.get(node.name, (0, ""))[1]:
            yield from ((code, carriers[node.name][1], 0) for item in ast.walk(node) if isinstance(item, ast.Assign) and _targets(item) == ["code"] for code in _texts(item.value))
        if isinstance(node, ast.Call):
            yield from _called(node, carriers)
        elif isinstance(node, ast.ClassDef) and node.name in classes:
            values = [item.value for item in node.body if isinstance(item, ast.Assign) and _targets(item) == ["error_code"]]
            yield from ((code, node.name, 0) for value in values for code in _texts(value))
        elif isinstance(node, ast.Assign) and _targets(node) in (["error_code"], ["code"]):
            yield from ((code, "", 0) for code in _texts(node.value) if "_" in code)
        elif isinstance(node, (ast.Return, ast.Yield)) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
            first, second = node.value.elts[:2]  # a code with its message
            if isinstance(second, (ast.Constant, ast.JoinedStr)) and " " in ast.unparse(second):
                yield from ((code, "", 0) for code in _texts(first) if "_" in code)


def _targets(node: ast.Assign) -> list[str]:
    return [getattr(target, "attr", "") or getattr(target, "id", "") for target in node.targets]


def _called(node: ast.Call, carriers: dict[str, tuple[int, str]]) -> Iterator[tuple[str, str, int]]:
    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
    place, makes = carriers.get(name, (len(node.args), ""))
    carrier = name if name in error_classes() else makes
    first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else 0
    status = first if type(first) is int and 400 <= first < 600 else 0
    yield from ((code, carrier, status) for keyword in node.keywords if keyword.arg == "code" for code in _texts(keyword.value))
    texts = [code for value in node.args[place : place + 1] for code in _texts(value)]
    yield from ((code, carrier, status) for code in texts if "_" in code or name[:1].isupper())  # `add` is a set's word too


def _texts(value: ast.expr) -> Iterator[str]:
    """The texts that an expression may be, both branches of a condition."""
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
    elif isinstance(value, ast.BoolOp):
        for item in value.values:
            yield from _texts(item)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str) and _CODE.fullmatch(value.value):
        yield value.value


# --- reason codes and violations -----------------------------------------------------------------


@lru_cache(maxsize=None)
def deciding_words() -> dict[str, tuple[str, ...]]:
    """Every word_with_underscores in the modules that decide, with those modules, but for names of fields: reason codes, violations, and little else."""
    members = {item.target.id for module in modules() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)
               for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}  # fmt: skip
    found: dict[str, set[str]] = {}
    for module in modules():
        if module.name.startswith("gait.gate.") or module.name == "gait.mcp.catalog" or _decides(module.tree):
            fields = {id(node) for node in _field_names(module.tree)}
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORD.fullmatch(node.value) and id(node) not in fields:
                    found.setdefault(node.value, set()).add(module.name)
    return {word: tuple(sorted(places)) for word, places in sorted(found.items()) if word not in members}


_READERS = frozenset("raw has first given at text required word integer boolean items fields object texts words get pop setdefault getattr dict".split())


def _field_names(tree: ast.Module) -> Iterator[ast.AST]:
    """The constants that name a field or an error: keys of objects, subscripts, what is asked of a reader, an error's path and code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (key for key in node.keys if key)
        elif isinstance(node, ast.Subscript):
            yield from ast.walk(node.slice)
        elif isinstance(node, ast.Call) and _name(node.func) in _READERS:
            yield from node.args[:1] + node.args[1:2] * (_name(node.func) in ("getattr", "first"))
        elif isinstance(node, ast.keyword) and node.arg == "path":
            yield from ast.walk(node.value)
        elif isinstance(node, ast.Call) and _name(node.func) in error_classes():
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")


def _decides(tree: ast.Module) -> bool:
    """Whether a module makes proofs, or decisions whatever the policy says."""
    taken = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "gate" in (node.module or "") for alias in node.names}
    return bool(taken & {"Proof", "barred"})


# --- environment variables -----------------------------------------------------------------------


@lru_cache(maxsize=None)
def variables() -> dict[str, tuple[str, ...]]:
    """The names of environment variables that gait/ reads: words in capitals of the modules that touch the environment, and `NAME=~/path` texts."""
    words = {word for command in commands() for action in options(command) for word in _metavars(action)}
    found: dict[str, set[str]] = {}
    for module in modules():
        if not any(isinstance(node, (ast.Attribute, ast.Name)) and _name(node) in ("environ", "getenv") for node in ast.walk(module.tree)):
            continue
        for node in ast.walk(module.tree):
            name = node.value.partition("=~")[0] if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if _VARIABLE.fullmatch(name) and len(name) > 3 and not name.startswith("SIG") and (name not in words or name in ("PATH", "HOME")):
                found.setdefault(name, set()).add(module.name)
    return {name: tuple(sorted(places)) for name, places in sorted(found.items()) if name not in _METHODS}


_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH", "COMMAND", "VERB", "HOST")


def _name(node: ast.expr) -> str:
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _metavars(action: argparse.Action) -> list[str]:
    given = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
    return re.findall("[A-Z]+", " ".join(given))


# --- commands ------------------------------------------------------------------------------------


class Command(NamedTuple):
    """One noun, or noun and verb, with its parser, every option added."""

    name: str
    summary: str
    parser: argparse.ArgumentParser


@lru_cache(maxsize=None)
def commands() -> tuple[Command, ...]:
    """Every command, in the order of `gait --help`."""
    found: list[Command] = []
    for noun, summary in cli.COMMANDS.items():
        found += _commands(noun, summary, cli.parser_of(noun))
    return tuple(found)


def _commands(name: str, summary: str, parser: argparse.ArgumentParser) -> Iterator[Command]:
    later = getattr(parser, "later", None)
    if later:
        parser.later = None  # type: ignore[attr-defined]
        later(parser)
    yield Command(name, summary, parser)
    helps = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    for verb, below in cli.verbs_of(parser).items():
        yield from _commands(f"{name} {verb}", helps.get(verb, ""), below)


def options(command: Command) -> list[argparse.Action]:
    """The options and arguments of a command, without --help and its verbs."""
    skipped = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in command.parser._actions if not isinstance(action, skipped)]


def module_of(noun: str) -> str:
    """The first line of the module behind a noun."""
    return (inspect.getdoc(importlib.import_module(f"gait.cli.{noun}")) or "").split("\n", 1)[0]
