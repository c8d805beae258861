"""Credential brokers: who is asked for a credential before a call that needs one is allowed.

Invariant: nothing that a broker says but the reference reaches a record, a message or a log; a command's standard error is
thrown away, and no error quotes its output.
"""

from __future__ import annotations

import os
import re
import stat

from ..errors import InvalidInput, MissingDependency
from ..formats import jcs, strict_json
from ..formats.documents import NamedTuple
from ..formats.fields import unknown_word
from ..gate import credential
from ..gate.credential import Issued

PREFIX = "GAIT_CREDENTIAL_"
_SECONDS = 5.0  # below a hook's deadline
_REQUEST_BYTES = 16 * 1024  # what any pipe takes without a reader
_ANSWER_BYTES = 64 * 1024
_NAME = re.compile("[A-Z_][A-Z0-9_]*")


class Broker(NamedTuple):
    """Which broker is asked.  `command` is the absolute path of a program, which gets no arguments."""

    kind: str = "off"
    env_prefix: str = PREFIX
    command: str = ""

    def issue(self, request: dict[str, object]) -> Issued:
        """A credential's reference for a request (credential.request).  GaitError: there is none, and why."""
        if self.kind == "stub":
            return Issued("stub:" + jcs.digest(request)[:24])
        if self.kind == "env":
            return self._from_environment(str(request["reference"]))
        if self.kind == "command":
            return self._ask(request)
        raise MissingDependency("no broker is configured", hint="name one with --credential-broker", code="broker_off")

    def _from_environment(self, reference: str) -> Issued:
        name = self.env_prefix + re.sub("[^A-Z0-9]", "_", reference.upper())
        if not reference or not _NAME.fullmatch(name) or not os.environ.get(name):
            raise MissingDependency("expected a variable with the credential, got none", code="broker_env_missing")
        return Issued("env:" + name)

    def _ask(self, request: dict[str, object]) -> Issued:
        from ..system import process

        data = strict_json.dumps(request).encode("ascii")
        if len(data) > _REQUEST_BYTES:
            raise InvalidInput(f"expected a request of at most {_REQUEST_BYTES} bytes", code="broker_request_too_large")
        check_command(self.command)
        return credential.read_answer(process.ask([self.command], _environment(), data + b"\n", _SECONDS, _ANSWER_BYTES))


def make(kind: str, env_prefix: str | None, command: str | None) -> Broker:
    """A broker as the options say.  InvalidInput: options that do not belong together, or a command that must not be run."""
    if kind not in credential.BROKERS:
        raise unknown_word(("--credential-broker",), credential.BROKERS, kind)
    if (command is not None) != (kind == "command") or (env_prefix is not None and kind != "env"):
        message = "--credential-command belongs to the broker command, and --credential-env-prefix to env"
        raise InvalidInput(message, where="--credential-broker", hint="name the broker that you mean", code="invalid_usage")
    if env_prefix is not None and not _NAME.fullmatch(env_prefix):
        message = "must be the beginning of a variable's name: A-Z, 0-9 and _"
        raise InvalidInput(message, where="--credential-env-prefix", hint=f"the default is {PREFIX}", code="invalid_usage")
    if command is not None:
        check_command(command)
    return Broker(kind, PREFIX if env_prefix is None else env_prefix, command or "")


def check_command(command: str) -> None:
    """Refuse a command that others could replace, or that is looked up.  InvalidInput."""
    problem = ""
    try:
        status = os.stat(command)
    except (OSError, ValueError):
        problem = "it is not there"
    else:
        if not stat.S_ISREG(status.st_mode) or not os.access(command, os.X_OK):
            problem = "it is not a program"
        elif status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0):
            problem = "another user owns it or may write to it"
    if not os.path.isabs(command):
        problem = "a relative path depends on where Gait is started"
    if problem:
        message = f"must be the absolute path of a program that only this user or root can change; {problem}"
        raise InvalidInput(message, where="--credential-command", hint="give a script of your own", code="broker_command_refused")


def _environment() -> dict[str, str]:
    """Nothing of this process's own but HOME: its variables may hold secrets, and its PATH may lead anywhere."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}
