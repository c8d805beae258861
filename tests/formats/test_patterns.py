from __future__ import annotations

import importlib
import pkgutil
import re

import gait
import pytest
from gait.formats import patterns


def test_every_lazy_pattern_of_gait_is_one():
    """Nobody is told of a pattern that is none before it is used, but here."""
    found = 0
    for module in pkgutil.walk_packages(gait.__path__, "gait."):
        if module.name != "gait.__main__":
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, patterns._Lazy):
                    assert isinstance(re.compile(value.pattern, value.flags), re.Pattern)
                    found += 1
    assert found > 50


def test_it_does_what_the_compiled_one_does():
    text = "Ab1 ab2"
    made, compiled = patterns.lazy(r"(ab)(\d)", re.IGNORECASE), re.compile(r"(ab)(\d)", re.IGNORECASE)
    assert made.findall(text) == made.findall(text) == compiled.findall(text)
    assert made.sub("x", text) == "x x" and made.search(text)[2] == "1" and made.fullmatch(text) is None
    assert made.pattern == compiled.pattern and made.flags == compiled.flags


def test_a_pattern_that_is_none():
    made = patterns.lazy("(")
    with pytest.raises(re.error):
        made.search("x")
    with pytest.raises(AttributeError):
        patterns.lazy("x").no_such_method
