"""What every quickstart plays: a host's one call of `tool.write`, judged by Gait; the tool, which writes a file, runs only on allow.

Prints framework=, scenario=, verdict=, executed=, trace_path=, executor_output=, one a line, and writes
gait-out/integrations/<framework>/{intent,trace,executor}_<scenario>.json in the working directory.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from gait import __version__  # noqa: E402
from gait.hosts import hook  # noqa: E402
from gait.hosts.guard import Gate, Ruling  # noqa: E402

TOOL = "tool.write"
SCENARIOS = ("allow", "block", "require_approval")
Arguments = dict[str, object]
Write = Callable[..., str]
# The gate, the tool and the call's arguments -> what the host's model is told.
Through = Callable[[Gate, Write, Arguments], str]


class Watched(Gate):
    """A gate that keeps what it said last."""

    ruling: Ruling | None = None

    def judge(self, framework: str, payload: object, *, follow: bool = False) -> Ruling:
        self.ruling = super().judge(framework, payload, follow=follow)
        return self.ruling


def play(framework: str, through: Through, arguments: list[str], *, policies: str = HERE, host: str = "", identity: str = "") -> int:
    """Run one scenario; 0 when the verdict is the scenario's and the file is there on allow only.

    `host` names what executes; `identity` is who calls, the framework unless given.
    """
    parser = argparse.ArgumentParser(description="One write through the gate.", allow_abbrev=False)
    parser.add_argument("--scenario", choices=SCENARIOS, required=True)
    scenario = parser.parse_args(arguments).scenario
    folder = os.path.join(os.getcwd(), "gait-out", "integrations", framework)
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, f"written_{scenario}.txt")
    if os.path.lexists(target):
        os.unlink(target)
    skill = {"skill_name": f"gait-{framework}", "skill_version": __version__, "source": "registry", "publisher": "gait"}
    gate = Watched(os.path.join(policies, f"policy_{scenario}.yaml"), journal=os.path.join(folder, "journal"), identity=identity or framework, provenance=skill)
    told = through(gate, write, {"path": target, "content": "hello"})
    executed = os.path.lexists(target)
    output = target if executed else ""
    paths = {name: os.path.join(folder, f"{name}_{scenario}.json") for name in ("intent", "trace", "executor")}
    judged = gate.ruling.judged if gate.ruling is not None else None
    dump(paths["intent"], judged.intent.to_value() if judged and judged.intent else None)
    dump(paths["trace"], judged.record if judged else None)
    dump(paths["executor"], {"executed": executed, "host": host or "a plain function", "output": output, "told": told})
    verdict = judged.decision.verdict if judged else "none"
    shown = {"framework": framework, "scenario": scenario, "verdict": verdict, "executed": str(executed).lower()}
    for name, text in {**shown, "trace_path": paths["trace"], "executor_output": output}.items():
        print(f"{name}={text}")
    return 0 if verdict == scenario and executed is (scenario == "allow") else 1


def write(path: str, content: str) -> str:
    """The tool: write a file."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    return f"wrote {path}"


def plain(framework: str, payload: Callable[[Arguments], Arguments]) -> Through:
    """A host that is a few lines of Python: its framework's payload, judged as the framework's own would be."""

    def through(gate: Gate, tool: Write, arguments: Arguments) -> str:
        return gate.call(framework, payload(arguments), lambda judged: tool(**judged), lambda ruling: ruling.reason)

    return through


def hooked(host: str, payload: Callable[[Arguments], Arguments]) -> Through:
    """A host with a hook: it gets the hook's answer, and runs the tool when that is none, or no block."""

    def through(gate: Gate, tool: Write, arguments: Arguments) -> str:
        event = payload(arguments)
        ruling = gate.judge(hook.HOSTS[host].adapter, event)
        answer = hook.answer(hook.HOSTS[host], event, ruling.value) if ruling.judged else ruling.reason
        if answer and json.loads(answer).get("block") is not False:
            return answer
        return tool(**ruling.arguments)

    return through


def version_of(package: str) -> str:
    """The framework and its version where it is installed, otherwise empty."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def dump(path: str, value: object) -> None:
    """Write a document."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write("\n")
