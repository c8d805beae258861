"""The command line: COMMANDS maps each noun to its module, and only the one that is used is imported."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

# argparse would look on the disk for translations of its words, which costs every process 2 ms; Gait has English only.
argparse._ = str  # type: ignore[attr-defined]

COMMANDS = {
    "demo": "show the whole idea on one screen, offline",
    "gate": "evaluate an intent against a policy",
    "mcp": "decide tool calls: once, over HTTP, or between MCP clients and servers",
    "hook": "answer and install the hooks of agent hosts",
    "policy": "write, check, test and explain policies",
    "trace": "verify and show signed decisions",
    "journal": "verify, follow, export and count journals of signed decisions",
    "run": "record, inspect, diff, replay and reduce runs, and prove redacted values",
    "regress": "make tests of recorded runs, and find decisions that changed",
    "verify": "verify a run, a trace or a journal",
    "guard": "pack and verify the evidence of a run",
    "incident": "pack a run with the decisions around it",
    "report": "write a journal as one HTML page",
    "beads": "file refused decisions as issues of Beads",
    "approve": "approve one call, or calls of a kind",
    "approvals": "list, show and revoke approvals",
    "keys": "make, rotate and check signing keys",
    "skill": "sign packages of skills, and verify them",
    "registry": "build, install, list and verify signed packs",
    "openclaw": "install and check the OpenClaw skill and plugin",
    "stop": "stop a tool, an identity, a session or every call, at once",
    "resume": "let run again what was stopped",
    "integrations": "list what Gait stands in front of, and how each is installed",
    "config": "show a project's defaults, and trust them",
    "doctor": "check this installation",
    "version": "print the version",
}

_ABOUT = """\
Gait decides whether an AI agent's tool call may run, and signs the decision.

Commands:
{commands}

Exit codes: 0 allow or success, 1 internal failure, 2 verification failed, 3 block,
4 approval required, 5 regression failed, 6 invalid input, 7 missing dependency,
8 unsafe operation refused, 9 dry run.  Only 0 may execute.

See gait COMMAND --help."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help of a fixed width: argparse makes a formatter for every option, and asking the terminal imports shutil."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=110)


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations; bad usage is invalid input (exit 6), since 2 means verification failed."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "formatter_class": _Formatter, "allow_abbrev": False})  # type: ignore[arg-type]

    later: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Parse; options that are costly to add (`later`) are added only when their verb is the one used."""
        if self.later:
            add, self.later = self.later, None
            add(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Turn a usage error into InvalidInput."""
        from ..errors import InvalidInput

        raise InvalidInput(message, where=self.prog, hint=f"see {self.prog} --help", code="invalid_usage")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.  Nothing is raised: a failure is reported and has a code of its own."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _run(arguments)
    except SystemExit as done:  # argparse after --help
        return 6 if done.code else 0
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        from .shared import report

        return report(error, "--json" in _own(arguments))


def about() -> str:
    """The text of `gait --help`."""
    width = max(map(len, COMMANDS))
    return _ABOUT.format(commands="\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()))


def _run(arguments: list[str]) -> int:
    if not arguments:
        print(about())
        return 6  # nothing was decided: `gait $EMPTY && run` must not run
    if "--json" in arguments[:2]:
        arguments = _json_last(arguments)
    name = arguments[0]
    if name in ("--help", "-h", "help"):
        print(about())
        return 0
    if name == "--version":
        name = "version"
    if name not in COMMANDS:
        from ..errors import InvalidInput
        from ..formats.fields import nearest

        message = f"unknown command {name[:80]!r}{nearest(name, list(COMMANDS))}"
        raise InvalidInput(message, where="gait", hint="see gait --help", code="invalid_usage")
    return _command(name, arguments[1:])


def _json_last(arguments: list[str]) -> list[str]:
    """`--json` may stand before the noun or the verb too, where argparse's parsers would not know it."""
    rest = [word for place, word in enumerate(arguments) if place > 1 or word != "--json"]
    own = _own(rest)
    return [*own, "--json", *rest[len(own) :]]


def _own(arguments: list[str]) -> list[str]:
    """The words before `--`; what follows is another program's."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def parser_of(name: str) -> Parser:
    """The parser of one noun; the verbs are in its one subparsers action, where it has any."""
    parser = Parser(prog=f"gait {name}", description=COMMANDS[name][0].upper() + COMMANDS[name][1:] + ".")
    _module(name).add_arguments(parser)
    return parser


def _module(name: str):  # type: ignore[no-untyped-def]
    return import_module("." + name, __name__)


def _command(name: str, arguments: list[str]) -> int:
    options = parser_of(name).parse_args(arguments)
    code: int = _module(name).run(options)
    return code


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The verbs of a noun with their parsers, in order; none where it has none."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}
