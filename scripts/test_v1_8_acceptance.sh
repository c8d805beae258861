#!/bin/sh
# The plan's acceptance of v1.8, from a clean checkout, with nothing but Python 3.9 or later and no network but loopback: the OpenClaw package
# installs, the service answers as the one-shot command does, Gas Town's hook has parity with every other package, the Beads bridge
# keeps its contract, and what is handed out exists, is whole and runs.  The steps run side by side, each in a folder of its own with ports of
# its own; each is named, and their order here is the order of the lines.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
GAIT_PYTHON=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
unset GAIT_ADOPTION_LOG GAIT_OPERATIONAL_LOG SOURCE_DATE_EPOCH NO_COLOR
export GAIT_PYTHON PYTHON="$GAIT_PYTHON" ROOT="$root"
gait() { "$GAIT_PYTHON" -I "$ROOT/gait.py" "$@"; }
expect() { # CODE COMMAND...: fails unless it ends with that exit code
    wanted=$1 got=0
    shift
    "$@" || got=$?
    [ "$got" = "$wanted" ] || { echo "expected exit code $wanted, got $got: $*"; return 1; }
}

openclaw_install() { sh "$ROOT/scripts/test_openclaw_skill_install.sh"; }

mcp_serve() { # the same calls once and over HTTP: equal answers, exit codes that fail closed, a journal that verifies
    "$GAIT_PYTHON" -I - <<'PYTHON'
import json, os, re, subprocess, sys, urllib.error, urllib.request

root = os.environ["ROOT"]
gait = [sys.executable, "-I", os.path.join(root, "gait.py")]
quickstart = os.path.join(root, "fixtures", "quickstart")
policy = ["--policy", os.path.join(quickstart, "policy.yaml")]
verdicts = {"allow": ("allow", 0), "block": ("block", 3), "approval": ("require_approval", 4)}
same = ("verdict", "reason_codes", "violations", "matched_rule", "policy_digest", "intent_digest", "trace_id", "required_approvals")

with open("log", "w") as log:
    server = subprocess.Popen([*gait, "mcp", "serve", *policy, "--listen", "127.0.0.1:0", "--journal", "journal"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
address = ""
for line in server.stderr:
    found = re.search(r"127\.0\.0\.1:[1-9][0-9]*", line)
    if "listening" in line and found:
        address = found.group()
        break

def ask(path, body=None):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{address}{path}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

try:
    assert address, "the server does not say where it listens"
    assert ask("/healthz") == (200, {"ok": True, "service": "gait.mcp.serve"})
    for name, (verdict, code) in verdicts.items():
        path = os.path.join(quickstart, f"call_{name}.json")
        with open(path, "rb") as file:
            call = json.load(file)
        for _ in range(2):  # the second answer is the first one's
            status, answer = ask("/v1/evaluate", json.dumps({"call": call}).encode())
            assert (status, answer["verdict"], answer["exit_code"]) == (200, verdict, code), answer
        once = subprocess.run([*gait, "mcp", "proxy", *policy, "--call", path, "--json"], stdout=subprocess.PIPE, timeout=60)
        assert once.returncode == code, once
        differing = [key for key in same if answer.get(key) != json.loads(once.stdout).get(key)]
        assert not differing, f"{name}: the service and the command differ in {differing}"
        print(f"{verdict}: HTTP and one-shot agree, exit code {code}")
    for body, code in ((b"{", "parse_error"), (b'{"call": {}, "adapter": "nobody"}', "unknown_adapter"), (b'{"call": 1, "call": 2}', "parse_error")):
        status, answer = ask("/v1/evaluate", body)
        assert (status, answer["ok"], answer["error_code"]) == (400, False, code), answer
        print(f"refused: {code}")
finally:
    server.terminate()
assert server.wait(timeout=30) == 0, "the server did not end in order"
verified = subprocess.run([*gait, "journal", "verify", "journal", "--json"], stdout=subprocess.PIPE, timeout=60)
assert verified.returncode == 0, verified.stdout
print("journal verified")
PYTHON
}

gastown_parity() { # Gas Town's hook beside the one-shot command, and every package beside every other
    printf 'default_verdict: block\nrules:\n  - {name: reading, effect: allow, match: {tool_names: [read]}}\n' >policy.yaml
    for tool in Read Bash; do
        printf '{"hook_event_name": "PreToolUse", "tool_name": "%s", "tool_input": {"file_path": "a"}, "cwd": "/w", "session_id": "s"}' $tool >event.json
        gait hook gastown --policy policy.yaml <event.json >answer.json || return 1
        got=0
        gait mcp proxy --adapter gastown --policy policy.yaml --call event.json --json >once.json || got=$?
        denied=$(grep -c '"permissionDecision": "deny"' answer.json || true)
        [ "$tool $got $denied $(wc -c <answer.json | tr -d ' ')" = 'Read 0 0 0' ] || [ "$tool $got $denied" = 'Bash 3 1' ] ||
            { echo "$tool: exit code $got, $(cat answer.json)"; return 1; }
    done
    expect 2 gait hook gastown --policy nowhere.yaml <event.json 2>/dev/null || return 1
    gait journal verify "$GAIT_HOME/journal" >/dev/null || return 1
    echo 'gastown: the hook allows and denies as the command does, and refuses without a policy'
    sh "$ROOT/scripts/test_adapter_parity.sh"
}

beads_dry_run() { sh "$ROOT/scripts/test_beads_bridge.sh"; }

distribution() { # built anew, compared with its sums, installed in empty folders; the launch kit and the generated pages are there and current
    "$GAIT_PYTHON" "$ROOT/scripts/dist.py" --out "$PWD/dist" &&
        "$GAIT_PYTHON" "$ROOT/scripts/vendor_check.py" "$PWD/dist" &&
        "$GAIT_PYTHON" "$ROOT/scripts/validate_community_index.py" &&
        "$GAIT_PYTHON" "$ROOT/scripts/reference.py" --check || return 1
    for page in launch/rfc_openclaw launch/rfc_gastown launch/rfc_agent_framework_template launch/secure_deployment_openclaw \
        launch/secure_deployment_gastown ecosystem/awesome wiki/Integration-Cookbook wiki/Community-Patterns architecture flows \
        integration_checklist approval_runbook zero_trust_stack contracts/skill_provenance; do
        [ -s "$ROOT/docs/$page.md" ] || { echo "docs/$page.md is not there"; return 1; }
    done
    echo 'launch kit: every page is there'
}

fail_closed() { # golden answers byte for byte, and exit codes of what is refused
    "$GAIT_PYTHON" "$ROOT/scripts/fixtures.py" --check || return 1
    cp "$ROOT/fixtures/quickstart/policy.yaml" .
    echo '{' >bad.json
    expect 6 gait mcp proxy --policy policy.yaml --call bad.json >/dev/null 2>&1 &&
        expect 6 gait gate evaluate >/dev/null 2>&1 &&
        expect 2 gait hook claude-code --policy policy.yaml <bad.json >/dev/null 2>&1 &&
        expect 1 gait mcp proxy --policy policy.yaml --call "$ROOT/fixtures/quickstart/call_allow.json" --trace-out /dev/null/x >/dev/null 2>&1 &&
        echo 'fail closed: 1, 2 and 6 where no answer could be made'
}

run() { # NAME: one step in its own folder, with a home of its own; leaves its output and exit code
    mkdir -p "$work/$1/home"
    (
        cd "$work/$1"
        export HOME="$work/$1/home" GAIT_HOME="$work/$1/gait" TMPDIR="$work/$1"
        code=0
        "$1" >"$work/$1.out" 2>&1 || code=$?
        echo "$code" >"$work/$1.code"
    )
}

steps='openclaw_install mcp_serve gastown_parity beads_dry_run distribution fail_closed'
began=$(date +%s)
for step in $steps; do run "$step" & done
wait
failed=0
for step in $steps; do
    if [ "$(cat "$work/$step.code")" = 0 ]; then
        echo "ok      $step: $(tail -n 1 "$work/$step.out")"
    else
        failed=$((failed + 1))
        echo "FAILED  $step"
        sed 's/^/        /' "$work/$step.out"
    fi
done
echo "acceptance: $failed failed of $(echo "$steps" | wc -w | tr -d ' ') steps, $(($(date +%s) - began)) s"
[ "$failed" = 0 ]
