"""The style of the report page.  Constant, so that the page's Content-Security-Policy can name its digest and no other."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64

# (name, light, dark): every text colour has a contrast of 4.5 or more on `page` and on `card` (WCAG 2.1 SC 1.4.3).
COLORS = (
    ("page", "#f6f7f9", "#0e1116"),
    ("card", "#ffffff", "#161b22"),
    ("line", "#d9dee5", "#2b333d"),
    ("text", "#1c2128", "#e6e9ee"),
    ("muted", "#57606a", "#9aa4b0"),
    ("accent", "#3b5b8c", "#8fb3ea"),
    ("allow", "#1d7a4a", "#57c48a"),
    ("dry_run", "#2f62b5", "#84b1f7"),
    ("require_approval", "#8f5b00", "#e5b64c"),
    ("block", "#b3261e", "#ff8f86"),
    ("unknown", "#5d5470", "#b9add0"),
)
# Shapes need a contrast of 3 on `card` (SC 1.4.11), and look better with it than with the texts' colours.
FILLS = (
    ("allow", "#36a26b", "#3f9f70"),
    ("dry_run", "#4c82d9", "#6799e6"),
    ("require_approval", "#c58300", "#dba63a"),
    ("block", "#d5443a", "#ec6f66"),
    ("unknown", "#85799b", "#9d92b5"),
    ("accent", "#5479b3", "#6e96d3"),
)
MAX_CHAINS = 12  # that can be chosen; one rule each

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,header,footer{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:17px;line-height:1.3;margin:0 0 2px}
p{margin:0 0 8px}
.sub,.note,footer,.empty{color:var(--muted)}
.sub,.note,footer{font-size:13px}
.note{margin-bottom:12px}
.note:last-child{margin:8px 0 0}
section,.status{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 16px;min-width:0}
.status{border-left:6px solid var(--allow);margin-top:20px}
.status>p>strong{font-size:17px}
.status.bad{border-color:var(--block)}
.status.bad>p>strong,.finding{color:var(--block)}
.status.good>p>strong{color:var(--allow)}
.status p:last-child{margin:0}
.notice{border-left:3px solid var(--require_approval);padding-left:10px;font-size:13px;margin:8px 0 0}
bdi,code,dd{overflow-wrap:anywhere}
code,dd,.hex{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:12.5px}
.u{font-style:normal;font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.88em;color:var(--block);border:1px solid currentColor;border-radius:3px;padding:0 2px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:0 0 16px;padding:0;list-style:none}
.tiles li{background:var(--card);border:1px solid var(--line);border-top:3px solid var(--f);border-radius:10px;padding:12px 16px}
.tiles b{display:block;font-size:24px;line-height:1.25;font-weight:600;font-variant-numeric:tabular-nums;text-align:right}
.tiles span{display:flex;justify-content:space-between;gap:8px;font-size:13px;color:var(--muted)}
.tiles .name{color:var(--c,var(--text));font-weight:600}
.columns{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 16px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
caption{text-align:left;color:var(--muted);font-size:13px;padding-bottom:6px}
th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-top:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{border-top:0;color:var(--muted);font-weight:600;font-size:12.5px}
tbody th{font-weight:400}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.scroll th.n,.scroll td.n{padding-right:20px}
.scroll tr>:last-child{padding-right:0}
.scroll bdi{overflow-wrap:break-word}
.scroll td:first-child{white-space:nowrap}
time{white-space:nowrap}
.scroll{overflow-x:auto}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
svg{display:block;width:100%}
.frame{display:grid;grid-template-columns:auto minmax(0,1fr);gap:4px 8px;font-size:12px;color:var(--muted);font-variant-numeric:tabular-nums}
.frame svg{height:170px;border-bottom:1px solid var(--line);background:linear-gradient(var(--line) 1px,transparent 1px) 0 0/100% 50%}
.frame .y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;margin:-8px 0}
.frame .x{grid-column:2;display:flex;justify-content:space-between;gap:8px}
.frame .x span:nth-child(2){text-align:center}
.frame .x span:last-child{text-align:right}
.frame .ticks{grid-column:2;display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);text-align:center;font-size:11.5px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 14px;padding:0;list-style:none;font-size:13px}
.legend li::before{content:"";display:inline-block;width:10px;height:10px;border-radius:2px;background:var(--f);margin-right:6px}
.bars{table-layout:fixed}
.bars th,.bars td{border:0;padding:4px 0}
.bars th:first-child{width:52%;padding-right:12px}
.bars th.n{width:92px}
.bars svg{height:12px;margin-top:4px;background:var(--page);border-radius:2px}
.bar{fill:var(--fill-accent)}
.bars .bar{fill:var(--fill-block)}
.percentiles{display:flex;flex-wrap:wrap;gap:6px 22px;margin:8px 0 16px}
.percentiles div{display:flex;gap:8px;align-items:baseline}
dt{color:var(--muted);font-size:13px}
.percentiles dd{margin:0;font:600 17px/1.3 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
.pill{display:inline-block;font-size:12px;line-height:1.5;font-weight:600;color:var(--c);border:1px solid currentColor;border-radius:99px;padding:0 8px;white-space:nowrap}
.pick{position:absolute;opacity:0;pointer-events:none}
.choices{display:flex;flex-wrap:wrap;gap:6px;align-items:center;margin:0 0 8px;font-size:13px}
.choices>span{color:var(--muted);min-width:58px}
.choices label{border:1px solid var(--line);border-radius:99px;padding:2px 11px;cursor:pointer;font-variant-numeric:tabular-nums}
.records{margin-top:14px;table-layout:fixed}
.records .time{width:172px}
.records .verdict{width:136px}
.records .rule{width:21%}
.records .ms{width:84px}
.records .place{width:19%;white-space:normal}
.records span{white-space:nowrap}
.records td{border-top:0;overflow-wrap:anywhere}
.records tr.what td{border-top:1px solid var(--line);padding-bottom:2px}
.records tr.why td{padding-top:0;padding-bottom:8px;font-size:12.5px;color:var(--muted)}
summary{cursor:pointer;width:fit-content;max-width:100%}
details dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 14px;margin:8px 0 6px;padding:10px 12px;background:var(--page);border-radius:6px;color:var(--text)}
details dd{margin:0}
footer{padding-top:4px;padding-bottom:40px}
@media (max-width:860px){.columns{grid-template-columns:minmax(0,1fr)}.records .rule,.records .ms{display:none}.records .place{width:22%}}
@media (max-width:560px){main,header,footer{padding-left:14px;padding-right:14px}header{padding-top:22px}section,.status{padding:14px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.frame .x span:nth-child(2){display:none}
.percentiles{gap:6px 14px}.percentiles div{gap:5px}.percentiles dd{font-size:14.5px}
.bars th:first-child{width:58%}.bars th.n{width:78px}
.records,.records tbody,.records td{display:block}.records thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.records tr.what{display:grid;grid-template-columns:auto auto minmax(0,1fr);gap:2px 10px;align-items:baseline;border-top:1px solid var(--line);padding-top:8px}
.records tr.why{display:block}.records tr.what td{border:0;padding:0}.records .time,.records .verdict,.records .place{width:auto}
.records tr.what .tool{grid-column:1/-1;grid-row:2;font-weight:600}
details dl{grid-template-columns:minmax(0,1fr);gap:0}details dd{margin-bottom:6px}}
@media print{.choices,.pick{display:none}section{break-inside:avoid}.latest{break-inside:auto}}
"""


def _colors(index: int) -> str:
    found = [f"--{color[0]}:{color[index]}" for color in COLORS] + [f"--fill-{color[0]}:{color[index]}" for color in FILLS]
    return ":root{%s}" % ";".join(found)


def _choices() -> str:
    """Filtering without a script: what is not chosen is not displayed."""
    verdicts = [color[0] for color in COLORS[6:]]
    rules = [f".v-{name}{{--c:var(--{name});--f:var(--fill-{name});fill:var(--f)}}" for name in verdicts]
    for prefix, names in (("v", verdicts), ("c", [str(number) for number in range(MAX_CHAINS)])):
        rules += [f"#p{prefix}-{name}:checked~.records tbody:not(.{prefix}-{name}){{display:none}}" for name in names]
        rules += [_choice(f"p{prefix}-{name}") for name in ("all", *names)]
    return "\n".join(rules)


def _choice(name: str) -> str:
    label = f'~.choices label[for="{name}"]'
    return f"#{name}:checked{label}{_CHOSEN}#{name}:focus-visible{label}{_FOCUSED}"


_CHOSEN = "{background:var(--text);color:var(--card);border-color:var(--text)}"
_FOCUSED = "{outline:2px solid var(--accent);outline-offset:2px}"
STYLE = "\n".join([_colors(1), "@media (prefers-color-scheme:dark){" + _colors(2) + "}", _RULES.strip(), _choices(), ""])
POLICY = "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'" % (
    b2a_base64(hashlib.sha256(STYLE.encode()).digest(), newline=False).decode()
)
