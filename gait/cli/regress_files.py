"""The files of a regression set: gait.yaml, and below it fixtures/<name>/ with what belongs to each fixture.

Invariant: what a document names is a regular file below the folder of gait.yaml, reached without a symbolic link.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from ..formats import strict_json, yaml_subset
from ..formats.documents import TYPE_CHECKING, NamedTuple
from ..regress import fixture as documents
from ..regress.fixture import FIXTURE_NAME, FOLDER, Config, Entry, Fixture
from ..system import files
from . import shared

if TYPE_CHECKING:
    from ..gate.matching import CompiledPolicy

MODE = 0o644  # these files are committed, and read by whoever runs the tests


class Set(NamedTuple):
    """A regression set: where its gait.yaml is, and what it says."""

    path: str
    config: Config

    @property
    def folder(self) -> str:
        """The folder of gait.yaml, empty for the current one."""
        return os.path.dirname(self.path)

    def file(self, entry: Entry, name: str) -> str:
        """The path of a file in a fixture's folder, whether or not it is there.  InvalidInput: a link leads elsewhere."""
        return below(self.folder, FOLDER, entry.name, name)


def below(folder: str, *names: str) -> str:
    """A path below a folder, none of whose parts is a symbolic link."""
    path = folder
    for name in names:
        path = os.path.join(path, name)
        if os.path.islink(path):
            raise InvalidInput("expected a file or folder, got a symbolic link", where=path, hint="put the file itself there", code="symlink_refused")
    return path


def read_set(path: str) -> Set:
    """The set of a gait.yaml."""
    try:
        data = files.read_bounded(path, documents.MAX_CONFIG_BYTES, "a regression set")
        return Set(path, documents.read_config(yaml_subset.loads(data, path, documents.MAX_CONFIG_BYTES)))
    except InvalidInput as error:
        error.where = error.where or path
        if error.error_code == "file_not_found":
            error.hint = "make one: gait regress init --from RUN"
        raise


def read_fixture(found: Set, entry: Entry) -> Fixture:
    """The fixture of an entry.  InvalidInput: there is none, or it is about another run."""
    path = found.file(entry, FIXTURE_NAME)
    data = files.read_bounded(path, documents.MAX_FIXTURE_BYTES, "a fixture")
    try:
        fixture = documents.read_fixture(strict_json.loads(data, path, documents.MAX_FIXTURE_BYTES))
    except InvalidInput as error:
        error.where = error.where or path
        raise
    same = (fixture.name, fixture.runpack) == (entry.name, entry.runpack) and entry.run_id in ("", fixture.run_id)
    if same:
        return fixture
    message = f"expected the fixture of gait.yaml, {entry.name} of run {entry.run_id[:128]}, got {fixture.name} of run {fixture.run_id[:128]}"
    raise InvalidInput(message, where=path, hint="make both say the same", code="fixture_mismatch")


def write_fixture(found: Set, fixture: Fixture) -> None:
    """Put fixture.json in place."""
    path = below(found.folder, FOLDER, fixture.name, FIXTURE_NAME)
    data = documents.dumps(fixture.to_value())
    if len(data) > documents.MAX_FIXTURE_BYTES:
        raise InvalidInput(f"expected a fixture of at most {documents.MAX_FIXTURE_BYTES} bytes, got more", where=path, hint="record a new run")
    files.write_atomic(path, data, MODE)


def add_entry(path: str, entry: Entry, policy: str) -> Set:
    """List a fixture in gait.yaml, which is made when it is not there.  A file that a person wrote as YAML is not rewritten."""
    if not os.path.lexists(path):
        config = Config(fixtures=(entry,))
        return _write_set(path, config._replace(policy=policy) if policy else config)
    found = read_set(path)
    if policy and policy != found.config.policy:
        raise InvalidInput(f"expected the policy of {path}, {found.config.policy}, got {policy}", where="--policy", hint=f"change it in {path}")
    if entry in found.config.fixtures:
        return found
    others = tuple(other for other in found.config.fixtures if other.name != entry.name)
    if not files.read_bounded(path, documents.MAX_CONFIG_BYTES).lstrip().startswith(b"{"):
        line = f"- {{name: {entry.name}, run_id: {entry.run_id}, runpack: {FOLDER}/{entry.name}/{entry.runpack}}}"
        raise InvalidInput("is YAML, which is not rewritten", where=path, hint=f"add under fixtures: {line}", code="config_not_json")
    return _write_set(path, found.config._replace(fixtures=(*others, entry)))


def _write_set(path: str, config: Config) -> Set:
    config = documents.read_config(config.to_value())
    files.write_atomic(path, documents.dumps(config.to_value()), MODE)
    return Set(path, config)


def policy_path(found: Set, given: str | None) -> str:
    """Today's policy: the one that was given, or that of gait.yaml, which is below its folder."""
    return given or below(found.folder, *found.config.policy.split("/"))


def read_policy(found: Set, given: str | None) -> CompiledPolicy:
    """Today's policy, compiled."""
    path = policy_path(found, given)
    try:
        return shared.read_policy(path)
    except InvalidInput as error:
        if error.error_code == "file_not_found" and not given:
            message = "expected today's policy, which every recorded call is evaluated with, got no such file"
            raise InvalidInput(message, where=path, hint="name it: --policy FILE", code="policy_missing") from None
        raise
