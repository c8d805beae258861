"""What an HTTP answer is made of: the messages of one stream, kept so that a client can come back for the rest (SEP-1699).

Event ids are NAME_NUMBER; number 0 is the priming event, which has no data.
"""

from __future__ import annotations

import json
import secrets
import threading
from typing import NamedTuple, Optional

from .protocol import Call, Message

RETRY_MS = 300


class Next(NamedTuple):
    """What a reader does next: write these events; then end the body, when the stream is over for it."""

    events: list[tuple[int, Message]]
    is_over: bool


class Stream:
    """Messages in order.  `calls` responses are awaited; 0 means that it stays open (the general stream of a session)."""

    def __init__(self, calls: int = 1) -> None:
        self.name = secrets.token_hex(8)
        self.status = 200
        self.calls: list[Call] = []
        self._awaited = calls
        self._stays = calls == 0
        self._messages: list[Message] = []
        self._cuts = 0
        self._reader = 0
        self._changed = threading.Condition()

    def put(self, message: Message) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def finish(self, message: Optional[Message], status: int = 200) -> None:
        with self._changed:
            self._awaited -= 1
            self.status = status
            if message is not None:
                self._messages.append(message)
            self._changed.notify_all()

    def cut(self) -> None:
        with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._awaited, self._stays = 0, False
            self._changed.notify_all()

    @property
    def is_done(self) -> bool:
        return self._awaited <= 0 and not self._stays

    def responses(self, seconds: float) -> Optional[list[Message]]:
        """Every message, once all are there and none is anything but a response; None while that is open.  ValueError: it is not so."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_done or any("method" in message for message in self._messages), seconds)
            if any("method" in message for message in self._messages):
                raise ValueError("not only responses")
            return list(self._messages) if self.is_done else None

    def read(self) -> tuple[int, int]:
        """Become the reader: an earlier one ends.  The arguments of `after`."""
        with self._changed:
            self._reader += 1
            self._changed.notify_all()
            return self._reader, self._cuts

    def after(self, number: int, reader: int, cuts: int, seconds: float) -> Next:
        """The events after a number; waits for one."""
        with self._changed:

            def is_over() -> bool:
                return self.is_done or self._cuts != cuts or self._reader != reader

            self._changed.wait_for(lambda: is_over() or len(self._messages) > number, seconds)
            events = list(enumerate(self._messages, 1))[number:] if self._reader == reader else []
            return Next(events, is_over())


def event(name: str, number: int, message: Optional[Message]) -> bytes:
    """One event; without a message the priming event, which also tells how soon to come back."""
    if message is None:
        return f"id: {name}_{number}\nretry: {RETRY_MS}\ndata: \n\n".encode()
    data = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    return f"id: {name}_{number}\nevent: message\ndata: {data}\n\n".encode()
