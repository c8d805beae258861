"""The limits that a rule can set on the calls which it allows."""

from __future__ import annotations

from ..formats.documents import NamedTuple

WINDOWS = ("minute", "hour", "day")
SCOPES = ("tool", "identity", "tool_identity", "session")


class RateLimit(NamedTuple):
    """At most `requests` allowed calls in one `window` for each `scope`."""

    requests: int
    window: str
    scope: str


class Budget(NamedTuple):
    """At most `limit` in total of a numeric argument in one `window` for each `scope`."""

    argument: str
    limit: int
    window: str
    scope: str
