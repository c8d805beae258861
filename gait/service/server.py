"""The process of `gait mcp serve`: it proves itself, opens, serves until a signal, and closes in order.

Invariants: nothing is bound or written before the policy, the keys and the engine are proven; no request is answered
before `armed` is in the journal.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType

from ..errors import GaitError, StorageError
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..signing.keys import Keyring
from ..store.journal.append import Journal
from ..store.journal.retention import Limits as Retention
from ..system import binding
from ..system.http_request import Admission, Limits, Refusal, Request
from ..system.http_response import Response
from ..system.listener import Listener
from .api import Api, Rules, State
from .engine import Engine, Outputs
from .ledger import Ledger
from .loaded import fingerprint, load, self_test
from .log import access_log, place_of, say
from .otlp import OtlpSender

if TYPE_CHECKING:
    import socket
    import ssl

    from ..judge import Outside

_TICK_SECONDS = 1.0


class Mount(NamedTuple):
    """Another surface of the same server, such as the MCP gateway: it answers every request whose path it claims."""

    claims: Callable[[str], bool]
    handle: Callable[[Request], Response]
    close: Callable[[], None]


class Settings(NamedTuple):
    """Everything the operator chose.  `mount(engine, is_stopping)` makes what is served beside the decision API."""

    listen: str
    policy_path: str
    ring: Keyring
    outside: Outside
    journal_dir: str
    chain: str
    rules: Rules
    admission: Admission = Admission()
    limits: Limits = Limits()
    retention: Retention = Retention()
    profile: str = "standard"
    durability: str = "process"
    heartbeat_seconds: float = 60.0
    watch_seconds: float = 0.0
    grace_seconds: float = 10.0
    outputs: Outputs = Outputs()
    otlp_endpoint: str = ""
    access_log: str = ""
    tls_files: tuple[str, str] | None = None
    mount: Callable[[Engine, Callable[[], bool]], Mount] | None = None
    may_wait: bool = False  # a decision, whatever the policy: for a package that is read, or for others that use up approvals


class Parts(NamedTuple):
    """What a running server is made of."""

    engine: Engine
    listener: Listener
    tls: ssl.SSLContext | None


def serve(settings: Settings, sock: socket.socket | None = None) -> int:
    """Serve until SIGTERM or SIGINT: exit code 0 after an orderly end.  GaitError: it could not start.

    With `sock`, this is one of several workers: the socket is the parent's, and so are the terminal's signals.
    """
    gc.enable()  # the command line turned it off: it lives too briefly otherwise
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it would end a server that is only starting
    loaded = load(settings.policy_path, settings.profile)
    self_test(loaded.compiled, settings.ring)
    tls = _tls(settings)
    bound = binding.Bound(sock) if sock else binding.bind(binding.read_address(settings.listen), _backlog(settings))
    otlp = OtlpSender(settings.otlp_endpoint) if settings.otlp_endpoint else None
    try:
        with _journal(settings) as journal:
            outputs = settings.outputs._replace(send_otlp=otlp.send if otlp else None)
            engine = Engine(settings.policy_path, loaded, Ledger(journal), outputs, settings.outside)
            mount = settings.mount(engine, lambda: listener.is_stopping) if settings.mount else None
            listener = _listener(settings, engine, bound.socket, otlp, tls, mount, is_shared=sock is not None)
            try:
                _Running(settings, Parts(engine, listener, tls), is_worker=sock is not None).run()
            finally:
                if mount:
                    mount.close()  # while the journal still takes its last records
    finally:
        binding.release(bound)
        if otlp:
            otlp.close()
    say("stopped", chain=settings.chain)
    return 0


def _backlog(settings: Settings) -> int:
    return min(max(settings.limits.connections, 128), 1024)


def _journal(settings: Settings) -> Journal:
    return Journal.open(
        settings.journal_dir, settings.chain, settings.ring, durability=settings.durability, limits=settings.retention
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_files is None:
        return None
    from ..system.channel import tls_context

    return tls_context(*settings.tls_files)


def _listener(
    settings: Settings, engine: Engine, sock: socket.socket, otlp: OtlpSender | None, tls: ssl.SSLContext | None, mount: Mount | None,
    is_shared: bool,
) -> Listener:
    def refused(error: GaitError, peer: str) -> None:
        engine.metrics.failed(error.error_code)
        if isinstance(error, Refusal):
            engine.refusals.record(error)
        if error.http_status == 500:
            say("internal_failure", peer=peer, error=error.message, **place_of(error.__cause__))

    state = State(
        in_flight=lambda: listener.in_flight,
        is_stopping=lambda: listener.is_stopping,
        otlp_dropped=lambda: otlp.dropped if otlp else 0,
    )
    api = Api(engine, settings.rules, state)
    listener = Listener(
        sock,
        (lambda request: mount.handle(request) if mount.claims(request.path) else api.handle(request)) if mount else api.handle,
        on_refusal=refused,
        access_log=access_log(settings.access_log),
        admission=settings.admission,
        limits=settings.limits,
        tls=tls,
        is_shared=is_shared,
        is_quick=api.is_quick if settings.durability == "process" and not (settings.may_wait or any(settings.outputs[:3])) else None,
    )
    return listener


class _Running:
    """The listener with the threads beside it."""

    def __init__(self, settings: Settings, parts: Parts, is_worker: bool) -> None:
        self._settings = settings
        self._engine, self._listener, self._tls = parts
        self._parent = os.getppid() if is_worker else 0
        self._stopped = threading.Event()
        # A signal handler may interrupt itself: SimpleQueue.put is made for that, Event.set would wait for its own lock.
        self._orders: SimpleQueue[str] = SimpleQueue()

    def run(self) -> None:
        """Arm, serve and close the threads.  A handler that does not end within the grace ends the process with 1."""
        self._take_signals()
        self._arm()
        self._orders.put("")  # the file may have changed since it was read
        threads = [_start("heartbeat", self._beat), _start("reload", self._watch)]
        left = self._listener.serve()
        self._stopped.set()
        self._orders.put("stop")
        if left:  # it may hold the journal's lock for ever
            say("unfinished", handlers=left)
            os._exit(1)
        for thread in threads:
            thread.join()
        self._engine.refusals.flush()

    def _arm(self) -> None:
        policy, seconds = self._engine.loaded.compiled.policy, self._settings.heartbeat_seconds
        interval: object = int(seconds) if seconds == int(seconds) else seconds
        self._engine.ledger.event("armed", {"policy_digest": policy.digest, "heartbeat_seconds": interval, "self_test": "passed"})
        address, rules, chain = self._listener.address, len(policy.rules), self._settings.chain
        say("listening", address=address, policy_digest=policy.digest, rules=rules, chain=chain)

    def _take_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._parent else self._stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._orders.put("reload"))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The second signal ends a server at once; a worker's parent does that itself, and others may signal the whole group."""
        if self._listener.is_stopping and not self._parent:
            os._exit(1)
        self._listener.stop(self._settings.grace_seconds)

    def _beat(self) -> None:
        """A heartbeat at each interval, and each second while the journal fails: that is what finds out when it no longer does."""
        interval = self._settings.heartbeat_seconds
        due = time.monotonic() + interval
        while not self._stopped.wait(min(_TICK_SECONDS, interval)):
            if self._parent and os.getppid() != self._parent:  # nobody is left who would restart or stop this worker
                self._listener.stop(self._settings.grace_seconds)
            if self._engine.ledger.problem or time.monotonic() >= due:
                due = time.monotonic() + interval
                self._heartbeat()

    def _heartbeat(self) -> None:
        try:
            self._engine.refusals.flush()
            self._engine.ledger.event("heartbeat", {})
        except StorageError as error:
            self._engine.metrics.failed(error.error_code)  # the ledger has said so

    def _watch(self) -> None:
        """Reload when asked, and when the file's bytes changed since the last try."""
        seen = self._engine.loaded.fingerprint
        while True:
            try:
                order = self._orders.get(timeout=self._settings.watch_seconds or None)
            except Empty:
                order = ""
            if self._stopped.is_set():
                return
            found = fingerprint(self._settings.policy_path)
            if (order or found != seen) and self._reload():
                seen = found
            if order:
                self._reload_certificate()

    def _reload(self) -> bool:
        """False: the journal failed, and not the policy; it is to be tried again."""
        try:
            self._engine.reload()
        except GaitError as error:
            self._engine.metrics.failed(error.error_code)
            say("policy_reload_failed", error=str(error), error_code=error.error_code, **place_of(error.__cause__))
            return self._engine.ledger.problem is None
        say("policy_reloaded", policy_digest=self._engine.loaded.compiled.policy.digest)
        return True

    def _reload_certificate(self) -> None:
        """Certificates live shorter than servers.  New connections get the new one."""
        if self._tls is None or self._settings.tls_files is None:
            return
        try:
            _tls(self._settings)  # the pair is proven before the one in use is touched
            self._tls.load_cert_chain(*self._settings.tls_files)
        except (GaitError, OSError) as error:
            say("certificate_reload_failed", error=str(error))
        else:
            say("certificate_reloaded")


def _start(name: str, target: object) -> threading.Thread:
    thread = threading.Thread(target=target, name=f"gait-{name}", daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread
