#!/bin/sh
# The plan's harness for the Beads bridge: a dry run over the fixture traces gives the published issues and needs no bd; live, against a
# stand-in for bd, each is filed once, whoever files at the same time; what does not verify is not filed.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
GAIT_PYTHON=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GAIT_PYTHON HOME="$work/home" GAIT_HOME="$work/gait" FIXTURE_KEY='AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='
unset BD_ACTOR BEADS_DIR BD_VERSION BD_JSON_ENVELOPE BD_LOG
mkdir "$HOME" "$work/bin" "$work/repo"
cd "$work/repo"

fail() { echo "beads bridge: $1" >&2; exit 1; }
bridge() { "$root/scripts/bridge_trace_to_beads.sh" "$@" --key-mode prod --private-key-env FIXTURE_KEY; }

# --- dry run, without a bd ---
for folder in "$root"/fixtures/golden/*/; do
    cp "$folder/trace.json" .
    bridge trace.json --dry-run --json >got.json || fail "dry run of $folder"
    cmp -s got.json "$folder/issue.json" || fail "$folder: another issue than issue.json"
done
if bridge trace.json --live --bd "$work/nothing" >said 2>&1; then fail 'live without a bd'; fi
grep -q '@beads/bd' said || fail "without a bd: $(cat said)"

# --- live, against a stand-in ---
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "%s" -I -S "%s" "$@"\n' "$GAIT_PYTHON" "$root/tests/bridges/beads/bd.py" >"$work/bin/bd"
chmod +x "$work/bin/bd"
PATH="$work/bin:$PATH"
refused() { find "$root/fixtures/golden" -name trace.json ! -path '*/allow_mcp/*' | sort; }
for version in 0.46.0 0.49.6 1.0.5; do
    export BD_VERSION=$version
    rm -rf .beads
    bd init --prefix gt --quiet
    refused | while read -r trace; do
        bridge "$trace" --live --json >one.json & bridge "$trace" --live --json >two.json & wait
        results=$(cat one.json two.json | grep -o '"result": "[a-z]*"' | sort | tr -d '\n')
        [ "$results" = '"result": "created""result": "exists"' ] || fail "bd $version, $trace: $results"
    done
    [ "$(bd list --label gait --all --limit 0 --json | grep -c '"external_ref"')" = "$(refused | wc -l | tr -d ' ')" ] || fail "bd $version: not one issue each"
    sed 's/"verdict": "block"/"verdict": "require_approval"/' "$root/fixtures/golden/block_openai/trace.json" >forged.json
    if bridge forged.json --live >said 2>&1; then fail "bd $version: filed a forged trace"; else [ $? = 2 ] || fail "bd $version: $(cat said)"; fi
done
echo 'beads bridge: as it must be'
