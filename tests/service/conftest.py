"""Servers that end with the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.service.running import Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server: serve("--watch", policy=text)."""
    started: list[Server] = []

    def start(*options: object, **how: Any) -> Server:
        server = Server(how.pop("folder", tmp_path), *options, **how)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()  # in order, so that what it did is measured for coverage
