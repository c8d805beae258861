"""The one door to the process: `python3 -m gait`, the launcher and the installed script come here.

Invariant: the exit code is 0 only if the command itself returned 0 and its output was taken.
The working directory leaves sys.path before any other import; the package stays importable
through its own __path__.  No `annotations` import here: an old Python must reach the message.
"""

import gc
import sys


def run() -> int:
    """The exit code of the command in sys.argv: 130 when interrupted, 1 when nobody reads its output."""
    if _is_hook(sys.argv[1:]):
        return _hook()
    began = _began()
    code = _run()
    if began:
        _record(code, began)
    return code


def _run() -> int:
    if sys.version_info < (3, 9):
        sys.stderr.write("gait needs Python 3.9 or newer; %s is %s.%s\n" % ((sys.executable,) + sys.version_info[:2]))
        return 7
    # A process for each tool call lives too briefly to collect; `mcp serve` turns the collector on again.
    gc.disable()
    try:
        _drop_working_directory()
        from .cli import main

        return _flushed(main())
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _silenced(1)
    finally:
        gc.freeze()  # nothing is left for the collection at exit


def _began() -> float:
    """The time, for a log of commands that an operator asked for (docs/metrics.md); 0.0, and nothing imported, when nobody did."""
    import os

    if not (os.environ.get("GAIT_ADOPTION_LOG") or os.environ.get("GAIT_OPERATIONAL_LOG")):
        return 0.0
    from time import monotonic

    return monotonic()


def _record(code: int, began: float) -> None:
    """Log the command that ended with `code`, which stays what it is."""
    try:
        from time import monotonic

        from .cli.usage import record

        record(sys.argv[1:], code, monotonic() - began)
    except BaseException:
        pass  # an interrupt, or modules of Gait that are missing


def _record_hook(code: int, began: float) -> None:
    """The same for a hook: a signal, or a second without an end, ends the process with the code of the answer that the host has."""
    import os
    import signal

    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, 1)
    _record(code, began)


def _is_hook(words: list) -> bool:  # type: ignore[type-arg]
    """True when a host may be waiting for the answer: not for the operator's verbs and help."""
    if words[:1] != ["hook"] or words[1:2] in (["install"], ["uninstall"]):
        return False
    return len(words) > 3 or words[-1] not in ("--help", "-h")


def _hook() -> int:
    """Never returns but in a test: the process ends here with 0 or 2, the only codes at which no host runs a refused tool.

    os._exit, because what runs at an ordinary exit (a flush, a late signal) could change the code, and takes time.
    """
    import os

    code = 2
    began = 0.0
    try:
        began = _began()
        gc.disable()
        _drop_working_directory()
        from .hosts.process import main

        code = 0 if main(sys.argv[2:]) == 0 else 2
        if began:
            _record_hook(code, began)
    except BaseException as error:  # even the modules of Gait may be missing, or the memory to load them
        os.write(2, f"gait: the call is refused: {type(error).__name__}: {error}\n".encode("ascii", "backslashreplace"))
    finally:
        os._exit(code)


def _drop_working_directory() -> None:
    import os

    try:
        here = os.getcwd()
    except OSError:  # the directory is gone: nothing can be imported from it
        return
    if os.path.join(here, "").startswith(os.path.join(os.path.dirname(os.__file__), "")):
        return  # the standard library's own folder has to stay
    here = os.path.realpath(here)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]


def _flushed(code: int) -> int:
    """`code` once the output is out.  Anything that is no exit code (None, 256) is a failure, never 0."""
    if code not in range(256):
        code = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"gait: the output could not be written: {error.strerror}\n")
        return _silenced(code or 1)
    return code


def _silenced(code: int) -> int:
    """`code`, with what is left in the buffer going nowhere, so that the interpreter's own flush is quiet."""
    import os

    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return code


if __name__ == "__main__":
    sys.exit(run())
