"""Approvals on disk, below one folder: tokens by the digest they are for, grants by tool, and the ids that are revoked.

Nothing here is believed for being here: tokens and grants are signed, and a revocation, which only takes away, holds whatever is in
its file.  Limit: whoever may write to the folder may take a revocation away, so it belongs to the evaluator's account.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from ..errors import GaitError, InvalidInput, StorageError
from ..formats import strict_json, timestamps
from ..formats.documents import NamedTuple
from ..gate.approval_fields import MAX_BYTES, Approver
from ..signing.keys import Keyring, require_purpose
from ..system import clock, files
from . import keys

FOLDER = "approvals"  # of $GAIT_HOME
TOKENS, GRANTS, REVOKED = "tokens", "grants", "revoked"
REVOCATION_ID = "gait.gate.approval_revocation"
MAX_FOUND = 64  # documents that are looked at for one call
_KINDS = {TOKENS: "token_id", GRANTS: "grant_id"}
_ID_DIGITS = 24


class Kept(NamedTuple):
    """One document of the store as it is in its file; `value` None: it cannot be read."""

    path: str
    kind: str
    id: str
    value: object


def load_approvers(places: list[str], variables: list[str]) -> tuple[Approver, ...]:
    """The approvers whose key rings are in files and environment variables, each given as [NAME=]PLACE.

    Every ring must say that it is for approvals: a bare secret could be a trace key.  MissingDependency, StorageError,
    InvalidInput: as keys.load says.
    """
    found = [Approver(_approval_ring(keys.load(path, None), path), name) for name, path in map(named, places)]
    return (*found, *(Approver(_approval_ring(keys.load_env(variable, None), f"${variable}"), name) for name, variable in map(named, variables)))


def _approval_ring(ring: Keyring, where: str) -> Keyring:
    try:
        return require_purpose(ring, "approval")
    except InvalidInput as error:
        error.where = where
        raise


def named(text: str) -> tuple[str, str]:
    """The identity, empty for any, and the place in [NAME=]PLACE."""
    name, equals, place = text.partition("=")
    return (name.strip(), place) if equals and "/" not in name and os.sep not in name else ("", text)


class Approvals:
    """The store in a folder, which is made on the first save."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def save_token(self, document: dict[str, object]) -> str:
        """Keep a signed token where its call will be looked for; the path.  Those of the same call that are over go."""
        folder = self._folder(TOKENS, str(document["intent_digest"]))
        _drop_expired(folder)
        return _save(folder, str(document["token_id"]), document)

    def save_grant(self, document: dict[str, object]) -> str:
        """Keep a signed grant where its tool's calls will be looked for; the path.  Those of the same tool that are over go."""
        folder = self._folder(GRANTS, _name_of(str(document["tool_name"])))
        _drop_expired(folder)
        return _save(folder, str(document["grant_id"]), document)

    def tokens(self, digests: tuple[str, ...]) -> list[Kept]:
        """The tokens for a call.  StorageError: they cannot be listed."""
        return [kept for digest in digests for kept in self._in(TOKENS, os.path.join(self.folder, TOKENS, digest))]

    def grants(self, tool_name: str) -> list[Kept]:
        """The grants for a tool.  StorageError: they cannot be listed."""
        return self._in(GRANTS, os.path.join(self.folder, GRANTS, _name_of(tool_name)))

    def all(self) -> Iterator[Kept]:
        """Every token and grant."""
        for kind in _KINDS:
            for name in _names(os.path.join(self.folder, kind)):
                yield from self._in(kind, os.path.join(self.folder, kind, name), 0)

    def find(self, id_: str) -> Kept:
        """The token or grant with an id.  InvalidInput: there is none."""
        for kept in self.all():
            if kept.id == id_:
                return kept
        hint = "gait approvals list shows those that are there"
        raise InvalidInput("expected the id of a token or grant of this store, got another", where=id_[:40], hint=hint, code="approval_not_found")

    def revoke(self, id_: str, identity: str, reason_code: str) -> str:
        """Take a token or grant back, whether it is in the store or not; the path of the revocation."""
        if len(id_) != _ID_DIGITS or set(id_) - set("0123456789abcdef"):
            raise InvalidInput(f"expected an id of {_ID_DIGITS} lowercase hex digits, got {id_[:40]!r}", code="invalid_usage")
        said = {"schema_id": REVOCATION_ID, "schema_version": "1.0.0", "id": id_, "created_at": clock.now_text()}
        return _save(self._folder(REVOKED), id_, {**said, "revoked_by": identity, "reason_code": reason_code})

    def is_revoked(self, id_: str) -> bool:
        """Whether a revocation has its name; one that cannot be read, or looked for, revokes too."""
        try:
            os.lstat(os.path.join(self.folder, REVOKED, f"{id_}.json"))
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def _folder(self, *names: str) -> str:
        path = self.folder
        files.private_directory(path)
        for name in names:
            path = os.path.join(path, name)
            files.private_directory(path)
        return path

    def _in(self, kind: str, folder: str, limit: int = MAX_FOUND) -> list[Kept]:
        names = [name for name in _names(folder) if name.endswith(".json")]
        if limit and len(names) > limit:
            message = f"expected at most {limit} approvals for one call, got {len(names)}"
            hint = "take those away that are over"
            raise StorageError(message, where=folder, hint=hint, code="too_many_approvals")
        return [_read(os.path.join(folder, name), kind) for name in sorted(names)]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot list the folder: {error.strerror}", where=folder, code="approvals_unreadable") from error


def _read(path: str, kind: str) -> Kept:
    value: object = None
    try:
        value = strict_json.loads(files.read_bounded(path, MAX_BYTES, "an approval"), path, MAX_BYTES)
    except GaitError:
        pass  # a document that cannot be read is an approval that is refused, and said to be
    return Kept(path, kind, os.path.basename(path)[: -len(".json")], value)


def _save(folder: str, name: str, document: dict[str, object]) -> str:
    path = os.path.join(folder, f"{name}.json")
    files.write_atomic(path, (json.dumps(document, indent=2) + "\n").encode("ascii"), sync=True)
    return path


def _drop_expired(folder: str) -> None:
    now = clock.now()
    for name in _names(folder):
        kept = _read(os.path.join(folder, name), TOKENS)
        if type(kept.value) is dict and _is_over(str(kept.value.get("expires_at")), now):
            files.remove(kept.path)


def _is_over(expires_at: str, now: float) -> bool:
    try:
        return timestamps.loads(expires_at) <= now
    except InvalidInput:
        return False


def _name_of(tool_name: str) -> str:
    """A folder's name for a tool, whose own may hold anything."""
    return hashlib.sha256(tool_name.encode("utf-8", "surrogatepass")).hexdigest()
