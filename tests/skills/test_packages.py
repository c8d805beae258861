"""The packages of skills/: scripts/test_adapter_parity.sh holds them to one contract, and sees what breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "skills").glob("*/quickstart.py"))


def parity(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(["sh", root / "scripts/test_adapter_parity.sh"], env=environment, capture_output=True, text=True, timeout=600)


def test_all_packages_keep_the_contract():
    done = parity(ROOT)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.partition("(")[2].rstrip(")\n").split()) == set(PACKAGES)


CHANGES = {
    "executes_without_an_allow": ("langchain/quickstart.py", 'sys.exit(', 'scenario.write(os.path.join(os.getcwd(), "gait-out/integrations/langchain/written_block.txt"), "")\n    sys.exit('),
    "calls_another_tool": ("quickstarts/scenario.py", 'TOOL = "tool.write"', 'TOOL = "tool.read"'),
    "comes_from_nowhere": ("quickstarts/scenario.py", '"publisher": "gait"', '"publisher": "other"'),
    "says_less": ("quickstarts/scenario.py", 'print(f"{name}={text}")', 'print(f"{name}")'),
    "another_reason": ("quickstarts/policy_block.yaml", "    match:\n", "    reason_codes: [other]\n    match:\n"),
}


@pytest.fixture
def copy(tmp_path):
    """The project, with packages that can be changed; of these only two, for time."""
    for name in ("gait", "gait.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("quickstarts", "langchain", "openai_agents"):
        shutil.copytree(ROOT / "skills" / name, tmp_path / "skills" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts").mkdir()
    script = (ROOT / "scripts/test_adapter_parity.sh").read_text()
    names = next(line for line in script.splitlines() if line.startswith("frameworks="))
    (tmp_path / "scripts/test_adapter_parity.sh").write_text(script.replace(names, "frameworks='openai_agents langchain'"))
    return tmp_path


def test_the_control_keeps_it(copy):
    assert parity(copy).returncode == 0


@pytest.mark.parametrize("name", CHANGES)
def test_a_package_that_breaks_the_contract_is_found(copy, name):
    file, old, new = CHANGES[name]
    path = copy / "skills" / file
    text = path.read_text()
    assert old in text
    if name == "another_reason":  # of one package only
        own = copy / "skills/langchain/own"
        shutil.copytree(copy / "skills/quickstarts", own)
        (own / "policy_block.yaml").write_text(text.replace(old, new))
        quickstart = copy / "skills/langchain/quickstart.py"
        quickstart.write_text(quickstart.read_text().replace("host=host)", f"host=host, policies={str(own)!r})"))
    else:
        path.write_text(text.replace(old, new))
    done = parity(copy)
    assert done.returncode == 1 and "adapter parity: " in done.stderr


def test_a_package_without_a_place_in_the_list_is_found(copy):
    shutil.copytree(copy / "skills/langchain", copy / "skills/new")
    assert "skills/new is not in the list" in parity(copy).stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_is_in_the_index_and_says_what_it_is(name):
    assert f"[{name}]({name}/)" in (ROOT / "skills/README.md").read_text()
    assert "quickstart" in (ROOT / "skills" / name / "README.md").read_text() or name == "openclaw"
