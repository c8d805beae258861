#!/bin/sh
# Refused decisions as issues of Beads: `gait beads` of this checkout, from any folder.
#
#   scripts/bridge_trace_to_beads.sh TRACE... [--live|--dry-run] [--allow-unverified] [--json] [OPTION...]
#   scripts/bridge_trace_to_beads.sh --journal DIR [--since TIME] [--live|--dry-run] [--json]
#
# Exit codes: 0 done, 2 something does not verify (nothing is filed), 6 usage, 7 no bd or no Python.  GAIT_PYTHON names another Python.
set -eu

here=$(dirname -- "$0"; printf .)
here=${here%??}
root=$(CDPATH='' cd -- "$here/.." && pwd -P; printf .)
root=${root%??}
if ! command -v -- "${GAIT_PYTHON:=python3}" >/dev/null; then
    echo 'error: expected Python 3.9 or later, found none' >&2
    echo 'hint: install python3, or name one: GAIT_PYTHON=/path/to/python3' >&2
    exit 7
fi
exec "$GAIT_PYTHON" -I "$root/gait.py" beads "$@"
