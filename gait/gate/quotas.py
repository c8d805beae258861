"""What a decision would use up: quotas of rate limits and budgets, with the arithmetic of fixed windows.

A quota names one count by a digest, so that no identity or session id is stored, however long it is.  Windows are fixed: they
begin at whole minutes, hours and days of UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..formats import jcs, timestamps
from ..formats.documents import NamedTuple
from .facts import Needs, Proof
from .intent import IntentRequest

WINDOW_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
UNITS = 1_000_000  # a budget counts millionths, so that ten times 0.1 is 1
_MAX_DIGITS = 400  # of an amount's decimal form; the largest double has 309


class Quota(NamedTuple):
    """A count that must not pass `limit`, and what one decision adds to it.

    `window_seconds` 0 is one window without an end, which may be forgotten when `expires_at` (seconds since 1970) has passed.
    `code` is the reason for which a decision that does not fit is blocked.
    """

    key: str
    limit: int
    amount: int = 1
    window_seconds: int = 0
    expires_at: float = 0.0
    code: str = "rate_limit_exceeded"

    def start(self, now: float) -> int:
        """When the window of `now` began, in seconds since 1970."""
        return int(now // self.window_seconds) * self.window_seconds if self.window_seconds else 0

    def end(self, now: float) -> float:
        """When its count may be forgotten."""
        return self.start(now) + self.window_seconds if self.window_seconds else self.expires_at

    def allows(self, used: int) -> bool:
        """Whether this decision still fits."""
        return used + self.amount <= self.limit


def wanted(needs: Needs, rule: str, intent: IntentRequest) -> tuple[list[Quota], str]:
    """The quotas of a rule's rate limit and budget, with a reason when a budget has no amount to count."""
    limit, budget = needs.rate_limit, needs.budget
    found = []
    if limit:
        key = _key("rate_limit", rule, limit.window, limit.scope, intent)
        found.append(Quota(key, limit.requests, 1, WINDOW_SECONDS[limit.window]))
    if budget:
        amount, problem = amount_of(intent.args, budget.argument)
        if problem:
            return found, problem
        key = _key("budget", rule, budget.window, budget.scope, intent)
        found.append(Quota(key, budget.limit * UNITS, amount, WINDOW_SECONDS[budget.window], code="budget_exceeded"))
    return found, ""


def proof(quotas: Iterable[Quota], problem: str, used: Callable[[Quota], int], now: float) -> Proof:
    """What the counts say: allow when every quota still fits, else when those that do not will be empty again (`resets_at`), if waiting helps."""
    over = [quota for quota in quotas if not quota.allows(used(quota))]
    codes = tuple(sorted({quota.code for quota in over} | ({problem} if problem else set())))
    if not codes:
        return Proof("allow", ())
    would_help = over and not problem and all(quota.amount <= quota.limit for quota in over)
    evidence = {"resets_at": timestamps.dumps(max(quota.end(now) for quota in over))} if would_help else {}
    return Proof("block", codes, codes, evidence)


def amount_of(args: object, argument: str) -> tuple[int, str]:
    """The millionths in a numeric argument, rounded up, with a reason when it has none.

    `a.b` is member b of the object a.  Only a JSON number that is not negative is an amount: text, true and null are not.
    """
    value = args
    for name in argument.split("."):
        if type(value) is not dict or name not in value:
            return 0, "budget_amount_missing"
        value = value[name]
    if type(value) is int and 0 <= value:
        return value * UNITS, ""
    if type(value) is float and 0 <= value < float("inf"):
        return _millionths(repr(value)), ""
    return 0, "budget_amount_invalid"


def _millionths(text: str) -> int:
    """The millionths in a double's shortest decimal form (`12.5`, `1e-07`), rounded up: what is written is what counts."""
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, places = int(whole + fraction), len(fraction) - int(exponent or 0) - 6
    power: int = 10 ** min(abs(places), _MAX_DIGITS)
    return digits * power if places <= 0 else -(-digits // power)


def _key(kind: str, rule: str, window: str, scope: str, intent: IntentRequest) -> str:
    """The digest that names a count.  Two calls share it when they match the same rule and are of one scope."""
    context = intent.context
    of_scope = {
        "tool": [intent.tool_name],
        "identity": [context.identity],
        "tool_identity": [intent.tool_name, context.identity],
        "session": [context.identity, context.session_id],
    }
    return jcs.digest([kind, rule, window, scope, *of_scope[scope]])
