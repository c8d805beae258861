"""A pack's summary as Markdown.  Invariant: what an agent wrote cannot be markup, a link or another line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from . import controls
from .summary import verdicts

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:$^=])")
_WWW = re.compile(r"(?i)\bwww\.")


def text(value: object) -> str:
    """Text for a table cell: CommonMark takes a backslash before any ASCII punctuation."""
    return _WWW.sub(lambda found: found.group()[:-1] + "\\.", _MARKUP.sub(r"\\\1", plain(value)))


def plain(value: object) -> str:
    """Text on one line, with every control and format character escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(value))


def page(summary: Mapping[str, object]) -> str:
    """The whole document."""
    return "\n".join(_lines(summary)) + "\n"


def _lines(value: Mapping[str, object]) -> Iterator[str]:
    yield f"# {'Incident' if value['kind'] == 'incident' else 'Evidence'}: run {text(value['run_id'])}"
    yield ""
    yield from (f"- {name}: {words}" for name, words in about(value))
    yield ""
    yield from _table(("Verdict", "Calls"), [(name, str(count)) for name, count in verdicts(value["verdicts"])])  # type: ignore[arg-type]
    yield "## Calls" if value["rows_are"] == "all" else "## The first calls that were not allowed"
    yield ""
    yield from _table(("#", "Verdict", "Tool", "Target", "Rule", "Reasons", "Status"), [_row(row) for row in value["rows"]])  # type: ignore[attr-defined]
    if value.get("window"):
        yield from _around(value)
    yield from _controls(value)
    yield from _journal(value)
    yield "This page is a view and proves nothing by itself: `gait guard verify` checks the pack that it is in."


def about(value: Mapping[str, object]) -> list[tuple[str, str]]:
    """(name, text) of what the pack is about, escaped."""
    period = " to ".join(map(text, value["period"])) or "no times were recorded"  # type: ignore[call-overload]
    missing = f"; {value['untraced']} decisions have none in this pack" if value["untraced"] else ""
    found = [("run digest", f"sha256 {value['run_manifest_digest']}"), ("run signature", text(value["run_signature"])), ("period", period)]
    found += [("calls", f"{value['steps']}, captured by {text(value['capture_mode'])}"), ("signed decisions", f"{value['traces']}{missing}")]
    found += [("identities", ", ".join(map(text, value["identities"])) or "none were recorded")]  # type: ignore[call-overload]
    found += [("policies", ", ".join(map(text, value["policies"])) or "none were recorded")]  # type: ignore[call-overload]
    window: Mapping[str, str] = value.get("window") or {}  # type: ignore[assignment]
    found += [("window", f"{text(window['from'])} to {text(window['to'])}")] if window else []
    return [*found, ("approvals", str(value["approvals"]) if value["approvals"] else "none")]


def _row(row: Mapping[str, object]) -> tuple[str, ...]:
    reasons = ", ".join(row["reason_codes"])  # type: ignore[arg-type]
    return (str(row["number"]), *(text(item) for item in (row["verdict"] or "none", row["tool_name"], row["target"], row["rule"], reasons, row["status"])))


def _around(value: Mapping[str, object]) -> Iterator[str]:
    counts: Mapping[str, int] = value["around"]  # type: ignore[assignment]
    yield "## Other decisions in the window"
    yield ""
    yield f"{sum(counts.values())} in all: " + (", ".join(f"{count} {text(name)}" for name, count in counts.items()) or "none") + "."
    yield ""
    names = ("created_at", "verdict", "tool_name", "matched_rule")
    rows = [tuple(text(row[name]) for name in names) for row in value["around_rows"]]  # type: ignore[attr-defined]
    if rows:
        yield from _table(("Time", "Verdict", "Tool", "Rule"), rows)


def _controls(value: Mapping[str, object]) -> Iterator[str]:
    if value.get("template"):
        yield f"## Controls: {text(value['template'])}"
        yield ""
        yield "What this pack can say to each question. It certifies nothing."
        yield ""
        yield from _table(("Control", "Status", "What is here", "What it leaves open"), [_control(item) for item in value["controls"]])  # type: ignore[attr-defined]
    yield "## Facts"
    yield ""
    facts: Mapping[str, bool] = value["facts"]  # type: ignore[assignment]
    yield from _table(("Fact", "Holds"), [(controls.FACTS[name], "yes" if facts[name] else "NO") for name in controls.FACTS])


def _control(item: Mapping[str, object]) -> tuple[str, ...]:
    lacks = "; ".join(controls.FACTS[name] for name in item["lacks"])  # type: ignore[attr-defined]
    status = f"{item['status']} (not so: {lacks})" if lacks else str(item["status"])
    return f"{text(item['control_id'])} {text(item['title'])}", status, text(item["shows"]), text(item["leaves_open"])


def _journal(value: Mapping[str, object]) -> Iterator[str]:
    yield "## Journal"
    yield ""
    chains = value["journal"]
    if chains is None:
        yield "No journal was given."
    else:
        yield "All of it verified when this pack was made; the heads in `journal.json` are signed."
        yield ""
        names = ("chain", "records", "first_sequence", "last_sequence", "proven_sequence", "proven_at")
        rows = [tuple(text(chain[name]) for name in names) for chain in chains]  # type: ignore[attr-defined]
        yield from _table(("Chain", "Records", "First", "Last", "Proven up to", "Proven at"), rows)
    yield ""


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
