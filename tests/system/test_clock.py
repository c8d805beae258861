"""The clock and its stand-in, SOURCE_DATE_EPOCH."""

from __future__ import annotations

import time

import pytest

from gait.errors import InvalidInput
from gait.formats import timestamps
from gait.system import clock


def test_the_real_time(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = time.time()
    assert before <= clock.now() <= time.time()
    assert abs(timestamps.loads(clock.now_text()) - before) < 5


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1770249600", "2026-02-05T00:00:00Z"),
        ("0000000001", "1970-01-01T00:00:01Z"),
        ("253402300799", "9999-12-31T23:59:59Z"),
    ],
)
def test_source_date_epoch(monkeypatch, text, expected):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    assert clock.now_text() == expected
    assert clock.now() == int(text) and type(clock.now()) is float


@pytest.mark.parametrize("text", ["", " 1", "1 ", "-1", "+1", "1.5", "1e3", "0x10", "1_0", "²", "٣", "253402300800", "9" * 5000, "now"])
def test_anything_else_is_refused(monkeypatch, text):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    for ask in (clock.now, clock.now_text):
        with pytest.raises(InvalidInput) as caught:
            ask()
        assert caught.value.where == "SOURCE_DATE_EPOCH" and caught.value.hint


def test_latency_never_runs_backwards(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first = clock.monotonic()
    assert 0 < first <= clock.monotonic()
