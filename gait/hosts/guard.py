"""The gate in front of functions and of frameworks' tools, inside their own process.

Invariants: a tool runs only after a recorded `allow`, once, with a copy of the arguments that was made before they were judged;
whatever goes wrong on the way to a decision is a refusal.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

from .. import adapters
from ..errors import GaitError, InvalidInput
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..judge import MAX_BYTES, Judged
from . import decision, hook
from .options import OPTIONS, Options, absolute

PYTHON = "python"  # the framework of a plain function
_T = TypeVar("_T")
_OPTIONS = frozenset(OPTIONS) - {"policy", "home", "on_allow", "deadline"}  # these are about a process of its own
_MCP = "mcp"  # the shape in which every call is judged: it alone has room for the provenance


class Ruling(NamedTuple):
    """What Gait says to one call.  `arguments` are a copy of what was judged: run these and no others, when `allowed`.

    `value` is the decision as the decision API gives it, or the error document when there is none; `reason` is for the model.
    """

    framework: str
    value: Mapping[str, object]
    reason: str
    arguments: dict[str, Any]
    judged: Judged | None = None

    @property
    def allowed(self) -> bool:
        """True for the verdict `allow`, and for nothing else."""
        return self.value.get("verdict") == "allow" and self.value.get("ok") is True

    def __bool__(self) -> bool:
        return self.allowed


class Refused(Exception):
    """A guarded function was not called; `ruling` says why."""

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(ruling.reason)
        self.ruling = ruling


class Gate:
    """Where calls are judged: by a policy with a journal, or by a running `gait mcp serve`.  Safe in any thread and event loop.

    `policy` defaults to $GAIT_HOME/policy.yaml, and is read anew when it changed.  `provenance` is the skill_provenance of every
    intent (skill_name, source, publisher, …), as a claim; the option `skill` names a signed package, which is verified.  The
    options are those of `gait hook`, with `_` for `-`: journal, server, token_env, identity (default: the framework's name),
    workspace (default: the working directory), risk_class, keys, approvals, credentials.  InvalidInput: another option.
    """

    def __init__(self, policy: str = "", *, provenance: Mapping[str, object] | None = None, **options: str) -> None:
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise InvalidInput(f"Gate: expected options among {known}; got {unknown[0][:40]!r}", code="invalid_usage")
        self._provenance = dict(provenance) if provenance is not None else None
        given = {**options, "policy": policy, "workspace": options.get("workspace") or os.getcwd()}  # which the program may leave
        found = {name: absolute(name, text) for name, text in given.items() if text}
        self._options = Options(hook.Host(PYTHON, _MCP), **found)  # type: ignore[arg-type]

    def judge(self, framework: str, payload: object, *, follow: bool = False) -> Ruling:
        """The ruling on one call in the shape of its framework (docs/integrations/frameworks.md).  Raises no Exception.

        `follow`: the caller will say what became of an allowed call, as `call` and `acall` do.
        """
        try:
            return self._judge(framework, payload, follow)
        except Exception as error:  # whatever it is, the call is refused
            failure = error if isinstance(error, GaitError) else GaitError(f"{type(error).__name__}: {error}")
            hint = f" ({failure.hint})" if failure.hint else ""
            reason = f"Gait refused this call, because it could not be judged: {str(failure)[:1000]}{hint}. {hook.NEXT}"
            return Ruling(framework, failure.to_value(), reason, {})

    def call(self, framework: str, payload: object, run: Callable[[dict[str, Any]], _T], refuse: Callable[[Ruling], _T]) -> _T:
        """What `run` gives for the judged arguments when the call is allowed, what `refuse` gives otherwise."""
        ruling = self.judge(framework, payload, follow=True)
        if not ruling.allowed:
            return refuse(ruling)
        began, status = monotonic(), "error"
        try:
            result = run(ruling.arguments)
            status = _status(framework, result)
            return result
        finally:
            self._ended(ruling, status, monotonic() - began)

    async def acall(
        self, framework: str, payload: object, run: Callable[[dict[str, Any]], Awaitable[_T]], refuse: Callable[[Ruling], _T]
    ) -> _T:
        """As `call`.  Judging and recording happen in a thread; a call that is cancelled meanwhile does not run."""
        import asyncio

        ruling = await self._judge_in_thread(framework, payload)
        if not ruling.allowed:
            return refuse(ruling)
        began = monotonic()
        try:
            result = await run(ruling.arguments)
        except Exception:
            await asyncio.to_thread(self._ended, ruling, "error", monotonic() - began)
            raise
        except BaseException:  # cancelled, or closed: nothing may be awaited here
            threading.Thread(target=self._ended, args=(ruling, "cancelled", monotonic() - began)).start()
            raise
        await asyncio.to_thread(self._ended, ruling, _status(framework, result), monotonic() - began)
        return result

    def guard(self, function: Callable[..., Any] | None = None, *, name: str = "") -> Callable[..., Any]:
        """A decorator, `@gate.guard` or `@gate.guard(name="tool.write")`, for plain and async functions and bound methods.

        The call is judged with its defaults, as the tool `name` (the function's own name).  Arguments must be JSON values: text,
        numbers, booleans, None, lists and dicts with text keys.  Refused: a call that is not allowed, and one that cannot be judged.
        """
        if function is None:
            return functools.partial(self.guard, name=name)
        guarded = _Function(function, name)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: object, **kwargs: object) -> Any:
                return await self.acall(PYTHON, guarded.payload(args, kwargs), guarded.run, _raise)

            return awaited

        @functools.wraps(function)
        def called(*args: object, **kwargs: object) -> Any:
            return self.call(PYTHON, guarded.payload(args, kwargs), guarded.run, _raise)

        return called

    def _judge(self, framework: str, payload: object, follow: bool) -> Ruling:
        options = self._options._replace(identity=self._options.identity or framework)
        raw = b""
        try:
            raw = _text(payload)
            value = strict_json.loads(raw, "call", MAX_BYTES)
            if value != payload:
                raise _not_json("other types")
            call = adapters.read(_MCP if framework == PYTHON else framework, value)
            shape: dict[str, object] = {"name": call.name, "arguments": call.arguments, "context": dict(call.context)}
            if self._provenance is not None:
                shape["skill_provenance"] = self._provenance
            decided = decision.decide(options, _text(shape), shape, framework if follow else "")
        except GaitError as error:
            decision.refused(options, raw, error)
            raise
        return Ruling(framework, decided.value, hook.reason(decided.value), call.arguments, decided.judged)

    async def _judge_in_thread(self, framework: str, payload: object) -> Ruling:
        import asyncio

        waiting = [True]

        def judge() -> Ruling:
            ruling = self.judge(framework, payload, follow=True)
            if not waiting:
                self._ended(ruling, "cancelled", 0.0)
            return ruling

        try:
            return await asyncio.to_thread(judge)
        except BaseException:
            waiting.clear()
            raise

    def _ended(self, ruling: Ruling, status: str, seconds: float) -> None:
        """Complete the record of an allowed call.  A service has no place for it, and a broken journal shows the gap."""
        if ruling.allowed and ruling.judged:
            decision.outcome(self._options, ruling.judged.record, status, seconds)


class _Function:
    """A function as a tool: its calls as payloads, and payloads' arguments as calls."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name or str(getattr(function, "__name__", ""))
        self._signature = inspect.signature(function)
        kinds = {parameter.kind: key for key, parameter in self._signature.parameters.items()}
        self._rest = kinds.get(inspect.Parameter.VAR_POSITIONAL, "")

    def payload(self, args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
        """The call; its `*rest` as a list, its `**rest` as an object, each under its name.  TypeError: not the function's arguments."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        if self._rest:
            arguments[self._rest] = list(arguments[self._rest])
        return {"name": self._name, "arguments": arguments}

    def run(self, arguments: dict[str, Any]) -> Any:
        """What the function gives for these arguments."""
        bound = inspect.BoundArguments(self._signature, arguments)
        return self._function(*bound.args, **bound.kwargs)


def _raise(ruling: Ruling) -> Any:
    raise Refused(ruling)


def _status(framework: str, result: object) -> str:
    """The outcome.  AutoGen's and LangChain's results say when the tool failed; others are the tool's own, and not looked into."""
    if framework not in ("autogen", "langchain"):
        return "ok"
    return "error" if getattr(result, "is_error", False) is True or getattr(result, "status", "") == "error" else "ok"


def _text(value: object) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise _not_json(str(error)) from error


def _not_json(what: str) -> InvalidInput:
    hint = "guard a bound method, not a function that takes self; give paths as text"
    return InvalidInput(f"call: expected JSON values only, got {what[:200]}", hint=hint, code="call_not_json")
