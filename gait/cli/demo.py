"""`gait demo`: three tool calls of a toy agent, decided, executed or not, recorded, signed and verified, offline.

Invariant: nothing here pretends.  The calls go the way of every call, the tools change real files, and the run that is
verified at the end is the one on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..errors import GaitError, InvalidInput, StorageError
from ..formats.documents import TYPE_CHECKING
from ..judge import Call, judge, signer
from . import shared
from .demo_shop import STEPS, WORKSPACE, Shop, changes

if TYPE_CHECKING:
    from typing import BinaryIO

    from ..gate.matching import CompiledPolicy
    from ..judge import Judged
    from ..runpack.pack import Packed, Recorded
    from ..signing.keys import Key, Keyring
    from ..store.runs import Saved, Scratch
    from .demo_shop import Effect, Step

RUN_ID = "run_demo"
_RUNTIME = "gait-demo"  # by which a run of the demo knows the run before it
_CONTEXT = {"identity": "toy-agent", "workspace": WORKSPACE, "risk_class": "high"}
# In words: the first of these that the engine gave is shown.
_WHY = {
    "endpoint_path_not_allowlisted": "this path leaves /sandbox",
    "money_leaves_the_shop": "a person must say yes first",
    "matched_rule_files_in_sandbox": "this path is inside /sandbox",
}
_NEXT = (
    (f"verify {RUN_ID}", "check the evidence"),
    (f"regress bootstrap --from {RUN_ID}", "make it a test"),
    (f"guard pack --run {RUN_ID}", "pack it for an auditor"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = "Example: gait demo"
    parser.add_argument("--policy", metavar="FILE", help="decide the calls by this policy (default: the demo's own)")
    shared.common(parser)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the run on the disk verifies."""
    from ..store import keys

    compiled, policy_path = _policy(args.policy)
    ring = keys.signing_keyring("dev").ring
    _say(args, _title(policy_path, bool(args.policy)))
    recorded, calls = _calls(args, compiled, ring.active)
    saved = _save(recorded, ring.active)
    _say(args, ["", *shared.rows([("runpack", f"{_short(saved.path)}: {len(calls)} calls, signed")])])
    _verify(ring)
    ok = shared.colored("ok", "verify=ok", sys.stdout)
    _say(args, [f"{ok}  every digest and the signature were checked, from the disk", saved.packed.footer, *_next()])
    if args.json:
        shared.emit(args, _value(saved, policy_path, calls), [])
    return 0


def _say(args: argparse.Namespace, lines: list[str]) -> None:
    """Print what is known so far, at once."""
    if not args.json and sys.stdout is not None:
        shared.write("\n".join(lines), sys.stdout)
        sys.stdout.flush()


def _title(policy_path: str, own: bool) -> list[str]:
    whose = "yours" if own else "two rules; the rest is blocked"
    return [
        "A toy agent makes three tool calls. Gait decides each one before it runs.",
        "Offline. /sandbox is a temporary folder; the tools and the files are real.",
        "",
        *shared.rows([("policy", f"{_short(shared.source_name(policy_path))}: {whose}")]),
    ]


# --- the policy


def _policy(path: str | None) -> tuple[CompiledPolicy, str]:
    """The policy that decides, and where it is: the demo's own is written where it can be read and copied."""
    from ..gate import policy
    from ..gate.matching import compile_policy
    from ..store.keys import home
    from ..system import files
    from .policy import template

    if path is not None:
        return shared.read_policy(path), path
    data = template("demo")
    folder = os.path.join(home(), "demo")
    files.private_directory(folder)
    path = os.path.join(folder, "policy.yaml")
    files.write_atomic(path, data)
    return compile_policy(policy.loads(data, path)), path


def own_policy(policy_digest: str) -> bytes | None:
    """The text of the demo's policy if this is its digest: a regression set made of the demo's run begins with it."""
    from ..gate import policy
    from .policy import template

    data = template("demo")
    return data if policy.loads(data, "demo").digest == policy_digest else None


# --- the calls


def _calls(args: argparse.Namespace, compiled: CompiledPolicy, key: Key) -> tuple[list[Recorded], list[dict[str, object]]]:
    """The three calls, one after the other, in a folder that is gone afterwards."""
    from tempfile import TemporaryDirectory

    recorded, calls = [], []
    try:
        with TemporaryDirectory(prefix="gait-demo-") as root:
            shop = Shop(root)
            for number, step in enumerate(STEPS, 1):
                _say(args, ["", f"{number}  {step.name}  {step.about}"])
                before = shop.state()
                judged, trace_path = _judge(compiled, step, key)
                _say(args, [_verdict_line(judged)])
                if judged.decision.verdict == "allow":
                    shop.run(step)
                effect = changes(before, shop.state())
                _say(args, [_effect_line(step, judged, effect, step.watched in before)])
                recorded.append(_recorded(judged, effect))
                calls.append(_call_value(judged, trace_path, effect))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"cannot use a temporary folder: {error.strerror}", where=error.filename or "", hint="set TMPDIR") from error
    return recorded, calls


def _judge(compiled: CompiledPolicy, step: Step, key: Key) -> tuple[Judged, str]:
    """The decision, once its trace is on the disk."""
    from ..store import traces

    value = {"name": step.name, "arguments": step.arguments}
    judged = judge(compiled, Call(json.dumps(value).encode(), value, "demo", "mcp", _CONTEXT, RUN_ID), signer(key))
    return judged, traces.save(judged.record)


def _recorded(judged: Judged, effect: Effect) -> Recorded:
    from ..formats import jcs
    from ..runpack.pack import Recorded
    from ..runpack.record import decision_value, intent_value

    intent = judged.intent
    if intent is None:
        raise InvalidInput("expected calls with a normal form, got one without", where="demo")
    # No times: a run of the demo has the same digests on every day.
    about = {"intent": intent_value(intent), "intent_digest": intent.intent_digest}
    about["decision"] = decision_value(judged.decision, str(judged.record["trace_id"]))
    if judged.decision.verdict != "allow":
        return Recorded(intent.tool_name, intent.args_digest, status="not_executed", **about)  # type: ignore[arg-type]
    return Recorded(intent.tool_name, intent.args_digest, status="ok", result=effect, result_digest=jcs.digest(effect), **about)  # type: ignore[arg-type]


# --- the run


def _save(recorded: list[Recorded], key: Key) -> Saved:
    """The pack, in place of an earlier run of the demo and of nothing else."""
    from ..runpack.pack import Head, Recorder
    from ..store import runs

    def make(out: BinaryIO, scratch: Scratch) -> Packed:
        recorder = Recorder(Head(RUN_ID, env={"runtime": _RUNTIME}), scratch)
        for call in recorded:
            recorder.add(call)
        return recorder.finish(out, key)

    path = runs.path_of(RUN_ID)
    try:
        return runs.save(make, path if _is_own(path) else "")
    except StorageError as error:
        if error.error_code == "file_exists":
            error.hint = "that run is not the demo's: move it away"
        raise


def _is_own(path: str) -> bool:
    from ..runpack.verify import Audit
    from ..store import runs

    if not os.path.lexists(path):
        return False
    with runs.open_pack(path) as file:
        env = (Audit(file).run or {}).get("env")
    return isinstance(env, dict) and env.get("runtime") == _RUNTIME


def _verify(ring: Keyring) -> None:
    """VerificationFailed unless the run that has this name on the disk is whole and signed."""
    from . import packs

    with packs.audited(RUN_ID, ring, require_signature=True) as (audit, place):
        for _ in audit:
            pass
        audit.report().require(place.path)


# --- words


def _verdict_line(judged: Judged) -> str:
    decision = judged.decision
    why = next((words for code, words in _WHY.items() if code in decision.reason_codes), ", ".join(decision.reason_codes))
    rule = f"rule {decision.matched_rule}" if decision.matched_rule else "no rule"
    shown = shared.colored(decision.verdict, f"{decision.verdict:16}", sys.stdout)
    return f"   {shown}  {shared.plain(f'{rule}: {why}')}"


def _effect_line(step: Step, judged: Judged, effect: Effect, existed: bool) -> str:
    """What the files say.  GaitError: a call that was not allowed had an effect."""
    if judged.decision.verdict == "allow":
        return f"   {'executed':16}  " + (", ".join(f"{what} {name}" for what, names in effect.items() for name in names) or "nothing changed")
    if effect:
        raise GaitError(f"{step.name} was not allowed and had an effect", hint="report this")
    state = "has the same SHA-256 as before" if existed else "is not there"
    return f"   {'not executed':16}  {step.watched} {state}"


def _short(path: str) -> str:
    """The path with ~ for the user's own folder, safe for a terminal."""
    user = os.path.join(os.path.expanduser("~"), "")
    return shared.plain("~/" + path[len(user) :] if len(user) > 2 and path.startswith(user) else path)


def _next() -> list[str]:
    program = _program()
    width = max(len(words) for words, _ in _NEXT)
    return ["", "Next:", *(f"  {program} {words:{width}}  {about}" for words, about in _NEXT)]


def _program() -> str:
    """How this command was called, to be called again."""
    name = sys.argv[0] if sys.argv else ""
    if os.path.basename(name).endswith(("gait.py", ".pyz")):
        return shared.plain(f"python3 {'-I ' if sys.flags.isolated else ''}{name}")
    return "python3 -m gait" if os.path.basename(name) == "__main__.py" else "gait"


def _call_value(judged: Judged, trace_path: str, effect: Effect) -> dict[str, object]:
    return {**judged.to_value(trace_path), "executed": judged.decision.verdict == "allow", "effect": effect}


def _value(saved: Saved, policy_path: str, calls: list[dict[str, object]]) -> dict[str, object]:
    from . import packs

    program = _program()
    about = {**packs.saved_value(saved), "verify": "ok", "policy": policy_path, "calls": calls}
    return {**about, "next": [f"{program} {words}" for words, _ in _NEXT]}
