"""JUnit reports of the scripts that are no pytest."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Optional


class Case(NamedTuple):
    """One test case: `problem` says why it failed, `skip` why it did not run; both empty: it passed."""

    group: str
    name: str
    problem: str = ""
    seconds: float = 0.0
    skip: str = ""


def write(path: Optional[Path], suite: str, cases: Iterable[Case]) -> None:
    """Write the report, where one is asked for."""
    if path is None:
        return
    cases = list(cases)
    counts = {"tests": len(cases), "failures": sum(bool(case.problem) for case in cases), "errors": 0, "skipped": sum(bool(case.skip) for case in cases)}
    root = xml.Element("testsuite", name=suite, **{name: str(count) for name, count in counts.items()})
    for case in cases:
        element = xml.SubElement(root, "testcase", classname=case.group, name=case.name, time=f"{case.seconds:.3f}")
        if case.problem:
            xml.SubElement(element, "failure", message=_plain(case.problem.splitlines()[0][:200])).text = _plain(case.problem)
        elif case.skip:
            xml.SubElement(element, "skipped", message=_plain(case.skip))
    xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _plain(text: str) -> str:
    """The text without what XML cannot hold: programs print anything."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text).encode("ascii", "backslashreplace").decode()
