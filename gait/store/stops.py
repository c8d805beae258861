"""The kill switch on disk: one signed, numbered state in `$GAIT_HOME/stops/`, which every decision looks at.

Invariant: nothing but `resume` lets a stopped call run.  A state that is missing from its folder, unreadable, edited, signed by
another key, or older than one that this process has seen stops every call.
Limit: whoever may write to $GAIT_HOME, and so read the key too, can undo a stop for processes that start afterwards.
"""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading itself would cost every hook half a millisecond
from collections.abc import Callable

from ..errors import GaitError, InvalidInput, StorageError, VerificationFailed
from ..formats import strict_json
from ..formats.documents import NamedTuple
from ..gate import stops
from ..gate.intent import IntentRequest
from ..gate.stops import Stop, Stops
from ..signing import envelope
from ..signing.keys import Keyring
from ..system import clock, files

FOLDER = "stops"
NAME = "state.json"
_MAX_BYTES = 4 * 1024 * 1024
_HINT = "look with `gait stop --list`; remove every stop with `gait resume --reset`"
_Mark = tuple[int, ...]
_NONE: _Mark = ()  # there is no state: nothing was ever stopped here
_UNREADABLE: _Mark = (0,)
_NOTHING = Stops(0, "", ())
_USED = ".used"  # a file beside the folder says that there was a state: the folder must not vanish unseen


class _Seen(NamedTuple):
    """What a process knows of the state: the mark of the file it read, and what that says (None: not to be believed)."""

    mark: _Mark
    stops: Stops | None


class Switch:
    """The kill switch as one running evaluator sees it, from any thread.  A look costs one `stat` unless the state has changed.

    `ring` gives the keys that verify a state; it is asked only when there is one.
    """

    def __init__(self, home: str, ring: Callable[[], Keyring]) -> None:
        self._path = path(home)
        self._ring = ring
        self._lock = allocate_lock()
        self._sequence = 0  # the greatest that was seen
        self._seen = _Seen(_NONE, None)

    def reasons(self, intent: IntentRequest) -> tuple[str, ...]:
        """Why a call is stopped, as reason codes; empty when it is not."""
        mark, seen = _mark(self._path), self._seen
        if mark != seen.mark or seen.stops is None:  # what could not be believed may have been out of reach for a moment
            seen = self._look()
        if seen.stops is None:
            return ("stopped", stops.INVALID)
        return seen.stops.reasons(intent)

    def _look(self) -> _Seen:
        with self._lock:
            mark = _mark(self._path)
            found = self._believed(mark)
            if found:
                self._sequence = found.sequence
            self._seen = _Seen(mark, found)
            return self._seen

    def _believed(self, mark: _Mark) -> Stops | None:
        """The state, None when it is not to be believed."""
        if mark == _NONE:
            return None if self._sequence or _was_used(self._path) else _NOTHING
        try:
            found = _load(self._path, self._ring())
        except GaitError:
            return None
        return found if found.sequence >= self._sequence else None


def path(home: str) -> str:
    """Where the state is."""
    return os.path.join(home, FOLDER, NAME)


def load(home: str, ring: Callable[[], Keyring]) -> Stops:
    """The state.  VerificationFailed: it is not to be believed, so that every call is stopped."""
    where = path(home)
    if _mark(where) == _NONE and not _was_used(where):
        return _NOTHING
    try:
        return _load(where, ring())
    except GaitError as error:
        message = f"every call is stopped: the state of the kill switch cannot be believed: {error}"
        raise VerificationFailed(message, where=where, hint=_HINT, code=stops.INVALID) from error


def stop(home: str, ring: Keyring, wanted: Stop) -> Stops:
    """Stop something; the state that is in force when this returns.  A second stop of the same thing has the newer reason.

    VerificationFailed: the state there cannot be believed, so that every call is stopped already.
    """
    with _turn(home):
        found = load(home, lambda: ring)
        kept = [entry for entry in found.entries if (entry.scope, entry.value) != (wanted.scope, wanted.value)]
        if len(kept) >= stops.MAX_STOPS:
            hint = "stop all, or resume what need not be stopped any more"
            raise InvalidInput(f"expected at most {stops.MAX_STOPS} stops, got one more", hint=hint, code="too_many_stops")
        return _save(home, ring, found.sequence, (*kept, wanted))


def resume(home: str, ring: Keyring, scope: str, value: str, record: Callable[[Stops], None]) -> Stops:
    """Let what was stopped run again, once `record` has returned; the state that is in force then.

    InvalidInput: it is not stopped.  VerificationFailed: the state there cannot be believed.
    """
    with _turn(home):
        found = load(home, lambda: ring)
        value = stops.normal_value(scope, value)
        if found.find(scope, value) is None:
            named = ", ".join(f"{entry.scope} {entry.value}".strip() for entry in found.entries) or "nothing"
            raise InvalidInput(f"expected something that is stopped ({named}), got {scope} {value[:80]}".strip(), code="stop_not_found")
        kept = tuple(entry for entry in found.entries if (entry.scope, entry.value) != (scope, value))
        return _save(home, ring, found.sequence, kept, record)


def reset(home: str, ring: Keyring, record: Callable[[Stops], None]) -> Stops:
    """Remove every stop, once `record` has returned, whatever the state there is."""
    with _turn(home):
        try:
            sequence = load(home, lambda: ring).sequence
        except VerificationFailed:
            sequence = 0
        return _save(home, ring, sequence, (), record)


def _turn(home: str) -> files.Lock:
    files.private_directory(home)
    return files.lock(os.path.join(home, FOLDER + ".lock"))


def _save(
    home: str, ring: Keyring, before: int, entries: tuple[Stop, ...], record: Callable[[Stops], None] = lambda _: None
) -> Stops:
    """Sign and write a state with a greater sequence than any before, also when the last one is lost: it begins as the time."""
    made = Stops(max(before + 1, int(clock.now() * 1000)), clock.now_text(), entries)
    record(made)
    signed = envelope.sign(made.to_value(), ring.active, envelope.STOPS)
    _write(home, (strict_json.dumps(signed) + "\n").encode("ascii"))
    return made


def _write(home: str, data: bytes) -> None:
    """Put the state in place.  The folder comes with a state in it: one without is where somebody has removed it."""
    folder = os.path.join(home, FOLDER)
    if os.path.lexists(folder):
        files.private_directory(folder)
        files.write_atomic(path(home), data, sync=True)
    else:
        new = os.path.join(home, f".{FOLDER}-{os.urandom(8).hex()}")
        files.private_directory(new)
        files.write_atomic(os.path.join(new, NAME), data, sync=True)
        try:
            os.rename(new, folder)
        except OSError as error:
            raise StorageError(f"cannot make the folder: {error.strerror}", where=folder, hint="check its permissions and the free space") from error
    if not os.path.lexists(folder + _USED):
        files.write_atomic(folder + _USED, b"", sync=True)


def _was_used(where: str) -> bool:
    return os.path.lexists(os.path.dirname(where) + _USED)


def _load(where: str, ring: Keyring) -> Stops:
    document = strict_json.loads_object(files.read_private(where, _MAX_BYTES, "the state of the kill switch"))
    envelope.verify(document, ring, envelope.STOPS)
    return stops.read({name: value for name, value in document.items() if name != "signature"})


def _mark(where: str) -> _Mark:
    """What changes when the file does: a write in place changes its times, and a new file has another number."""
    try:
        os.lstat(where[: -len(NAME) - 1])  # the folder first: mostly there is none, and each failure costs
    except (FileNotFoundError, NotADirectoryError):
        return _NONE
    except OSError:
        return _UNREADABLE
    try:
        status = os.lstat(where)
    except OSError:
        return _UNREADABLE
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
