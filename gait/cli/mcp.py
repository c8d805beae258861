"""`gait mcp proxy` (also `bridge`): one framework's tool call in, one signed decision out."""

from __future__ import annotations

import argparse

from . import shared
from .decide import decide, decision_options

_EXAMPLE = "gait mcp proxy --policy policy.yaml --call call.json --adapter openai --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    for name, summary in (("proxy", "decide a tool call and sign the decision"), ("bridge", "the same as proxy")):
        proxy = shared.verb(verbs, name, summary, _EXAMPLE.replace("proxy", name))
        shared.policy_option(proxy)
        proxy.add_argument("--call", required=True, metavar="FILE", help="the tool call; - is standard input")
        shared.adapter_options(proxy)
        decision_options(proxy)


def run(args: argparse.Namespace) -> int:
    """Decide; the exit code is the verdict's."""
    from ..mcp.call import MAX_BYTES, Call

    shared.one_standard_input(args.policy, args.call)
    data = shared.read_input(args.call, MAX_BYTES, "tool call")
    return decide(args, Call(data, shared.source_name(args.call), args.adapter, shared.defaults(args), args.run_id))
