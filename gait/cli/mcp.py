"""`gait mcp proxy` (also `bridge`): one framework's tool call in, one signed decision out.  `gait mcp serve`: many."""

from __future__ import annotations

import argparse

from . import shared
from .decide import decide, decision_options

_EXAMPLE = "gait mcp proxy --policy policy.yaml --call call.json --adapter openai --json"
_WRAP = "gait mcp wrap --policy policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /work"
_LOCK = "gait mcp lock --server-name files -- npx -y @modelcontextprotocol/server-filesystem /work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    for name, summary in (("proxy", "decide a tool call and sign the decision"), ("bridge", "the same as proxy")):
        proxy = shared.verb(verbs, name, summary, _EXAMPLE.replace("proxy", name))
        shared.policy_option(proxy)
        proxy.add_argument("--call", required=True, metavar="FILE", help="the tool call; - is standard input")
        shared.adapter_options(proxy)
        decision_options(proxy)
    serve = shared.verb(verbs, "serve", "decide tool calls over HTTP until a signal", "gait mcp serve --policy policy.yaml --watch")
    shared.policy_option(serve)
    serve.later = _serve_options  # type: ignore[attr-defined]
    wrap = shared.bare_verb(verbs, "wrap", "start an MCP server over stdio and gate its tool calls", _WRAP)
    shared.policy_option(wrap)
    wrap.later = _wrap_options  # type: ignore[attr-defined]
    lock = shared.verb(verbs, "lock", "pin a server's tool definitions, or say what has changed", _LOCK)
    lock.later = _lock_options  # type: ignore[attr-defined]


def _serve_options(parser: argparse.ArgumentParser) -> None:
    from . import serve

    serve.add_options(parser)


def _wrap_options(parser: argparse.ArgumentParser) -> None:
    from . import mcp_wrap

    mcp_wrap.add_options(parser)


def _lock_options(parser: argparse.ArgumentParser) -> None:
    from . import mcp_lock

    mcp_lock.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Decide; the exit code is the verdict's.  Serve until a signal."""
    if args.verb == "serve":
        from . import serve

        return serve.run(args)
    if args.verb == "wrap":
        from . import mcp_wrap

        return mcp_wrap.run(args)
    if args.verb == "lock":
        from . import mcp_lock

        return mcp_lock.run(args)
    from ..judge import MAX_BYTES, read

    shared.one_standard_input(args.policy, args.call)
    data = shared.read_input(args.call, MAX_BYTES, "tool call")
    return decide(args, read(data, shared.source_name(args.call), args.adapter, shared.defaults(args), args.run_id))
