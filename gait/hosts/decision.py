"""The decision on one call that a host hands over: a running service's, or this process's own, which a journal holds first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from ..errors import GaitError, InvalidInput, StorageError
from ..formats.documents import TYPE_CHECKING, NamedTuple
from .options import Options

if TYPE_CHECKING:
    from ..gate.approval_fields import Approver
    from ..gate.matching import CompiledPolicy
    from ..gate.policy import Policy
    from ..judge import Judged
    from ..signing.keys import Keyring
    from ..store.allowances import Allowances
    from ..store.broker import Broker
    from ..store.packages.skill import Skill

_compiled: dict[str, tuple[bytes, CompiledPolicy]] = {}  # a policy's path -> its last bytes and what they mean
_allowances: dict[tuple[str, Options], Allowances] = {}  # a $GAIT_HOME and the options -> what they allow


class Decided(NamedTuple):
    """A decision as `Judged.to_value` and the decision API give it; `judged` is None when a service made it."""

    value: Mapping[str, object]
    judged: Judged | None = None


def decide(options: Options, raw: bytes, value: object, upstream: str = "") -> Decided:
    """The decision on the call `raw`, parsed as `value`; recorded.  GaitError: there is none.

    `upstream` names what an allowed call is given to, when the caller will record its `outcome`.
    """
    if options.server:
        skill(options)  # refused beside a service
        from .server import ask

        found = ask(options.server, options.token_env, options.host.adapter, options.context(), raw)
        if found:
            return Decided(found)
    from ..judge import Call, judge

    call = Call(raw, value, "event", options.host.adapter, options.context(), upstream=upstream, capture="reference")
    keys = ring(options)

    def sign(record: dict[str, object]) -> dict[str, object]:
        from ..store.journal.oneshot import append_once

        return append_once(journal(options), record, keys)

    judged = judge(policy(options), call, sign, _outside(options))
    return Decided(judged.to_value(None), judged)


def _outside(options: Options) -> Allowances:
    """What these options allow, the same each time: it remembers which stops it has seen."""
    from ..store.allowances import Allowances, nobody

    place = (_home(), options)
    found = _allowances.get(place)
    if found is None:
        believed = (lambda: approvers(options)) if options.approval_key else nobody
        made = Allowances(_home(), lambda: ring(options), believed, broker=broker(options), skill=skill(options))
        found = _allowances.setdefault(place, made)
    return found


def policy(options: Options) -> CompiledPolicy:
    """The policy of a host, read from its file each time.  GaitError: it cannot be used."""
    from ..gate import policy as policies
    from ..gate.matching import compile_policy
    from ..system import files

    path = options.policy or os.path.join(_home(), "policy.yaml")
    data = files.read_bounded(path, policies.MAX_BYTES, "policy")
    known = _compiled.get(path)
    if known is None or known[0] != data:
        _compiled[path] = known = data, compile_policy(policies.loads(data, path))
    _check_profile(options, known[1].policy)
    return known[1]


def _check_profile(options: Options, policy: Policy) -> None:
    if options.profile == "standard":
        return
    from ..formats.fields import unknown_word
    from ..gate.profiles import NAMES, Setup, check_policy, check_setup

    if options.profile not in NAMES:
        raise unknown_word(("--profile",), NAMES, options.profile)
    check_setup(Setup(options.profile, options.key_mode, bool(options.approval_key), options.credential_broker))
    check_policy(options.profile, policy)


def ring(options: Options) -> Keyring:
    """The keys that sign a host's records.  GaitError: they cannot be used."""
    from ..store import keys

    return keys.signing_keyring(options.key_mode, options.private_key, options.private_key_env)[0]


def approvers(options: Options) -> tuple[Approver, ...]:
    """Those whose approvals a host believes.  GaitError: a key cannot be used."""
    if not options.approval_key:
        return ()
    from ..store.approvals import load_approvers

    return load_approvers([name for name in options.approval_key.split(",") if name], [])


def broker(options: Options) -> Broker | None:
    """Where credentials come from; None: nowhere.  InvalidInput: the options do not say."""
    words = options.credential_broker, options.credential_env_prefix, options.credential_command
    if words == ("off", None, None):
        return None
    from ..store import broker as brokers

    return brokers.make(*words)


def skill(options: Options) -> Skill | None:
    """The package that a host's calls come from, if one is named.  GaitError: its key cannot be used."""
    named = (options.skill_public_key, options.skill_private_key)
    if not options.skill and named == (None, None):
        return None
    if not options.skill or options.server:
        message = "the service verifies packages: give it there" if options.server else "expected --skill beside its key"
        raise InvalidInput(message, where="--skill", code="invalid_usage")
    from ..store import keys
    from ..store.packages.skill import Skill

    verifier = keys.package_keys(*named)
    return Skill(options.skill, lambda: verifier)


def journal(options: Options) -> str:
    """The folder of the journal."""
    return options.journal or os.path.join(_home(), "journal")


def refused(options: Options, raw: bytes, error: GaitError) -> None:
    """Record a call that got no decision: its digest, size and reason, nothing of its content.  Raises no GaitError."""
    if isinstance(error, StorageError):
        return  # the journal itself, most likely; what failed first is what the host must hear
    details: dict[str, object] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw), "reason": error.error_code}
    _event(options, "refused_input", details)


def outcome(options: Options, record: Mapping[str, object], status: str, seconds: float) -> None:
    """Record what became of an allowed call whose decision is `record`.  Raises no GaitError: verification lists the gap."""
    from ..store.journal import outcomes
    from ..system import clock

    duration_ms = 0.0 if clock.is_fixed() else round(seconds * 1000, 3)
    sequence: int = record["sequence"]  # type: ignore[assignment]
    _event(options, "outcome", outcomes.details(str(record["upstream"]), sequence, str(record["trace_id"]), status, "", 0, duration_ms))


def _event(options: Options, name: str, details: dict[str, object]) -> None:
    from ..store.journal import records
    from ..store.journal.oneshot import append_once
    from ..system import clock

    try:
        append_once(journal(options), records.event(name, clock.now_text(), details), ring(options))
    except GaitError:
        pass  # the call is refused, or over, all the same


def _home() -> str:
    from ..store import keys

    return keys.home()
