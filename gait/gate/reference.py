"""What may be kept of an intent where no content is to be kept: enough to evaluate it again, and no more.

Invariant: the rules answer the same to what is kept, but for a target_values or destination_values list that names a whole command
or a URL's query.  Left out: the arguments, auth_context, commands (their digest stands for them), and a URL's user and query.
"""

from __future__ import annotations

import hashlib

from ..formats import hosts
from ..formats.patterns import lazy

Record = dict[str, object]

_DIGEST = lazy("sha256:[0-9a-f]{64}")
_URL = lazy(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#\\]*@)?([^?#]*)")


def reference(document: Record) -> Record | None:
    """The members of an intent's normal form that may be kept; None when a URL cannot be cut without becoming another to the rules."""
    kept = {name: item for name, item in document.items() if name not in ("args", "args_digest", "intent_digest")}
    context = kept.get("context")
    if isinstance(context, dict):
        kept["context"] = {name: item for name, item in context.items() if name != "auth_context"}
    targets = kept.get("targets")
    if isinstance(targets, list):
        found = [_target(target) for target in targets]
        if None in found:
            return None
        kept["targets"] = found
    return kept


def _target(target: object) -> object:
    """The target, None when it cannot be kept."""
    value = target.get("value") if isinstance(target, dict) else None
    if not isinstance(value, str):
        return target
    if target["kind"] == "other" and not _DIGEST.fullmatch(value):  # type: ignore[index]
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return {**target, "value": f"sha256:{digest}"}  # type: ignore[dict-item]
    if target["kind"] == "url" and any(char in value for char in "?#@"):  # type: ignore[index]
        cut = _cut(value)
        return {**target, "value": cut} if cut else None  # type: ignore[dict-item]
    return target


def _cut(url: str) -> str:
    """The URL without user, query and fragment; empty when its host would be another one, or none, to any reader."""
    found = _URL.match(url)
    cut = f"{found[1]}{found[2]}" if found else ""
    return cut if cut and hosts.agreed(cut) and hosts.agreed(cut) == hosts.agreed(url) else ""
