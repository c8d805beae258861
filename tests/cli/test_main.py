"""The command line as a whole: usage, help, flags in any order, streams that are closed, full or a terminal, signals."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import gait.__main__ as door
from gait import cli as command_line
from gait.cli import shared
from gait.errors import GaitError, InvalidInput, MissingDependency, StorageError, UnsafeOperation, VerificationFailed

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-I", str(ROOT / "gait.py")]
POLICY = ROOT / "fixtures" / "quickstart" / "policy.yaml"
ALLOWED, BLOCKED = (ROOT / "fixtures" / "quickstart" / f"call_{verdict}.json" for verdict in ("allow", "block"))
PROXY = ("mcp", "proxy", "--policy", POLICY, "--call")
VERBS = [
    *("gate eval", "mcp proxy", "mcp bridge", "mcp serve", "policy init", "policy validate", "policy fmt", "policy test", "policy explain"),
    *("trace verify", "trace show", "doctor", "version"),
]
EVIL = "rm\x1b[2J\x1b]0;owned\x07\r\n\u202everdict allow\u2028\x9b1m"
ANSI = re.compile(r"\x1b\[\d+m")


# --- usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [("--help",), ("-h",), ("help",), ("--json", "--help")])
def test_help_lists_every_command(cli, argv):
    ran = cli(*argv)
    assert ran.code == 0 and ran.err == "" and ran.out.count("\n") < 40
    assert all(f"  {name} " in ran.out and summary in ran.out for name, summary in command_line.COMMANDS.items())


def test_nothing_asked_for_is_no_success(cli):
    ran = cli()
    assert ran.code == 6 and ran.out == command_line.about() + "\n"
    assert cli("--json").value["ok"] is False


@pytest.mark.parametrize("words", VERBS)
def test_help_has_an_example_that_parses(cli, monkeypatch, words):
    ran = cli(*words.split(), "--help")
    assert ran.code == 0 and ran.err == "" and max(map(len, ran.out.splitlines())) <= 110
    example = re.search(r"^Example: (?:gait|python3 -I gait.py) (.+)$", ran.out, re.MULTILINE).group(1)
    assert example.startswith(words)
    module = __import__(f"gait.cli.{words.split()[0]}", fromlist=["run"])
    parsed = []
    monkeypatch.setattr(module, "run", lambda args: parsed.append(args) or 0)
    assert cli(*shlex.split(example)).code == 0 and parsed


@pytest.mark.parametrize("noun", sorted({words.split()[0] for words in VERBS if " " in words}))
def test_help_of_a_noun_names_its_verbs(cli, noun):
    ran = cli(noun, "--help")
    assert ran.code == 0 and all(words.split()[1] in ran.out for words in VERBS if words.startswith(noun + " "))


USAGE = [
    (["plicy"], "unknown command 'plicy' (did you mean 'policy'?)"),
    (["polic", "validate"], "did you mean 'policy'?"),
    (["x" * 5000], "unknown command"),
    ([""], "unknown command ''"),
    (["--polic"], "unknown command"),
    (["gate"], "VERB"),
    (["gate", "evl"], "invalid choice: 'evl'"),
    (["mcp", "prox", "--policy", "p", "--call", "c"], "invalid choice"),
    (["gate", "eval"], "--policy"),
    (["gate", "eval", "--policy", "p"], "--intent"),
    (["gate", "eval", "--polic", "p", "--intent", "i"], "--policy"),
    (["gate", "eval", "--policy", "p", "--intent", "i", "--js"], "--js"),
    (["gate", "eval", "--policy", "p", "--intent", "i", "--pretend"], "--pretend"),
    (["gate", "eval", "--policy", "p", "--intent", "i", "extra"], "extra"),
    (["gate", "eval", "--policy", "p", "--intent"], "--intent"),
    (["gate", "eval", "--policy", "p", "--intent", "i", "--json=yes"], "--json"),
    (["gate", "eval", "--policy", "p", "--intent", "i", "--key-mode", "test"], "--key-mode"),
    (["policy", "init"], "template"),
    (["policy", "init", "strict"], "invalid choice: 'strict'"),
    (["policy", "validate"], "FILE"),
    (["policy", "validate", "-", "-"], "only one of the inputs"),
    (["policy", "fmt", "-", "--write"], "standard input cannot be written back"),
    (["policy", "test", "--policy", "-", "--cases", "-"], "only one of the inputs"),
    (["policy", "test", "--policy", "p", "--call", "c", "--expect", "deny"], "--expect"),
    (["policy", "explain", "--policy", "p"], "one of --intent FILE and --call FILE"),
    (["policy", "explain", "--policy", "p", "--call", "c", "--intent", "i"], "one of --intent FILE and --call FILE"),
    (["policy", "explain", "--policy", "-", "--call", "-"], "only one of the inputs"),
    (["mcp", "proxy", "--policy", "-", "--call", "-"], "only one of the inputs"),
    (["trace", "verify"], "FILE"),
    (["trace", "verify", "a", "b"], "b"),
    (["version", "now"], "now"),
    (["doctor", "--fix"], "--fix"),
]


@pytest.mark.parametrize("argv,error", USAGE, ids=lambda part: " ".join(part)[:60] if isinstance(part, list) else "")
def test_usage_errors(cli, home, argv, error):
    plain = cli(*argv)
    assert plain.code == 6 and plain.out == "" and plain.err.startswith("error: gait") or "standard input" in plain.err
    assert error in plain.err and "\nhint: " in plain.err and len(plain.err) < 1000
    as_json = cli(*argv, "--json")
    assert as_json.code == 6 and as_json.value["error_code"] == "invalid_usage" and as_json.value["hint"]
    assert error in as_json.value["error"] and not home.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["--json", *PROXY, BLOCKED],
        ["mcp", "--json", *PROXY[1:], BLOCKED],
        ["--json", "--json", *PROXY, BLOCKED, "--json"],
        ["mcp", "proxy", "--json", *PROXY[2:], BLOCKED],
        ["mcp", "proxy", "--call", BLOCKED, "--explain", "--json", "--adapter", "mcp", "--policy", POLICY],
        ["mcp", "proxy", f"--call={BLOCKED}", f"--policy={POLICY}", "--json", "--run-id", "r"],
    ],
)
def test_flags_in_any_order(cli, argv):
    ran = cli(*argv)
    assert (ran.code, ran.value["verdict"]) == (3, "block")


def test_json_before_a_double_dash(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("--json", "trace", "verify", "--", "-x").value["error"].startswith("-x: expected a trace, got no such file")
    assert cli("trace", "show", "--", "--json").code == 6


def test_version_without_a_command(cli):
    assert cli("--version").out == cli("version").out
    assert cli("--json", "version").value["ok"] is True


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GaitError, InvalidInput, VerificationFailed, StorageError, MissingDependency, UnsafeOperation])
def test_every_error_document_says_what_to_do_next(kind):
    value = kind("message", where="a.json").to_value()
    assert list(value) == ["ok", "error", "error_code", "error_category", "retryable", "hint"]
    assert value["error"] == "a.json: message" and value["hint"] == kind.next_step != ""
    own = kind("message", hint="do this", code="a_code").to_value()
    assert (own["error"], own["hint"], own["error_code"]) == ("message", "do this", "a_code")


def test_a_fault_of_our_own_is_reported_and_not_raised(cli, monkeypatch):
    from gait.cli import version

    def fail(args):
        raise RuntimeError("boom\x1b[2J")

    monkeypatch.setattr(version, "run", fail)
    assert cli("version").err == "error: internal error: RuntimeError: boom\\x1b[2J\nhint: report this with the command line\n"
    ran = cli("version", "--json")
    assert (ran.code, ran.value["error_code"]) == (1, "internal_failure")
    monkeypatch.setattr(version, "run", lambda args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cli("version")


def test_arguments_come_from_the_process(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gait", "version"])
    assert command_line.main() == 0 and capsys.readouterr().out.startswith("gait ")


# --- what an agent wrote ------------------------------------------------------------------------


def assert_harmless(text):
    assert not [char for char in text if not char.isprintable() and char != "\n"], ascii(text)


def test_text_of_an_agent_cannot_steer_a_terminal(cli, policy, tmp_path):
    call = tmp_path / "call.json"
    call.write_text(json.dumps({"name": EVIL, "arguments": {"path": f"/w/{EVIL}"}, "context": {"session_id": EVIL}, EVIL: 1}))
    path = policy("rules: [{name: a, effect: allow, match: {tool_names: [b]}}, {name: b, effect: allow, match: {target_values: [/x]}}]")
    ran = cli("mcp", "proxy", "--policy", path, "--call", call, "--explain", "--run-id", EVIL)
    assert ran.code == 4 and "\\x1b[2j" in ran.out
    assert [line for line in ran.out.splitlines() if line.startswith("verdict")] == ["verdict     require_approval"]
    assert_harmless(ran.out)
    trace = next(line.split(None, 1)[1] for line in ran.out.splitlines() if line.startswith("trace"))
    case = {"name": EVIL, "call": {"name": EVIL}, "expect": {"verdict": "block", "matched_rule": EVIL, "reason_codes": [EVIL]}}
    (tmp_path / "cases").write_text(json.dumps(case))
    for argv, code in [
        (("trace", "show", trace), 0),
        (("trace", "verify", trace), 0),
        (("policy", "explain", "--policy", path, "--call", call), 0),
        (("policy", "test", "--policy", path, "--call", call, "--expect", "allow"), 5),
        (("policy", "test", "--policy", path, "--cases", tmp_path / "cases"), 5),
        (("mcp", "proxy", "--policy", path, "--call", call, "--adapter", EVIL), 6),
        (("mcp", "proxy", "--policy", path, "--call", call, "--risk-class", EVIL), 6),
        (("gate", "eval", "--policy", path, "--intent", call), 6),
        (("gate", "eval", "--policy", EVIL, "--intent", call), 6),
        (("trace", "verify", EVIL), 6),
        (("policy", "validate", EVIL), 6),
        ((EVIL,), 6),
        (("gate", EVIL), 6),
    ]:
        ran = cli(*argv)
        assert ran.code == code, argv
        assert_harmless(ran.out + ran.err)
        ran = cli(*argv, "--json")
        assert ran.out.isascii() and ran.out.rstrip("\n").isprintable()


def test_file_names_are_escaped_too(cli, tmp_path):
    path = str(tmp_path / f"{EVIL.replace('/', '')}.yaml")
    for argv in (("init", "baseline-lowrisk", "--out", path), ("validate", path), ("fmt", path, "--write", "--drop-comments")):
        ran = cli("policy", *argv)
        assert ran.code == 0 and "\\x1b[2J" in ran.out
        assert_harmless(ran.out)


def test_a_trace_that_someone_forged_cannot_steer_a_terminal(cli, tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"verdict": {EVIL: EVIL}, "tool_name": [EVIL], "context": {EVIL: EVIL, "identity": EVIL}, EVIL: EVIL}))
    ran = cli("trace", "show", path)
    assert ran.code == 0 and ran.out.startswith("signature  ") and "NOT VERIFIED" in ran.out
    assert_harmless(ran.out)


# --- streams -----------------------------------------------------------------------------------


def on_terminal(argv, env=(), **options):
    """(exit code, what a terminal would get on both streams)."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **dict(env)}
    child = subprocess.Popen([*LAUNCHER, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, **options)
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux: the other side is closed
            chunk = b""
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    return child.wait(timeout=60), b"".join(chunks).decode("utf-8")


def test_colour_is_for_terminals():
    code, text = on_terminal([*PROXY, BLOCKED])
    assert code == 3 and text.startswith("verdict     \x1b[31mblock\x1b[0m\r\n") and len(ANSI.findall(text)) == 2
    code, text = on_terminal([*PROXY, "/nonexistent"])
    assert code == 6 and text.startswith("\x1b[31merror\x1b[0m: /nonexistent: ")
    code, text = on_terminal(["doctor"])
    assert code == 0 and "\x1b[32mok  \x1b[0m  python" in text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(env):
    for argv in ([*PROXY, BLOCKED], [*PROXY, "/nonexistent"], ["doctor"]):
        assert "\x1b" not in on_terminal(argv, env)[1]


def test_json_on_a_terminal_has_no_colour():
    code, text = on_terminal([*PROXY, BLOCKED, "--json"])
    assert code == 3 and "\x1b" not in text and json.loads(text)["verdict"] == "block"


def closing(*descriptors):
    return {"preexec_fn": lambda: [os.close(fd) for fd in descriptors], "close_fds": False}


def test_closed_streams_do_not_change_the_verdict(process, traces):
    for closed in ((1,), (2,), (0, 1, 2)):
        assert process(*PROXY, ALLOWED, **closing(*closed)).code == 0
        assert process(*PROXY, BLOCKED, **closing(*closed)).code == 3
        assert process(*PROXY, "/nonexistent", **closing(*closed)).code == 6
        assert process(*PROXY, "/nonexistent", "--json", **closing(*closed)).code == 6
    assert len(traces()) == 6


def test_standard_input_that_cannot_be_read(process, home):
    ran = process(*PROXY, "-", "--json", **closing(0))
    assert ran.code == 6 and ran.value["error"].startswith("standard input: cannot be read")
    with open("/dev/null", "wb") as nothing:  # open for writing only
        ran = process(*PROXY, "-", "--json", stdin=nothing)
    assert ran.code == 6 and not home.exists()


def test_a_reader_that_left(process):
    read, write = os.pipe()
    os.close(read)
    try:
        for argv in (["policy", "init", "baseline-highrisk", "--out", "-"], [*PROXY, ALLOWED]):
            ran = process(*argv, stdout=write)
            assert (ran.code, ran.err) == (1, "")
    finally:
        os.close(write)


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_full_disk_under_a_long_answer(process, as_json):
    with open("/dev/full", "w") as full:
        ran = process("policy", "init", "baseline-highrisk", "--out", "-", *as_json, stdout=full)
    assert ran.code == 1 and "No space left on device" in ran.err and "Traceback" not in ran.err


def test_streams_that_lack_characters(cli, policy, monkeypatch, process):
    path = policy("default_verdict: block\n# …\nrules: [{name: 'ü€😀', effect: allow}]\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, str(ROOT / "gait.py")]
    for verb, code in ((["mcp", "proxy", "--policy", str(path), "--call", str(ALLOWED)], 0), (["policy", "validate", "ü.yaml"], 6)):
        done = subprocess.run([*command, *verb], env=environment, capture_output=True, timeout=60)
        assert done.returncode == code and (done.stdout + done.stderr).isascii() and b"\\xfc" in done.stdout + done.stderr
    done = subprocess.run([*command, "policy", "fmt", str(path)], env=environment, capture_output=True, timeout=60)
    assert b'name: "\\xfc\\u20ac\\U0001f600"' in done.stdout
    digests = [process("policy", "validate", "-", "--json", stdin=text).value["policies"][0]["policy_digest"] for text in (done.stdout, path.read_bytes())]
    assert digests[0] == digests[1]  # YAML has the same escapes


def test_names_that_are_not_utf8(process, tmp_path):
    name = os.fsdecode(b"/nonexistent/\xff\n")
    assert process("policy", "validate", name).err.startswith("error: /nonexistent/\\udcff\\n: ")
    assert process("policy", "validate", name, "--json").value["ok"] is False


DOOR = """
import sys
sys.path.append(sys.argv.pop(1))
from gait.__main__ import run
print("ready", file=sys.stderr, flush=True)
sys.exit(run())
"""


def test_interrupted(home):
    command = [sys.executable, "-I", "-c", DOOR, str(ROOT), *map(str, PROXY), "-"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stderr.readline() == b"ready\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=30) == (b"", b"") and child.returncode == 130 and not home.exists()


# --- the door ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given,code", [(0, 0), (3, 3), (None, 1), (256, 1), (-1, 1), (True, 1)])
def test_only_a_zero_is_a_success(monkeypatch, given, code):
    monkeypatch.setattr(command_line, "main", lambda: given)
    assert door.run() == code


def test_an_old_python_is_told_so(monkeypatch, capsys):
    class Version(tuple):
        pass

    monkeypatch.setattr(sys, "version_info", Version((3, 8, 1)))
    assert door.run() == 7 and "gait needs Python 3.9 or newer" in capsys.readouterr().err


@pytest.mark.parametrize("error,code", [(KeyboardInterrupt, 130), (BrokenPipeError, 1)])
def test_what_main_lets_through(monkeypatch, error, code):
    def main():
        raise error

    monkeypatch.setattr(command_line, "main", main)
    monkeypatch.setattr(door, "_silenced", lambda code: code)
    assert door.run() == code


def test_a_working_directory_that_is_gone(process, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = process("version", cwd=gone, preexec_fn=gone.rmdir)
    assert ran.code == 0 and ran.out.startswith("gait ")


def test_the_working_directory_leaves_the_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/elsewhere"])
    door._drop_working_directory()
    assert sys.path == ["/elsewhere"]
    monkeypatch.chdir(os.path.dirname(os.__file__))
    monkeypatch.setattr(sys, "path", ["", "/elsewhere"])
    door._drop_working_directory()
    assert sys.path == ["", "/elsewhere"]  # the standard library's own folder stays
    monkeypatch.setattr(os, "getcwd", lambda: (_ for _ in ()).throw(FileNotFoundError))
    door._drop_working_directory()


class _Stream:
    def __init__(self, error=None):
        self.error = error

    def flush(self):
        if self.error:
            raise self.error


@pytest.mark.parametrize("stream,code,said", [(None, 0, ""), (_Stream(), 0, ""), (_Stream(BrokenPipeError()), 1, ""), (_Stream(OSError(28, "full")), 1, "full")])
def test_output_that_was_not_taken_is_no_success(monkeypatch, capsys, stream, code, said):
    monkeypatch.setattr(door, "_silenced", lambda code: code)
    monkeypatch.setattr(sys, "stdout", stream)
    assert door._flushed(0) == code and door._flushed(3) == 3
    monkeypatch.undo()
    assert said in capsys.readouterr().err


def test_silence_goes_to_the_descriptor(monkeypatch, tmp_path):
    with open(tmp_path / "out", "w+b") as out:
        monkeypatch.setattr(sys, "__stdout__", out)
        assert door._silenced(1) == 1
        os.write(out.fileno(), b"x")
        assert (tmp_path / "out").read_bytes() == b""


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_stream_may_be_closed_or_a_terminal_or_lack_characters(cli, monkeypatch):
    shared.write("nobody reads this", None)
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    shared.write("é…\u202e😀", latin)
    latin.flush()
    assert latin.buffer.getvalue() == b"\\xe9\\u2026\\u202e\\U0001f600\n"
    monkeypatch.setenv("TERM", "xterm")
    assert shared.colored("block", "x", _Terminal()) == "\x1b[31mx\x1b[0m"
    assert shared.colored("block", "x", None) == shared.colored("block", "x", io.StringIO()) == "x"
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert shared.report(GaitError("m"), False) == 1 and sys.stderr.getvalue() == "\x1b[31merror\x1b[0m: m\n"


@pytest.mark.parametrize("reason", ["it is closed", "Is a directory"])
def test_standard_input_is_closed_or_a_folder(monkeypatch, reason):
    def read(size):
        raise IsADirectoryError(21, "Is a directory")

    stdin = None if reason == "it is closed" else SimpleNamespace(buffer=SimpleNamespace(read=read))
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(InvalidInput, match=f"^standard input: cannot be read: {reason}$"):
        shared.read_input("-", 10, "a call")


def test_plain_rows_and_short():
    assert shared.rows([("a", "1"), ("long", "2\n"), ("none", "")]) == ["a     1", "long  2\\n"] and shared.rows([]) == []
    assert shared.short("x" * 200) == "x" * 200 and shared.short("x" * 201) == "x" * 200 + "..."
    assert shared.plain("ü 漢\xa0\ud800\U000e0001") == "ü 漢\\xa0\\ud800\\U000e0001"
