"""Verification of a journal: all chains, streaming, in constant memory."""

from __future__ import annotations

import os
from typing import Iterable, Iterator

from ...errors import InvalidInput
from ...signing.keys import Keyring, require_purpose
from . import folder as names
from . import records
from .findings import Finding, Findings, Report
from .records import Head
from .walk import Verified, Walk


class Audit:
    """Iterate over it once for the verified records of a journal, chain by chain; then `report`.

    `heads` are documents that were kept elsewhere, such as a running server's: their chains must reach that far.
    InvalidInput: no such folder, or no chain in it.  VerificationFailed: one of `heads` proves nothing.
    """

    def __init__(self, root: str, ring: Keyring, heads: Iterable[dict[str, object]] = ()) -> None:
        require_purpose(ring, "trace")
        self._root = root
        self._ring = ring
        self._heads = [records.read_head(head, ring) for head in heads]
        self._chains = names.chains(root)
        if not self._chains and not self._heads:
            message = "expected at least one chain of a journal, got none"
            raise InvalidInput(message, where=root, hint="give the folder that holds the chains' folders", code="journal_empty")
        self._found = Findings()
        self._walks: list[Walk] = []

    def __iter__(self) -> Iterator[Verified]:
        for chain in self._chains:
            heads = [head for head in self._heads if head.chain == chain]
            walk = Walk(os.path.join(self._root, chain), chain, self._ring, heads, self._found)
            self._walks.append(walk)
            yield from walk
        for head in self._heads:
            if head.chain not in self._chains:
                self._found.add(_missing(head))

    def report(self) -> Report:
        """What was found, once the iteration is through."""
        return Report(tuple(walk.report() for walk in self._walks), tuple(self._found.items), self._found.total)


def _missing(head: Head) -> Finding:
    message = f"the chain is not there; a head of {head.created_at} proves records up to {head.tail.sequence}"
    return Finding("chain_missing", head.chain, 1, 1, head.tail.sequence, message)


def verify(root: str, ring: Keyring, heads: Iterable[dict[str, object]] = ()) -> Report:
    """Everything that is wrong with a journal, and how far each chain is proven."""
    audit = Audit(root, ring, heads)
    for _ in audit:
        pass
    return audit.report()
