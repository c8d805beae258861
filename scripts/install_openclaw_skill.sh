#!/bin/sh
# One command that puts Gait in front of OpenClaw's tools: skill, vendored gait/, plugin and settings.  No network.
#
#   scripts/install_openclaw_skill.sh [--target-dir DIR] [--plugin-dir DIR] [--policy FILE] [--no-plugin] [--force]
#                                     [--dry-run] [--json] [--verify | --uninstall]
#
# It needs a shell and Python 3.9 or later, whose full path the plugin will call: GAIT_PYTHON names another one.
# Exit codes: 0 done, and a forbidden call was refused; 2 not proven; 6 usage; 7 no Python; 8 something is in the way.
set -eu

here=$(dirname -- "$0"; printf .)
here=${here%??}
root=$(CDPATH='' cd -- "$here/.." && pwd -P; printf .)
root=${root%??}

is_new_enough() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; }

python=
for candidate in ${GAIT_PYTHON:+"$GAIT_PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python3.9 /usr/bin/python3; do
    if found=$(command -v -- "$candidate") && is_new_enough "$found"; then
        python=$found
        break
    fi
done
if [ -z "$python" ]; then
    echo 'error: expected Python 3.9 or later, found none' >&2
    echo 'hint: install python3, or name one: GAIT_PYTHON=/path/to/python3' >&2
    exit 7
fi
exec "$python" -I "$root/gait.py" openclaw install "$@"
