#!/usr/bin/env python3
"""One write through the gate, as an OpenClaw plugin would send it: `quickstart.py --scenario allow|block|require_approval`.

The executor writes a file and runs only on allow.  The intent, the trace and what the executor said go to
gait-out/integrations/openclaw/.  Prints framework=, scenario=, verdict=, executed=, trace_path=, executor_output=.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CODES = {"allow": 0, "block": 3, "require_approval": 4}
POLICY = """\
default_verdict: block
rules:
  - name: quickstart
    effect: %s
    match: {tool_names: [tool.write], endpoint_classes: [fs.write], skill_publishers: [gait], skill_sources: [registry]}
"""
PROVENANCE = {"skill_name": "gait-gate", "skill_version": "1.8.0", "source": "registry", "publisher": "gait"}


def main(arguments: list[str]) -> int:
    """Decide, execute when allowed, print; 0 when the verdict is the scenario's."""
    parser = argparse.ArgumentParser(description="One write through the gate.", allow_abbrev=False)
    parser.add_argument("--scenario", choices=tuple(CODES), required=True)
    scenario = parser.parse_args(arguments).scenario
    folder = os.path.join(os.getcwd(), "gait-out", "integrations", "openclaw")
    os.makedirs(folder, exist_ok=True)
    paths = {name: os.path.join(folder, f"{name}_{scenario}.json") for name in ("intent", "trace", "executor", "policy")}
    written = os.path.join(folder, f"written_{scenario}.txt")
    if os.path.lexists(written):
        os.unlink(written)
    call = {"toolName": "tool.write", "params": {"path": written, "content": "hello"}, "toolCallId": "quickstart"}
    intent = intent_of(call)
    dump(paths["intent"], intent)
    with open(paths["policy"], "w", encoding="utf-8") as file:
        file.write(POLICY % scenario)
    words = ["gate", "eval", "--policy", paths["policy"], "--intent", paths["intent"], "--trace-out", paths["trace"], "--json"]
    done = subprocess.run([sys.executable, "-I", os.path.join(ROOT, "gait.py"), *words], stdout=subprocess.PIPE)
    verdict = json.loads(done.stdout).get("verdict") if done.stdout else None
    executed, output = False, ""
    if done.returncode == 0 and verdict == "allow":
        with open(written, "w", encoding="utf-8") as file:
            file.write("hello")
        executed, output = True, written
    dump(paths["executor"], {"executed": executed, "output": output})
    shown = {"framework": "openclaw", "scenario": scenario, "verdict": verdict, "executed": str(executed).lower()}
    for name, text in {**shown, "trace_path": paths["trace"], "executor_output": output}.items():
        print(f"{name}={text}")
    return 0 if done.returncode == CODES[scenario] else 1


def intent_of(call: dict[str, object]) -> dict[str, object]:
    """The call as an IntentRequest, with the skill it comes from."""
    target = {"kind": "path", "value": call["params"]["path"], "operation": "write", "endpoint_class": "fs.write"}  # type: ignore[index]
    context = {"identity": "openclaw", "workspace": os.getcwd(), "risk_class": "high", "request_id": call["toolCallId"]}
    return {
        **{"schema_id": "gait.gate.intent_request", "schema_version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", "producer_version": "openclaw"},
        **{"tool_name": call["toolName"], "args": call["params"], "targets": [target], "skill_provenance": PROVENANCE, "context": context},
    }


def dump(path: str, value: object) -> None:
    """Write a document."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
