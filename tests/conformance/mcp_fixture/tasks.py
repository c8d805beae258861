"""The tasks extension (SEP-2663): a tool's work goes on in the background, and its result is fetched with tasks/get.

Invariant: a task is in the table before its id is told.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Callable, Optional

from .protocol import INTERNAL_ERROR, INVALID_PARAMS, TASKS, Call, Cancelled, Failure, Message
from .world import World

TTL_SECONDS = 120.0
POLL_MS = 200
_MOST = 200  # tasks kept


class Task:
    """Status and result; changed by its own thread and by tasks/update and tasks/cancel."""

    def __init__(self, gathered: Message) -> None:
        self.id = secrets.token_hex(16)
        self.gathered = gathered  # what was found out before the task began
        self.status = "working"
        self.created = self.updated = time.time()
        self.outcome: Message = {}
        self._pending: dict[str, Message] = {}
        self._answers: dict[str, Message] = {}
        self._changed = threading.Condition()

    def head(self) -> Message:
        """What every view of a task begins with."""
        return {
            "taskId": self.id,
            "status": self.status,
            "createdAt": _iso(self.created),
            "lastUpdatedAt": _iso(self.updated),
            "ttlMs": int(TTL_SECONDS * 1000),
            "pollIntervalMs": POLL_MS,
        }

    def view(self) -> Message:
        """The answer to tasks/get."""
        with self._changed:
            pending = {"inputRequests": dict(self._pending)} if self._pending else {}
            return {**self.head(), **self.outcome, **pending}

    def wait(self, seconds: float) -> None:
        """Sleep; Cancelled when tasks/cancel came."""
        with self._changed:
            if self._changed.wait_for(lambda: self.status == "cancelled", seconds):
                raise Cancelled

    def ask(self, requests: dict[str, Message]) -> dict[str, Message]:
        """Park until tasks/update brought every answer."""
        with self._changed:
            keys = {f"{name}-{secrets.token_hex(4)}": name for name in requests}
            self._pending = {key: requests[name] for key, name in keys.items()}
            self._become("input_required")
            while self._pending and self.status != "cancelled":
                self._changed.wait(TTL_SECONDS)
            if self.status == "cancelled":
                raise Cancelled
            return {name: self._answers[key] for key, name in keys.items()}

    def update(self, answers: Message) -> None:
        """Take answers; those to nothing that was asked are ignored."""
        with self._changed:
            for key in [key for key in answers if key in self._pending]:
                del self._pending[key]
                self._answers[key] = answers[key] if isinstance(answers[key], dict) else {}
            if self.status == "input_required" and not self._pending:
                self._become("working")

    def cancel(self) -> None:
        """Settle as cancelled, if it is not settled yet."""
        self.settle("cancelled", {})

    def settle(self, status: str, outcome: Message) -> None:
        """The end; only the first counts."""
        with self._changed:
            if self.status in ("working", "input_required"):
                self._pending, self.outcome = {}, outcome
                self._become(status)

    def _become(self, status: str) -> None:
        self.status, self.updated = status, time.time()
        self._changed.notify_all()


def start(world: World, work: Callable[[Task, Message], Message], arguments: Message, gathered: Message) -> Message:
    """Begin a task; the CreateTaskResult."""
    task = Task(gathered)
    for known in list(world.tasks.values()):
        if isinstance(known, Task) and time.time() > known.created + TTL_SECONDS:
            world.tasks.pop(known.id, None)
    if len(world.tasks) >= _MOST:
        raise Failure(INTERNAL_ERROR, "too many tasks")
    world.tasks[task.id] = task
    head = task.head()
    threading.Thread(target=_run, args=(task, work, arguments), daemon=True).start()
    return {"resultType": "task", **head}


def _run(task: Task, work: Callable[[Task, Message], Message], arguments: Message) -> None:
    try:
        task.settle("completed", {"result": work(task, arguments)})
    except Cancelled:
        task.cancel()
    except Failure as failure:
        task.settle("failed", {"error": {"code": failure.code, "message": failure.message}})


def get(call: Call) -> Message:
    """tasks/get."""
    return _found(call).view()


def update(call: Call) -> Message:
    """tasks/update."""
    task, answers = _found(call), call.params.get("inputResponses")
    if not isinstance(answers, dict):
        raise Failure(INVALID_PARAMS, "inputResponses must be an object")
    task.update(answers)
    return {}


def cancel(call: Call) -> Message:
    """tasks/cancel."""
    _found(call).cancel()
    return {}


def _found(call: Call) -> Task:
    call.require("extensions", TASKS)
    wanted: Optional[object] = call.params.get("taskId")
    task = call.world.tasks.get(wanted) if isinstance(wanted, str) else None
    if not isinstance(task, Task):
        raise Failure(INVALID_PARAMS, "Unknown task")
    return task


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
