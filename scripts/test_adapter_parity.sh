#!/bin/sh
# The plan's harness for the packages in skills/: one contract for all of them.  Each quickstart plays allow, block and
# require_approval; only allow executes and leaves a file, every intent is a tool.write on an fs.write target with the skill it came
# from, every trace verifies and says the same, and verdicts and reason codes are equal in all packages.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" GAIT_HOME="$work/gait"
cd "$work"

fail() { echo "adapter parity: $1" >&2; exit 1; }

frameworks='openai_agents langchain autogen openclaw autogpt gastown claude_code'
for package in "$root"/skills/*/quickstart.py; do
    name=$(basename "$(dirname "$package")")
    case " $frameworks " in *" $name "*) ;; *) fail "skills/$name is not in the list of this script" ;; esac
done

for name in $frameworks; do
    folder=$work/gait-out/integrations/$name
    for scenario in allow block require_approval; do
        said=$work/$name.$scenario
        "$python" "$root/skills/$name/quickstart.py" --scenario $scenario >"$said" 2>"$work/errors" ||
            fail "$name, $scenario: $(cat "$said" "$work/errors")"
        executed=false output=
        if [ $scenario = allow ]; then executed=true output=$folder/written_allow.txt; fi
        cat >"$work/expected" <<SAID
framework=$name
scenario=$scenario
verdict=$scenario
executed=$executed
trace_path=$folder/trace_$scenario.json
executor_output=$output
SAID
        diff "$work/expected" "$said" >&2 || fail "$name, $scenario: it says something else"
        "$python" -I "$root/gait.py" trace verify "$folder/trace_$scenario.json" >/dev/null || fail "$name, $scenario: the trace"
    done
    written=$(cd "$folder" && echo written_*)
    [ "$written" = written_allow.txt ] || fail "$name: files of the tool: $written"
done

"$python" -I - "$work/gait-out/integrations" "$frameworks" <<'PYTHON' || fail 'the documents differ from the contract'
import json
import os
import sys

folder, frameworks = sys.argv[1], sys.argv[2].split()
answers = {}
for name in frameworks:
    for scenario in ("allow", "block", "require_approval"):
        intent, trace, executor = (json.load(open(os.path.join(folder, name, f"{kind}_{scenario}.json"))) for kind in ("intent", "trace", "executor"))
        skill = {"skill_name": f"gait-{name}", "skill_version": trace["producer_version"], "source": "registry", "publisher": "gait"}
        classes = {target["endpoint_class"] for target in intent["targets"]}
        checks = {
            "tool.write": intent["tool_name"] == trace["tool_name"] == "tool.write",
            "fs.write": classes == {"fs.write"},
            "skill": intent["skill_provenance"] == trace["skill_provenance"] == skill,
            "digest": intent["intent_digest"] == trace["intent_digest"],
            "verdict": trace["verdict"] == scenario,
            "executed": executor["executed"] is (scenario == "allow") and bool(executor["output"]) is (scenario == "allow"),
        }
        for check in (check for check, held in checks.items() if not held):
            sys.exit(f"{name}, {scenario}: {check} does not hold")
        answer = answers.setdefault(scenario, (trace["verdict"], trace["reason_codes"], trace.get("violations"), trace["matched_rule"]))
        if answer != (trace["verdict"], trace["reason_codes"], trace.get("violations"), trace["matched_rule"]):
            sys.exit(f"{name}, {scenario}: another answer than {frameworks[0]}'s: {answer}")
PYTHON

echo "adapter parity: ok ($frameworks)"
