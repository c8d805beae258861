"""The options about a server's tools and the context of its calls, which `gait mcp wrap` and `gait mcp serve` share.

It loads nothing of HTTP: `wrap` is started with every session of a client.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from ..errors import InvalidInput
from ..formats.documents import TYPE_CHECKING
from ..gate.intent import RISK_CLASSES
from ..gate.reach import can_execute
from ..mcp import lock as locks
from ..mcp import unwrap as unwraps
from ..mcp.catalog import Catalog
from ..mcp.effects import Terms
from ..system import files
from . import shared

if TYPE_CHECKING:
    from ..gate.matching import CompiledPolicy


def context_options(parser: argparse.ArgumentParser) -> None:
    """What every call has, whatever it says itself."""
    for name, text in (("identity", "mcp-proxy"), ("workspace", "."), ("risk-class", "high")):
        parser.add_argument(f"--{name}", default=text, help=f"what every call has (default {text})")


def tool_options(parser: argparse.ArgumentParser) -> None:
    """What is known of a server's tools, and what the server may know."""
    option = parser.add_argument
    option("--lock", metavar="FILE", help="block tools whose definition is not the one in this lock (see gait mcp lock)")
    option("--filter-tools", action="store_true", help="hide tools that the policy can never allow")
    option("--config", metavar="FILE", help="the gateway's config: meta-tools to unwrap")
    option("--env-allow", action="append", metavar="NAMES", help="pass only these environment variables to a server (default: all)")


def context(args: argparse.Namespace) -> dict[str, str]:
    """The context of every call.  InvalidInput: one of the three is not acceptable."""
    given = {name: text.strip() for name, text in shared.defaults(args).items()}
    if given["risk_class"].lower() not in RISK_CLASSES:
        raise usage(args, "--risk-class", f"must be one of {', '.join(RISK_CLASSES)}; got {args.risk_class[:40]!r}")
    for name, text in given.items():
        if not text:
            raise usage(args, f"--{name}", "must be text that is not empty")
    return given


def terms_of(args: argparse.Namespace, server: str) -> Terms:
    """What holds for one server."""
    locks.server_name(server)
    if args.config is None:
        return Terms(server)
    return Terms(server, unwraps.loads(files.read_bounded(args.config, unwraps.MAX_BYTES, "gateway config"), args.config))


def catalog_of(args: argparse.Namespace, terms: Terms, policy: Callable[[], CompiledPolicy]) -> Catalog:
    """One server's catalog; `policy` gives the one that is in force when a list passes."""
    lock = None
    if args.lock is not None:
        lock = locks.loads(files.read_bounded(args.lock, locks.MAX_BYTES, "lock"), args.lock).of(terms.server)
    if not args.filter_tools:
        return Catalog(lock)
    meta_tools = {unwrap.tool for unwrap in terms.unwraps}  # the policy sees what is called inside
    prefix = f"{terms.server}__" if terms.server else ""
    return Catalog(lock, lambda name: name not in meta_tools and not can_execute(policy(), prefix + name))


def environment(args: argparse.Namespace, secrets: tuple[str, ...]) -> dict[str, str]:
    """A server's environment.  The variables with Gait's own secrets are never in it."""
    env = dict(os.environ)
    if args.env_allow is not None:
        names = {name.strip() for text in args.env_allow for name in text.split(",")}
        found = sorted(names.intersection(secrets))
        if found:
            raise usage(args, "--env-allow", f"{found[0]} holds a secret of Gait's, which the server must not have")
        env = {name: text for name, text in env.items() if name in names}
    return {name: text for name, text in env.items() if name not in secrets}


def usage(args: argparse.Namespace, where: str, message: str) -> InvalidInput:
    """An option is not acceptable."""
    return InvalidInput(message, where=where, hint=f"see gait mcp {args.verb} --help", code="invalid_usage")
