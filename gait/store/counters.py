"""What has been used up: one SQLite database for rate limits, budgets and the uses of approval tokens, shared by every process.

Invariants: a count is read and raised in one transaction, which no other process or thread can be inside; what is not committed
was never used, and what is committed stays used whatever becomes of the process.  Time never goes back: `Turn.now` is never
before the time of an earlier commit, so that a clock that is set back grants nothing and revives nothing.

    with counters.turn() as turn:              # waits for the others; StorageError: nothing may be allowed
        if quota.allows(turn.used(quota)):     # gate/quotas.Quota
            turn.take(quota)
            turn.commit()                      # all that was taken, or nothing; without it, nothing was

Limit: whoever may write to the folder may put an older copy in its place.
"""

from __future__ import annotations

import os
from threading import Lock
from time import monotonic, sleep
from types import TracebackType

from ..errors import GaitError, MissingDependency, StorageError
from ..formats.documents import TYPE_CHECKING
from ..gate.quotas import Quota
from ..system import clock, files

if TYPE_CHECKING:
    from sqlite3 import Connection

FOLDER = "counters"  # of $GAIT_HOME
NAME = "counters.sqlite3"
_VERSION = 1
_TURN_SECONDS = 5.0  # below a hook's deadline
_PAUSE = 0.0002  # a commit takes about as long
_LONGEST_PAUSE = 0.005  # who sleeps longer hardly gets a turn among many
_PRUNED = 100  # counts whose window is over that are forgotten with each new one
_TABLES = """
CREATE TABLE counts (key TEXT PRIMARY KEY, started INTEGER NOT NULL, used INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX counts_by_expiry ON counts (expires) WHERE expires > 0;
CREATE TABLE latest (one INTEGER PRIMARY KEY CHECK (one = 1), seconds REAL NOT NULL);
INSERT INTO latest VALUES (1, 0);
"""
_RAISE = """
INSERT INTO counts VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET started = excluded.started, used = excluded.used, expires = excluded.expires
"""
_PRUNE = "DELETE FROM counts WHERE key IN (SELECT key FROM counts WHERE expires > 0 AND expires < ? LIMIT ?)"
_PARENTS: list[object] = []  # connections of a process that this one was forked from


class Counters:
    """The counts in a private folder, which is made with its database on the first turn.  Safe to use from any thread.

    `sync` waits for the disk with each commit: what was used stays used after a power failure too.  Without it, after one, the
    last moments may be forgotten.
    """

    def __init__(self, folder: str, sync: bool = False) -> None:
        self.path = os.path.join(folder, NAME)
        self._sync = sync
        self._lock = Lock()
        self._connection: Connection | None = None
        self._identity = (0, 0)
        self._process = 0

    def turn(self) -> Turn:
        """A context manager: inside it, this thread alone reads and raises counts.

        StorageError: the store is unusable, or there was no turn within five seconds.  MissingDependency: no sqlite3.
        """
        return Turn(self)

    def close(self) -> None:
        """Let the database go; the next turn opens it again."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def acquire(self) -> Connection:
        """The connection inside a transaction, for Turn."""
        deadline = monotonic() + _TURN_SECONDS
        if not self._lock.acquire(timeout=_TURN_SECONDS):
            raise _no_turn(self.path)
        try:
            return self._begin(deadline)
        except BaseException:
            self._lock.release()
            raise

    def release(self, connection: Connection, commit: bool) -> None:
        """End the transaction, for Turn.  StorageError: it was not committed."""
        try:
            connection.execute("COMMIT" if commit else "ROLLBACK")
        except _errors() as error:
            self._drop(connection)
            if commit:
                raise _unusable(self.path, error) from error
        finally:
            self._lock.release()

    def _begin(self, deadline: float) -> Connection:
        pause = _PAUSE
        while True:
            try:
                if self._connection and self._process != os.getpid():
                    _PARENTS.append(self._connection)  # a connection must not be used, nor closed, after a fork
                    self._connection = None
                if self._connection and self._identity != _identity(self.path):
                    self._drop(self._connection)  # counting on in a file that is not there any more would be counting apart
                if self._connection is None:
                    self._connection = _open(self.path, self._sync)
                    self._identity, self._process = _identity(self.path), os.getpid()
                self._connection.execute("BEGIN IMMEDIATE")
                return self._connection
            except _errors() as error:
                if not _is_busy(error):
                    self._drop(self._connection)
                    raise _unusable(self.path, error) from error
            if monotonic() >= deadline:
                raise _no_turn(self.path)
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _drop(self, connection: Connection | None) -> None:
        """Forget a connection that failed, or whose file is gone: what it would answer next is anybody's guess."""
        self._connection = None
        try:
            if connection:
                connection.close()
        except _errors():
            pass  # what failed first is what the caller hears


class Turn:
    """See Counters.turn.  `now`, in seconds since 1970, is the time to decide by."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._connection: Connection | None = None
        self.now = 0.0

    def __enter__(self) -> Turn:
        connection = self._connection = self._counters.acquire()
        try:
            row = self._row("SELECT seconds FROM latest")
            if row is None or type(row[0]) is not float:
                raise _damaged(self._counters.path)
            self.now = max(clock.now(), row[0])
        except BaseException:
            self._connection = None
            self._counters.release(connection, False)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        connection, self._connection = self._connection, None
        if connection:
            self._counters.release(connection, False)

    def used(self, quota: Quota) -> int:
        """How much of a quota is used in its present window."""
        row = self._row("SELECT started, used FROM counts WHERE key = ?", quota.key)
        if row is None:
            return 0
        if type(row[0]) is not int or type(row[1]) is not int or row[1] < 0:
            raise _damaged(self._counters.path)
        return row[1] if row[0] >= quota.start(self.now) else 0

    def take(self, quota: Quota) -> None:
        """Add a quota's amount.  Whether it fits is for the caller to have asked; it counts with `commit`."""
        used = self.used(quota)
        self._write(_RAISE, quota.key, quota.start(self.now), used + quota.amount, quota.end(self.now))
        if not used:
            self._write(_PRUNE, self.now, _PRUNED)

    def commit(self) -> None:
        """Make what was taken count, and end the turn.  StorageError: nothing was used, and nothing may be allowed."""
        self._write("UPDATE latest SET seconds = ?", self.now)
        connection, self._connection = self._connection, None
        if connection:
            self._counters.release(connection, True)

    def _row(self, statement: str, *values: object) -> tuple[object, ...] | None:
        found: tuple[object, ...] | None = self._execute(statement, values).fetchone()  # type: ignore[attr-defined]
        return found

    def _write(self, statement: str, *values: object) -> None:
        self._execute(statement, values)

    def _execute(self, statement: str, values: tuple[object, ...]) -> object:
        if self._connection is None:
            raise StorageError("expected a turn, got one that has ended", where=self._counters.path, code="counters_unusable")
        try:
            return self._connection.execute(statement, values)
        except _errors() as error:
            raise _unusable(self._counters.path, error) from error


def _identity(path: str) -> tuple[int, int]:
    """Which file has the name; zeros for none."""
    try:
        status = os.lstat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _open(path: str, sync: bool) -> Connection:
    """A connection to the database, which is made when it is not there."""
    from sqlite3 import connect

    files.private_directory(os.path.dirname(path))
    _check_files(path)
    connection = connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            hint = "put GAIT_HOME on a local disk"
            raise StorageError("write-ahead logging is not possible on this file system", where=path, hint=hint, code="counters_unusable")
        connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
        _make_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_files(path: str) -> None:
    """Refuse what somebody else could write to, and links; SQLite itself would follow them."""
    try:
        files.write_exclusive(path, b"")
    except StorageError as error:
        if error.error_code != "file_exists":
            raise
    for name in (path, path + "-wal", path + "-shm"):
        if not os.path.lexists(name):
            continue
        status = os.lstat(name)
        if os.path.islink(name) or not os.path.isfile(name):
            raise StorageError("expected a regular file, got something else", where=name, hint="move it away", code="counters_unusable")
        for finding in files.file_findings(status, name):
            raise StorageError(finding.message, where=name, hint=finding.fix, code=finding.code)


def _make_tables(connection: Connection, path: str) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been faster
    if version not in (0, _VERSION):
        raise StorageError(f"expected version {_VERSION}, got {version}", where=path, hint="use the Gait that made it", code="counters_unusable")
    if version == 0:
        for statement in _TABLES.strip().split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _errors() -> type[Exception]:
    """sqlite3's errors.  MissingDependency: this Python was built without it."""
    try:
        from sqlite3 import Error
    except ImportError:
        message = "this Python has no sqlite3, which limits, budgets and single-use approvals are kept with"
        raise MissingDependency(message, hint="use a Python that has it", code="sqlite3_missing") from None
    return Error


def _is_busy(error: Exception) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _unusable(path: str, error: Exception) -> GaitError:
    hint = "check the folder, its permissions and the free space"
    return StorageError(f"the counters cannot be used: {error}", where=path, hint=hint, code="counters_unusable")


def _damaged(path: str) -> StorageError:
    hint = "see docs/limits.md on a damaged store"
    return StorageError("the counters are damaged: expected whole numbers", where=path, hint=hint, code="counters_unusable")


def _no_turn(path: str) -> StorageError:
    message = f"expected a turn within {_TURN_SECONDS:g} s, got none: other processes hold the counters"
    return StorageError(message, where=path, hint="try again", code="lock_timeout")
