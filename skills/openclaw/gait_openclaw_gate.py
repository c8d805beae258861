#!/usr/bin/env python3
"""Judge one OpenClaw tool call with the Gait beside this file, and run a command only when it is allowed.

    gait_openclaw_gate.py [--policy FILE] [--call FILE] [--journal DIR] [--trace-out FILE] [-- COMMAND…]

The call is JSON on standard input or in FILE: {"toolName", "params": {…}, "toolCallId"?, …}.  The answer is one JSON object with
sorted keys: ok, framework, verdict, executed, reason_codes, violations, trace_path, the digests.  Exit codes: 0 allow, 3 block,
4 approval required, 9 dry run, 6 invalid input, 7 no Gait; `executed` is true only when COMMAND was started.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

KEPT = ("ok", "verdict", "reason_codes", "violations", "matched_rule", "trace_path", "trace_id", "intent_digest", "policy_digest", "args_digest")
ERRORS = ("error", "error_code", "error_category", "retryable", "hint")


def launcher() -> str:
    """gait.py of the installed skill, or of the checkout that this file is in."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (here, os.path.join(here, "..", "..")):
        if os.path.isfile(os.path.join(folder, "gait.py")):
            return os.path.abspath(os.path.join(folder, "gait.py"))
    sys.stderr.write("error: no gait.py beside this file\nhint: install the skill with scripts/install_openclaw_skill.sh\n")
    raise SystemExit(7)


def judge(options: argparse.Namespace) -> tuple[int, dict[str, object]]:
    """The exit code and the answer of Gait."""
    policy = options.policy or os.path.join(os.path.dirname(os.path.abspath(__file__)), "policy.yaml")
    words = [sys.executable, "-I", launcher(), "mcp", "proxy", "--adapter", "openclaw", "--json", "--identity", "openclaw"]
    words += ["--policy", policy, "--call", options.call, "--workspace", options.workspace]
    for name in ("journal", "trace_out"):
        if getattr(options, name):
            words += ["--" + name.replace("_", "-"), getattr(options, name)]
    done = subprocess.run(words, stdout=subprocess.PIPE)
    try:
        value = json.loads(done.stdout)
    except ValueError:
        value = {"ok": False, "error": "Gait gave no answer", "error_code": "internal_failure"}
    return done.returncode if type(value) is dict else 1, value if type(value) is dict else {}


def main(arguments: list[str]) -> int:
    """Judge, run, print."""
    own, command = arguments, []
    if "--" in arguments:
        own, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="gait_openclaw_gate.py", description="Judge one OpenClaw tool call.", allow_abbrev=False)
    parser.add_argument("--policy", metavar="FILE", help="default: policy.yaml beside this file")
    parser.add_argument("--call", default="-", metavar="FILE", help="default: standard input")
    parser.add_argument("--workspace", default=".", metavar="DIR")
    parser.add_argument("--journal", metavar="DIR")
    parser.add_argument("--trace-out", metavar="FILE")
    try:
        options = parser.parse_args(own)
    except SystemExit as ended:
        return 6 if ended.code else 0  # argparse's 2 means something else here
    code, answer = judge(options)
    is_allowed = code == 0 and answer.get("ok") is True and answer.get("verdict") == "allow"
    shown = {name: answer[name] for name in (*KEPT, *ERRORS) if name in answer}
    shown.setdefault("ok", False)
    shown.update(framework="openclaw", executed=False)
    if is_allowed and command:
        shown["executed"] = True
        shown["executor_exit_code"] = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode
    print(json.dumps(shown, sort_keys=True))
    return 0 if is_allowed else code or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
