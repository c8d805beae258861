"""The options of `gait mcp serve`: what is refused, before anything is opened or written."""

from __future__ import annotations

import pytest

from gait.cli import main

TOKEN = "0123456789abcdef"
# The options -> exit code, error code, a word of the message.
REFUSED = {
    "--policy -": (6, "invalid_usage", "standard input"),
    "--listen 8787": (6, "invalid_address", "host:port"),
    "--listen :8787": (6, "invalid_address", "host:port"),
    "--listen 0.0.0.0:1": (8, "non_loopback_refused", "--allow-non-loopback"),
    "--listen 0.0.0.0:1 --allow-non-loopback": (8, "non_loopback_refused", "--auth-token-env"),
    "--listen 0.0.0.0:1 --auth-token-env TOKEN": (8, "non_loopback_refused", "--allow-non-loopback"),
    "--listen [::]:1": (8, "non_loopback_refused", "--allow-non-loopback"),
    "--listen 127.0.0.1.evil.example:1": (8, "non_loopback_refused", "--allow-non-loopback"),
    "--auth-token-env NONE": (7, "token_missing", "environment variable"),
    "--auth-token-env SHORT": (6, "invalid_usage", "16 or more"),
    "--auth-token-env SPACED": (6, "invalid_usage", "without spaces"),
    "--auth-token-env WIDE": (6, "invalid_usage", "ASCII"),
    "--tls-cert a.pem": (6, "invalid_usage", "go together"),
    "--tls-key a.pem": (6, "invalid_usage", "go together"),
    "--tls-cert a.pem --tls-key b.pem": (6, "tls_files_unusable", "PEM"),
    "--trust-context identity,admin": (6, "invalid_usage", "got admin"),
    "--risk-class urgent": (6, "invalid_usage", "low, medium, high, critical"),
    "--identity=": (6, "invalid_usage", "not empty"),
    "--workspace=": (6, "invalid_usage", "not empty"),
    "--heartbeat 0": (6, "invalid_usage", "0.01 or more"),
    "--heartbeat nan": (6, "invalid_usage", "0.01 or more"),
    "--heartbeat inf": (6, "invalid_usage", "no more than"),
    "--heartbeat x": (6, "invalid_usage", "--heartbeat"),
    "--grace -1": (6, "invalid_usage", "0 or more"),
    "--max-connections 0": (6, "invalid_usage", "1 or more"),
    "--keep-days -1": (6, "invalid_usage", "0 or more"),
    "--keep-bytes -1": (6, "invalid_usage", "no limit"),
    "--keep-segments -1": (6, "invalid_usage", "no limit"),
    "--workers 0": (6, "invalid_usage", "1 to 64"),
    "--workers 65": (6, "invalid_usage", "1 to 64"),
    "--chain Serve": (6, "invalid_usage", "a-z"),
    "--chain ../x": (6, "invalid_usage", "a-z"),
    f"--chain {'a' * 61}": (6, "invalid_usage", "1 to 60"),
    "--allow-host a:8787": (6, "invalid_usage", "without a port"),
    "--allow-host http://a": (6, "invalid_usage", "without a port"),
    "--otlp-endpoint http://collector.example": (6, "invalid_usage", "https"),
    "--allow-client-artifact-paths relative": (6, "invalid_usage", "absolute"),
    "--allow-client-artifact-paths /not/there": (6, "invalid_usage", "there"),
    "--simulate": (6, "invalid_usage", "--simulate"),
    "--http-verdict-status loose": (6, "invalid_usage", "strict"),
    "--durability none": (6, "invalid_usage", "power"),
    "--private-key /not/there --key-mode prod": (None, "", ""),
}  # fmt: skip


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("SHORT", "short")
    monkeypatch.setenv("SPACED", "0123456789 abcdef")
    monkeypatch.setenv("WIDE", "0123456789abcdefü")


@pytest.mark.parametrize("options", REFUSED)
def test_refused(options, cli, policy, tmp_path, monkeypatch):
    code, error_code, word = REFUSED[options]
    monkeypatch.chdir(tmp_path)
    path = policy("default_verdict: block\n")
    words = options.split()
    if "--policy" not in words:
        words += ["--policy", str(path)]
    if "--listen" not in words:
        words += ["--listen", f"unix:{tmp_path}/s"]
    ran = cli("mcp", "serve", *words, "--json")
    assert ran.value["ok"] is False and word in ran.value["error"], ran.value
    if code is None:
        assert ran.code in (6, 7)
    else:
        assert (ran.code, ran.value["error_code"]) == (code, error_code)
    assert TOKEN not in ran.out
    assert [found.name for found in tmp_path.iterdir()] == ["policy.yaml"], "nothing is bound or written"


def test_a_socket_that_belongs_to_a_file(cli, policy, tmp_path):
    (tmp_path / "s").write_text("mine")
    ran = cli("mcp", "serve", "--policy", policy("default_verdict: block\n"), "--listen", f"unix:{tmp_path}/s", "--json")
    assert ran.code == 1 and '"error_code": "address_unusable"' in ran.out
    assert (tmp_path / "s").read_text() == "mine"


def test_help_names_every_option(capsys):
    assert main(["mcp", "serve", "--help"]) == 0
    text = capsys.readouterr().out
    for name in ("--trust-context", "--workers", "--allow-client-artifact-paths", "--otlp-endpoint", "--chain", "--keep-segments"):
        assert name in text


# --- the gateway's options: what is refused -> a word of the message
GATEWAY = {
    "--upstream ftp://x/": "http(s)://",
    "--upstream http://192.0.2.1/mcp": "https",
    "--upstream http://127.0.0.1:1/a --upstream http://127.0.0.1:1/b": "each name once",
    "--upstream a=http://127.0.0.1:1/a --upstream http://127.0.0.1:1/b": "name of its own",
    "--upstream a__b=http://127.0.0.1:1/": "http(s)://",
    "--upstream a=": "expected a value",
    "--upstream-auth-env TOKEN": "the name of an --upstream",
    "--upstream-command true --workers 2": "--workers 1",
    "--upstream-command ''' ": "words as in a shell",
    "--upstream http://127.0.0.1:1/ --upstream-timeout 0": "more than none",
    "--upstream-command true --close-after-silence -1": "--close-after-silence",
    "--upstream http://127.0.0.1:1/ --lock nowhere.lock": "nowhere.lock",
    "--upstream http://127.0.0.1:1/ --config nowhere.yaml": "nowhere.yaml",
}


@pytest.mark.parametrize("words", GATEWAY)
def test_a_gateway_that_could_not_work_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", TOKEN)
    (tmp_path / "policy.yaml").write_text("default_verdict: block\n")
    arguments = [*words.split(" ")] if "'''" not in words else ["--upstream-command", "'"]
    assert main(["mcp", "serve", "--policy", "policy.yaml", "--listen", "127.0.0.1:0", *arguments]) != 0
    assert GATEWAY[words] in capsys.readouterr().err
