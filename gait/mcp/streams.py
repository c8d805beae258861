"""Messages on their way to one client: numbered, bounded, and kept a while for a client that comes back for the rest.

Invariants: memory is bounded by `Room` and one message; one reader at a time gets every event, in order and as fast as it takes them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple, Union

Id = Union[str, int]

RETRY_MS = 500  # after which a client whose stream was cut may come back
_BATCH_BYTES = 1 << 16


class Room(NamedTuple):
    """Of one stream: bytes that may wait for its reader, bytes kept of what was read, and seconds to wait for a slow reader."""

    unsent_bytes: int = 1 << 20
    sent_bytes: int = 1 << 18
    patience_seconds: float = 30.0


class Event(NamedTuple):
    """One message with its number in the stream, from 1."""

    number: int
    data: bytes


class Request(NamedTuple):
    """What a stream is for: the ids and progress tokens of its requests, and whether it may carry more than their answers.

    `is_endless`: it waits for whatever comes (subscriptions/listen).
    """

    ids: frozenset[Id] = frozenset()
    tokens: frozenset[Id] = frozenset()
    takes_events: bool = True
    is_endless: bool = False


class Stream:
    """One exchange's messages; without ids it is a session's general stream, which only `end` ends.  Safe to use from several threads."""

    def __init__(self, name: str, request: Request = Request(), room: Room = Room()) -> None:
        self.name = name
        self.request = request
        self.error_code: object = None  # of an answer that is an error
        self.has_failed = False  # the server did not answer
        self.is_broken = False  # there was no room: what came after is lost
        self.left_at = time.monotonic()
        self._room = room
        self._awaited = set(request.ids)
        self._events: deque[Event] = deque()
        self._last = self._taken = 0  # numbers of the newest event, and of the last one that was read
        self._unsent_bytes = self._kept_bytes = 0
        self._reader = 0
        self._is_attached = self._is_over = self._is_chatty = False
        self._changed = threading.Condition()

    # --- state ----------------------------------------------------------------------------------

    @property
    def is_general(self) -> bool:
        """Whether it belongs to no request."""
        return not self.request.ids

    @property
    def is_over(self) -> bool:
        """True: every answer is there, or none will come any more."""
        return self._is_over

    @property
    def is_chatty(self) -> bool:
        """True: it has more than answers."""
        return self._is_chatty

    @property
    def is_attached(self) -> bool:
        """True while somebody reads."""
        return self._is_attached

    @property
    def awaited(self) -> list[Id]:
        """The ids that have no answer yet."""
        with self._changed:
            return list(self._awaited)

    @property
    def kept_bytes(self) -> int:
        """What it holds."""
        return self._kept_bytes

    # --- the writer -------------------------------------------------------------------------------

    def put(self, data: bytes, answered: Collection[Id] = ()) -> bool:
        """Add a message that answers these ids; wait for a slow reader, to a point.  False: it was not taken."""
        with self._changed:
            if self._is_full():
                self._changed.wait_for(lambda: self._is_over or not self._is_attached or not self._is_full(), self._room.patience_seconds)
            if self._is_over or (self._is_full() and not self._make_room()):
                return False
            self._add(data)
            self._is_chatty = self._is_chatty or not answered
            self._answer(answered)
            return True

    def fail(self, data: bytes, id_: Id) -> None:
        """An error of Gait's own in place of an answer; without waiting, and whether or not there is room."""
        with self._changed:
            if not self._is_over:
                self.has_failed = True
                self._add(data)
                self._answer([id_])

    def withdraw(self, ids: Iterable[Id]) -> None:
        """These get no answer."""
        with self._changed:
            self._answer(ids)

    def end(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _add(self, data: bytes) -> None:
        self._last += 1
        self._events.append(Event(self._last, data))
        self._unsent_bytes += len(data)
        self._kept_bytes += len(data)

    def _answer(self, ids: Iterable[Id]) -> None:
        self._awaited.difference_update(ids)
        self._is_over = self._is_over or not (self._awaited or self.is_general)
        self._changed.notify_all()

    def _is_full(self) -> bool:
        return self._unsent_bytes >= self._room.unsent_bytes

    def _make_room(self) -> bool:
        """A general stream loses its oldest messages; what belongs to a request is whole or ends here."""
        if not self.is_general:
            self.is_broken = self._is_over = True
            self._changed.notify_all()
            return False
        while self._events and self._is_full():
            event = self._events.popleft()
            self._kept_bytes -= len(event.data)
            if event.number > self._taken:
                self._taken = event.number
                self._unsent_bytes -= len(event.data)
        return True

    # --- the reader -------------------------------------------------------------------------------

    def attach(self, after: int | None = None) -> int:
        """Become the reader, in place of an earlier one; go on after this event.  0: what comes after it is not kept any more."""
        with self._changed:
            if after is not None and not self._first() - 1 <= after <= self._last:
                return 0
            if after is not None:
                self._taken = after
                self._unsent_bytes = sum(len(event.data) for event in self._events if event.number > after)
            self._reader += 1
            self._is_attached = True
            self._changed.notify_all()
            return self._reader

    def detach(self, reader: int) -> bool:
        """Stop to read.  False: another one reads already."""
        with self._changed:
            if reader != self._reader:
                return False
            self._is_attached = False
            self.left_at = time.monotonic()
            self._changed.notify_all()
            return True

    def wait_first(self, seconds: float) -> bool:
        """True as soon as all answers are there, or something else is; False after this time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_over or self._is_chatty, seconds)

    def wait_all(self, seconds: float) -> bool:
        """True as soon as nothing more will come; False after this time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_over, seconds)

    def take(self, reader: int, seconds: float) -> list[Event] | None:
        """The next events, none after this time.  None: there will be none for this reader."""
        with self._changed:
            self._changed.wait_for(lambda: reader != self._reader or self._is_over or self._taken < self._last, seconds)
            if reader != self._reader:
                return None
            if self._taken == self._last:
                return None if self._is_over else []
            return self._next()

    def all(self) -> list[bytes]:
        """Every message, for an answer in one piece."""
        with self._changed:
            return [event.data for event in self._events]

    def _next(self) -> list[Event]:
        found: list[Event] = []
        size = 0
        for event in islice(self._events, self._taken + 1 - self._first(), None):
            found.append(event)
            size += len(event.data)
            if size >= _BATCH_BYTES:
                break
        self._taken = found[-1].number
        self._unsent_bytes -= size
        self._trim()
        self._changed.notify_all()
        return found

    def _trim(self) -> None:
        """Forget what was read longest ago."""
        while self._kept_bytes - self._unsent_bytes > self._room.sent_bytes and self._events[0].number <= self._taken:
            self._kept_bytes -= len(self._events.popleft().data)

    def _first(self) -> int:
        return self._events[0].number if self._events else self._last + 1


def dumps(event: Event, name: str) -> bytes:
    """A message as a server-sent event; with the stream's name it has an id, by which a client can come back."""
    data = event.data.replace(b"\r", b" ").replace(b"\n", b" ")  # between the tokens of JSON, and ends of lines here
    id_ = f"id: {name}_{event.number}\n" if name else ""
    return b"%bevent: message\ndata: %b\n\n" % (id_.encode("ascii"), data)


def priming(name: str, number: int) -> bytes:
    """The event without a message that lets a client come back before it has got one."""
    return f"id: {name}_{number}\nretry: {RETRY_MS}\ndata: \n\n".encode("ascii")


def read_id(text: str) -> tuple[str, int] | None:
    """A stream's name and the event's number in a Last-Event-ID; None for anything that Gait has not made."""
    name, _, number = text.strip(" \t").rpartition("_")
    return (name, int(number)) if name and number.isascii() and number.isdigit() and len(number) <= 18 else None
