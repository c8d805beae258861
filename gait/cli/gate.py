"""`gait gate eval`: one IntentRequest in, one signed decision out."""

from __future__ import annotations

import argparse

from . import shared
from .decide import decide, decision_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb and its options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    evaluate = shared.verb(
        verbs, "eval", "decide an intent and sign the decision", "gait gate eval --policy policy.yaml --intent intent.json --json"
    )
    shared.policy_option(evaluate)
    evaluate.add_argument("--intent", required=True, metavar="FILE", help="an IntentRequest; - is standard input")
    decision_options(evaluate)


def run(args: argparse.Namespace) -> int:
    """Decide; the exit code is the verdict's."""
    from ..judge import MAX_BYTES, read

    shared.one_standard_input(args.policy, args.intent)
    data = shared.read_input(args.intent, MAX_BYTES, "intent")
    return decide(args, read(data, shared.source_name(args.intent), run_id=args.run_id))
