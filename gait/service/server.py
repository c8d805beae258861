"""The process of `gait mcp serve`: it opens, proves itself, serves until a signal, and closes in order.

Invariant: no request is answered before the self-test has passed and `armed` is in the journal.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from ..errors import GaitError
from ..formats.documents import NamedTuple
from ..signing.keys import Keyring
from ..store.journal.append import Journal
from ..store.journal.retention import Limits as Retention
from ..system import clock, files
from ..system.connection import Access
from ..system.http_request import Admission, Limits
from ..system.listener import Listener
from .api import Api, Rules, State
from .engine import Engine, Outputs
from .otlp import OtlpSender


class Settings(NamedTuple):
    """Everything the operator chose."""

    listen: str
    read_policy: Callable[[], bytes]
    policy_source: str
    policy_path: str
    ring: Keyring
    journal_dir: str
    chain: str
    rules: Rules
    admission: Admission = Admission()
    limits: Limits = Limits()
    retention: Retention = Retention()
    durability: str = "process"
    heartbeat_seconds: float = 60.0
    watch_seconds: float = 0.0
    grace_seconds: float = 10.0
    outputs: Outputs = Outputs()
    otlp_endpoint: str = ""
    access_log: str = ""
    tls_files: tuple[str, str] | None = None


def say(event: str, **details: object) -> None:
    """One JSON line on standard error: what happened to this process."""
    line = json.dumps({"time": clock.now_text(), "event": event, "pid": os.getpid(), **details})
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def serve(settings: Settings, sock: socket.socket | None = None) -> int:
    """Serve until SIGTERM or SIGINT: exit code 0 after an orderly end.  GaitError: it could not start."""
    gc.enable()
    otlp = OtlpSender(settings.otlp_endpoint) if settings.otlp_endpoint else None
    outputs = settings.outputs._replace(send_otlp=otlp.send if otlp else None)
    settings.read_policy()  # a missing file is told before a journal is made
    with _journal(settings) as journal:
        engine = Engine(settings.read_policy, settings.policy_source, journal, settings.ring, outputs)
        engine.self_test()
        running = _Running(settings, engine, otlp, sock)
        left = running.run()
    if otlp:
        otlp.close()
    say("stopped", unfinished=left)
    return 1 if left else 0


def _journal(settings: Settings) -> Journal:
    return Journal.open(
        settings.journal_dir, settings.chain, settings.ring, durability=settings.durability, limits=settings.retention
    )


class _Running:
    """The listener with the threads beside it."""

    def __init__(self, settings: Settings, engine: Engine, otlp: OtlpSender | None, sock: socket.socket | None) -> None:
        self._settings = settings
        self._engine = engine
        self._stopped = threading.Event()
        self._reload = threading.Event()
        dropped = (lambda: otlp.dropped) if otlp else (lambda: 0)
        state = State(lambda: self._listener.in_flight, lambda: self._listener.is_stopping, dropped)
        self._listener = Listener(
            sock or settings.listen,
            Api(engine, settings.rules, state).handle,
            on_refusal=self._refused,
            access_log=_access_log(settings.access_log),
            admission=settings.admission,
            limits=settings.limits,
            tls=_tls(settings.tls_files),
        )

    def run(self) -> int:
        """Arm, serve, and return how many handlers were still at work after the grace."""
        policy = self._engine.loaded.compiled.policy
        details = {"policy_digest": policy.digest, "heartbeat_seconds": int(self._settings.heartbeat_seconds), "self_test": "passed"}
        self._engine.journal.event("armed", details)
        threads = [self._thread("heartbeat", self._beat), self._thread("reload", self._watch)]
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._reload.set())
        say("listening", address=self._listener.address, policy_digest=policy.digest, rules=len(policy.rules), chain=self._settings.chain)
        left = self._listener.serve()
        self._stopped.set()
        self._reload.set()
        for thread in threads:
            thread.join()
        return left

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"gait-{name}", daemon=True)
        thread.start()
        return thread

    def _stop(self, *_: object) -> None:
        if self._listener.is_stopping:
            os._exit(1)
        self._listener.stop(self._settings.grace_seconds)

    def _beat(self) -> None:
        while not self._stopped.wait(self._settings.heartbeat_seconds):
            self._report(self._engine.journal.heartbeat, "heartbeat_failed")

    def _watch(self) -> None:
        seen = _stamp(self._settings.policy_path)
        while not self._stopped.is_set():
            asked = self._reload.wait(self._settings.watch_seconds or None)
            self._reload.clear()
            stamp = _stamp(self._settings.policy_path)
            if self._stopped.is_set() or not (asked or stamp != seen):
                continue
            seen = stamp
            self._report(self._reload_policy, "policy_reload_failed")

    def _reload_policy(self) -> None:
        if self._engine.reload():
            say("policy_reloaded", policy_digest=self._engine.loaded.compiled.policy.digest)
        else:
            say("policy_reload_failed", error=self._engine.reload_error)

    def _report(self, step: Callable[[], object], event: str) -> None:
        try:
            step()
        except GaitError as error:
            self._engine.metrics.failed(error.error_code)
            say(event, error=str(error))

    def _refused(self, error: GaitError, peer: str) -> None:
        self._engine.metrics.failed(error.error_code)
        if error.http_status == 500:
            cause = error.__cause__
            say("internal_failure", peer=peer, cause=type(cause).__name__ if cause else "")


def _stamp(path: str) -> tuple[int, int, int]:
    """What changes when a file is replaced or written; zeros when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _access_log(path: str) -> Callable[[Access], None] | None:
    if not path:
        return None

    def write(access: Access) -> None:
        line = json.dumps({"time": clock.now_text(), **access._asdict(), "seconds": round(access.seconds, 6)})
        try:
            files.append_line(path, line)
        except GaitError as error:
            say("access_log_failed", error=str(error))

    return write


def _tls(tls_files: tuple[str, str] | None):  # type: ignore[no-untyped-def]
    if tls_files is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*tls_files)
    except (OSError, ssl.SSLError) as error:
        from ..errors import InvalidInput

        raise InvalidInput(f"the certificate or key cannot be used: {error}", where="--tls-cert", code="tls_unusable") from error
    return context
