#!/usr/bin/env python3
"""Launcher of a checkout or a copied folder: `python3 -I /abs/gait.py ...` is the guaranteed form.

Invariant: no file beside this one, and none in the working directory, can stand in for a
module of the standard library, and the package that runs is the one beside this file.
This file must parse on every Python that somebody may still call `python3` (and on 2.7),
to say plainly that the interpreter is too old: it has no f-strings and no annotations.
"""

import sys


def load_package():
    """Load the package beside this file; leave its folder last on sys.path."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]  # the interpreter put this file's folder in front of the standard library
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    # First for this one import, or an installed gait would run in place of this copy.
    # Nothing can slip in: the package's __init__ imports nothing.
    sys.path.insert(0, here)
    import gait  # noqa: F401

    sys.path.append(sys.path.pop(0))


def start():
    """The exit code of the command."""
    try:
        return run()
    except BaseException:
        if sys.argv[1:2] != ["hook"]:
            raise
        sys.stderr.write("gait: the call is refused: %s: %s\n" % sys.exc_info()[:2])
        return 2  # a host would run the tool at any other code


def run():
    """Load the package beside this file and run its command."""
    if sys.version_info < (3, 9):
        sys.stderr.write("gait needs Python 3.9 or newer; %s is %d.%d\n" % ((sys.executable,) + sys.version_info[:2]))
        return 2 if sys.argv[1:2] == ["hook"] else 7
    load_package()
    from gait.__main__ import run

    return run()


if __name__ == "__main__":
    sys.exit(start())
