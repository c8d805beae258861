"""The life of the process: what it refuses to start with, who may connect, reload, certificates, logs, and its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from tests.service.running import ALLOWED, BLOCKED, LAUNCHER, POLICY, ROOT, Client, events, gait, records, verify, wait_for

TLS = ROOT / "fixtures" / "http" / "tls"
TOKEN = "0123456789abcdef-token"
BAD = "default_verdict: block\nrules:\n  - {name: a, effect: allow, efect: SECRETWORD}\n"
OTHER = POLICY.replace("default_verdict: block", "default_verdict: dry_run")


# --- the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bad_policy_starts_nothing(workers, tmp_path, own_home):
    (tmp_path / "bad.yaml").write_text(BAD)
    for policy, code in (("bad.yaml", "invalid_policy"), ("none.yaml", "file_not_found")):
        words = ["--listen", f"unix:{tmp_path}/s", "--journal", tmp_path / "j", "--workers", workers, "--trace-dir", tmp_path / "t", "--json"]
        done = gait("mcp", "serve", "--policy", tmp_path / policy, *words)
        assert done.returncode == 6 and json.loads(done.stdout)["error_code"] == code
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml"]
        assert not (own_home / "gait").exists(), "no key either"


def test_armed_heartbeat_stopped(serve):
    server = serve("--heartbeat", "0.05")
    wait_for(lambda: events(server.journal).count("heartbeat") >= 3)
    assert server.stop() == 0
    found = events(server.journal)
    assert (found[0], found[-1]) == ("armed", "stopped")
    armed = records(server.journal)[0]["details"]
    assert armed["heartbeat_seconds"] == 0.05 and armed["self_test"] == "passed" and len(armed["policy_digest"]) == 64
    assert verify(server.journal)["chains"][0]["gaps"] == []


def test_a_restart_continues_the_chain(serve):
    for number in (1, 2, 3):
        server = serve()
        with server.client() as client:
            assert client.post(ALLOWED).value["sequence"] == 3 * number - 1
        assert server.stop() == 0
    report = verify(server.journal)
    assert len(report["chains"]) == 1 and [gap["code"] for gap in report["chains"][0]["gaps"]] == ["unarmed", "unarmed"]


def test_an_address_in_use(serve, tmp_path):
    server = serve()
    done = gait("mcp", "serve", "--policy", server.policy, "--journal", tmp_path / "other", "--listen", server.address, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["error_code"] == "address_in_use"
    assert not (tmp_path / "other").exists()


def test_a_log_that_nobody_takes_stops_nothing(serve, tmp_path):
    server = serve("--watch")
    argv = [*LAUNCHER, "mcp", "serve", "--policy", str(server.policy), "--listen", f"unix:{tmp_path}/s", "--journal", str(tmp_path / "j2"), "--watch"]
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    wait_for(lambda: (tmp_path / "s").exists() and (tmp_path / "j2").exists(), 20)
    with Client(f"unix:{tmp_path}/s") as client:
        server.policy.write_text(BAD)
        wait_for(lambda: "refused" in client.get("/readyz").value["policy"])
        assert client.post(ALLOWED).value["verdict"] == "allow"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, 120), "120: Python's own word for a standard error that cannot be flushed"
    server.stop()


# --- who may connect ---------------------------------------------------------------------------


def test_a_bearer_token_on_loopback(serve):
    server = serve("--auth-token-env", "TOKEN_FOR_TEST", env={"TOKEN_FOR_TEST": TOKEN})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
        for path in ("/healthz", "/readyz", "/metrics", "/v1/policy"):
            with server.client() as client:
                answer = client.get(path, **headers)
                assert (answer.status, answer.value["error_code"]) == (401, "unauthorized")
                assert TOKEN.encode() not in answer.body
    with server.client() as client:
        assert client.post(ALLOWED, Authorization=f"Bearer {TOKEN}").value["verdict"] == "allow"
    assert server.stop() == 0
    assert TOKEN not in server.text()
    assert all(TOKEN not in json.dumps(record) for record in records(server.journal))


def test_host_and_origin(serve):
    server = serve("--allow-host", "Gate.Example")
    for host, status in (("localhost", 200), ("127.0.0.1:1", 200), ("gate.example:443", 200), ("evil.example", 421), ("localhost.evil.example", 421)):
        with server.client() as client:
            assert client.post(ALLOWED, Host=host).status == status, host
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://localhost", 200)):
        with server.client() as client:
            assert client.post(ALLOWED, Origin=origin).status == status, origin
    assert server.stop() == 0


def test_another_loopback_address_answers_to_its_name(serve):
    server = serve("--listen", "127.0.0.2:0")
    with server.client() as client:
        assert client.get("/healthz", Host="127.0.0.2:8787").status == 200
    assert server.stop() == 0


def test_non_loopback_needs_both(serve):
    server = serve("--listen", "0.0.0.0:0", "--allow-non-loopback", "--auth-token-env", "T", env={"T": TOKEN})
    server.address = server.address.replace("0.0.0.0", "127.0.0.1")
    with server.client() as client:
        assert client.get("/healthz", Authorization=f"Bearer {TOKEN}").status == 200
    assert "in the clear" in server.text()
    assert server.stop() == 0


def test_unix_socket(serve, tmp_path):
    server = serve("--listen", f"unix:{tmp_path}/gait.sock")
    assert stat.S_IMODE(os.stat(tmp_path / "gait.sock").st_mode) == 0o600
    with server.client() as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
    server.kill()
    server = serve("--listen", f"unix:{tmp_path}/gait.sock")  # over the stale one
    assert server.stop() == 0
    assert not (tmp_path / "gait.sock").exists()


def test_tls_and_a_new_certificate(serve, tmp_path):
    for name in ("certificate.pem", "key.pem"):
        (tmp_path / name).write_bytes((TLS / name).read_bytes())
    server = serve("--tls-cert", tmp_path / "certificate.pem", "--tls-key", tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
    trust.check_hostname = False
    with server.client(tls=trust) as client:
        assert client.post(ALLOWED).value["verdict"] == "allow"
    with pytest.raises(OSError), server.client() as client:
        client.get("/healthz")
    (tmp_path / "key.pem").write_text("no key")
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.events("certificate_reload_failed"))
    with server.client(tls=trust) as client:
        assert client.get("/healthz").status == 200
    (tmp_path / "key.pem").write_bytes((TLS / "key.pem").read_bytes())
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.events("certificate_reloaded"))
    with server.client(tls=trust) as client:
        assert client.get("/healthz").status == 200
    assert server.stop() == 0


def test_the_cap_on_connections(serve):
    server = serve("--max-connections", "3")
    clients = [server.client() for _ in range(3)]
    assert [client.get("/healthz").status for client in clients] == [200] * 3
    with server.client() as client:
        answer = client.read()
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
    clients.pop().close()
    wait_for(lambda: can_ask(server))
    for client in clients:
        client.close()
    assert server.stop() == 0


def can_ask(server) -> bool:
    try:
        with server.client() as client:
            return client.get("/healthz").status == 200
    except OSError:
        return False


# --- reload ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", ["watch", "hup"])
def test_reload_keeps_the_old_policy_when_the_new_one_is_bad(how, serve):
    server = serve(*(["--watch"] if how == "watch" else []))

    def write(text: str) -> None:
        server.policy.write_text(text)
        if how == "hup":
            server.signal(signal.SIGHUP)

    with server.client() as client:
        first = client.get("/v1/policy").value
        time.sleep(0.3)  # the server looks once more when it has started
        write(BAD)
        wait_for(lambda: server.events("policy_reload_failed"))
        assert "efect" in server.text(), "the operator's log says what is wrong"
        ready = client.get("/readyz")
        assert (ready.status, ready.value["ok"]) == (200, True)
        assert ready.value["policy"] == "the newest file is refused (invalid_policy); the policy before it is in force"
        assert b"SECRETWORD" not in ready.body and b"efect" not in ready.body
        assert 'gait_policy_reload_failed{chain="serve"} 1' in client.get("/metrics").body.decode()
        assert client.get("/v1/policy").value == first
        assert client.post({"call": {"name": "other"}}).value["verdict"] == "block"
        write(OTHER)
        wait_for(lambda: server.events("policy_reloaded"))
        second = client.get("/v1/policy").value
        assert second["policy_digest"] != first["policy_digest"]
        assert client.post({"call": {"name": "other"}}).value["verdict"] == "dry_run"
        assert client.get("/readyz").value["policy"] == "loaded"
        assert 'gait_policy_reload_failed{chain="serve"} 0' in client.get("/metrics").body.decode()
        server.policy.unlink()
        if how == "hup":
            server.signal(signal.SIGHUP)
        wait_for(lambda: len(server.events("policy_reload_failed")) == 2)
        assert client.post({"call": {"name": "other"}}).value["verdict"] == "dry_run"
        write(OTHER)
        wait_for(lambda: len(server.events("policy_reloaded")) == 2)
    assert server.stop() == 0
    found = [record["details"] for record in records(server.journal) if record.get("event", "").startswith("policy_reload")]
    assert found == [
        {"policy_digest": first["policy_digest"], "reason": "invalid_policy"},
        {"old_policy_digest": first["policy_digest"], "new_policy_digest": second["policy_digest"]},
        {"policy_digest": second["policy_digest"], "reason": "file_not_found"},
    ]
    assert verify(server.journal)["ok"]


@pytest.mark.slow
def test_without_watch_only_a_signal_reloads(serve):
    server = serve()
    with server.client() as client:
        time.sleep(0.3)
        server.policy.write_text(OTHER)
        time.sleep(1.3)
        assert client.post({"call": {"name": "other"}}).value["verdict"] == "block"
        for _ in range(50):  # a handler that interrupts itself
            server.signal(signal.SIGHUP)
        wait_for(lambda: client.post({"call": {"name": "other"}}).value["verdict"] == "dry_run")
    assert server.stop() == 0


@pytest.mark.slow
def test_a_reload_that_the_journal_cannot_take_is_tried_again(serve, tmp_path):
    server = serve("--watch")
    with server.client() as client:
        os.rename(server.journal, tmp_path / "away")
        server.policy.write_text(OTHER)
        wait_for(lambda: server.events("policy_reload_failed"))
        os.rename(tmp_path / "away", server.journal)
        wait_for(lambda: client.get("/readyz").status == 200)
        wait_for(lambda: client.post({"call": {"name": "other"}}).value["verdict"] == "dry_run")
    assert server.stop() == 0
    assert verify(server.journal)["ok"]


@pytest.mark.slow
def test_reload_under_load(serve):
    """No request sees an error, every answer is by one of the two policies, and each change is in the journal."""
    server = serve("--watch")
    stop = threading.Event()
    wrong, digests = [], set()

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                answer = client.post({"call": {"name": "other"}})
                digests.add(answer.value.get("policy_digest"))
                if answer.status != 200 or answer.value["verdict"] not in ("block", "dry_run"):
                    wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        server.policy.write_text((OTHER, BAD, POLICY)[turn % 3])
        server.signal(signal.SIGHUP)
        time.sleep(0.15)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and len(digests) == 2
    assert server.stop() == 0
    assert verify(server.journal)["ok"]
    check_digests(records(server.journal))


def check_digests(found: list[dict]) -> None:
    """A digest appears in a decision only after the journal announced it."""
    announced = {found[0]["details"]["policy_digest"]}
    changes = 0
    for record in found:
        if record.get("event") == "policy_reloaded":
            assert record["details"]["old_policy_digest"] in announced
            announced.add(record["details"]["new_policy_digest"])
            changes += 1
        elif "verdict" in record:
            assert record["policy_digest"] in announced
    assert changes >= 4


# --- logs --------------------------------------------------------------------------------------


def test_access_log(serve, tmp_path):
    file = tmp_path / "access.jsonl"
    server = serve("--access-log", file)
    with server.client() as client:
        client.post(ALLOWED)
        client.get("/%0a%22x?token=SECRETWORD")
        wait_for(lambda: len(file.read_bytes().splitlines()) == 2)  # the line comes after the answer
        file.rename(tmp_path / "old.jsonl")
        client.get("/healthz")
        wait_for(file.exists)
        file.unlink()
        file.mkdir()
        client.get("/healthz")
        client.get("/healthz")
        wait_for(lambda: server.events("access_log_failed"))
        file.rmdir()
        assert client.get("/readyz").status == 200
    assert server.stop() == 0
    assert len(server.events("access_log_failed")) == 1
    first, second = [json.loads(line) for line in (tmp_path / "old.jsonl").read_text().splitlines()]
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/evaluate", 200)
    assert (second["path"], second["status"]) == ("/%0a%22x", 404)
    assert json.loads(file.read_text().splitlines()[-1])["path"] == "/readyz"


def test_an_internal_failure_says_nothing_to_the_client(serve, tmp_path):
    """SOURCE_DATE_EPOCH beyond all years is found at the start; here a file that the engine needs goes away under it."""
    server = serve()
    with server.client() as client:
        client.sock.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.read()
    assert (answer.status, answer.value["error_code"]) == (400, "incomplete_request")
    with server.client() as client:
        assert 'code="incomplete_request"' in client.get("/metrics").body.decode()
    assert server.stop() == 0


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_under_load(number, serve):
    server = serve()
    answered, broken = [], []

    def ask() -> None:
        with server.client() as client:
            while True:
                try:
                    client.send("POST", "/v1/evaluate", json.dumps(ALLOWED).encode(), Content_Type="application/json")
                    answer = client.read()
                except OSError as error:
                    if str(error) not in ("closed",) and not isinstance(error, (ConnectionResetError, BrokenPipeError)):
                        broken.append(error)
                    if "closed in" in str(error):
                        broken.append(error)
                    return
                answered.append(answer.value["sequence"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answered) > 50)
    server.signal(number)
    assert server.wait() == 0
    for thread in threads:
        thread.join()
    assert not broken
    assert events(server.journal)[-1] == "stopped"
    report = verify(server.journal)
    assert report["chains"][0]["gaps"] == []
    assert set(answered) <= {record["sequence"] for record in records(server.journal) if "verdict" in record}


def test_idle_clients_do_not_delay_the_end(serve):
    server = serve("--grace", "20")
    clients = [server.client() for _ in range(10)]
    assert clients[0].get("/healthz").status == 200
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5


def test_a_request_in_flight_is_finished(serve):
    server = serve("--grace", "20")
    body = json.dumps(ALLOWED).encode()
    with server.client() as client:
        client.sock.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.sock.sendall(body[:10])
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        time.sleep(0.3)
        client.sock.sendall(body[10:])
        answer = client.read()
        assert (answer.value["verdict"], answer.headers["connection"]) == ("allow", "close")
    assert server.wait() == 0


def test_the_grace_ends(serve):
    server = serve("--grace", "0.3")
    with server.client() as client:
        client.sock.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        time.sleep(0.3)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5


def test_a_second_signal_ends_at_once(serve):
    server = serve("--grace", "60")
    with server.client() as client:
        client.sock.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        assert server.wait(5) == 1
    assert [gap["code"] for gap in verify(server.journal)["chains"][0]["gaps"]] == ["not_stopped"]


@pytest.mark.slow
def test_a_handler_that_hangs_does_not_hold_the_process(serve, tmp_path):
    """Another process holds the export's lock for longer than the grace."""
    import fcntl

    file = tmp_path / "export.jsonl"
    server = serve("--export-log-out", file, "--grace", "0.2")
    with open(file, "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with server.client() as client:
            client.send("POST", "/v1/evaluate", json.dumps(ALLOWED).encode(), Content_Type="application/json")
            time.sleep(0.5)
            started = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait(10) == 1
            assert time.monotonic() - started < 6
    assert server.events("unfinished")[0]["handlers"] == 1
    assert verify(server.journal)["ok"]


def test_a_decision_that_waits_for_approvals_in_use_holds_up_nobody(serve, tmp_path):
    """Another process is in its turn of the counters: who needs them waits, and no other client."""
    key, env = tmp_path / "approval.json", {"GAIT_HOME": str(tmp_path / "home")}
    assert gait("keys", "init", "--purpose", "approval", "--path", key, env=env).returncode == 0
    running = serve("--approval-key", key, env=env)
    write = {"call": {"name": "write_file", "arguments": {"path": "/work/a.py"}}}
    with running.client() as one, running.client() as other:
        asked = one.post(write).value
        words = ["--intent-digest", asked["intent_digest"], "--policy-digest", asked["policy_digest"], "--scope", "tool:write_file"]
        words += ["--approver", "ann", "--reason-code", "seen", "--approval-key", key, "--max-uses", "5", "--yes"]
        assert gait("approve", *words, env=env).returncode == 0
        assert one.post(write).value["verdict"] == "allow"
        (path,) = (tmp_path / "home").rglob("counters.sqlite3")
        with closing(sqlite3.connect(path, isolation_level=None)) as turn:
            turn.execute("BEGIN IMMEDIATE")
            body = json.dumps(write).encode()
            one.send("POST", "/v1/evaluate", body, Content_Type="application/json")
            time.sleep(0.3)
            started = time.monotonic()
            assert other.post(ALLOWED).value["verdict"] == "allow"
            assert time.monotonic() - started < 2
            turn.execute("ROLLBACK")
            assert one.read().value["verdict"] == "allow"
