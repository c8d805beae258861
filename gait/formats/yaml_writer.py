"""Values to YAML text that yaml_subset, and any YAML 1.2 reader, reads back as the same value."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))


def dumps(value: dict[str, object]) -> str:
    """Block style, two spaces a level; texts are plain when nothing could read them as anything else."""
    return "".join(line + "\n" for line in _mapping(value, "") or ["{}"])


def _mapping(value: dict[str, object], indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        lines += _entry(f"{indent}{_text(key)}:", item, indent)
    return lines


def _entry(head: str, item: object, indent: str) -> list[str]:
    if isinstance(item, dict) and item:
        return [head, *_mapping(item, indent + "  ")]
    if isinstance(item, list) and any(isinstance(part, (dict, list)) for part in item):
        return [head, *(line for part in item for line in _item(part, indent + "  "))]
    return [f"{head} {_scalar(item)}"]


def _item(part: object, indent: str) -> list[str]:
    if not isinstance(part, dict) or not part:
        return [f"{indent}- {_scalar(part)}"]
    lines = _mapping(part, indent + "  ")
    return [f"{indent}- {lines[0].lstrip(' ')}", *lines[1:]]


def _scalar(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_scalar(item)}" for key, item in value.items()) + "}"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    """Double quotes (YAML 1.2.2 §7.3.1).  JSON's own escape of U+1F600 is two surrogates, which YAML has not."""
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in json.dumps(text, ensure_ascii=False))


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
