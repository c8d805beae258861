"""The page and what it is made of: escaping, summaries, bars, colours."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from gait.exporters import html, html_charts, html_style, html_text
from gait.exporters.summary import MAX_NAMES, OTHER, Summary, clip
from gait.exporters.timeline import Timeline
from gait.formats import jcs, timestamps

SEED = random.randrange(1 << 30)
EMPTY_TAGS = {"meta", "br", "input", "wbr"}
CHAIN = {
    **{"chain": "a", "records": 5, "first_sequence": 1, "last_sequence": 5, "proven_sequence": 0, "proven_at": ""},
    **{"unproven": 5, "torn_lines": 0, "gaps": []},
}


def record(**more):
    return {
        **{"schema_id": "gait.gate.trace", "created_at": "2026-02-05T00:00:00Z", "verdict": "block", "tool_name": "t"},
        **{"reason_codes": ["r1", "r2"], "matched_rule": "m", "latency_ms": 1.5, "chain": "a", "sequence": 1},
        **{"prev_digest": "0" * 64, "trace_id": "1" * 24, "signature": {"key_id": "k"}, "context": {"identity": "alice"}},
        **more,
    }


def summary(*records, limit=10):
    found = Summary(limit)
    for item in records:
        found.add(item, jcs.dumps(item))
    return found


def facts(found=None, **more):
    found = found or summary(record())
    values = {
        **{"source": "dir", "made_at": "2026-02-06T00:00:00Z", "producer": "1", "records": 1, "chains": [CHAIN], "findings": []},
        **{"findings_total": 0, "all_findings": True, "summary": found, "verdicts": {"block": found.decisions}},
        **{"events": {}, "percentiles": {"p50": 1.5}, "latencies": [("2.5", 1)]},
    }
    return html.Facts(**{**values, **more})


def made(*arguments, **more):
    return "".join(html.page(facts(*arguments, **more)))


def finding(number, **more):
    return {"code": "c", "chain": "a", "segment": 1, "sequence": number, "until": number, "message": "m", **more}


class Checker(HTMLParser):
    """Fails on elements that are not closed in order; gathers tags, attributes and ids."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag == "rect"
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# --- text


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain_name", "plain_name"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\"><img onerror='x'>&amp;", "&quot;&gt;&lt;img onerror=&#39;x&#39;&gt;&amp;amp;"),
        ("a\u202eb", 'a<i class="u">\\u202e</i>b'),
        ("a\x00\x1b\n", 'a<i class="u">\\x00\\x1b\\n</i>'),
        ("\u200b\u2066\u061c", '<i class="u">\\u200b\\u2066\\u061c</i>'),
        ("\U000e0041", '<i class="u">\\U000e0041</i>'),
        ("a\ufe0f\u3164", 'a<i class="u">\\ufe0f\\u3164</i>'),
        ("e" + "\u0301" * 9, 'e\u0301\u0301<i class="u">\\u0301 ×7</i>'),
        ("\ud800<", '<i class="u">\\ud800</i>&lt;'),
        ("a\u00a0b", 'a<i class="u">\\xa0</i>b'),
        ("naïve 工具 😀 אבג", "naïve 工具 😀 אבג"),
        ("", ""),
    ],
)
def test_an_agents_text(text, shown):
    assert html_text.agent(text) == f"<bdi>{shown}</bdi>"
    plain = re.sub(r'<i class="u">(.*?)</i>', r"\1", shown)
    assert " ×" in shown or html_text.escape(text) == plain


@pytest.mark.fuzz
def test_no_text_leaves_its_place():
    rounds = int(os.environ.get("GAIT_FUZZ_ROUNDS", 2000))
    source = random.Random(SEED)
    pool = "<>&\"'/= \\abc\x00\x07\n\x1b\x7f\x85\u00ad\u200b\u202e\u2066\u0301\u0489\ufe0f\ufeff\ud800\udfff\U000e0001工א😀"
    for _ in range(rounds):
        text = "".join(source.choice(pool) for _ in range(source.randrange(12)))
        for shown in (html_text.agent(text)[5:-6], html_text.escape(text)):
            rest = re.sub(r'<i class="u">[^<>]*</i>|&(?:amp|lt|gt|quot|#39);', "", shown)
            assert not set(rest) & set("<>&\"'"), (SEED, text)
            assert shown.isprintable() or re.sub("[\u0301\u0489]", "", shown).isprintable(), (SEED, text)
        whole = re.sub('</?(bdi|i class="u"|i)>', "", html_text.agent(text))
        assert [char for char in unescape(whole) if char in "<>&\"'/="] == [char for char in text if char in "<>&\"'/="], (SEED, text)


# --- the page


def test_the_page_is_well_formed_and_loads_nothing():
    text = made()
    page = Checker(text)
    assert text.startswith("<!doctype html>\n") and "script" not in page.tags and "link" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert not [item for item in page.attributes if item[1] in ("src", "href", "style", "action") or item[1].startswith("on")]
    assert not re.search(r"url\(|@import|https?:|//", text)
    assert page.tags.count("h1") == 1 and page.tags.count("main") == 1 and "lang" in dict(item[1:] for item in page.attributes)


def test_the_policy_names_the_style_and_nothing_else():
    text = made()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    style = re.search("<style>(.*)</style>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "<" not in style  # nothing in it could end the element


def test_every_drawing_has_words_or_is_hidden():
    page = made()
    for drawing in re.findall("<svg[^>]*>.*?</svg>", page, re.DOTALL):
        if 'aria-hidden="true"' in drawing:
            continue
        name = re.search('aria-labelledby="([a-z]+)-title', drawing).group(1)
        assert f'<title id="{name}-title">' in drawing and f'<desc id="{name}-desc">' in drawing
    assert page.count("<svg") == 5


def test_every_table_has_headers_with_a_scope():
    page = made(findings=[finding(1)], findings_total=1, chains=[{**CHAIN, "gaps": [GAP]}])
    tables = re.findall("<table.*?</table>", page, re.DOTALL)
    assert len(tables) == 6
    for table in tables:
        head = re.search("<thead>.*?</thead>", table, re.DOTALL).group()
        assert head.count("<th ") == head.count('scope="col"') > 2 or 'class="bars"' in table


def luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [1, 2])
def test_contrast(scheme):
    colors = {color[0]: color[scheme] for color in html_style.COLORS}
    for ground in ("page", "card"):
        for name in set(colors) - {"page", "card", "line"}:
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    for fill in html_style.FILLS:
        assert contrast(fill[scheme], colors["card"]) >= 3, fill[0]
    assert contrast(colors["text"], colors["card"]) >= 4.5  # a chosen label


def test_the_status():
    assert "<strong>Verified</strong>" in made() and "All 1 records in 1 chain verified" in made()
    page = made(findings=[finding(1, until=3), finding(9, chain="b")], findings_total=4, chains=[CHAIN, {**CHAIN, "chain": "b"}, {**CHAIN, "chain": "c"}])
    assert "NOT VERIFIED: 4 findings" in page and ">1 to 3<" in page and page.count('<strong class="finding">findings</strong>') == 2
    assert page.index("NOT VERIFIED") < page.index("<section>") and ">verified<" in page and 'role="alert"' in page
    assert "<strong>Verified</strong>" not in page
    assert "NOT VERIFIED: 1 finding<" in made(findings=[finding(1)], findings_total=1)


def test_of_many_findings_the_first_are_listed_and_no_chain_is_called_verified():
    page = made(findings=[finding(number * 2, chain="b") for number in range(101)], findings_total=5000, all_findings=False)
    assert "Only the first 100 are listed here" in page and page.count("<br><bdi>m</bdi>") == 100
    assert ">verified<" not in page and "not known: too many findings" in page and "NOT VERIFIED: 5,000 findings" in page


def test_what_verification_says_is_escaped():
    page = made(source="<d>", warnings=["<w>"], findings=[finding(1, message="<m\u202e>", chain="<c>")], findings_total=1, events={"<e>": 2})
    Checker(page)
    for text in ("&lt;d&gt;", "&lt;w&gt;", '&lt;m<i class="u">\\u202e</i>&gt;', "&lt;c&gt;", "&lt;e&gt; 2"):
        assert text in page


def test_chains():
    page = made(chains=[CHAIN, {**CHAIN, "chain": "b", "proven_sequence": 4, "proven_at": "2026-02-05T00:00:01.5Z", "unproven": 1}, {**CHAIN, "last_sequence": 0}])
    assert ">nothing</td>" in page and "4<br><time" in page and "00:00:01&nbsp;UTC" in page and ">empty<" in page and ">1 to 5<" in page


GAP = {"code": "killed", "chain": "a", "sequence": 3, "until": 4, "started_at": "2026-02-05T00:00:00Z", "ended_at": "x", "seconds": 1234.0, "message": "m"}


def test_gaps():
    page = made(chains=[{**CHAIN, "gaps": [GAP, {**GAP, "ended_at": "", "code": "not_stopped"}]}])
    assert "Times without a guard: 2" in page and ">1,234<" in page and "not_stopped: <bdi>m</bdi>" in page


def test_totals():
    page = made(summary(*[record(verdict=verdict) for verdict in ("allow", "allow", "dry_run", "what?", 7)]), verdicts={"allow": 2, "dry_run": 1, "what?": 1})
    assert re.findall(r'<li class="v-(\w+)"><span>.*?<b>([\d,]+)</b>', page) == [
        ("allow", "2"), ("dry_run", "1"), ("require_approval", "0"), ("block", "0"), ("unknown", "2"),
    ]  # fmt: skip
    assert "40.0%" in page


def test_nothing_happened():
    page = made(Summary(10), verdicts={}, latencies=[], percentiles={}, records=0)
    Checker(page)
    for text in ("No decisions<", "No decisions.", "Nothing was refused.", "No record says how long it took.", "None are shown."):
        assert text in page
    assert "%" not in re.sub("(?s)<style>.*</style>", "", page)


def test_the_table():
    rows = [record(sequence=number, created_at=f"2026-02-05T00:00:0{number}Z", chain="ab"[number % 2], verdict=verdict) for number, verdict in enumerate(("allow", "block", "allow"))]
    page = made(summary(*rows))
    Checker(page)
    assert re.findall(r'<tbody class="(.*?)">', page) == ["v-allow c-0", "v-block c-1", "v-allow c-0"]
    assert re.findall(r'#(\d)</td></tr>', page) == ["2", "1", "0"]
    assert re.findall(r'id="(p[vc]-\w+)"( checked)?', page) == [("pv-all", " checked"), ("pv-allow", ""), ("pv-block", ""), ("pc-all", " checked"), ("pc-0", ""), ("pc-1", "")]
    assert '<label for="pv-allow">allow 2</label>' in page and '<label for="pc-1"><bdi>b</bdi> 1</label>' in page
    digest = hashlib.sha256(jcs.dumps(rows[2])).hexdigest()
    for name, value in (("trace_id", "1" * 24), ("record_digest", digest), ("key_id", "k"), ("identity", "alice"), ("sequence", "2"), ("prev_digest", "0" * 64)):
        assert f"<dt>{name}</dt><dd><bdi>{value}</bdi></dd>" in page


def test_one_chain_or_too_many_cannot_be_chosen():
    many = [record(chain=f"c{number}") for number in range(html_style.MAX_CHAINS + 1)]
    assert 'id="pc-' not in made(summary(record())) and 'id="pc-' not in made(summary(*many, limit=100))


def test_every_choice_has_its_rule():
    page = made(summary(record(), record(verdict="x", chain="b"), record(verdict="dry_run", chain="c")))
    for name in re.findall(r'id="(p[vc]-\w+)"', page):
        assert f'#{name}:checked~.choices label[for="{name}"]' in html_style.STYLE
        prefix, _, word = name[1:].partition("-")
        assert word == "all" or f"#{name}:checked~.records tbody:not(.{prefix}-{word})" in html_style.STYLE


def test_a_record_without_much():
    bare = {"schema_id": "gait.gate.trace", "created_at": "2026-02-05T00:00:00+01:00", "verdict": "block", "chain": "a", "sequence": 1}
    page = made(summary(bare, {**bare, "created_at": "soon", "sequence": True, "latency_ms": "fast"}))
    Checker(page)
    assert "(no normal form)" in page and "no reason" in page and "soon" in page and "2026-02-05T00:00:00+01:00" in page
    assert "2026-02-05T00:00:00+01:00 to 2026-02-05T00:00:00+01:00" in page


# --- summary


def test_refusals_are_everything_but_allow():
    found = summary(record(verdict="allow", tool_name="a"), record(verdict="dry_run", tool_name="b"), record(verdict="?", tool_name="b"))
    assert found.tools == {"b": 2} and found.reasons == {"r1": 2, "r2": 2} and (found.decisions, found.refused) == (3, 2)


def test_the_latest_of_all_chains_newest_first():
    items = [record(created_at=timestamps.dumps(1770249600 + number * 60), sequence=number, chain=chain) for chain in "ab" for number in range(50)]
    random.Random(SEED).shuffle(items)
    found = summary(*items, limit=5)
    assert [(row.sequence, row.chain) for row in found.rows()] == [(49, "b"), (49, "a"), (48, "b"), (48, "a"), (47, "b")], SEED
    assert found.period == ("2026-02-05T00:00:00Z", "2026-02-05T00:49:00Z")
    assert summary(*items, limit=0).rows() == []


def test_long_texts_are_clipped_and_long_records_are_not_kept():
    long = record(tool_name="x" * 100_000, matched_rule="y" * 200, reason_codes=[f"r{number}" for number in range(50)], violations=["v"] * 3)
    found = summary(long)
    (row,) = found.rows()
    assert row.tool == "x" * 160 + "… (100,000 characters)" and row.rule.endswith("… (200 characters)")
    assert row.reasons.endswith("r39, and 10 more") and dict(row.details)["violations"] == "v, v, v"
    assert dict(row.details)["record_digest"] == hashlib.sha256(jcs.dumps(long)).hexdigest()
    assert list(found.tools) == [clip("x" * 100_000)] and found._latest[0][-1] == row


def test_names_are_counted_up_to_a_limit():
    found = Summary(0)
    for number in range(MAX_NAMES + 5):
        found.add(record(tool_name=f"t{number}"), b"")
    assert len(found.tools) == MAX_NAMES + 1 and found.tools[OTHER] == 5
    page = made(found)
    assert "Decisions that were not allow; 9,991 more are not shown" in page


# --- time


def bars_of(*seconds):
    timeline = Timeline(("a", "b"))
    for second in seconds:
        timeline.add(second, "b")
    return timeline.bars()


def test_one_moment_is_one_bar_among_empty_ones():
    bars = bars_of(1000.9)
    assert bars.seconds == 1 and len(bars.counts) == 24 and [place for place, count in enumerate(bars.counts) if any(count)] == [11]
    assert bars.start == 989 and bars.counts[11] == (0, 1)


def test_nothing_is_no_bar():
    assert bars_of().counts == ()


@pytest.mark.parametrize(
    "span, width", [(99, 1), (100, 5), (7200, 300), (86400 - 1, 900), (3 * 86400 - 1, 3600), (7 * 86400, 10800), (90 * 86400, 86400), (600 * 86400, 604800), (9000 * 86400, 604800 * 16)]
)  # fmt: skip
def test_the_width_of_a_bar(span, width):
    bars = bars_of(1769904000, 1769904000 + span)
    assert bars.seconds == width and 24 <= len(bars.counts) <= 100 and sum(map(sum, bars.counts)) == 2


def test_any_times_are_all_counted_in_bounded_memory():
    source = random.Random(SEED)
    timeline = Timeline(("a", "b"))
    times = [source.choice((source.uniform(0, 1e9), source.uniform(-6e10, 2.5e11), 1770249600.5)) for _ in range(9000)]
    for second in times:
        timeline.add(second, source.choice("ab"))
        assert len(timeline._buckets) <= 4096
    bars = timeline.bars()
    assert sum(map(sum, bars.counts)) == 9000 and len(bars.counts) <= 100, SEED
    assert bars.start <= min(times) and max(times) < bars.start + bars.seconds * len(bars.counts)
    html_charts.stacked(bars, ("a", "b"), {"a": "a", "b": "b"})


@pytest.mark.parametrize("seconds, text", [(1, "1 second"), (15, "15 seconds"), (300, "5 minutes"), (10800, "3 hours"), (86400, "1 day"), (604800 * 4, "4 weeks")])
def test_durations(seconds, text):
    assert html_charts.duration(seconds) == text


@pytest.mark.parametrize("width, text", [(5, "2026-02-05 00:00:00"), (60, "2026-02-05 00:00"), (86400, "2026-02-05")])
def test_moments(width, text):
    assert html_charts.moment(1770249600, width) == text


def test_stacked_bars_add_up():
    timeline = Timeline(html.LABELS)
    for verdict, count in (("allow", 6), ("block", 2)):
        for _ in range(count):
            timeline.add(1770249600, verdict)
    drawing = html_charts.stacked(timeline.bars(), tuple(html.LABELS), html.LABELS)
    assert re.findall(r'class="v-(\w+)" x="11.1" y="([\d.]+)" width="0.8" height="([\d.]+)"', drawing) == [("allow", "25.00", "75.00"), ("block", "0.00", "25.00")]
    assert "<title>2026-02-05 00:00:00 UTC: allow 6, block 2</title>" in drawing and "<span>8</span><span>4</span><span>0</span>" in drawing


def test_a_histogram():
    drawing = html_charts.histogram([("0.5", 1), ("> 1000", 3)], "T", "D")
    assert 'height="33.33"' in drawing and "&gt; 1000" in drawing and "<span>3</span><span></span><span>0</span>" in drawing


def test_a_ranking_may_break_at_underscores():
    table = html_charts.ranking([("read_file", 4), ("<b>", 1)], "Tool", "Caption")
    assert "<bdi>read_<wbr>file</bdi>" in table and "&lt;b&gt;" in table and 'width="25.00"' in table
