"""`gait mcp serve`: its options, checked before anything is opened or written."""

from __future__ import annotations

import argparse
import os
import re

from ..errors import InvalidInput, MissingDependency, UnsafeOperation
from ..service.api import TRUSTABLE, Rules
from ..service.engine import Outputs
from ..service.loaded import load
from ..service.log import say
from ..service.otlp import check_endpoint
from ..service.server import Settings, serve
from ..store import keys
from ..store.journal.records import is_chain
from ..store.journal.retention import Limits as Retention
from ..system import binding, files
from ..system.http_request import Admission, Limits
from . import mcp_mount, mcp_tools, shared

_MIN_TOKEN = 16
_MAX_WORKERS = 64
_MAX_SECONDS = 10 * 366 * 86400.0
_BODY_BYTES = 17 * 1024 * 1024  # a call of 16 MiB and what is around it
_WATCH_SECONDS = 1.0
_BACKLOG = 1024
_HOST_NAME = re.compile(r"\[[0-9a-f:.]+\]|[0-9a-z._-]+").fullmatch


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
    shared.approval_key_options(parser)
    shared.credential_options(parser)
    shared.skill_options(parser)
    shared.profile_option(parser)
    mcp_tools.context_options(parser)
    option("--trust-context", default="", metavar="NAMES", help="context fields that clients may set, such as identity,workspace")
    _journal_options(parser)
    option("--watch", action="store_true", help="reload the policy when its file changes (SIGHUP always does)")
    option("--grace", type=float, default=10, metavar="SECONDS", help="how long requests may take to finish at the end (default 10)")
    option("--max-connections", type=int, default=512, metavar="N", help="more are told 503 (default 512)")
    option("--workers", type=int, default=1, metavar="N", help="processes on the one socket (POSIX)")
    option("--http-verdict-status", choices=("plain", "strict"), default="plain", help="strict: 403 block, 428 approval, 409 dry run")
    _output_options(parser)
    mcp_mount.add_options(parser)


def _journal_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--journal", metavar="DIR", help="where decisions are recorded (default $GAIT_HOME/journal/serve)")
    option("--chain", default="serve", metavar="NAME", help="this server's chain there; workers add -1, -2 (default serve)")
    option("--durability", choices=("process", "power"), default="process", help="power waits for the disk")
    option("--keep-days", type=float, default=0, metavar="N", help="remove journal segments older than this (default: keep)")
    option("--keep-bytes", type=int, default=0, metavar="N", help="remove the oldest segments beyond this size (default: keep)")
    option("--keep-segments", type=int, default=0, metavar="N", help="remove the oldest segments beyond this number (default: keep)")
    shared.capture_option(parser)
    option("--heartbeat", type=float, default=60, metavar="SECONDS", help="how often a signed head is written (default 60)")


def _output_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--trace-dir", metavar="DIR", help="also write each trace to a file here")
    option("--allow-client-artifact-paths", action="append", default=[], metavar="DIR", help="clients may have their trace and runpack written below this folder")
    option("--runpack-dir", default="", metavar="DIR", help="where the runpacks go that clients ask for with emit_runpack")
    option("--export-log-out", default="", metavar="FILE", help="append one SIEM line (JSONL) for each decision")
    option("--export-otel-out", default="", metavar="FILE", help="append one OTLP/JSON log record for each decision")
    option("--otlp-endpoint", default="", metavar="URL", help="post OTLP/JSON here in the background; https, or this host")
    option("--access-log", default="", metavar="FILE", help="append one JSON line for each request")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; exit code 0 after an orderly end, 6 for a policy or option that is not acceptable."""
    if args.policy == "-":
        raise _usage("--policy", "a server reads its policy again, so it cannot come from standard input")
    shared.check_profile(args)
    load(args.policy, args.profile)
    settings = _with_key(args, _settings(args))
    if args.workers == 1:
        return serve(settings)
    return _workers(args, settings)


def _settings(args: argparse.Namespace) -> Settings:
    """The settings without a key: nothing is written yet."""
    if args.workers != 1 and not (1 < args.workers <= _MAX_WORKERS and hasattr(os, "fork")):
        raise _usage("--workers", f"must be 1 to {_MAX_WORKERS}, and 1 where there is no fork; got {args.workers}")
    if not is_chain(args.chain) or len(args.chain) > 60:
        raise _usage("--chain", "must be 1 to 60 characters of a-z, 0-9 and -")
    context = mcp_tools.context(args)
    return Settings(
        listen=args.listen,
        policy_path=args.policy,
        ring=None,  # type: ignore[arg-type]
        profile=args.profile,
        outside=shared.lasting_allowances(args),
        journal_dir=args.journal or os.path.join(keys.home(), "journal", "serve"),
        chain=args.chain,
        rules=Rules(context, _trusted(args), args.http_verdict_status == "strict", bool(args.runpack_dir)),
        admission=_admission(args),
        limits=Limits(body_bytes=_BODY_BYTES, connections=_at_least(1, args.max_connections, "--max-connections")),
        retention=_retention(args),
        durability=args.durability,
        may_wait=shared.may_wait(args),
        heartbeat_seconds=_at_least(0.01, args.heartbeat, "--heartbeat"),
        watch_seconds=_WATCH_SECONDS if args.watch else 0.0,
        grace_seconds=_at_least(0, args.grace, "--grace"),
        outputs=_outputs(args),
        otlp_endpoint=args.otlp_endpoint,
        access_log=args.access_log,
        tls_files=_tls_files(args),
        mount=mcp_mount.mount_of(args, context),
    )


def _with_key(args: argparse.Namespace, settings: Settings) -> Settings:
    ring, warnings = shared.signing_keys(args)
    for warning in warnings:
        say("warning", warning=warning)
    for folder in (args.trace_dir, args.runpack_dir):
        if folder:
            files.private_directory(folder)
    return settings._replace(ring=ring)


def _usage(where: str, message: str) -> InvalidInput:
    return InvalidInput(message, where=where, hint="see gait mcp serve --help", code="invalid_usage")


def _at_least(least: float, value, name: str):  # type: ignore[no-untyped-def]
    """The number; not NaN, and finite: threads wait for so long."""
    if least <= value <= _MAX_SECONDS:
        return value
    raise _usage(name, f"must be {least:g} or more, and no more than {_MAX_SECONDS:.0f}; got {value}")


def _retention(args: argparse.Namespace) -> Retention:
    seconds = _at_least(0, args.keep_days * 86400, "--keep-days")
    if args.keep_bytes < 0 or args.keep_segments < 0:
        raise _usage("--keep-bytes, --keep-segments", "must be 0 (no limit) or more")
    return Retention(keep_segments=args.keep_segments, keep_bytes=args.keep_bytes, keep_seconds=seconds)


def _outputs(args: argparse.Namespace) -> Outputs:
    if args.otlp_endpoint:
        check_endpoint(args.otlp_endpoint)
    for folder in args.allow_client_artifact_paths:
        if not os.path.isabs(folder) or not os.path.isdir(folder) or os.open not in os.supports_dir_fd:
            raise _usage("--allow-client-artifact-paths", "must be the absolute path of a folder that is there, on a POSIX system")
    trace_dir = os.path.abspath(args.trace_dir) if args.trace_dir else ""
    runpack_dir = os.path.abspath(args.runpack_dir) if args.runpack_dir else ""
    client_dirs = tuple(args.allow_client_artifact_paths)
    return Outputs(trace_dir, args.export_log_out, args.export_otel_out, client_dirs, runpack_dir, capture=args.capture)


def _trusted(args: argparse.Namespace) -> frozenset[str]:
    names = frozenset(name.strip() for name in args.trust_context.split(",") if name.strip())
    if names - TRUSTABLE:
        raise _usage("--trust-context", f"must be some of {', '.join(sorted(TRUSTABLE))}; got {', '.join(sorted(names - TRUSTABLE))}")
    return names


def _tls_files(args: argparse.Namespace) -> tuple[str, str] | None:
    if bool(args.tls_cert) != bool(args.tls_key):
        raise _usage("--tls-cert, --tls-key", "go together")
    if not args.tls_cert:
        return None
    from ..system.channel import tls_context

    tls_context(args.tls_cert, args.tls_key)
    return args.tls_cert, args.tls_key


def _admission(args: argparse.Namespace) -> Admission:
    address = binding.read_address(args.listen)
    token = _token(args.auth_token_env) if args.auth_token_env else None
    names = {name.lower() for name in args.allow_host}
    if not all(map(_HOST_NAME, names)):
        raise _usage("--allow-host", "must be a name or address as in a Host field, without a port; IPv6 in brackets")
    if address.host and not binding.is_loopback(address.host):
        _check_non_loopback(args, token)
    if address.host:
        names.add(f"[{address.host}]".lower() if ":" in address.host else address.host.lower())
    return Admission(Admission().hosts | names, token=token)


def _check_non_loopback(args: argparse.Namespace, token: bytes | None) -> None:
    if not (args.allow_non_loopback and token):
        message = "other hosts could reach this address: it needs --allow-non-loopback and --auth-token-env NAME"
        raise UnsafeOperation(message, where="--listen", hint="listen on 127.0.0.1 or unix:/path", code="non_loopback_refused")
    if not args.tls_cert:
        say("warning", warning="without --tls-cert, the token and every call cross the network in the clear")


def _token(variable: str) -> bytes:
    token = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    if not token:
        raise MissingDependency("expected a bearer token in this environment variable, got none", where="--auth-token-env", code="token_missing")
    if len(token) < _MIN_TOKEN or not all(0x20 < byte < 0x7F for byte in token):
        raise _usage("--auth-token-env", f"expected a bearer token of {_MIN_TOKEN} or more ASCII characters without spaces")
    return token


def _workers(args: argparse.Namespace, settings: Settings) -> int:
    from ..service import workers

    bound = binding.bind(binding.read_address(args.listen), _BACKLOG)
    try:
        return workers.run(args.workers, bound.socket, lambda number, sock: serve(settings._replace(chain=f"{args.chain}-{number}"), sock))
    finally:
        binding.release(bound)
