"""`gait hook HOST`: answer a host's hook.  `gait hook install` and `uninstall`: the line in the host's settings that calls it.

The answering itself comes here only from tests and embedders; a process of its own goes from __main__ to hosts/process.py, without
argparse.  There, wrong usage exits 2 as everything else does that is no answer; here, as elsewhere, 6.
"""

from __future__ import annotations

import argparse

from ..hosts.hook import HOSTS
from ..hosts.options import FLAGS, OPTIONS, Options, checked
from . import shared

_INSTALLABLE = tuple(name for name in HOSTS if name != "openclaw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the hosts and the two verbs with their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="HOST|VERB", required=True, prog=parser.prog)
    for host in HOSTS:
        about = f"Answer {host}'s hook: its event on standard input, its answer on standard output, exit code 0 or 2."
        example = f"Example: gait hook {host} --policy policy.yaml < event.json"
        answer = verbs.add_parser(host, help=f"answer {host}'s hook", description=about, epilog=example)
        _options(answer)
        answer.add_argument("--check", action="store_true", help="only say whether a call could be decided; nothing is recorded")
    install = shared.verb(verbs, "install", "make a host ask Gait before each tool call", "gait hook install claude-code --policy policy.yaml")
    _place(install)
    install.add_argument("--uninstall", action="store_true", help="the same as gait hook uninstall")
    _options(install)
    _place(shared.verb(verbs, "uninstall", "take Gait's hook out of a host's settings", "gait hook uninstall claude-code"))


def _place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", choices=_INSTALLABLE, metavar="HOST", help=", ".join(_INSTALLABLE))
    parser.add_argument("--scope", choices=("user", "project"), default="user", help="whose settings: the user's (default), or this folder's")


def _options(parser: argparse.ArgumentParser) -> None:
    for name, (metavar, summary) in OPTIONS.items():
        default = Options._field_defaults[name]
        parser.add_argument("--" + name.replace("_", "-"), metavar=metavar, default=default, help=summary)


def run(args: argparse.Namespace) -> int:
    """Answer an event (0 or 2), or change a host's settings."""
    if args.verb == "uninstall" or (args.verb == "install" and args.uninstall):
        from ..hosts.install import uninstall

        return _report(args, uninstall(args.host, args.scope))
    host = HOSTS[args.host if args.verb == "install" else args.verb]
    options = checked(Options(host, **{name: getattr(args, name) for name in (*OPTIONS, *FLAGS) if hasattr(args, name)}))
    if args.verb == "install":
        from ..hosts.install import install

        return _report(args, install(options, args.scope))
    from ..hosts.process import respond

    return respond(options)


def _report(args: argparse.Namespace, done) -> int:  # type: ignore[no-untyped-def]
    said = "changed" if done.changed else "unchanged: it is as it should be"
    rows = [("file", done.path), ("result", said), ("command", done.command), ("backup", done.backup), ("next", done.next_step)]
    shared.emit(args, done.to_value(), shared.rows(rows))
    return 0
