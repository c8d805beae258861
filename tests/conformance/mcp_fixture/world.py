"""What every client of one fixture server shares: the lists that can change, who listens for that, tasks, the request log."""

from __future__ import annotations

import json
import secrets
import threading
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from .protocol import SUBSCRIPTION_KEY, Channel, Message, parameters

_LIST_METHODS = {"toolsListChanged": "notifications/tools/list_changed", "promptsListChanged": "notifications/prompts/list_changed"}


class Listener(NamedTuple):
    """Who is told of changes; `tag` is the subscription's id in the stateless era."""

    channel: Channel
    wants: Callable[[str, str], bool]  # kind of change, URI of the resource
    tag: Optional[object] = None


class World:
    """Shared by all threads."""

    def __init__(self, log: Optional[Path] = None, page_size: int = 0) -> None:
        self.secret = secrets.token_bytes(32)
        self.page_size = page_size
        self.switched: set[str] = set()  # names of what is there only from time to time
        self.tasks: dict[str, object] = {}
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._log = log

    def switch(self, name: str, kind: str) -> None:
        """Turn an optional entry on or off, and say that a list changed."""
        with self._lock:
            self.switched ^= {name}
        self.changed(kind)

    def listen(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = [known for known in self._listeners if known is not listener]

    def changed(self, kind: str, uri: str = "") -> None:
        """Tell those who want to know."""
        with self._lock:
            told = [listener for listener in self._listeners if listener.wants(kind, uri)]
        for listener in told:
            params: Message = {"uri": uri} if uri else {}
            if listener.tag is not None:
                params["_meta"] = {SUBSCRIPTION_KEY: listener.tag}
            message = {"jsonrpc": "2.0", "method": _LIST_METHODS.get(kind, "notifications/resources/updated"), "params": params}
            listener.channel.put(message)

    def record(self, transport: str, message: object, **more: object) -> None:
        """One line of the request log, so that a test can prove what reached this server."""
        if self._log is None:
            return
        line: Message = {"transport": transport, **{key: value for key, value in more.items() if value is not None}}
        if isinstance(message, dict):
            params = parameters(message)
            line.update({key: message[key] for key in ("method", "id") if key in message})
            line.update({key: params[key] for key in ("name", "uri", "arguments") if key in params})
        data = (json.dumps(line, sort_keys=True) + "\n").encode()
        with self._lock, open(self._log, "ab", buffering=0) as file:
            file.write(data)
