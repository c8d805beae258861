"""The options of `gait hook HOST`, read without argparse: importing that would be a fifth of the whole process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import InvalidInput
from ..formats.documents import NamedTuple
from .hook import HOSTS, Host

DEADLINE_SECONDS = 15.0  # below every host's own limit (30 s is the least), since most run the tool when that one passes
_MAX_SECONDS = 600.0
FLAGS = ("check",)
_FILES = ("policy", "home", "journal", "private_key", "skill", "skill_public_key", "skill_private_key")

# name -> (metavar, what `gait hook HOST --help` says)
OPTIONS: Mapping[str, tuple[str, str]] = {
    "policy": ("FILE", "the policy (default $GAIT_HOME/policy.yaml)"),
    "home": ("DIR", "stands in for $GAIT_HOME: keys, journal and policy"),
    "journal": ("DIR", "where each decision is recorded first (default $GAIT_HOME/journal)"),
    "on_allow": ("silent|approve", "approve: an allow also skips the host's own prompts (claude-code only)"),
    "deadline": ("SECONDS", "refuse the call when there is no decision by then (default 15)"),
    "identity": ("NAME", "who calls (default: the host's name; Gas Town: $BD_ACTOR or $GT_ROLE)"),
    "workspace": ("DIR", "the agent's workspace, unless the event says (default .; Gas Town: $GT_ROOT/$GT_RIG)"),
    "risk_class": ("CLASS", "low, medium, high or critical (default high)"),
    "server": ("ADDRESS", "ask a running `gait mcp serve` at unix:/path or a loopback host:port; without an answer, decide here"),
    "token_env": ("NAME", "the environment variable that holds the server's bearer token"),
    "key_mode": ("dev|prod", "dev makes its own key (default)"),
    "private_key": ("FILE", "prod: the key ring, or one line of base64, mode 0600"),
    "private_key_env": ("NAME", "prod: the environment variable that holds the key"),
    "profile": ("standard|oss-prod", "oss-prod refuses every call without what production needs (docs/config.md)"),
    "credential_broker": ("off|stub|env|command", "who issues the credentials that rules require (default off)"),
    "credential_env_prefix": ("TEXT", "env: the variable is this and the rule's reference (default GAIT_CREDENTIAL_)"),
    "credential_command": ("PATH", "command: the program that is asked; it gets no arguments"),
    "approval_key": ("[NAME=]FILE,…", "believe approvals by these key rings, with NAME= only in that name"),
    "skill": ("DIR", "the signed package that all calls come from; they are blocked when it does not verify"),
    "skill_public_key": ("FILE", "the publisher's Ed25519 key, base64 or PEM"),
    "skill_private_key": ("FILE", "or a ring for purpose package"),
}


class Options(NamedTuple):
    """What a hook process was told; empty text is the default, None a key source that was not named."""

    host: Host
    policy: str = ""
    home: str = ""
    journal: str = ""
    on_allow: str = "silent"
    deadline: str = str(DEADLINE_SECONDS)
    identity: str = ""
    workspace: str = ""
    risk_class: str = "high"
    server: str = ""
    token_env: str = ""
    key_mode: str = "dev"
    private_key: str | None = None
    private_key_env: str | None = None
    approval_key: str = ""
    profile: str = "standard"
    credential_broker: str = "off"
    credential_env_prefix: str | None = None
    credential_command: str | None = None
    skill: str = ""
    skill_public_key: str | None = None
    skill_private_key: str | None = None
    check: bool = False

    @property
    def seconds(self) -> float:
        """The deadline.  InvalidInput: no number of seconds from 0.1 to 600."""
        try:
            seconds = float(self.deadline)
        except ValueError:
            seconds = 0.0
        if 0.1 <= seconds <= _MAX_SECONDS:
            return seconds
        raise _usage(f"--deadline: must be 0.1 to {_MAX_SECONDS:g} seconds; got {self.deadline[:40]!r}")

    @property
    def approve(self) -> bool:
        """Whether an allow skips the host's own prompts.  InvalidInput: another word, or a host that cannot."""
        if self.on_allow not in ("silent", "approve"):
            raise _usage(f"--on-allow: must be silent or approve; got {self.on_allow[:40]!r}")
        if self.on_allow == "approve" and not self.host.can_approve:
            raise _usage(f"--on-allow approve: {self.host.name} takes no approval from a hook")
        return self.on_allow == "approve"

    def context(self) -> dict[str, object]:
        """The context that the event does not give itself."""
        identity, workspace = self.identity, self.workspace
        if self.host.name == "gastown":
            identity = identity or os.environ.get("BD_ACTOR") or os.environ.get("GT_ROLE") or ""
            workspace = workspace or _rig()
        return {"identity": identity or self.host.name, "workspace": workspace or ".", "risk_class": self.risk_class}


def _rig() -> str:
    root, rig = os.environ.get("GT_ROOT"), os.environ.get("GT_RIG")
    return os.path.join(root, rig) if root and rig else root or ""


def absolute(name: str, text: str) -> str:
    """An option's value for a host that may run anywhere: files by their absolute paths."""
    if name == "approval_key":
        from ..store.approvals import named

        parts = (named(part) for part in text.split(","))
        return ",".join(f"{who}={os.path.abspath(path)}" if who else os.path.abspath(path) for who, path in parts)
    return os.path.abspath(text) if name in _FILES else text


def read(words: list[str]) -> Options:
    """The options of `gait hook WORDS…`.  InvalidInput: anything that is not exactly one host and its options."""
    if not words or words[0] not in HOSTS:
        raise _usage(f"expected a host, one of {', '.join(HOSTS)}; got {words[0][:40]!r}" if words else "expected a host")
    given: dict[str, object] = {}
    rest = iter(words[1:])
    for word in rest:
        option, joined, value = word.partition("=")
        name = option[2:].replace("-", "_")
        if not option.startswith("--") or "_" in option or (name not in OPTIONS and (name not in FLAGS or joined)):
            raise _usage(f"unknown option {option[:40]!r}")
        if name in given:
            raise _usage(f"{option}: given twice")
        given[name] = True if name in FLAGS else value if joined else next(rest, "")
        if given[name] == "":
            raise _usage(f"{option}: expected a value")
    return checked(Options(HOSTS[words[0]], **given))  # type: ignore[arg-type]


def checked(options: Options) -> Options:
    """The options themselves.  InvalidInput: a deadline or an --on-allow that cannot be."""
    _ = options.seconds, options.approve
    return options


def _usage(message: str) -> InvalidInput:
    return InvalidInput(message, where="gait hook", hint="see gait hook --help", code="invalid_usage")
