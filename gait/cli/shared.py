"""What the commands share: their common options, their input, and how they print."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..formats.documents import TYPE_CHECKING
from ..errors import GaitError, InvalidInput, MissingDependency
from ..system import files

if TYPE_CHECKING:
    from typing import TextIO

    from ..gate.matching import CompiledPolicy
    from ..signing.ed25519 import PublicKey
    from ..store.allowances import Allowances
    from ..store.broker import Broker
    from ..store.keys import SigningKeys
    from ..store.packages.skill import Skill

_COLORS = {"allow": "32", "block": "31", "require_approval": "33", "dry_run": "36", "ok": "32", "error": "31"}
_SHORT = 200


def verb(verbs: argparse._SubParsersAction, name: str, summary: str, example: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    """Add one verb of a noun, with --json and an example in its help."""
    parser = bare_verb(verbs, name, summary, example)
    common(parser)
    return parser


def bare_verb(verbs: argparse._SubParsersAction, name: str, summary: str, example: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    """Add one verb that prints nothing of its own, and so has no --json."""
    about = summary[0].upper() + summary[1:] + "."
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=about, epilog=f"Example: {example}")
    return parser


def common(parser: argparse.ArgumentParser) -> None:
    """The option of every command that prints."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def policy_option(parser: argparse.ArgumentParser) -> None:
    """--policy, required."""
    parser.add_argument("--policy", required=True, metavar="FILE", help="the policy, YAML or JSON; - is standard input")


def key_options(parser: argparse.ArgumentParser) -> None:
    """Which key signs or verifies."""
    parser.add_argument("--key-mode", choices=("dev", "prod"), default="dev", help="dev makes its own key (default)")
    parser.add_argument("--private-key", metavar="FILE", help="prod: the key ring, or one line of base64, mode 0600")
    parser.add_argument("--private-key-env", metavar="NAME", help="prod: the environment variable that holds the key")


def public_key_option(parser: argparse.ArgumentParser) -> None:
    """--public-key, beside the key options of a command that verifies."""
    text = "verify Ed25519 signatures of the published Gait with this key: base64 or PEM"
    parser.add_argument("--public-key", metavar="FILE", help=text)


def skill_options(parser: argparse.ArgumentParser) -> None:
    """The package that all calls come from, and the key that must have signed it."""
    parser.add_argument("--skill", metavar="DIR", help="the signed package that all calls come from; blocks them when it does not verify")
    parser.add_argument("--skill-public-key", metavar="FILE", help="the publisher's Ed25519 key, base64 or PEM")
    parser.add_argument("--skill-private-key", metavar="FILE", help="or a ring for purpose package")


def capture_option(parser: argparse.ArgumentParser) -> None:
    """--capture: what a journal's records keep of their intents."""
    text = "what records keep of a call, to evaluate it again: targets without commands and queries (reference, default), or all (raw)"
    parser.add_argument("--capture", choices=("off", "reference", "raw"), default="reference", help=text)


def call_options(parser: argparse.ArgumentParser) -> None:
    """What is to be decided: an intent, or a framework's call."""
    parser.add_argument("--intent", metavar="FILE", help="an IntentRequest; - is standard input")
    parser.add_argument("--call", metavar="FILE", help="a framework's tool call; - is standard input")
    adapter_options(parser)


def adapter_options(parser: argparse.ArgumentParser) -> None:
    """How a framework's call is read, and what it does not say itself."""
    parser.add_argument("--adapter", default="mcp", metavar="NAME", help="the framework the call comes from (default mcp)")
    parser.add_argument("--identity", default="mcp-proxy", help="who calls, unless the call says (default mcp-proxy)")
    parser.add_argument("--workspace", default=".", help="the agent's workspace, unless the call says (default .)")
    parser.add_argument("--risk-class", default="high", help="low, medium, high or critical, unless the call says (default high)")


def defaults(args: argparse.Namespace) -> dict[str, str]:
    """The context that a call does not give itself."""
    return {"identity": args.identity, "workspace": args.workspace, "risk_class": args.risk_class}


def read_input(path: str, max_bytes: int, what: str) -> bytes:
    """The bytes of a file, or of standard input for `-`."""
    if path != "-":
        return files.read_bounded(path, max_bytes, what)
    data = _standard_input(max_bytes + 1)
    if len(data) > max_bytes:
        raise InvalidInput(f"expected at most {max_bytes} bytes of {what}, got more", where="standard input", hint="send less")
    return data


def _standard_input(max_bytes: int) -> bytes:
    try:
        return sys.stdin.buffer.read(max_bytes)
    except (AttributeError, OSError) as error:  # closed, or nothing that can be read
        reason = getattr(error, "strerror", None) or "it is closed"
        raise InvalidInput(f"cannot be read: {reason}", where="standard input", hint="pipe the document in") from None


def read_policy(path: str, profile: str = "standard") -> CompiledPolicy:
    """The compiled policy of a file.  UnsafeOperation: it is not what the profile asks for."""
    from ..gate import policy
    from ..gate.matching import compile_policy

    found = policy.loads(read_input(path, policy.MAX_BYTES, "policy"), source_name(path))
    if profile != "standard":
        from ..gate.profiles import check_policy

        check_policy(profile, found)
    return compile_policy(found)


def source_name(path: str) -> str:
    """What errors call an input."""
    return "standard input" if path == "-" else path


def one_standard_input(*paths: str | None) -> None:
    """Refuse `-` given twice."""
    if paths.count("-") > 1:
        raise InvalidInput("standard input can be only one of the inputs", hint="put the other one in a file", code="invalid_usage")


def signing_keys(args: argparse.Namespace) -> SigningKeys:
    """The key ring that the options choose."""
    from ..store import keys

    return keys.signing_keyring(args.key_mode, args.private_key, args.private_key_env)


def verifying_keys(args: argparse.Namespace) -> SigningKeys:
    """The key ring that the options choose; in dev mode one that is there already."""
    from ..store import keys

    if args.key_mode == "dev" and not (args.private_key or args.private_key_env or os.path.lexists(keys.dev_path())):
        hint = "name the key that signed: --key-mode prod --private-key FILE"
        raise MissingDependency("there is no dev key on this host", where=keys.dev_path(), hint=hint, code="key_missing")
    return signing_keys(args)


def approval_key_options(parser: argparse.ArgumentParser) -> None:
    """Whose approvals are believed."""
    option = parser.add_argument
    about = "believe approvals by this key ring (gait keys init --purpose approval), with NAME= only in that name; may be repeated"
    option("--approval-key", action="append", default=[], metavar="[NAME=]FILE", help=about)
    option("--approval-key-env", action="append", default=[], metavar="[NAME=]VAR", help="the same, of an environment variable")


def credential_options(parser: argparse.ArgumentParser) -> None:
    """Where credentials come from."""
    option = parser.add_argument
    about = "who issues the credentials that rules require (default off): a stand-in, a variable, or a program"
    option("--credential-broker", choices=("off", "stub", "env", "command"), default="off", help=about)
    option("--credential-env-prefix", metavar="TEXT", help="env: the variable is this and the rule's reference (default GAIT_CREDENTIAL_)")
    option("--credential-command", metavar="PATH", help="command: the program that is asked; it gets no arguments")


def profile_option(parser: argparse.ArgumentParser) -> None:
    """--profile."""
    about = "oss-prod refuses to start without what production needs (docs/config.md); default standard"
    parser.add_argument("--profile", choices=("standard", "oss-prod"), default="standard", help=about)


def check_profile(args: argparse.Namespace) -> None:
    """UnsafeOperation: the options are not what --profile asks for."""
    if args.profile == "standard":
        return
    from ..gate.profiles import Setup, check_setup

    has_key = bool(args.approval_key or args.approval_key_env)
    check_setup(Setup(args.profile, args.key_mode, has_key, args.credential_broker, getattr(args, "simulate", False)))


def secret_variables(args: argparse.Namespace) -> tuple[str, ...]:
    """The environment variables that hold keys, which no other program may be given."""
    named = [text.rpartition("=")[2] for text in args.approval_key_env]
    return tuple(name for name in (args.private_key_env, *named) if name)


def allowances(args: argparse.Namespace) -> Allowances:
    """What an allow may use up, as the options say.  GaitError: an approval key cannot be used."""
    from ..store import keys
    from ..store.allowances import Allowances, nobody

    approvers = nobody
    if args.approval_key or args.approval_key_env:
        from ..store.approvals import load_approvers

        found = load_approvers(args.approval_key, args.approval_key_env)
        approvers = lambda: found  # noqa: E731
    sync = getattr(args, "durability", "") == "power"
    return Allowances(keys.home(), lambda: signing_keys(args).ring, approvers, sync, _broker(args), skill(args), getattr(args, "simulate", False))


def _broker(args: argparse.Namespace) -> Broker | None:
    words = args.credential_broker, args.credential_env_prefix, args.credential_command
    if words == ("off", None, None):
        return None
    from ..store import broker

    return broker.make(*words)


def may_wait(args: argparse.Namespace) -> bool:
    """Whether any decision may wait: for a package that is read, or for other processes that use up approvals."""
    return bool(args.skill or args.approval_key or args.approval_key_env)


def lasting_allowances(args: argparse.Namespace) -> Allowances:
    """The same for what is to run long.  GaitError: the package of --skill does not verify, so that every call would be blocked."""
    found = allowances(args)
    found.require_skill()
    return found


def skill(args: argparse.Namespace) -> Skill | None:
    """The package of --skill.  InvalidInput: there is no key to verify it with, or it cannot be used."""
    named = (args.skill_public_key, args.skill_private_key)
    if not args.skill:
        if any(named):
            raise InvalidInput("expected --skill beside its key", where="--skill", hint="name the package's folder", code="invalid_usage")
        return None
    from ..store import keys
    from ..store.packages.skill import Skill

    verifier = keys.package_keys(*named)
    return Skill(args.skill, lambda: verifier)


def public_key(args: argparse.Namespace) -> PublicKey | None:
    """The key of --public-key, None without it.  InvalidInput: another key is named too, and only one can be meant."""
    if not args.public_key:
        return None
    if args.key_mode != "dev" or args.private_key or args.private_key_env:
        message = "expected a public key or a key ring, got both"
        raise InvalidInput(message, where="--public-key", hint="leave out one of them", code="invalid_usage")
    from ..store import keys

    return keys.load_public(args.public_key)


def emit(args: argparse.Namespace, value: dict[str, object], lines: list[str]) -> None:
    """Print one JSON object with --json, else the lines."""
    write(dumps(value) if args.json else "\n".join(lines), sys.stdout)


def write(text: str, stream: TextIO | None) -> None:
    """Print to a stream, which is None when it was closed; what its encoding lacks is escaped, never an error."""
    if stream is None:
        return
    try:
        print(text, file=stream)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode("ascii"), file=stream)


def dumps(value: dict[str, object]) -> str:
    """The JSON that commands print: ASCII, so that no terminal or log can be misled by it."""
    return json.dumps(value)


def rows(pairs: list[tuple[str, str]]) -> list[str]:
    """Aligned `name  text` lines without the empty ones, safe for a terminal."""
    shown = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in shown), default=0)  # names are Gait's own
    return [f"{name:{width}}  {plain(text)}" for name, text in shown]


def plain(text: str) -> str:
    """Text with every control and format character escaped; what an agent wrote cannot move the cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def short(text: str) -> str:
    """At most 200 characters of a text; the whole is in the JSON."""
    return text if len(text) <= _SHORT else text[:_SHORT] + "..."


def colored(word: str, text: str, stream: TextIO | None) -> str:
    """The text in the word's colour on a terminal; NO_COLOR (no-color.org) and TERM=dumb are respected."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or stream is None or not stream.isatty():
        return text
    return f"\x1b[{_COLORS[word]}m{text}\x1b[0m"


def report(error: Exception, as_json: bool) -> int:
    """Print a failure, on standard output as JSON or on standard error as text, and return its exit code."""
    if not isinstance(error, GaitError):
        error = GaitError(f"internal error: {type(error).__name__}: {error}", hint="report this with the command line")
    if as_json:
        write(dumps(error.to_value()), sys.stdout)
        return error.exit_code
    label = colored("error", "error", sys.stderr)
    write(f"{label}: {plain(str(error))}", sys.stderr)
    if error.hint:
        write(f"hint: {plain(error.hint)}", sys.stderr)
    return error.exit_code
