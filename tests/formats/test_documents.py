"""documents.NamedTuple: what typing's gives, without importing typing."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from gait.formats.documents import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Point(NamedTuple):
    """A point."""

    x: int
    y: int = 2
    tags: tuple[str, ...] = ()

    def total(self) -> int:
        """The sum."""
        return self.x + self.y

    @property
    def double(self) -> int:
        """Twice the sum."""
        return 2 * self.total()


class Reference(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    tags: typing.Tuple[str, ...] = ()


class Empty(NamedTuple):
    """No fields."""


def test_it_is_a_tuple_with_names():
    point = Point(1)
    assert point == (1, 2, ()) == Reference(1) and repr(point) == "Point(x=1, y=2, tags=())"
    assert point.total() == 3 and point.double == 6 and Point.__doc__ == "A point."
    assert Point._fields == Reference._fields and Point._field_defaults == Reference._field_defaults
    assert point._replace(x=5)._asdict() == {"x": 5, "y": 2, "tags": ()} and hash(point) == hash((1, 2, ()))
    assert Empty() == () and Empty._fields == ()


def test_it_is_frozen():
    for name in ("x", "other"):
        with pytest.raises(AttributeError):
            setattr(Point(1), name, 3)
    assert not hasattr(Point(1), "__dict__")


def test_calls_are_checked():
    for arguments in ((), (1, 2, (), 4)):
        with pytest.raises(TypeError):
            Point(*arguments)
    with pytest.raises(TypeError):
        Point(1, z=2)
    with pytest.raises(TypeError):
        NamedTuple.__class__("Bad", (NamedTuple,), {"__annotations__": {"x": int, "y": int}, "x": 1, "__module__": __name__})


def test_it_can_be_copied_and_found_again():
    assert Point.__module__ == __name__ and copy.deepcopy(Point(1)) == Point(1)
    sys.modules.setdefault(__name__, sys.modules.get(__name__) or __import__(__name__))
    assert pickle.loads(pickle.dumps(tuple(Point(1)))) == (1, 2, ())


def test_typing_is_not_imported():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import gait.formats.documents; sys.exit('typing' in sys.modules)"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT)], timeout=60).returncode == 0
