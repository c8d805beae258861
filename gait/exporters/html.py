"""The report page: what a journal holds as one HTML file that needs nothing else.  Pure: counts, rows and findings in, text out.

Invariant: no script and no address is in the page, and its Content-Security-Policy forbids both; all text goes through html_text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..formats.documents import NamedTuple
from ..gate.decision import VERDICTS
from .html_charts import histogram, number, ranking, stacked
from .html_style import MAX_CHAINS, POLICY, STYLE
from .html_text import agent, escape, table
from .summary import UNKNOWN, Row, Summary, ranked

Value = Mapping[str, object]

LABELS = {"allow": "allow", "dry_run": "dry run", "require_approval": "approval", "block": "block", UNKNOWN: "unknown"}
_TOP = 10
_MAX_LISTED = 100
_ORDER = (*VERDICTS, UNKNOWN)


class Facts(NamedTuple):
    """What the page says.  `chains` and `findings` are those of `gait journal verify --json`, which may not list all findings."""

    source: str
    made_at: str
    producer: str
    records: int
    chains: Sequence[Value]
    findings: Sequence[Value]
    findings_total: int
    all_findings: bool
    summary: Summary
    verdicts: Mapping[str, int]
    events: Mapping[str, int]
    percentiles: Mapping[str, float]
    latencies: Sequence[tuple[str, int]]
    warnings: Sequence[str] = ()


def page(facts: Facts) -> Iterator[str]:
    """The page in parts, in order."""
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
    yield f'<meta name="referrer" content="no-referrer">\n<title>Gait decisions: {escape(facts.source)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
    yield from _header(facts)
    yield "<main>\n"
    yield from _status(facts)
    yield from _totals(facts)
    yield from _over_time(facts.summary)
    yield from _refusals(facts.summary)
    yield from _latency(facts)
    yield from _chains(facts)
    yield from _latest(facts)
    yield "</main>\n"
    yield from _footer(facts)
    yield "</body>\n</html>\n"


def _header(facts: Facts) -> Iterator[str]:
    yield f'<header>\n<h1>Gait decisions</h1>\n<p class="sub">Journal <code>{agent(facts.source)}</code><br>'
    first, last = facts.summary.period
    if first:
        yield f"{number(facts.summary.decisions)} decisions from {_time(first)} to {_time(last)}"
    else:
        yield "No decisions"
    yield "</p>\n</header>\n"


def _time(text: str) -> str:
    """A time as it stands in a record, in UTC to the second where it says so."""
    if text[10:11] == "T" and text[-1:] == "Z":
        return f'<time datetime="{escape(text)}">{escape(text[:10])} {escape(text[11:19])}&nbsp;UTC</time>'
    return escape(text)


def _status(facts: Facts) -> Iterator[str]:
    chains = f"{number(len(facts.chains))} chain{'' if len(facts.chains) == 1 else 's'}"
    if facts.findings_total:
        yield '<div class="status bad" role="alert">\n<p><strong>NOT VERIFIED: '
        yield f"{number(facts.findings_total)} finding{'' if facts.findings_total == 1 else 's'}</strong></p>\n"
        yield "<p>This journal was damaged or changed after it was written. "
        yield f"{number(facts.records)} records in {chains} verified, and only they are counted below.</p>\n"
        yield from _findings(facts)
    else:
        yield f'<div class="status good">\n<p><strong>Verified</strong></p>\n<p>All {number(facts.records)} records in {chains} verified: '
        yield "signatures, order and links. No findings.</p>\n"
    yield from (f'<p class="notice">{escape(warning)}</p>\n' for warning in facts.warnings)
    yield "</div>\n"


def _findings(facts: Facts) -> Iterator[str]:
    columns = (("Chain", ""), ("Finding", ""), ("Segment", "n"), ("Sequence", "n"))
    yield from table("What verification found", columns, map(_finding, facts.findings[:_MAX_LISTED]))
    if len(facts.findings) > _MAX_LISTED:
        yield f"<p>Only the first {_MAX_LISTED} are listed here: <code>gait journal verify</code> shows the others.</p>\n"


def _finding(finding: Value) -> Sequence[str]:
    sequence = str(finding["sequence"])
    if finding["until"] != finding["sequence"]:
        sequence += f" to {finding['until']}"
    words = f'<strong class="finding">{escape(str(finding["code"]))}</strong><br>{agent(str(finding["message"]))}'
    return agent(str(finding["chain"])), words, str(finding["segment"]), sequence


def _totals(facts: Facts) -> Iterator[str]:
    counts = {name: facts.verdicts.get(name, 0) for name in VERDICTS}
    unknown = facts.summary.decisions - sum(counts.values())
    if unknown:
        counts[UNKNOWN] = unknown
    yield '<h2 class="sub">Totals by verdict</h2>\n<ul class="tiles">\n'
    for name, count in counts.items():
        share = f"{count * 100 / facts.summary.decisions:.1f}%" if facts.summary.decisions else ""
        yield f'<li class="v-{name}"><span><span class="name">{LABELS[name]}</span><span>{share}</span></span><b>{number(count)}</b></li>\n'
    yield "</ul>\n"


def _over_time(summary: Summary) -> Iterator[str]:
    yield "<section>\n<h2>Verdicts over time</h2>\n"
    bars = summary.timeline.bars()
    if not bars.counts:
        yield '<p class="empty">No decisions.</p>\n</section>\n'
        return
    used = [name for name, total in zip(_ORDER, map(sum, zip(*bars.counts))) if total]
    legend = "".join(f'<li class="v-{name}">{LABELS[name]}</li>' for name in used)
    yield f'<ul class="legend">{legend}</ul>\n{stacked(bars, _ORDER, LABELS)}\n</section>\n'


def _refusals(summary: Summary) -> Iterator[str]:
    yield '<div class="columns">\n'
    yield from _ranking("Top refused tools", "Tool", summary.tools)
    yield from _ranking("Top reasons", "Reason", summary.reasons)
    yield "</div>\n"


def _ranking(title: str, what: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield f"<section>\n<h2>{title}</h2>\n"
    rows = ranked(counts)
    if rows:
        rest = f"; {number(len(rows) - _TOP)} more are not shown" if len(rows) > _TOP else ""
        yield ranking(rows[:_TOP], what, f"Decisions that were not allow{rest}")
    else:
        yield '<p class="empty">Nothing was refused.</p>'
    yield "\n</section>\n"


def _latency(facts: Facts) -> Iterator[str]:
    yield "<section>\n<h2>Time to decide</h2>\n"
    if facts.latencies:
        shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{value:g} ms</dd></div>" for name, value in facts.percentiles.items())
        about = "Bars of decisions by latency in milliseconds; each label is the upper bound of its bar."
        yield f'<dl class="percentiles">{shown}</dl>\n{histogram(facts.latencies, "Latency histogram", about)}\n'
        yield '<p class="note">Milliseconds; each label is the upper bound of its bar. Percentiles are within 2 %.</p>\n'
    else:
        yield '<p class="empty">No record says how long it took.</p>\n'
    yield "</section>\n"


def _latest(facts: Facts) -> Iterator[str]:
    rows = facts.summary.rows()
    yield '<section class="latest">\n<h2>Latest decisions</h2>\n'
    if not rows:
        yield '<p class="empty">None are shown.</p>\n</section>\n'
        return
    yield f'<p class="note">The newest {number(len(rows))} of {number(facts.summary.decisions)}. Open a line of reasons to see the record’s digests.</p>\n'
    chains = _chain_classes(rows)
    yield from _choices("v", "Verdict", [(name, LABELS[name]) for name in _ORDER], [row.verdict for row in rows])
    if 1 < len(chains) <= MAX_CHAINS:
        yield from _choices("c", "Chain", [(place, agent(name)) for name, place in chains.items()], [chains[row.chain] for row in rows])
    yield '<table class="records">\n<thead><tr><th scope="col" class="time">Time (UTC)</th><th scope="col" class="verdict">Verdict</th>'
    yield '<th scope="col">Tool</th><th scope="col" class="rule">Rule</th><th scope="col" class="ms n">ms</th>'
    yield '<th scope="col" class="place n">Chain and sequence</th></tr></thead>\n'
    for row in rows:
        yield _record(row, chains[row.chain])
    yield "</table>\n</section>\n"


def _chain_classes(rows: Sequence[Row]) -> dict[str, str]:
    """A number for each chain, which selects its rows."""
    return {name: str(place) for place, name in enumerate(sorted({row.chain for row in rows}))}


def _choices(prefix: str, title: str, names: Sequence[tuple[str, str]], found: Sequence[str]) -> Iterator[str]:
    """Radio buttons before the table: the style hides what is not chosen."""
    shown = [("all", "all", len(found))] + [(name, label, found.count(name)) for name, label in names if name in found]
    for name, label, _ in shown:
        checked = " checked" if name == "all" else ""
        yield f'<input class="pick" type="radio" name="{prefix}" id="p{prefix}-{name}"{checked}>'
    labels = "".join(f'<label for="p{prefix}-{name}">{label} {number(count)}</label>' for name, label, count in shown)
    yield f'\n<div class="choices"><span>{title}</span>{labels}</div>\n'


def _record(row: Row, chain: str) -> str:
    time = escape(row.created_at)
    if time[-1:] == "Z":
        time = f"<span>{time[:10]}</span> <span>{time[11:19]}</span>"
    cells = (
        f'<td class="time">{time}</td><td class="verdict"><span class="pill v-{row.verdict}">{LABELS[row.verdict]}</span></td>'
        f'<td class="tool">{agent(row.tool)}</td><td class="rule">{agent(row.rule)}</td><td class="ms n">{row.latency_ms}</td>'
        f'<td class="place n">{agent(row.chain)} #{row.sequence}</td>'
    )
    found = [("created_at", row.created_at), ("rule", row.rule), ("latency_ms", row.latency_ms), ("chain", row.chain)]
    found += [("sequence", str(row.sequence)), *row.details]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{agent(value)}</dd>" for name, value in found if value)
    why = f"<details><summary>{agent(row.reasons or 'no reason')}</summary><dl>{listed}</dl></details>"
    return f'<tbody class="v-{row.verdict} c-{chain}"><tr class="what">{cells}</tr><tr class="why"><td colspan="4">{why}</td></tr></tbody>\n'


def _chains(facts: Facts) -> Iterator[str]:
    yield "<section>\n<h2>Chains</h2>\n"
    yield '<p class="note">A signed head proves that no record up to its sequence was cut off. Records after it are chained, but the last ones could be missing.</p>\n'
    columns = (("Chain", ""), ("Status", ""), ("Proven up to", "n"), ("After that", "n"), ("Records", "n"), ("Sequence", "n"), ("Torn lines", "n"))
    yield from table("Every chain of the journal", columns, (_chain(chain, _chain_status(facts, chain)) for chain in facts.chains))
    if facts.events:
        words = ", ".join(f"{escape(name)} {number(count)}" for name, count in ranked(facts.events))
        yield f'<p class="note">Events: {words}</p>\n'
    gaps = [gap for chain in facts.chains for gap in chain["gaps"]]  # type: ignore[attr-defined]
    if gaps:
        yield f"<details><summary>Times without a guard: {number(len(gaps))}</summary>\n"
        parts = (("Chain", ""), ("After sequence", "n"), ("From", ""), ("Seconds", "n"), ("What", ""))
        yield from table("Times in which nobody was on guard, or nobody knows", parts, map(_gap, gaps[:_MAX_LISTED]))
        yield "</details>\n"
    yield "</section>\n"


def _chain_status(facts: Facts, chain: Value) -> str:
    """Verified only when there is no finding that could be about it."""
    if any(finding["chain"] == chain["chain"] for finding in facts.findings):
        return '<strong class="finding">findings</strong>'
    if not facts.all_findings:
        return '<strong class="finding">not known: too many findings</strong>'
    return "verified" if chain["last_sequence"] else "empty"


def _chain(chain: Value, status: str) -> Sequence[str]:
    if not chain["last_sequence"]:
        return agent(str(chain["chain"])), status, "", "", "0", "", ""
    proven = number(int(chain["proven_sequence"])) if chain["proven_sequence"] else "nothing"  # type: ignore[call-overload]
    if chain["proven_at"]:
        proven += f"<br>{_time(str(chain['proven_at']))}"
    counts = [number(int(chain[name])) for name in ("unproven", "records", "torn_lines")]  # type: ignore[call-overload]
    sequence = f"{number(int(chain['first_sequence']))} to {number(int(chain['last_sequence']))}"  # type: ignore[call-overload]
    return agent(str(chain["chain"])), status, proven, counts[0], counts[1], sequence, counts[2]


def _gap(gap: Value) -> Sequence[str]:
    words = f"{escape(str(gap['code']))}: {agent(str(gap['message']))}"
    seconds = f"{gap['seconds']:,.0f}" if gap["ended_at"] else ""
    return agent(str(gap["chain"])), str(gap["sequence"]), _time(str(gap["started_at"])), seconds, words


def _footer(facts: Facts) -> Iterator[str]:
    yield f"<footer>\n<p>Made by gait {escape(facts.producer)} at {_time(facts.made_at)}. This page is a view and proves nothing by itself: the journal does, with "
    yield "<code>gait journal verify</code>. Signatures are HMAC-SHA256: whoever can verify could also have signed. "
    yield "Control, direction and invisible characters are shown as escapes.</p>\n</footer>\n"
