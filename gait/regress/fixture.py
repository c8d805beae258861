"""`gait.yaml` and `fixtures/<name>/fixture.json`: which runs are graded, and what is expected of each.

Both may be an attacker's: names are plain file names, so that nothing outside the folder can be named, and unknown
keys are refused, so that no assertion is silently left out.
"""

from __future__ import annotations

import re

from ..errors import InvalidInput
from ..formats import jcs
from ..formats.documents import NamedTuple
from ..formats.fields import Fields, Path, refuse
from ..gate.simulate import Answer

CONFIG_ID, FIXTURE_ID = "gait.regress.config", "gait.regress.fixture"
SCHEMA_VERSION = "1.0.0"
CONFIG_NAME, FOLDER, FIXTURE_NAME, RUNPACK_NAME = "gait.yaml", "fixtures", "fixture.json", "runpack.zip"
DEFAULT_SET, DEFAULT_POLICY = "default", "policy.yaml"
MAX_CONFIG_BYTES = 1024 * 1024
MAX_FIXTURE_BYTES = 16 * 1024 * 1024
MAX_FIXTURES = 1000
MAX_TEXT = 1000
ORDERS = ("exact", "subsequence")
# The facts of a step that a candidate run may be allowed to differ in.
DIFF_FIELDS = (
    "args_digest", "intent_digest", "verdict", "matched_rule", "reason_codes", "policy_digest", "status", "result_digest",
)  # fmt: skip

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile("[0-9a-f]{64}")


class Entry(NamedTuple):
    """One fixture as gait.yaml names it."""

    name: str
    run_id: str
    runpack: str

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        return {"name": self.name, "run_id": self.run_id, "runpack": f"{FOLDER}/{self.name}/{self.runpack}"}


class Config(NamedTuple):
    """gait.yaml.  `policy` is a path below its folder."""

    fixture_set: str = DEFAULT_SET
    policy: str = DEFAULT_POLICY
    fixtures: tuple[Entry, ...] = ()

    def to_value(self) -> dict[str, object]:
        """As JSON, fixtures sorted by name."""
        head = {"schema_id": CONFIG_ID, "schema_version": SCHEMA_VERSION, "fixture_set": self.fixture_set, "policy": self.policy}
        return {**head, "fixtures": [entry.to_value() for entry in sorted(self.fixtures)]}


class Trajectory(NamedTuple):
    """The expected order of tools and of verdicts, None where nothing is expected."""

    order: str
    tools: tuple[str, ...] | None
    verdicts: tuple[str, ...] | None

    def to_value(self) -> dict[str, object]:
        """As JSON."""
        lists = {"tools": self.tools, "verdicts": self.verdicts}
        return {"order": self.order, **{name: list(items) for name, items in lists.items() if items is not None}}


class Accepted(NamedTuple):
    """A drift that somebody has accepted: for these calls (intent ids), from exactly this answer to exactly that one."""

    recorded: Answer
    answered: Answer
    calls: tuple[str, ...]
    accepted_by: str
    accepted_at: str
    reason: str

    def to_value(self) -> dict[str, object]:
        """As JSON, with the digests of both answers."""
        digests = {"recorded_digest": self.recorded.digest, "answered_digest": self.answered.digest}
        answers = {"recorded": self.recorded.to_value(), "answered": self.answered.to_value()}
        who = {"accepted_by": self.accepted_by, "accepted_at": self.accepted_at, "reason": self.reason}
        return {**digests, **answers, "calls": list(self.calls), **who}


class Fixture(NamedTuple):
    """fixture.json.  An empty `manifest_digest` pins nothing; `not_evaluable_allowed` is how many calls need no second answer."""

    name: str
    run_id: str
    runpack: str = RUNPACK_NAME
    manifest_digest: str = ""
    expected_replay_exit_code: int = 0
    not_evaluable_allowed: int = 0
    candidate_runpack: str = ""
    diff_allow_fields: tuple[str, ...] = ()
    trajectory: Trajectory | None = None
    accepted: tuple[Accepted, ...] = ()

    def to_value(self) -> dict[str, object]:
        """As JSON; what is not set is left out, but for the expected exit code."""
        value: dict[str, object] = {"schema_id": FIXTURE_ID, "schema_version": SCHEMA_VERSION}
        texts = {"name": self.name, "run_id": self.run_id, "runpack": self.runpack, "manifest_digest": self.manifest_digest}
        value.update({name: text for name, text in texts.items() if text})
        value["expected_replay_exit_code"] = self.expected_replay_exit_code
        optional = {
            "not_evaluable_allowed": self.not_evaluable_allowed,
            "candidate_runpack": self.candidate_runpack,
            "diff_allow_fields": list(self.diff_allow_fields),
            "trajectory": self.trajectory and self.trajectory.to_value(),
            "accepted": [entry.to_value() for entry in self.accepted],
        }
        return {**value, **{name: item for name, item in optional.items() if item}}


def check_name(name: str) -> str:
    """The name itself.  InvalidInput: 1 to 64 of a-z, 0-9, `.`, `_`, `-`: it is a folder's name."""
    if _NAME.fullmatch(name) and ".." not in name and not name.endswith("."):
        return name
    raise refuse(("name",), "1 to 64 of a-z, 0-9, . _ and -, without ..", name, "choose another name, for example demo")


def name_of(run_id: str) -> str:
    """A fixture's name made of a run's id."""
    name = re.sub(r"\.\.+", ".", re.sub("[^a-z0-9._-]+", "-", run_id.lower()))[:64].strip("-._")
    return name or "fixture"


def read_config(value: object) -> Config:
    """gait.yaml's document, its fixtures sorted by name.  InvalidInput names the place."""
    fields = Fields(value)
    _check_head(fields, CONFIG_ID)
    fixture_set, policy = fields.text("fixture_set", DEFAULT_SET), fields.text("policy", DEFAULT_POLICY)
    if len(fixture_set) > MAX_TEXT:
        raise refuse(fields.at("fixture_set"), f"at most {MAX_TEXT} characters", fixture_set)
    _check_below(policy, fields.at("policy"))
    items = fields.items("fixtures")
    if len(items) > MAX_FIXTURES:
        raise InvalidInput(f"fixtures: must be at most {MAX_FIXTURES}; got {len(items)}")
    entries = [_entry(item, ("fixtures", index)) for index, item in enumerate(items)]
    names = [entry.name for entry in entries]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refuse(("fixtures", index, "name"), "a name of its own", name)
    fields.done()
    return Config(fixture_set, policy, tuple(sorted(entries)))


def read_fixture(value: object) -> Fixture:
    """fixture.json's document.  InvalidInput names the place."""
    fields = Fields(value)
    _check_head(fields, FIXTURE_ID)
    allowed = fields.words("diff_allow_fields", DIFF_FIELDS)
    accepted = [_accepted(Fields(item, ("accepted", index))) for index, item in enumerate(fields.items("accepted"))]
    fixture = Fixture(
        name=_name(fields),
        run_id=_short(fields, "run_id"),
        runpack=_file(fields, "runpack") or RUNPACK_NAME,
        manifest_digest=_digest(fields, "manifest_digest"),
        expected_replay_exit_code=fields.integer("expected_replay_exit_code", minimum=0),
        not_evaluable_allowed=fields.integer("not_evaluable_allowed", minimum=0),
        candidate_runpack=_file(fields, "candidate_runpack"),
        diff_allow_fields=allowed,
        trajectory=_trajectory(fields.fields("trajectory")) if fields.has("trajectory") else None,
        accepted=tuple(accepted),
    )
    fields.done()
    return fixture


def _check_head(fields: Fields, schema_id: str) -> None:
    if fields.text("schema_id", schema_id) != schema_id:
        raise refuse(("schema_id",), schema_id, fields.raw("schema_id"))
    if fields.text("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise refuse(("schema_version",), SCHEMA_VERSION, fields.raw("schema_version"))


def _check_below(path: str, place: Path) -> None:
    parts = path.split("/")
    if len(path) > MAX_TEXT or "\\" in path or not path.isprintable() or any(part in ("", ".", "..") or ":" in part for part in parts):
        raise refuse(place, "a relative path in the folder of gait.yaml, without ..", path, "name another file with --policy")


def _entry(item: object, path: Path) -> Entry:
    fields = Fields(item, path)
    name, run_id = _name(fields), fields.text("run_id")
    runpack = fields.text("runpack", f"{FOLDER}/{name}/{RUNPACK_NAME}")
    folder, _, file = runpack.rpartition("/")
    if folder != f"{FOLDER}/{name}" or not _is_file(file):
        raise refuse(fields.at("runpack"), f"{FOLDER}/{name}/{RUNPACK_NAME}", runpack)
    fields.done()
    return Entry(name, run_id, file)


def _name(fields: Fields) -> str:
    try:
        return check_name(fields.required("name"))
    except InvalidInput as error:
        raise refuse(fields.at("name"), "1 to 64 of a-z, 0-9, . _ and -, without ..", fields.raw("name")) from error


def _is_file(name: str) -> bool:
    return _FILE.fullmatch(name) is not None and ".." not in name and name != FIXTURE_NAME


def _file(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if text and not _is_file(text):
        raise refuse(fields.at(name), "a file's name in the fixture's folder", text)
    return text


def _short(fields: Fields, name: str) -> str:
    text = fields.required(name)
    if len(text) > MAX_TEXT:
        raise refuse(fields.at(name), f"at most {MAX_TEXT} characters", text)
    return text


def _digest(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if text and not _DIGEST.fullmatch(text):
        raise refuse(fields.at(name), "64 lowercase hex digits", text)
    return text


def _texts(fields: Fields, name: str) -> tuple[str, ...] | None:
    """A list of texts in its own order, None when absent."""
    if not fields.has(name):
        return None
    items = fields.items(name)
    for index, item in enumerate(items):
        if type(item) is not str:
            raise refuse((*fields.at(name), index), "text", item)
    return tuple(items)  # type: ignore[arg-type]


def _trajectory(fields: Fields) -> Trajectory:
    found = Trajectory(fields.word("order", ORDERS, "exact"), _texts(fields, "tools"), _texts(fields, "verdicts"))
    if found.tools is None and found.verdicts is None:
        raise refuse(fields.path, "an object with tools, verdicts or both", None)
    fields.done()
    return found


def _accepted(fields: Fields) -> Accepted:
    recorded, answered = _answer(fields.fields("recorded")), _answer(fields.fields("answered"))
    who = (_short(fields, "accepted_by"), _short(fields, "accepted_at"), _short(fields, "reason"))
    found = Accepted(recorded, answered, _texts(fields, "calls") or (), *who)
    for name, answer in (("recorded_digest", recorded), ("answered_digest", answered)):
        if fields.required(name) != answer.digest:
            raise refuse(fields.at(name), f"the digest of the answer, {answer.digest}", fields.raw(name))
    fields.done()
    return found


def _answer(fields: Fields) -> Answer:
    found = Answer(fields.required("verdict"), fields.text("matched_rule"), fields.texts("reason_codes"))
    fields.done()
    return found


def dumps(value: dict[str, object]) -> bytes:
    """The text of a document: indented JSON, which YAML readers take too, members in their order."""
    import json

    jcs.dumps(value)  # what has no canonical form is refused before it is written
    return (json.dumps(value, ensure_ascii=True, indent=2) + "\n").encode("ascii")
