"""A journal that spawned processes share: each appends one record under the chain's lock, at a cost that stays the same."""

from __future__ import annotations

import os

from ...signing.keys import Keyring
from ...system import files
from . import folder as names
from .retention import Limits
from .writer import Writer

CHAIN = "oneshot"
_LOCK_SECONDS = 10.0


def append_once(
    root: str, record: dict[str, object], ring: Keyring, *, sync: bool = False, limits: Limits = Limits()
) -> dict[str, object]:
    """Append a record to the chain `oneshot` of a journal and sign a new head; the signed record.

    `sync` waits for the disk.  StorageError, VerificationFailed (the end of the chain is damaged): no allow may be given.
    """
    folder = os.path.join(root, CHAIN)
    files.private_directory(folder)
    with files.lock(os.path.join(folder, names.LOCK), _LOCK_SECONDS):
        writer = Writer(folder, CHAIN, ring, limits, sync)
        try:
            writer.open()
            signed = writer.append(record)
            if sync:
                writer.sync()
            writer.write_head("stopped")
            return signed
        finally:
            writer.close()
