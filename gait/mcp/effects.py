"""What the Interceptor is given and what it answers: values only, which the loops around it carry out in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Union

from ..errors import GaitError

if TYPE_CHECKING:
    from .unwrap import Unwrap

MAX_FRAME_BYTES = 16 * 1024 * 1024


class ToolCall(NamedTuple):
    """One tools/call to decide.

    `raw`: the bytes that would be forwarded (of a batch, all of it).  `value`: the request for the adapter "mcp", with the
    tool's full name (`server__tool`) and, for a meta-tool, the inner call.  `barred`: the reason code that blocks the call
    whatever the policy says, or empty.
    """

    raw: bytes
    value: dict[str, object]
    session_id: str
    barred: str


class Ruling(NamedTuple):
    """What `decide` answers once the record is in the journal.  `decided_at` is monotonic seconds, opaque here."""

    verdict: str
    reason_codes: tuple[str, ...]
    violations: tuple[str, ...]
    matched_rule: str
    trace_id: str
    intent_digest: str
    policy_digest: str
    chain: str
    sequence: int
    required_approvals: int
    tool_name: str
    decided_at: float


# GaitError: no decision could be recorded, so nothing is forwarded.
Decide = Callable[[ToolCall], Ruling]


class ToUpstream(NamedTuple):
    """Forward exactly these bytes as one frame.  `ids`: of the requests in it, which are under way from now on."""

    data: bytes
    ids: tuple[str | int, ...] = ()


class ToClient(NamedTuple):
    """One frame for the client.  Without data there is none: over HTTP only the status is sent, over stdio nothing."""

    data: bytes
    http_status: int = 200


class Refused(NamedTuple):
    """Input that got no decision, to be recorded as `refused_input` (digest, size, reason)."""

    data: bytes
    error: GaitError


class Outcome(NamedTuple):
    """How an allowed call ended: ok, error, timeout, cancelled, never_answered.

    `result_digest`: sha256 hex of the frame that brought the answer, `size_bytes` its length; empty and 0 without one.
    """

    ruling: Ruling
    status: str
    result_digest: str = ""
    size_bytes: int = 0


Effect = Union[ToUpstream, ToClient, Refused, Outcome]


class Terms(NamedTuple):
    """What holds for every session with one upstream.

    `server`: its name; not empty, the policy sees `server__tool`.  `unwraps`: its meta-tools.  `max_pending`: requests under
    way at a time; one more is refused.
    """

    server: str = ""
    unwraps: tuple[Unwrap, ...] = ()
    max_frame_bytes: int = MAX_FRAME_BYTES
    max_pending: int = 4096
