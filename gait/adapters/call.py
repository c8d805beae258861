"""A tool call that an adapter has read, and the intent made of it.  The caller's object is never changed."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, lower, refuse, trim
from .inference import infer
from .targets import MAX_DEPTH

MAX_INTEGER = 2**53 - 1
_CLAIMS = ("kind", "value", "operation", "sensitivity", "destructive")
_NOTHING: Mapping[str, object] = {}


class ToolCall(NamedTuple):
    """One call in no framework's shape.  `context` holds what the call itself says about its context."""

    name: str
    arguments: dict[str, object]
    call_id: str = ""
    targets: tuple[object, ...] = ()
    arg_provenance: object = None
    skill_provenance: object = None
    context: Mapping[str, object] = _NOTHING

    def document(self, defaults: Mapping[str, object], trusted: frozenset[str] | None) -> dict[str, object]:
        """What `make_document` makes of it."""
        return make_document(self, defaults, trusted)


def make_document(call: ToolCall, defaults: Mapping[str, object], trusted: frozenset[str] | None) -> dict[str, object]:
    """The IntentRequest document of a call, with given and inferred targets.  InvalidInput: what infer refuses."""
    document: dict[str, object] = {
        "tool_name": call.name,
        "args": _portable(call.arguments, ("args",)),
        "targets": _targets(call),
        "context": {**defaults, **{name: field for name, field in call.context.items() if trusted is None or name in trusted}},
    }
    if call.arg_provenance is not None:
        document["arg_provenance"] = call.arg_provenance
    if call.skill_provenance is not None:
        document["skill_provenance"] = call.skill_provenance
    return document


def object_arguments(fields: Fields, *names: str) -> dict[str, object]:
    """The arguments under the one of these names that is there, {} for none.  InvalidInput: two of them, or no object."""
    given = [name for name in names if fields.has(name)]
    if len(given) > 1:
        raise refuse(fields.at(given[1]), f"left out beside {given[0]}", fields.raw(given[1]))
    value = fields.raw(given[0]) if given else {}
    if type(value) is not dict:
        raise refuse(fields.at(given[0]), "an object", value)
    return value


def json_arguments(fields: Fields, name: str) -> dict[str, object]:
    """The arguments in a field that holds them as JSON text.  InvalidInput: anything but the text of one object."""
    text = fields.raw(name)
    if type(text) is not str:
        raise refuse(fields.at(name), "the JSON text of an object", text)
    return strict_json.loads_object(text, ".".join(map(str, fields.at(name))))


def constant(fields: Fields, name: str, expected: str) -> None:
    """Refuse a field that is not exactly this text."""
    if fields.raw(name) != expected:
        raise refuse(fields.at(name), repr(expected), fields.raw(name))


def absent(fields: Fields, *names: str) -> None:
    """Refuse fields that would say the same thing a second time."""
    name = fields.first(*names)
    if name:
        raise refuse(fields.at(name), "left out: it would give the call a second time", fields.raw(name))


def the_one(fields: Fields, name: str) -> Fields:
    """The only object of a list.  InvalidInput: none or several, since a decision is about one call."""
    items = fields.items(name)
    if len(items) != 1:
        found = f"{name}: must hold one call; got {len(items)}"
        raise InvalidInput(found, hint="send one call at a time", path=fields.at(name))
    return Fields(items[0], (*fields.at(name), 0))


def context_of(fields: Fields, **named: str) -> dict[str, object]:
    """What a call says about its context: its `context` object, then each named field that it has as text."""
    own = fields.raw("context")
    if own is not None and type(own) is not dict:
        raise refuse(fields.at("context"), "an object", own)
    if not named:
        return own or {}
    told = {name: fields.text(field) for name, field in named.items()}
    return {**{name: text for name, text in told.items() if text}, **(own or {})}


def _portable(value: object, path: tuple[str | int, ...]) -> object:
    """A copy in which integers that doubles cannot hold are `{"$int": "<decimal>"}`, so that digests tell them apart."""
    if value is None or type(value) is str or type(value) is bool:
        return value
    if len(path) > MAX_DEPTH:
        raise refuse(path[:3], f"nested at most {MAX_DEPTH} deep", value)
    if type(value) is dict:
        copy = {}
        for key, item in value.items():
            if type(key) is not str or "$int" in key:
                _check_key(key, path)
            copy[key] = item if type(item) is str else _portable(item, (*path, key))
        return copy
    if type(value) is list:
        return [_portable(item, (*path, index)) for index, item in enumerate(value)]
    if type(value) is int:
        return value if -MAX_INTEGER <= value <= MAX_INTEGER else {"$int": _decimal(value, path)}
    if type(value) is float and value - value == 0:
        return value
    raise refuse(path, "a JSON value", value)


def _check_key(key: object, path: tuple[str | int, ...]) -> None:
    if type(key) is not str:
        raise refuse(path, "an object whose keys are text", key)
    if trim(key) == "$int":
        raise refuse((*path, key), "under a key other than $int, which stands for a large integer", key)


def _decimal(value: object, path: tuple[str | int, ...]) -> str:
    try:
        return str(value)
    except ValueError:  # CPython refuses to convert integers of more than 4300 digits
        raise refuse(path, "a number of at most 4300 digits", "a longer one") from None


def _targets(call: ToolCall) -> list[object]:
    if not call.targets:
        return infer(trim(call.name), call.arguments)  # type: ignore[return-value]
    given = [_given(target) for target in call.targets]
    known = {_plain(target) for target in given}
    inferred = infer(trim(call.name), call.arguments)
    return given + [target for target in inferred if "endpoint_class" in target or _plain(target) not in known]


def _given(target: object) -> object:
    """A given target without its claims about class, domain and harmlessness, which are inferred again."""
    if not isinstance(target, dict):
        return target
    kept = {name: target[name] for name in _CLAIMS if name in target}
    if kept.get("destructive") is False:
        del kept["destructive"]
    return kept


def _plain(target: object) -> object:
    """What an inferred target could have in common with a given one; None for one that says more."""
    if not isinstance(target, dict) or target.get("sensitivity") or target.get("destructive"):
        return None
    kind, value, operation = (target.get(name) or "" for name in _CLAIMS[:3])
    if not (isinstance(kind, str) and isinstance(value, str) and isinstance(operation, str)):
        return None
    return lower(trim(kind)), trim(value), lower(trim(operation))
