"""The report page's charts: inline SVG that is stretched to its place, with the words beside it in HTML, so that no text is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..formats import timestamps
from .html_text import agent, escape
from .timeline import Bars

_UNITS = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_GAP = 0.1  # of a bar's place, on either side


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def duration(seconds: int) -> str:
    """Whole seconds in the largest unit that divides them: `15 minutes`."""
    size, unit = next(found for found in _UNITS if seconds % found[0] == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


def moment(seconds: int, width: int) -> str:
    """A time as exactly as bars of this width need it."""
    text = timestamps.dumps(seconds)[:-1].replace("T", " ")
    if width % 86400 == 0:
        return text.partition(" ")[0]
    return text[:-3] if width % 60 == 0 else text


def stacked(bars: Bars, names: Sequence[str], labels: Mapping[str, str]) -> str:
    """Bars over time, one colour for each name, from the first name at the bottom up."""
    highest = max(map(sum, bars.counts))
    groups = []
    for place, counts in enumerate(bars.counts):
        if any(counts):
            groups.append(_stack(place, counts, names, highest, _told(bars, place, counts, names, labels)))
    last = bars.start + bars.seconds * len(bars.counts)
    middle = bars.start + bars.seconds * (len(bars.counts) // 2)
    ticks = "".join(f"<span>{escape(moment(at, bars.seconds))}</span>" for at in (bars.start, middle, last))
    about = f"Stacked bars of {duration(bars.seconds)} each, from {moment(bars.start, bars.seconds)} to {moment(last, bars.seconds)} UTC; the highest has {number(highest)} decisions."
    drawing = _svg("timeline", "Verdicts over time", about, len(bars.counts), "".join(groups))
    return f'<div class="frame">{_scale(highest)}{drawing}<div class="x" aria-hidden="true">{ticks}</div></div>'


def _stack(place: int, counts: Sequence[int], names: Sequence[str], highest: int, told: str) -> str:
    parts, top = [], 100.0
    for name, count in zip(names, counts):
        height = count * 100 / highest
        top -= height
        if count:
            parts.append(f'<rect class="v-{name}" x="{place + _GAP:.1f}" y="{top:.2f}" width="{1 - 2 * _GAP:.1f}" height="{height:.2f}"/>')
    return f"<g><title>{escape(told)}</title>{''.join(parts)}</g>"


def _told(bars: Bars, place: int, counts: Sequence[int], names: Sequence[str], labels: Mapping[str, str]) -> str:
    words = ", ".join(f"{labels[name]} {number(count)}" for name, count in zip(names, counts) if count)
    return f"{moment(bars.start + place * bars.seconds, bars.seconds)} UTC: {words}"


def histogram(buckets: Sequence[tuple[str, int]], title: str, about: str) -> str:
    """One bar for each (label, count), in order."""
    highest = max(count for _, count in buckets)
    parts = []
    for place, (label, count) in enumerate(buckets):
        height = count * 100 / highest
        rect = f'<rect class="bar" x="{place + _GAP:.1f}" y="{100 - height:.2f}" width="{1 - 2 * _GAP:.1f}" height="{height:.2f}"/>'
        parts.append(f"<g><title>{escape(label)} ms: {number(count)}</title>{rect}</g>")
    ticks = "".join(f"<span>{escape(label)}</span>" for label, _ in buckets)
    drawing = _svg("latency", title, about, len(buckets), "".join(parts))
    return f'<div class="frame">{_scale(highest)}{drawing}<div class="ticks" aria-hidden="true">{ticks}</div></div>'


def ranking(rows: Sequence[tuple[str, int]], what: str, caption: str) -> str:
    """A table of names that agents or policies chose, with a bar and a count each."""
    highest = max(count for _, count in rows)
    lines = []
    for name, count in rows:
        rect = f'<rect class="bar" x="0" y="0" width="{count * 100 / highest:.2f}" height="1"/>'
        bar = f'<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">{rect}</svg>'
        lines.append(f'<tr><th scope="row">{agent(name).replace("_", "_<wbr>")}</th><td>{bar}</td><td class="n">{number(count)}</td></tr>')
    head = f'<thead><tr><th scope="col">{what}</th><td></td><th scope="col" class="n">Decisions</th></tr></thead>'
    return f'<table class="bars"><caption>{caption}</caption>{head}<tbody>{"".join(lines)}</tbody></table>'


def _scale(highest: int) -> str:
    middle = number(highest // 2) if highest % 2 == 0 else ""
    return f'<div class="y" aria-hidden="true"><span>{number(highest)}</span><span>{middle}</span><span>0</span></div>'


def _svg(name: str, title: str, about: str, width: int, inside: str) -> str:
    words = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(about)}</desc>'
    attributes = f'viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img" aria-labelledby="{name}-title {name}-desc"'
    return f"<svg {attributes}>{words}{inside}</svg>"
