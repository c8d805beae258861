"""RFC 3339 times in UTC (`2026-02-05T00:00:00Z`), without the datetime module's start-up cost."""

from __future__ import annotations

import re
from functools import lru_cache
from time import gmtime, strftime

from ..errors import InvalidInput

_FORM = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_IN = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def dumps(seconds: float) -> str:
    """Seconds since 1970 as UTC text; whole seconds lose the fraction, others keep six digits."""
    whole = int(seconds // 1)
    micros = int((seconds - whole) * 1_000_000)
    text = _second(whole)
    return f"{text}.{micros:06d}Z" if micros else text + "Z"


@lru_cache(maxsize=8)
def _second(whole: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole))


def loads(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 date-time (section 5.6).  InvalidInput on anything else, leap seconds too."""
    match = re.fullmatch(_FORM, text)
    if match is None:
        raise _refused(text)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 and second < 60):
        raise _refused(text)
    whole = (_days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    return whole - _offset(match.group(8), text) + float(match.group(7) or 0)


def _refused(text: str) -> InvalidInput:
    return InvalidInput(
        f"expected an RFC 3339 time such as 2026-02-05T00:00:00Z, got {text[:40]!r}", hint="write UTC with Z"
    )


def _offset(zone: str, text: str) -> int:
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise _refused(text)
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return _DAYS_IN[month - 1] + (month == 2 and _is_leap(year))


def _days_since_1970(year: int, month: int, day: int) -> int:
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + _DAYS_BEFORE[month - 1] + (month > 2 and _is_leap(year)) + day - 1
