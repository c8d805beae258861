"""Build what is handed out, in dist/: gait.pyz, the vendored copy, sdist and wheel, and SHA256SUMS over them.

    dist.py [--out FOLDER]

gait.pyz depends on nothing but the bytes of gait.py and gait/: every Python from 3.9 on makes the same file, so its entries
are stored and not compressed.  sdist and wheel need setuptools 61 (and, before 70.1, wheel); where they are missing, it says so.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import gait  # noqa: E402
import gait.build  # noqa: E402

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP can hold
SHEBANG = b"#!/usr/bin/env python3\n"  # -I cannot be given here on every system; docs say to call `python3 -I gait.pyz`
VENDORED = ("gait.py", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE")
HOOKS = """import setuptools.build_meta as hooks, sys; sys.argv[1:] = []
hooks.build_sdist(OUT); hooks.build_wheel(OUT)"""


def main(arguments: list[str]) -> int:
    """0, or 1 when the standard tools are there and fail."""
    out = Path(arguments[1] if arguments[:1] == ["--out"] else ROOT / "dist").resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "gait.pyz").write_bytes(application())
    (out / "gait.pyz").chmod(0o755)
    (out / f"gait-{gait.__version__}-vendor.tar.gz").write_bytes(vendored())
    failed = standard(out)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
    (out / "SHA256SUMS").write_text(listed(sums), encoding="ascii")
    for path in sorted(out.iterdir()):
        print(f"{path.name}  {path.stat().st_size} bytes")
    return failed


def package() -> dict[str, bytes]:
    """gait/, by path."""
    return {f"gait/{path}": (ROOT / "gait" / path).read_bytes() for path in gait.build.own_files(str(ROOT / "gait"))}


def application() -> bytes:
    """The zip application: the launcher as its __main__, and the package."""
    held = io.BytesIO()
    held.write(SHEBANG)
    with zipfile.ZipFile(held, "a") as archive:
        for path, data in sorted({"__main__.py": (ROOT / "gait.py").read_bytes(), **package()}.items()):
            entry = zipfile.ZipInfo(path, FIRST_DAY)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data)
    return held.getvalue()


def vendored() -> bytes:
    """The copy for hosts without a network: program, skills and licence, with the sums of its files."""
    contents = {name: (ROOT / name).read_bytes() for name in VENDORED}
    contents.update(package())
    contents.update({f"skills/{path}": (ROOT / "skills" / path).read_bytes() for path in gait.build.own_files(str(ROOT / "skills"))})
    contents["SHA256SUMS"] = listed({path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}).encode("utf-8")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in sorted(contents.items()):
            entry = tarfile.TarInfo(f"gait-{gait.__version__}/{path}")
            entry.size, entry.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(held.getvalue(), mtime=0)


def listed(sums: dict[str, str]) -> str:
    """As `sha256sum -c` reads it."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def standard(out: Path) -> int:
    """sdist and wheel by setuptools' own hooks (PEP 517), from a copy, since a build leaves files in its folder."""
    reason = missing_tools()
    if reason:
        print(f"sdist and wheel: skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "gait"
        skipped = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")
        shutil.copytree(ROOT / "gait", copy / "gait", ignore=skipped)
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        script = HOOKS.replace("OUT", repr(str(out)))
        environment = {"SOURCE_DATE_EPOCH": "315532800", **os.environ}
        done = subprocess.run([sys.executable, "-c", script], cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout)
    return 1 if done.returncode else 0


def missing_tools() -> str:
    """Why there can be no sdist and wheel; empty when there can."""
    if importlib.util.find_spec("setuptools") is None:
        return "no setuptools; python3 -m pip install 'setuptools>=70.1'"
    import setuptools

    version = tuple(int(part) for part in setuptools.__version__.split(".")[:2])
    if version < (61, 0):
        return f"setuptools {setuptools.__version__} is older than 61"
    if version < (70, 1) and importlib.util.find_spec("wheel") is None:
        return f"setuptools {setuptools.__version__} makes wheels only with the package wheel; python3 -m pip install wheel"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
