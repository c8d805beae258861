"""One digest over many files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def digest_of(sums: Mapping[str, str]) -> str:
    """SHA-256 of the sorted `path:sha256` lines, joined by newlines; in hex."""
    return hashlib.sha256("\n".join(f"{path}:{sums[path]}" for path in sorted(sums)).encode("utf-8")).hexdigest()
