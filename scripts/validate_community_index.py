"""Check docs/ecosystem/community_index.json, or with --write bring its official entries up to date.

    validate_community_index.py [--write] [FILE]

The official entries are those of `gait integrations`, of this version; what others made is theirs to add, with an address. Every
file that is named must be there, and no key, kind or status may be new: readers of the index rely on its shape.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait import __version__, integrations  # noqa: E402
from gait.errors import GaitError  # noqa: E402
from gait.formats import strict_json  # noqa: E402

INDEX = ROOT / "docs" / "ecosystem" / "community_index.json"
HEAD = {"schema_id": "gait.ecosystem.community_index", "schema_version": "1.0.0"}
KINDS = ("package", "hook", "gateway", "service", "framework", "adapter", "bridge", "export", "policy", "tool", "article")
OFFICIAL = {"name", "kind", "title", "by", "status", "install", "doc", "adapters", "package", "proof"}
COMMUNITY = {"name", "kind", "title", "by", "status", "url", "license", "added"}


def official() -> list[dict[str, object]]:
    """The entries of `gait integrations`."""
    return [{**entry.to_value(), "by": "gait"} for entry in integrations.ALL]


def main(arguments: list[str]) -> int:
    """0 when nothing is wrong; 1 with a line for each thing that is."""
    path = Path(next((word for word in arguments if not word.startswith("--")), INDEX))
    try:
        index = strict_json.loads_object(path.read_bytes(), str(path))
    except (GaitError, OSError) as error:
        print(f"{path}: {error}")
        return 1
    if "--write" in arguments:
        others = [entry for entry in index.get("entries", []) if isinstance(entry, dict) and entry.get("by") != "gait"]  # type: ignore[union-attr]
        text = json.dumps({**HEAD, "version": __version__, "entries": [*official(), *others]}, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, "utf-8")
        index = json.loads(text)
    problems = findings(index)
    print("\n".join(f"{path.name}: {problem}" for problem in problems) or f"{path.name}: {len(index['entries'])} entries, as they must be")  # type: ignore[arg-type]
    return 1 if problems else 0


def findings(index: dict[str, object]) -> list[str]:
    """What is wrong, in words."""
    wrong = [f"{name}: must be {value!r}; got {index.get(name)!r}" for name, value in {**HEAD, "version": __version__}.items() if index.get(name) != value]
    wrong += [f"unknown key {name!r}" for name in sorted(set(index) - {*HEAD, "version", "entries"})]
    entries = index.get("entries")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return [*wrong, "entries: must be a list of objects"]
    names = [entry.get("name") for entry in entries]
    wrong += [f"{name}: there is more than one entry of this name" for name in sorted({str(name) for name in names if names.count(name) > 1})]
    if [entry for entry in entries if entry.get("by") == "gait"] != official():
        wrong.append("the official entries are not those of this version: validate_community_index.py --write")
    for entry in entries:
        wrong += [f"{entry.get('name')}: {problem}" for problem in entry_findings(entry)]
    return wrong


def entry_findings(entry: dict[str, object]) -> list[str]:
    """What is wrong with one entry."""
    allowed = OFFICIAL if entry.get("by") == "gait" else COMMUNITY
    if set(entry) != allowed:
        return [f"must have the keys {', '.join(sorted(allowed))}; got {', '.join(sorted(entry))}"]
    wrong = []
    if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", str(entry["name"])):
        wrong.append("name: must be 1 to 64 of a-z, 0-9, - and _")
    if entry["kind"] not in KINDS:
        wrong.append(f"kind: must be one of {', '.join(KINDS)}; got {entry['kind']!r}")
    texts = [name for name in allowed - {"adapters", "package", "proof"} if not isinstance(entry[name], str) or not entry[name]]
    wrong += [f"{name}: must be text" for name in sorted(texts)]
    if allowed is COMMUNITY:
        return wrong + community_findings(entry)
    if entry["status"] not in (integrations.PROVEN, integrations.TESTED) or (entry["status"] == integrations.PROVEN) != bool(entry["proof"]):
        wrong.append("status: must be proven with a proof, or tested without one")
    paths = [str(entry[name]) for name in ("doc", "package", "proof") if entry[name]]
    return wrong + [f"{path} is not there" for path in paths if not (ROOT / path).exists()]


def community_findings(entry: dict[str, object]) -> list[str]:
    """What is wrong with an entry that somebody else made."""
    wrong = []
    if entry["status"] != "community":
        wrong.append(f"status: must be community; got {entry['status']!r}")
    if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[\x21-\x7e]*)?", str(entry["url"])):
        wrong.append("url: must be https://…")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(entry["added"])):
        wrong.append("added: must be a day, as 2026-02-10")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
