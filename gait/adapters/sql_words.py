"""The tables, files and hosts that SQL text names.  Words only: what a server makes of them stays unknown.

Quotes hide nothing here (dialects disagree about where they end), so `'a letter from bob'` names a table bob.
"""

from __future__ import annotations

import re

from ..formats.patterns import lazy
from . import shell_words, values
from .inferred import Inferred

_COMMENT = lazy(r"--[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/)?")
_TOKEN = lazy(r"[\w$]+(?:[\"`\]]?\s*\.\s*[\"`\[]?[\w$]+)*|[,()]")
_QUOTE = lazy(r"['\"]")
_PLACE = lazy(r"[/\\~$%.]|::|file:|localhost", re.IGNORECASE)
_PROGRAM = lazy(r"\b(?:program|xp_cmdshell|sys_exec|system)\b", re.IGNORECASE)
_VERB = lazy(
    r"\W*(?:select|insert|update|delete|drop|truncate|alter|create|copy|with|replace|merge|grant|revoke|attach|load|call|exec|"
    r"execute|explain|describe|pragma|show|set|do|begin|vacuum|table|values)\b",
    re.IGNORECASE,
)
# A word behind which tables stand -> the operation on them.
_STARTS = {
    "from": "read", "join": "read", "using": "read", "describe": "read", "into": "write", "copy": "write", "update": "update",
    "alter": "update", "create": "create", "drop": "drop", "truncate": "truncate",
    "table": "read",
}  # fmt: skip
_SKIPPED = frozenset(
    """table tables view index database schema function or replace temporary temp unique if not exists only materialized lateral
    ignore low_priority into from recursive concurrently overwrite""".split()
)
_ENDS = frozenset("where group order limit set values on having union select returning when".split())


def is_sql(text: str) -> bool:
    """True when a text starts like a statement."""
    return _VERB.match(text[:4096]) is not None


def scan(found: Inferred, text: str) -> None:
    """Add the tables that stand behind from, join, into, update, table…, and what literals look like."""
    for version in {text, _COMMENT.sub(" ", text)}:
        _tables(found, version)
    for kind, value in (*values.urls(text), *values.addresses(text)):
        found.add(kind, value, "read")
    runs_programs = _PROGRAM.search(text) is not None
    for literal in dict.fromkeys(_QUOTE.split(text)[1:]):
        if _PLACE.search(literal):
            for kind, value in values.of_shape(literal):
                found.add(kind, value, "read")
        if runs_programs and literal.strip():
            found.add("other", literal.strip(), "exec")
            shell_words.scan(found, literal, 1)


def _tables(found: Inferred, text: str) -> None:
    expected, listed, deleting = "", "", False
    outer: list[str] = []
    for token in _TOKEN.findall(text):
        word = token.lower()
        if word == "(":
            outer.append(listed or expected)
            expected = listed = ""
        elif word == ")":
            expected, listed = "", outer.pop() if outer else ""
        elif word == ",":
            expected, listed = listed, ""
        elif expected and word in _SKIPPED:
            continue
        elif word in _STARTS or word in _ENDS or word == "delete":
            expected, listed = _STARTS.get(word, ""), ""
            expected = "delete" if deleting and word == "from" else expected
            deleting = word == "delete"
        elif expected:
            found.add("table", re.sub(r"[\s\"`\[\]]", "", token), expected)
            expected, listed = "", expected
