#!/usr/bin/env python3
"""Draws the diagrams of the documentation: each docs/diagrams/NAME.mmd (Mermaid) as docs/diagrams/NAME.svg.

    python3 scripts/diagrams.py            draw them all
    python3 scripts/diagrams.py --check    change nothing; exit 1 when a drawing is not its source's

The Mermaid text is the one source: what GitHub and other viewers draw from it, and the SVG here, say the same.  Two kinds are
understood, and a line that is not is an error: `sequenceDiagram` (participant, messages, Note over, alt/else/opt/loop/end) and
`flowchart TB` of subgraphs, which are drawn as zones below each other.
"""

from __future__ import annotations

import re
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "diagrams"

FONT = 16  # the pixels of the text; a phone shows a drawing of 600 at about 0.6
LINE = 20
COLUMN = 150
ROW_GAP = 14
MARGIN = 12

STYLE = """
svg { --paper: #ffffff; --ink: #1f2328; --faint: #d0d7de; --box: #eef3f9; --mark: #0b5cad; --no: #b42318; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #161b22; --ink: #e6edf3; --faint: #3d444d; --box: #22303f; --mark: #6cb6ff; --no: #ff8f85; }
}
text { font: 16px system-ui, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; fill: var(--ink); }
.paper { fill: var(--paper); } .name { font-weight: 600; }
.box { fill: var(--box); stroke: var(--mark); } .zone { fill: none; stroke: var(--faint); stroke-width: 2; }
.life { stroke: var(--faint); stroke-width: 2; } .arrow { stroke: var(--mark); stroke-width: 2; fill: none; }
.reply { stroke-dasharray: 6 4; } .head { fill: var(--mark); }
.frame { fill: none; stroke: var(--faint); stroke-width: 2; stroke-dasharray: 3 3; }
.case { fill: var(--no); font-style: italic; }
.label { paint-order: stroke; stroke: var(--paper); stroke-width: 6px; stroke-linejoin: round; }
""".strip()


class BadDiagram(Exception):
    """A source that is not understood, with its file and line."""


def width_of(text: str) -> float:
    """About how many pixels a text takes, rather too many than too few."""
    return sum(0.32 if char in "iljtfI.,:;'|!() " else 0.88 if char in "mwMW@" else 0.66 if char.isupper() else 0.57 for char in text) * FONT


def wrap(text: str, width: float) -> list[str]:
    """The text in lines of at most a width, broken at spaces and at `<br>`; a longer word has a line of its own."""
    lines: list[str] = []
    for part in re.split(r"<br */?>", text):
        line = ""
        for word in part.split():
            longer = f"{line} {word}".strip()
            if line and width_of(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


class Canvas:
    """SVG elements from top to bottom, and the height that they need so far."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.behind: list[str] = []
        self.front: list[str] = []
        self.y = float(MARGIN)

    def text(self, lines: list[str], x: float, y: float, css: str = "", anchor: str = "middle") -> None:
        """Lines whose first base line is one line below `y`."""
        for number, line in enumerate(lines):
            self.front.append(
                f'<text class="{css}" x="{x:g}" y="{y + FONT + number * LINE:g}" text-anchor="{anchor}">{escape(line, quote=False)}</text>'
            )

    def box(self, lines: list[str], x: float, y: float, width: float, css: str = "") -> float:
        """A filled box around the point `x`, with its text; its height."""
        height = len(lines) * LINE + 10
        self.front.append(f'<rect class="box" x="{x - width / 2:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>')
        self.text(lines, x, y + 4, css)
        return float(height)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, is_reply: bool = False) -> None:
        """A line with a head at its second point."""
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        across, down = (x2 - x1) / length, (y2 - y1) / length
        css = "arrow reply" if is_reply else "arrow"
        back_x, back_y = x2 - 10 * across, y2 - 10 * down
        self.front.append(f'<path class="{css}" d="M{x1:g} {y1:g}L{back_x:.4g} {back_y:.4g}"/>')
        wing_x, wing_y = 5 * down, 5 * across
        points = f"{x2:g},{y2:g} {back_x - wing_x:.4g},{back_y + wing_y:.4g} {back_x + wing_x:.4g},{back_y - wing_y:.4g}"
        self.front.append(f'<polygon class="head" points="{points}"/>')

    def svg(self, width: float) -> str:
        size = f"{width:g} {self.y:g}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{width:g}" height="{self.y:g}" role="img">'
        paper = f'<rect class="paper" width="{width:g}" height="{self.y:g}" rx="8"/>'
        body = [head, f"<title>{escape(self.title)}</title>", f"<style>\n{STYLE}\n</style>", paper, *self.behind, *self.front, "</svg>"]
        return "\n".join(body) + "\n"


class Sequence:
    """A sequence diagram: a column for each participant, drawn downwards."""

    def __init__(self, title: str) -> None:
        self.canvas = Canvas(title)
        self.columns: dict[str, float] = {}
        self.names: list[str] = []
        self.frames: list[tuple[float, int]] = []
        self.started = False

    def width(self) -> float:
        return len(self.names) * COLUMN + 2 * MARGIN

    def line(self, text: str) -> bool:
        """Draw one statement; False when it is none."""
        for pattern, draw in _STATEMENTS:
            found = re.fullmatch(pattern, text)
            if found:
                draw(self, *found.groups())
                return True
        return False

    def participant(self, key: str, name: str | None) -> None:
        self.columns[key] = MARGIN + (len(self.names) + 0.5) * COLUMN
        self.names.append(name or key)

    def start(self) -> None:
        """The heads, once all participants are known."""
        if self.started:
            return
        self.started = True
        lines = [wrap(name, COLUMN - 40) for name in self.names]
        tallest = max(map(len, lines))
        for x, name in zip(self.columns.values(), lines):
            self.canvas.box(name + [""] * (tallest - len(name)), x, self.canvas.y, COLUMN - 14, "name")
        self.canvas.y += tallest * LINE + 10 + ROW_GAP

    def message(self, sender: str, dashes: str, receiver: str, text: str) -> None:
        self.start()
        x1, x2 = self.columns[sender], self.columns[receiver]
        if sender == receiver:
            self.note(sender, None, text)
            return
        lines = wrap(text, abs(x2 - x1) - 22)
        self.canvas.text(lines, (x1 + x2) / 2, self.canvas.y, "label")
        self.canvas.y += len(lines) * LINE + 8
        self.canvas.arrow(x1, self.canvas.y, x2, self.canvas.y, dashes == "--")
        self.canvas.y += ROW_GAP

    def note(self, first: str, last: str | None, text: str) -> None:
        """A box over one lifeline, or from one to another."""
        self.start()
        x1, x2 = self.columns[first], self.columns[last or first]
        width = abs(x2 - x1) + COLUMN + (-14 if last else 30)
        middle = min(max((x1 + x2) / 2, MARGIN + width / 2), self.width() - MARGIN - width / 2)
        self.canvas.y += self.canvas.box(wrap(text, width - 20), middle, self.canvas.y, width) + ROW_GAP

    def open(self, kind: str, text: str) -> None:
        self.start()
        self.frames.append((self.canvas.y, len(self.frames)))
        self.case(kind, text)

    def case(self, kind: str, text: str) -> None:
        """What holds for the messages that follow, in a frame."""
        if not self.frames:
            raise BadDiagram(f"{kind} outside alt")
        inset = 4 + 4 * self.frames[-1][1]
        if kind == "else":
            self.canvas.behind.append(f'<path class="frame" d="M{inset} {self.canvas.y:g}H{self.width() - inset:g}"/>')
        lines = wrap(f"{'or' if kind == 'else' else {'alt': 'if', 'opt': 'if'}.get(kind, kind)} {text}", self.width() - 40)
        self.canvas.text(lines, inset + 10, self.canvas.y + 2, "case label", "start")
        self.canvas.y += len(lines) * LINE + 12

    def end(self) -> None:
        if not self.frames:
            raise BadDiagram("end outside alt")
        top, depth = self.frames.pop()
        inset = 4 + 4 * depth
        shape = f'x="{inset}" y="{top:g}" width="{self.width() - 2 * inset:g}" height="{self.canvas.y - top:g}" rx="4"'
        self.canvas.behind.append(f'<rect class="frame" {shape}/>')
        self.canvas.y += ROW_GAP

    def svg(self) -> str:
        if not self.names or self.frames:
            raise BadDiagram("no participants, or an alt without end")
        top = self.canvas.y
        for x in self.columns.values():
            self.canvas.behind.append(f'<path class="life" d="M{x:g} {2 * MARGIN}V{top:g}"/>')
        self.canvas.y = top + MARGIN
        return self.canvas.svg(self.width())


_STATEMENTS = (
    (r"participant (\w+)(?: as (.+))?", Sequence.participant),
    (r"(\w+)(--?)>>(\w+): (.+)", Sequence.message),
    (r"Note over (\w+)(?:,(\w+))?: (.+)", Sequence.note),
    (r"(alt|opt|loop) (.+)", Sequence.open),
    (r"(else) (.+)", Sequence.case),
    (r"end", Sequence.end),
)


class Zone(NamedTuple):
    """A subgraph: its title and its boxes in a row."""

    title: str
    boxes: list[tuple[str, str]]


class Flow:
    """A flowchart of zones below each other; arrows go from a box to one in another zone, or to its neighbour."""

    WIDTH = 4 * COLUMN + 2 * MARGIN

    def __init__(self, title: str) -> None:
        self.canvas = Canvas(title)
        self.zones: list[Zone] = []
        self.arrows: list[tuple[str, str, str, str]] = []
        self.places: dict[str, tuple[float, float, float, float]] = {}
        self.titles: list[tuple[str, float]] = []

    def line(self, text: str) -> bool:
        """Read one statement; False when it is none."""
        zone = re.fullmatch(r'subgraph \w+\["(.+)"\]', text)
        box = re.fullmatch(r'(\w+)\["(.+)"\]', text)
        arrow = re.fullmatch(r"(\w+) (-->|-\.->)(?:\|\"?([^|\"]+)\"?\|)? ?(\w+)", text)
        if zone:
            self.zones.append(Zone(zone[1], []))
        elif box and self.zones:
            self.zones[-1].boxes.append((box[1], box[2]))
        elif arrow:
            self.arrows.append((arrow[1], arrow[2], arrow[3] or "", arrow[4]))
        return bool(zone or arrow or (box and self.zones) or text == "end")

    def svg(self) -> str:
        for zone in self.zones:
            self._zone(zone)
        for sender, line, label, receiver in self.arrows:
            self._arrow(self.places[sender], self.places[receiver], label, line == "-.->")
        for title, top in self.titles:  # last, so that no arrow runs through the words
            self.canvas.text([title], 2 * MARGIN, top, "name label", "start")
        self.canvas.y += MARGIN - 46
        return self.canvas.svg(self.WIDTH)

    def _zone(self, zone: Zone) -> None:
        top, room = self.canvas.y, (self.WIDTH - 2 * MARGIN) / len(zone.boxes)
        self.titles.append((zone.title, top + 4))
        texts = [wrap(label, room - 40) for _, label in zone.boxes]
        tallest = max(map(len, texts))
        for number, (key, _) in enumerate(zone.boxes):
            middle = MARGIN + (number + 0.5) * room
            height = self.canvas.box(texts[number] + [""] * (tallest - len(texts[number])), middle, top + 32, room - 24)
            self.places[key] = (middle, top + 32, room - 24, height)
        bottom = top + 32 + tallest * LINE + 22
        shape = f'x="{MARGIN}" y="{top:g}" width="{self.WIDTH - 2 * MARGIN:g}" height="{bottom - top:g}" rx="8"'
        self.canvas.behind.append(f'<rect class="zone" {shape}/>')
        self.canvas.y = bottom + 46

    def _arrow(self, start: tuple[float, ...], end: tuple[float, ...], label: str, is_dashed: bool) -> None:
        x1, y1, width1, height1 = start
        x2, y2, width2, height2 = end
        if y1 == y2:
            side = 1 if x2 > x1 else -1
            self.canvas.arrow(x1 + side * width1 / 2, y1 + height1 / 2, x2 - side * width2 / 2, y2 + height2 / 2, is_dashed)
            return
        aside = 36 if y2 > y1 else -36  # there and back are two lines
        from_y, to_y = (y1 + height1, y2) if y2 > y1 else (y1, y2 + height2)
        self.canvas.arrow(x1 - aside, from_y, x2 - aside, to_y, is_dashed)
        if label:
            gap = min(from_y, to_y) + 26
            share = (gap - from_y) / (to_y - from_y)
            anchor = "end" if aside > 0 else "start"
            self.canvas.text([label], x1 - aside + (x2 - x1) * share - aside / 4, gap - LINE / 2, "label", anchor)


def draw(source: str, name: str) -> str:
    """The SVG of a Mermaid text.  BadDiagram: a line that is not understood."""
    lines = source.splitlines()
    title = name.replace("_", " ")
    diagram: Sequence | Flow | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("%%"):
            title = text[2:].strip()
        elif diagram is None and text in ("sequenceDiagram", "flowchart TB"):
            diagram = Sequence(title) if text == "sequenceDiagram" else Flow(title)
        elif text and (diagram is None or not diagram.line(text)):
            raise BadDiagram(f"{name}.mmd:{number}: not understood: {text}")
    if diagram is None:
        raise BadDiagram(f"{name}.mmd: neither sequenceDiagram nor flowchart TB")
    return diagram.svg()


def main() -> int:
    stale = []
    for source in sorted(FOLDER.glob("*.mmd")):
        target = source.with_suffix(".svg")
        svg = draw(source.read_text("utf-8"), source.stem)
        if not target.exists() or target.read_text("utf-8") != svg:
            stale.append(target.name)
            if "--check" not in sys.argv[1:]:
                target.write_text(svg, "utf-8")
    print(f"{'stale' if '--check' in sys.argv[1:] else 'drawn'}: {', '.join(stale) or 'none'}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
