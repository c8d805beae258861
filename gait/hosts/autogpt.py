"""AutoGPT (classic): `Agent(…, permission_manager=GaitPermissionManager(gate))`, in place of forge's CommandPermissionManager."""

from __future__ import annotations

from typing import Any

from .guard import Gate

FRAMEWORK = "autogpt"


class Answer:
    """What `check_command` gives.  Forge once took a bool and later an object with `allowed`; this is false in both readings or in none.

    An object without `__bool__` would be true to a host that takes a bool, whatever it says.
    """

    __slots__ = ("allowed", "feedback", "scope")

    def __init__(self, allowed: bool, scope: object, feedback: str | None) -> None:
        self.allowed, self.scope, self.feedback = allowed, scope, feedback

    def __bool__(self) -> bool:
        return self.allowed


class GaitPermissionManager:
    """Asks a Gate before each command.  `inside`, forge's own manager, is asked after an allow: its lists and prompts stay.

    The host executes by itself and says nothing of it, so no outcome is recorded.  `check_command` is not async in forge: the
    event loop waits for the decision.
    """

    def __init__(self, gate: Gate, inside: Any = None) -> None:
        self._gate = gate
        self._inside = inside

    def __getattr__(self, name: str) -> Any:
        """What forge's manager has besides, where there is one."""
        return getattr(self.__dict__.get("_inside"), name)

    def check_command(self, command_name: str, arguments: dict[str, Any]) -> Any:
        """Whether the command may run; the reason for a refusal is the feedback that the model gets.

        An allowed call's `arguments` are filled anew with the judged values, so that nobody else holds a part of them.
        """
        ruling = self._gate.judge(FRAMEWORK, {"name": command_name, "arguments": arguments})
        if not ruling.allowed:
            return Answer(False, _scope("deny"), ruling.reason)
        arguments.clear()
        arguments.update(ruling.arguments)
        return Answer(True, _scope("once"), None) if self._inside is None else self._inside.check_command(command_name, arguments)


def _scope(word: str) -> object:
    """Forge's ApprovalScope of this word, or the word, which is equal to it."""
    try:
        from forge.permissions import ApprovalScope  # type: ignore[import-not-found]
    except ImportError:
        return word
    return ApprovalScope(word)
