"""Nothing is undocumented: commands, options, exit codes, environment variables, error codes, findings, reason codes, adapters.

The live tables are read out of the code (scripts/live_tables.py); a name in a failure is an entry that scripts/reference_words.py lacks,
or has and should not.  After that, `make docs` writes the pages anew.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
live = importlib.import_module("live_tables")
words = importlib.import_module("reference_words")
reference = importlib.import_module("reference")

from gait.adapters import ADAPTERS  # noqa: E402
from gait.hosts.hook import HOSTS  # noqa: E402


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_page_is_as_the_code_says(name):
    assert (ROOT / "docs" / name).read_text("utf-8") == reference.PAGES[name](), "run make docs"


def both_ways(found, written):
    return {"not written down": sorted(set(found) - set(written)), "no longer there": sorted(set(written) - set(found))}


NOTHING = {"not written down": [], "no longer there": []}


def test_every_code_of_an_error_or_finding_has_words():
    assert both_ways(live.codes(), words.CODES) == NOTHING


def test_every_reason_code_and_violation_has_words():
    """A code that is put together, such as approval_token_ with expired, is not in the tree as one word; its parts are."""
    composed = {code for code in words.REASONS if code.startswith(words.BEGINNINGS)} - {"approval_token_missing"}
    plain = {*words.REASONS, *words.FIELDS, *words.NO_REASONS, *words.ENDINGS} - composed - {"stopped"}
    assert both_ways(live.deciding_words(), plain) == NOTHING
    for ending in words.ENDINGS:
        assert any(code.endswith(f"_{ending}") for code in composed), ending
    assert {which for which, _, _ in words.REASONS.values()} == {"reason", "violation", "both"}


def test_every_command_has_exit_codes():
    commands = [command.name for command in live.commands()]
    nouns = {name.split(" ")[0] for name in commands if " " in name}
    assert both_ways(set(commands) - nouns, words.EXIT_CODES) == NOTHING


def test_every_environment_variable_has_words():
    assert both_ways(live.variables(), words.VARIABLES) == NOTHING


def test_every_option_is_on_the_page_and_says_something():
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    for command in live.commands():
        section = re.search(rf"^###? gait {re.escape(command.name)}\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        assert section, command.name
        for action in live.options(command):
            names = action.option_strings or [str(action.metavar or action.dest)]
            assert all(f"`{name}`" in section.group(1) for name in names), f"{command.name}: {names}"
            assert action.help, f"gait {command.name} {names[0]}: no help text"


def test_every_row_has_a_meaning_and_a_step():
    for table in (words.CODES, words.REASONS, words.VARIABLES):
        assert not [name for name, cells in table.items() if not all(cells)]


def test_the_codes_of_the_fixtures_are_written_down():
    """What decisions say, in the vectors: Gait's own words, for the policies there have words of their own."""
    own = re.compile(r"(fail_closed|endpoint|missing|approval|broker|rate_limit|budget|dataflow|tainted)_[a-z_]+")
    written = set(words.REASONS) | {"dataflow_other"}
    said = set()
    for path in ("fixtures/gate/vectors_200.jsonl", "fixtures/gate/adversarial.jsonl"):
        for line in (ROOT / path).read_text("utf-8").splitlines():
            expected = json.loads(line).get("expect", {})
            said.update(code for key in ("reason_codes", "violations") for code in expected.get(key) or ())
    found = {code for code in said if own.fullmatch(code)}
    assert len(found) > 10 and found <= written, found - written


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_is_documented(adapter):
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"`{adapter}`" in page.read_text("utf-8") for page in pages if page.name not in reference.PAGES)


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_is_documented(host):
    assert host in (ROOT / "docs/hooks.md").read_text("utf-8")


# --- the walk has teeth --------------------------------------------------------------------------

SOURCE = '''
class Finding(NamedTuple):
    code: str
    message: str
class Made:
    def _add(self, code: str, name: str) -> None: ...
def _failed(path: str, code: str = "") -> StorageError:
    if not code:
        code = "by_assignment"
    return StorageError(path, code=code)
def run(self, x):
    Finding("by_document", "m")
    self._add("by_method", "n")
    _failed("p", "by_helper")
    raise InvalidInput("m", code="by_keyword" if x else "by_other_branch")
def problem():
    return "by_return", "a message with spaces"
error.error_code = "by_attribute"
'''


def test_each_way_to_name_a_code_is_found():
    tree = ast.parse(SOURCE)
    found = {code: carrier for code, carrier, _ in live._named(tree, dict(live._carriers(tree))) if carrier or code not in ("by_assignment",)}
    assert found == {
        **{"by_document": "", "by_method": "", "by_helper": "StorageError", "by_keyword": "InvalidInput", "by_other_branch": "InvalidInput"},
        **{"by_return": "", "by_attribute": "", "by_assignment": "StorageError"},
    }


def test_fields_are_no_reason_codes():
    tree = ast.parse('x = {"a_key": fields.text("a_field", "a_default")}; x["a_place"]; reasons.add("a_reason")')
    fields = {node.value for node in live._field_names(tree)}
    assert fields == {"a_key", "a_field", "a_place"}


def test_the_codes_that_are_known_to_be_there_are_found():
    codes = live.codes()
    assert {"signature_mismatch", "link_broken", "entry_path_traversal", "address_in_use", "zip64", "unauthorized", "not_found"} <= set(codes)
    assert codes["unauthorized"].statuses == (401,) and codes["unauthorized"].classes == ("Refusal",)
    assert {"evaluation_failed", "tool_not_in_lock", "endpoint_path_denied", "approval_token_missing"} <= set(live.deciding_words())
    assert {"GAIT_HOME", "CLAUDE_CONFIG_DIR", "SOURCE_DATE_EPOCH"} <= set(live.variables())
