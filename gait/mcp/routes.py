"""Which exchange a message of a stdio server belongs to: over stdio all come on one pipe.  No clock, and no lock of its own.

Invariant: in the stateless era, where the exchanges are different clients', a message that could be another's reaches nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from .messages import reply_id
from .streams import Id, Stream

SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
_LINGER_SECONDS = 30.0


class Message(NamedTuple):
    """What a message is about.  `method` is empty for an answer; `id` None where it has none, or none that could be echoed."""

    method: str
    id: Id | None
    has_id: bool
    params: dict[str, object]
    result: object
    error: object

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return bool(self.method) and self.has_id

    @property
    def meta(self) -> dict[str, object]:
        """The params' `_meta`; empty when there is none."""
        meta = self.params.get("_meta")
        return meta if type(meta) is dict else {}


def peek(data: bytes) -> list[Message] | None:
    """The messages in a frame, as most readers see them; None when they see none.  Whether it may pass is not decided here."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    items = value if type(value) is list else [value]
    found = [_message(item) for item in items if type(item) is dict]
    return found if found and len(found) == len(items) else None


def parts(data: bytes) -> list[bytes]:
    """The messages of a batch, each by itself."""
    return [json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") for item in json.loads(data)]


def _message(value: dict[str, object]) -> Message:
    method, params = value.get("method"), value.get("params")
    fields = params if type(params) is dict else {}
    return Message(method if type(method) is str else "", reply_id(value), "id" in value, fields, value.get("result"), value.get("error"))


def token(value: object) -> Id | None:
    """A progress token or an id that can be a key: exactly text or an integer, so that True is not 1."""
    return value if type(value) in (str, int) else None  # type: ignore[return-value]


def request_tokens(requests: Iterable[Message]) -> frozenset[Id]:
    """The progress tokens that requests give."""
    found = [token(request.meta.get("progressToken")) for request in requests]
    return frozenset([item for item in found if item is not None])


def _remove(table: dict[Id, Stream], keys: Iterable[Id], stream: Stream) -> list[Id]:
    found = [key for key in keys if table.get(key) is stream]
    for key in found:
        del table[key]
    return found


class Routes:
    """The exchanges under way on one server.  `conflict` says why one more has to wait; its caller holds a lock."""

    def __init__(self) -> None:
        self.streams: dict[Stream, None] = {}  # in their order
        self._by_id: dict[Id, Stream] = {}
        self._by_token: dict[Id, Stream] = {}

    def conflict(self, stream: Stream, now: float) -> Stream | bool:
        """False: it may go on.  True, or the exchange in its way: an id or progress token of it is in use."""
        for id_ in stream.request.ids:
            if id_ in self._by_id:
                return self._by_id[id_]
        return False

    def open(self, stream: Stream) -> None:
        """Its ids and tokens lead to it from here on."""
        self.streams[stream] = None
        self._by_id.update(dict.fromkeys(stream.request.ids, stream))
        self._by_token.update(dict.fromkeys(stream.request.tokens, stream))

    def close(self, stream: Stream) -> list[Id]:
        """Nothing leads to it any more.  The ids that did until now: no answer to them has come."""
        self.streams.pop(stream, None)
        _remove(self._by_token, stream.request.tokens, stream)
        return _remove(self._by_id, stream.request.ids, stream)

    def linger(self, ids: Iterable[Id], now: float) -> None:
        """These were cancelled, and may be answered all the same."""

    def answered(self, id_: Id) -> Stream | None:
        """The exchange that an answer is for, which its id leads to no more."""
        return self._by_id.pop(id_, None)

    def withdraw(self, id_: object) -> Stream | None:
        """The exchange whose client wants no answer to this request any more."""
        key = token(id_)
        return self.answered(key) if key is not None else None

    def target(self, message: Message) -> Stream | None:
        """The exchange that a message other than an answer is for."""
        raise NotImplementedError

    def _by_progress(self, message: Message) -> Stream | None:
        key = token(message.params.get("progressToken")) if message.method == "notifications/progress" else None
        return self._by_token.get(key) if key is not None else None


class SessionRoutes(Routes):
    """All exchanges are one client's: what names none goes to the only one, or to the general stream."""

    def __init__(self, general: Stream) -> None:
        super().__init__()
        self.general = general

    def target(self, message: Message) -> Stream | None:
        """Never None."""
        found = self._by_progress(message)
        if found is not None and found.request.takes_events:
            return found
        is_unrelated = message.method.endswith("_changed") or message.method == "notifications/resources/updated"
        if is_unrelated and self.general.is_attached:
            return self.general
        able = [stream for stream in self.streams if stream.request.takes_events]
        if len(able) == 1 or (able and not self.general.is_attached):
            return able[-1]
        return self.general


class SharedRoutes(Routes):
    """The exchanges are different clients'.  The ids of cancelled requests stay taken for a while: a late answer must reach nobody else."""

    def __init__(self) -> None:
        super().__init__()
        self._lingering: dict[Id, float] = {}

    def conflict(self, stream: Stream, now: float) -> Stream | bool:
        """Progress tokens too are one client's only."""
        for token_ in stream.request.tokens:
            if token_ in self._by_token:
                return self._by_token[token_]
        self._lingering = {id_: until for id_, until in self._lingering.items() if until > now}
        return super().conflict(stream, now) or any(id_ in self._lingering for id_ in stream.request.ids)

    def linger(self, ids: Iterable[Id], now: float) -> None:
        self._lingering.update(dict.fromkeys(ids, now + _LINGER_SECONDS))

    def answered(self, id_: Id) -> Stream | None:
        self._lingering.pop(id_, None)
        return super().answered(id_)

    def target(self, message: Message) -> Stream | None:
        """None when it could be for more than one."""
        meta = message.meta
        if SUBSCRIPTION_KEY in meta:
            key = token(meta[SUBSCRIPTION_KEY])
            return self._by_id.get(key) if key is not None else None
        if message.method == "notifications/progress":
            return self._by_progress(message)
        under_way = [stream for stream in self.streams if not stream.request.is_endless]
        return under_way[0] if len(under_way) == 1 and under_way[0].request.takes_events else None
