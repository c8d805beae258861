"""A pack's summary as one HTML page that needs nothing else: the report's style, no script, no address.

Invariant: all text goes through html_text, and the Content-Security-Policy names the one style by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..exporters.html import LABELS
from ..exporters.html_charts import number
from ..exporters.html_style import POLICY, STYLE
from ..exporters.html_text import agent, escape, table
from . import controls
from .summary import verdicts

Value = Mapping[str, object]

_COLOR_OF = {"shown": "allow", "partly shown": "require_approval", "not shown": "block"}


def page(summary: Value, producer: str) -> str:
    """The whole page."""
    return "".join(_parts(summary, producer))


def _parts(value: Value, producer: str) -> Iterator[str]:
    title = f"{'Incident' if value['kind'] == 'incident' else 'Evidence'}: run {value['run_id']}"
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
    yield f'<meta name="referrer" content="no-referrer">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
    yield f'<header>\n<h1>{escape(title)}</h1>\n<p class="sub">{_period(value)}</p>\n</header>\n<main>\n'
    yield from _status(value)
    yield from _totals(value)
    yield from _about(value)
    yield from _calls(value)
    yield from _around(value)
    yield from _controls(value)
    yield from _facts(value)
    yield from _journal(value)
    yield f"</main>\n<footer>\n<p>Made by gait {escape(producer)}. This page is a view and proves nothing by itself: the pack that it is in does, with "
    yield "<code>gait guard verify</code>. Signatures are HMAC-SHA256: whoever can verify could also have signed. "
    yield "Control, direction and invisible characters are shown as escapes.</p>\n</footer>\n</body>\n</html>\n"


def _period(value: Value) -> str:
    times: Sequence[str] = value["period"]  # type: ignore[assignment]
    return f"{number(int(value['steps']))} calls" + (f", {' to '.join(map(agent, times))}" if times else "; no times were recorded")  # type: ignore[call-overload]


def _status(value: Value) -> Iterator[str]:
    """Good only when no fact about the run itself fails; a journal is not always there."""
    facts: Mapping[str, bool] = value["facts"]  # type: ignore[assignment]
    failed = [name for name in ("decided", "refusals_held", "run_signed", "traced") if not facts[name]]
    yield f'<div class="status {"bad" if failed else "good"}">\n'
    if failed:
        yield "<p><strong>Evidence with gaps</strong></p>\n"
        yield "".join(f"<p>Not so: {escape(controls.FACTS[name])}.</p>\n" for name in failed)
    else:
        yield "<p><strong>Complete for this run</strong></p>\n<p>Every call has a decision, every decision its signed trace, "
        yield "and no call that was not allowed is recorded as executed.</p>\n"
    yield "</div>\n"


def _totals(value: Value) -> Iterator[str]:
    yield '<h2 class="sub">Calls by verdict</h2>\n<ul class="tiles">\n'
    for name, count in verdicts(value["verdicts"]):  # type: ignore[arg-type]
        yield f'<li class="v-{name}"><span><span class="name">{LABELS[name]}</span></span><b>{number(count)}</b></li>\n'
    yield "</ul>\n"


def _about(value: Value) -> Iterator[str]:
    missing = f"; {number(int(value['untraced']))} decisions have none here" if value["untraced"] else ""  # type: ignore[call-overload]
    window: Mapping[str, str] = value.get("window") or {}  # type: ignore[assignment]
    found = [
        ("Run", agent(str(value["run_id"]))),
        ("Run digest", f"sha256:{escape(str(value['run_manifest_digest']))}"),
        ("Run signature", escape(str(value["run_signature"]))),
        ("Capture", escape(str(value["capture_mode"]))),
        ("Signed decisions", f"{number(int(value['traces']))}{missing}"),  # type: ignore[call-overload]
        ("Identities", _names(value["identities"])),
        ("Policies", _names(value["policies"])),
        ("Window", f"{escape(window['from'])} to {escape(window['to'])}" if window else ""),
        ("Approvals", str(value["approvals"] or "none")),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in found if words)
    yield f"<section>\n<h2>About</h2>\n<details open><summary>What this pack holds</summary><dl>{listed}</dl></details>\n</section>\n"


def _names(counts: object) -> str:
    return ", ".join(map(agent, counts)) or "none were recorded"  # type: ignore[call-overload]


def _calls(value: Value) -> Iterator[str]:
    all_of_them = value["rows_are"] == "all"
    yield f'<section class="latest">\n<h2>{"Calls" if all_of_them else "The first calls that were not allowed"}</h2>\n'
    yield '<p class="note">In the order in which they were made. Open a line to see all of it.</p>\n'
    columns = (("time", "Time (UTC)"), ("verdict", "Verdict"), ("", "Tool"), ("rule", "Rule"), ("place n", "Status and number"))
    yield from _records(columns, map(_call, value["rows"]))  # type: ignore[call-overload]
    yield "</section>\n"


def _records(columns: Sequence[tuple[str, str]], rows: Iterable[str]) -> Iterator[str]:
    """A table that becomes a list where the screen is narrow."""
    heads = "".join(f'<th scope="col" class="{kind}">{name}</th>' for kind, name in columns)
    yield f'<table class="records">\n<thead><tr>{heads}</tr></thead>\n'
    yield from rows
    yield "</table>\n"


def _time(row: Value) -> str:
    time = escape(str(row["created_at"]))
    return f"<span>{time[:10]}</span> <span>{time[11:19]}</span>" if time[-1:] == "Z" else time or "not recorded"


def _call(row: Value) -> str:
    reasons = ", ".join(row["reason_codes"])  # type: ignore[arg-type]
    cells = (
        f'<td class="time">{_time(row)}</td><td class="verdict">{_pill(str(row["verdict"]))}</td><td class="tool">{agent(str(row["tool_name"]))}</td>'
        f'<td class="rule">{agent(str(row["rule"]) or "no rule")}</td><td class="place n">{agent(str(row["status"]))} #{row["number"]}</td>'
    )
    found = [("target", row["target"]), ("reasons", reasons), ("rule", row["rule"]), ("created_at", row["created_at"]), ("status", row["status"])]
    listed = "".join(f"<dt>{name}</dt><dd>{agent(str(text))}</dd>" for name, text in found if text)
    about = f"<details><summary>{agent(str(row['target']) or reasons or 'no reason')}</summary><dl>{listed}</dl></details>"
    return f'<tbody><tr class="what">{cells}</tr><tr class="why"><td colspan="5">{about}</td></tr></tbody>\n'


def _pill(verdict: str) -> str:
    name = verdict if verdict in LABELS else "unknown"
    return f'<span class="pill v-{name}">{LABELS[name]}</span>'


def _around(value: Value) -> Iterator[str]:
    if not value.get("window"):
        return
    counts: Mapping[str, int] = value["around"]  # type: ignore[assignment]
    yield f"<section>\n<h2>Other decisions in the window: {number(sum(counts.values()))}</h2>\n"
    rows: Sequence[Value] = value["around_rows"]  # type: ignore[assignment]
    if rows:
        yield from _records((("time", "Time (UTC)"), ("verdict", "Verdict"), ("", "Tool"), ("rule", "Rule")), map(_other, rows))
    else:
        yield '<p class="empty">None were found.</p>\n'
    yield "</section>\n"


def _other(row: Value) -> str:
    cells = f'<td class="time">{_time(row)}</td><td class="verdict">{_pill(str(row["verdict"]))}</td><td class="tool">{agent(str(row["tool_name"]))}</td>'
    return f'<tbody><tr class="what">{cells}<td class="rule">{agent(str(row["matched_rule"]) or "no rule")}</td></tr></tbody>\n'


def _controls(value: Value) -> Iterator[str]:
    if not value.get("template"):
        return
    yield f"<section>\n<h2>Controls: {escape(str(value['template']))}</h2>\n"
    yield '<p class="note">Questions of an auditor in Gait’s own words, and what this pack can say to each. It certifies nothing.</p>\n'
    yield from _records((("verdict", "Status"), ("", "Control")), map(_control, value["controls"]))  # type: ignore[call-overload]
    yield "</section>\n"


def _control(item: Value) -> str:
    status = str(item["status"])
    lacks = "".join(f'<br><strong class="finding">Not so:</strong> {escape(controls.FACTS[name])}.' for name in item["lacks"])  # type: ignore[attr-defined]
    pill = f'<span class="pill v-{_COLOR_OF[status]}">{escape(status)}</span>'
    about = f"{escape(str(item['shows']))} Left open: {escape(str(item['leaves_open']))}{lacks}"
    what = f'<td class="verdict">{pill}</td><td class="tool"><strong>{escape(str(item["control_id"]))}</strong> {escape(str(item["title"]))}</td>'
    return f'<tbody><tr class="what">{what}</tr><tr class="why"><td colspan="2">{about}</td></tr></tbody>\n'


def _facts(value: Value) -> Iterator[str]:
    facts: Mapping[str, bool] = value["facts"]  # type: ignore[assignment]
    rows = (("yes" if facts[name] else '<strong class="finding">no</strong>', escape(words)) for name, words in controls.FACTS.items())
    yield "<section>\n<h2>Facts</h2>\n"
    yield from table("Computed from the evidence in this pack", (("Holds", ""), ("Fact", "")), rows)
    yield "</section>\n"


def _journal(value: Value) -> Iterator[str]:
    yield "<section>\n<h2>Journal</h2>\n"
    chains: Sequence[Value] | None = value["journal"]  # type: ignore[assignment]
    if chains is None:
        yield '<p class="empty">No journal was given.</p>\n</section>\n'
        return
    yield '<p class="note">All of it verified when this pack was made. A signed head proves that no record up to its sequence was cut off.</p>\n'
    columns = (("Chain", ""), ("Records", "n"), ("First", "n"), ("Last", "n"), ("Proven up to", "n"), ("Proven at", ""))
    yield from table("Chains of the journal", columns, map(_chain, chains))
    yield "</section>\n"


def _chain(chain: Value) -> Sequence[str]:
    counts = [number(int(chain[name])) for name in ("records", "first_sequence", "last_sequence", "proven_sequence")]  # type: ignore[call-overload]
    return (agent(str(chain["chain"])), *counts, escape(str(chain["proven_at"])))
