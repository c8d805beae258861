"""The clock.  SOURCE_DATE_EPOCH stands in for it, so that the same run gives the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

from ..errors import InvalidInput
from ..formats import timestamps

monotonic = time.monotonic
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z, the last one of RFC 3339


def _reader() -> Callable[[], str | bytes | None]:
    """What reads SOURCE_DATE_EPOCH out of the dictionary in os.environ, where that has one.

    The mapping raises and catches an exception for a name that is not there: 4 µs, several times for each decision.
    """
    data, name = getattr(os.environ, "_data", None), "SOURCE_DATE_EPOCH"
    if type(data) is dict:
        return partial(data.get, os.environ.encodekey(name))
    return partial(os.environ.get, name)


_given = _reader()


def now() -> float:
    """Seconds since 1970.  InvalidInput: SOURCE_DATE_EPOCH is set to anything but a whole number of seconds."""
    fixed = _given()
    return time.time() if fixed is None else float(_read(os.fsdecode(fixed)))


def is_fixed() -> bool:
    """True when SOURCE_DATE_EPOCH stands in for the clock."""
    return _given() is not None


def now_text() -> str:
    """The time as RFC 3339 UTC text."""
    return timestamps.dumps(now())


def _read(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= _LAST_SECOND:
        return int(text)
    message = f"expected whole seconds since 1970, got {text[:40]!r}"
    raise InvalidInput(message, where="SOURCE_DATE_EPOCH", hint="unset it, or set it to the output of `date +%s`")
