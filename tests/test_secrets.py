"""The scan that follows every test finds what it should (conftest.leaks)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import CANARY, leaks

from gait.store import keys


def test_nothing_is_found_where_nothing_is(tmp_path):
    (tmp_path / "gait" / "keys").mkdir(parents=True)
    keys.init(str(tmp_path / "gait" / "keys" / "trace.json"), "trace")
    (tmp_path / "gait" / "trace.json").write_text("{}")
    assert leaks(tmp_path) == []


def test_the_canary_and_a_keys_secret_are_found(tmp_path):
    (tmp_path / "gait" / "keys").mkdir(parents=True)
    ring = tmp_path / "gait" / "keys" / "trace.json"
    keys.init(str(ring), "trace")
    secret = json.loads(ring.read_text())["keys"][0]["secret"]
    (tmp_path / "a").write_text(f"x {CANARY} y")
    (tmp_path / "b").write_text(f'{{"secret": "{secret}"}}')
    assert [Path(path).name for path in sorted(leaks(tmp_path))] == ["a", "b"]
