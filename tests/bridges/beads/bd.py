#!/usr/bin/env python3
"""A stand-in for Beads' `bd`: as much of it as Gait meets, held to the recorded calls in fixtures/beads by test_stand_in.py.

BD_VERSION chooses whose answers: 0.46.0, 0.49.6 (SQLite: one issue for an external reference), or 1.0.5 (Dolt: as many as are asked for;
errors as JSON; an envelope with BD_JSON_ENVELOPE=1).  The database is .beads/issues.json, found as bd does.  BD_LOG gets each call.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from typing import IO, Any, Mapping, NamedTuple

VALUED = {
    "create": {
        *("--title", "--type", "-t", "--priority", "-p", "--labels", "-l", "--external-ref", "--body-file", "--description", "-d"),
        *("--assignee", "-a", "--deps", "--parent", "--actor", "--db"),
    },
    "list": {"--label", "-l", "--label-any", "--limit", "-n", "--status", "--title-contains", "--actor", "--db"},
    "init": {"--prefix"},
}
PLAIN = {"create": {"--silent", "--force"}, "list": {"--all"}, "init": set()}
ANYWHERE = {"--json", "--quiet", "-q", "--verbose", "-v", "--readonly", "--sandbox"}
TYPES = ("bug", "feature", "task", "epic", "chore")
NO_DATABASE = (
    "Error: no beads database found\nHint: run 'bd init' to create a database in the current directory\n"
    "      or use 'bd --no-db' to work with JSONL only (no SQLite)\n      or set BEADS_DIR to point to your .beads directory\n"
)
NO_TEXT = (
    "⚠ Creating issue without description.\n  Issues without descriptions lack context for future work.\n"
    '  Consider adding --description="Why this issue exists and what needs to be done"\n'
)
ROLE = "warning: beads.role not configured. Run 'bd init' to set.\n"
TIME = "2026-11-22T13:05:41.364904582Z"


class Answer(NamedTuple):
    code: int
    out: str = ""
    err: str = ""


class Failed(Exception):
    """bd's last words: exit code 1."""


class Bd:
    """One call: `answer` of its words."""

    def __init__(self, version: str, cwd: str, env: Mapping[str, str], stdin: str) -> None:
        self.version, self.env, self.stdin = version, env, stdin
        self.folder = env.get("BEADS_DIR") or os.path.join(cwd, ".beads")
        self.is_dolt = version.startswith("1.")

    def answer(self, words: list[str]) -> Answer:
        self.warnings = ""
        try:
            if not words or words[0] not in ("create", "list", "init", "where", "show", "close"):
                raise Failed(f'unknown command "{words[0] if words else ""}" for "bd"')
            flags, rest = self.parse(words[0], words[1:])
            return Answer(0, getattr(self, words[0])(flags, rest), self.warnings)
        except Failed as error:
            if self.is_dolt and "--json" in words:
                return Answer(1, "", self.warnings + json.dumps({"error": str(error), "schema_version": 1}) + "\n")
            return Answer(1, "", self.warnings + f"Error: {error}\n")

    def parse(self, command: str, words: list[str]) -> tuple[dict[str, str], list[str]]:
        flags: dict[str, str] = {}
        rest: list[str] = []
        queue = list(words)
        known = PLAIN.get(command, set()) | ANYWHERE
        if command == "create" and self.version != "0.46.0":
            known = known | {"--dry-run"}
        while queue:
            word = queue.pop(0)
            name, equals, value = word.partition("=")
            if not word.startswith("-") or word == "-":
                rest.append(word)
            elif name in VALUED.get(command, set()):
                flags[name] = value if equals else queue.pop(0)
            elif word in known:
                flags[word] = "true"
            else:
                raise Failed(f"unknown flag: {word}\nUsage:\n  bd {command} [flags]")
        return flags, rest

    # --- the database ---

    def opened(self) -> IO[str]:
        try:
            file = open(os.path.join(self.folder, "issues.json"), "r+", encoding="utf-8")
        except OSError:
            raise Failed(NO_DATABASE[len("Error: ") : -1]) from None
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def printed(self, value: Any) -> str:
        if self.is_dolt and self.env.get("BD_JSON_ENVELOPE") == "1":
            value = {"schema_version": 1, "data": value}
        elif self.is_dolt and isinstance(value, dict):
            value = {**value, "schema_version": 1}
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    # --- commands ---

    def init(self, flags: dict[str, str], rest: list[str]) -> str:
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "issues.json"), "w", encoding="utf-8") as file:
            file.write("[]")
        return ""

    def where(self, flags: dict[str, str], rest: list[str]) -> str:
        return self.printed({"path": self.folder, "prefix": "gt", "database_path": os.path.join(self.folder, "beads.db")})

    def list(self, flags: dict[str, str], rest: list[str]) -> str:
        with self.opened() as file:
            issues = json.load(file)
        label, limit = flags.get("--label", ""), int(flags.get("--limit", "50"))
        found = [item for item in issues if (not label or label in item["labels"]) and (item["status"] == "open" or "--all" in flags)]
        shown = []
        for item in found[: limit or None]:
            counts = {"dependency_count": 0, "dependent_count": 0, **({} if self.version == "0.46.0" else {"comment_count": 0})}
            shown.append({**{name: value for name, value in item.items() if value != []}, **counts})
        return self.printed(shown)

    def show(self, flags: dict[str, str], rest: list[str]) -> str:
        with self.opened() as file:
            found = [item for item in json.load(file) if item["id"] in rest]
        if not found:
            self.warnings += f'Error fetching {rest[0]}: no issue found matching "{rest[0]}"\n'
            return ""
        return self.printed(found)

    def close(self, flags: dict[str, str], rest: list[str]) -> str:
        with self.opened() as file:
            issues = json.load(file)
            found = [item for item in issues if item["id"] in rest]
            for item in found:
                item.update(status="closed", closed_at=TIME, close_reason="Closed")
            self.save(file, issues)
        return self.printed(found)

    def create(self, flags: dict[str, str], rest: list[str]) -> str:
        with self.opened() as file:
            issues = json.load(file)
            item, labels = self.made(flags, rest, len(issues))
            if "--dry-run" in flags:
                return self.printed({**item, "id": "", "created_at": "0001-01-01T00:00:00Z", "updated_at": "0001-01-01T00:00:00Z"})
            if not self.is_dolt and any(item.get("external_ref", "") == other.get("external_ref") for other in issues):
                foreign = "record creation event: failed to record event: sqlite3: constraint failed: FOREIGN KEY constraint failed"
                unique = "insert issue: failed to insert issue: sqlite3: constraint failed: UNIQUE constraint failed: issues.external_ref"
                raise Failed(foreign if self.version == "0.46.0" else unique)
            self.save(file, [*issues, {**item, "labels": labels}])
        return self.printed(item) if "--json" in flags else item["id"] + "\n"

    def made(self, flags: dict[str, str], rest: list[str], number: int) -> tuple[dict[str, Any], list[str]]:
        text = self.stdin if flags.get("--body-file") == "-" else flags.get("--description", "")
        if not text and "--silent" not in flags:
            self.warnings += NO_TEXT
        priority = flags.get("--priority", "2")
        if priority not in [*"01234", *(f"P{digit}" for digit in range(5))]:
            raise Failed(f'invalid priority "{priority}" (expected 0-4 or P0-P4, not words like high/medium/low)')
        if self.version == "0.49.6" and "--dry-run" not in flags:
            self.warnings += ROLE
        title, kind = flags.get("--title") or (rest or [""])[0], flags.get("--type", "task")
        size = len(title.encode())
        if not title or size > 500:
            raise Failed(f"validation failed: title must be 500 characters or less (got {size})" if title else "title required")
        if kind not in TYPES:
            raise Failed(f"validation failed: invalid issue type: {kind}")
        item: dict[str, Any] = {"id": f"gt-{number:03d}", "title": title, **({"description": text} if text else {}), "status": "open"}
        item.update(priority=int(priority[-1]), issue_type=kind)
        if self.version != "0.46.0" and "BEADS_DIR" not in self.env:  # git's, of the folder that it runs in
            item["owner"] = "a@example.test"
        item.update(created_at=TIME, created_by=self.env.get("BD_ACTOR") or ("unknown" if "BEADS_DIR" in self.env else "A"), updated_at=TIME)
        if "--external-ref" in flags:
            item["external_ref"] = flags["--external-ref"]
        return item, [label for label in flags.get("--labels", "").split(",") if label]

    def save(self, file: IO[str], issues: list[dict[str, Any]]) -> None:
        file.seek(0)
        file.truncate()
        json.dump(issues, file)
        file.flush()


def versions(version: str, words: list[str]) -> Answer:
    """`bd version`: it needs no database."""
    commit = {"0.46.0": "812f4e529795df94b680912c996ac9a2ea8e39c6"}.get(version, "c064f2aa99814d65a439b7b700fa02c44c4e0bb2")
    branch = {"branch": "master"} if version == "0.46.0" else {}
    if "--json" in words:
        return Answer(0, json.dumps({**branch, "build": "dev", "commit": commit, "version": version}, indent=2) + "\n")
    return Answer(0, f"bd version {version} (dev: {'master@' if branch else ''}{commit[:12]})\n")


def call(version: str, words: list[str], cwd: str, env: Mapping[str, str], stdin: str) -> Answer:
    """What `bd WORDS` answers."""
    return versions(version, words) if words[:1] == ["version"] else Bd(version, cwd, env, stdin).answer(words)


def main() -> int:
    words = sys.argv[1:]
    stdin = sys.stdin.read()
    if "BD_LOG" in os.environ:
        with open(os.environ["BD_LOG"], "a", encoding="utf-8") as log:
            log.write(json.dumps({"argv": words, "stdin": stdin, "actor": os.environ.get("BD_ACTOR"), "beads_dir": os.environ.get("BEADS_DIR")}) + "\n")
    done = call(os.environ.get("BD_VERSION", "0.49.6"), words, os.getcwd(), os.environ, stdin)
    sys.stdout.write(done.out)
    sys.stderr.write(done.err)
    return done.code


if __name__ == "__main__":
    sys.exit(main())
