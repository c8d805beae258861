"""RFC 3339 times against datetime, and everything that is no time."""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta, timezone

import pytest

from gait.errors import InvalidInput
from gait.formats import timestamps

SEED = int(os.environ.get("GAIT_FUZZ_SEED", "3339"))
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1980-01-01T00:00:00Z", 315532800),
        ("2026-02-05T00:00:00Z", 1770249600),
        ("2026-02-05t00:00:00z", 1770249600),
        ("2026-02-05T01:30:00+01:30", 1770249600),
        ("2026-02-04T23:00:00-01:00", 1770249600),
        ("2026-02-05T00:00:00-00:00", 1770249600),
        ("2026-02-05T00:00:00.5Z", 1770249600.5),
        ("2026-02-05T00:00:00.123456789Z", 1770249600.123456789),
        ("1969-12-31T23:59:59Z", -1),
        ("2000-02-29T00:00:00Z", 951782400),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("9999-12-31T23:59:59Z", 253402300799),
        ("2026-02-05T00:00:00+23:59", 1770249600 - 86340),
    ],
)
def test_loads(text: str, seconds: float):
    assert timestamps.loads(text) == seconds


@pytest.mark.parametrize(
    "text",
    """2026-02-05 2026-02-05T00:00:00 2026-02-05T00:00Z 2026-02-05T24:00:00Z 2026-02-05T23:60:00Z 2026-12-31T23:59:60Z 2026-00-05T00:00:00Z
    2026-13-05T00:00:00Z 2026-02-00T00:00:00Z 2026-02-30T00:00:00Z 2025-02-29T00:00:00Z 1900-02-29T00:00:00Z 2026-04-31T00:00:00Z 26-02-05T00:00:00Z
    12026-02-05T00:00:00Z -2026-02-05T00:00:00Z 2026-2-5T00:00:00Z 2026-02-05T00:00:00+24:00 2026-02-05T00:00:00+00:60 2026-02-05T00:00:00+0000
    2026-02-05T00:00:00.Z 2026-02-05T00:00:00.1234567890Z 2026-02-05T00:00:00,5Z 2026-02-05T00:00:00ZZ 2026-W06-4T00:00:00Z ٢٠٢٦-02-05T00:00:00Z""".split()
    + ["", " 2026-02-05T00:00:00Z", "2026-02-05T00:00:00Z\n", "2026-02-05 00:00:00Z", "now", "9" * 100_000],
)
def test_what_is_no_time(text: str):
    with pytest.raises(InvalidInput) as caught:
        timestamps.loads(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1770249600, "2026-02-05T00:00:00Z"), (1770249600.25, "2026-02-05T00:00:00.250000Z"), (-1, "1969-12-31T23:59:59Z"), (-0.5, "1969-12-31T23:59:59.500000Z")],
)
def test_dumps(seconds: float, text: str):
    assert timestamps.dumps(seconds) == text


def test_equal_to_datetime():
    source = random.Random(SEED)
    for _ in range(2000):
        seconds = source.randrange(-62135596800, 253402300799)
        moment = EPOCH + timedelta(seconds=seconds)
        hours = source.randrange(-23, 24)
        assert timestamps.loads(moment.strftime(f"{moment.year:04d}-%m-%dT%H:%M:%SZ")) == seconds, (SEED, seconds)
        local = f"{moment.year:04d}{moment.strftime('-%m-%dT%H:%M:%S')}{hours:+03d}:00"
        assert timestamps.loads(local) == seconds - hours * 3600, (SEED, local)
        if moment.year >= 1000:
            assert timestamps.loads(timestamps.dumps(seconds)) == seconds, (SEED, seconds)
