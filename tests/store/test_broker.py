"""Brokers: who is asked, in which environment, for how long; and that no secret comes out of them."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from gait.errors import GaitError, InvalidInput
from gait.gate.credential import Issued
from gait.store import broker
from gait.store.broker import Broker

SECRET = "canary-" + "7f3a9c51d2e84b60"
REQUEST = {"reference": "egress-1", "scopes": ["read"], "intent_digest": "a" * 64, "policy_digest": "b" * 64}


@pytest.fixture
def program(tmp_path):
    """Write a broker's command in Python."""

    def write(body, mode=0o755):
        path = tmp_path / "broker"
        path.write_text(f"#!{sys.executable} -I\nimport json, os, sys, time\n{body}\n")
        path.chmod(mode)
        return str(path)

    return write


def refused(made, request=REQUEST):
    with pytest.raises(GaitError) as caught:
        made.issue(request)
    assert SECRET not in json.dumps(caught.value.to_value())
    return caught.value.error_code


def test_off():
    assert refused(Broker()) == "broker_off"


def test_stub_is_a_digest_of_the_request():
    one, other = Broker("stub").issue(REQUEST), Broker("stub").issue({**REQUEST, "reference": "x"})
    assert one.credential_ref.startswith("stub:") and one == Broker("stub").issue(REQUEST) != other


def test_env_names_the_variable_and_not_what_is_in_it(monkeypatch):
    monkeypatch.setenv("GAIT_CREDENTIAL_EGRESS_1", SECRET)
    assert Broker("env").issue(REQUEST) == Issued("env:GAIT_CREDENTIAL_EGRESS_1")
    assert refused(Broker("env", "OTHER_")) == "broker_env_missing"
    monkeypatch.setenv("GAIT_CREDENTIAL_EGRESS_1", "")
    assert refused(Broker("env")) == "broker_env_missing"


@pytest.mark.parametrize("reference", ["", "a\x00b", "é", "x" * 5000])
def test_env_references_that_name_nothing(reference, monkeypatch):
    monkeypatch.setenv("GAIT_CREDENTIAL_", SECRET)
    assert refused(Broker("env"), {**REQUEST, "reference": reference}) == "broker_env_missing"


def test_a_command_gets_the_request_and_nothing_of_ours(program, tmp_path, monkeypatch):
    monkeypatch.setenv("GAIT_CREDENTIAL_X", SECRET)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    command = program(
        f"open({str(tmp_path / 'seen')!r}, 'w').write(json.dumps([json.load(sys.stdin), sys.argv[1:], dict(os.environ), [os.path.realpath('/dev/fd/' + name) for name in os.listdir('/dev/fd')]]))\n"
        "print('{\"credential_ref\": \"vault:lease/7\"}')"
    )
    (tmp_path / "ours").write_text(SECRET)
    held = os.open(tmp_path / "ours", os.O_RDONLY)
    assert Broker("command", command=command).issue(REQUEST) == Issued("vault:lease/7")
    os.close(held)
    request, arguments, environment, open_files = json.loads((tmp_path / "seen").read_text())
    assert (request, arguments) == (REQUEST, [])
    assert set(environment) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {"PATH", "HOME", "LC_ALL"}
    assert environment["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert str(tmp_path / "ours") not in open_files


def test_a_command_is_never_given_to_a_shell(program, tmp_path):
    command = program("print('{\"credential_ref\": \"vault:a\"}')")
    odd = Path(command).rename(tmp_path / "a; touch ran; $(touch ran) #")
    assert Broker("command", command=str(odd)).issue(REQUEST) == Issued("vault:a")
    assert not os.path.exists("ran")


ANSWERS = {
    "a secret beside the reference": ("print(json.dumps({'credential_ref': 'vault:a', 'token': SECRET}))", "broker_answer_invalid"),
    "a secret as the reference": ("print(json.dumps({'credential_ref': SECRET}))", "broker_answer_invalid"),
    "a secret as a key": ("print(json.dumps({SECRET: 1}))", "broker_answer_invalid"),
    "a bare secret": ("print(SECRET)", "broker_answer_invalid"),
    "nothing": ("", "broker_answer_invalid"),
    "bytes that are no text": ("sys.stdout.buffer.write(b'\\xff' + SECRET.encode())", "broker_answer_invalid"),
    "a failure that tells it": ("sys.stderr.write(SECRET); sys.exit(SECRET)", "command_failed"),
    "a failure after an answer": ("print('{\"credential_ref\": \"vault:a\"}'); sys.stdout.flush(); os._exit(3)", "command_failed"),
    "a signal": ("print(SECRET); sys.stdout.flush(); os.kill(os.getpid(), 9)", "command_failed"),
    "too much": ("print(SECRET * 10000)", "command_answer_too_large"),
    "without end": ("while True: print(SECRET)", "command_answer_too_large"),
}


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_what_a_command_may_get_wrong(program, capfd, kind):
    body, code = ANSWERS[kind]
    command = program(f"SECRET = {SECRET!r}\n{body}")
    assert refused(Broker("command", command=command)) == code
    out, err = capfd.readouterr()
    assert SECRET not in out + err


@pytest.mark.parametrize(
    "body",
    ["time.sleep(60)", "os.close(1); time.sleep(60)", "os.fork() or time.sleep(60)", "print('{'); sys.stdout.flush(); time.sleep(60)"],
    ids=["silent", "closed", "a child that keeps the output", "half an answer"],
)
def test_a_command_that_takes_too_long(program, monkeypatch, body):
    monkeypatch.setattr(broker, "_SECONDS", 0.5)
    started = time.monotonic()
    assert refused(Broker("command", command=program(body))) == "command_timeout"
    assert time.monotonic() - started < 20


def test_nothing_of_it_is_left_running(program, tmp_path):
    command = program(f"if not os.fork():\n    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); os.close(1); time.sleep(60)\nwhile not os.path.exists({str(tmp_path / 'pid')!r}): time.sleep(0.01)\nprint('{{\"credential_ref\": \"vault:a\"}}')")
    assert Broker("command", command=command).issue(REQUEST) == Issued("vault:a")
    left = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{left}") and "Z" not in Path(f"/proc/{left}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_need_not_read_the_request(program):
    assert Broker("command", command=program("os.close(0); print('{\"credential_ref\": \"vault:a\"}')")).issue(REQUEST) == Issued("vault:a")


def test_a_request_that_a_pipe_might_not_take_is_not_made(program):
    command = program("print('{\"credential_ref\": \"vault:a\"}')")
    assert refused(Broker("command", command=command), {**REQUEST, "identity": "x" * 20000}) == "broker_request_too_large"


@pytest.mark.parametrize("mode, problem", [(0o775, "may write to it"), (0o757, "may write to it"), (0o644, "not a program")])
def test_commands_that_others_can_change_are_refused(program, mode, problem):
    command = program("", mode)
    with pytest.raises(InvalidInput, match=problem):
        broker.make("command", None, command)
    assert refused(Broker("command", command=command)) == "broker_command_refused"  # also when that came later


@pytest.mark.parametrize("command, problem", [("broker", "relative path"), ("/nowhere/broker", "not there"), ("/", "not a program"), ("/a\0b", "not there")])
def test_commands_that_are_none(command, problem, tmp_path, monkeypatch, program):
    program("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=problem):
        broker.make("command", None, command)


@pytest.mark.parametrize("words", [("off", "X_", None), ("stub", None, "/bin/true"), ("command", None, None), ("command", "X_", "/bin/true"), ("env", "x y", None), ("env", "", None)])
def test_options_that_do_not_belong_together(words):
    with pytest.raises(InvalidInput):
        broker.make(*words)


def test_make():
    assert broker.make("off", None, None) == Broker()
    assert broker.make("env", "CRED_", None) == Broker("env", "CRED_")
    assert broker.make("command", None, "/bin/sh").command == "/bin/sh"
