"""The MCP gateway's options of `gait mcp serve`, and the gateway made of them beside the decision API."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
from collections.abc import Callable, Mapping

from ..errors import InvalidInput, MissingDependency
from ..formats.documents import TYPE_CHECKING
from ..gate.matching import CompiledPolicy
from ..mcp import lock as locks
from ..mcp.effects import Terms
from ..service.engine import Engine
from ..service.server import Mount
from . import mcp_tools, shared
from .mcp_gate import EngineGate

if TYPE_CHECKING:
    from ..mcp.bridge import Command
    from ..mcp.http import Upstream
    from ..system.origin import Origin

_MAX_SECONDS = 86400.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what makes the server a gateway too."""
    option = parser.add_argument
    option("--upstream", action="append", default=[], metavar="[NAME=]URL", help="an MCP server over HTTP, gated at /mcp or /mcp/NAME")
    option("--upstream-command", action="append", default=[], metavar="[NAME=]COMMAND", help="an MCP server over stdio, gated there over HTTP")
    option("--upstream-auth-env", action="append", default=[], metavar="[NAME=]VAR", help="the variable with the upstream's token")
    option("--upstream-ca", default="", metavar="FILE", help="the authorities that may certify upstreams (default: the system's)")
    option("--upstream-timeout", type=float, default=300, metavar="SECONDS", help="how long an upstream may take to answer (default 300)")
    about = "a quiet call's stream of --upstream-command is closed after this, and the client comes back for the answer (default 0: never)"
    option("--close-after-silence", type=float, default=0.0, metavar="SECONDS", help=about)
    option("--allow-plain-upstream", action="store_true", help="let --upstream be http to other hosts")
    mcp_tools.tool_options(parser)


def mount_of(args: argparse.Namespace, defaults: Mapping[str, str]) -> Callable[[Engine, Callable[[], bool]], Mount] | None:
    """What makes the gateway, once there is an engine; None without upstreams.  InvalidInput: an option is not acceptable."""
    urls, commands = _named(args.upstream, "--upstream"), _named(args.upstream_command, "--upstream-command")
    tokens = _named(args.upstream_auth_env, "--upstream-auth-env")
    _check(args, urls, commands, tokens)
    if not urls and not commands:
        return None
    from ..mcp.http import ROOT, Gateway

    parts = _Parts(args, defaults, tokens)
    origins = {name: parts.origin(url) for name, url in urls.items()}
    words = {name: _words(text) for name, text in commands.items()}
    terms = {name: mcp_tools.terms_of(args, name) for name in (*urls, *commands)}
    for its in terms.values():
        mcp_tools.catalog_of(args, its, _no_policy)  # a lock that cannot be read is an error now, not later

    def make(engine: Engine, is_stopping: Callable[[], bool]) -> Mount:
        if words:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it is not told how a child ended
        upstreams = [parts.upstream(engine, terms[name], origin) for name, origin in origins.items()]
        bridges = [parts.bridge(engine, terms[name], command) for name, command in words.items()]
        gateway = Gateway([*upstreams, *bridges], is_stopping)
        return Mount(lambda path: path == ROOT or path.startswith(ROOT + "/"), gateway.handle, gateway.close)

    return make


class _Parts:
    """Makes each upstream of the options."""

    def __init__(self, args: argparse.Namespace, defaults: Mapping[str, str], tokens: Mapping[str, str]) -> None:
        self._args = args
        self._defaults = defaults
        self._authorizations = {name: _authorization(variable) for name, variable in tokens.items()}
        self._secrets = (*shared.secret_variables(args), *(name for name in (args.auth_token_env, *tokens.values()) if name))

    def origin(self, url: str) -> Origin:
        from ..system.origin import read_url

        return read_url(url, "--upstream", self._args.allow_plain_upstream)

    def upstream(self, engine: Engine, terms: Terms, origin: Origin) -> Upstream:
        from ..mcp.http import Upstream
        from ..system import http_client
        from ..system.origin import client_tls

        tls = client_tls(self._args.upstream_ca) if origin.is_tls else None
        client = http_client.Client(origin, http_client.Terms(answer_seconds=self._args.upstream_timeout), tls)
        catalog = mcp_tools.catalog_of(self._args, terms, lambda: engine.loaded.compiled)
        authorization = self._authorizations.get(terms.server, "")
        gate = EngineGate(engine, terms.server, self._defaults)
        return Upstream(terms.server, client, gate, catalog, terms, authorization, passes_authorization=not self._args.auth_token_env)

    def bridge(self, engine: Engine, terms: Terms, command: list[str]) -> Command:
        from ..mcp.bridge import Command

        catalog = mcp_tools.catalog_of(self._args, terms, lambda: engine.loaded.compiled)
        gate = EngineGate(engine, terms.server, self._defaults)
        env = mcp_tools.environment(self._args, self._secrets)
        return Command(
            terms.server, tuple(command), env, gate, catalog, terms, close_after_silence=self._args.close_after_silence
        )


def _named(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` or `VALUE`, by name; the empty name is that of the only upstream."""
    found: dict[str, str] = {}
    for text in texts:
        before, equals, after = text.partition("=")
        name, value = (before, after) if equals and locks.is_server_name(before) else ("", text)
        if name in found:
            raise _usage(option, f"expected each name once, got {name or 'one without a name'!r} twice")
        if not value.strip():
            raise _usage(option, "expected a value, got none")
        found[name] = value
    return found


def _check(args: argparse.Namespace, urls: Mapping[str, str], commands: Mapping[str, str], tokens: Mapping[str, str]) -> None:
    names = [*urls, *commands]
    if len(set(names)) != len(names) or ("" in names and len(names) > 1):
        raise _usage("--upstream, --upstream-command", "expected a name of its own for each upstream, as in NAME=URL, got two that share one")
    strange = [name for name in tokens if name not in urls]
    if strange:
        raise _usage("--upstream-auth-env", f"expected the name of an --upstream, got {strange[0]!r}")
    if commands and args.workers != 1:
        raise _usage("--upstream-command", "expected --workers 1: a session and its server live in one process")
    if not 0 <= args.close_after_silence <= _MAX_SECONDS:
        raise _usage("--close-after-silence", f"must be 0 to {_MAX_SECONDS:.0f} seconds")
    if not 0 < args.upstream_timeout <= _MAX_SECONDS:
        raise _usage("--upstream-timeout", f"must be up to {_MAX_SECONDS:.0f} seconds, and more than none")


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _usage("--upstream-command", f"expected words as in a shell, got {error}") from None
    if not words:
        raise _usage("--upstream-command", "expected a command, got none")
    return words


def _authorization(variable: str) -> str:
    """The Authorization field's value: a token alone is a bearer token."""
    token = os.environ.get(variable, "").strip()
    if not token:
        raise MissingDependency("expected the upstream's token in this variable, got none", where=f"--upstream-auth-env {variable}", code="token_missing")
    if not (token.isascii() and token.isprintable()):
        raise _usage("--upstream-auth-env", f"expected visible ASCII characters in {variable}, got others")
    return token if " " in token else f"Bearer {token}"


def _no_policy() -> CompiledPolicy:
    raise InvalidInput("the policy is not loaded yet")


def _usage(where: str, message: str) -> InvalidInput:
    return InvalidInput(message, where=where, hint="see gait mcp serve --help", code="invalid_usage")
