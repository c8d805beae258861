"""The client's requests that are under way, by their exact ids: 1 is not "1".

Every method is one step of a dict, so that the two directions of a session may use it at the same time.
"""

from __future__ import annotations

from .effects import Outcome, Ruling
from .messages import BUSY, CALL, INITIALIZE, LIST, FrameRefused

_TOLD_APART = (CALL, LIST, INITIALIZE)  # whose answers are more to Gait than bytes to pass


class Request:
    """One request.  `ruling`: of a call that was allowed; a call without one is still being decided.  `cursor`: of a list."""

    __slots__ = ("id", "method", "cursor", "ruling", "is_cancelled")

    def __init__(self, id_: str | int, method: str, cursor: object) -> None:
        self.id = id_
        self.method = method
        self.cursor = cursor
        self.ruling: Ruling | None = None
        self.is_cancelled = False

    @property
    def is_call(self) -> bool:
        """Whether an outcome is owed, now or as soon as it is decided."""
        return self.method == CALL


class Pending:
    """Holds at most `limit` requests."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._requests: dict[str | int, Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def open(self, id_: str | int, method: str, cursor: object = None) -> tuple[Request, list[Outcome]]:
        """The new request, and the outcome of a cancelled call that made room for it.

        FrameRefused: the id belongs to a request under way, so that their answers could not be told apart, or there are too many.
        """
        made = self._make_room(id_) if len(self._requests) >= self._limit else []
        request = Request(id_, method, cursor)
        other = self._requests.setdefault(id_, request)
        if other is not request:
            if other.method in _TOLD_APART or method in _TOLD_APART:
                raise FrameRefused("expected a new id, got that of a request under way", id=id_, code="duplicate_id", hint="use each id once")
            self._requests[id_] = request
        return request, made

    def close(self, id_: str | int) -> Request | None:
        """The request that is answered.  None for one that was never asked, or is not forwarded yet."""
        request = self._requests.get(id_)
        if request is None or (request.is_call and request.ruling is None):
            return None
        return self._requests.pop(id_, None)

    def take(self, id_: str | int) -> Request | None:
        """The request, which has come to its end without an answer."""
        return self._requests.pop(id_, None)

    def withdraw(self, request: Request) -> bool:
        """Forget a request that is not forwarded.  False: it was not there any more."""
        return self.holds(request) and self.take(request.id) is request

    def holds(self, request: Request) -> bool:
        """False once the request was taken."""
        return self._requests.get(request.id) is request

    def cancel(self, id_: object) -> None:
        """The client wants no answer any more; one may come all the same."""
        request = self._requests.get(id_) if type(id_) in (str, int) else None  # type: ignore[call-overload]
        if request:
            request.is_cancelled = True

    def ids(self, method: str = "") -> list[str | int]:
        """The ids under way, of one method or of all."""
        return [id_ for id_, request in self._requests.copy().items() if not method or request.method == method]

    def _make_room(self, id_: str | int) -> list[Outcome]:
        """Drop the oldest request that nobody waits for, or whose answer needs no record."""
        for request in self._requests.copy().values():
            is_idle = request.is_cancelled and request.ruling or not request.is_call
            if is_idle and self.withdraw(request):
                return [Outcome(request.ruling, "cancelled")] if request.ruling else []
        raise FrameRefused(f"expected at most {self._limit} requests under way, got one more", BUSY, id_, code="too_many_requests", hint="wait for answers")
