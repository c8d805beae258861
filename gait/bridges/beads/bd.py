"""The `bd` program (versions 0.40 to 1.x): looks an issue up, makes it when it is not there, and believes nothing that it cannot read.

One filing at a time: a lock of ours is held from the look-up to the answer.  Versions before 0.50 also refuse a second issue with the
same external reference, so who files from another home loses that race and finds the winner's issue; later ones would take both.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO

from ...errors import GaitError, MissingDependency
from ...formats import strict_json
from ...formats.documents import NamedTuple
from ...store import keys
from ...system import files
from .issue import Issue

INSTALL = "install Beads (npm install -g @beads/bd, or go install github.com/steveyegge/beads/cmd/bd@latest), or leave --live out"
_SECONDS = 30.0
_LOCK_SECONDS = 120.0  # three calls of another process
_MAX_BYTES = 4 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NOT_BEADS = "check that this is Beads' bd: `bd version`"


class Answer(NamedTuple):
    """What one call of bd gave."""

    code: int
    out: bytes
    err: bytes


class Program:
    """bd, found by its name in PATH or by its path; `folder` is its BEADS_DIR and `actor` its BD_ACTOR, where they are given."""

    def __init__(self, name: str = "bd", folder: str = "", actor: str = "") -> None:
        found = shutil.which(name)
        if not found:
            raise MissingDependency("expected the program bd, got none", where=name or "''", hint=INSTALL, code="bd_missing")
        self._path = os.path.abspath(found)
        # Without a daemon (before 0.50): one would outlive this process.  Nobody can answer a question.
        self._environment = {**os.environ, "BEADS_NO_DAEMON": "1", "BD_NON_INTERACTIVE": "1", "NO_COLOR": "1"}
        self._environment.setdefault("BD_ACTOR", "gait")
        given = {"BEADS_DIR": folder and os.path.abspath(folder), "BD_ACTOR": actor}
        self._environment.update({key: text for key, text in given.items() if text})

    def file(self, issue: Issue) -> tuple[str, bool]:
        """The id of the issue, and whether this call made it.  GaitError: it could be neither found nor made."""
        folder = keys.home()
        files.private_directory(folder)
        with files.lock(os.path.join(folder, "beads.lock"), _LOCK_SECONDS):
            return self._file(issue)

    def _file(self, issue: Issue) -> tuple[str, bool]:
        there = self._find(issue)
        if there:
            return there, False
        answer = self._run(issue.arguments(), issue.body.encode("utf-8"))
        made = created(answer)
        if made:
            return made, True
        there = self._find(issue)  # another process was faster, or bd made it and then failed
        if there:
            return there, False
        raise failure(answer, self._path)

    def _find(self, issue: Issue) -> str:
        answer = self._run(["list", "--label", issue.lookup, "--all", "--limit", "0", "--json"])
        found = listed(answer)
        if found is None:
            raise failure(answer, self._path)
        return next((str(item["id"]) for item in found if issue.is_found_in(item.get("external_ref"))), "")

    def _run(self, words: list[str], data: bytes = b"") -> Answer:
        """One call, ended after 30 seconds or 4 MiB with everything that it has started."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(data)  # at its end at once when there is none: bd can wait for nobody
            given.seek(0)
            process = _start([self._path, *words], self._environment, (given, out, err))
            try:
                problem = _wait(process, (out, err))
            finally:
                _kill(process)
            if problem:
                raise _not_answered(problem, self._path)
            return Answer(process.returncode, _read(out), _read(err))


def _start(words: list[str], environment: Mapping[str, str], streams: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> subprocess.Popen[bytes]:
    given, out, err = streams
    try:
        return subprocess.Popen(words, env=environment, stdin=given, stdout=out, stderr=err, start_new_session=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingDependency(f"cannot be started: {reason}", where=words[0], hint=INSTALL, code="bd_missing") from error


def _wait(process: subprocess.Popen[bytes], outputs: tuple[IO[bytes], IO[bytes]]) -> str:
    """Wait for the program itself, not for the end of its output, which a child of it may hold; why it was given up, or nothing."""
    deadline, pause = time.monotonic() + _SECONDS, 0.002
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"expected an end within {_SECONDS:g} s, got none"
        if any(os.fstat(output.fileno()).st_size > _MAX_BYTES for output in outputs):
            return f"expected at most {_MAX_BYTES} bytes, got more"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended
        process.wait()


def _read(output: IO[bytes]) -> bytes:
    output.seek(0)
    return output.read(_MAX_BYTES)


def created(answer: Answer) -> str:
    """The new issue's id, empty when bd did not say that it made one (0.49's own dry run gives an empty id)."""
    value = payload(answer.out) if answer.code == 0 else None
    return _id(value) if isinstance(value, dict) else ""


def listed(answer: Answer) -> list[dict[str, object]] | None:
    """The issues of a list, None when it is none."""
    value = payload(answer.out) if answer.code == 0 else None
    if not isinstance(value, list):
        return None
    return [item for item in value if isinstance(item, dict) and _id(item)]


def payload(out: bytes) -> object:
    """The value that bd printed, out of the envelope that 1.x puts around it when it is told to; None when it is no JSON."""
    try:
        value = strict_json.loads(out, "bd", _MAX_BYTES)
    except GaitError:
        return None
    return value["data"] if isinstance(value, dict) and "schema_version" in value and "data" in value else value


def _id(value: Mapping[str, object]) -> str:
    found = value.get("id")
    return found if isinstance(found, str) and _ID.fullmatch(found) else ""


def failure(answer: Answer, path: str) -> GaitError:
    """What went wrong, in bd's own words."""
    said = _said(answer)
    if "no beads database" in said:
        hint = "run `bd init` in the repository, or set BEADS_DIR to its .beads folder (--beads-dir)"
        return MissingDependency(f"bd: {said}", where=path, hint=hint, code="beads_not_initialised")
    got = said or ("no JSON" if answer.code == 0 else f"exit code {answer.code} without a word")
    return GaitError(f"expected an issue or a list of issues from bd, got: {got}", where=path, hint=_NOT_BEADS, code="bd_failed")


def _said(answer: Answer) -> str:
    """The line that says it: an `error` of JSON (1.x), else the first that begins with Error, else the last one of standard error."""
    for data in (answer.err, answer.out):
        value = payload(data)
        if isinstance(value, dict) and isinstance(value.get("error"), str):
            return str(value["error"])[:300]
    lines = list(_lines(answer.err))
    return next((line for line in lines if line.startswith("Error")), lines[-1] if lines else "")[:300]


def _lines(data: bytes) -> Iterator[str]:
    return (line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip())


def _not_answered(problem: str, path: str) -> GaitError:
    error = GaitError(f"bd was ended: {problem}", where=path, hint=f"try again; {_NOT_BEADS}", code="bd_failed")
    error.retryable = True
    return error
