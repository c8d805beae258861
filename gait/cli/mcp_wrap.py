"""`gait mcp wrap`: what a client starts in place of an MCP server; it starts the server, and gates its tool calls.

Invariant: the server is started only when its policy, keys and journal are ready, and standard output carries its messages alone.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import threading
import time

from ..errors import GaitError, InvalidInput, StorageError
from ..mcp.interceptor import Interceptor
from ..mcp.stdio import Session, Streams
from ..service.engine import Engine, Outputs
from ..service.ledger import Ledger
from ..service.loaded import Loaded, load, self_test
from ..signing.keys import Keyring
from ..store import keys
from ..store.journal.append import Journal
from ..system import process
from . import mcp_tools, shared
from .mcp_gate import EngineGate
from .mcp_tools import usage

_HEARTBEAT_SECONDS = 60
_TICK_SECONDS = 1.0
_MAX_CHAINS = 99  # sessions of one server at a time
_MAX_GRACE = 3600.0
_FORWARDED = ("SIGHUP", "SIGINT", "SIGTERM")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb `wrap`."""
    option = parser.add_argument
    option("--server-name", default="", metavar="NAME", help="the policy then sees this server's tools as NAME__TOOL")
    option("--journal", metavar="DIR", help="where decisions are recorded (default $GAIT_HOME/journal/mcp)")
    shared.key_options(parser)
    shared.approval_key_options(parser)
    shared.credential_options(parser)
    shared.skill_options(parser)
    shared.profile_option(parser)
    mcp_tools.context_options(parser)
    mcp_tools.tool_options(parser)
    option("--grace", type=float, default=5, metavar="SECONDS", help="how long the server may take to end after the client (default 5)")
    option("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ARGS", help="the server")


def run(args: argparse.Namespace) -> int:
    """Serve one client; the exit code is the server's, 128 + N when signal N ended it.

    Every error is told on standard error: the words `--json` may be among the server's own, and standard output is the client's.
    """
    try:
        return _run(args)
    except Exception as error:
        return shared.report(error, False)


def _run(args: argparse.Namespace) -> int:
    parent = os.getppid()
    _require_streams()
    command, env = _command(args), mcp_tools.environment(args, shared.secret_variables(args))
    shared.check_profile(args)
    loaded = _loaded(args)
    terms = mcp_tools.terms_of(args, args.server_name)
    catalog = mcp_tools.catalog_of(args, terms, lambda: loaded.compiled)
    defaults = mcp_tools.context(args)
    ring = shared.signing_keys(args).ring
    self_test(loaded.compiled, ring)
    failure = None
    with _journal(args, command, ring) as journal:
        engine = Engine(args.policy, loaded, Ledger(journal), Outputs(), shared.lasting_allowances(args))
        _arm(engine)
        gate = EngineGate(engine, terms.server, defaults)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it is not told how a child ended
        try:
            child = process.start(command, env)
            interceptor, may_wait = Interceptor(terms, gate.decide, catalog), loaded.waits or shared.may_wait(args)
            session = Session(interceptor, gate, child, Streams(), catalog, terms.max_frame_bytes, may_wait)
            code = _attend(session, engine, parent, args.grace)
        except GaitError as error:
            failure = error  # for the journal, an end in order
    if failure:
        raise failure
    return code


def _attend(session: Session, engine: Engine, parent: int, grace_seconds: float) -> int:
    """Run the session beside the heartbeat, with the signals going to the server."""
    _take_signals(session)
    gc.freeze()  # what is loaded stays; `gait` turned the collector off for the sake of shorter commands
    gc.enable()
    stopped = threading.Event()
    heart = threading.Thread(target=_beat, args=(engine, stopped), name="gait-heartbeat", daemon=True)
    heart.start()
    try:
        return session.run(parent, grace_seconds)
    finally:
        stopped.set()
        heart.join()


def _take_signals(session: Session) -> None:
    """Those that were ignored when Gait was started stay so, for the server too."""
    for number in (getattr(signal, name) for name in _FORWARDED):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: session.signal(number))
    signal.signal(signal.SIGCHLD, lambda *_: session.wake())


def _arm(engine: Engine) -> None:
    digest = engine.loaded.compiled.policy.digest
    engine.ledger.event("armed", {"policy_digest": digest, "heartbeat_seconds": _HEARTBEAT_SECONDS, "self_test": "passed"})


def _beat(engine: Engine, stopped: threading.Event) -> None:
    """A heartbeat each minute, and each second while the journal fails: that is what finds out when it no longer does."""
    due = time.monotonic() + _HEARTBEAT_SECONDS
    while not stopped.wait(_TICK_SECONDS):
        if engine.ledger.problem or time.monotonic() >= due:
            due = time.monotonic() + _HEARTBEAT_SECONDS
            try:
                engine.ledger.event("heartbeat", {})
            except StorageError:
                pass  # the ledger has said so


def _require_streams() -> None:
    """Without all three, a pipe of Gait's own would take the place of one that is closed; the loops' two must block."""
    for number, name in enumerate(("standard input", "standard output", "standard error")):
        try:
            os.fstat(number)
            if number < 2:
                os.set_blocking(number, True)
        except OSError:
            raise InvalidInput("expected it to be open, got a closed one", where=name, hint="start gait as an MCP client does") from None


def _command(args: argparse.Namespace) -> list[str]:
    words: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words or not words[0]:
        raise usage(args, "COMMAND", "expected the server's command after --, got none")
    if not 0 <= args.grace <= _MAX_GRACE:
        raise usage(args, "--grace", f"must be 0 to {_MAX_GRACE:.0f} seconds; got {args.grace}")
    return words


def _loaded(args: argparse.Namespace) -> Loaded:
    if args.policy == "-":
        raise usage(args, "--policy", "standard input is the client's, so the policy must be in a file")
    return load(args.policy, args.profile)


def _journal(args: argparse.Namespace, command: list[str], ring: Keyring) -> Journal:
    """The first chain of this server's that no other session is writing to."""
    folder = args.journal or os.path.join(keys.home(), "journal", "mcp")
    name = args.server_name or os.path.basename(command[0])
    chain = "mcp-" + (re.sub("[^a-z0-9]+", "-", name.lower())[:50].strip("-") or "server")
    for number in range(1, _MAX_CHAINS + 1):
        try:
            return Journal.open(folder, chain if number == 1 else f"{chain}-{number}", ring)
        except StorageError as error:
            if error.error_code != "journal_in_use":
                raise
    message = f"expected at most {_MAX_CHAINS} sessions of one server at a time, got more"
    raise StorageError(message, where=os.path.join(folder, chain), hint="name another journal: --journal DIR", code="journal_in_use")
