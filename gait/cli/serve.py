"""`gait mcp serve`: its options, checked before anything is opened."""

from __future__ import annotations

import argparse
import os
import re
import sys

from ..errors import InvalidInput, MissingDependency, UnsafeOperation
from ..service.api import TRUSTABLE, Rules
from ..service.engine import Outputs, defaults
from ..service.server import Settings, serve
from ..store import keys
from ..store.journal.retention import Limits as Retention
from ..system import binding, clock
from ..system.http_request import Admission, Limits
from . import shared

_MIN_TOKEN = 16
_MAX_WORKERS = 64
_BODY_BYTES = 17 * 1024 * 1024  # a call of 16 MiB and what is around it


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb `serve`."""
    option = parser.add_argument
    option("--listen", default="127.0.0.1:8787", metavar="ADDRESS", help="host:port or unix:/path (default 127.0.0.1:8787)")
    option("--allow-non-loopback", action="store_true", help="serve other hosts too; needs --auth-token-env")
    option("--auth-token-env", metavar="NAME", help="the environment variable that holds the bearer token")
    option("--allow-host", action="append", default=[], metavar="NAME", help="another Host name to answer to")
    option("--tls-cert", metavar="FILE", help="the server's certificate chain (PEM)")
    option("--tls-key", metavar="FILE", help="the certificate's private key (PEM)")
    shared.key_options(parser)
    for name, text in (("identity", "mcp-proxy"), ("workspace", "."), ("risk-class", "high")):
        option(f"--{name}", default=text, help=f"what every call has (default {text})")
    option("--trust-context", default="", metavar="NAMES", help="context fields that clients may set, such as identity,workspace")
    option("--journal", metavar="DIR", help="where decisions are recorded (default $GAIT_HOME/journal/serve)")
    option("--durability", choices=("process", "power"), default="process", help="power waits for the disk")
    option("--keep-days", type=float, default=0, metavar="N", help="remove journal segments older than this (default: keep)")
    option("--keep-bytes", type=int, default=0, metavar="N", help="remove the oldest segments beyond this size (default: keep)")
    option("--heartbeat", type=float, default=60, metavar="SECONDS", help="how often a signed head is written (default 60)")
    option("--watch", action="store_true", help="reload the policy when its file changes (SIGHUP always does)")
    option("--grace", type=float, default=10, metavar="SECONDS", help="how long requests may take to finish at the end (default 10)")
    option("--max-connections", type=int, default=512, metavar="N", help="more are told 503 (default 512)")
    option("--workers", type=int, default=1, metavar="N", help="processes on the one socket (POSIX)")
    option("--http-verdict-status", choices=("plain", "strict"), default="plain", help="strict: 403 block, 428 approval, 409 dry run")
    option("--trace-dir", metavar="DIR", help="also write each trace to a file here")
    option("--export-log-out", default="", metavar="FILE", help="append one SIEM line (JSONL) for each decision")
    option("--export-otel-out", default="", metavar="FILE", help="append one OTLP/JSON log record for each decision")
    option("--otlp-endpoint", default="", metavar="URL", help="post OTLP/JSON here in the background; https, or this host")
    option("--access-log", default="", metavar="FILE", help="append one JSON line for each request")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; exit code 0 after an orderly end, 6 for a policy or option that is not acceptable."""
    if args.policy == "-":
        raise InvalidInput("a server reads its policy again, so it cannot come from standard input", where="--policy")
    shared.read_policy(args.policy)
    settings = _settings(args)
    if args.workers == 1:
        return serve(settings)
    return _workers(args, settings)


def _settings(args: argparse.Namespace) -> Settings:
    from ..gate import policy

    ring, warnings = shared.signing_keys(args)
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if args.trace_dir:
        os.makedirs(args.trace_dir, mode=0o700, exist_ok=True)
    return Settings(
        listen=args.listen,
        read_policy=lambda: shared.read_input(args.policy, policy.MAX_BYTES, "policy"),
        policy_source=args.policy,
        policy_path=args.policy,
        ring=ring,
        journal_dir=args.journal or os.path.join(keys.home(), "journal", "serve"),
        chain=_chain(1),
        rules=Rules(defaults(args.identity, args.workspace, args.risk_class), _trusted(args), args.http_verdict_status == "strict"),
        admission=_admission(args),
        limits=Limits(body_bytes=_BODY_BYTES, connections=_positive(args.max_connections, "--max-connections")),
        retention=Retention(keep_seconds=args.keep_days * 86400, keep_bytes=args.keep_bytes),
        durability=args.durability,
        heartbeat_seconds=_positive(args.heartbeat, "--heartbeat"),
        watch_seconds=1.0 if args.watch else 0.0,
        grace_seconds=args.grace,
        outputs=Outputs(args.trace_dir or "", args.export_log_out, args.export_otel_out),
        otlp_endpoint=args.otlp_endpoint,
        access_log=args.access_log,
        tls_files=_tls_files(args),
    )


def _chain(worker: int) -> str:
    """A name that no other start or process has, in the order of time."""
    stamp = re.sub("[^0-9]", "", clock.now_text())[:14]
    return f"{stamp}-{os.urandom(3).hex()}-{worker}"


def _positive(value, name: str):  # type: ignore[no-untyped-def]
    if not value > 0:
        raise InvalidInput(f"must be more than 0; got {value}", where=name, code="invalid_usage")
    return value


def _trusted(args: argparse.Namespace) -> frozenset[str]:
    names = frozenset(name.strip() for name in args.trust_context.split(",") if name.strip())
    if names - TRUSTABLE:
        message = f"must be some of {', '.join(sorted(TRUSTABLE))}; got {', '.join(sorted(names - TRUSTABLE))}"
        raise InvalidInput(message, where="--trust-context", code="invalid_usage")
    return names


def _tls_files(args: argparse.Namespace) -> tuple[str, str] | None:
    if bool(args.tls_cert) != bool(args.tls_key):
        raise InvalidInput("--tls-cert and --tls-key go together", where="gait mcp serve", code="invalid_usage")
    return (args.tls_cert, args.tls_key) if args.tls_cert else None


def _admission(args: argparse.Namespace) -> Admission:
    address = binding.read_address(args.listen)
    token = _token(args.auth_token_env) if args.auth_token_env else None
    hosts = Admission().hosts | {name.lower() for name in args.allow_host}
    if address.host and not binding.is_loopback(address.host):
        if not (args.allow_non_loopback and token):
            message = "other hosts could reach this address: it needs --allow-non-loopback and --auth-token-env NAME"
            raise UnsafeOperation(message, where="--listen", hint="listen on 127.0.0.1 or unix:/path", code="non_loopback_refused")
        hosts |= {address.host.lower()}
    return Admission(hosts, token=token)


def _token(variable: str) -> bytes:
    token = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    if not token:
        raise MissingDependency("expected a bearer token in this environment variable, got none", where="--auth-token-env", code="token_missing")
    if len(token) < _MIN_TOKEN or not token.isascii() or token != token.strip():
        raise InvalidInput(f"expected a bearer token of {_MIN_TOKEN} or more ASCII characters", where="--auth-token-env")
    return token


def _workers(args: argparse.Namespace, settings: Settings) -> int:
    if not 1 < args.workers <= _MAX_WORKERS or not hasattr(os, "fork"):
        raise InvalidInput(f"must be 1 to {_MAX_WORKERS}, and 1 where there is no fork; got {args.workers}", where="--workers")
    from ..service import workers

    bound = binding.bind(binding.read_address(args.listen), 1024)
    try:
        return workers.run(args.workers, bound.socket, lambda number, sock: serve(settings._replace(chain=_chain(number)), sock))
    finally:
        binding.release(bound)
