"""`gait version`: works when the rest of Gait does not."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import gait
from gait import build

PACKAGE = Path(gait.__file__).parent


def test_version(cli, process):
    assert cli("version").out == f"gait {gait.__version__}\n"
    assert cli("version", "--json").value == {"ok": True, "version": gait.__version__, "python": platform.python_version(), "build_digest": build.digest()}
    assert process("version").out == cli("version").out


def test_what_it_imports_of_its_own(tmp_path):
    for name in ("__init__.py", "__main__.py", "cli/__init__.py", "cli/version.py", "build.py", "registry/__init__.py", "registry/sums.py"):  # __main__ runs as the script
        (tmp_path / "gait" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / "gait" / name)
    code = "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('gait', run_name='__main__', alter_sys=True)"
    done = subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path), "version", "--json"], capture_output=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["version"] == gait.__version__
