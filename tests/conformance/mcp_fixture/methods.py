"""The methods of each era, and how a call becomes a response."""

from __future__ import annotations

import sys
import traceback
from typing import Callable, Optional

from . import content, tasks, tools
from .peer import Peer
from .protocol import (
    CAPABILITIES_KEY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LEVELS,
    METHOD_NOT_FOUND,
    PREFIX,
    SERVER_INFO,
    STATELESS_VERSIONS,
    SUBSCRIPTION_KEY,
    TASKS,
    UNSUPPORTED_VERSION,
    VERSION_KEY,
    Call,
    Cancelled,
    Channel,
    Failure,
    InputRequired,
    Message,
    meta,
)
from .rounds import Rounds
from .world import Listener, World

_CAPABILITIES: Message = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True},
    "completions": {},
    "logging": {},
}


def _initialize(call: Call) -> Message:
    assert call.peer
    call.peer.initialize(call.params)
    capabilities = dict(_CAPABILITIES)
    if call.peer.version == "2024-11-05":
        del capabilities["completions"]
    return {"protocolVersion": call.peer.version, "capabilities": capabilities, "serverInfo": SERVER_INFO}


def _ping(call: Call) -> Message:
    return {}


def _set_level(call: Call) -> Message:
    level = call.params.get("level")
    if level not in LEVELS:
        raise Failure(INVALID_PARAMS, f"Unknown level: {level}")
    assert call.peer and isinstance(level, str)
    call.peer.log_level = level
    return {}


def _discover(call: Call) -> Message:
    capabilities = {**_CAPABILITIES, "extensions": {TASKS: {}}}
    return {"supportedVersions": list(STATELESS_VERSIONS), "capabilities": capabilities}


def _listen(call: Call) -> Message:
    """Until the client cancels it or goes away; then no response is sent."""
    asked = call.params.get("notifications")
    if not isinstance(asked, dict):
        raise Failure(INVALID_PARAMS, "notifications must be an object")
    honored: Message = {kind: True for kind in ("toolsListChanged", "promptsListChanged") if asked.get(kind) is True}
    uris = asked.get("resourceSubscriptions")
    if isinstance(uris, list):
        honored["resourceSubscriptions"] = [uri for uri in uris if isinstance(uri, str)]
    watched = frozenset(honored.get("resourceSubscriptions", ()))

    def wants(kind: str, uri: str) -> bool:
        return not call.cancelled.is_set() and (uri in watched if uri else kind in honored)

    listener = Listener(call.channel, wants, call.id)
    call.notify("notifications/subscriptions/acknowledged", {"_meta": {SUBSCRIPTION_KEY: call.id}, "notifications": honored})
    call.world.listen(listener)
    try:
        call.cancelled.wait()
        raise Cancelled
    finally:
        call.world.forget(listener)


Method = Callable[[Call], Message]
_BOTH: dict[str, Method] = {
    "tools/list": tools.list_tools,
    "tools/call": tools.call_tool,
    "resources/list": content.list_resources,
    "resources/templates/list": content.list_templates,
    "resources/read": content.read_resource,
    "prompts/list": content.list_prompts,
    "prompts/get": content.get_prompt,
    "completion/complete": content.complete,
}
_SESSION: dict[str, Method] = {
    **_BOTH,
    "initialize": _initialize,
    "ping": _ping,
    "logging/setLevel": _set_level,
    "resources/subscribe": content.subscribe,
    "resources/unsubscribe": content.unsubscribe,
}
_STATELESS: dict[str, Method] = {
    **_BOTH,
    "server/discover": _discover,
    "subscriptions/listen": _listen,
    "tasks/get": tasks.get,
    "tasks/update": tasks.update,
    "tasks/cancel": tasks.cancel,
}
_CACHED = ("server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")


def check_meta(message: Message) -> None:
    """What every request of the stateless era must bring.  Failure otherwise."""
    found = meta(message)
    for key, kind in ((VERSION_KEY, str), (CAPABILITIES_KEY, dict)):
        if not isinstance(found.get(key), kind):
            raise Failure(INVALID_PARAMS, f"Invalid params: _meta needs {key}", None, 400)


def check_version(message: Message) -> None:
    """Failure for a version that this server does not know."""
    requested = meta(message)[VERSION_KEY]
    if requested not in STATELESS_VERSIONS:
        data = {"supported": list(STATELESS_VERSIONS), "requested": requested}
        raise Failure(UNSUPPORTED_VERSION, "Unsupported protocol version", data, 400)


def prepared(world: World, message: Message, channel: Channel, peer: Optional[Peer]) -> Call:
    """A call of the session era with a peer, else of the stateless era, whose `_meta` is checked here."""
    if peer is not None:
        call = Call(world, message, channel, peer)
        peer.calls[call.id] = call
        return call
    check_meta(message)
    check_version(message)
    return Call(world, message, channel, None, Rounds(world.secret, message))


def answer(call: Call) -> None:
    """Run a call to its end.  Raises nothing."""
    try:
        call.channel.finish({"jsonrpc": "2.0", "id": call.id, "result": _result(call)})
    except InputRequired as needed:
        call.channel.finish({"jsonrpc": "2.0", "id": call.id, "result": _signed(needed.result)})
    except Failure as failure:
        call.channel.finish(failure.reply(call.id), failure.status)
    except Cancelled:
        call.channel.finish(None)
    except Exception as error:  # noqa: BLE001 - a server answers
        traceback.print_exc(file=sys.stderr)
        call.channel.finish(Failure(INTERNAL_ERROR, f"internal error: {type(error).__name__}").reply(call.id), 500)
    finally:
        if call.peer:
            call.peer.calls.pop(call.id, None)


def _result(call: Call) -> Message:
    table = _STATELESS if call.is_stateless else _SESSION
    method = table.get(call.method)
    if method is None:
        raise Failure(METHOD_NOT_FOUND, f"Method not found: {call.method}", None, 404)
    result = method(call)
    if not call.is_stateless:
        return result
    cached = {"ttlMs": 0, "cacheScope": "private"} if call.method in _CACHED else {}
    return _signed({"resultType": "complete", **cached, **result})


def _signed(result: Message) -> Message:
    return {**result, "_meta": {PREFIX + "serverInfo": SERVER_INFO}}
