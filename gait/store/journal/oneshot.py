"""A journal that spawned processes share: each appends one record under the chain's lock, at a cost that stays the same."""

from __future__ import annotations

import os
from time import monotonic, sleep

from ...errors import StorageError
from ...signing.keys import Keyring
from ...system import files
from . import folder as names
from .retention import Limits
from .writer import Writer

CHAIN = "oneshot"
_LOCK_SECONDS = 10.0
_PAUSE = 0.001  # about as long as an append takes
_LONGEST_PAUSE = 0.005  # who sleeps longer hardly gets a turn among many


def append_once(
    root: str, record: dict[str, object], ring: Keyring, *, sync: bool = False, limits: Limits = Limits()
) -> dict[str, object]:
    """Append a record to the chain `oneshot` of a journal and sign a new head; the signed record.

    `sync` waits for the disk.  StorageError, VerificationFailed (the end of the chain is damaged): no allow may be given.
    """
    folder = os.path.join(root, CHAIN)
    files.private_directory(folder)
    writer = Writer(folder, CHAIN, ring, limits, sync)
    hold = _turn(os.path.join(folder, names.LOCK))
    try:
        writer.open()
        signed = writer.append(record)
        if sync:
            writer.sync()
        writer.write_head("stopped")
        return signed
    finally:
        writer.close()
        hold.__exit__(None, None, None)


def _turn(path: str) -> files.Lock:
    """The chain's lock, taken as soon as it is free."""
    deadline = monotonic() + _LOCK_SECONDS
    pause = _PAUSE
    while monotonic() < deadline:
        hold = files.lock(path, 0.0)
        try:
            hold.__enter__()
        except StorageError as error:
            if error.error_code != "lock_timeout":
                raise
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        else:
            return hold
    message = f"expected a turn to append within {_LOCK_SECONDS:g} s, got none: another process holds the chain"
    raise StorageError(message, where=path, hint="try again", code="lock_timeout")
