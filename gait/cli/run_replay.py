"""`gait run replay`: a run again with recorded results; with real tools only when that is asked for in three ways."""

from __future__ import annotations

import argparse
import os
import signal

from ..errors import InvalidInput, MissingDependency, UnsafeOperation
from ..formats.documents import TYPE_CHECKING, NamedTuple
from . import shared

if TYPE_CHECKING:
    from ..gate.matching import CompiledPolicy
    from ..judge import Outside, Sign
    from ..runpack.model import Step
    from ..runpack.replay import Replay
    from ..runpack.verify import Pack

_MAX_OUTPUT_BYTES = 16 * 1024 * 1024
_MISSING = 2  # as Gait v1.x
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


class _Tools(NamedTuple):
    """What real tools need: the commands that may run, and what decides and signs before each."""

    commands: dict[str, list[str]]
    policy: CompiledPolicy
    sign: Sign
    outside: Outside
    timeout: float


class _Ran(NamedTuple):
    """What became of one call: verdict, status, and whether its result is the recorded one (None: not known)."""

    number: int
    tool_name: str
    verdict: str
    status: str
    same: bool | None
    trace_path: str = ""


def add_arguments(verbs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the verb `replay`."""
    verb = shared.verb(verbs, "replay", "go through a run with its recorded results", "gait run replay run_demo")
    verb.add_argument("run", metavar="RUN", help="a run's id, or the path of its pack")
    verb.add_argument("--real-tools", action="store_true", help="run tools again; needs all of the following")
    verb.add_argument("--unsafe-real-tools", action="store_true", help="say that you know that this changes the world")
    verb.add_argument("--allow-tools", default="", metavar="A,B", help="the tools that may run; every other one is replayed from the record")
    verb.add_argument("--tool", action="append", default=[], metavar="NAME=COMMAND", help="the command of a tool, without a shell: arguments on its input, result on its output")
    verb.add_argument("--policy", metavar="FILE", help="decides each call again; only an allow runs")
    verb.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for each call (default 60)")
    shared.key_options(verb)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 2 when results are missing or differ; 8 when real tools are asked for without what they need."""
    from ..runpack.replay import replay
    from . import packs

    _check(args)
    with packs.loaded(args.run, packs.keys(args).ring) as pack:
        found = replay(pack.steps())
        ran = _run_tools(pack, _tools(args)) if args.real_tools else []
    different = sum(item.same is False or item.status not in ("ok", "not_executed") for item in ran)
    ok = not found.missing_total and not different
    value: dict[str, object] = {"ok": ok, "run_id": pack.manifest.run_id, "mode": "real" if args.real_tools else "stub"}
    value.update(found._asdict(), missing=[item.to_value() for item in found.missing])
    if args.real_tools:
        value.update(real=[item._asdict() for item in ran], different=different)
    shared.emit(args, value, _lines(found, ran))
    return 0 if ok else _MISSING


def _check(args: argparse.Namespace) -> None:
    given = args.unsafe_real_tools or args.allow_tools or args.tool or args.policy
    if not args.real_tools:
        if given:
            raise InvalidInput("expected --real-tools with options of real tools", where="gait run replay", code="invalid_usage")
        return
    if not (args.unsafe_real_tools and args.allow_tools and args.policy):
        message = "refused: real tools change the world again; expected --unsafe-real-tools, --allow-tools and --policy"
        raise UnsafeOperation(message, where="--real-tools", hint="leave --real-tools out to replay from the record", code="real_tools_refused")
    if not args.timeout > 0:
        raise InvalidInput("expected more than 0 seconds", where="--timeout", code="invalid_usage")


def _tools(args: argparse.Namespace) -> _Tools:
    from shlex import split

    from ..judge import signer
    from ..store import keys
    from ..store.allowances import Allowances

    allowed = {name.strip().lower() for name in args.allow_tools.split(",") if name.strip()}
    commands = {}
    for word in args.tool:
        name, _, command = word.partition("=")
        try:
            commands[name.lower()] = split(command)
        except ValueError as error:
            raise InvalidInput(f"expected NAME=COMMAND: {error}", where="--tool", code="invalid_usage") from error
        if not commands[name.lower()] or name.lower() not in allowed:
            raise InvalidInput(f"expected a command of a tool in --allow-tools, got {word[:80]!r}", where="--tool", code="invalid_usage")
    missing = sorted(allowed - set(commands))
    if missing:
        raise InvalidInput(f"expected --tool {missing[0][:80]}=COMMAND for each tool that may run", where="--allow-tools", code="invalid_usage")
    ring = shared.signing_keys(args).ring
    return _Tools(commands, shared.read_policy(args.policy), signer(ring.active), Allowances(keys.home(), lambda: ring), args.timeout)


def _run_tools(pack: Pack, tools: _Tools) -> list[_Ran]:
    return [_run_tool(step, tools) for step in pack.steps() if step.intent.tool_name in tools.commands]


def _run_tool(step: Step, tools: _Tools) -> _Ran:
    """Decide one call again, and run its tool on an allow, whose trace is on the disk before."""
    from ..formats import jcs
    from ..judge import Call, judge
    from ..store import traces

    intent = step.intent
    request = intent.request()
    if intent.args is None or intent.redactions or request is None:
        return _Ran(step.number, intent.tool_name, "", "args_not_captured", None)
    judged = judge(tools.policy, Call(jcs.dumps(request), request, f"step {step.number}"), tools.sign, tools.outside)
    path = traces.save(judged.record)
    verdict = judged.decision.verdict
    if verdict != "allow":
        return _Ran(step.number, intent.tool_name, verdict, "not_executed", None, path)
    status, digest = _execute(tools.commands[intent.tool_name], jcs.dumps(intent.args), tools.timeout)
    same = digest == step.result.result_digest if step.result and status == "ok" else None
    return _Ran(step.number, intent.tool_name, verdict, status, same, path)


def _execute(command: list[str], data: bytes, timeout: float) -> tuple[str, str]:
    """Run a command in a process group of its own: its status, and the digest of what it printed (JSON, else text)."""
    import subprocess
    from tempfile import TemporaryFile

    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with TemporaryFile() as given, TemporaryFile() as printed:
        given.write(data)
        given.seek(0)
        try:
            process = subprocess.Popen(command, stdin=given, stdout=printed, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        except (OSError, ValueError) as error:
            raise MissingDependency(f"cannot start the tool: {error}", where=command[0][:200], code="tool_missing") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return "timeout", ""
        finally:
            _end(process.pid)
            process.wait()
        printed.seek(0)
        output = printed.read(_MAX_OUTPUT_BYTES + 1)
    if code or len(output) > _MAX_OUTPUT_BYTES:
        return "error", ""
    return "ok", _digest(output)


def _end(group: int) -> None:
    """Leave nothing of the tool behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (OSError, AttributeError):
        pass  # all of it has ended


def _digest(output: bytes) -> str:
    from ..formats import jcs, strict_json

    try:
        return jcs.digest(strict_json.loads(output))
    except InvalidInput:
        return jcs.digest(output.decode("utf-8", "replace"))


def _lines(found: Replay, ran: list[_Ran]) -> list[str]:
    lines = [shared.plain(f"missing: step {item.number} {item.tool_name[:80]}: {item.reason}") for item in found.missing[:20]]
    lines += [f"missing: and {found.missing_total - 20} more"] if found.missing_total > 20 else []
    for item in ran:
        same = {None: "", True: "same result", False: "ANOTHER RESULT"}[item.same]
        lines.append(shared.plain(f"real: step {item.number} {item.tool_name[:80]}: {item.verdict or '-'} {item.status} {same}").rstrip())
    counts = f"{found.replayed} replayed, {found.not_executed} not executed, {found.missing_total} missing"
    return [*lines, f"{found.steps} steps: {counts}", f"digest  {found.digest}"]
