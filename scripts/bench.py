"""Measure Gait: `make bench` prints a table and writes bench.json.

    bench.py [--out FILE] [--quick] [--check]

evaluate  one decision on a normalised intent, in policies of 10 to 10,000 rules
pipeline  bytes -> intent -> decision -> signed trace record, all in memory
allowance the same with what an allow uses up in its store on disk: a single-use approval token, a rate limit
process   `gait gate eval` and `gait hook` with the README's policy against a Python that only starts, for each Python found
modules   what `gait gate eval` loads

Ratios are gates, since they hold on any machine, and the 2 ms of an allowance: --check exits 5 when one fails.
Absolute figures are reported.  Standard library only.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gait import judge  # noqa: E402
from gait.formats import timestamps  # noqa: E402
from gait.gate import evaluate, intent, matching, policy  # noqa: E402
from gait.gate.approval_fields import Approver  # noqa: E402
from gait.gate.approval_tokens import Token, sign  # noqa: E402
from gait.signing import keys  # noqa: E402
from gait.store.allowances import Allowances  # noqa: E402
from gait.system import clock  # noqa: E402

SIZES = (10, 100, 1_000, 10_000)
UNNAMED = 10  # rules without tool_names, which every call has to try
MAX_GROWTH = 2.0  # p50 of evaluate at 10,000 rules / at 10
MAX_ALLOWANCE_MS = 2.0  # p50 of a decision that uses something up
MAX_START = 1.6  # gate eval / a Python that imports json, hashlib, hmac and argparse
MAX_HOOK = 2.0  # gait hook / a Python that imports json, hashlib and hmac
PYTHONS = ("3.9", "3.11", "3.13")
BARE = "import json,hashlib,hmac,argparse"
BARE_HOOK = "import json,hashlib,hmac"
COUNT = """
import sys
sys.path.append(sys.argv[1])
from gait.cli import main
main(sys.argv[2:])
names = [name for name in sys.modules if name.partition(".")[0] == "gait"]
print(len(names), len(sys.modules), file=sys.stderr)
"""
INTENT = {
    "schema_id": intent.SCHEMA_ID,
    "schema_version": intent.SCHEMA_VERSION,
    "created_at": "2026-02-05T00:00:00Z",
    "producer_version": "bench",
    "tool_name": "files.read",
    "args": {"path": "/work/src/app.py", "encoding": "utf-8", "limit": 2000},
    "targets": [{"kind": "path", "value": "/work/src/app.py", "operation": "read"}],
    "context": {"identity": "agent", "workspace": "/work", "risk_class": "medium", "session_id": "s-1"},
}
MCP_CALL = {"name": "files.read", "arguments": {"path": "/work/src/app.py", "encoding": "utf-8", "limit": 2000}}
EVENT = {
    "hook_event_name": "PreToolUse",
    "tool_name": "Read",
    "tool_input": {"file_path": "/work/src/app.py", "limit": 2000},
    "cwd": "/work",
    "session_id": "s-1",
    "tool_use_id": "t-1",
}
MATCHING = {
    "name": "read-workspace",
    "priority": 50,
    "effect": "allow",
    "match": {"tool_names": ["files.read"], "risk_classes": ["low", "medium"]},
    "endpoint": {"path_allowlist": ["/work/**"], "path_denylist": ["**/.env", "**/.ssh/**"]},
}
UNNAMED_MATCHES = (
    {"risk_classes": ["critical"]},
    {"target_kinds": ["bucket", "table"]},
    {"identities": ["root"]},
    {"endpoint_classes": ["proc.exec"]},
    {"provenance_sources": ["external"]},
)


def main(arguments: list[str]) -> int:
    """Measure, print, write; 5 when --check is given and a gate fails."""
    parser = argparse.ArgumentParser(description="Measure Gait.")
    parser.add_argument("--out", default="bench.json", metavar="FILE", help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--check", action="store_true", help="exit 5 when a ratio is over its limit")
    options = parser.parse_args(arguments)
    rounds = 2_000 if options.quick else 20_000
    report: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine()}
    report["evaluate"], report["pipeline"] = measure_evaluate(rounds), measure_pipeline(rounds // 4)
    with tempfile.TemporaryDirectory(dir=Path(options.out).resolve().parent) as home:  # on the disk, where /tmp may be memory
        report["allowances"] = measure_allowances(rounds // 20, home)
    with tempfile.TemporaryDirectory() as folder:
        command = installed(Path(folder))
        pairs, event = 11 if options.quick else 25, json.dumps(EVENT).encode()
        hook = [command[0], "hook", "claude-code", "--policy", command[4]]
        report["process"] = [measure_process(version, command, BARE, pairs) for version in PYTHONS]
        report["hook"] = [measure_process(version, hook, BARE_HOOK, pairs, event) for version in PYTHONS]
        report["modules"] = count_modules(command)
    report["gates"] = gates(report)
    Path(options.out).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(report)))
    failed = any(gate["ok"] is False for gate in report["gates"])  # type: ignore[attr-defined]
    return 5 if options.check and failed else 0


def rules(count: int) -> list[dict[str, object]]:
    """Rules around the one that matches: ten for every tool, tried before it, and the others for tools of their own."""
    unnamed = [
        {"name": f"any-{index}", "priority": index, "effect": "block", "match": UNNAMED_MATCHES[index % 5]}
        for index in range(UNNAMED)
    ]
    named = [
        {**MATCHING, "name": f"tool-{index}", "priority": index % 100, "match": {"tool_names": [f"tool.{index}"]}}
        for index in range(count - UNNAMED)
    ]
    return [*unnamed, *named, MATCHING]


def compiled(count: int) -> matching.CompiledPolicy:
    """A policy of `count` rules beside the one that matches."""
    return matching.compile_policy(policy.read({"default_verdict": "block", "rules": rules(count)}))


def measure_evaluate(rounds: int) -> list[dict[str, object]]:
    """p50 and p99 in microseconds for each size; the sizes take turns, so that a busy moment hits all of them."""
    call_intent = intent.read(INTENT)
    policies = {size: compiled(size) for size in SIZES}
    taken: dict[int, list[int]] = {size: [] for size in SIZES}
    for _ in range(20):
        for size, candidate in policies.items():
            taken[size] += timed(partial(evaluate.evaluate, candidate, call_intent), rounds // 20)
    decided = {evaluate.evaluate(candidate, call_intent).verdict for candidate in policies.values()}
    if decided != {"allow"}:
        raise SystemExit(f"bench: expected every policy to allow, got {sorted(decided)}")
    return [{"rules": size, **percentiles(taken[size])} for size in SIZES]


def measure_pipeline(rounds: int) -> list[dict[str, object]]:
    """p50 and p99 in microseconds from a call's bytes to its signed record, with 100 rules."""
    candidate, sign = compiled(100), judge.signer(keys.make(bytes(range(32))))
    defaults = {**judge.DEFAULTS, "risk_class": "medium"}

    def run(raw: bytes, adapter: str) -> object:
        return judge.judge(candidate, judge.read(raw, "bench", adapter, defaults), sign)

    rows = []
    for adapter, document in (("", INTENT), ("mcp", MCP_CALL)):
        taken = timed(partial(run, json.dumps(document).encode("utf-8"), adapter), rounds)
        rows.append({"adapter": adapter or "intent", **percentiles(taken)})
    return rows


def measure_allowances(rounds: int, home: str) -> list[dict[str, object]]:
    """p50 and p99 in microseconds of decisions whose allow uses something up, each of them from bytes to signed record."""
    secret, raw = keys.make(bytes(range(32))), json.dumps(INTENT).encode("utf-8")
    approvers = (Approver(keys.Keyring("approval", secret)),)
    sign_record = judge.signer(secret)
    cases = (
        ("a single-use token", {"effect": "require_approval"}, False),
        ("a single-use token, synced", {"effect": "require_approval"}, True),
        ("a rate limit", {"effect": "allow", "rate_limit": {"requests": 10**9}}, False),
    )
    rows = []
    for number, (what, rule, sync) in enumerate(cases):
        outside = Allowances(os.path.join(home, str(number)), lambda: keys.Keyring("trace", secret), lambda: approvers, sync)
        candidate = matching.compile_policy(policy.read({"rules": [{"name": "r", **rule}]}))
        tokens = iter(minted(candidate, secret, rounds + 50) if "token" in what else [()] * (rounds + 50))

        def run() -> None:
            judged = judge.judge(candidate, judge.read(raw, "bench")._replace(tokens=next(tokens)), sign_record, outside)
            if judged.decision.verdict != "allow":
                raise SystemExit(f"bench: expected allow, got {judged.decision.reason_codes}")

        rows.append({"what": what, "waits": sync, **percentiles(timed(run, rounds))})
    return rows


def minted(candidate: matching.CompiledPolicy, key: keys.Key, count: int) -> list[tuple[object, ...]]:
    """Tokens for INTENT, each for one use."""
    now = clock.now()
    window = timestamps.dumps(int(now)), timestamps.dumps(int(now)), timestamps.dumps(int(now) + 3600)
    digest, tool = intent.read(INTENT).intent_digest, str(INTENT["tool_name"])
    tokens = (Token(f"{number:024x}", "bob", "bench", digest, candidate.policy.digest, (tool,), *window) for number in range(count))
    return [(sign(token, key),) for token in tokens]


def timed(run: object, rounds: int) -> list[int]:
    """Nanoseconds of each of `rounds` calls, after a few to warm up."""
    for _ in range(50):
        run()  # type: ignore[operator]
    taken = []
    for _ in range(rounds):
        started = perf_counter_ns()
        run()  # type: ignore[operator]
        taken.append(perf_counter_ns() - started)
    return taken


def percentiles(taken: list[int]) -> dict[str, object]:
    """Microseconds."""
    ordered = sorted(taken)
    return {"p50_us": ordered[len(ordered) // 2] / 1000, "p99_us": ordered[len(ordered) * 99 // 100] / 1000}


def installed(folder: Path) -> list[str]:
    """The arguments of `gate eval` for a copy of Gait as an installation has it: precompiled by each Python, then kept."""
    shutil.copy(ROOT / "gait.py", folder)
    shutil.copytree(ROOT / "gait", folder / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "fixtures" / "quickstart" / "policy.yaml", folder)
    (folder / "intent.json").write_text(json.dumps(INTENT), encoding="utf-8")
    trace, policy_file, intent_file = (str(folder / name) for name in ("trace.json", "policy.yaml", "intent.json"))
    asked = ["gate", "eval", "--policy", policy_file, "--intent", intent_file, "--trace-out", trace, "--json"]
    return [str(folder / "gait.py"), *asked]


def find_python(version: str) -> str | None:
    """pyenv's Python of a version, else the one on PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted((root / "versions").glob(f"{version}.*/bin/python3"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def measure_process(version: str, command: list[str], bare: str, rounds: int, stdin: bytes = b"") -> dict[str, object]:
    """Median wall time of a command and of a bare start, which take turns, and the median of their ratios."""
    python = find_python(version)
    if python is None:
        return {"python": version, "skipped": "not found"}
    precompile(python, Path(command[0]).parent)
    command_ms, bare_ms = [], []
    for _ in range(rounds + 1):
        bare_ms.append(wall_ms([python, "-I", "-c", bare]))
        command_ms.append(wall_ms([python, "-I", *command], stdin))
    ratios = [left / right for left, right in zip(command_ms[1:], bare_ms[1:])]  # the first pair fills the disk cache
    return {
        "python": version,
        "command_ms": round(statistics.median(command_ms), 1),
        "bare_ms": round(statistics.median(bare_ms), 1),
        "ratio": round(statistics.median(ratios), 3),
    }


def precompile(python: str, folder: Path) -> None:
    """Unchecked-hash .pyc files, as `make install` leaves them."""
    if python == sys.executable:
        mode = compileall.py_compile.PycInvalidationMode.UNCHECKED_HASH  # type: ignore[attr-defined]
        compileall.compile_dir(folder / "gait", quiet=1, invalidation_mode=mode)
        return
    words = [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder / "gait")]
    subprocess.run(words, check=True)


def wall_ms(words: list[str], stdin: bytes = b"") -> float:
    """Wall time of one process that must succeed."""
    environment = {**os.environ, "GAIT_HOME": str(Path(words[2]).parent / "home") if words[2] != "-c" else ""}
    started = perf_counter()
    done = subprocess.run(words, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, check=False)
    taken = (perf_counter() - started) * 1000
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)} exited {done.returncode}: {done.stderr.decode()[:400]}")
    return taken


def count_modules(command: list[str]) -> dict[str, object]:
    """How many modules `gate eval` has loaded when it ends: Gait's own, and all."""
    folder = str(Path(command[0]).parent)
    words = [sys.executable, "-I", "-c", COUNT, folder, *command[1:]]
    environment = {**os.environ, "GAIT_HOME": str(Path(folder) / "home")}
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, check=True)
    own, total = map(int, done.stderr.decode().split()[-2:])
    return {"gait": own, "total": total}


def gates(report: dict[str, object]) -> list[dict[str, object]]:
    """The ratios and their limits; ok is None where a Python was not found."""
    sizes = report["evaluate"]
    growth = round(sizes[-1]["p50_us"] / sizes[0]["p50_us"], 3)  # type: ignore[index]
    found = [{"gate": "evaluate: 10,000 rules / 10 rules", "ratio": growth, "limit": MAX_GROWTH}]
    for row in report["allowances"]:  # type: ignore[attr-defined]
        if not row["waits"]:  # which is the disk's own speed
            found.append({"gate": f"allow with {row['what']}, p50 in ms", "ratio": round(row["p50_us"] / 1000, 3), "limit": MAX_ALLOWANCE_MS})
    for row in report["process"]:  # type: ignore[attr-defined]
        found.append({"gate": f"gate eval / bare start, Python {row['python']}", "ratio": row.get("ratio"), "limit": MAX_START})
    for row in report["hook"]:  # type: ignore[attr-defined]
        found.append({"gate": f"gait hook / bare start, Python {row['python']}", "ratio": row.get("ratio"), "limit": MAX_HOOK})
    return [{**gate, "ok": None if gate["ratio"] is None else gate["ratio"] <= gate["limit"]} for gate in found]


def table(report: dict[str, object]) -> list[str]:
    """The report, aligned."""
    lines = [f"Python {report['python']} on {report['machine']}", ""]
    lines.append(f"{'':34}{'p50 µs':>10}{'p99 µs':>10}")
    for row in report["evaluate"]:  # type: ignore[attr-defined]
        lines.append(f"{'evaluate, {:,} rules'.format(row['rules']):34}{row['p50_us']:>10.1f}{row['p99_us']:>10.1f}")
    for row in report["pipeline"]:  # type: ignore[attr-defined]
        lines.append(f"{'bytes to signed record, ' + row['adapter']:34}{row['p50_us']:>10.1f}{row['p99_us']:>10.1f}")
    for row in report["allowances"]:  # type: ignore[attr-defined]
        lines.append(f"{'allow: ' + row['what']:34}{row['p50_us']:>10.1f}{row['p99_us']:>10.1f}")
    lines += ["", f"{'':34}{'ms':>10}{'bare ms':>10}"]
    for part, name in (("process", "gate eval"), ("hook", "gait hook")):
        for row in report[part]:  # type: ignore[attr-defined]
            figures = row.get("skipped") and f"{row['skipped']:>20}" or f"{row['command_ms']:>10.1f}{row['bare_ms']:>10.1f}"
            lines.append(f"{name + ', Python ' + row['python']:34}{figures}")
    modules = report["modules"]
    lines += ["", f"modules loaded by gate eval: {modules['gait']} of Gait, {modules['total']} in all", ""]  # type: ignore[index]
    lines.append(f"{'gate':44}{'ratio':>8}{'limit':>8}")
    for gate in report["gates"]:  # type: ignore[attr-defined]
        shown = "-" if gate["ratio"] is None else f"{gate['ratio']:.2f}"
        verdict = {True: "ok", False: "FAILED", None: "skipped"}[gate["ok"]]
        lines.append(f"{gate['gate']:44}{shown:>8}{gate['limit']:>8.2f}  {verdict}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
