#!/bin/sh
# The plan's harness for the OpenClaw package: one command installs it, its layout and bytes are the published ones, a second run
# changes nothing, the installed wrapper refuses a forbidden call and runs nothing, and uninstall leaves nothing.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work/home" GAIT_HOME="$work/gait" PATH="/usr/local/bin:/usr/bin:/bin" GAIT_PYTHON
GAIT_PYTHON=$(command -v "$python" || echo "$python")
mkdir "$HOME"
skill=$HOME/.openclaw/skills/gait-gate

fail() { echo "openclaw skill install: $1" >&2; exit 1; }

"$GAIT_PYTHON" -I "$root/gait.py" openclaw manifest | cmp -s - "$root/skills/openclaw/skill_manifest.json" ||
    fail 'skills/openclaw/skill_manifest.json is stale: python3 -I gait.py openclaw manifest > skills/openclaw/skill_manifest.json'

"$root/scripts/install_openclaw_skill.sh" --json >"$work/first.json" || fail "install: $(cat "$work/first.json")"
(cd "$HOME/.openclaw" && find . -type f ! -path '*/gait/*' ! -name '*.pyc' | LC_ALL=C sort) >"$work/layout"
cat >"$work/expected" <<'LAYOUT'
./extensions/gait-gate/gait-gate.json
./extensions/gait-gate/index.js
./extensions/gait-gate/openclaw.plugin.json
./extensions/gait-gate/package.json
./openclaw.json
./skills/gait-gate/README.md
./skills/gait-gate/SKILL.md
./skills/gait-gate/gait.py
./skills/gait-gate/gait_openclaw_gate.py
./skills/gait-gate/install.json
./skills/gait-gate/plugin/gait-gate.json
./skills/gait-gate/plugin/index.js
./skills/gait-gate/plugin/openclaw.plugin.json
./skills/gait-gate/plugin/package.json
./skills/gait-gate/policy.yaml
./skills/gait-gate/skill_config.json
./skills/gait-gate/skill_manifest.json
LAYOUT
diff "$work/expected" "$work/layout" >&2 || fail 'the layout has drifted'
for file in "$skill/gait_openclaw_gate.py" "$skill/gait.py"; do [ -x "$file" ] || fail "$file is not executable"; done

# The JSON, without the checks, which depend on what this machine has, and the digest, which the manifest's test holds.
sed -e 's/, "package_digest": "[0-9a-f]\{64\}"//' -e 's/, "checks": .*/}/' -e "s|$HOME|HOME|g" "$work/first.json" >"$work/told"
cat >"$work/expected" <<'JSON'
{"ok": true, "result": "installed", "skill_dir": "HOME/.openclaw/skills/gait-gate", "plugin_dir": "HOME/.openclaw/extensions/gait-gate", "config": "HOME/.openclaw/openclaw.json", "changed": ["HOME/.openclaw/skills/gait-gate", "HOME/.openclaw/extensions/gait-gate", "HOME/.openclaw/openclaw.json"], "kept": [], "backups": [], "warnings": []}
JSON
diff "$work/expected" "$work/told" >&2 || fail 'the JSON has drifted'
"$root/scripts/install_openclaw_skill.sh" --json >"$work/second.json" || fail 'second install'
grep -q '"result": "unchanged"' "$work/second.json" || fail 'a second run changed something'
"$root/scripts/install_openclaw_skill.sh" --verify >"$work/verify" || fail "verify: $(cat "$work/verify")"

code=0
echo '{"toolName": "exec", "params": {"command": "rm -rf /"}}' |
    "$GAIT_PYTHON" "$skill/gait_openclaw_gate.py" -- touch "$work/ran" >"$work/answer.json" || code=$?
if [ "$code" != 3 ] || [ -e "$work/ran" ]; then fail "the wrapper: exit code $code"; fi
grep -q '"executed": false' "$work/answer.json" || fail 'the wrapper does not say what it did'

"$root/scripts/install_openclaw_skill.sh" --uninstall >/dev/null || fail 'uninstall'
[ ! -e "$HOME/.openclaw" ] || fail 'uninstall left something'
echo 'openclaw skill install: ok'
