"""docs/schemas: made from the code, true of every document of ours, and refusing what Gait refuses."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gait.errors import GaitError
from tests import schema_documents as documents
from tests.schema_checker import ANNOTATIONS, UnknownKeyword, problems, same

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
schemas = importlib.import_module("schemas")
live = importlib.import_module("live_tables")


def schema(name):
    return json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text("utf-8"))


def test_the_files_are_as_the_code_says():
    assert {path.name: path.read_text("utf-8") for path in (ROOT / "docs/schemas").glob("*")} == schemas.texts(), "run make docs"


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_every_document_of_ours_is_valid(name):
    for place, value in documents.good(name):
        assert not list(problems(schema(name), value)), place


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_broken_documents_are_refused(name):
    taken = [place for place, value in documents.bad(name) if not list(problems(schema(name), value))]
    assert not taken and len(documents.bad(name)) >= 5


@pytest.mark.parametrize("name", documents.READERS)
def test_gait_reads_what_the_schema_takes_and_refuses_as_well(name):
    """Not each broken document: a reader may supply what is missing.  But no schema is strict where Gait is not strict at all."""
    read = documents.READERS[name]
    for place, value in documents.good(name):
        read(value)
    refused = 0
    for _, value in documents.bad(name):
        try:
            read(value)
        except GaitError:
            refused += 1
    assert refused >= 4


# Inside a document: schema, the steps to a place, and what is put there.  Gait refuses each of them too.
INSIDE = [
    ("policy", ("rules", 0, "efect"), "block"),
    ("policy", ("rules", 0, "effect"), "permit"),
    ("policy", ("rules", 0, "name"), ""),
    ("policy", ("rules", 0, "match"), {"tool_names": []}),
    ("policy", ("rules", 0, "match"), {"risk_classes": ["extreme"]}),
    ("policy", ("rules", 0, "endpoint"), {"action": "allow"}),
    ("policy", ("rules", 0, "endpoint"), {"egress_classes": ["fs.read"]}),
    ("policy", ("rules", 0, "rate_limit"), {"requests": -1}),
    ("policy", ("rules", 0, "budget"), {"argument": "a"}),
    ("policy", ("fail_closed",), {"required_fields": ["args"]}),
    ("intent_request", ("context", "risk_class"), "extreme"),
    ("intent_request", ("context", "identity"), ""),
    ("intent_request", ("targets",), [{"kind": "file", "value": "a"}]),
    ("intent_request", ("targets",), [{"kind": "path"}]),
    ("intent_request", ("arg_provenance",), [{"arg_path": "a", "source": "dream"}]),
    ("intent_request", ("arg_provenance",), [{"arg_path": "a", "source": "user", "integrity_digest": "abc"}]),
    ("intent_request", ("args",), [1]),
    ("keyring", ("keys", 0, "more"), 1),
    ("keyring", ("keys",), []),
    ("keyring", ("purpose",), "both"),
    ("approval_token", ("scope",), []),
    ("approval_token", ("signature", "alg"), "none"),
    ("approval_token", ("max_uses",), 0),
    ("approval_grant", ("arg_constraints",), [{"argument": "a", "test": "like", "value": "b"}]),
    ("approval_grant", ("expires_at",), "tomorrow"),
    ("stops", ("stops", 0, "scope"), "everything"),
    ("stops", ("sequence",), 0),
    ("mcp_gateway", ("unwrap", 0, "name_path"), []),
    ("mcp_gateway", ("unwrap", 0, "arguments_encoding"), "yaml"),
    ("regress_config", ("fixtures", 0, "name"), "../x"),
    ("regress_fixture", ("diff_allow_fields",), ["everything"]),
    ("runpack_manifest", ("files", 0, "sha256"), "abc"),
    ("runpack_manifest", ("run_id",), "../x"),
    ("runpack_result", ("decision",), {"verdict": "maybe"}),
    ("runpack_refs", ("receipts",), [{"ref_id": "a"}]),
    ("config", ("profile",), "strict"),
    ("config_trust", ("projects",), {"/w": "abc"}),
    ("journal_event", ("event",), "deleted"),
    ("registry_pack", ("artifacts",), []),
    ("broker_credential_answer", ("credential_ref",), "hunter2"),
]


@pytest.mark.parametrize("name, steps, value", INSIDE, ids=lambda item: item if isinstance(item, str) else None)
def test_what_gait_refuses_inside_a_document_the_schema_refuses_too(name, steps, value):
    found = (value for _, value in documents.good(name) if not steps[1:2] == (0,) or value.get(steps[0]))
    document = place = copy.deepcopy(next(found))
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    assert list(problems(schema(name), document))
    if name in documents.READERS:
        with pytest.raises(GaitError):
            documents.READERS[name](document)


# Texts of the form of a schema id that are none.
NO_DOCUMENTS = {"gait.py", "gait.lock", "gait.yaml", "gait.key_id", "gait.decision", "gait.mcp.serve", "gait.self_test"}


def test_every_schema_id_of_the_code_has_a_schema():
    texts = {node.value for module in live.modules() for node in ast.walk(module.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = {text for text in texts if re.fullmatch(r"gait(\.[a-z_]+)+", text)} - NO_DOCUMENTS
    written = {found for one in schemas.SCHEMAS.values() for found in re.findall(r"'(gait\.[a-z_.]+)'", str(one))}
    assert len(named) > 25 and named <= written, named - written


# --- the checker itself --------------------------------------------------------------------------


def test_an_unknown_keyword_is_an_error():
    with pytest.raises(UnknownKeyword):
        list(problems({"properties": {"a": {"dependentRequired": {}}}}, {"a": 1}))


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_only_known_keywords_are_used(name):
    def walk(value, is_schema=True):
        if isinstance(value, dict):
            for word, said in value.items():
                if is_schema:
                    assert word in ANNOTATIONS or word in importlib.import_module("tests.schema_checker")._WORDS, word
                walk(said, not is_schema if word == "properties" and is_schema else word not in ("const", "enum"))
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(schema(name))


@pytest.mark.parametrize(
    "said, good, bad",
    [
        ({"type": "integer"}, [1, -1, 2.0], [True, 1.5, "1", None]),
        ({"type": "number"}, [1, 1.5], [False, "1"]),
        ({"type": ["string", "null"]}, ["", None], [0, []]),
        ({"const": 1}, [1], [True, "1", 2]),
        ({"enum": ["a", 0]}, ["a", 0], [False, "b"]),
        ({"pattern": "^a$"}, ["a", 5], ["ab", "a\n"]),
        ({"minLength": 1, "maxLength": 2}, ["a", "ab", []], ["", "abc"]),
        ({"minimum": 1, "maximum": 2}, [1, 2, "x", True], [0, 3]),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"uniqueItems": True}, [[1, True], [{}, []]], [[1, 1], [{}, {}]]),
        ({"items": {"type": "string"}}, [[], ["a"], {}], [[1]]),
        ({"required": ["a"]}, [{"a": 1}, []], [{}]),
        ({"properties": {"a": {"const": 1}}, "additionalProperties": False}, [{"a": 1}, {}], [{"a": 2}, {"b": 1}]),
        ({"additionalProperties": {"type": "string"}}, [{"a": "b"}], [{"a": 1}]),
        ({"propertyNames": {"pattern": "^a"}}, [{"ab": 1}], [{"b": 1}]),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, [1, 2], [3]),
    ],
)
def test_each_keyword(said, good, bad):
    assert [value for value in good if list(problems(said, value))] == []
    assert [value for value in bad if not list(problems(said, value))] == []


def test_true_is_not_one():
    assert same(1, 1) and same(True, True) and not same(1, True) and not same(0, False)


def test_the_full_validator_is_used_where_it_is_and_missed_aloud():
    done = subprocess.run([sys.executable, ROOT / "scripts/schemas.py", "--validate"], stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0 and ("skipped" in done.stdout or "documents valid" in done.stdout), done.stdout
