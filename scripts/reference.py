"""Write docs/cli.md, docs/errors.md and docs/reason-codes.md from the live tables, or with --check compare them and change nothing.

What a person has to write is in reference_words.py; tests/test_reference.py names what is missing there.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Callable, Sequence

import live_tables
import reference_words as words

DOCS = live_tables.ROOT / "docs"
_HEAD = "<!-- made by `make docs`: do not edit -->\n"
_NO_WORDS = ("(not written down yet)", "")

# Classes whose exit code a command gives; HTTP refusals and the gateway's have a status only.
_EXITS = "0 allow or success | 1 internal failure | 2 verification failed | 3 block | 4 approval required | 5 regression failed | 6 invalid input or usage | 7 missing dependency | 8 unsafe operation refused | 9 dry run"


def main() -> int:
    """Exit code 0, or 1 with the difference."""
    different = 0
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        old = path.read_text("utf-8") if path.exists() else ""
        if old == text:
            continue
        different = 1
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
            print(f"wrote docs/{name}")
            continue
        print("".join(list(difflib.unified_diff(old.splitlines(True), text.splitlines(True), f"docs/{name}", "made anew", n=0))[:40]), end="")
    if "--check" not in sys.argv:
        return 0
    print("docs: run make docs" if different else "the generated references are as the code says")
    return different


# --- docs/cli.md ---------------------------------------------------------------------------------


def cli() -> str:
    """Every command, option and argument, its exit codes, and the environment variables."""
    found = live_tables.commands()
    parts = [_CLI_HEAD, _table(("command", "what it does"), [(_link(command.name), _cell(command.summary)) for command in found if live_tables.options(command)])]
    for command in found:
        parts.append(_command(command))
    rows = [(f"`{name}`", _cell(meaning)) for name, (meaning,) in sorted(words.VARIABLES.items())]
    parts.append("## Environment variables\n\nOptions named `--…-env NAME` read the variable that you name; these are read by their own names.\n\n" + _table(("variable", "meaning"), rows))
    return _page(parts)


_CLI_HEAD = (
    "# Command line\n\nEvery command of this version, from its own tables. `gait COMMAND --help` prints the same. In an isolated checkout, `gait` is `python3 -I /path/gait.py`.\n\n"
    "Exit codes are one table for all commands; each command lists those that it gives beside 1 (internal failure, or a disk that refuses) and 6 (invalid input or usage). Only 0 of a deciding command may execute.\n\n"
    + "| code | meaning |\n| --- | --- |\n"
    + "".join("| {} | {} |\n".format(*item.strip().split(" ", 1)) for item in _EXITS.split("|"))
    + "\n`gait hook HOST` speaks its host's protocol: 0 or 2. A process that a signal ends has 130 (interrupt) or 128 + N."
)


def _command(command: live_tables.Command) -> str:
    level = "##" if " " not in command.name else "###"
    parts = [f"{level} gait {command.name}", _sentence(command.parser.description or command.summary)]
    rows = [_option(action) for action in live_tables.options(command)]
    if rows:
        parts.append(_table(("option or argument", "value", "meaning"), rows))
    if command.name in words.EXIT_CODES:
        parts.append(f"Exit codes: {words.EXIT_CODES[command.name]}.")
    if command.parser.epilog:
        parts.append(f"`{command.parser.epilog.partition('Example: ')[2] or command.parser.epilog}`")
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _option(action: argparse.Action) -> tuple[str, str, str]:
    name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 or not action.option_strings else "`" + _value(action) + "`"
    required = " Required." if action.option_strings and action.required else ""
    more = " May be given again." if isinstance(action, argparse._AppendAction) else ""
    if not action.option_strings and action.choices:
        value = "`" + " ".join(str(choice) for choice in action.choices) + "`"
    return name, _cell(value), _cell((_sentence(action.help or "") + required + more).strip())


def _value(action: argparse.Action) -> str:
    if action.choices and not action.metavar:
        return " ".join(str(choice) for choice in action.choices)
    metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ()) or action.dest.upper()
    return metavar


# --- docs/errors.md ------------------------------------------------------------------------------


def errors() -> str:
    """Every error code and every finding."""
    found = live_tables.codes()
    classes = live_tables.error_classes()
    shown, findings = [], []
    for code in found.values():
        meaning, step = words.CODES.get(code.code, _NO_WORDS)
        if not code.classes:
            findings.append((f"`{code.code}`", _cell(meaning), _cell(step)))
            continue
        kinds = [classes[name] for name in code.classes]
        given = [words.STATUSES[code.code]] if code.code in words.STATUSES else code.statuses or [kind.http_status for kind in kinds]
        shown.append(
            (
                *(f"`{code.code}`", _either(kind.category for kind in kinds), _either(kind.exit_code for kind in kinds), _either(given)),
                *(_cell(meaning), _cell(step or kinds[0].next_step)),
            )
        )
    head = ("error_code", "category", "exit code", "HTTP status", "meaning", "what to do")
    return _page([_ERRORS_HEAD, _table(head, shown), _FINDINGS_HEAD, _table(("code", "meaning", "what to do"), findings)])


_ERRORS_HEAD = """# Errors

An error means that there is no answer, and every caller treats that as a deny. With `--json`, and from every HTTP endpoint, it is one object:
`{"ok": false, "error": …, "error_code": …, "error_category": …, "retryable": …, "hint": …}`; without it, `error:` and `hint:` on standard error. `hint` is
the next step for this very case, so it may be more exact than the one below. The exit code is the command's, the HTTP status the server's; where two are given, the code comes from two kinds of place.

A policy's own codes, and the reasons of a decision, are in [reason-codes.md](reason-codes.md)."""

_FINDINGS_HEAD = """## Findings

Commands that verify name everything that is wrong, not the first thing only: these are the codes of their findings. The command exits with 2, and the first finding's code is its `error_code`, unless the
table says that it is no damage."""


# --- docs/reason-codes.md ------------------------------------------------------------------------


def reason_codes() -> str:
    """Every reason code and violation."""
    places = live_tables.deciding_words()
    rows = []
    for code, (which, meaning, step) in sorted(words.REASONS.items()):
        kind = "reason code, violation" if which == "both" else "reason code" if which == "reason" else "violation"
        where = ", ".join(f"`{live_tables.path_of(place)}`" for place in places.get(code, ()))
        rows.append((f"`{code}`", kind, _cell(meaning), _cell(step), where))
    return _page([_REASONS_HEAD, _table(("code", "is a", "meaning", "what to do", "where it is made"), rows)])


_REASONS_HEAD = """# Reason codes and violations

`reason_codes` say why a decision is as it is; `violations` say what was not held. Both are sorted, without repetitions, inside the signed record. Gait's own are below. Beside them stand the words of the policy:

- a rule's `reason_codes` and `violations`; a rule that has no reason codes gives `matched_rule_` and its name, lower-cased, with `_` for spaces and `-`;
- `default_allow`, `default_block`, `default_require_approval` and `default_dry_run`: no rule matched, so `default_verdict` decides;
- the `reason_code` and `violation` of a rule's `endpoint` and `dataflow`, which take the place of the defaults below.

A call that could not be read gets no decision but an error ([errors.md](errors.md)); an MCP refusal for that reason has the error's code among its reason codes."""


# --- Markdown ------------------------------------------------------------------------------------


def _page(parts: Sequence[str]) -> str:
    title, rest = parts[0].split("\n", 1)
    return "\n\n".join([title + "\n\n" + _HEAD + rest.rstrip("\n"), *(part.strip("\n") for part in parts[1:])]) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "?")) else text + "."


def _either(items: object) -> str:
    return ", ".join(map(str, sorted(set(items))))  # type: ignore[call-overload]


def _link(name: str) -> str:
    return f"[`gait {name}`](#gait-{name.replace(' ', '-')})"


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli, "errors.md": errors, "reason-codes.md": reason_codes}

if __name__ == "__main__":
    sys.exit(main())
