"""One hook process: the host's event on standard input, its answer on standard output, and exit code 0 or 2.

Invariant: exit code 0 only when the answer, or the silence that stands for allow, was decided by a policy, recorded in a journal
and taken by the host.  Anything else is 2 with a reason on standard error: hosts run the tool at 1, 130 or death by a signal,
and some of them at a 2 without a reason.
"""

from __future__ import annotations

import os

from ..errors import GaitError, InvalidInput, StorageError
from ..formats import strict_json
from . import decision, hook
from .options import Options, read

REFUSED = 2
_MAX_BYTES = 16 * 1024 * 1024
_MAX_REASON = 2000
_CHUNK = 1 << 16
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGPROF")


def main(words: list[str]) -> int:
    """Answer one event, with a deadline; for a process of its own.  Raises nothing."""
    try:
        _refuse_on_signals()
        _check_streams()
        options = read(words)
        _start_clock(options.seconds)
        return respond(options)
    except BaseException as error:
        return refuse(error)


def respond(options: Options) -> int:
    """Read the event, decide, record, answer; the exit code.  Raises nothing that is an Exception."""
    try:
        if options.check:
            check_ready(options)
            return 0
        _settle(options)
        raw = _event()
        _write(1, decide(options, raw).encode("ascii"))
    except Exception as error:
        return refuse(error)
    return 0


def refuse(error: BaseException) -> int:
    """Say on standard error why there is no answer; 2."""
    text = str(error) if isinstance(error, GaitError) else f"{type(error).__name__}: {error}"
    hint = getattr(error, "hint", "")
    _say(f"{text} ({hint})" if hint else text)
    return REFUSED


def _say(reason: str) -> None:
    """One line of plain ASCII for the host, which shows it to its user and its model."""
    line = f"gait: the call is refused: {reason[:_MAX_REASON]}".encode("unicode_escape") + b"\n"
    try:
        os.write(2, line)
    except OSError:
        pass  # the exit code says it too


def decide(options: Options, raw: bytes) -> str:
    """The answer to one event, decided and recorded.  GaitError: there is none; an event without a decision is recorded too."""
    try:
        value = strict_json.loads(raw, "event", _MAX_BYTES)
        # Where approvals are signed, the host's own prompt must not stand in for one.
        host = options.host._replace(approval="deny") if options.approval_key else options.host
        return hook.answer(host, value, decision.decide(options, raw, value).value, options.approve)
    except GaitError as error:
        decision.refused(options, raw, error)
        raise


def _settle(options: Options) -> None:
    """--home stands in for $GAIT_HOME from here on."""
    if options.home:
        os.environ["GAIT_HOME"] = options.home


def check_ready(options: Options) -> None:
    """What a decision would need, without one: nothing is recorded.  GaitError: a call would be refused."""
    from ..gate.intent import RISK_CLASSES
    from ..store.journal import oneshot, tail
    from ..system import files

    if options.risk_class.strip().lower() not in RISK_CLASSES:
        raise InvalidInput(f"must be one of {', '.join(RISK_CLASSES)}", where="--risk-class", code="invalid_usage")
    _settle(options)
    decision.policy(options)
    decision.approvers(options)
    decision.broker(options)
    package = decision.skill(options)
    if package:
        package.require()
    ring = decision.ring(options)
    folder = os.path.join(decision.journal(options), oneshot.CHAIN)
    files.private_directory(folder)
    tail.find(folder, oneshot.CHAIN, ring)


def _event() -> bytes:
    """Standard input, whole."""
    chunks: list[bytes] = []
    size = 0
    while size <= _MAX_BYTES:
        try:
            chunk = os.read(0, _CHUNK)
        except OSError as error:
            raise InvalidInput(f"standard input cannot be read: {error.strerror}", code="event_unreadable") from error
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    raise InvalidInput(f"expected an event of at most {_MAX_BYTES} bytes, got more", code="event_too_large")


def _write(fd: int, data: bytes) -> None:
    """All of it, or StorageError: an answer that the host did not get is none."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise StorageError(f"the answer could not be written: {error.strerror}", code="output_failed") from error


# --- the process ---------------------------------------------------------------------------------


def _refuse_on_signals() -> None:
    """A signal that would end the process ends it with a refusal."""
    import _signal  # type: ignore[import-not-found]  # what `signal` wraps in enumerations, which costs a millisecond

    for name in _SIGNALS:
        if hasattr(_signal, name):
            _signal.signal(getattr(_signal, name), _on_signal)


def _on_signal(number: int, _: object) -> None:
    """Leave from wherever the process is: a finally clause, or a lock that somebody else holds, must not keep it."""
    import _signal

    _say("no decision within the deadline" if number == _signal.SIGALRM else f"stopped by signal {number}")
    os._exit(REFUSED)


def _start_clock(seconds: float) -> None:
    import _signal

    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def _check_streams() -> None:
    """Refuse closed streams: a file that is opened later would get their numbers, and the answer would go there."""
    for fd, name in ((0, "input"), (1, "output")):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidInput(f"standard {name} is closed", hint="the host has to give one", code="stream_closed") from None
    try:
        os.fstat(2)
    except OSError:
        os.open(os.devnull, os.O_WRONLY)  # the lowest number that is free, which is 2
