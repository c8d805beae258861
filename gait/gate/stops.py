"""What is stopped (`gait.stops` 1.0.0): the state of the kill switch, and which calls it holds back."""

from __future__ import annotations

from ..formats.documents import NamedTuple
from ..formats.fields import Fields, lower, refuse, trim
from ..formats.timestamps import loads as read_time
from .intent import IntentRequest

SCHEMA_ID = "gait.stops"
SCHEMA_VERSION = "1.0.0"
SCOPES = ("tool", "identity", "session", "all")
MAX_STOPS = 1000
MAX_TEXT = 500
# The reason for which every call is blocked while the state cannot be believed.
INVALID = "stop_state_invalid"


class Stop(NamedTuple):
    """One thing that is stopped.  `value` is the tool, identity or session; empty for `all`."""

    scope: str
    value: str
    reason: str
    created_at: str

    def to_value(self) -> dict[str, object]:
        """The stop's document."""
        return self._asdict()

    def holds(self, intent: IntentRequest) -> bool:
        """Whether it stops this call."""
        context = intent.context
        of_scope = {"all": "", "tool": intent.tool_name, "identity": context.identity, "session": context.session_id}
        return of_scope[self.scope] == self.value


class Stops(NamedTuple):
    """Everything that is stopped.  A later state has a greater `sequence`."""

    sequence: int
    created_at: str
    entries: tuple[Stop, ...]

    def to_value(self) -> dict[str, object]:
        """The document, not yet signed."""
        return {
            "schema_id": SCHEMA_ID,
            "schema_version": SCHEMA_VERSION,
            "sequence": self.sequence,
            "created_at": self.created_at,
            "stops": [stop.to_value() for stop in self.entries],
        }

    def reasons(self, intent: IntentRequest) -> tuple[str, ...]:
        """`stopped` and the scopes of the stops that hold this call back; empty when none does."""
        scopes = {stop.scope for stop in self.entries if stop.holds(intent)}
        return ("stopped", *sorted("stopped_" + scope for scope in scopes)) if scopes else ()

    def find(self, scope: str, value: str) -> Stop | None:
        """The stop of a scope and value, None when there is none."""
        return next((stop for stop in self.entries if (stop.scope, stop.value) == (scope, value)), None)


def make(scope: str, value: str, reason: str, created_at: str) -> Stop:
    """A stop in normal form.  InvalidInput: a value where there can be none, or none where there must be one, or no reason."""
    fields = Fields({"scope": scope, "value": value, "reason": reason, "created_at": created_at})
    return _stop(fields)


def normal_value(scope: str, value: str) -> str:
    """The value as intents have it: tools are lower-cased."""
    return lower(trim(value)) if scope == "tool" else trim(value)


def read(value: object) -> Stops:
    """The state of a document without its signature.  InvalidInput: anything that is not exactly one."""
    fields = Fields(value)
    for name, expected in (("schema_id", SCHEMA_ID), ("schema_version", SCHEMA_VERSION)):
        if fields.raw(name) != expected:
            raise refuse(fields.at(name), expected, fields.raw(name))
    created_at, items = fields.required("created_at"), fields.items("stops")
    read_time(created_at)
    if len(items) > MAX_STOPS:
        raise refuse(fields.at("stops"), f"at most {MAX_STOPS} stops", str(len(items)))
    entries = tuple(_stop(Fields(item, (*fields.at("stops"), index))) for index, item in enumerate(items))
    stops = Stops(fields.integer("sequence", minimum=1), created_at, entries)
    fields.done()
    if len({(stop.scope, stop.value) for stop in entries}) != len(entries):
        raise refuse(fields.at("stops"), "stops of different things", "one twice")
    return stops


def _stop(fields: Fields) -> Stop:
    scope = fields.word("scope", SCOPES)
    if not scope:
        raise refuse(fields.at("scope"), f"one of {', '.join(SCOPES)}", "")
    value = normal_value(scope, fields.text("value"))
    if bool(value) == (scope == "all"):
        expected = "empty for the scope all" if value else f"the {scope} to stop"
        raise refuse(fields.at("value"), expected, value)
    stop = Stop(scope, value, fields.required("reason"), fields.required("created_at"))
    for name, text in (("value", value), ("reason", stop.reason)):
        if len(text) > MAX_TEXT:
            raise refuse(fields.at(name), f"at most {MAX_TEXT} characters", text)
    read_time(stop.created_at)
    fields.done()
    return stop
