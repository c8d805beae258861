"""A framework's tool call -> IntentRequest, with the targets that its arguments imply.

One module per framework reads that framework's shape into a ToolCall; call.py makes the intent of it; inference.py adds
the targets, by the table in targets.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from ..gate.intent import IntentRequest
    from .call import ToolCall

# The adapter's name -> its module.
ADAPTERS: Mapping[str, str] = {
    "mcp": "mcp",
    "openai": "openai",
    "openai_agents": "openai",
    "anthropic": "anthropic",
    "langchain": "langchain",
    "autogen": "autogen",
    "autogpt": "autogpt",
    "claude_code": "claude_code",
    "openclaw": "openclaw",
    "gastown": "gastown",
    "gemini": "gemini",
}
_MODULES: dict[str, ModuleType] = {}  # those imported so far, by each name they were asked for


def to_intent(adapter: str, call: object, defaults: Mapping[str, object]) -> IntentRequest:
    """The intent of one tool call in a framework's own shape: `to_document`, normalised."""
    from ..gate import intent

    return intent.read(to_document(adapter, call, defaults))


def to_document(
    adapter: str, call: object, defaults: Mapping[str, object], trusted: frozenset[str] | None = None
) -> dict[str, object]:
    """The IntentRequest document of one tool call in a framework's own shape, which is left as it is.

    `defaults` holds identity, workspace and risk_class, and may hold session_id and request_id.  What the call itself says
    about its context (the `context` object of the mcp, openclaw and gastown shapes; cwd, session_id, tool_use_id and the like
    of hook events) takes their place field by field, where `trusted` (None: every field) lets it.
    Targets that the call gives are joined by inferred ones; endpoint classes and domains that it claims are dropped.
    InvalidInput: an unknown adapter; a call of another shape, with the expected one; arguments past the limits in targets.py.
    """
    return read(adapter, call).document(defaults, trusted)


def read(adapter: str, call: object) -> ToolCall:
    """The tool call in a framework's shape.  InvalidInput names the field that is not as expected, and the shape."""
    module = _MODULES.get(adapter) or _module(adapter)
    try:
        return module.read(call)  # type: ignore[no-any-return]
    except InvalidInput as error:
        message = f"adapter {adapter[:40]}: {error}; expected {module.SHAPE}"
        raise InvalidInput(message, hint=error.hint, code="invalid_call", path=error.path) from error


def _module(adapter: str) -> ModuleType:
    """The adapter's module, imported at its first call: one process needs one or two of them."""
    from importlib import import_module

    _MODULES[adapter] = module = import_module("." + _module_name(adapter), __package__)
    return module


def _module_name(adapter: str) -> str:
    name = ADAPTERS.get(adapter.replace("-", "_"))
    if name is None:
        from ..formats.fields import nearest

        known = ", ".join(ADAPTERS)
        message = f"adapter: must be one of {known}; got {adapter[:80]!r}{nearest(adapter, list(ADAPTERS))}"
        raise InvalidInput(message, code="unknown_adapter", path=("adapter",))
    return name
