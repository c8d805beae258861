"""The toy agent of `gait demo`: a shop in a temporary folder, three tools that really change it, and three calls.

Invariant: the tools reach nothing outside the shop's folder, whatever they are asked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from ..errors import InvalidInput
from ..formats.documents import NamedTuple

WORKSPACE = "/sandbox"  # what the agent calls the folder `sandbox` of the shop
_FILES = {"customers.db": "c-1042,Ada\nc-1043,Blaise\n", "ledger.csv": "customer,amount\n"}


Effect = dict[str, "list[str]"]  # created, changed and deleted files; an empty list is left out


class Step(NamedTuple):
    """One call that the agent makes; `about` is the call in words, `watched` the file that it would change."""

    name: str
    arguments: dict[str, object]
    about: str
    watched: str


STEPS = (
    Step("write_file", {"path": "/sandbox/report.md", "content": "# Report\nTwo customers.\n"}, "/sandbox/report.md", "sandbox/report.md"),
    Step("delete_file", {"path": "/sandbox/../customers.db"}, "/sandbox/../customers.db", "customers.db"),
    Step("refund_customer", {"customer": "c-1042", "amount": 120}, "c-1042, 120 dollars", "ledger.csv"),
)


class Shop:
    """The folder and the tools."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        os.mkdir(os.path.join(self._root, "sandbox"))
        for name, text in _FILES.items():
            self._write(os.path.join(self._root, name), text, "x")

    def run(self, step: Step) -> None:
        """Run a tool on what the agent asked for."""
        tools: dict[str, Callable[[dict[str, object]], None]] = {
            "write_file": lambda given: self._write(self._place(given["path"]), str(given["content"]), "w"),
            "delete_file": lambda given: os.unlink(self._place(given["path"])),
            "refund_customer": lambda given: self._write(os.path.join(self._root, "ledger.csv"), f"{given['customer']},{given['amount']}\n", "a"),
        }
        tools[step.name](step.arguments)

    def state(self) -> dict[str, str]:
        """Each file's SHA-256."""
        found = {}
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self._root).replace(os.sep, "/")] = hashlib.sha256(file.read()).hexdigest()
        return found

    def _place(self, path: object) -> str:
        """Where an agent's path is; /sandbox/../x is x beside the sandbox, for a tool does not ask who may."""
        place = os.path.normpath(os.path.join(self._root, str(path).lstrip("/")))
        if not place.startswith(self._root + os.sep):
            raise InvalidInput("expected a path in the shop's folder, got another", where=str(path))
        return place

    def _write(self, path: str, text: str, mode: str) -> None:
        with open(path, mode, encoding="utf-8", newline="") as file:
            file.write(text)


def changes(before: dict[str, str], after: dict[str, str]) -> Effect:
    """What differs between two states."""
    found = {
        "created": sorted(set(after) - set(before)),
        "changed": sorted(name for name in before if after.get(name, before[name]) != before[name]),
        "deleted": sorted(set(before) - set(after)),
    }
    return {what: names for what, names in found.items() if names}
