"""The stand-in for bd answers as the real one did: each recorded call is made again, in order, in a database of its own."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CALLS = [json.loads(line) for line in (ROOT / "fixtures/beads/bd_transcripts.jsonl").read_text("utf-8").splitlines()]
SHARED = ROOT.parent / "shared/vectors/bd_transcripts.jsonl"
VERSIONS = ("0.46.0", "0.49.6")


def stand_in() -> ModuleType:
    """tests/bridges/beads/bd.py as a module."""
    spec = importlib.util.spec_from_file_location("bd_stand_in", Path(__file__).with_name("bd.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bd_stand_in"] = module
    spec.loader.exec_module(module)
    return module


def comparable(text: str, folder: str = "<none>") -> Any:
    """JSON without ids, times, the order of keys and the place; of other text the first lines, without the long help of a flag."""
    text = re.sub(r"gt-[0-9a-z]{3}\b", "gt-id", text.replace(folder, "<dir>"))
    text = re.sub(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "TIME", text)
    try:
        return json.loads(text)
    except ValueError:
        return text.partition("\nUsage:")[0].partition("\nRun 'bd --help'")[0].strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_calls(version: str, tmp_path: Path) -> None:
    bd = stand_in()
    (tmp_path / "w").mkdir()
    names: dict[str, str] = {}  # the recorded ids, and the stand-in's
    count = 0
    for recorded in (item for item in CALLS if item["bd"] == version):
        env = {name: text.replace("<dir>", str(tmp_path)) for name, text in recorded["env"].items()}
        words = [names.get(word, word) for word in recorded["argv"][1:]]
        done = bd.call(version, words, str(tmp_path / "w"), env, recorded["stdin"] or "")
        got = (done.code, comparable(done.out, str(tmp_path)), comparable(done.err))
        assert got == (recorded["rc"], comparable(recorded["stdout"]), comparable(recorded["stderr"])), recorded["note"]
        for old, new in zip(re.findall(r'"id": "(gt-\w+)"', recorded["stdout"]), re.findall(r'"id": "(gt-\w+)"', done.out)):
            names[old] = new
        count += 1
    assert count == 27


def test_the_recorded_calls_are_those_of_the_shared_vectors() -> None:
    if not SHARED.exists():
        pytest.skip("../shared is not there")
    assert SHARED.read_bytes() == (ROOT / "fixtures/beads/bd_transcripts.jsonl").read_bytes()
