"""The one door to the process: `python3 -m gait`, the launcher and the installed script come here.

Invariant: the exit code is 0 only if the command itself returned 0 and its output was taken.
The working directory leaves sys.path before any other import; the package stays importable
through its own __path__.  No `annotations` import here: an old Python must reach the message.
"""

import gc
import sys


def run() -> int:
    """The exit code of the command in sys.argv: 130 when interrupted, 1 when nobody reads its output."""
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
