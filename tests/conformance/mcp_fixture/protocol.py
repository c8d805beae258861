"""What both eras of the protocol share here: messages, failures, and one request that is being answered.

Session era: `initialize`, sessions, requests of the server to the client.  Stateless era: every request brings its version and
its client's capabilities in `_meta`, and a result may ask for input instead of the server sending requests.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Optional, Protocol

if TYPE_CHECKING:
    from .peer import Peer
    from .rounds import Rounds
    from .world import World

Message = dict[str, Any]

SESSION_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSIONS = ("2026-07-28",)
PREFIX = "io.modelcontextprotocol/"
VERSION_KEY = PREFIX + "protocolVersion"
CAPABILITIES_KEY = PREFIX + "clientCapabilities"
SUBSCRIPTION_KEY = PREFIX + "subscriptionId"
TASKS = PREFIX + "tasks"
SERVER_INFO = {"name": "gait-conformance-fixture", "version": "1.0.0"}
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
RESOURCE_NOT_FOUND = -32002  # before 2026-07-28
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

# The capability that a client must have declared to be sent a request.
NEEDED = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


class Failure(Exception):
    """A JSON-RPC error; `status` is the HTTP status that it has in the stateless era."""

    def __init__(self, code: int, message: str, data: Optional[Message] = None, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.status = code, message, data, status

    def reply(self, request_id: object) -> Message:
        """The error as a message."""
        error: Message = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": request_id, "error": error}


class InputRequired(Exception):
    """A stateless call cannot go on without these answers."""

    def __init__(self, requests: dict[str, Message], state: str) -> None:
        super().__init__("input required")
        self.result: Message = {"resultType": "input_required", "inputRequests": requests}
        if state:
            self.result["requestState"] = state


class Cancelled(Exception):
    """The client does not want the answer any more: there will be none."""


class Channel(Protocol):
    """Where the messages of one call go: an HTTP stream or standard output."""

    def put(self, message: Message) -> None:
        """Send a notification or a request."""

    def finish(self, message: Optional[Message], status: int = 200) -> None:
        """Send the response; None when there is none."""

    def cut(self) -> None:
        """Close the stream under way; the client comes back for the rest (SEP-1699)."""


def parameters(message: Message) -> Message:
    """The params; an empty object when there are none or they are no object."""
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def meta(message: Message) -> Message:
    """The params' `_meta`; empty when there is none."""
    found = parameters(message).get("_meta")
    return found if isinstance(found, dict) else {}


def is_stateless(message: Message) -> bool:
    """Whether a request says by itself that it is of the stateless era."""
    return VERSION_KEY in meta(message) or message.get("method") == "server/discover"


def text(words: str, is_error: bool = False) -> Message:
    """A tool's result of one text."""
    result: Message = {"content": [{"type": "text", "text": words}]}
    if is_error:
        result["isError"] = True
    return result


class Call:
    """One request under way.  `peer` is None in the stateless era, `rounds` in the session era."""

    def __init__(self, world: World, message: Message, channel: Channel, peer: Optional[Peer], rounds: Optional[Rounds] = None) -> None:
        self.world, self.message, self.channel, self.peer, self.rounds = world, message, channel, peer, rounds
        self.id, self.method = message["id"], message["method"]
        self.params, self.meta = parameters(message), meta(message)
        self.cancelled = threading.Event()

    @property
    def is_stateless(self) -> bool:
        return self.peer is None

    @property
    def capabilities(self) -> Message:
        """What the client said that it can do."""
        return self.peer.capabilities if self.peer else self.meta[CAPABILITIES_KEY]

    @property
    def has_tasks(self) -> bool:
        extensions = self.capabilities.get("extensions")
        return self.is_stateless and isinstance(extensions, dict) and TASKS in extensions

    def require(self, *path: str) -> None:
        """Failure unless the client declared this capability."""
        found: object = self.capabilities
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            needed: Message = {}
            for name in reversed(path):
                needed = {name: needed}
            raise Failure(MISSING_CAPABILITY, f"the client did not declare {'.'.join(path)}", {"requiredCapabilities": needed}, 400)

    def ask(self, requests: dict[str, Message], with_state: bool = False) -> dict[str, Message]:
        """The client's answers by key.  InputRequired in the stateless era until all are there."""
        for request in requests.values():
            self.require(NEEDED[request["method"]])
        if self.rounds:
            return self.rounds.take(requests, with_state)
        assert self.peer
        return {key: self.peer.ask(self, request) for key, request in requests.items()}

    def notify(self, method: str, params: Message) -> None:
        """Send a notification that belongs to this call."""
        self.channel.put({"jsonrpc": "2.0", "method": method, "params": params})

    def log(self, words: str, level: str = "info") -> None:
        """A log message, where the client asked for this level."""
        asked = self.peer.log_level if self.peer else self.meta.get(PREFIX + "logLevel")
        if asked in LEVELS and LEVELS.index(level) >= LEVELS.index(asked):
            self.notify("notifications/message", {"level": level, "logger": "fixture", "data": words})

    def progress(self, done: int, total: int) -> None:
        """A progress notification, where the client gave a token."""
        if "progressToken" in self.meta:
            self.notify("notifications/progress", {"progressToken": self.meta["progressToken"], "progress": done, "total": total})

    def wait(self, seconds: float) -> None:
        """Sleep; Cancelled when the client gives up."""
        if self.cancelled.wait(seconds):
            raise Cancelled
