"""Profiles: `standard` asks for nothing, `oss-prod` for what a production gate must have."""

from __future__ import annotations

from ..errors import UnsafeOperation
from ..formats.documents import NamedTuple
from .policy import Policy, Rule

NAMES = ("standard", "oss-prod")
_HIGH = ("high", "critical")
_ISSUING = ("env", "command")  # brokers whose credentials are real


class Setup(NamedTuple):
    """The part of an evaluator's options that a profile looks at."""

    profile: str = "standard"
    key_mode: str = "dev"
    has_approval_key: bool = False
    broker: str = "off"
    simulates: bool = False


def check_setup(setup: Setup) -> None:
    """UnsafeOperation: the options are not what their profile asks for."""
    if setup.profile == "oss-prod":
        _raise(setup_findings(setup))


def check_policy(profile: str, policy: Policy) -> None:
    """UnsafeOperation: the policy is not what the profile asks for."""
    if profile == "oss-prod":
        _raise(policy_findings(policy))


def setup_findings(setup: Setup) -> list[str]:
    """What oss-prod misses in the options."""
    found = []
    if setup.key_mode != "prod":
        found.append("a provisioned key: --key-mode prod with --private-key or --private-key-env")
    if not setup.has_approval_key:
        found.append("an explicit approval key: --approval-key or --approval-key-env")
    if setup.broker not in _ISSUING:
        found.append("a broker that issues credentials: --credential-broker env or command")
    if setup.simulates:
        found.append("enforcement: no --simulate")
    return found


def policy_findings(policy: Policy) -> list[str]:
    """What oss-prod misses in a policy."""
    found = []
    if policy.default_verdict == "allow":
        found.append("a default_verdict that does not allow")
    for rule in policy.rules:
        if _lets_high_risk_through(rule) and not rule.require_broker_credential:
            found.append(f"require_broker_credential in rule {rule.name!r}, which lets high-risk calls through")
    return found


def _lets_high_risk_through(rule: Rule) -> bool:
    classes = rule.match.risk_classes
    return rule.effect in ("allow", "require_approval") and (not classes or any(name in classes for name in _HIGH))


def _raise(found: list[str]) -> None:
    if found:
        message = "the profile oss-prod asks for " + "; ".join(found)
        raise UnsafeOperation(message, where="--profile", hint="see docs/config.md", code="profile_not_met")
