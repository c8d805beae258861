"""NamedTuple as documents use it, without the 3 ms that importing typing adds to every process.

A process starts for each tool call, so start-up is a feature; type checkers see typing's own.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _Reader(type):
        """Turns the annotated names of a class body into the fields of a tuple, defaults and methods kept."""

        def __new__(mcs, name, bases, members):
            names = list(members.pop("__annotations__", ()))
            if [field in members for field in names] != sorted(field in members for field in names):
                raise TypeError(f"{name}: a field without a default follows one with a default")
            defaults = [members.pop(field) for field in names if field in members]
            base = namedtuple(name, names, defaults=defaults, module=members["__module__"])
            return type(name, (base,), {"__slots__": (), **members})

    NamedTuple = type.__new__(_Reader, "NamedTuple", (), {})
