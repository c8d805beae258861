"""Bytes in, effects out.  Invariant: no tools/call is forwarded but one that `decide` allowed; what was judged is forwarded.

A frame from the client is read strictly and forwarded as it came, or not at all.  A frame from the upstream is forwarded as it
came, but for a tools/list result that the catalog changes; it is read only to see which call it answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from . import headers as header_rules
from . import messages, refusals
from .effects import Decide, Effect, Outcome, Refused, Terms, ToClient, ToolCall, ToUpstream
from .messages import Frame, FrameRefused
from .pending import Pending, Request
from .unwrap import inner
from ..errors import GaitError, InvalidInput, ParseError, StorageError
from ..formats import strict_json

if TYPE_CHECKING:
    from .catalog import Catalog

_BATCH_VERSION = "2025-03-26"  # the one revision with JSON-RPC batches
_MAX_BATCH = 100
_UNASKED = "\0"  # the cursor of a list that nobody asked for: the catalog never takes it for a whole one
_RESPONSE_KEYS = messages.known_keys("id", "method", "result", "error")
_LIST_KEYS = messages.known_keys("tools", "nextCursor")
_TOOL_KEYS = messages.known_keys("name", "title", "description", "inputSchema", "outputSchema", "annotations")


class Interceptor:
    """Between one client's session and one upstream.  Pure; its methods may be called from several threads.

    `session_id` may be set when the upstream has given it.
    """

    def __init__(self, terms: Terms, decide: Decide, catalog: Catalog, session_id: str = "") -> None:
        self._terms = terms
        self._decide = decide
        self._catalog = catalog
        self._pending = Pending(terms.max_pending)
        self._version = ""  # as negotiated, once the answer to initialize has passed
        self.session_id = session_id

    @property
    def pending(self) -> list[str | int]:
        """The ids of the calls under way."""
        return self._pending.ids(messages.CALL)

    # --- client to upstream ---------------------------------------------------------------------

    def from_client(self, data: bytes, headers: Mapping[str, str] | None = None) -> list[Effect]:
        """One frame (a line without its end, or a body).  `headers`: of an HTTP request, names in lower case.  Never raises."""
        if headers is None and not data.strip(b" \t\r\n"):
            return []  # an empty line between frames
        try:
            value = messages.loads(data, self._terms.max_frame_bytes)
            if type(value) is list:
                return self._batch(data, value, headers)
            return self._single(data, self._read(value, headers))
        except FrameRefused as error:
            return refusals.of_error(data, error)
        except Exception as error:
            return refusals.of_error(data, _internal(error, None))

    def _read(self, value: object, headers: Mapping[str, str] | None) -> Frame:
        frame = messages.read(value)
        if headers is not None:
            header_rules.check(frame, headers)
        return frame

    def _single(self, data: bytes, frame: Frame) -> list[Effect]:
        is_admitted, effects = self._admit(frame, data)
        return [*effects, self._forward(data, [frame])] if is_admitted else effects

    def _batch(self, data: bytes, values: list[object], headers: Mapping[str, str] | None) -> list[Effect]:
        """All of a batch is forwarded, or nothing: every call of it is judged, and one that is refused holds the others back."""
        if (self._version or (headers or {}).get("mcp-protocol-version", "")) != _BATCH_VERSION:
            raise FrameRefused("expected one message, got a batch", code="batch_refused", hint=f"only revision {_BATCH_VERSION} has batches")
        if not 1 <= len(values) <= _MAX_BATCH:
            raise FrameRefused(f"expected a batch of 1 to {_MAX_BATCH} messages, got {len(values)}", code="batch_refused")
        frames = [self._read(value, headers) for value in values]
        verdicts = [self._admit(frame, data) for frame in frames]
        effects = [effect for _, its in verdicts for effect in its]
        if all(is_admitted for is_admitted, _ in verdicts):
            return [*effects, self._forward(data, frames)]
        for frame, (is_admitted, _) in zip(frames, verdicts):
            effects += self._hold_back(frame) if is_admitted else []
        return _one_answer(effects)

    def _admit(self, frame: Frame, data: bytes) -> tuple[bool, list[Effect]]:
        """Whether a message may be forwarded, and what is to be done besides; a request that may is under way from here on."""
        if frame.id is None or not frame.is_request:
            return True, []
        try:
            request, made_room = self._pending.open(frame.id, frame.method, frame.params.get("cursor") or "")
        except FrameRefused as error:
            return False, refusals.of_error(data, error)
        refusal = self._judge(frame, data, request) if frame.is_call else []
        if refusal:
            self._pending.withdraw(request)
        return not refusal, [*made_room, *refusal]

    def _judge(self, frame: Frame, data: bytes, request: Request) -> list[Effect]:
        """Nothing for a call that is allowed; else its refusal."""
        try:
            ruling = self._decide(self._tool_call(frame, data))
        except FrameRefused as error:
            return refusals.of_error(data, error)
        except InvalidInput as error:
            refused = FrameRefused(str(error), messages.INVALID_PARAMS, frame.id, code=error.error_code, hint=error.hint)
            return refusals.of_error(data, refused)
        except StorageError as error:
            return [ToClient(refusals.not_recorded(frame, error))]
        except Exception as error:
            return refusals.of_error(data, _internal(error, frame.id))
        if ruling.verdict != "allow":
            return [ToClient(refusals.of_ruling(frame, ruling))]
        request.ruling = ruling
        if not self._pending.holds(request):  # the session ended meanwhile
            return [Outcome(ruling, "cancelled"), _not_sent(frame, "the session has ended")]
        return []

    def _tool_call(self, frame: Frame, data: bytes) -> ToolCall:
        """The call as it is judged: of a meta-tool the inner one."""
        name, arguments = frame.name, frame.arguments
        found = inner(self._terms.unwraps, name, arguments) if self._terms.unwraps else None
        if found:
            name, arguments = found
            messages.check_tool(name, arguments, frame.id)
        full_name = f"{self._terms.server}__{name}" if self._terms.server else name
        params = {"name": full_name, "arguments": arguments}
        value: dict[str, object] = {"jsonrpc": "2.0", "id": frame.id, "method": messages.CALL, "params": params}
        return ToolCall(data, value, self.session_id, self._catalog.bars(frame.name))

    def _forward(self, data: bytes, frames: list[Frame]) -> ToUpstream:
        for frame in frames:
            if frame.method == messages.CANCELLED:
                self._pending.cancel(frame.params.get("requestId"))
        return ToUpstream(data, tuple(frame.id for frame in frames if frame.is_request and frame.id is not None))

    def _hold_back(self, frame: Frame) -> list[Effect]:
        """What becomes of an admitted message whose batch is not sent."""
        request = self._pending.take(frame.id) if frame.is_request and frame.id is not None else None
        if request is None:
            return []
        outcome: list[Effect] = [Outcome(request.ruling, "cancelled")] if request.ruling else []
        return [*outcome, _not_sent(frame, "another message of the batch was refused")]

    # --- upstream to client ---------------------------------------------------------------------

    def from_upstream(self, data: bytes) -> list[Effect]:
        """One frame (a line without its end, a body, or an event's data).  Never raises."""
        try:
            return self._pass_back(data)
        except Exception as error:
            return self._replace(data, _internal(error, None), self._pending.ids(messages.LIST))

    def _pass_back(self, data: bytes) -> list[Effect]:
        if len(data) > self._terms.max_frame_bytes:
            return self._replace(data, _unreadable(f"at most {self._terms.max_frame_bytes} bytes"), self._pending.ids(messages.LIST))
        reads_lists = self._catalog.needs_list
        if not reads_lists and not len(self._pending):
            return [ToClient(data)]
        value = _as_clients_read(data)
        if value is None and reads_lists and self._pending.ids(messages.LIST):
            return self._replace(data, _unreadable("JSON"), self._pending.ids(messages.LIST))
        effects: list[Effect] = []
        lists: dict[int, str] = {}
        for index, item in enumerate(value if type(value) is list else [value]):
            if type(item) is dict:
                request, outcome = self._answered(item, data)
                effects += outcome
                if reads_lists:
                    self._note_change(item)
                    if _may_be_list(item, request):
                        lists[index] = request.cursor if request and type(request.cursor) is str else _UNASKED
        return [*effects, *(self._learn(data, lists) if lists else [ToClient(data)])]

    def _note_change(self, item: dict[str, object]) -> None:
        if item.get("method") == "notifications/tools/list_changed":
            self._catalog.forget()

    def _answered(self, item: dict[str, object], data: bytes) -> tuple[Request | None, list[Effect]]:
        """The request that a message answers, and the outcome of a call."""
        id_ = messages.reply_id(item)
        if id_ is None or not ("result" in item or "error" in item):
            return None, []
        request = self._pending.close(id_)
        result = item.get("result")
        if request and request.method == messages.INITIALIZE and type(result) is dict:
            self._version = str(result.get("protocolVersion", ""))
        if request is None or request.ruling is None:
            return request, []
        is_ok = item.get("error") is None and type(result) is dict and not result.get("isError")
        return request, [Outcome(request.ruling, "ok" if is_ok else "error", hashlib.sha256(data).hexdigest(), len(data))]

    def _learn(self, data: bytes, lists: dict[int, str]) -> list[Effect]:
        """A frame with results of tools/list, by place and cursor: as it came, or made anew where the catalog changes it."""
        value: object = None
        try:
            value = strict_json.loads(data, "tools/list result", self._terms.max_frame_bytes)
            items: list[dict[str, object]] = value if type(value) is list else [value]  # type: ignore[list-item]
            changed = [self._learn_one(items[index], cursor) for index, cursor in lists.items()]
        except Exception as error:
            return self._replace(data, error if isinstance(error, GaitError) else _internal(error, None), _ids_in(data))
        return [ToClient(messages.dumps(value) if any(changed) else data)]

    def _learn_one(self, item: dict[str, object], cursor: str) -> bool:
        """Whether the catalog has changed this message."""
        messages.refuse_lookalikes(item, _RESPONSE_KEYS)
        result = item.get("result")
        if type(result) is not dict:
            return False
        messages.refuse_lookalikes(result, _LIST_KEYS)
        tools = result.get("tools")
        for tool in tools if type(tools) is list else []:
            if type(tool) is dict:
                messages.refuse_lookalikes(tool, _TOOL_KEYS)
        changed = self._catalog.learn(result, cursor)
        if changed is not None:
            item["result"] = changed
        return changed is not None

    def _replace(self, data: bytes, error: GaitError, ids: list[str | int]) -> list[Effect]:
        """In place of a frame that must not pass: its record, and an error for each request that it may have answered."""
        effects: list[Effect] = [Refused(data, error), *self.finish("error", ids)]
        text = "Gait could not read the upstream's answer, so it was not passed on"
        return [*effects, *(ToClient(refusals.rpc_error(id_, messages.INTERNAL_ERROR, text)) for id_ in ids)]

    def finish(self, status: str, ids: Iterable[str | int] | None = None) -> list[Effect]:
        """An Outcome for every call still open, or for those of these ids: `status`, or cancelled if the client has cancelled it."""
        requests = [self._pending.take(id_) for id_ in (self._pending.ids() if ids is None else ids)]
        return [Outcome(r.ruling, "cancelled" if r.is_cancelled else status) for r in requests if r and r.ruling]


def _as_clients_read(data: bytes) -> object:
    """The value as most readers see it, with the last of two equal keys.  None: they see none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _may_be_list(item: dict[str, object], request: Request | None) -> bool:
    """Whether some client could take this message for a tools/list result."""
    if any(_RESPONSE_KEYS.get(messages.fold(key), key) != key for key in item):
        return True
    if request:
        return request.method == messages.LIST
    result = item.get("result")
    return type(result) is dict and any(messages.fold(key) == "tools" for key in result)


def _ids_in(data: bytes) -> list[str | int]:
    """The ids of the messages in a frame."""
    value = _as_clients_read(data)
    ids = [messages.reply_id(item) for item in (value if type(value) is list else [value]) if type(item) is dict]
    return [id_ for id_ in ids if id_ is not None]


def _one_answer(effects: list[Effect]) -> list[Effect]:
    """The answers to the messages of one batch as one array."""
    answers = [effect.data for effect in effects if isinstance(effect, ToClient) and effect.data]
    return [*(effect for effect in effects if not isinstance(effect, ToClient)), ToClient(b"[" + b",".join(answers) + b"]")]


def _not_sent(frame: Frame, reason: str) -> ToClient:
    return ToClient(refusals.rpc_error(frame.id, messages.INVALID_REQUEST, f"not sent: {reason}"))


def _unreadable(expected: str) -> ParseError:
    return ParseError(f"expected {expected}", where="upstream's frame", hint="the upstream must send valid JSON-RPC")


def _internal(cause: Exception, id_: str | int | None) -> FrameRefused:
    """What is recorded and told of a fault of Gait's own; the cause is for its own log."""
    error = FrameRefused("an internal error, so nothing was forwarded", messages.INTERNAL_ERROR, id_, code="internal_failure")
    error.__cause__ = cause
    return error
