"""What single pages promise: drawings are their sources', the tree and the plan's table are true, example policies load."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from gait.adapters import ADAPTERS
from gait.formats import yaml_subset
from gait.gate import intent, policy
from gait.gate.evaluate import evaluate
from gait.gate.matching import compile_policy
from gait.signing import envelope

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
DIAGRAMS = ROOT / "docs" / "diagrams"


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pages_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


diagrams = _module(ROOT / "scripts" / "diagrams.py")


@pytest.mark.parametrize("source", sorted(DIAGRAMS.glob("*.mmd")), ids=lambda path: path.stem)
def test_a_drawing_is_its_sources(source: Path) -> None:
    svg = diagrams.draw(source.read_text("utf-8"), source.stem)
    assert source.with_suffix(".svg").read_text("utf-8") == svg, "python3 scripts/diagrams.py"
    shown = [page for page in PAGES if f"diagrams/{source.stem}.svg" in page.read_text("utf-8")]
    assert shown, "no page shows it"


def test_every_drawing_has_a_source() -> None:
    assert {path.stem for path in DIAGRAMS.glob("*.svg")} == {path.stem for path in DIAGRAMS.glob("*.mmd")}


@pytest.mark.parametrize(
    "text", ["pie", "sequenceDiagram\n  A->>B", "sequenceDiagram\n  participant A\n  alt x", "sequenceDiagram\n  participant A\n  end", 'flowchart TB\n  a["x"]']
)
def test_what_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(diagrams.BadDiagram):
        diagrams.draw(text, "x")


def _rows(page: str, heading: str) -> list[list[str]]:
    text = (ROOT / page).read_text("utf-8").split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| `")]


def test_the_tree_is_the_real_one() -> None:
    rows = {row[0].strip("`"): row[1] for row in _rows("docs/architecture.md", "The tree") if row[0].startswith("`gait/")}
    real = {f"gait/{path.name}/" for path in (ROOT / "gait").iterdir() if path.is_dir() and list(path.glob("*.py"))}
    real |= {f"gait/{path.name}" for path in (ROOT / "gait").glob("*.py") if not path.name.startswith("__")}
    assert set(rows) == real
    layers = _module(ROOT / "tests" / "test_architecture.py").LAYERS
    for path, layer in rows.items():
        name = path.split("/")[1].replace(".py", "")
        assert float(layer) == layers[name], path


def test_every_path_of_the_plan_has_its_place() -> None:
    rows = _rows("docs/architecture.md", "Where the plan's paths are")
    assert len(rows) >= 25
    for named, here in rows:
        places = [named.strip("`")] if here.startswith(("the same", "this page")) else []
        places += re.findall(r"`([^`]+)`", here)
        for place in places:
            assert (ROOT / place).exists(), f"{named}: {place}"
    plan = ROOT.parent / "shared" / "PLAN_v1.8.md"
    if plan.exists():
        wanted = {path for path in re.findall(r"^- `([^`]+/[^`]*|README\.md|Makefile)`", plan.read_text("utf-8"), re.MULTILINE)}
        assert wanted - {row[0].strip("`") for row in rows} == set()


def _yaml_blocks(page: Path) -> list[str]:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    wholes = [block for block in blocks if re.match(r"(#.*\n)*(default_verdict|schema_id: gait\.gate\.policy|fail_closed|rules):?", block)]
    rules = [block for block in blocks if re.match(r"- (\{)?name: [\w-]+.*(effect|\n)", block) and "effect:" in block]
    return [*wholes, *("rules:\n" + re.sub("^", "  ", block, flags=re.MULTILINE) for block in rules)]


@pytest.mark.parametrize("page", [page for page in PAGES if _yaml_blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_example_policies_load(page: Path) -> None:
    for block in _yaml_blocks(page):
        policy.loads(block, page.name)


def test_the_page_of_the_language_has_examples() -> None:
    assert len(_yaml_blocks(ROOT / "docs" / "policy.md")) >= 8


def test_paths_and_hosts_are_judged_as_the_page_says() -> None:
    text = (ROOT / "docs" / "policy.md").read_text("utf-8").split("case by case\n", 1)[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    wrong = []
    for pattern, value, allowed, denied in rows:
        pattern, value = pattern.strip("`\""), value.strip("`")
        is_path = "path" if "/" in pattern else "domain"
        kind = "url" if "://" in value else "path"
        found = [not _blocked(is_path, listed, pattern, kind, value) for listed in ("allowlist", "denylist")]
        if found != [allowed == "yes", denied == "no"]:
            wrong.append(f"{pattern} {value}: allowed {found[0]}, denied {not found[1]}")
    assert len(rows) > 20 and not wrong


def _blocked(kind: str, listed: str, pattern: str, target_kind: str, value: str) -> bool:
    rule = {"name": "r", "effect": "allow", "endpoint": {f"{kind}_{listed}": [pattern]}}
    compiled = compile_policy(policy.read({"rules": [rule]}))
    target = {"kind": target_kind, "value": value, "operation": "read"}
    context = {"identity": "me", "workspace": "/work", "risk_class": "low"}
    return evaluate(compiled, intent.read({"tool_name": "t", "targets": [target], "context": context})).verdict == "block"


@pytest.mark.slow
def test_the_sidecars_manifest_starts_the_service(tmp_path: Path) -> None:
    manifest = yaml_subset.loads((ROOT / "docs" / "deploy" / "kubernetes-sidecar.yaml").read_bytes())
    agent, gait = manifest["spec"]["template"]["spec"]["containers"]  # type: ignore[index,call-overload]
    assert agent["securityContext"]["runAsUser"] != gait["securityContext"]["runAsUser"]
    (tmp_path / "policy.yaml").write_text("default_verdict: allow\n")
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)  # as an emptyDir
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def here(word: str) -> str:
        places = {"/opt/gait": str(ROOT), "/etc/gait": str(tmp_path), "/var/lib/gait": str(tmp_path / "state"), ":8787": f":{port}"}
        return re.sub("|".join(places), lambda found: places[found[0]], word)

    values = {"GAIT_TOKEN": "t" * 32, "GAIT_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    environment = {**os.environ, **values, **{item["name"]: here(item["value"]) for item in gait["env"] if "value" in item}}
    words = [here(word) for word in [*gait["command"], *gait["args"]]]
    probe = [here(word) for word in gait["readinessProbe"]["exec"]["command"]]
    words[0] = probe[0] = sys.executable
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr and any("listening" in line for line in server.stderr)
            assert subprocess.run(probe, env=environment, capture_output=True).returncode == 0
            body = json.dumps({"call": {"name": "read_file", "arguments": {"path": "a"}}}).encode()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer " + values["GAIT_TOKEN"]}
            request = urllib.request.Request(agent["env"][0]["value"].replace(":8787", f":{port}"), body, headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert json.loads(answer.read())["verdict"] == "allow"
            assert subprocess.run(probe, env={**environment, "GAIT_TOKEN": "wrong"}, capture_output=True).returncode != 0
        finally:
            server.terminate()
        assert server.wait(30) == 0


def test_every_key_of_the_language_is_on_its_page() -> None:
    text = (ROOT / "docs" / "policy.md").read_text("utf-8")
    documents = (policy.Rule, policy.Match, policy.Endpoint, policy.Dataflow, policy.RateLimit, policy.Budget, policy.FailClosed)
    missing = [name for document in documents for name in document._fields if f"`{name}`" not in text]
    assert not missing


def test_every_purpose_of_a_signature_is_on_the_contracts_page() -> None:
    text = (ROOT / "docs" / "contracts" / "primitive_contract.md").read_text("utf-8")
    assert not [purpose for purpose in envelope.PURPOSES if f"`{purpose}`" not in text]


def test_the_cookbook_has_every_adapter() -> None:
    text = (ROOT / "docs" / "wiki" / "Integration-Cookbook.md").read_text("utf-8")
    assert not [name for name in ADAPTERS if f"| `{name}` |" not in text]


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index)}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path.name != "README.md"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - linked) == [], "docs/README.md"
